"""The closed set of forms in which meters keep a number, each read and written exactly.

A form turns octets into the channel's integer mantissa and back; the decoder reads, the simulated meter writes.
Integers and BCD carry their mantissa as it is. An IEEE float has none: it is rounded once to the channel's exponent,
to the nearest, ties to even. For f32 that is exact in double precision up to a factor of 10^12 (24 bits of the float
times 28 bits of 5^12 fit 53); wider cases go through Fraction.
"""

from __future__ import annotations

import math
import struct
import typing
from enum import StrEnum
from fractions import Fraction

from metering.errors import MeterError

_STRUCT_CODES = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}
_EXACT_POWER_MAX = 12
_SIGN_BIT = 0x80


class RegisterType(StrEnum):
    """Type of a number kept in 16-bit Modbus registers: u unsigned, s signed, f IEEE 754; then its width [bit]."""

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"

    @property
    def bits(self) -> int:
        """Width [bit]."""
        return int(self.value[1:])

    @property
    def is_float(self) -> bool:
        """Say whether the number is an IEEE float, which has no mantissa of its own."""
        return self.value[0] == "f"

    @property
    def is_signed(self) -> bool:
        """Say whether the number can be negative."""
        return self.value[0] != "u"


class WordOrder(StrEnum):
    """Order of octets on the wire; A is the most significant. CDAB is "low word first"."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


class NotReadable(MeterError):
    """Octets, or a mantissa to be written, do not fit the form the profile states."""


class Form(typing.Protocol):
    """One number as a meter keeps it, `octets` long."""

    @property
    def octets(self) -> int:
        """Length on the wire."""

    def to_mantissa(self, wire: bytes) -> int | None:
        """Give the mantissa; None for a declared "no value"; raises NotReadable."""

    def to_octets(self, mantissa: int) -> bytes:
        """Give the octets a meter would send; raises NotReadable when the form cannot hold `mantissa`."""


class IntegerForm:
    """A two's-complement or unsigned integer in 16-bit registers; the mantissa is the integer."""

    __slots__ = ("_invalid", "_order", "_struct", "octets")

    def __init__(self, kind: RegisterType, order: WordOrder = WordOrder.ABCD, invalid: tuple[bytes, ...] = ()) -> None:
        self._struct = struct.Struct(">" + _STRUCT_CODES[kind])
        self._order = order
        self._invalid = frozenset(invalid)
        self.octets = self._struct.size

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the integer; None for a pattern the profile declares invalid."""
        if wire in self._invalid:
            return None
        mantissa: int = self._struct.unpack(_reordered(wire, self._order))[0]
        return mantissa

    def to_octets(self, mantissa: int) -> bytes:
        """Write the integer; raises NotReadable when it is too wide."""
        try:
            return _reordered(self._struct.pack(mantissa), self._order)
        except struct.error as error:
            raise NotReadable(f"{mantissa} does not fit {8 * self.octets} bits: {error}") from error


class FloatForm:
    """An IEEE 754 float in registers; the mantissa is the float x 10^power, rounded to the nearest, ties to even."""

    __slots__ = ("_factor", "_invalid", "_is_exact", "_order", "_power", "_struct", "octets")

    def __init__(
        self, kind: RegisterType, order: WordOrder = WordOrder.ABCD, invalid: tuple[bytes, ...] = (), *, power: int
    ) -> None:
        self._struct = struct.Struct(">" + _STRUCT_CODES[kind])
        self._order = order
        self._invalid = frozenset(invalid)
        self._power = power
        self._factor = float(10 ** max(power, 0))
        self._is_exact = kind.bits == 32 and 0 <= power <= _EXACT_POWER_MAX
        self.octets = self._struct.size

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read and round; None for NaN or a declared pattern; raises NotReadable for an infinity."""
        if wire in self._invalid:
            return None
        number: float = self._struct.unpack(_reordered(wire, self._order))[0]
        if math.isnan(number):
            return None
        if math.isinf(number):
            raise NotReadable(f"{wire.hex()} is an infinity")
        if self._is_exact:
            return round(number * self._factor)
        return round(Fraction(number) * Fraction(10) ** self._power)

    def to_octets(self, mantissa: int) -> bytes:
        """Write the float nearest to mantissa / 10^power, as a meter with such a register would."""
        try:
            return _reordered(self._struct.pack(float(mantissa / Fraction(10) ** self._power)), self._order)
        except (struct.error, OverflowError) as error:
            raise NotReadable(f"{mantissa} does not fit a float: {error}") from error


class BcdForm:
    """Packed BCD, low octet first (DL/T 645-2007); the top bit is a sign only where the identifier's table says so."""

    __slots__ = ("_absent", "_signed", "octets")

    def __init__(self, *, octets: int, signed: bool) -> None:
        self.octets = octets
        self._signed = signed
        self._absent = b"\xff" * octets

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the digits; None for all FF (a phase the meter does not have); raises NotReadable for non-digits."""
        if wire == self._absent:
            return None
        negative = self._signed and bool(wire[-1] & _SIGN_BIT)
        high_first = wire[::-1]
        if negative:
            high_first = bytes((high_first[0] & ~_SIGN_BIT,)) + high_first[1:]
        digits = high_first.hex()
        if not digits.isdecimal():
            raise NotReadable(f"{digits} is not BCD")
        return -int(digits) if negative else int(digits)

    def to_octets(self, mantissa: int) -> bytes:
        """Write the digits; raises NotReadable when there are too few or a sign has no place."""
        digits = str(abs(mantissa)).rjust(2 * self.octets, "0")
        high_first = bytearray.fromhex(digits) if len(digits) == 2 * self.octets else bytearray()
        if not high_first or (mantissa < 0 and not self._signed) or (self._signed and high_first[0] & _SIGN_BIT):
            raise NotReadable(f"{mantissa} does not fit {2 * self.octets} BCD digits{' with sign' * self._signed}")
        if mantissa < 0:
            high_first[0] |= _SIGN_BIT
        return bytes(high_first[::-1])


def _reordered(wire: bytes, order: WordOrder) -> bytes:
    """Bring octets from `order` to ABCD, or back: each order is its own inverse."""
    if order is WordOrder.ABCD:
        return wire
    if order is WordOrder.DCBA:
        return wire[::-1]
    words = [wire[at : at + 2] for at in range(0, len(wire), 2)]
    return b"".join(reversed(words)) if order is WordOrder.CDAB else b"".join(word[::-1] for word in words)
