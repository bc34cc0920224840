"""The form of a tariff: versions with rates and tiers, and per season the hours of each band on which days."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from fractions import Fraction

from allocation_engine.calendar_days import HOLIDAY, WEEKDAYS, WEEKEND, WORKDAY, HolidayCalendar
from allocation_engine.media import GAS_ENERGY_UNIT, Medium, gas_energy_unit
from allocation_engine.money import MINOR_DIGITS, RateInvalid, parse_rate
from allocation_engine.rule_table import RuleTable, nearest
from allocation_engine.tables_file import Tables, read_calendar
from allocation_engine.tariff import (
    HALF_HOURS,
    MAIN_TARIFF,
    MonthDay,
    Season,
    Tariff,
    TariffVersion,
    matching_seasons,
)
from allocation_engine.tiers import TierLimits, Tiers, TierSpan

_HOURS = re.compile(r"([01]\d|2[0-4]):([03]0)-([01]\d|2[0-4]):([03]0)\Z")
_LEAP_YEAR = 2024
"""A year in which every day of every year stands."""
_MONTHS = range(1, 13)
_SEASON_KEYS = ("months", "days", "span")
_SCALE_DIGITS = 6


def read_currency(root: RuleTable, site_currency: str) -> str:
    """Read the currency of all prices; mistakes go to the faults of `root`."""
    currency = root.text("currency")
    if currency and currency not in MINOR_DIGITS:
        root.fault("currency", f"unknown currency {currency!r}", nearest(currency, MINOR_DIGITS))
    elif currency and currency != site_currency:
        root.fault("currency", f"the site counts in {site_currency}, the tariff in {currency}", "make them agree")
    return currency


def read_main_tariff(root: RuleTable, currency: str, tables: Tables) -> Tariff:
    """Read the tariff of the site's electricity supply: the versions at the root of the file."""
    calendar = _calendar(root, tables)
    versions = _versions(root, Medium.ELECTRICITY, "kWh", calendar)
    return Tariff(currency, versions, MAIN_TARIFF, Medium.ELECTRICITY, "kWh", calendar)


def read_other_tariff(table: RuleTable, currency: str, tables: Tables) -> Tariff:
    """Read one of `[[tariffs]]`: water, gas, heat, or another price list of electricity."""
    medium = table.choice("medium", Medium)
    per = table.text("per")
    units = [*medium.billing_units, *([GAS_ENERGY_UNIT] if medium is Medium.GAS else [])]
    if per and per not in units:
        table.fault("per", f"{medium} is not billed per {per!r}", f"known: {', '.join(units)}")
        per = units[0]
    calendar = _calendar(table, tables)
    versions = _versions(table, medium, per, calendar)
    return Tariff(currency, versions, table.identifier("id"), medium, per, calendar)


def _calendar(table: RuleTable, tables: Tables) -> HolidayCalendar | None:
    if not table.has("calendar"):
        return None
    named = tables.open(table, "calendar")
    return None if named is None else read_calendar(named)


def _versions(
    table: RuleTable, medium: Medium, per: str, calendar: HolidayCalendar | None
) -> tuple[TariffVersion, ...]:
    versions: list[TariffVersion] = []
    for one in table.tables("versions"):
        version = _version(one, medium, per, calendar)
        for earlier in versions:
            if _overlap(earlier, version):
                one.fault("from", f"versions {earlier.id} and {version.id} overlap", "end the earlier one with `to`")
        versions.append(version)
    return tuple(versions)


def _version(table: RuleTable, medium: Medium, per: str, calendar: HolidayCalendar | None) -> TariffVersion:
    rates = table.table("rates")
    micro = {band: _rate(rates, band) for band in rates.keys}
    kinds = {HOLIDAY, WEEKEND, WORKDAY, *WEEKDAYS} if calendar is None else _kinds(calendar)
    base_units = _base_units(table, medium, per)
    version = TariffVersion(
        id=table.identifier("id"),
        valid_from=table.day("from"),
        valid_to=table.optional_day("to"),
        rates=tuple(sorted(micro.items())),
        seasons=tuple(_season(season, set(rates.keys), kinds, calendar) for season in table.tables("seasons")),
        tiers=_tiers(table.table("tiers"), base_units) if table.has("tiers") else None,
        base_units=base_units,
    )
    if version.valid_to is not None and version.valid_to <= version.valid_from:
        table.fault(
            "to", "the end is not after the start", "`to` is the first day on which the version no longer holds"
        )
    for problem in _uncovered(version.seasons, calendar):
        table.fault("seasons", problem, "put each month into exactly one season")
    return version


def _rate(rates: RuleTable, band: str) -> int:
    try:
        return parse_rate(rates.text(band))
    except RateInvalid as error:
        rates.fault(band, str(error), 'write currency units per kWh as text, such as "0.6238"')
        return 0


def _base_units(table: RuleTable, medium: Medium, per: str) -> Fraction:
    if medium is Medium.GAS and per == GAS_ENERGY_UNIT:
        kwh_per_m3 = table.number("kwh_per_m3")
        if kwh_per_m3 <= 0:
            table.fault("kwh_per_m3", f"{kwh_per_m3} kWh per m3", "multiply condition number and calorific value")
            return Fraction(1)
        return gas_energy_unit(kwh_per_m3)
    return medium.billing_units.get(per, Fraction(1))


def _tiers(table: RuleTable, base_units: Fraction) -> Tiers:
    """Read `steps`: each but the last ends at `upto` billing units; each adds `add` to the rate."""
    upto: list[int] = []
    adds: list[int] = []
    written = table.raw("steps")
    count = len(written) if isinstance(written, list) else 0
    for number, step in enumerate(table.tables("steps"), 1):
        adds.append(_rate(step, "add"))
        if number < count:
            limit = step.scaled("upto", _SCALE_DIGITS) * base_units / 10**_SCALE_DIGITS
            if limit.denominator != 1 or limit <= (upto[-1] if upto else 0):
                step.fault("upto", f"{limit} does not rise above the step before", "let the limits rise")
            upto.append(int(limit))
    tiers = Tiers(table.choice("span", TierSpan), table.choice("limits", TierLimits), tuple(upto), tuple(adds))
    if tiers.span is TierSpan.YEAR and tiers.limits is TierLimits.OCCUPIED:
        table.fault("limits", "limits of a year do not shrink with occupied days", 'use limits = "whole"')
    table.close()
    return tiers


def _season(table: RuleTable, bands: set[str], kinds: Collection[str], calendar: HolidayCalendar | None) -> Season:
    span = _span(table) if table.has("span") else None
    months = [] if span is not None else _season_months(table)
    days = _days(table, kinds, calendar) if table.has("days") else ()
    schedule: list[str | None] = [None] * HALF_HOURS
    for band in table.keys:
        if band in _SEASON_KEYS:
            continue
        hours = table.raw(band)
        if band not in bands:
            table.fault(band, f"band {band!r} has no rate", nearest(band, bands))
        for span_text in hours if isinstance(hours, list) else [hours]:
            for half_hour in _half_hours(table, band, span_text):
                if schedule[half_hour] is not None:
                    problem = f"{_clock(half_hour)} is in {schedule[half_hour]} and in {band}"
                    table.fault(band, problem, "give each half-hour to one band")
                schedule[half_hour] = band
    holes = [half_hour for half_hour in range(HALF_HOURS) if schedule[half_hour] is None]
    if holes:
        table.fault("", f"no band holds at {_clock(holes[0])}", "give each half-hour to one band")
    return Season(tuple(months), tuple(band or "" for band in schedule), days, span)


def _season_months(table: RuleTable) -> list[int]:
    months = table.raw("months")
    if isinstance(months, list) and months and all(type(month) is int and month in _MONTHS for month in months):
        return months
    table.fault("months", f"months is {months!r}", "list months as numbers 1 to 12")
    return []


def _span(table: RuleTable) -> tuple[MonthDay, MonthDay] | None:
    """Read `span = ["07-15", "08-31"]`, both included."""
    content = table.raw("span")
    try:
        first, last = (date.fromisoformat(f"{_LEAP_YEAR}-{one}") for one in content)
        return (first.month, first.day), (last.month, last.day)
    except (TypeError, ValueError):
        table.fault(
            "span", f"span is {content!r}", 'write span = ["07-15", "08-31"]: first and last day, both included'
        )
    return None


def _day_after(day: MonthDay) -> MonthDay:
    following = date(_LEAP_YEAR, *day) + timedelta(days=1)
    return following.month, following.day


def _days(table: RuleTable, kinds: Collection[str], calendar: HolidayCalendar | None) -> tuple[str, ...]:
    days = table.ids("days", "kind of day", kinds)
    if calendar is None and HOLIDAY in days:
        table.fault("days", "nobody says which days are holidays", 'name a calendar: calendar = "holidays-cn"')
    return days


def _kinds(calendar: HolidayCalendar) -> set[str]:
    return {HOLIDAY, WEEKEND, WORKDAY, *WEEKDAYS, *calendar.names}


def _uncovered(seasons: Collection[Season], calendar: HolidayCalendar | None) -> Iterator[str]:
    """Name the months, or days and kinds of day, that are in no season or in several of the same right."""
    chains: list[tuple[str, ...]] = [(day, WEEKEND if day in ("sat", "sun") else WORKDAY) for day in WEEKDAYS]
    if calendar is not None:
        chains += [(WORKDAY,), *((name, HOLIDAY, WEEKEND) for name in sorted(calendar.names))]
    edges = {day for season in seasons if season.span is not None for day in season.span}
    days = sorted({(month, 1) for month in _MONTHS} | edges | {_day_after(day) for day in edges})
    told: set[str] = set()
    for month, day in days:
        for kinds in chains:
            matching = matching_seasons(seasons, month, day, kinds)
            found = sum(max(season.months.count(month), 1) for season in matching)
            is_plain = not edges and not any(season.days for season in seasons)
            place = f"month {month}" if is_plain else f"{month:02d}-{day:02d} ({kinds[0]})"
            if found != 1 and place not in told:
                told.add(place)
                yield f"{place} is in {found} seasons"
                break


def _half_hours(table: RuleTable, band: str, span: object) -> list[int]:
    """Give the half-hours of `22:00-06:00`; a span may pass midnight."""
    match = _HOURS.match(span) if isinstance(span, str) else None
    if match is None:
        table.fault(
            band, f"{span!r} are no hours", 'write half-hours such as "08:00-11:30"; "22:00-06:00" passes midnight'
        )
        return []
    first_hour, first_minute, end_hour, end_minute = (int(group) for group in match.groups())
    first, end = 2 * first_hour + first_minute // 30, 2 * end_hour + end_minute // 30
    if first >= HALF_HOURS or end > HALF_HOURS or first == end:
        table.fault(band, f"{span!r} are no hours", "a day has 00:00 to 24:00")
        return []
    return list(range(first, end)) if first < end else [*range(first, HALF_HOURS), *range(end)]


def _clock(half_hour: int) -> str:
    return f"{half_hour // 2:02d}:{half_hour % 2 * 30:02d}"


def _overlap(one: TariffVersion, other: TariffVersion) -> bool:
    return (other.valid_to is None or one.valid_from < other.valid_to) and (
        one.valid_to is None or other.valid_from < one.valid_to
    )
