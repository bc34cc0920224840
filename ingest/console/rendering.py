"""Numbers and times as people read them. Exact: integers are cut into digits, never divided as floats."""

from __future__ import annotations

from datetime import datetime

from allocation_engine.money import minor_digits
from metering.interval import SiteCalendar

_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def grouped(number: int, decimals: int) -> str:
    """Write `number` x 10^-`decimals` with thousands separators and a real minus sign."""
    digits = str(abs(number)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    text = f"{int(whole):,}" + (f".{fraction}" if fraction else "")
    return f"−{text}" if number < 0 else text


def kwh(energy_wh: int) -> str:
    """Write an energy [Wh] in kWh with all its three decimals."""
    return grouped(energy_wh, 3)


def kwh_short(energy_wh: int) -> str:
    """Write an energy [Wh] in kWh to one decimal, half up."""
    rounded = (abs(energy_wh) + 50) // 100
    return grouped(-rounded if energy_wh < 0 else rounded, 1)


def money(amount_minor: int, currency: str) -> str:
    """Write an amount in minor units (fen, cents) with the sign of its currency (ISO 4217)."""
    text = grouped(amount_minor, minor_digits(currency))
    sign = _SIGNS.get(currency, currency + " ")
    return f"−{sign}{text[1:]}" if amount_minor < 0 else f"{sign}{text}"


def percent(part: int, whole: int) -> str:
    """Write part / whole in percent to two decimals, half up; a dash where `whole` is 0."""
    if whole == 0:
        return "–"
    hundredths = (abs(part) * 20_000 + abs(whole)) // (2 * abs(whole))
    negative = (part < 0) != (whole < 0) and hundredths != 0
    return grouped(-hundredths if negative else hundredths, 2) + " %"


def area_m2(area_cm2: int) -> str:
    """Write an area [cm2] in square metres to two decimals (areas are entered so)."""
    return grouped(area_cm2 // 100, 2)


def local_time(instant: datetime, calendar: SiteCalendar) -> str:
    """Write an instant in the site's local time, to the minute."""
    return calendar.local(instant).strftime("%Y-%m-%d %H:%M")
