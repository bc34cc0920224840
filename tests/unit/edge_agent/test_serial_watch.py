"""Serial numbers are read once a day and after an absence, told when new, and cost the line next to nothing."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.arbiter import Arbiter
from edge_agent.asking import AskedMeter
from edge_agent.ports import PortLost
from edge_agent.serial_watch import EVERY, Known, SerialsFile, SerialWatch, serial_group
from edge_agent.sweep import PortReader
from metering.clock import ClockQuality, ClockState
from metering.identity import MeterId
from metering.obis import Obis
from metering.report import SerialSeen, read_records
from tests.doubles.edge import START, fitted, serial_port
from tests.unit.edge_agent.test_freeze import MeterLine
from tests.unit.edge_agent.test_meter_clocks import TrustedClock

CATALOGUE = Catalogue.shipped()
PROFILE = CATALOGUE.by_id("dlt645/three-phase-full")
PLAIN = CATALOGUE.by_id("chint/dtsu666")
DLT = Protocol.DLT645_2007
SERIAL = Obis.parse("0-0:96.1.0")
FAR = timedelta(minutes=14)


class Line:
    """Three meters whose serial numbers a test sets; one of a model that does not tell its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = TrustedClock(START)
        self.serials = {"m-0": 100000000010, "m-1": 100000000011, "m-2": 100000000012}
        self.away: set[str] = set()
        addresses = [f"20260700000{n}" for n in range(3)]
        meters = [SimulatedMeter(MeterId(f"m-{n}"), PROFILE, DLT, address) for n, address in enumerate(addresses)]
        self.line = MeterLine(meters, self.register)
        asked = [
            AskedMeter.prepare(fitted((f"m-{n}", PROFILE.id, DLT, address), "line-a"), CATALOGUE, "billing")
            for n, address in enumerate(addresses)
        ]
        port = serial_port("line")
        self.reader = PortReader(port, Arbiter(self.line, port.line, self.clock), self.clock, asked, threading.Event())
        self.begin_anew()

    def begin_anew(self) -> None:
        """Start the program again."""
        self.watch = SerialWatch(SerialsFile(self.path), self.clock)

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Numbers as the test says [1/1000]; a meter that is away answers nothing."""
        if meter in self.away:
            return None
        return self.serials[meter] * 1000 if obis == SERIAL else 1_000_000

    def look(self, room: timedelta = FAR) -> list[tuple[str, str]]:
        """Look once, and keep what was told."""
        seen = self.watch.look([self.reader], self.clock.now() + room)
        self.watch.told(seen, [self.reader])
        return [(one.meter, one.serial) for one in seen]

    def sweep(self) -> None:
        """Sweep the port at this moment."""
        self.watch.swept(self.reader.sweep(self.clock.now()))

    def pass_time(self, span: timedelta) -> datetime:
        """Let time go by."""
        self.clock.sleep_until(self.clock.now() + span)
        return self.clock.now()


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path / "serials.json")


def test_each_meter_is_told_once_one_at_a_time(line: Line) -> None:
    assert [line.look() for _ in range(4)] == [
        [("m-0", "100000000010")],
        [("m-1", "100000000011")],
        [("m-2", "100000000012")],
        [],
    ]


def test_an_exchanged_meter_is_told_within_a_day(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        line.look()
    line.serials["m-1"] = 200000000099
    line.pass_time(EVERY - timedelta(hours=1))
    assert line.look() == []
    line.pass_time(timedelta(hours=1))
    with caplog.at_level(logging.WARNING):
        assert [line.look() for _ in range(3)] == [[], [("m-1", "200000000099")], []]
    assert "meter-serial-changed" in caplog.messages


def test_a_meter_that_was_away_is_read_as_soon_as_it_is_back(line: Line) -> None:
    for _ in range(3):
        line.look()
    line.sweep()
    assert line.look() == []
    line.away.add("m-2")
    line.sweep()
    assert line.look() == []
    line.away.clear()
    line.serials["m-2"] = 300000000001
    line.pass_time(timedelta(hours=1))
    line.sweep()
    assert line.look() == [("m-2", "300000000001")]
    assert line.look() == []


def test_a_restart_tells_nothing_again(line: Line) -> None:
    for _ in range(3):
        line.look()
    line.begin_anew()
    assert [line.look() for _ in range(3)] == [[], [], []]
    heard = len(line.line.heard)
    line.look()
    assert len(line.line.heard) == heard, "not even asked"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"a": 1}', '{"a": ["x", "yesterday"]}', '{"a": ["x", "2026-07-01"]}']
)
def test_a_damaged_memory_costs_a_reading_of_each_meter(line: Line, content: str) -> None:
    line.path.write_text(content, encoding="utf-8")
    line.begin_anew()
    assert line.look() == [("m-0", "100000000010")]


def test_a_folder_that_cannot_be_written_costs_only_the_memory(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.path = line.path / "nowhere" / "serials.json"
    line.begin_anew()
    assert line.look() == [("m-0", "100000000010")]
    assert "serials-not-kept" in caplog.messages
    assert line.look() == [("m-1", "100000000011")]


def test_nothing_is_asked_shortly_before_a_mark_nor_while_the_time_is_unknown(line: Line) -> None:
    assert line.look(timedelta(seconds=19)) == []
    line.clock.trust = ClockState(ClockQuality.UNKNOWN, None)
    assert line.look() == []
    assert line.line.heard == []


def test_an_empty_number_is_no_number_and_is_asked_for_again_tomorrow(line: Line) -> None:
    line.serials["m-0"] = 0
    assert line.look() == []
    assert line.look() == [("m-1", "100000000011")]
    assert line.look() == [("m-2", "100000000012")]
    line.serials["m-0"] = 100000000010
    assert line.look() == []
    line.pass_time(EVERY)
    assert line.look() == [("m-0", "100000000010")]


def test_a_port_that_vanishes_costs_nothing_but_this_look(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise PortLost("the adapter was pulled")

    with monkeypatch.context() as pulled:
        pulled.setattr(line.reader, "read_apart", gone)
        assert line.look() == []
    assert line.look() == [("m-0", "100000000010")]


def test_models_say_where_their_number_stands_or_that_they_tell_none() -> None:
    group = serial_group(PROFILE)
    assert group is not None
    assert [channel.obis for channel in group.channels] == [SERIAL] or len(group.channels) == 1
    assert serial_group(CATALOGUE.by_id("abb/b23")) is not None
    assert serial_group(PLAIN) is None or len(serial_group(PLAIN).channels) == 1  # type: ignore[union-attr]


def test_memory_keeps_a_number_with_its_time(tmp_path: Path) -> None:
    file = SerialsFile(tmp_path / "serials.json")
    file.keep("m-1 key", Known("42", START))
    assert SerialsFile(tmp_path / "serials.json").of("m-1 key") == Known("42", START)
    assert file.of("another") is None


def test_a_serial_seen_is_a_record_like_any() -> None:
    seen = SerialSeen(MeterId("m-1"), "SN 42-7", START)
    assert read_records([list(seen.to_wire())]) == (seen,)


class Marks:
    """A poll cycle as the watch sees it."""

    def __init__(self, line: Line, polled: datetime | None) -> None:
        self.line, self.polled, self.sealer = line, polled, self
        self.reported: list[list[SerialSeen]] = []
        self.is_full = False

    def next_due(self) -> datetime:
        return self.line.clock.now() + FAR

    def report(self, records: list[SerialSeen]) -> None:
        if self.is_full:
            raise OSError("no space left on the card")
        self.reported.append(list(records))


def test_what_is_new_is_sealed_before_it_counts_as_told(line: Line) -> None:
    marks = Marks(line, START)
    marks.is_full = True
    with pytest.raises(OSError, match="no space left"):
        line.watch.tell([line.reader], marks)  # type: ignore[arg-type]
    marks.is_full = False
    line.watch.tell([line.reader], marks)  # type: ignore[arg-type]
    assert [[one.serial for one in each] for each in marks.reported] == [["100000000010"]]


def test_nothing_is_sealed_where_nothing_is_new_nor_before_the_first_mark(line: Line) -> None:
    early = Marks(line, None)
    line.watch.tell([line.reader], early)  # type: ignore[arg-type]
    assert early.reported == []
    assert line.line.heard == []
    marks = Marks(line, START)
    for _ in range(6):
        line.watch.tell([line.reader], marks)  # type: ignore[arg-type]
    assert [one.meter for each in marks.reported for one in each] == ["m-0", "m-1", "m-2"]


def test_a_meter_outside_its_span_or_silent_is_not_asked(line: Line) -> None:
    for _ in range(3):
        line.look()
    heard = len(line.line.heard)
    line.away = {"m-0", "m-1", "m-2"}
    for _ in range(3):
        line.sweep()
        line.pass_time(timedelta(seconds=1))
    line.pass_time(EVERY)
    swept = len(line.line.heard)
    assert line.look() == []
    assert len(line.line.heard) == swept > heard
