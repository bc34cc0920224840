"""A wall-clock moment as meters keep it: two decimal digits an octet, in an order that the profile states.

The mantissa is in seconds from 1970-01-01T00:00 by the meter's own clock, which knows no zone. A clock that shows no
date, as meters with an empty battery do, has no value; it is not a reason to doubt the registers beside it.
"""

from __future__ import annotations

from datetime import date, timedelta

from device_profiles.forms import NotReadable
from device_profiles.framing.bcd import from_bcd, to_bcd
from metering.errors import MeteringError

_PARTS = ("CC", "YY", "MM", "DD", "WW", "hh", "mm", "ss")
_READ = ("CC", "YY", "MM", "DD", "hh", "mm", "ss")
_NEEDED = ("YY", "MM", "DD")
_CENTURY = 20
_EPOCH = date(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_DIGITS = tuple(from_bcd(octet) for octet in range(256))
_DAY_S = 86_400
MIDNIGHT_S = 30
"""How near to midnight a date and a time of two answers may be of different days [s]: longer than any such read."""


class LayoutInvalid(MeteringError):
    """A text does not say how a moment stands in its octets."""


class WallTimeForm:
    """A moment laid out as `layout` says: CC century, YY MM DD date, WW weekday (0 Sunday), hh mm ss time of day.

    Octets come in the order of the layout; "mmhhDDMMYY" is minute, hour, day, month, year. `is_joined` means that date
    and time come from two answers: within MIDNIGHT_S of midnight they may be of two days, and there is no value.
    """

    __slots__ = ("_at", "_is_joined", "_parts", "octets")

    def __init__(self, layout: str, *, is_joined: bool = False) -> None:
        parts = tuple(layout[at : at + 2] for at in range(0, len(layout), 2))
        if not set(_NEEDED) <= set(parts) <= set(_PARTS) or len(set(parts)) != len(parts):
            raise LayoutInvalid(f"{layout!r} is no order of {' '.join(_PARTS)} with at least {' '.join(_NEEDED)}")
        self._parts = parts
        self._at = tuple(parts.index(part) if part in parts else None for part in _READ)
        self._is_joined = is_joined
        self.octets = len(parts)

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the moment; None where the octets are no digits or no moment."""
        digits = [_DIGITS[octet] for octet in wire]
        if None in digits:
            return None
        shown = [0 if at is None else digits[at] or 0 for at in self._at]
        century, year, month, day, hour, minute, second = shown
        if hour > 23 or minute > 59 or second > 59:
            return None
        try:
            days = (
                date(100 * (_CENTURY if self._at[0] is None else century) + year, month, day).toordinal() - _EPOCH_DAY
            )
        except ValueError:
            return None
        second += 3600 * hour + 60 * minute
        if days < 0 or (self._is_joined and not MIDNIGHT_S <= second <= _DAY_S - MIDNIGHT_S):
            return None
        return days * _DAY_S + second

    def to_octets(self, mantissa: int) -> bytes:
        """Write the moment; raises NotReadable where the meter's digits cannot show it."""
        try:
            day = _EPOCH + timedelta(days=mantissa // _DAY_S)
        except OverflowError as error:
            raise NotReadable(f"{mantissa} s is no moment: {error}") from error
        if mantissa < 0 or ("CC" not in self._parts and day.year // 100 != _CENTURY):
            raise NotReadable(f"the year {day.year} does not fit the meter's digits")
        second = mantissa % _DAY_S
        numbers = {
            "CC": day.year // 100,
            "YY": day.year % 100,
            "MM": day.month,
            "DD": day.day,
            "WW": day.isoweekday() % 7,
            "hh": second // 3600,
            "mm": second // 60 % 60,
            "ss": second % 60,
        }
        return bytes(to_bcd(numbers[part]) for part in self._parts)


class BitsForm:
    """Bits in octets, low octet first; the mantissa is their number."""

    __slots__ = ("octets",)

    def __init__(self, octets: int) -> None:
        self.octets = octets

    def to_mantissa(self, wire: bytes) -> int:
        """Read the bits."""
        return int.from_bytes(wire, "little")

    def to_octets(self, mantissa: int) -> bytes:
        """Write the bits; raises NotReadable when there are too many."""
        try:
            return mantissa.to_bytes(self.octets, "little")
        except OverflowError as error:
            raise NotReadable(f"{mantissa} does not fit {8 * self.octets} bits") from error
