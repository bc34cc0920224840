"""The transaction layer on a scripted line: conversations, switching, noise, silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from device_profiles.framing import modbus_rtu
from device_profiles.framing.conversation import Conversation, Exchange, broadcast
from device_profiles.framing.errors import CrcError, ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Protocol
from edge_agent.adapters.stream_bus import StreamBus
from edge_agent.arbiter import GAP_S_FAST, NOISE_OCTETS_MAX, Arbiter, gap_s_of
from edge_agent.ports import AnswerCut, BusTimeout, LineFixed, PortLost
from metering.clock import ManualClock
from metering.identity import GatewayId, PortId
from provisioning.site import LineSettings, Parity, StreamPort

START = datetime(2026, 7, 1, tzinfo=UTC)
USUAL = LineSettings(9600, Parity.EVEN, 1)
SLOW = LineSettings(2400, Parity.EVEN, 1)
READ = ModbusRead(3, 0, 2)
BODY = b"\x01\x02\x03\x04"
REPLY = modbus_rtu.build_reply("7", READ, BODY)
ASKED = modbus_rtu.build_request("7", READ)


class ScriptedLine:
    """Answers each request by a script; notes everything that is done to it."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _: REPLY) -> None:
        self.answer = answer
        self.is_open = False
        self.done: list[object] = []
        self.waiting = b""

    def open(self) -> bool:
        """Open."""
        was_open, self.is_open = self.is_open, True
        return not was_open

    def close(self) -> None:
        """Close."""
        self.is_open = False

    def send(self, octets: bytes) -> None:
        """Take a request; the answer waits at once."""
        self.done.append(octets)
        self.waiting += self.answer(octets)

    def read(self, seconds: float) -> bytes:
        """Give what waits, in one piece."""
        octets, self.waiting = self.waiting, b""
        return octets

    def drain(self) -> None:
        """Note it."""
        self.done.append("drained")

    def switch(self, settings: LineSettings) -> None:
        """Note it."""
        self.done.append(settings)


class Bench:
    """An arbiter on a scripted line."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _: REPLY) -> None:
        self.line = ScriptedLine(answer)
        self.clock = ManualClock(START)
        self.bus = Arbiter(self.line, USUAL, self.clock)
        self.bus.open()

    def ask(self, line: LineSettings | None = None) -> bytes:
        """Read two registers of unit 7."""
        return self.bus.ask(Protocol.MODBUS_RTU, "7", READ, reply_s=0.01, late_s=0.02, line=line).body

    def passed_s(self) -> float:
        """Clock time since the start [s]."""
        return (self.clock.now() - START).total_seconds()


def in_steps(*requests: bytes, **how: object) -> Conversation:
    """A conversation of several exchanges with answers of three octets; gives all answers."""
    received = []
    for request in requests:
        received.append((yield Exchange(request, lambda _: 3, **how)))  # type: ignore[arg-type]
    return b"|".join(received)


def answers(*texts: bytes) -> Callable[[bytes], bytes]:
    """Answer with `texts` in turn, then with silence."""
    left: Iterator[bytes] = iter(texts)
    return lambda _: next(left, b"")


def test_a_conversation_is_held_exchange_by_exchange() -> None:
    bench = Bench(answers(b"one", b"two"))
    answer = bench.bus.converse(in_steps(b"abc", b"def"), reply_s=0.01, late_s=0.01)
    assert answer.body == b"one|two"
    assert bench.line.done == [b"abc", b"def"]
    assert bench.bus.figures.exchanges == 2


def test_between_the_exchanges_of_a_conversation_there_is_silence() -> None:
    bench = Bench(answers(b"one", b"two"))
    answer = bench.bus.converse(in_steps(b"abc", b"def"), reply_s=0.01, late_s=0.01)
    assert (answer.ended_at - answer.started_at).total_seconds() == pytest.approx(3.5 * 11 / 9600, abs=1e-5)


def test_a_pause_that_the_protocol_asks_for_is_kept() -> None:
    bench = Bench(answers(b"one"))
    bench.bus.converse(in_steps(b"abc", pause_ms=250), reply_s=0.01, late_s=0.01)
    assert bench.passed_s() == pytest.approx(0.25)


def test_each_echo_is_dropped_and_counted() -> None:
    bench = Bench(lambda sent: sent + b"yes")
    assert bench.bus.converse(in_steps(b"abc", b"def"), reply_s=0.01, late_s=0.01).body == b"yes|yes"


def test_silence_in_the_middle_ends_the_conversation_and_lets_it_clean_up() -> None:
    closed: list[bool] = []

    def careful() -> Conversation:
        try:
            return (yield from in_steps(b"abc", b"def"))
        finally:
            closed.append(True)

    bench = Bench(answers(b"one"))
    with pytest.raises(BusTimeout):
        bench.bus.converse(careful(), reply_s=0.01, late_s=0.01)
    assert closed == [True]
    assert bench.bus.figures.silent == 1


def test_silence_can_be_an_answer() -> None:
    bench = Bench(answers())
    assert bench.bus.converse(in_steps(b"abc", silence_is_answer=True), reply_s=0.005, late_s=0.01).body == b""


def test_a_broadcast_is_sent_and_not_waited_for() -> None:
    bench = Bench(answers())
    answer = bench.bus.converse(broadcast(b"freeze"), reply_s=60.0, late_s=60.0)
    assert answer.body == b""
    assert bench.line.done == [b"freeze"]
    assert bench.passed_s() == pytest.approx(3.5 * 11 / 9600, abs=1e-5)


def test_the_speed_changes_once_the_request_is_out_and_goes_back_for_the_next_meter() -> None:
    bench = Bench(answers(b"one", REPLY))
    bench.bus.converse(in_steps(b"ack", baud=19_200), reply_s=0.01, late_s=0.01)
    bench.ask()
    fast = replace(USUAL, baud=19_200)
    assert bench.line.done == [b"ack", "drained", fast, USUAL, ASKED]


def test_a_meter_with_settings_of_its_own_has_the_line_switched_and_the_gap_paid() -> None:
    bench = Bench()
    bench.ask()
    bench.ask(SLOW)
    bench.ask(SLOW)
    bench.ask()
    assert bench.line.done == [ASKED, SLOW, ASKED, ASKED, USUAL, ASKED]
    assert bench.bus.figures.switches == 2
    assert bench.passed_s() == pytest.approx(3 * 3.5 * 11 / 2400, abs=1e-4)  # two switches and one gap at 2400


def test_a_declared_gap_is_paid_where_it_is_longer() -> None:
    bench = Bench()
    bench.ask(replace(SLOW, gap_ms=300))
    assert bench.passed_s() == pytest.approx(0.3)


def test_a_switched_line_is_known_to_be_as_usual_after_it_was_opened_again() -> None:
    bench = Bench()
    bench.ask(SLOW)
    bench.bus.close()
    bench.bus.open()
    bench.ask()
    assert bench.line.done == [SLOW, ASKED, ASKED]


@pytest.mark.parametrize("noise", [b"\x00", b"\xff\x00", b"\xff\xff\xff"])
def test_a_few_octets_of_noise_before_an_answer_are_dropped(noise: bytes) -> None:
    bench = Bench(lambda _: noise + REPLY)
    assert bench.ask() == BODY
    assert bench.bus.figures.strays == len(noise)


def test_more_than_a_few_octets_may_be_a_frame_and_are_not_dropped() -> None:
    bench = Bench(lambda _: bytes(NOISE_OCTETS_MAX + 1) + REPLY)
    with pytest.raises(FrameError):
        bench.ask()


def test_an_answer_that_breaks_off_is_told_from_a_wrong_one() -> None:
    with pytest.raises(AnswerCut):
        Bench(lambda _: REPLY[:-3]).ask()
    with pytest.raises(CrcError):
        Bench(lambda _: REPLY[:-1] + b"\0").ask()


def test_a_refusal_needs_no_quarantine() -> None:
    bench = Bench(lambda _: modbus_rtu.build_exception("7", READ, 2))
    with pytest.raises(ExceptionReply):
        bench.ask()
    assert bench.bus.figures.refused == 1
    assert bench.bus.figures.busy_s < 0.02


def test_what_strays_in_is_discarded_and_counted() -> None:
    bench = Bench()
    bench.line.waiting = b"from another master"
    assert bench.ask() == BODY
    assert bench.bus.figures.strays == len(b"from another master")


def test_an_exchange_may_need_longer_than_the_link() -> None:
    bench = Bench(answers())
    with pytest.raises(BusTimeout, match=r"0\.030 s"):
        bench.bus.converse(in_steps(b"abc", reply_ms_max=30), reply_s=0.001, late_s=0.001)


def test_fast_lines_keep_the_fixed_silence_and_unknown_ones_none() -> None:
    assert gap_s_of(replace(USUAL, baud=115_200)) == GAP_S_FAST
    assert gap_s_of(None) == 0.0


def test_seven_bits_take_less_time_than_eight() -> None:
    assert LineSettings(300, Parity.EVEN, 1, databits=7).char_s == pytest.approx(10 / 300)


def test_a_converters_line_cannot_be_switched_from_here() -> None:
    port = StreamPort(PortId("far"), GatewayId("gw-a"), "127.0.0.1", 1, 60, USUAL)
    with pytest.raises(LineFixed):
        StreamBus(port, ManualClock(START))._line.switch(SLOW)
    with pytest.raises(PortLost):
        StreamBus(port, ManualClock(START)).open()
