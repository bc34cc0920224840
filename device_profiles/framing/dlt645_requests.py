"""What a DL/T 645 meter can be asked by us: read, read its address, freeze, set the time. It is never programmed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from device_profiles.framing.bcd import to_bcd
from device_profiles.profile import ReadRequest

_ANY = 0x99


@dataclass(frozen=True, slots=True)
class Dlt645Read(ReadRequest):
    """Read one data identifier, written as printed: DI3 first (4 octets; 2 in the 1997 edition).

    also  a second identifier asked in the same conversation, whose octets follow those of the first
    """

    di: bytes
    also: bytes = b""


@dataclass(frozen=True, slots=True)
class Dlt645ReadAddress(ReadRequest):
    """Ask whoever is on the line for its address; of use only where one meter is on the line."""


@dataclass(frozen=True, slots=True)
class Dlt645Freeze(ReadRequest):
    """Copy the registers now, or whenever a moment comes: None stands for "every" (2007 only).

    All None is at once; minute 0 is every full hour; hour 0 and minute 0 every midnight.
    """

    month: int | None = None
    day: int | None = None
    hour: int | None = None
    minute: int | None = None

    def to_wire(self) -> bytes:
        """Give minute, hour, day, month as they stand in the frame, 99 for "every"."""
        parts = (self.minute, self.hour, self.day, self.month)
        return bytes(_ANY if part is None else to_bcd(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Dlt645SetTime(ReadRequest):
    """Tell every meter on the line the wall-clock time, to the second and without a zone; meters do not answer."""

    at: datetime

    def to_wire(self) -> bytes:
        """Give second, minute, hour, day, month, year of the century as they stand in the frame.

        Four public logs of collectors in use agree on this order and on the +33H; see docs/adr/0074.
        """
        at = self.at
        return bytes(to_bcd(part) for part in (at.second, at.minute, at.hour, at.day, at.month, at.year % 100))


Dlt645Request = Dlt645Read | Dlt645ReadAddress | Dlt645Freeze | Dlt645SetTime
