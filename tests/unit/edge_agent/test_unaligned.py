"""Measuring without marks: while the time is unknown, and after a clock that was far ahead."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from device_profiles.read_plan import ReadRequest
from edge_agent.poll_cycle import PollCycle
from edge_agent.ports import Entry
from edge_agent.sealing import Identity
from edge_agent.sweep import PortReader
from edge_agent.timekeeping import BOOT_ZERO
from edge_agent.unaligned import EVERY_MAX, AnchorPost, UnalignedCycle
from metering.clock import ClockQuality, ClockState, ManualClock
from metering.envelope import Kind, open_sealed
from metering.reading import ReadQuality
from metering.report import Anchor, TimeSource, read_records
from provisioning.site import ALWAYS, Span
from tests.doubles.edge import GATEWAY, LINE, QUARTER, START, MemoryOutbox, ScriptedBus, asked, serial_port

BOOT = bytes(range(16))


class SettableClock(ManualClock):
    """A manual clock whose trust a test sets."""

    quality = ClockQuality.UNKNOWN

    def state(self) -> ClockState:
        """What the test says."""
        return ClockState(self.quality, None)

    def show(self, instant: datetime, quality: ClockQuality) -> None:
        """Set the clock."""
        self._now = instant
        self.quality = quality


def zeros(address: str, request: ReadRequest) -> bytes:
    """Registers that are all zero."""
    del address
    return bytes(2 * request.count)  # type: ignore[union-attr]


class Bench:
    """A poll cycle on one scripted line, and the unaligned one beside it."""

    def __init__(self, signer: Any, executor: Executor, span: Span = ALWAYS) -> None:
        self.verifier = signer.verifier
        self.outbox = MemoryOutbox()
        self.clock = SettableClock(BOOT_ZERO + timedelta(seconds=30))
        bus = ScriptedBus(self.clock, zeros, seconds=0.05)
        reader = PortReader(serial_port("line"), bus, self.clock, asked(LINE[6:], "line-a", span), threading.Event())
        self.marks = PollCycle(
            identity=Identity(GATEWAY, 1, BOOT, signer),
            readers=[reader],
            outbox=self.outbox,
            clock=self.clock,
            every=QUARTER,
            executor=executor,
            appended=lambda _: None,
        )
        self.anchor: Anchor | None = None
        self.anchors = AnchorPost(lambda: self.anchor, self.marks, is_owed=False)
        self.cycle = UnalignedCycle(self.marks, self.clock, QUARTER, self.anchors)

    def opened(self) -> list[Any]:
        """Every envelope in the outbox."""
        return [open_sealed(each.octets, self.verifier).envelope for each in self.outbox.entries]


@pytest.fixture
def executor() -> Iterator[Executor]:
    """Threads for the ports."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_without_a_time_meters_are_read_and_counted_from_the_boot(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor)
    assert bench.cycle.is_needed
    due = [bench.cycle.poll_next() for _ in range(3)]
    assert [later - earlier for earlier, later in itertools.pairwise(due)] == [EVERY_MAX] * 2
    first, *_, last = bench.opened()
    assert (first.mark, first.boot, first.clock.quality) == (None, BOOT, ClockQuality.UNKNOWN)
    assert first.sealed_at.year == 1970
    assert all(reading.quality is ReadQuality.MEASURED for reading in last.readings)


def test_meters_that_were_fitted_when_the_time_was_known_last_are_read(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor, Span(START - timedelta(days=3), None))
    bench.cycle.poll_next()
    assert len(bench.opened()[0].readings) == 4
    gone = Bench(gateway_signer, executor, Span(None, START - timedelta(days=3)))
    gone.cycle.poll_next()
    assert gone.opened() == []


def test_an_anchor_follows_as_soon_as_the_time_is_known_and_once(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor)
    bench.anchors.post()
    assert bench.opened() == []
    bench.cycle.poll_next()
    bench.anchors.post()
    assert len(bench.opened()) == 1
    bench.clock.show(START, ClockQuality.SYNCHRONISED)
    bench.anchor = Anchor(BOOT, 95_000, START, 40, TimeSource.HOST)
    bench.anchors.post()
    bench.anchors.post()
    undated, report = bench.opened()
    assert report.kind is Kind.REPORT
    assert report.sealed_at == START
    assert read_records(report.records) == (bench.anchor,)
    assert report.previous_hash != bytes(32)
    (anchor,) = read_records(report.records)
    assert isinstance(anchor, Anchor)
    assert anchor.dated(undated.sealed_at) == START - timedelta(seconds=95) + (undated.sealed_at - BOOT_ZERO)


def test_a_much_surer_time_is_told_again(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor)
    bench.anchors.owe()
    for error_ms, told in ((4000, 1), (3000, 1), (900, 2), (400, 2)):
        bench.anchor = Anchor(BOOT, 95_000, START, error_ms, TimeSource.RECEIPT)
        bench.anchors.post()
        assert len(bench.opened()) == told


def test_nothing_is_told_where_nothing_has_to_be_dated(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor)
    bench.anchor = Anchor(BOOT, 95_000, START, 4, TimeSource.HOST)
    bench.anchors.post()
    assert bench.opened() == []


def test_after_a_clock_that_was_far_ahead_measuring_goes_on_without_marks(
    gateway_signer: Any, executor: Executor
) -> None:
    bench = Bench(gateway_signer, executor)
    bench.clock.show(START + timedelta(days=365), ClockQuality.ESTIMATED)
    ahead = bench.marks.poll_next()
    assert not bench.cycle.is_needed
    bench.clock.show(START, ClockQuality.SYNCHRONISED)
    assert bench.cycle.is_needed
    bench.cycle.poll_next()
    *_, unaligned = bench.opened()
    assert unaligned.mark is None
    assert START <= unaligned.sealed_at < START + timedelta(minutes=1)
    assert bench.outbox.entries[-1].mark == ahead
    bench.clock.show(ahead - timedelta(minutes=10), ClockQuality.SYNCHRONISED)
    assert not bench.cycle.is_needed
    assert bench.marks.poll_next() == ahead + QUARTER


def test_in_the_outbox_an_undated_sweep_stands_under_the_newest_day_that_is_known(
    gateway_signer: Any, executor: Executor
) -> None:
    """Else it would be the oldest of all, and the first to be freed."""
    bench = Bench(gateway_signer, executor)
    bench.clock.show(START - timedelta(minutes=1), ClockQuality.ESTIMATED)
    mark = bench.marks.poll_next()
    bench.clock.show(datetime(1970, 1, 1, 0, 5, tzinfo=UTC), ClockQuality.UNKNOWN)
    bench.cycle.poll_next()
    kept: Entry = bench.outbox.entries[-1]
    assert kept.sealed_at == mark
    assert kept.mark == mark
    assert bench.opened()[-1].sealed_at.year == 1970
