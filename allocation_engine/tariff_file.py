"""The form of `tariff.toml`: versions with rates, and per season the hours of each band."""

from __future__ import annotations

import re

from allocation_engine.money import MINOR_DIGITS, RateInvalid, parse_rate
from allocation_engine.rule_table import RuleTable, nearest
from allocation_engine.tariff import HALF_HOURS, Season, Tariff, TariffVersion

_HOURS = re.compile(r"([01]\d|2[0-4]):([03]0)-([01]\d|2[0-4]):([03]0)\Z")
_MONTHS = range(1, 13)


def read_tariff(root: RuleTable, site_currency: str) -> Tariff:
    """Read the whole file; mistakes go to the faults of `root`."""
    currency = root.text("currency")
    if currency and currency not in MINOR_DIGITS:
        root.fault("currency", f"unknown currency {currency!r}", nearest(currency, MINOR_DIGITS))
    elif currency and currency != site_currency:
        root.fault("currency", f"the site counts in {site_currency}, the tariff in {currency}", "make them agree")
    versions: list[TariffVersion] = []
    for table in root.tables("versions"):
        version = _version(table)
        for earlier in versions:
            if _overlap(earlier, version):
                table.fault("from", f"versions {earlier.id} and {version.id} overlap", "end the earlier one with `to`")
        versions.append(version)
    return Tariff(currency, tuple(versions))


def _version(table: RuleTable) -> TariffVersion:
    rates = table.table("rates")
    micro: dict[str, int] = {}
    for band in rates.keys:
        try:
            micro[band] = parse_rate(rates.text(band))
        except RateInvalid as error:
            rates.fault(band, str(error), 'write currency units per kWh as text, such as "0.6238"')
    version = TariffVersion(
        id=table.identifier("id"),
        valid_from=table.day("from"),
        valid_to=table.optional_day("to"),
        rates=tuple(sorted(micro.items())),
        seasons=tuple(_season(season, set(rates.keys)) for season in table.tables("seasons")),
    )
    if version.valid_to is not None and version.valid_to <= version.valid_from:
        table.fault(
            "to", "the end is not after the start", "`to` is the first day on which the version no longer holds"
        )
    months = [month for season in version.seasons for month in season.months]
    for month in _MONTHS:
        if months.count(month) != 1:
            problem = f"month {month} is in {months.count(month)} seasons"
            table.fault("seasons", problem, "put each month into exactly one season")
    return version


def _season(table: RuleTable, bands: set[str]) -> Season:
    months = table.raw("months")
    if (
        not isinstance(months, list)
        or not months
        or any(type(month) is not int or month not in _MONTHS for month in months)
    ):
        table.fault("months", f"months is {months!r}", "list months as numbers 1 to 12")
        months = []
    schedule: list[str | None] = [None] * HALF_HOURS
    for band in table.keys:
        if band == "months":
            continue
        hours = table.raw(band)
        if band not in bands:
            table.fault(band, f"band {band!r} has no rate", nearest(band, bands))
        for span in hours if isinstance(hours, list) else [hours]:
            for half_hour in _half_hours(table, band, span):
                if schedule[half_hour] is not None:
                    problem = f"{_clock(half_hour)} is in {schedule[half_hour]} and in {band}"
                    table.fault(band, problem, "give each half-hour to one band")
                schedule[half_hour] = band
    holes = [half_hour for half_hour in range(HALF_HOURS) if schedule[half_hour] is None]
    if holes:
        table.fault("", f"no band holds at {_clock(holes[0])}", "give each half-hour to one band")
    return Season(tuple(months), tuple(band or "" for band in schedule))


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
