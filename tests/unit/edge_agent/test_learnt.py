"""What single meters teach, and where it is kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing.errors import CrcError, ExceptionReply
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.learning import Learned
from device_profiles.profile import Protocol, ReadRequest
from device_profiles.read_plan import plan_reads
from edge_agent.adapters.learnt_file import LearntFile
from edge_agent.asking import LESSONS_MAX, AskedMeter
from edge_agent.learnt import NOTHING, Lessons, lesson
from edge_agent.ports import AnswerCut, BusTimeout
from edge_agent.sweep import PortReader
from metering.reading import MeterReading, ReadQuality
from tests.doubles.edge import QUARTER, START, PlayedManualClock, ScriptedBus, Turn, fitted, serial_port

RTU = Protocol.MODBUS_RTU
SDM = Catalogue.shipped().by_id("eastron/sdm630")
STATUS = SDM.group("status")
PLANNED = [read for read in plan_reads(SDM, RTU, STATUS) if isinstance(read, ModbusRead)]
HOLE = (4, 12, 51)
"""Registers of the model between current and power, which its status group does not name."""


class OddMeter:
    """An SDM630 that refuses reads which touch `missing`, and cuts answers longer than `most` registers."""

    def __init__(self, missing: range = range(0), most: int = 125) -> None:
        self.missing = missing
        self.most = most

    def __call__(self, address: str, read: ReadRequest) -> Turn:
        """Answer one read: the frequency as it should be, everything else zero."""
        assert isinstance(read, ModbusRead)
        if any(register in self.missing for register in range(read.address, read.end)):
            return ExceptionReply(2, "illegal register address")
        if read.count > self.most:
            return AnswerCut("the answer broke off")
        body = bytearray(2 * read.count)
        if read.address <= 70 < read.end:
            body[2 * (70 - read.address) :][:4] = b""
            body[2 * (70 - read.address) : 2 * (70 - read.address) + 4] = bytes.fromhex("42480000")  # 50 Hz
        return bytes(body)


class Line:
    """A line with that meter alone, read for its status."""

    def __init__(self, meter: OddMeter, lessons: Lessons | None = None) -> None:
        clock = PlayedManualClock(START)
        self.bus = ScriptedBus(clock, meter)
        location = ("m-lift", "eastron/sdm630", RTU, "7")
        asked = AskedMeter.prepare(fitted(location, "line-a"), Catalogue.shipped(), "status")
        self.reader = PortReader(serial_port("line"), self.bus, clock, [asked], threading.Event(), lessons=lessons)
        self.marks = 0

    def read(self) -> tuple[MeterReading, list[ReadRequest]]:
        """Sweep at the next mark; gives the reading and what was asked for it."""
        self.bus.asked.clear()
        (reading,) = self.reader.sweep(START + self.marks * QUARTER).readings
        self.marks += 1
        return reading, [read for _, read, _ in self.bus.asked]


def spans(reads: list[ReadRequest]) -> list[tuple[int, int]]:
    """Address and count of Modbus reads."""
    return [(read.address, read.count) for read in reads if isinstance(read, ModbusRead)]


def test_the_plan_as_written_reads_holes_along() -> None:
    assert any(read.count > 12 for read in PLANNED)


def test_a_meter_that_refuses_a_bridged_block_is_asked_apart_at_once_and_from_then_on() -> None:
    bridged = max(PLANNED, key=lambda read: read.count)
    holes = [at for at in range(bridged.address, bridged.end) if not _named(at)]
    line = Line(OddMeter(missing=range(holes[0], holes[0] + 1)))
    reading, first = line.read()
    assert reading.quality is ReadQuality.MEASURED
    assert (bridged.address, bridged.count) in spans(first)
    again, then = line.read()
    assert again.quality is ReadQuality.MEASURED
    assert again.mantissas == reading.mantissas
    assert not any(read.address <= holes[0] < read.end for read in then if isinstance(read, ModbusRead))
    assert len(then) < len(first)


def test_a_meter_that_cuts_long_answers_gets_smaller_blocks() -> None:
    line = Line(OddMeter(most=10))
    assert line.read()[0].quality is ReadQuality.MEASURED
    reading, asked = line.read()
    assert reading.quality is ReadQuality.MEASURED
    assert all(count <= 10 for _, count in spans(asked))


def test_one_cut_answer_is_noise_and_teaches_nothing() -> None:
    meter = OddMeter()
    turns: list[Turn] = [BusTimeout("lost"), AnswerCut("noise")]
    line = Line(meter)
    line.bus._answer = lambda address, read: turns.pop(0) if turns else meter(address, read)
    assert line.read()[0].quality is ReadQuality.INVALID
    assert spans(line.read()[1]) == [(read.address, read.count) for read in PLANNED]


def test_a_lesson_that_does_not_help_is_not_kept(tmp_path: Path) -> None:
    lessons = LearntFile(tmp_path / "lessons.json")
    line = Line(OddMeter(missing=range(65536)), lessons)
    reading, asked = line.read()
    assert reading.quality is ReadQuality.REFUSED
    assert len(asked) <= LESSONS_MAX + 1
    assert not (tmp_path / "lessons.json").exists()
    assert spans(line.read()[1])[0] == (PLANNED[0].address, PLANNED[0].count)


def test_lessons_are_known_after_a_restart_and_only_for_the_same_meter(tmp_path: Path) -> None:
    path = tmp_path / "lessons.json"
    Line(OddMeter(most=10), LearntFile(path)).read()
    again = Line(OddMeter(most=10), LearntFile(path))
    assert all(count <= 10 for _, count in spans(again.read()[1]))
    (meter,) = again.reader.meters
    assert LearntFile(path).of(meter.key).registers_max is not None
    other = replace(meter, fitted=replace(meter.fitted, address="8"))
    assert LearntFile(path).of(other.key) == NOTHING


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b'{"a": {"registers_max": "x", "unbridged": []}}', b"\xff\xfe"])
def test_a_damaged_file_costs_the_lessons_only(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "lessons.json"
    path.write_bytes(octets)
    lessons = LearntFile(path)
    assert lessons.of("anything") == NOTHING
    lessons.keep("anything", Learned(10, (HOLE,)))
    assert LearntFile(path).of("anything") == Learned(10, (HOLE,))


def test_lessons_that_fit_no_plan_are_passed_over_and_a_full_disk_costs_no_reading(tmp_path: Path) -> None:
    path = tmp_path / "lessons.json"
    lessons = LearntFile(path)
    (meter,) = Line(OddMeter()).reader.meters
    lessons.keep(meter.key, Learned(1))
    assert Line(OddMeter(), LearntFile(path)).read()[0].quality is ReadQuality.MEASURED
    nowhere = LearntFile(tmp_path / "nothing" / "lessons.json")
    assert Line(OddMeter(most=10), nowhere).read()[0].quality is ReadQuality.MEASURED
    assert nowhere.of(meter.key).registers_max is not None


def test_a_broken_sweep_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_agent.ports import PortLost

    monkeypatch.setattr("edge_agent.sweep.REOPEN_S", 0.0)
    meter, losses = OddMeter(most=10), [PortLost("unplugged")]
    line = Line(meter)

    def answer(address: str, read: ReadRequest) -> Turn:
        is_small = isinstance(read, ModbusRead) and read.count <= 10
        return losses.pop() if is_small and losses else meter(address, read)

    line.bus._answer = answer
    _, asked = line.read()
    assert spans(asked).count(spans(asked)[0]) == 4  # twice before the loss, twice again: it asked as the first time


def test_noise_and_other_protocols_teach_nothing() -> None:
    assert lesson(NOTHING, SDM, RTU, STATUS, PLANNED[0], CrcError("noise")) is None
    assert lesson(NOTHING, SDM, RTU, STATUS, PLANNED[0], ExceptionReply(6, "busy")) is None
    assert lesson(NOTHING, SDM, RTU, STATUS, ReadRequest(), ExceptionReply(2, "no")) is None


def test_an_atomic_group_is_never_taken_apart() -> None:
    billing = SDM.group("billing")
    (read,) = plan_reads(SDM, RTU, billing)
    assert billing.atomic
    assert lesson(NOTHING, SDM, RTU, billing, read, AnswerCut("cut")) is None


def test_a_late_answer_has_no_tolerance_between_marks() -> None:
    line = Line(OddMeter())
    (meter,) = line.reader.meters
    outcome = line.reader._asker.read(meter, START - timedelta(hours=1), None)
    assert outcome.reading.quality is ReadQuality.MEASURED


def _named(register: int) -> bool:
    return any(each.source.first <= register < each.source.end for each in STATUS.channels)  # type: ignore[attr-defined]
