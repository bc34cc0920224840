"""Half-open UTC intervals and the site calendar, with both days on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.interval import (
    SLOT,
    CalendarInvalid,
    Interval,
    IntervalInvalid,
    SiteCalendar,
    floor_to_mark,
)

SHANGHAI = SiteCalendar("Asia/Shanghai")
LOS_ANGELES = SiteCalendar("America/Los_Angeles")
instants = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))


def test_an_interval_holds_its_start_and_not_its_end() -> None:
    hour = Interval(datetime(2026, 7, 1, 0, tzinfo=UTC), datetime(2026, 7, 1, 1, tzinfo=UTC))
    assert hour.start in hour
    assert hour.end not in hour


def test_a_naive_end_is_refused() -> None:
    with pytest.raises(IntervalInvalid, match="time zone"):
        Interval(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 2))


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(IntervalInvalid, match="not after"):
        Interval(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))


def test_an_interval_is_kept_in_utc() -> None:
    handover = datetime(2026, 7, 17, 14, tzinfo=SHANGHAI.tz)
    assert Interval(handover, handover + SLOT).start.isoformat() == "2026-07-17T06:00:00+00:00"


@given(instants, instants, instants, instants)
def test_intersection_is_what_lies_in_both(a: datetime, b: datetime, c: datetime, d: datetime) -> None:
    if a >= b or c >= d:
        return
    first, second = Interval(a, b), Interval(c, d)
    both = first.intersection(second)
    assert (both is None) == (not first.overlaps(second))
    if both is not None:
        assert both.start in first
        assert both.start in second
        assert both.duration <= min(first.duration, second.duration)


def test_touching_intervals_do_not_overlap() -> None:
    start = datetime(2026, 7, 1, tzinfo=UTC)
    assert Interval(start, start + SLOT).intersection(Interval(start + SLOT, start + 2 * SLOT)) is None


@pytest.mark.parametrize(
    ("calendar", "day", "slots"),
    [
        (SHANGHAI, date(2026, 3, 8), 96),
        (LOS_ANGELES, date(2026, 3, 8), 92),
        (LOS_ANGELES, date(2026, 3, 9), 96),
        (LOS_ANGELES, date(2026, 11, 1), 100),
        (SiteCalendar("Australia/Lord_Howe"), date(2026, 4, 5), 98),
    ],
)
def test_a_day_has_as_many_slots_as_its_clock(calendar: SiteCalendar, day: date, slots: int) -> None:
    assert calendar.slots_in_day(day) == slots


@given(st.dates(date(2020, 1, 1), date(2030, 12, 30)), st.sampled_from([SHANGHAI, LOS_ANGELES]))
def test_days_join_without_gap_or_overlap(day: date, calendar: SiteCalendar) -> None:
    assert calendar.day(day).end == calendar.day(day + timedelta(days=1)).start


def test_a_month_of_local_time_has_the_slots_of_its_days() -> None:
    july = SHANGHAI.month("2026-07")
    assert july.start.isoformat() == "2026-06-30T16:00:00+00:00"
    assert july.slot_count == 31 * 96
    assert LOS_ANGELES.month("2026-03").slot_count == 31 * 96 - 4
    assert LOS_ANGELES.month("2026-12").end == LOS_ANGELES.midnight(date(2027, 1, 1))


@pytest.mark.parametrize("period", ["2026-13", "2026", "July", "2026-7", ""])
def test_text_that_is_no_month_is_refused(period: str) -> None:
    with pytest.raises(CalendarInvalid, match="YYYY-MM"):
        SHANGHAI.month(period)


def test_a_period_is_a_month_or_a_span_of_days_with_both_ends() -> None:
    assert SHANGHAI.period("2026-07") == SHANGHAI.month("2026-07")
    days = SHANGHAI.period("2026-07-01--2026-07-03")
    assert (days.start, days.slot_count) == (SHANGHAI.month("2026-07").start, 3 * 96)
    assert SHANGHAI.period("2026-07-05--2026-07-05") == SHANGHAI.day(date(2026, 7, 5))


@pytest.mark.parametrize("label", ["2026-07-01--", "--", "2026-07-03--2026-07-01", "2026-07-01--2026-07-32", "a--b"])
def test_a_period_that_is_no_span_of_days_is_refused(label: str) -> None:
    with pytest.raises(CalendarInvalid, match="YYYY-MM-DD--YYYY-MM-DD"):
        SHANGHAI.period(label)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(CalendarInvalid, match="IANA"):
        SiteCalendar(zone)


def test_a_slot_beyond_a_short_day_is_refused() -> None:
    assert LOS_ANGELES.slot(date(2026, 3, 8), 91).end == LOS_ANGELES.midnight(date(2026, 3, 9))
    with pytest.raises(CalendarInvalid, match="no slot 92"):
        LOS_ANGELES.slot(date(2026, 3, 8), 92)


def test_marks_hold_both_ends() -> None:
    day = SHANGHAI.day(date(2026, 7, 1))
    marks = list(day.marks())
    assert (marks[0], marks[-1], len(marks)) == (day.start, day.end, 97)


def test_days_of_an_interval_are_those_it_touches() -> None:
    july = SHANGHAI.month("2026-07")
    assert SHANGHAI.days(july)[0] == date(2026, 7, 1)
    assert SHANGHAI.days(july)[-1] == date(2026, 7, 31)


@given(instants)
def test_the_mark_of_an_instant_is_the_quarter_hour_before(instant: datetime) -> None:
    mark = floor_to_mark(instant)
    assert timedelta(0) <= instant - mark < SLOT
    assert mark.minute % 15 == mark.second == mark.microsecond == 0
