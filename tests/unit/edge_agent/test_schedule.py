"""Marks and spans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.profile import Protocol
from edge_agent.schedule import IntervalUnfit, check_every, fitted_at, next_mark
from metering.identity import MeterId, PortId
from provisioning.gateway_config import FittedMeter
from provisioning.site import Span

QUARTER = timedelta(minutes=15)
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_an_instant_that_is_a_mark_is_the_next_mark() -> None:
    assert next_mark(NOON, None, QUARTER) == NOON


def test_a_moment_later_the_next_mark_is_a_quarter_hour_away() -> None:
    assert next_mark(NOON + timedelta(microseconds=1), None, QUARTER) == NOON + QUARTER


def test_a_mark_that_is_in_the_outbox_is_not_read_again() -> None:
    assert next_mark(NOON, NOON, QUARTER) == NOON + QUARTER


def test_a_clock_set_back_does_not_read_earlier_marks_again() -> None:
    assert next_mark(NOON - timedelta(hours=3), NOON, QUARTER) == NOON + QUARTER


def test_marks_that_passed_while_the_gateway_was_off_are_not_made_up() -> None:
    assert next_mark(NOON + timedelta(hours=2, seconds=1), NOON, QUARTER) == NOON + timedelta(hours=2, minutes=15)


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([1, 5, 60, 300, 900]),
)
def test_the_next_mark_is_the_first_multiple_at_or_after_now(now: datetime, every_s: int) -> None:
    mark = next_mark(now, None, timedelta(seconds=every_s))
    assert now <= mark < now + timedelta(seconds=every_s)
    assert int(mark.timestamp()) % every_s == 0
    assert mark.microsecond == 0


@pytest.mark.parametrize("every_s", [0, -900, 7, 901, 1800])
def test_an_interval_that_misses_quarter_hours_is_refused(every_s: int) -> None:
    with pytest.raises(IntervalUnfit, match="divisor of 900"):
        check_every(every_s)


def test_a_divisor_of_a_quarter_hour_is_allowed() -> None:
    assert check_every(300) == timedelta(minutes=5)


def fitted(name: str, span: Span) -> FittedMeter:
    """A meter with a span."""
    return FittedMeter(MeterId(name), PortId("line-a"), "chint/dtsu666", Protocol.MODBUS_RTU, "1", span)


def test_a_meter_is_read_from_its_start_until_before_its_end() -> None:
    old, new = fitted("old", Span(None, NOON)), fitted("new", Span(NOON, None))
    assert fitted_at([old, new], NOON - QUARTER) == [old]
    assert fitted_at([old, new], NOON) == [new]
