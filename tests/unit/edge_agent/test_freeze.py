"""Registers of one instant: told to freeze at the mark, read afterwards, believed only if the meter's clock says so."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.arbiter import Arbiter
from edge_agent.asking import AskedMeter
from edge_agent.freeze import frozen_twin, is_of
from edge_agent.sweep import PortReader
from metering.identity import MeterId
from metering.interval import SiteCalendar
from metering.obis import ENERGY_IMPORT, Obis
from metering.reading import MeterReading, ReadQuality
from provisioning.site import LineSettings, Parity
from tests.doubles.edge import QUARTER, START, PlayedManualClock, fitted, serial_port
from tests.doubles.meter_line import MeterLine

CATALOGUE = Catalogue.shipped()
PROFILE = CATALOGUE.by_id("dlt645/three-phase-full")
BILLING = PROFILE.group("billing")
SHANGHAI = SiteCalendar("Asia/Shanghai")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DLT = Protocol.DLT645_2007


class Street:
    """Three meters whose energy rises by 1 kWh a second of the gateway's clock, on a line that freezes.

    clock_errors_s   how far ahead a meter's own clock is [s]
    """

    def __init__(self, *, freeze: bool = True, calendar: SiteCalendar | None = SHANGHAI) -> None:
        self.clock = PlayedManualClock(START)
        self.clock_errors_s: dict[str, int] = {}
        addresses = [f"20260700000{n}" for n in range(3)]
        self.line = MeterLine(
            [SimulatedMeter(MeterId(f"m-{n}"), PROFILE, DLT, address) for n, address in enumerate(addresses)],
            self.register,
        )
        port = replace(serial_port("line"), freeze=freeze or None)
        bus = Arbiter(self.line, port.line, self.clock)
        locations = [(f"m-{n}", PROFILE.id, DLT, address) for n, address in enumerate(addresses)]
        meters = [AskedMeter.prepare(fitted(each, "line-a"), CATALOGUE, "billing") for each in locations]
        self.reader = PortReader(port, bus, self.clock, meters, threading.Event(), calendar=calendar)

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """True registers at the gateway's instant; clocks show the zone's time."""
        passed_s = (self.clock.now() - START).total_seconds()
        if obis.c == 0:
            local = SHANGHAI.local(self.clock.now()).replace(tzinfo=UTC) - EPOCH
            return int(local.total_seconds()) + self.clock_errors_s.get(meter, 0)
        return 5_000_000 + int(1000 * passed_s) if obis == ENERGY_IMPORT else 1_000_000

    def sweep(self, mark: int = 0) -> tuple[MeterReading, ...]:
        """Sweep at the mark of that number."""
        return self.reader.sweep(START + mark * QUARTER).readings


def energies(readings: tuple[MeterReading, ...]) -> list[int | None]:
    """What the import registers showed."""
    found = []
    for reading in readings:
        group = PROFILE.groups[reading.group]
        place = next(at for at, channel in enumerate(group.channels) if channel.obis == ENERGY_IMPORT)
        found.append(reading.mantissas[place])
    return found


def test_frozen_meters_show_one_instant_and_others_the_time_of_their_turn() -> None:
    frozen, live = Street().sweep(), Street(freeze=False).sweep()
    assert len(set(energies(frozen))) == 1
    assert {PROFILE.groups[each.group].name for each in frozen} == {"frozen"}
    assert {PROFILE.groups[each.group].name for each in live} == {"billing"}


def test_the_times_are_those_of_the_command() -> None:
    readings = Street().sweep()
    assert {reading.started_at for reading in readings} == {START}
    assert len({reading.ended_at for reading in readings}) == 1
    assert all(reading.quality is ReadQuality.MEASURED for reading in readings)


def test_one_command_is_sent_a_sweep() -> None:
    street = Street()
    street.sweep()
    assert len([one for one in street.line.heard if b"\x99" * 6 in one]) == 1


def test_without_the_ports_word_or_the_meters_zone_nothing_is_frozen() -> None:
    for street in (Street(freeze=False), Street(calendar=None)):
        street.sweep()
        assert not [one for one in street.line.heard if b"\x99" * 6 in one]


def test_a_meter_that_missed_the_command_is_read_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    street = Street()
    street.sweep(0)
    end = street.line.meters[1]._end
    answer = end.answer
    end.answer = lambda octets: None if b"\x99" * 6 in octets else answer(octets)  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING):
        readings = street.sweep(1)
    assert [PROFILE.groups[each.group].name for each in readings] == ["frozen", "billing", "frozen"]
    assert "freeze-not-taken" in caplog.text
    first, second, _ = energies(readings)
    assert (first or 0) <= (second or 0)
    assert readings[1].started_at > readings[0].started_at


def test_a_meter_whose_clock_is_far_off_is_not_believed() -> None:
    street = Street()
    street.clock_errors_s["m-2"] = 1000
    assert [PROFILE.groups[each.group].name for each in street.sweep()] == ["frozen", "frozen", "billing"]


def test_a_meter_without_the_command_is_not_asked_for_it_again() -> None:
    street = Street()
    end = street.line.meters[0]._end
    answer = end.answer
    end.answer = lambda octets: None if b"\x99" * 6 in octets else answer(octets)  # type: ignore[attr-defined]
    assert PROFILE.groups[street.sweep(0)[0].group].name == "billing"  # it has frozen nothing yet, and says so
    asked = len(street.line.heard)
    street.sweep(1)
    assert len(street.line.heard) - asked < asked


def test_a_silent_meter_is_told_as_silent_in_its_own_group() -> None:
    street = Street()
    street.line.deaf.add("m-0")
    reading = street.sweep()[0]
    assert (reading.quality, reading.group, reading.mantissas) == (ReadQuality.NO_ANSWER, BILLING.index, ())


@pytest.mark.parametrize(("late_s", "is_believed"), [(0, True), (59, True), (299, True), (600, False), (-900, False)])
def test_the_meters_clock_must_be_near_the_command(late_s: int, is_believed: bool) -> None:
    twin = frozen_twin(PROFILE, BILLING)
    assert twin is not None
    shown_s = int((SHANGHAI.local(START).replace(tzinfo=UTC) - EPOCH).total_seconds()) + late_s
    mantissas = [shown_s if channel.kind.value == "time" else 1 for channel in twin.channels]
    assert is_of(START, twin, mantissas, SHANGHAI) is is_believed
    assert not is_of(START, twin, [None] * len(mantissas), SHANGHAI)


def test_a_model_without_frozen_registers_has_no_twin() -> None:
    dtsu = CATALOGUE.by_id("chint/dtsu666")
    assert frozen_twin(dtsu, dtsu.group("billing")) is None


def test_a_meter_at_another_speed_is_told_and_read_at_its_own() -> None:
    street = Street()
    slow = LineSettings(2400, Parity.EVEN, 1)
    street.line.settings["m-1"] = slow
    meters = [
        replace(meter, fitted=replace(meter.fitted, line=slow)) if meter.fitted.id == "m-1" else meter
        for meter in street.reader.meters
    ]
    port = replace(serial_port("line"), freeze=True)
    street.reader = PortReader(port, street.reader.bus, street.clock, meters, threading.Event(), calendar=SHANGHAI)
    readings = street.sweep()
    assert [PROFILE.groups[each.group].name for each in readings] == ["frozen"] * 3
    assert readings[1].started_at - readings[0].started_at < timedelta(seconds=1)
