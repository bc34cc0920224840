"""From the configuration to what reads the ports."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.adapters.stream_bus import StreamBus
from edge_agent.adapters.usb_latency import latency_hint, latency_ms
from edge_agent.agenda import Agenda, Job, JobClass, Rhythm
from edge_agent.arbiter import Arbiter
from edge_agent.asking import AskedMeter
from edge_agent.patience import PAUSES_S
from edge_agent.port_readers import bus_of, readers_of
from edge_agent.ports import PortLost, Stopped
from edge_agent.sweep import PortReader, Sweep
from metering.clock import Clock, ManualClock
from metering.identity import GatewayId, MeterId, PortId
from metering.obis import Obis
from metering.reading import ReadQuality
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, ClockConfig, ClockKind, GatewayConfig, GroupInterval
from provisioning.site import LineSettings, Parity, StreamPort
from tests.doubles.edge import GATEWAY, LINE, QUARTER, START, UNITS, PlayedManualClock, fitted, serial_port, tcp_port
from tests.doubles.meter_line import MeterLine

CATALOGUE = Catalogue.shipped()
MODBUS = LINE[6:8]
PLAYED = ClockConfig(ClockKind.PLAYED, "127.0.0.1", 9)


def config(tmp_path: Path, *intervals: GroupInterval) -> GatewayConfig:
    """A gateway with a line and an endpoint."""
    return GatewayConfig(
        gateway=GATEWAY,
        epoch=1,
        boot=bytes(16),
        state_dir=tmp_path,
        signing_key=tmp_path / "signing.key",
        centre_public_key=tmp_path / "centre.pub",
        every_s=900,
        group="billing",
        broker=BrokerConfig("127.0.0.1", 9, None, None),
        clock=SYSTEM_CLOCK,
        ports=(serial_port(tmp_path / "line-a"), tcp_port(502)),
        meters=(*(fitted(each, "line-a") for each in LINE), *(fitted(each, "tcp-b") for each in UNITS)),
        intervals=intervals,
    )


def readers(config: GatewayConfig) -> list[PortReader]:
    """Its readers, on a clock that stands still."""
    return readers_of(config, CATALOGUE, threading.Event(), lambda: ManualClock(START))


class Floor:
    """Two meters on a line without a wire, one group of theirs at marks and another between."""

    def __init__(self, *rhythms: Rhythm, agenda: Agenda | None = None) -> None:
        self.clock: Clock = PlayedManualClock(START)
        self.line = MeterLine(
            [
                SimulatedMeter(MeterId(meter), CATALOGUE.by_id(profile), protocol, address)
                for meter, profile, protocol, address in MODBUS
            ],
            self.register,
        )
        port = serial_port("line")
        meters = [AskedMeter.prepare(fitted(each, "line-a"), CATALOGUE, "billing") for each in MODBUS]
        self.stop = threading.Event()
        self.reader = PortReader(
            port,
            Arbiter(self.line, port.line, self.clock),
            self.clock,
            meters,
            self.stop,
            agenda=Agenda(rhythms, START) if rhythms else agenda,
        )
        self.kept: list[Sweep] = []

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Something plausible for every register."""
        return 50_000 if obis.c == 14 else 1000

    def work(self, until_s: float) -> list[tuple[str, int]]:
        """Work until so many seconds after the start; gives meter and group of what was read."""
        self.reader.work_until(START + timedelta(seconds=until_s), self.kept.append)
        return [(reading.meter, reading.group) for sweep in self.kept for reading in sweep.readings]


def test_a_stream_port_gets_its_bus() -> None:
    port = StreamPort(PortId("far"), GatewayId("gw-a"), "10.0.0.9", 4001, 60, LineSettings(9600, Parity.EVEN, 1))
    assert isinstance(bus_of(port, ManualClock(START)), StreamBus)


def test_without_further_groups_a_port_has_nothing_between_marks(tmp_path: Path) -> None:
    assert [reader.agenda for reader in readers(config(tmp_path))] == [None, None]


def test_meters_whose_profile_has_the_group_are_on_the_agenda(tmp_path: Path) -> None:
    line, _ = readers(config(tmp_path, GroupInterval("status", 60)))
    assert line.agenda is not None
    taken = []
    while (job := line.agenda.take(START, START + QUARTER)) is not None:
        taken.append((job.meter, job.group, job.cost_s > 0))
    with_status = {each[0] for each in LINE if "status" in {one.name for one in CATALOGUE.by_id(each[1]).groups}}
    assert {meter for meter, _, _ in taken} == with_status
    assert all(group == "status" and costs for _, group, costs in taken)


def test_the_marks_own_group_is_not_read_twice(tmp_path: Path) -> None:
    assert [reader.agenda for reader in readers(config(tmp_path, GroupInterval("billing", 60)))] == [None, None]


def test_a_port_that_has_too_much_to_carry_is_told_at_the_start_but_not_in_played_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crowded = replace(config(tmp_path), every_s=1)
    with caplog.at_level(logging.WARNING):
        readers(replace(crowded, clock=PLAYED))
        assert "port-overloaded" not in caplog.text
        readers(crowded)
    assert "port-overloaded" in caplog.text


def test_a_probe_is_not_told_that_its_lines_are_overloaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = config(tmp_path)
    with caplog.at_level(logging.WARNING):
        readers(replace(whole, ports=tuple(replace(port, tolerance_s=0) for port in whole.ports)))
    assert "port-overloaded" not in caplog.text


def test_groups_between_marks_are_read_in_batches_as_they_fall_due() -> None:
    floor = Floor(Rhythm(MeterId("m-lift"), "status", 60, 0.1), Rhythm(MeterId("m-fire-pump"), "status", 90, 0.1))
    floor.work(100)
    assert [[reading.meter for reading in sweep.readings] for sweep in floor.kept] == [
        ["m-lift", "m-fire-pump"],
        ["m-lift"],
        ["m-fire-pump"],
    ]
    assert all(reading.quality is ReadQuality.MEASURED for sweep in floor.kept for reading in sweep.readings)


def test_what_is_read_between_marks_names_its_own_group() -> None:
    status = CATALOGUE.by_id("chint/dtsu666").group("status").index
    assert Floor(Rhythm(MeterId("m-lift"), "status", 60, 0.1)).work(10) == [("m-lift", status)]


def test_nothing_is_begun_that_would_run_into_the_mark() -> None:
    floor = Floor(Rhythm(MeterId("m-lift"), "status", 60, 5.0))
    assert floor.work(4) == []
    assert floor.work(6) != []


def test_a_silent_meter_is_left_to_the_sweeps() -> None:
    floor = Floor(Rhythm(MeterId("m-lift"), "status", 60, 0.1))
    floor.line.deaf.add("m-lift")
    floor.reader.sweep(START)
    heard = len(floor.line.heard)
    assert floor.work(30) == []
    assert len(floor.line.heard) == heard


def test_a_meter_that_is_not_fitted_is_not_read() -> None:
    floor = Floor(Rhythm(MeterId("m-lift"), "status", 60, 0.1))
    (lift, pump) = floor.reader.meters
    gone = replace(lift, fitted=replace(lift.fitted, span=replace(lift.fitted.span, end=START)))
    floor.reader._meters[lift.fitted.id] = gone
    assert floor.work(30) == []
    assert pump.fitted.id == "m-fire-pump"


def test_a_port_that_vanishes_between_marks_waits_for_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor(Rhythm(MeterId("m-lift"), "status", 60, 0.1))
    losses: list[Exception] = [PortLost("unplugged")]

    def send(octets: bytes) -> None:
        raise losses[0]

    monkeypatch.setattr(floor.line, "send", send)
    assert floor.work(50) == []
    monkeypatch.undo()
    assert floor.work(70) != []


def test_a_gateway_told_to_stop_stops_between_marks() -> None:
    floor = Floor(Rhythm(MeterId("m-lift"), "status", 60, 0.1))
    floor.stop.set()
    with pytest.raises(Stopped):
        floor.work(30)


def test_an_operators_wish_is_read_first() -> None:
    floor = Floor(Rhythm(MeterId("m-lift"), "status", 60, 0.1))
    assert floor.reader.agenda is not None
    floor.reader.agenda.wish(Job(JobClass.OPERATOR, MeterId("m-fire-pump"), "billing", START, START + QUARTER, 0.1))
    assert [meter for meter, _ in floor.work(10)] == ["m-fire-pump", "m-lift"]


def test_silent_meters_are_asked_after_the_others_and_stand_in_their_place() -> None:
    floor = Floor()
    floor.line.deaf.add("m-lift")
    floor.reader.sweep(START)
    floor.line.heard.clear()
    readings = floor.reader.sweep(START + timedelta(seconds=PAUSES_S[0])).readings
    assert [reading.meter for reading in readings] == ["m-lift", "m-fire-pump"]
    assert [octets[0] for octets in floor.line.heard] == [8, 7]


def test_in_played_time_the_order_does_not_depend_on_what_is_remembered() -> None:
    floor = Floor()
    floor.reader._silent_last = False
    floor.line.deaf.add("m-lift")
    floor.reader.sweep(START)
    floor.line.heard.clear()
    floor.reader.sweep(START + timedelta(seconds=PAUSES_S[0]))
    assert [octets[0] for octets in floor.line.heard] == [7, 8]


def test_an_adapter_that_holds_octets_back_is_told_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").mkdir()
    timer = tmp_path / "ttyUSB0" / "latency_timer"
    timer.write_text("16\n")
    assert latency_ms("/dev/ttyUSB0", tmp_path) == 16
    hint = latency_hint("/dev/ttyUSB0", tmp_path)
    assert hint is not None
    assert "16 ms" in hint
    assert str(timer) in hint
    timer.write_text("1\n")
    assert latency_hint("/dev/ttyUSB0", tmp_path) is None


def test_a_line_without_a_latency_timer_gets_no_hint(tmp_path: Path) -> None:
    assert latency_hint("/dev/ttyAMA0", tmp_path) is None


def test_a_meter_of_seven_bits_has_the_line_set_so() -> None:
    seven = next(
        (profile, protocol)
        for profile in CATALOGUE.profiles
        for protocol, link in profile.links.items()
        if link.serial is not None and link.serial.data_bits == 7
    )
    profile, protocol = seven
    assert protocol is Protocol.IEC62056_21
    meter = fitted(("m-old", profile.id, protocol, "12345678"), "line-a")
    asked = AskedMeter.prepare(meter, CATALOGUE, profile.groups[0].name)
    floor = Floor()
    reader = PortReader(serial_port("line"), floor.reader.bus, floor.clock, [asked], threading.Event())
    line = reader.meters[0].fitted.line
    assert line is not None
    assert (line.data_bits, line.baud) == (7, 9600)
