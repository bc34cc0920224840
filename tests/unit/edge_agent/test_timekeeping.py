"""Which time it is: from the kernel, from receipts, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.timekeeping import AHEAD_MAX, BOOT_ZERO, FLOOR, HostTime, Timekeeper, Timing
from metering.clock import ClockQuality
from metering.identity import GatewayId
from metering.receipt import Receipt
from metering.report import TimeSource

BOOT = bytes(16)
BOOTED = datetime(2026, 7, 1, 8, tzinfo=UTC)
YESTERDAY = BOOTED - timedelta(days=1)
MS = timedelta(milliseconds=1)


def host(since_ms: int, *, off: timedelta = timedelta(0), error_ms: int | None = None) -> HostTime:
    """The machine at `since_ms` of its boot, its wall clock off by `off`, synchronised where an error is given."""
    return HostTime(BOOTED + since_ms * MS + off, since_ms, error_ms is not None, error_ms)


def keeper(known_at: datetime | None = YESTERDAY, *, undated: bool = False) -> Timekeeper:
    """A timekeeper of a boot."""
    return Timekeeper(boot=BOOT, known_at=known_at, undated_until_synchronised=undated)


def receipt(signed_ms: int, seq: int = 1, epoch: int = 1) -> Receipt:
    """A receipt signed at `signed_ms` of the boot."""
    return Receipt(GatewayId("gw-a"), epoch, seq, bytes(32), BOOTED + signed_ms * MS)


def shown(timing: Timing, since_ms: int) -> datetime:
    """What the clock shows."""
    return timing.zero + since_ms * MS


def test_a_synchronised_kernel_is_believed_with_its_bound() -> None:
    timing = keeper().judge(host(1000, off=timedelta(days=400), error_ms=12))
    assert timing.state.quality is ClockQuality.SYNCHRONISED
    assert timing.state.error_ms == 12
    assert timing.source is TimeSource.HOST


def test_a_clock_that_nobody_synchronised_has_no_bound() -> None:
    timing = keeper().judge(host(1000))
    assert timing.state.quality is ClockQuality.ESTIMATED
    assert timing.state.error_ms is None
    assert timing.source is None
    assert shown(timing, 1000) == BOOTED + 1000 * MS


def test_holdover_goes_by_the_time_since_boot_and_its_bound_grows() -> None:
    clock = keeper()
    clock.judge(host(0, error_ms=10))
    hour = 3_600_000
    timing = clock.judge(host(hour, off=timedelta(hours=5)))
    assert timing.state.quality is ClockQuality.ESTIMATED
    assert timing.state.error_ms == 10 + hour * 500 // 1_000_000
    assert shown(timing, hour) == BOOTED + hour * MS


def test_a_wall_clock_within_what_is_possible_is_kept_so_that_time_does_not_step() -> None:
    clock = keeper()
    clock.judge(host(0, error_ms=10))
    timing = clock.judge(host(3_600_000, off=timedelta(milliseconds=700)))
    assert shown(timing, 3_600_000) == BOOTED + 3_600_700 * MS
    assert timing.state.error_ms == 10 + 1800 + 700


@pytest.mark.parametrize("wall", [BOOT_ZERO, FLOOR - timedelta(days=1), YESTERDAY - timedelta(hours=1)])
def test_a_clock_before_what_was_known_is_not_believed(wall: datetime) -> None:
    timing = keeper().judge(HostTime(wall, 5000, False, None))
    assert timing.state.quality is ClockQuality.UNKNOWN
    assert not timing.is_dated
    assert shown(timing, 5000) == BOOT_ZERO + 5000 * MS


def test_a_clock_a_year_ahead_is_not_believed() -> None:
    assert not keeper().judge(host(0, off=timedelta(days=365))).is_dated
    assert keeper().judge(host(0, off=AHEAD_MAX - timedelta(days=2))).is_dated


def test_a_gateway_without_a_past_believes_any_clock_that_was_ever_set() -> None:
    assert keeper(None).judge(host(0)).is_dated
    assert not keeper(None).judge(HostTime(FLOOR - MS, 0, False, None)).is_dated


def test_a_clock_that_jumps_a_year_in_its_first_boot_is_believed_no_more() -> None:
    clock = keeper(None)
    assert clock.judge(host(0)).is_dated
    assert not clock.judge(host(900_000, off=timedelta(days=365))).is_dated
    assert clock.judge(host(1_800_000)).is_dated


def test_a_clock_that_was_an_hour_ahead_is_believed_when_it_is_back() -> None:
    clock = keeper()
    for since_ms, off_h in ((0, 1), (900_000, 0)):
        assert clock.judge(host(since_ms, off=timedelta(hours=off_h))).is_dated


def test_a_machine_without_a_battery_waits_for_a_synchronisation() -> None:
    clock = keeper(undated=True)
    assert not clock.judge(host(0)).is_dated
    assert clock.judge(host(1, error_ms=5)).is_dated
    assert clock.judge(host(2)).is_dated


def test_a_receipt_gives_the_time_between_sealing_and_its_arrival() -> None:
    clock = keeper()
    clock.sealed(1, 1, 10_000)
    clock.receipted(receipt(10_300), 11_000)
    timing = clock.judge(HostTime(BOOT_ZERO, 11_000, False, None))
    assert timing.state.quality is ClockQuality.ESTIMATED
    assert timing.source is TimeSource.RECEIPT
    assert timing.state.error_ms is not None
    assert abs(shown(timing, 11_000) - (BOOTED + 11_000 * MS)) <= timing.state.error_ms * MS
    assert timing.state.error_ms <= 502


def test_a_receipt_for_what_an_earlier_run_sealed_says_nothing_about_now() -> None:
    clock = keeper()
    clock.receipted(receipt(10_300), 11_000)
    clock.sealed(1, 2, 20_000)
    clock.receipted(receipt(10_300, seq=1), 21_000)
    clock.receipted(receipt(10_300, seq=5, epoch=2), 21_000)
    assert not clock.judge(HostTime(BOOT_ZERO, 21_000, False, None)).is_dated


def test_a_receipt_from_before_its_batch_was_sealed_says_nothing() -> None:
    clock = keeper()
    clock.sealed(1, 1, 20_000)
    clock.receipted(receipt(10_300), 19_999)
    assert not clock.judge(HostTime(BOOT_ZERO, 21_000, False, None)).is_dated


def test_a_receipt_that_was_held_back_for_a_day_shifts_nothing_beyond_its_bound() -> None:
    clock = keeper()
    clock.sealed(1, 1, 0)
    day = 86_400_000
    clock.receipted(receipt(200), day)
    timing = clock.judge(HostTime(BOOT_ZERO, day, False, None))
    assert timing.state.error_ms is not None
    assert timing.state.error_ms >= day // 2
    assert abs(shown(timing, day) - (BOOTED + day * MS)) <= timing.state.error_ms * MS


def test_the_surer_of_two_receipts_is_kept() -> None:
    clock = keeper()
    clock.sealed(1, 1, 0)
    clock.receipted(receipt(100), 200)
    clock.sealed(1, 2, 10_000)
    clock.receipted(receipt(10_100, seq=2), 40_000)
    timing = clock.judge(HostTime(BOOT_ZERO, 40_000, False, None))
    assert timing.state.error_ms is not None
    assert timing.state.error_ms < 200


@given(
    sealed_ms=st.integers(0, 10**7),
    to_server_ms=st.integers(0, 10**6),
    back_ms=st.integers(0, 10**6),
    later_ms=st.integers(0, 10**8),
    drift_ppm=st.integers(-500, 500),
)
def test_the_bound_from_a_receipt_always_holds(
    sealed_ms: int, to_server_ms: int, back_ms: int, later_ms: int, drift_ppm: int
) -> None:
    """Whatever the ways cost, and however wrong the oscillator is within its bound after the arrival."""
    clock = keeper(undated=True)
    clock.sealed(1, 1, sealed_ms)
    arrived_ms = sealed_ms + to_server_ms + back_ms
    clock.receipted(receipt(sealed_ms + to_server_ms), arrived_ms)
    counted_ms = arrived_ms + later_ms
    true = BOOTED + arrived_ms * MS + later_ms * (1 + drift_ppm / 1_000_000) * MS
    timing = clock.judge(HostTime(BOOT_ZERO, counted_ms, False, None))
    assert timing.state.error_ms is not None
    assert abs(shown(timing, counted_ms) - true) <= (timing.state.error_ms + 1) * MS


def test_an_anchor_says_when_this_boot_was() -> None:
    clock = keeper(undated=True)
    unknown = clock.judge(host(1000))
    assert clock.anchor(unknown, 1000) is None
    known = clock.judge(host(2000, error_ms=7))
    anchor = clock.anchor(known, 2500)
    assert anchor is not None
    assert (anchor.boot, anchor.since_boot_ms, anchor.error_ms) == (BOOT, 2500, 7)
    assert anchor.dated(BOOT_ZERO + 1000 * MS) == BOOTED + 1000 * MS


def test_a_clock_that_nobody_vouches_for_is_no_anchor() -> None:
    clock = keeper()
    assert clock.anchor(clock.judge(host(1000)), 1000) is None
