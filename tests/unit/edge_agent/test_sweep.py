"""One sweep of one port, on a scripted bus."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing.errors import AddressInvalid, CrcError, ExceptionReply
from device_profiles.read_plan import ReadRequest
from edge_agent.patience import PAUSES_S
from edge_agent.ports import BusTimeout, PortLost, Stopped
from edge_agent.sweep import AskedMeter, PortReader
from metering.reading import ReadQuality
from provisioning.site import Span
from tests.doubles.edge import LINE, QUARTER, START, PlayedManualClock, ScriptedBus, Turn, asked, fitted, serial_port

TWO = LINE[6:8]
"""Two meters that take one request each."""


class World:
    """A port reader with everything around it in the test's hands."""

    def __init__(self, answer: Callable[[str, ReadRequest], Turn], seconds: float = 0.0, tolerance_s: int = 60) -> None:
        self.clock = PlayedManualClock(START - timedelta(seconds=60))
        self.bus = ScriptedBus(self.clock, answer, seconds)
        self.stop = threading.Event()
        self.meters = asked(TWO)
        port = serial_port("line", tolerance_s)
        self.reader = PortReader(port, self.bus, self.clock, self.meters, self.stop)

    def qualities(self, mark: int = 0) -> list[ReadQuality]:
        """Sweep at the mark of that number, and give what came of each meter."""
        return [reading.quality for reading in self.reader.sweep(START + mark * QUARTER).readings]


def body_of(request: ReadRequest) -> bytes:
    """Registers that are all zero."""
    return bytes(2 * request.count)  # type: ignore[union-attr]


def all_answer(address: str, request: ReadRequest) -> Turn:
    """Every meter answers."""
    return body_of(request)


def in_turn(turns: list[Turn]) -> Callable[[str, ReadRequest], Turn]:
    """Play `turns` one by one, then every meter answers."""
    return lambda _, request: turns.pop(0) if turns else body_of(request)


def seven_raises(error: Exception) -> Callable[[str, ReadRequest], Turn]:
    """Meter 7 raises, meter 8 answers."""
    return lambda address, request: error if address == "7" else body_of(request)


def test_every_meter_is_asked_once_at_the_mark() -> None:
    world = World(all_answer)
    sweep = world.reader.sweep(START)
    assert [reading.meter for reading in sweep.readings] == ["m-lift", "m-fire-pump"]
    assert all(reading.quality is ReadQuality.MEASURED for reading in sweep.readings)
    assert sweep.readings[0].mantissas == (0, 0)
    assert sweep.readings[0].started_at == START
    assert [address for address, _, _ in world.bus.asked] == ["7", "8"]


def test_times_are_those_of_the_transactions() -> None:
    first, second = World(all_answer, seconds=0.25).reader.sweep(START).readings
    assert (first.started_at, first.ended_at) == (START, START + timedelta(seconds=0.25))
    assert (second.started_at, second.ended_at) == (START + timedelta(seconds=0.25), START + timedelta(seconds=0.5))


@pytest.mark.parametrize(
    ("error", "quality", "attempts"),
    [
        (BusTimeout("silent"), ReadQuality.NO_ANSWER, 2),
        (CrcError("noise"), ReadQuality.INVALID, 2),
        (ExceptionReply(2, "illegal register address"), ReadQuality.REFUSED, 1),
    ],
)
def test_a_failing_meter_gets_its_quality_and_spoils_no_other(
    error: Exception, quality: ReadQuality, attempts: int
) -> None:
    world = World(seven_raises(error))
    sweep = world.reader.sweep(START)
    assert [reading.quality for reading in sweep.readings] == [quality, ReadQuality.MEASURED]
    assert sweep.readings[0].mantissas == ()
    assert [address for address, _, _ in world.bus.asked] == ["7"] * attempts + ["8"]


def test_one_failed_attempt_is_made_good_by_the_second() -> None:
    turns: list[Turn] = [CrcError("noise")]
    world = World(in_turn(turns))
    assert world.qualities() == [ReadQuality.MEASURED, ReadQuality.MEASURED]


def test_a_body_that_does_not_fit_the_profile_is_invalid() -> None:
    world = World(lambda address, request: b"\0" if address == "7" else body_of(request))
    assert world.qualities() == [ReadQuality.INVALID, ReadQuality.MEASURED]


def test_a_silent_meter_is_probed_once_a_sweep() -> None:
    world = World(seven_raises(BusTimeout("silent")))
    for mark in range(3):
        world.qualities(mark)
    assert [address for address, _, _ in world.bus.asked].count("7") == 2 + 1 + 1


def test_a_silent_meter_comes_back_with_its_first_answer() -> None:
    mute = {"7"}
    world = World(lambda address, request: BusTimeout("silent") if address in mute else body_of(request))
    assert world.qualities(0)[0] is ReadQuality.NO_ANSWER
    mute.clear()
    assert world.qualities(1)[0] is ReadQuality.MEASURED
    assert not world.meters[0].patience.is_silent


def test_a_silent_meter_is_left_alone_between_probes() -> None:
    world = World(seven_raises(BusTimeout("silent")))
    for second in range(PAUSES_S[0] - 1):
        reading = world.reader.sweep(START + timedelta(seconds=second)).readings[0]
        assert reading.quality is ReadQuality.NO_ANSWER
    assert [address for address, _, _ in world.bus.asked].count("7") == 2


def test_an_answer_beyond_the_tolerance_is_late_and_kept() -> None:
    sweep = World(all_answer, seconds=40.0).reader.sweep(START)
    assert [reading.quality for reading in sweep.readings] == [ReadQuality.MEASURED, ReadQuality.LATE]
    assert sweep.readings[1].mantissas == (0, 0)


def test_meters_outside_their_span_are_not_asked() -> None:
    world = World(all_answer)
    meters = [*asked(TWO[:1], span=Span(None, START)), *asked(TWO[1:], span=Span(START, None))]
    reader = PortReader(serial_port("line"), world.bus, world.clock, meters, world.stop)
    assert [reading.meter for reading in reader.sweep(START - QUARTER).readings] == ["m-lift"]
    assert [reading.meter for reading in reader.sweep(START).readings] == ["m-fire-pump"]


def test_a_port_without_meters_is_not_opened() -> None:
    world = World(all_answer)
    world.bus.open_failures = [PortLost("no such device")]
    reader = PortReader(serial_port("line"), world.bus, world.clock, [], world.stop)
    assert reader.sweep(START).readings == ()
    assert world.bus.open_failures


def test_a_port_that_vanishes_is_reopened_and_the_whole_sweep_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.sweep.REOPEN_S", 0.0)
    losses: list[Turn] = [body_of(asked(TWO)[0].reads[0]), PortLost("unplugged")]
    undisturbed = World(all_answer, seconds=0.01).reader.sweep(START)
    world = World(in_turn(losses), seconds=0.01)
    assert world.reader.sweep(START) == undisturbed
    assert [address for address, _, _ in world.bus.asked] == ["7", "8", "7", "8"]
    assert world.bus.opened == 2


def test_what_is_behind_a_port_that_was_opened_is_told_the_mark_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a world ends and another comes up after the mark was told, and before the port is open."""
    monkeypatch.setattr("edge_agent.sweep.REOPEN_S", 0.0)
    turns: list[Turn] = [body_of(asked(TWO)[0].reads[0]), PortLost("the world ended")]
    world = World(in_turn(turns))
    events: list[str] = []
    told, opened, ask = world.clock.sleep_until, world.bus.open, world.bus.ask

    def note_told(instant: datetime) -> None:
        events.append("told")
        told(instant)

    def note_open() -> bool:
        was_opened = opened()
        events.extend(["opened"] * was_opened)
        return was_opened

    def note_ask(*arguments: Any, **patience: float) -> Any:
        events.append("asked")
        return ask(*arguments, **patience)

    monkeypatch.setattr(world.clock, "sleep_until", note_told)
    monkeypatch.setattr(world.bus, "open", note_open)
    monkeypatch.setattr(world.bus, "ask", note_ask)
    world.qualities()
    once = ["told", "opened", "told", "asked", "asked"]
    assert events == [*once, *once]


def test_a_port_that_closes_itself_after_a_silence_is_told_the_mark_again(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Turn] = [BusTimeout("silent")]
    world = World(in_turn(turns))
    told: list[datetime] = []
    ask = world.bus.ask

    def hang_up_on_silence(*arguments: Any, **patience: float) -> Any:
        try:
            return ask(*arguments, **patience)
        except BusTimeout:
            world.bus.close()
            raise

    monkeypatch.setattr(world.bus, "ask", hang_up_on_silence)
    monkeypatch.setattr(world.clock, "sleep_until", told.append)
    assert world.qualities() == [ReadQuality.MEASURED, ReadQuality.MEASURED]
    assert world.bus.opened == 2
    assert told == [START] * 3


def test_silence_in_a_sweep_that_broke_off_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.sweep.REOPEN_S", 0.0)
    turns: list[Turn] = [BusTimeout("dying"), BusTimeout("dying"), PortLost("dead")]
    world = World(in_turn(turns))
    assert world.qualities() == [ReadQuality.MEASURED, ReadQuality.MEASURED]


def test_a_port_that_stays_away_beyond_the_tolerance_gives_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.sweep.REOPEN_S", 0.0)
    world = World(all_answer)
    world.bus.open_failures = [PortLost("no such device")] * 1000
    world.clock.sleep_until = lambda _: None  # type: ignore[method-assign, misc, assignment]
    world.clock.sleep(60.0)
    real_close = world.bus.close

    def close_and_take_ten_seconds() -> None:
        real_close()
        world.clock.sleep(10.0)

    world.bus.close = close_and_take_ten_seconds  # type: ignore[method-assign]
    sweep = world.reader.sweep(START)
    assert [reading.quality for reading in sweep.readings] == [ReadQuality.NO_ANSWER] * 2
    assert sweep.ended_at == START + timedelta(seconds=70)


def test_a_gateway_told_to_stop_does_not_wait_for_a_port() -> None:
    world = World(all_answer)
    world.bus.open_failures = [PortLost("no such device")]
    world.stop.set()
    with pytest.raises(Stopped):
        world.reader.sweep(START)


def test_a_meter_with_a_malformed_address_is_refused_before_anything_runs() -> None:
    with pytest.raises(AddressInvalid):
        AskedMeter.prepare(fitted((*LINE[0][:3], "12"), "line-a"), Catalogue.shipped(), "billing")
