"""Meters' own clocks: compared always, set only where it is allowed, safe and once."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.arbiter import Arbiter
from edge_agent.asking import AskedMeter
from edge_agent.meter_clocks import CLOCK, MeterClocks
from edge_agent.sweep import PortReader
from metering.clock import ClockQuality, ClockState
from metering.identity import MeterId, PortId
from metering.interval import SiteCalendar
from metering.obis import Obis
from metering.report import ClocksSet, read_records
from tests.doubles.edge import START, PlayedManualClock, fitted, serial_port
from tests.unit.edge_agent.test_freeze import MeterLine

CATALOGUE = Catalogue.shipped()
PROFILE = CATALOGUE.by_id("dlt645/three-phase-full")
DLT = Protocol.DLT645_2007
SHANGHAI = SiteCalendar("Asia/Shanghai")
NOON = START + timedelta(hours=12)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TrustedClock(PlayedManualClock):
    """A clock whose trust a test sets."""

    trust = ClockState(ClockQuality.SYNCHRONISED, 20)

    def state(self) -> ClockState:
        """As the test says."""
        return self.trust


class Street:
    """Three meters on a line, whose clocks are off by what a test says [s]."""

    def __init__(self, beyond_s: int | None = 30) -> None:
        self.clock = TrustedClock(NOON)
        self.off_s: dict[str, int] = {}
        addresses = [f"20260700000{n}" for n in range(3)]
        meters = [SimulatedMeter(MeterId(f"m-{n}"), PROFILE, DLT, address) for n, address in enumerate(addresses)]
        self.line = MeterLine(meters, self.register)
        port = serial_port("line")
        asked = [
            AskedMeter.prepare(fitted((f"m-{n}", PROFILE.id, DLT, address), "line-a"), CATALOGUE, "clock")
            for n, address in enumerate(addresses)
        ]
        self.reader = PortReader(port, Arbiter(self.line, port.line, self.clock), self.clock, asked, threading.Event())
        self.clocks = MeterClocks(CATALOGUE, SHANGHAI, self.clock, beyond_s)

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Clocks show the zone's time, and their error."""
        if obis != CLOCK:
            return 1_000_000
        local = SHANGHAI.local(self.clock.now()).replace(tzinfo=UTC) - EPOCH
        return int(local.total_seconds()) + self.off_s.get(meter, 0)

    def read(self) -> None:
        """Read all clocks."""
        self.clocks.swept(self.reader.sweep(self.clock.now()))

    def set(self) -> list[ClocksSet]:
        """Set those that are wrong."""
        return self.clocks.set_where_wrong([self.reader])

    def told(self) -> list[datetime]:
        """The times that were broadcast."""
        frames = [frame for frame in self.line.heard if b"\x99" * 6 in frame]
        assert all(frame[-10] == 0x08 for frame in frames), "control code of a broadcast time"
        fields = [[octet - 0x33 for octet in frame[-8:-2]] for frame in frames]
        return [datetime.strptime(bytes(reversed(each)).hex(), "%y%m%d%H%M%S") for each in fields]  # noqa: DTZ007


def test_each_clock_is_compared_with_the_gateways_in_the_zone_of_the_site() -> None:
    street = Street()
    street.off_s = {"m-0": 0, "m-1": 95, "m-2": -3600}
    street.read()
    found = street.clocks.ahead_s()
    assert {meter: round(seconds / 5) * 5 for meter, seconds in found.items()} == {"m-0": 0, "m-1": 95, "m-2": -3600}


def test_a_clock_that_is_wrong_is_set_by_one_broadcast_and_that_is_reported() -> None:
    street = Street()
    street.off_s = {"m-1": 95, "m-2": -40}
    street.read()
    (report,) = street.set()
    assert report.port == PortId("line-a")
    assert [meter for meter, _ in report.ahead_s] == ["m-1", "m-2"]
    (local,) = street.told()
    assert abs(local - SHANGHAI.local(street.clock.now()).replace(tzinfo=None)) <= timedelta(seconds=2)
    assert read_records([report.to_wire()]) == (report,)
    assert set(street.clocks.ahead_s()) == {"m-0"}, "what was measured before says nothing any more"


def test_clocks_are_set_once_a_day() -> None:
    street = Street()
    for hours, told in ((0, 1), (1, 1), (25, 2)):
        street.clock.sleep_until(NOON + timedelta(hours=hours))
        street.off_s = {"m-1": 95}
        street.read()
        street.set()
        assert len(street.told()) == told


@pytest.mark.parametrize("off_s", [0, 25, -30])
def test_a_clock_within_the_bound_is_left_alone(off_s: int) -> None:
    street = Street(beyond_s=40)
    street.off_s = {"m-1": off_s}
    street.read()
    assert street.set() == []
    assert street.told() == []


def test_where_the_site_does_not_allow_it_no_clock_is_set() -> None:
    street = Street(beyond_s=None)
    street.off_s = {"m-1": 95}
    street.read()
    assert street.set() == []
    assert street.told() == []


@pytest.mark.parametrize(
    "trust",
    [
        ClockState(ClockQuality.ESTIMATED, None),
        ClockState(ClockQuality.ESTIMATED, 2001),
        ClockState(ClockQuality.UNKNOWN, None),
    ],
)
def test_a_gateway_that_is_not_sure_of_its_own_time_sets_no_clock(trust: ClockState) -> None:
    street = Street()
    street.off_s = {"m-1": 95}
    street.read()
    street.clock.trust = trust
    assert street.set() == []
    assert street.told() == []


def test_a_gateway_without_a_time_compares_nothing() -> None:
    street = Street()
    street.clock.trust = ClockState(ClockQuality.UNKNOWN, None)
    street.read()
    assert street.clocks.ahead_s() == {}


@pytest.mark.parametrize(("hour", "minute", "is_set"), [(0, 5, False), (23, 50, False), (0, 20, True), (23, 40, True)])
def test_no_clock_is_set_near_midnight(hour: int, minute: int, is_set: bool) -> None:
    street = Street()
    local = datetime(2026, 7, 2, hour, minute, tzinfo=SHANGHAI.tz)
    street.clock.sleep_until(local.astimezone(UTC))
    street.off_s = {"m-1": 95}
    street.read()
    assert bool(street.set()) is is_set


def test_a_clock_that_no_broadcast_can_mend_is_told_to_a_person(caplog: pytest.LogCaptureFixture) -> None:
    street = Street()
    street.off_s = {"m-1": 7200}
    street.read()
    with caplog.at_level(logging.WARNING):
        assert street.set() == []
    assert "meter-clock-too-far" in caplog.text
    assert street.told() == []


def test_a_meter_that_does_not_answer_has_no_offset() -> None:
    street = Street()
    street.line.meters.clear()
    street.read()
    assert street.clocks.ahead_s() == {}
