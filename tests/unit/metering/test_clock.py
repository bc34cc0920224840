"""Clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from metering.clock import ClockQuality, ManualClock, SystemClock

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(NOON)
    assert clock.now() == clock.now() == NOON
    clock.sleep(1.5)
    assert clock.now() == NOON + timedelta(seconds=1.5)


def test_a_manual_clock_never_goes_back() -> None:
    clock = ManualClock(NOON)
    clock.sleep_until(NOON - timedelta(hours=1))
    assert clock.now() == NOON
    clock.sleep_until(NOON + timedelta(hours=1))
    assert clock.now() == NOON + timedelta(hours=1)
    assert clock.state().quality is ClockQuality.SYNCHRONISED


def test_the_system_clock_is_aware_and_claims_no_more_than_an_estimate() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.state().quality is ClockQuality.ESTIMATED
    clock.sleep(0)
    clock.sleep_until(clock.now() - timedelta(seconds=1))


def test_sleeping_until_an_instant_ends_no_earlier() -> None:
    clock = SystemClock()
    target = clock.now() + timedelta(milliseconds=5)
    clock.sleep_until(target)
    assert clock.now() >= target
