"""Lines that take time: every octet at its instant, collisions, late answers, echo, noise; the same again by seed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing import codec_of, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import CrcError, ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.living_registers import LivingRegisters
from device_profiles.misbehaviour import HONEST, SHARES, Misbehaviour, spoilt
from device_profiles.profile import Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from edge_agent.arbiter import gap_s_of
from edge_agent.capacity import WireExchange, rehearse, seconds_on
from metering.identity import MeterId
from provisioning.site import LineSettings, Parity

WALL_S = 1_782_864_000
READ = ModbusRead(3, 0x101E, 2)
REQUEST_OCTETS, ANSWER_OCTETS = 8, 9
SPEED = Speed(9600, "E")
CHAR_S = 11 / 9600
TURNAROUND_S = 0.03
DTSU = Catalogue.shipped().by_id("chint/dtsu666")


def meter(address: str = "1", ways: Misbehaviour = HONEST, protocol: Protocol = Protocol.MODBUS_RTU) -> LineMeter:
    """A Modbus meter with registers of its own."""
    simulated = SimulatedMeter(MeterId(f"m-{address}"), DTSU, protocol, address)
    return LineMeter(simulated, LivingRegisters(DTSU, f"seed/{address}", WALL_S, ways), ways)


def line(*meters: LineMeter, speed: Speed = SPEED, seed: str = "seed", echo: bool = False, noise: int = 0) -> TimedLine:
    """A line from instant 0 on."""
    return TimedLine(meters, speed, seed, echo=echo, noise=noise)


def ask(address: str = "1", read: ModbusRead = READ) -> bytes:
    """A request."""
    return modbus_rtu.build_request(address, read)


def all_octets(of: TimedLine, until_s: float = 1e9) -> bytes:
    """What has arrived by an instant."""
    return b"".join(octets for _, octets in of.due(until_s))


def test_a_character_has_start_data_parity_and_stop_bits() -> None:
    assert Speed(9600).char_s == 10 / 9600
    assert Speed(9600, "E").char_s == 11 / 9600
    assert Speed(2400, "N", 2).char_s == 11 / 2400
    assert Speed(300, "E", 1, 7).char_s == 10 / 300
    assert Speed(0).char_s == 0


@pytest.mark.parametrize("baud", [1200, 9600, 115_200])
def test_an_answer_appears_when_request_turnaround_and_its_octets_have_passed(baud: int) -> None:
    speed = Speed(baud, "E")
    of = line(meter(), speed=speed)
    of.hear(ask(), 5.0)
    begun_s = 5.0 + REQUEST_OCTETS * speed.char_s + TURNAROUND_S
    for count in range(1, ANSWER_OCTETS + 1):
        due_s = of.next_due_s
        assert due_s == pytest.approx(begun_s + count * speed.char_s)
        assert due_s is not None
        assert of.due(due_s - 1e-6) == []
        assert len(all_octets(of, due_s)) == 1
    assert of.next_due_s is None


def test_an_answer_comes_in_pieces_and_whole() -> None:
    of = line(meter())
    of.hear(ask(), 0.0)
    half_s = REQUEST_OCTETS * CHAR_S + TURNAROUND_S + 4.5 * CHAR_S
    first = all_octets(of, half_s)
    rest = all_octets(of)
    assert (len(first), len(rest)) == (4, 5)
    assert len(modbus_rtu.parse_reply("1", READ, first + rest)) == 4


def test_a_request_in_pieces_takes_as_long_as_a_whole_one() -> None:
    of = line(meter())
    of.hear(ask()[:3], 0.0)
    of.hear(ask()[3:], 0.0001)
    assert of.next_due_s == pytest.approx(REQUEST_OCTETS * CHAR_S + TURNAROUND_S + CHAR_S)


def test_two_meters_at_one_address_collide_octet_by_octet() -> None:
    of = line(meter(), meter("1", Misbehaviour(exchange_at_s=0)))
    single = line(meter()), line(meter("1", Misbehaviour(exchange_at_s=0)))
    for each in (of, *single):
        each.hear(ask(), 0.0)
    answers = [all_octets(each) for each in single]
    assert answers[0] != answers[1]
    together = all_octets(of)
    assert together == bytes(left & right for left, right in zip(*answers, strict=True))
    assert of.figures.faults["collision"] == 1
    with pytest.raises(FrameError):
        modbus_rtu.parse_reply("1", READ, together)


def test_answers_that_begin_apart_overlap_only_where_they_meet() -> None:
    turnaround_ms = 30 + round(4 * CHAR_S * 1000)
    of = line(meter(), meter("1", Misbehaviour(turnaround_ms=turnaround_ms)))
    of.hear(ask(), 0.0)
    assert len(all_octets(of)) == ANSWER_OCTETS + 4


def test_a_late_answer_goes_out_into_the_next_request_s_time() -> None:
    of = line(meter(ways=Misbehaviour(late=100, late_ms=600)), meter("2"))
    of.hear(ask(), 0.0)
    assert all_octets(of, 0.5) == b""
    of.hear(ask("2"), 0.5)
    came = all_octets(of)
    assert came.startswith(modbus_rtu.build_reply("2", READ, modbus_rtu.parse_reply("2", READ, came[:ANSWER_OCTETS])))
    assert modbus_rtu.parse_reply("1", READ, came[ANSWER_OCTETS:])
    assert of.figures.faults == {"late": 1}


def test_a_request_sent_into_an_answer_is_heard_by_nobody() -> None:
    of = line(meter(ways=Misbehaviour(late=100, late_ms=600)), meter("2"))
    of.hear(ask(), 0.0)
    of.hear(ask("2"), REQUEST_OCTETS * CHAR_S + TURNAROUND_S + 0.6)
    assert len(all_octets(of)) == ANSWER_OCTETS
    assert of.figures.faults == {"late": 1, "unheard": 1}


def test_an_echo_comes_while_the_request_is_sent() -> None:
    of = line(meter(), echo=True)
    of.hear(ask(), 0.0)
    assert all_octets(of, REQUEST_OCTETS * CHAR_S + 1e-9) == ask()
    assert modbus_rtu.parse_reply("1", READ, all_octets(of))


def test_noise_stands_beside_frames_and_changes_none() -> None:
    of, quiet = line(meter(), noise=100), line(meter())
    for number in range(20):
        of.hear(ask(), float(number))
        quiet.hear(ask(), float(number))
        answer, noisy = all_octets(quiet), all_octets(of)
        assert answer in noisy
        assert len(noisy) > len(answer)
    assert of.figures.faults == {"noise": 20}


def test_the_same_seed_gives_the_same_octets_and_another_does_not() -> None:
    ways = Misbehaviour(late=20, mute=20, garbled=20, cut=20, busy=20, foreign=20)

    def played(seed: str) -> list[object]:
        of = line(meter(ways=ways), meter("2", ways), seed=seed, noise=30)
        came: list[object] = []
        for number in range(200):
            of.hear(ask(str(1 + number % 2)), float(number))
            came.append((of.next_due_s, of.due(number + 0.999)))
        return [*came, of.figures]

    assert played("a") == played("a")
    assert played("a") != played("b")


def test_every_fault_is_counted_by_its_name() -> None:
    assert len(SHARES) == 6
    for name in SHARES:
        share: dict[str, Any] = {name: 100}
        of = line(meter(ways=replace(HONEST, **share)))
        of.hear(ask(), 0.0)
        assert of.figures.faults == {name: 1}
    of = line(meter(ways=Misbehaviour(wrong_parity=True)))
    of.hear(ask(), 0.0)
    assert of.figures.faults == {"wrong-parity": 1}
    with pytest.raises(FrameError):
        modbus_rtu.parse_reply("1", READ, all_octets(of))


def test_utilisation_is_what_the_plan_s_formula_says() -> None:
    settings = LineSettings(9600, Parity.EVEN, 1)
    reads = plan_reads(DTSU, Protocol.MODBUS_RTU, DTSU.groups[0])
    exchanges = rehearse(DTSU, Protocol.MODBUS_RTU, "1", reads)
    of = line(meter())
    for number, read in enumerate(reads):
        assert isinstance(read, ModbusRead)
        of.hear(ask(read=read), float(number))
        all_octets(of)
    gaps_s = len(exchanges) * gap_s_of(settings)
    assert of.figures.wire_s == pytest.approx(seconds_on(settings, exchanges, TURNAROUND_S) - gaps_s)
    assert of.figures.utilisation(10.0) == pytest.approx(of.figures.wire_s / 10)
    assert of.figures.octets_asked == sum(each.sent for each in exchanges)
    assert of.figures.octets_answered == sum(each.received for each in exchanges)
    single = line(meter())
    single.hear(ask(), 0.0)
    known = WireExchange(REQUEST_OCTETS, ANSWER_OCTETS)
    assert single.figures.wire_s == pytest.approx(seconds_on(settings, [known], TURNAROUND_S) - gap_s_of(settings))


def test_modbus_tcp_takes_no_time_but_the_turnaround_and_names_who_is_not_there() -> None:
    of = line(meter(protocol=Protocol.MODBUS_TCP), speed=Speed(0))
    of.hear(modbus_tcp.build_request("1", READ, 7), 0.0, "first")
    of.hear(modbus_tcp.build_request("9", READ, 8), 0.0, "second")
    assert of.next_due_s == TURNAROUND_S
    came = dict(of.due(TURNAROUND_S))
    assert len(modbus_tcp.parse_reply("1", READ, came["first"], 7)) == 4
    with pytest.raises(ExceptionReply):
        modbus_tcp.parse_reply("9", READ, came["second"], 8)
    with pytest.raises(FrameError):
        of.hear(b"GET / HTTP/1.1", 1.0)


def test_who_has_hung_up_gets_nothing() -> None:
    of = line(meter())
    of.hear(ask(), 0.0, "gone")
    of.forget("gone")
    assert of.due(1e9) == []


def test_busy_is_said_in_the_protocol_s_words() -> None:
    ways = Misbehaviour(busy=100)
    outcome = spoilt(random.Random(1), ways, Protocol.MODBUS_RTU, ask(), b"")
    with pytest.raises(ExceptionReply, match="busy"):
        modbus_rtu.parse_reply("1", READ, outcome.octets)
    assert spoilt(random.Random(1), ways, Protocol.MBUS, b"\x10", b"\xe5").octets == b""
    three = Catalogue.shipped().by_id("dlt645/three-phase")
    read = plan_reads(three, Protocol.DLT645_2007, three.groups[0])[0]
    conversation = codec_of(Protocol.DLT645_2007).converse("202607000001", read)
    request = next(conversation).request
    refused = spoilt(random.Random(1), ways, Protocol.DLT645_2007, request, b"").octets
    with pytest.raises(ExceptionReply):
        conversation.send(refused)


def test_an_honest_meter_is_left_alone() -> None:
    draw = random.Random(1)
    outcome = spoilt(draw, HONEST, Protocol.MODBUS_RTU, ask(), b"\x01")
    assert (outcome.octets, outcome.later_s, outcome.names) == (b"\x01", 0.0, ())
    assert draw.random() == random.Random(1).random(), "an honest meter draws nothing"


def test_a_garbled_answer_is_refused_by_its_check() -> None:
    of = line(meter(ways=Misbehaviour(garbled=100)))
    of.hear(ask(), 0.0)
    with pytest.raises(CrcError):
        modbus_rtu.parse_reply("1", READ, all_octets(of))
