"""Units, and exact conversion of what a meter showed into integer base units.

A register shows an integer mantissa and a decimal exponent in some unit (1234567 x 10^-2 kWh). Everything after
decoding works in integer base units (12345670 Wh), so that no binary float ever carries energy or money.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from metering.errors import MeteringError


class QuantityNotExact(MeteringError):
    """A shown value is finer than the base unit, so it has no exact integer form."""


class Unit(Enum):
    """A unit a register may be shown in: its symbol, its base unit and the exact factor between them."""

    WH = ("Wh", "Wh", Fraction(1))
    KWH = ("kWh", "Wh", Fraction(1000))
    MWH = ("MWh", "Wh", Fraction(1_000_000))
    VARH = ("varh", "varh", Fraction(1))
    KVARH = ("kvarh", "varh", Fraction(1000))
    ML = ("mL", "mL", Fraction(1))
    LITRE = ("L", "mL", Fraction(1000))
    M3 = ("m3", "mL", Fraction(1_000_000))
    KJ = ("kJ", "kJ", Fraction(1))
    MJ = ("MJ", "kJ", Fraction(1000))
    GJ = ("GJ", "kJ", Fraction(1_000_000))
    HEAT_KWH = ("kWh(heat)", "kJ", Fraction(3600))
    W = ("W", "W", Fraction(1))
    KW = ("kW", "W", Fraction(1000))
    VAR = ("var", "var", Fraction(1))
    KVAR = ("kvar", "var", Fraction(1000))
    VA = ("VA", "VA", Fraction(1))
    KVA = ("kVA", "VA", Fraction(1000))
    VAH = ("VAh", "VAh", Fraction(1))
    KVAH = ("kVAh", "VAh", Fraction(1000))
    MV = ("mV", "mV", Fraction(1))
    V = ("V", "mV", Fraction(1000))
    MA = ("mA", "mA", Fraction(1))
    A = ("A", "mA", Fraction(1000))
    MHZ = ("mHz", "mHz", Fraction(1))
    HZ = ("Hz", "mHz", Fraction(1000))
    ML_PER_H = ("mL/h", "mL/h", Fraction(1))
    LITRE_PER_H = ("L/h", "mL/h", Fraction(1000))
    M3_PER_H = ("m3/h", "mL/h", Fraction(1_000_000))
    MDEG_C = ("m°C", "m°C", Fraction(1))
    DEG_C = ("°C", "m°C", Fraction(1000))
    S = ("s", "s", Fraction(1))
    H = ("h", "s", Fraction(3600))
    PER_MILLE = ("1/1000", "1/1000", Fraction(1))
    ONE = ("1", "1/1000", Fraction(1000))

    def __init__(self, symbol: str, base_symbol: str, factor: Fraction) -> None:
        self.symbol = symbol
        self.base_symbol = base_symbol
        self.factor = factor

    @classmethod
    def from_symbol(cls, symbol: str) -> Unit:
        """Find the unit written as `symbol` (`kWh`, `m3`, ...); raises MeteringError for an unknown one."""
        for unit in cls:
            if unit.symbol == symbol:
                return unit
        known = ", ".join(unit.symbol for unit in cls)
        raise MeteringError(f"unknown unit {symbol!r}; known: {known}")


@dataclass(frozen=True, slots=True)
class Shown:
    """A value as the meter showed it: `mantissa` x 10^`exponent` in `unit`."""

    mantissa: int
    exponent: int
    unit: Unit

    def to_base(self) -> int:
        """Convert to integer base units [Wh, varh, VAh, mL, kJ, W, var, VA, mV, mA, mHz, mL/h, m°C, s, 1/1000].

        Raises QuantityNotExact if the value is finer than one base unit; nothing is rounded here.
        """
        exact = self.mantissa * Fraction(10) ** self.exponent * self.unit.factor
        if exact.denominator != 1:
            raise QuantityNotExact(f"{self} is not a whole number of {self.unit.base_symbol}")
        return exact.numerator

    def __str__(self) -> str:
        if self.exponent >= 0:
            return f"{self.mantissa * 10**self.exponent} {self.unit.symbol}"
        sign = "-" if self.mantissa < 0 else ""
        digits = str(abs(self.mantissa)).rjust(1 - self.exponent, "0")
        return f"{sign}{digits[: self.exponent]}.{digits[self.exponent :]} {self.unit.symbol}"
