"""Unit octets of CJ/T 188 (2004, table of units), as exact factors to base units.

One octet serves heat, cooling and electricity: kWh is kWh, whatever flows. The base unit of the channel says which.
"""

from __future__ import annotations

from fractions import Fraction

_JOULE = {
    0x01: ("J", Fraction(1)),
    0x02: ("Wh", Fraction(3600)),
    0x05: ("kWh", Fraction(3_600_000)),
    0x08: ("MWh", Fraction(3_600_000_000)),
    0x0A: ("MWh x 100", Fraction(360_000_000_000)),
    0x0B: ("kJ", Fraction(1000)),
    0x0E: ("MJ", Fraction(10**6)),
    0x11: ("GJ", Fraction(10**9)),
    0x13: ("GJ x 100", Fraction(10**11)),
}
_WATT = {0x14: ("W", Fraction(1)), 0x17: ("kW", Fraction(1000)), 0x1A: ("MW", Fraction(10**6))}
_LITRE = {0x29: ("L", Fraction(1)), 0x2C: ("m3", Fraction(1000))}
_LITRE_PER_H = {0x32: ("L/h", Fraction(1)), 0x35: ("m3/h", Fraction(1000))}
_BASES = {
    "kJ": (_JOULE, Fraction(1, 1000)),
    "Wh": (_JOULE, Fraction(1, 3600)),
    "W": (_WATT, Fraction(1)),
    "mL": (_LITRE, Fraction(1000)),
    "mL/h": (_LITRE_PER_H, Fraction(1000)),
}
_TOLD = {code: symbol for table, _ in _BASES.values() for code, (symbol, _factor) in table.items()}


def factor_of(code: int, base_symbol: str) -> Fraction | None:
    """Give how many of the base unit `base_symbol` one of unit octet `code` is; None when it is of another kind."""
    table, in_base = _BASES.get(base_symbol, ({}, Fraction(1)))
    return table[code][1] * in_base if code in table else None


def unit_told(code: int) -> str:
    """Name a unit octet for a person."""
    return f"{_TOLD[code]} ({code:#04x})" if code in _TOLD else f"an unknown unit ({code:#04x})"
