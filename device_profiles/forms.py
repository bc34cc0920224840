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

_EXACT_POWER_MAX = 12
_SIGN_BIT = 0x80


class RegisterType(StrEnum):
    """Type of a number kept in 16-bit Modbus registers, ending in its width [bit].

    u unsigned, s two's complement, mag sign and magnitude, f IEEE 754, bcd packed decimal digits, m10k registers that
    count to 9999 each (Schneider's MOD10: the first register is the least significant, so order CDAB)
    """

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U48 = "u48"
    S48 = "s48"
    U64 = "u64"
    S64 = "s64"
    MAG16 = "mag16"
    MAG32 = "mag32"
    F32 = "f32"
    F64 = "f64"
    BCD16 = "bcd16"
    BCD32 = "bcd32"
    BCD48 = "bcd48"
    BCD64 = "bcd64"
    M10K32 = "m10k32"
    M10K48 = "m10k48"
    M10K64 = "m10k64"

    @property
    def bits(self) -> int:
        """Width [bit]."""
        return int(self.value[-2:])

    @property
    def is_float(self) -> bool:
        """Say whether the number is an IEEE float, which has no mantissa of its own."""
        return self.value[0] == "f"

    @property
    def is_signed(self) -> bool:
        """Say whether the number can be negative."""
        return self.value[0] in "sf" or self.value.startswith("mag")

    @property
    def mantissa_limit(self) -> int | None:
        """First mantissa the type cannot show; None for floats."""
        if self.is_float:
            return None
        if self.value.startswith("bcd"):
            return int(10 ** (self.bits // 4))
        if self.value.startswith("m10k"):
            return int(10_000 ** (self.bits // 16))
        return 1 << self.bits - self.is_signed


class WordOrder(StrEnum):
    """Order of octets on the wire; A is the most significant. CDAB is "low word first"."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


class NotReadable(MeterError):
    """Octets, or a mantissa to be written, do not fit the form the profile states."""


_FLOAT_CODES = {RegisterType.F32: ">f", RegisterType.F64: ">d"}


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

    __slots__ = ("_invalid", "_order", "_signed", "octets")

    def __init__(self, kind: RegisterType, order: WordOrder = WordOrder.ABCD, invalid: tuple[bytes, ...] = ()) -> None:
        self._order = order
        self._invalid = frozenset(invalid)
        self._signed = kind.is_signed
        self.octets = kind.bits // 8

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the integer; None for a pattern the profile declares invalid."""
        if wire in self._invalid:
            return None
        return int.from_bytes(_reordered(wire, self._order), "big", signed=self._signed)

    def to_octets(self, mantissa: int) -> bytes:
        """Write the integer; raises NotReadable when it is too wide."""
        try:
            return _reordered(mantissa.to_bytes(self.octets, "big", signed=self._signed), self._order)
        except OverflowError as error:
            raise NotReadable(f"{mantissa} does not fit {8 * self.octets} bits: {error}") from error


class MagnitudeForm:
    """An integer whose top bit is its sign and nothing else."""

    __slots__ = ("_invalid", "_order", "_sign", "octets")

    def __init__(self, kind: RegisterType, order: WordOrder = WordOrder.ABCD, invalid: tuple[bytes, ...] = ()) -> None:
        self._order = order
        self._invalid = frozenset(invalid)
        self._sign = 1 << kind.bits - 1
        self.octets = kind.bits // 8

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the integer; None for a pattern the profile declares invalid."""
        if wire in self._invalid:
            return None
        number = int.from_bytes(_reordered(wire, self._order), "big")
        return -(number ^ self._sign) if number & self._sign else number

    def to_octets(self, mantissa: int) -> bytes:
        """Write sign and magnitude; raises NotReadable when it is too wide."""
        if abs(mantissa) >= self._sign:
            raise NotReadable(f"{mantissa} does not fit {8 * self.octets} bits")
        number = abs(mantissa) | (self._sign if mantissa < 0 else 0)
        return _reordered(number.to_bytes(self.octets, "big"), self._order)


class DigitsForm:
    """Decimal digits in registers: packed BCD, or m10k, where each register counts to 9999."""

    __slots__ = ("_invalid", "_order", "_packed", "octets")

    def __init__(self, kind: RegisterType, order: WordOrder = WordOrder.ABCD, invalid: tuple[bytes, ...] = ()) -> None:
        self._order = order
        self._invalid = frozenset(invalid)
        self._packed = kind.value.startswith("bcd")
        self.octets = kind.bits // 8

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the digits; None for a declared pattern; raises NotReadable for what is no decimal number."""
        if wire in self._invalid:
            return None
        high_first = _reordered(wire, self._order)
        if self._packed:
            digits = high_first.hex()
            if not digits.isdecimal():
                raise NotReadable(f"{digits} is not BCD")
            return int(digits)
        mantissa = 0
        for at in range(0, self.octets, 2):
            register = int.from_bytes(high_first[at : at + 2], "big")
            if register > 9999:
                raise NotReadable(f"a register of {register}, where 9999 is the most")
            mantissa = 10_000 * mantissa + register
        return mantissa

    def to_octets(self, mantissa: int) -> bytes:
        """Write the digits; raises NotReadable when there are too few."""
        count = 2 * self.octets
        digits = str(mantissa).rjust(count, "0")
        if mantissa < 0 or len(digits) > count:
            raise NotReadable(f"{mantissa} does not fit {count} digits")
        if self._packed:
            return _reordered(bytes.fromhex(digits), self._order)
        registers = (int(digits[at : at + 4]).to_bytes(2, "big") for at in range(0, count, 4))
        return _reordered(b"".join(registers), self._order)


class BitsForm:
    """Some bits of an unsigned integer: `first` to `last`, 0 the least significant."""

    __slots__ = ("_first", "_mask", "_whole", "octets")

    def __init__(self, whole: Form, first: int, last: int) -> None:
        self._whole = whole
        self._first = first
        self._mask = (1 << last - first + 1) - 1
        self.octets = whole.octets

    def to_mantissa(self, wire: bytes) -> int | None:
        """Read the bits; None for a pattern the profile declares invalid."""
        number = self._whole.to_mantissa(wire)
        return None if number is None else number >> self._first & self._mask

    def to_octets(self, mantissa: int) -> bytes:
        """Write the bits, all others 0; raises NotReadable when they are too many."""
        if not 0 <= mantissa <= self._mask:
            raise NotReadable(f"{mantissa} does not fit bits {self._mask:#x}")
        return self._whole.to_octets(mantissa << self._first)


class FloatForm:
    """An IEEE 754 float in registers; the mantissa is the float x 10^power, rounded to the nearest, ties to even."""

    __slots__ = ("_factor", "_invalid", "_is_exact", "_order", "_power", "_struct", "octets")

    def __init__(
        self, kind: RegisterType, order: WordOrder = WordOrder.ABCD, invalid: tuple[bytes, ...] = (), *, power: int
    ) -> None:
        self._struct = struct.Struct(_FLOAT_CODES[kind])
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


def register_form(kind: RegisterType, order: WordOrder, invalid: tuple[bytes, ...]) -> Form:
    """Give the form of a number in registers that has its mantissa in itself: all but floats."""
    if kind.value.startswith("mag"):
        return MagnitudeForm(kind, order, invalid)
    if kind.value.startswith(("bcd", "m10k")):
        return DigitsForm(kind, order, invalid)
    return IntegerForm(kind, order, invalid)


def _reordered(wire: bytes, order: WordOrder) -> bytes:
    """Bring octets from `order` to ABCD, or back: each order is its own inverse."""
    if order is WordOrder.ABCD:
        return wire
    if order is WordOrder.DCBA:
        return wire[::-1]
    words = [wire[at : at + 2] for at in range(0, len(wire), 2)]
    return b"".join(reversed(words)) if order is WordOrder.CDAB else b"".join(word[::-1] for word in words)
