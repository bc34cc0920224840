"""Holidays, worked weekends and seasons by kind of day, with the shipped calendar of China."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from allocation_engine.calendar_days import HolidayCalendar, plain_kinds
from allocation_engine.errors import TariffIncomplete
from allocation_engine.rule_table import RuleTable
from allocation_engine.tables_file import Tables, read_calendar, shipped_tables
from allocation_engine.tariff import Season, Tariff, TariffVersion, matching_seasons
from metering.errors import Fault
from metering.interval import SiteCalendar
from metering.toml_source import TomlSource

ALL_YEAR = tuple(range(1, 13))


@pytest.fixture(scope="module")
def china() -> HolidayCalendar:
    """The shipped holidays."""
    faults: list[Fault] = []
    owner = RuleTable(TomlSource("-", {}, {}), (), {"calendar": "holidays-cn"}, faults)
    opened = Tables(Path("/nowhere"), {}, faults).open(owner, "calendar")
    assert opened is not None
    calendar = read_calendar(opened)
    assert faults == []
    return calendar


@pytest.mark.parametrize(
    ("day", "kinds"),
    [
        (date(2026, 2, 17), ("spring-festival", "holiday", "weekend")),
        (date(2025, 1, 29), ("spring-festival", "holiday", "weekend")),
        (date(2024, 2, 10), ("spring-festival", "holiday", "weekend")),
        (date(2026, 2, 14), ("workday",)),
        (date(2026, 2, 28), ("workday",)),
        (date(2026, 6, 19), ("dragon-boat", "holiday", "weekend")),
        (date(2026, 9, 25), ("mid-autumn", "holiday", "weekend")),
        (date(2026, 10, 1), ("national-day", "holiday", "weekend")),
        (date(2026, 10, 10), ("workday",)),
        (date(2026, 7, 1), ("wed", "workday")),
        (date(2026, 7, 4), ("sat", "weekend")),
    ],
)
def test_the_shipped_calendar_knows_lunar_holidays_and_worked_weekends(
    china: HolidayCalendar, day: date, kinds: tuple[str, ...]
) -> None:
    assert china.kinds(day) == kinds


@pytest.mark.parametrize(("year", "holidays", "workdays"), [(2024, 28, 8), (2025, 28, 5), (2026, 33, 6)])
def test_each_year_has_as_many_days_as_its_notice(
    china: HolidayCalendar, year: int, holidays: int, workdays: int
) -> None:
    assert sum(day.year == year for day, _ in china.holidays) == holidays
    assert sum(day.year == year for day in china.workdays) == workdays


def test_every_worked_day_is_a_weekend_by_the_week(china: HolidayCalendar) -> None:
    assert all(plain_kinds(day)[1] == "weekend" for day in china.workdays)


def test_a_year_the_calendar_does_not_know_is_refused(china: HolidayCalendar) -> None:
    with pytest.raises(TariffIncomplete, match="holidays-cn knows no holidays of 2031; it knows 2024, 2025, 2026"):
        china.kinds(date(2031, 1, 1))


def season(name: str, *days: str, months: tuple[int, ...] = ALL_YEAR) -> Season:
    """A season of one band."""
    return Season(months, (name,) * 48, tuple(days))


SEASONS = (
    season("every"),
    season("rest", "weekend"),
    season("free", "holiday"),
    season("festival", "spring-festival", months=(1, 2)),
    season("friday", "fri"),
)


@pytest.mark.parametrize(
    ("kinds", "name"),
    [
        (("spring-festival", "holiday", "weekend"), "festival"),
        (("qingming", "holiday", "weekend"), "free"),
        (("sat", "weekend"), "rest"),
        (("fri", "workday"), "friday"),
        (("workday",), "every"),
    ],
)
def test_the_most_particular_season_wins(kinds: tuple[str, ...], name: str) -> None:
    (found,) = matching_seasons(SEASONS, 2, 10, kinds)
    assert found.schedule[0] == name


def test_a_holiday_counts_as_weekend_where_no_season_names_holidays() -> None:
    (found,) = matching_seasons(SEASONS[:2], 2, 10, ("spring-festival", "holiday", "weekend"))
    assert found.schedule[0] == "rest"


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        (((7, 15), (8, 31)), [(7, 15), (8, 1), (8, 31)], [(7, 14), (9, 1)]),
        (((11, 15), (3, 15)), [(11, 15), (12, 31), (1, 1), (3, 15)], [(11, 14), (3, 16)]),
    ],
)
def test_a_season_may_begin_and_end_on_any_day(
    span: tuple[tuple[int, int], tuple[int, int]], inside: list[tuple[int, int]], outside: list[tuple[int, int]]
) -> None:
    one = Season((), ("flat",) * 48, (), span)
    assert all(one.holds_in(*day) for day in inside)
    assert not any(one.holds_in(*day) for day in outside)


def test_a_tariff_prices_the_spring_festival_by_its_calendar(china: HolidayCalendar) -> None:
    rates = tuple((one.schedule[0], price) for price, one in enumerate(SEASONS, 1))
    tariff = Tariff("CNY", (TariffVersion("v-1", date(2026, 1, 1), None, rates, SEASONS),), calendar=china)
    shanghai = SiteCalendar("Asia/Shanghai")
    priced = tariff.price(shanghai, shanghai.period("2026-02-13--2026-02-16"))
    by_day = [priced.bands[priced.band_of_slot[96 * day]].name for day in range(4)]
    assert by_day == ["friday", "every", "festival", "festival"]


def test_a_band_of_hours_outside_the_period_is_not_listed() -> None:
    schedule = ("day",) * 24 + ("night",) * 24
    version = TariffVersion("v-1", date(2026, 1, 1), None, (("day", 2), ("night", 1)), (Season(ALL_YEAR, schedule),))
    shanghai = SiteCalendar("Asia/Shanghai")
    whole = shanghai.day(date(2026, 7, 1))
    morning = type(whole)(whole.start, whole.start + (whole.end - whole.start) / 4)
    assert [band.name for band in Tariff("CNY", (version,)).price(shanghai, morning).bands] == ["day"]


def test_shipped_tables_are_named() -> None:
    assert {"holidays-cn", "power-factor-1983", "resale-caps-cn"} <= set(shipped_tables())


@pytest.mark.parametrize("wrong", ['"2026"', "2026.0", "true", "[2026]"])
def test_a_year_that_is_no_year_is_one_mistake_and_spoils_nothing_else(wrong: str) -> None:
    text = f"""\
id = "own"

[[years]]
year = {wrong}
source = "notice"
workdays = [2026-02-14]

[[years.holidays]]
id = "spring"
names = {{ zh = "春节", en = "Spring" }}
first = 2026-02-15
last = 2026-02-23
"""
    faults: list[Fault] = []
    source = TomlSource.parse(text, "own.toml")
    read_calendar(RuleTable(source, (), source.content, faults))
    assert [(one.line, one.problem[:7]) for one in faults] == [(4, "year is")]


def test_holidays_are_still_checked_under_a_year_that_is_no_year() -> None:
    text = 'id = "own"\n[[years]]\nyear = "x"\nsource = "n"\n[[years.holidays]]\nid = "a"\nfirst = 2026-02-15\n'
    source, faults = TomlSource.parse(text + "last = 2026-02-14\n", "own.toml"), list[Fault]()
    read_calendar(RuleTable(source, (), source.content, faults))
    told = [(one.line, one.problem) for one in faults]
    assert [line for line, _ in told] == [3, 5, 7]
    assert told[2][1] == "2026-02-15 to 2026-02-14 are no days"
