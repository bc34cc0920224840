"""Addresses of M-Bus meters: primary, and secondary by which a meter is selected (EN 13757-3, 11.3).

A secondary address is eight digits of identification, then manufacturer (four hex digits in the order of the wire),
version and medium (two hex digits each), sixteen in all; F stands for "any" in a digit, FFFF or FF for any
manufacturer, version or medium. Eight digits alone leave the rest open. This is how public M-Bus tools write them too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from device_profiles.framing.errors import AddressInvalid
from device_profiles.framing.mbus_frame import ANY_METER, PRIMARY_MAX, SELECTED
from device_profiles.framing.mbus_records import MbusTelegram, manufacturer_octets

_PRIMARY = re.compile(r"(?:0|[1-9]\d{0,2})\Z", re.ASCII)
_SECONDARY = re.compile(r"[0-9A-F]{8}(?:[0-9A-F]{8})?\Z", re.ASCII)
_IDENTIFICATION_DIGITS = 8
_ANY = "F"


@dataclass(frozen=True, slots=True)
class MbusAddress:
    """One meter's address: `primary`, or `secondary` as sixteen digits when primary is None."""

    primary: int | None
    secondary: str = ""

    @classmethod
    def parse(cls, text: str) -> MbusAddress:
        """Read a primary (0 to 250, 254) or secondary address; raises AddressInvalid."""
        if _PRIMARY.match(text) and (int(text) <= PRIMARY_MAX or int(text) == ANY_METER):
            return cls(int(text))
        capital = text.upper()
        if _SECONDARY.match(capital):
            return cls(None, capital.ljust(16, _ANY))
        raise AddressInvalid(
            f"{text!r} is not an M-Bus address: write a primary one from 0 to {PRIMARY_MAX}, or a secondary one "
            "of 8 or 16 digits, with F for any"
        )

    @property
    def link(self) -> int:
        """Address octet of the link frames."""
        return SELECTED if self.primary is None else self.primary

    @property
    def mask(self) -> bytes:
        """The eight octets that select the meter: identification, manufacturer, version, medium as on the wire."""
        octets = bytes.fromhex(self.secondary)
        return octets[3::-1] + octets[4:]

    def fits(self, telegram: MbusTelegram) -> bool:
        """Say whether the header of `telegram` is that of the selected meter; a primary address says nothing of it."""
        return self.primary is not None or matches(self.secondary, secondary_of(telegram))

    def __str__(self) -> str:
        return self.secondary if self.primary is None else str(self.primary)


def secondary_of(telegram: MbusTelegram) -> str:
    """Give the full secondary address of the meter that sent `telegram`; F where its header leaves something out."""
    manufacturer = manufacturer_octets(telegram.manufacturer).hex() if telegram.manufacturer else "ffff"
    rest = "".join(f"{number:02x}" if number >= 0 else "ff" for number in (telegram.version, telegram.medium))
    return (telegram.identification.rjust(_IDENTIFICATION_DIGITS, _ANY) + manufacturer + rest).upper()


def matches(mask: str, secondary: str) -> bool:
    """Say whether a meter with address `secondary` answers to `mask` (both sixteen digits).

    A digit of the identification is open by F; manufacturer, version and medium are open only as a whole.
    """
    if any(wanted not in (_ANY, digit) for wanted, digit in zip(mask[:8], secondary[:8], strict=True)):
        return False
    parts = ((8, 12), (12, 14), (14, 16))
    return all(
        mask[a:b] == _ANY * (b - a) or _ANY * (b - a) == secondary[a:b] or mask[a:b] == secondary[a:b] for a, b in parts
    )
