"""A gateway that boots without the time: it measures, the centre's receipt tells it, an anchor dates the rest."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from edge_agent import app
from edge_agent.adapters.host_clock import HostClock, read_since_boot_ms
from edge_agent.timekeeping import HostTime
from metering.clock import ClockQuality, SystemClock
from metering.envelope import Envelope, Kind
from metering.report import Anchor, TimeSource, read_records
from provisioning.gateway_config import SYSTEM_CLOCK, TimeConfig
from tests.doubles.edge import UNITS, fitted, tcp_port
from tests.doubles.edge_station import station, wait_for
from tests.integration.test_edge_settings import running


def wakes_in_1970() -> HostTime:
    """A machine without a clock battery, and no NTP."""
    since_boot_ms = read_since_boot_ms()
    wall = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=since_boot_ms)
    return HostTime(wall, since_boot_ms, False, None)


def set_wrong_by_hours() -> HostTime:
    """A machine whose clock somebody set, wrong by hours."""
    return HostTime(SystemClock().now() - timedelta(hours=7), read_since_boot_ms(), False, None)


@pytest.mark.parametrize(
    ("machine", "undated"), [(wakes_in_1970, False), (set_wrong_by_hours, True)], ids=["1970", "a battery ran out"]
)
def test_what_was_read_before_the_time_was_known_is_dated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: object, undated: bool
) -> None:
    monkeypatch.setattr(app, "HostClock", functools.partial(HostClock, read=machine))
    with station(tmp_path, 1) as made:
        made.centre.receipts_wanted = False
        config = made.gateway_config(
            clock=SYSTEM_CLOCK,
            every_s=1,
            ports=(tcp_port(made.world.tcp.port),),
            meters=tuple(fitted(one, "tcp-b") for one in UNITS),
            time=TimeConfig(undated_until_synchronised=undated or None),
        )
        began_at = SystemClock().now()

        def held() -> list[Envelope]:
            return [made.centre.held[seq].envelope for seq in sorted(made.centre.held)]

        def run(stop: threading.Event) -> None:
            app.run_with_orders(config, Catalogue.shipped(), stop)

        with running(run):
            wait_for(lambda: len(held()) >= 2, "two sweeps without a time")
            first, second = held()[:2]
            assert (first.mark, first.clock.quality) == (None, ClockQuality.UNKNOWN)
            assert second.sealed_at - first.sealed_at == pytest.approx(timedelta(seconds=1), abs=timedelta(seconds=0.9))
            made.centre.receipts_wanted = True
            wait_for(lambda: any(one.mark is not None for one in held()), "a sweep at a mark")
        ended_at = SystemClock().now()
        report = next(one for one in held() if one.kind is Kind.REPORT)
        (anchor,) = read_records(report.records)
        assert isinstance(anchor, Anchor)
        assert anchor.source is TimeSource.RECEIPT
        assert anchor.boot == first.boot
        bound = timedelta(milliseconds=anchor.error_ms)
        assert began_at - bound <= anchor.dated(first.sealed_at) <= anchor.dated(second.sealed_at) <= ended_at + bound
        aligned = next(one for one in held() if one.mark is not None)
        assert aligned.clock.quality is ClockQuality.ESTIMATED
        assert aligned.clock.error_ms is not None
        assert began_at - bound <= replace(aligned).sealed_at <= ended_at + bound
        undated_after = [one for one in held() if one.seq > report.seq and one.clock.quality is ClockQuality.UNKNOWN]
        assert undated_after == []
