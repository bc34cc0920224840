"""The arbiter on a real pseudo-terminal, with meters of two protocols that misbehave one way each."""

from __future__ import annotations

import os
import pty
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.framing import modbus_rtu
from device_profiles.framing.errors import AddressMismatch, CrcError, ExceptionReply, FrameError
from device_profiles.profile import Protocol
from device_profiles.read_plan import Dlt645Read, ModbusRead
from device_profiles.simulator import Fault, SerialLine
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.ports import BusTimeout, PortLost
from edge_agent.sweep import PortReader
from metering.clock import ManualClock, SystemClock
from metering.identity import MeterId
from metering.reading import ReadQuality
from tests.doubles.edge import LINE, QUARTER, START, CountingRegisters, PlayedManualClock, asked, serial_port, simulated

RTU = Protocol.MODBUS_RTU
LIFT, PUMP = MeterId("m-lift"), MeterId("m-fire-pump")


class Line:
    """A line of ten meters, and the gateway's bus on it under a clock that moves only when told."""

    def __init__(self, path: Path, late_s: float = 0.15) -> None:
        self.registers = CountingRegisters()
        self.world = SerialLine(path, simulated(LINE), self.registers, late_s=late_s)
        self.clock = PlayedManualClock(START)
        self.bus = SerialBus(serial_port(path), self.clock)
        self.meters = asked(LINE)
        self.reader = PortReader(serial_port(path), self.bus, self.clock, self.meters, threading.Event())

    def qualities(self, mark: int = 0) -> dict[str, ReadQuality]:
        """Sweep the line at a mark."""
        readings = self.reader.sweep(START + mark * QUARTER).readings
        return {reading.meter: reading.quality for reading in readings}


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """The line, serving."""
    made = Line(tmp_path / "line")
    with made.world:
        yield made
        made.bus.close()


def request_of(line: Line, meter: str) -> tuple[Protocol, str, ModbusRead | Dlt645Read]:
    """The first request a sweep makes of a meter."""
    found = next(each for each in line.meters if each.fitted.id == meter)
    return found.fitted.protocol, found.fitted.address, found.reads[0]


def test_meters_of_two_protocols_answer_on_one_line(line: Line) -> None:
    sweep = line.reader.sweep(START)
    assert all(reading.quality is ReadQuality.MEASURED for reading in sweep.readings)
    for reading, meter in zip(sweep.readings, line.meters, strict=True):
        shown = meter.group.channels[0].shown(reading.mantissas[0] or 0)
        true_wh = line.registers.register(reading.meter, meter.group.channels[0].obis)
        assert true_wh is not None
        assert 0 <= true_wh - shown.to_base() < 100


def test_between_frames_there_is_silence_of_three_and_a_half_characters(line: Line) -> None:
    readings = line.reader.sweep(START).readings
    gap = 3.5 * 11 / 9600
    assert readings[0].started_at == START
    first_to_second_s = (readings[1].started_at - readings[0].ended_at).total_seconds()
    assert first_to_second_s == pytest.approx(gap, abs=1e-5)


def test_a_fast_line_keeps_the_fixed_silence() -> None:
    from dataclasses import replace

    assert SerialBus(replace(serial_port("line"), baud=115_200), ManualClock(START)).gap_s == 0.00175


@pytest.mark.parametrize(
    ("fault", "quality"),
    [
        (Fault.MUTE, ReadQuality.NO_ANSWER),
        (Fault.WRONG_CRC, ReadQuality.INVALID),
        (Fault.ANSWERS_FOR_ANOTHER, ReadQuality.INVALID),
        (Fault.ECHO, ReadQuality.MEASURED),
        (Fault.LATE, ReadQuality.MEASURED),
    ],
)
@pytest.mark.parametrize("meter", ["m-lift", "m-u-a101"])
def test_a_misbehaving_meter_spoils_no_other(line: Line, meter: str, fault: Fault, quality: ReadQuality) -> None:
    good = {reading.meter: reading.mantissas for reading in line.reader.sweep(START).readings}
    line.world.set_fault(MeterId(meter), fault)
    sweep = line.reader.sweep(START + QUARTER)
    for reading in sweep.readings:
        assert reading.quality is (quality if reading.meter == meter else ReadQuality.MEASURED)
        assert reading.mantissas == (good[reading.meter] if reading.quality is ReadQuality.MEASURED else ())


@pytest.mark.parametrize("meter", ["m-lift", "m-u-a101"])
def test_a_late_reply_is_not_taken_for_the_next_answer(line: Line, meter: str) -> None:
    """The simulated meter answers 150 ms late, after a timeout of 50 ms: into the quarantine, not the next request."""
    line.bus.open()
    line.world.set_fault(MeterId(meter), Fault.LATE)
    with pytest.raises(BusTimeout):
        line.bus.ask(*request_of(line, meter), reply_s=0.05, late_s=0.5)
    answer = line.bus.ask(*request_of(line, "m-fire-pump"), reply_s=0.5, late_s=0.5)
    undisturbed = line.bus.ask(*request_of(line, "m-fire-pump"), reply_s=0.5, late_s=0.5)
    assert answer.body == undisturbed.body


def test_quarantine_ends_early_once_the_late_reply_has_come(line: Line) -> None:
    line.bus.open()
    line.world.set_fault(LIFT, Fault.LATE)
    started_s = time.monotonic()
    with pytest.raises(BusTimeout):
        line.bus.ask(*request_of(line, LIFT), reply_s=0.05, late_s=5.0)
    assert time.monotonic() - started_s < 1.0


def test_a_mute_meter_costs_what_its_profile_allows_and_no_more(line: Line) -> None:
    line.bus.open()
    line.world.set_fault(LIFT, Fault.MUTE)
    started_s = time.monotonic()
    with pytest.raises(BusTimeout):
        line.bus.ask(*request_of(line, LIFT), reply_s=0.08, late_s=0.2)
    assert 0.2 <= time.monotonic() - started_s < 0.4


def test_errors_say_what_was_wrong_with_the_answer(line: Line) -> None:
    line.bus.open()
    line.world.set_fault(LIFT, Fault.WRONG_CRC)
    with pytest.raises(CrcError):
        line.bus.ask(*request_of(line, LIFT), reply_s=0.1, late_s=0.1)
    line.world.set_fault(LIFT, Fault.ANSWERS_FOR_ANOTHER)
    with pytest.raises(AddressMismatch):
        line.bus.ask(*request_of(line, LIFT), reply_s=0.1, late_s=0.1)
    line.world.set_fault(LIFT, None)
    with pytest.raises(ExceptionReply):
        line.bus.ask(RTU, "7", ModbusRead(3, 60_000, 2), reply_s=0.1, late_s=0.1)


@pytest.mark.parametrize("meter", ["m-bldg-a", "m-u-a301", "m-lift", "m-guard-room"])
def test_a_retry_leaves_no_trace_in_the_times(line: Line, meter: str, tmp_path: Path) -> None:
    smooth = [line.reader.sweep(START + mark * QUARTER) for mark in range(3)]
    other = Line(tmp_path / "other")
    with other.world:
        for mark in range(3):
            if mark == 1:
                other.registers.hiccups.add(meter)
            assert other.reader.sweep(START + mark * QUARTER) == smooth[mark]
    assert not other.registers.hiccups
    other.bus.close()


def test_a_silent_meter_is_probed_only_and_comes_back(line: Line) -> None:
    line.registers.off.add("m-lift")
    assert line.qualities(0)["m-lift"] is ReadQuality.NO_ANSWER
    started_s = time.monotonic()
    assert line.qualities(1)["m-lift"] is ReadQuality.NO_ANSWER
    assert time.monotonic() - started_s < 1.0  # one probe of 0.5 s
    line.registers.off.clear()
    assert line.qualities(2)["m-lift"] is ReadQuality.MEASURED


def test_a_line_that_vanishes_and_comes_back_is_swept_whole(line: Line, tmp_path: Path) -> None:
    expected = line.reader.sweep(START)
    line.world.stop()
    with Line(tmp_path / "line").world:
        assert line.reader.sweep(START) == expected


def test_a_line_that_is_away_is_waited_for(line: Line, tmp_path: Path) -> None:
    line.world.stop()
    stop = threading.Event()
    reader = PortReader(serial_port(tmp_path / "line"), line.bus, line.clock, line.meters, stop)
    sweeps: list[object] = []
    thread = threading.Thread(target=lambda: sweeps.append(reader.sweep(START)))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    again = Line(tmp_path / "line")
    with again.world:
        thread.join(5)
        assert len(sweeps) == 1


def test_a_line_can_be_opened_again_as_it_was_left(line: Line) -> None:
    for _ in range(3):
        line.bus.open()
        line.bus.close()
    line.bus.open()
    assert line.bus.ask(*request_of(line, "m-lift"), reply_s=0.5, late_s=0.5).body


def test_no_second_program_gets_the_line(line: Line) -> None:
    line.bus.open()
    with pytest.raises(PortLost, match="opened"):
        SerialBus(line.bus._port, SystemClock()).open()


def test_a_device_that_is_not_there_is_a_lost_port(tmp_path: Path) -> None:
    with pytest.raises(PortLost, match="cannot be opened"):
        SerialBus(serial_port(tmp_path / "nothing"), SystemClock()).open()


class RawLine:
    """A pseudo-terminal whose far end is the test itself, for what no meter would do."""

    def __init__(self) -> None:
        self.fd, self._near = pty.openpty()
        tty.setraw(self._near)
        self.bus = SerialBus(serial_port(os.ttyname(self._near)), ManualClock(START))

    def close(self) -> None:
        """Hang up."""
        self.bus.close()
        os.close(self.fd)
        os.close(self._near)


@pytest.fixture
def raw() -> Iterator[RawLine]:
    """A line without meters."""
    made = RawLine()
    yield made
    made.close()


READ = ModbusRead(3, 0, 2)
REPLY = modbus_rtu.build_reply("7", READ, b"\x01\x02\x03\x04")


def answering(raw: RawLine, *chunks: bytes, pause_s: float = 0.0) -> threading.Thread:
    """Wait for a request, then send `chunks` with pauses between them."""

    def answer() -> None:
        os.read(raw.fd, 64)
        for chunk in chunks:
            os.write(raw.fd, chunk)
            threading.Event().wait(pause_s)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_an_answer_in_pieces_is_put_together(raw: RawLine) -> None:
    raw.bus.open()
    thread = answering(raw, *(REPLY[i : i + 1] for i in range(len(REPLY))), pause_s=0.01)
    assert raw.bus.ask(RTU, "7", READ, reply_s=0.5, late_s=0.5).body == b"\x01\x02\x03\x04"
    thread.join()


def test_an_echo_is_told_from_the_answer_even_in_pieces(raw: RawLine) -> None:
    raw.bus.open()
    request = modbus_rtu.build_request("7", ModbusRead(3, 0, 1))
    reply = modbus_rtu.build_reply("7", ModbusRead(3, 0, 1), b"\x12\x34")
    thread = answering(raw, request[:3], request[3:], reply[:2], reply[2:], pause_s=0.02)
    assert raw.bus.ask(RTU, "7", ModbusRead(3, 0, 1), reply_s=0.5, late_s=0.5).body == b"\x12\x34"
    thread.join()


def test_an_echo_alone_is_no_answer(raw: RawLine) -> None:
    raw.bus.open()
    thread = answering(raw, modbus_rtu.build_request("7", READ))
    with pytest.raises(BusTimeout):
        raw.bus.ask(RTU, "7", READ, reply_s=0.1, late_s=0.1)
    thread.join()


def test_octets_that_strayed_in_before_a_request_are_discarded(raw: RawLine) -> None:
    raw.bus.open()
    os.write(raw.fd, modbus_rtu.build_reply("7", READ, b"\xff\xff\xff\xff"))
    thread = answering(raw, REPLY)
    assert raw.bus.ask(RTU, "7", READ, reply_s=0.5, late_s=0.5).body == b"\x01\x02\x03\x04"
    thread.join()


def test_two_answers_at_once_are_no_answer(raw: RawLine) -> None:
    raw.bus.open()
    thread = answering(raw, REPLY + modbus_rtu.build_reply("7", READ, b"\xff\xff\xff\xff"))
    with pytest.raises(FrameError):
        raw.bus.ask(RTU, "7", READ, reply_s=0.1, late_s=0.1)
    thread.join()


def test_a_line_that_never_falls_silent_does_not_hang_the_gateway(raw: RawLine) -> None:
    raw.bus.open()
    quiet = threading.Event()

    def babble() -> None:
        while not quiet.wait(0.001):
            os.write(raw.fd, b"\x55")

    thread = threading.Thread(target=babble)
    thread.start()
    started_s = time.monotonic()
    with pytest.raises((FrameError, BusTimeout)):
        raw.bus.ask(RTU, "7", READ, reply_s=0.1, late_s=0.1)
    quiet.set()
    thread.join()
    assert time.monotonic() - started_s < 5.0


def test_a_line_that_hangs_up_while_we_wait_is_lost(raw: RawLine) -> None:
    raw.bus.open()

    def hang_up() -> None:
        os.read(raw.fd, 64)
        os.dup2(os.open(os.devnull, os.O_RDWR), raw.fd)

    thread = threading.Thread(target=hang_up)
    thread.start()
    os.close(raw._near)
    raw._near = os.open(os.devnull, os.O_RDWR)
    with pytest.raises(PortLost):
        raw.bus.ask(RTU, "7", READ, reply_s=2.0, late_s=2.0)
    thread.join()


def test_a_closed_bus_says_so() -> None:
    with pytest.raises(PortLost, match="not open"):
        SerialBus(serial_port("line"), ManualClock(START)).ask(RTU, "7", READ, reply_s=0.1, late_s=0.1)
