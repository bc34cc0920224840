"""Money as integers: minor units (fen, cents) on lines, nano-units before the one rounding.

A rate in 10^-6 currency units per kWh times an energy in Wh is an exact integer of 10^-9 currency units. It is rounded
once, where it becomes an amount on a line or the cost of a pool.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from metering.errors import MeteringError

MINOR_DIGITS = {"CNY": 2, "USD": 2, "EUR": 2, "GBP": 2, "HKD": 2, "JPY": 0, "KRW": 0}
"""Decimal digits of the minor unit (ISO 4217) of the currencies this engine rounds for."""
_NANO_DIGITS = 9
_RATE_DIGITS = 6


class CurrencyUnknown(MeteringError):
    """The currency is not in the table above, so nobody said how to round it."""


class RateInvalid(MeteringError):
    """A rate is not plain decimal text with at most six decimals."""


def minor_digits(currency: str) -> int:
    """Number of decimals of `currency`; raises CurrencyUnknown."""
    if currency not in MINOR_DIGITS:
        raise CurrencyUnknown(f"currency {currency!r} is not known; known: {', '.join(sorted(MINOR_DIGITS))}")
    return MINOR_DIGITS[currency]


def to_minor(nano: int, currency: str) -> int:
    """Round `nano` [10^-9 currency units] to minor units, half away from zero."""
    return divide(nano, nano_per_minor(currency))


def nano_per_minor(currency: str) -> int:
    """How many 10^-9 currency units are one minor unit."""
    return int(10 ** (_NANO_DIGITS - minor_digits(currency)))


def divide(numerator: int, denominator: int) -> int:
    """Divide by a positive `denominator` and round half away from zero."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def parse_rate(text: str) -> int:
    """Read `0.6238` (currency units per kWh) as 623800 [10^-6 currency units per kWh]; raises RateInvalid."""
    try:
        micro = Decimal(text).scaleb(_RATE_DIGITS)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise RateInvalid(f"{text!r} is not a decimal number") from error
    if not micro.is_finite() or micro != micro.to_integral_value() or abs(micro) > 10**12:
        raise RateInvalid(f"{text!r} must be below a million and have at most {_RATE_DIGITS} decimals")
    return int(micro)


def show_minor(amount_minor: int, currency: str) -> str:
    """Write an amount of minor units as `1234.56`."""
    digits = minor_digits(currency)
    sign = "-" if amount_minor < 0 else ""
    text = str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def show_kwh(energy_wh: int) -> str:
    """Write an energy of watt-hours as `1234.567` kWh."""
    sign = "-" if energy_wh < 0 else ""
    return f"{sign}{abs(energy_wh) // 1000}.{abs(energy_wh) % 1000:03d}"
