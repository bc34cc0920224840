"""Prices by version, season and half-hour of local time, clock changes included."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from allocation_engine.errors import TariffIncomplete
from allocation_engine.tariff import Season, Tariff, TariffVersion
from metering.interval import Interval, SiteCalendar

SHANGHAI = SiteCalendar("Asia/Shanghai")
DAY_AND_NIGHT = ("night",) * 14 + ("day",) * 30 + ("night",) * 4
ALL_YEAR = tuple(range(1, 13))


def version(identifier: str = "v-1", **changes: object) -> TariffVersion:
    """A version with a day band from 07:00 to 22:00."""
    fields: dict[str, object] = {
        "id": identifier,
        "valid_from": date(2026, 1, 1),
        "valid_to": None,
        "rates": (("day", 900_000), ("night", 300_000)),
        "seasons": (Season(ALL_YEAR, DAY_AND_NIGHT),),
    }
    return TariffVersion(**{**fields, **changes})  # type: ignore[arg-type]


def local_day(calendar: SiteCalendar, day: date) -> Interval:
    """One local day."""
    return calendar.day(day)


def names(tariff: Tariff, calendar: SiteCalendar, period: Interval) -> list[str]:
    """The band of each slot, in words."""
    priced = tariff.price(calendar, period)
    return [priced.bands[band].name for band in priced.band_of_slot]


def test_a_band_over_midnight_holds_on_both_sides() -> None:
    slots = names(Tariff("CNY", (version(),)), SHANGHAI, local_day(SHANGHAI, date(2026, 7, 1)))
    assert slots == ["night"] * 28 + ["day"] * 60 + ["night"] * 8


def test_a_half_hour_is_two_slots() -> None:
    schedule = ("flat", "sharp") + ("flat",) * 46
    one = version(rates=(("flat", 1), ("sharp", 2)), seasons=(Season(ALL_YEAR, schedule),))
    slots = names(Tariff("CNY", (one,)), SHANGHAI, local_day(SHANGHAI, date(2026, 7, 1)))
    assert slots[:6] == ["flat", "flat", "sharp", "sharp", "flat", "flat"]


def test_bands_come_in_order_of_first_use_with_their_rates() -> None:
    priced = Tariff("CNY", (version(),)).price(SHANGHAI, local_day(SHANGHAI, date(2026, 7, 1)))
    assert [(band.name, band.rate_micro) for band in priced.bands] == [("night", 300_000), ("day", 900_000)]
    assert priced.changes() == (0, 28, 88)


def test_a_season_holds_in_its_months() -> None:
    summer = Season((7,), ("day",) * 48)
    rest = Season(tuple(month for month in ALL_YEAR if month != 7), ("night",) * 48)
    tariff = Tariff("CNY", (version(seasons=(summer, rest)),))
    period = Interval(SHANGHAI.midnight(date(2026, 7, 31)), SHANGHAI.midnight(date(2026, 8, 2)))
    assert names(tariff, SHANGHAI, period) == ["day"] * 96 + ["night"] * 96


def test_a_price_change_inside_the_period_makes_other_bands_of_the_same_name() -> None:
    old = version("v-1", valid_to=date(2026, 7, 2))
    new = version("v-2", valid_from=date(2026, 7, 2), rates=(("day", 950_000), ("night", 310_000)))
    period = Interval(SHANGHAI.midnight(date(2026, 7, 1)), SHANGHAI.midnight(date(2026, 7, 3)))
    priced = Tariff("CNY", (old, new)).price(SHANGHAI, period)
    assert [(band.version, band.name) for band in priced.bands] == [
        ("v-1", "night"),
        ("v-1", "day"),
        ("v-2", "night"),
        ("v-2", "day"),
    ]
    assert priced.bands[priced.band_of_slot[95]].version == "v-1"
    assert priced.bands[priced.band_of_slot[96]].version == "v-2"


@pytest.mark.parametrize(("day", "night_slots"), [(date(2026, 3, 29), 32), (date(2026, 10, 25), 40)])
def test_on_days_when_clocks_change_bands_follow_the_clock_on_the_wall(day: date, night_slots: int) -> None:
    berlin = SiteCalendar("Europe/Berlin")
    slots = names(Tariff("EUR", (version(),)), berlin, berlin.day(day))
    assert slots.count("day") == 60
    assert slots.count("night") == night_slots


def test_a_day_without_a_version_is_refused() -> None:
    tariff = Tariff("CNY", (version(valid_to=date(2026, 7, 2)),))
    start = datetime(2026, 7, 1, 15, 0, tzinfo=UTC)
    with pytest.raises(TariffIncomplete, match="no tariff version holds on 2026-07-02"):
        tariff.price(SHANGHAI, Interval(start, start + timedelta(hours=4)))


def test_a_month_without_a_season_is_refused() -> None:
    tariff = Tariff("CNY", (version(seasons=(Season((1,), DAY_AND_NIGHT),)),))
    with pytest.raises(TariffIncomplete, match="no season for month 7"):
        tariff.price(SHANGHAI, local_day(SHANGHAI, date(2026, 7, 1)))
