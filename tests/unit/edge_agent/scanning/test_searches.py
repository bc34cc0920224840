"""Searches step by step: what is asked after what was heard."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from device_profiles.framing import codec_of, modbus_rtu
from device_profiles.framing.conversation import drive
from device_profiles.framing.dlt645_frame import Dlt645Frame
from device_profiles.framing.mbus_frame import ACKNOWLEDGE
from device_profiles.profile import Protocol
from edge_agent.scanning import searches
from edge_agent.scanning.listening import Heard, Sound, listen, silence_after
from edge_agent.scanning.searches import Question, Search, Several, Spotted
from tests.doubles.scanned_line import PORT, ScannedLine, on_line

SILENCE = Heard(Sound.SILENCE)
ANSWER = modbus_rtu.with_crc(b"\x05\x83\x02")


def run(search: Search, hear: Callable[[Question], Heard]) -> tuple[list[str], list[Spotted | Several]]:
    """Run a search; give what was asked and what was found."""
    asked: list[str] = []
    found: list[Spotted | Several] = []
    heard: Heard | None = None
    try:
        while True:
            step = search.send(heard)
            heard = None
            if isinstance(step, Question):
                asked.append(step.told)
                heard = hear(step)
            else:
                found.append(step)
    except StopIteration:
        return asked, found


def test_who_is_silent_is_asked_once() -> None:
    asked, found = run(searches.modbus_ids(("1", "2", "3"), (), 0.06), lambda _: SILENCE)
    assert (asked, found) == (["1", "2", "3"], [])


def test_one_answer_and_silence_after_it_are_one_meter() -> None:
    def hear(question: Question) -> Heard:
        return Heard(Sound.REFUSAL, ANSWER) if question.told == "5" else SILENCE

    asked, found = run(searches.modbus_ids(("5", "6"), (), 0.06), hear)
    assert asked == ["5", "…", "6"]
    assert [(type(each), each.address) for each in found] == [(Spotted, "5")]


def test_a_second_answer_that_comes_each_time_is_a_second_meter() -> None:
    def hear(question: Question) -> Heard:
        return Heard(Sound.REFUSAL if question.told == "5" else Sound.ANSWER, ANSWER)

    _, found = run(searches.modbus_ids(("5",), (), 0.06), hear)
    assert found == [Several("5", ANSWER + ANSWER)]


def test_noise_after_an_answer_is_no_second_meter() -> None:
    noises = iter([b"\x00", b""])

    def hear(question: Question) -> Heard:
        if question.told == "5":
            return Heard(Sound.REFUSAL, ANSWER)
        return Heard(Sound.ANSWER, next(noises, b""))

    _, found = run(searches.modbus_ids(("5",), (), 0.06), hear)
    assert [(type(each), each.address) for each in found] == [(Spotted, "5")]


@pytest.mark.parametrize(("times", "kind"), [(1, Spotted), (2, Spotted), (9, Several)])
def test_a_broken_answer_is_asked_for_again_before_it_counts(times: int, kind: type) -> None:
    left = iter([Heard(Sound.BROKEN, b"\x05\x00")] * times)

    def hear(question: Question) -> Heard:
        return next(left, Heard(Sound.REFUSAL, ANSWER)) if question.told == "5" else SILENCE

    _, found = run(searches.modbus_ids(("5",), (), 0.06), hear)
    assert [type(each) for each in found] == [kind]


def test_an_octet_that_nobody_was_asked_for_has_the_block_asked_again_with_patience() -> None:
    waits: list[float] = []

    def hear(question: Question) -> Heard:
        waits.append(question.wait_s)
        return Heard(Sound.SILENCE, strays=1)

    asked, _ = run(searches.modbus_ids(("3", "4"), ("1", "2"), 0.06), hear)
    assert asked == ["3", "4", "1", "2", "3", "4", "…", "1", "2", "3", "4"]
    assert waits[-1] == searches.SLOW_S


def frame_of(address: str) -> bytes:
    """The refusal of a DL/T 645 meter."""
    return Dlt645Frame(address, 0xD1, b"\x02").to_wire()


def test_pieces_of_another_answer_beside_a_right_one_are_another_meter() -> None:
    whole = frame_of("000012345678")
    for octets, is_more in (
        (b"\xfe\xfe\xfe\xfe" + whole, False),
        (whole + frame_of("000012345679"), True),
        (b"\x68\x10\x23" + whole, True),
    ):
        assert searches._has_more(Heard(Sound.REFUSAL, octets)) is is_more


def test_two_acknowledges_are_two_meters_without_asking_for_their_telegrams() -> None:
    asked: list[bytes] = []

    def hear(question: Question) -> Heard:
        exchange = next(question.conversation())
        asked.append(exchange.request)
        is_all = exchange.request[7:11] == b"\xff\xff\xff\xff"
        return Heard(Sound.ANSWER, ACKNOWLEDGE * 2 if is_all else b"")

    _, found = run(searches.mbus(0.2), hear)
    assert [type(each) for each in found] == [Several]
    assert all(request[:1] == b"\x68" for request in asked[:-1])  # selections only, and the reset at the end


def test_listening_gives_what_comes_unasked_and_nothing_on_a_silent_line() -> None:
    line = ScannedLine([on_line("acrel/adl400", "3", turnaround_ms=300)])
    bus = line.bus()
    asked = codec_of(Protocol.MODBUS_RTU).converse("3", searches.PRESENCE)
    assert listen(bus, asked, 0.06, PORT.line).sound is Sound.SILENCE
    late = listen(bus, silence_after(0.5), 0.5, PORT.line)
    assert late.octets[0] == 3
    assert listen(bus, silence_after(0.5), 0.5, PORT.line).octets == b""


def test_a_link_is_let_go_after_it_was_set_up() -> None:
    from device_profiles.framing.hdlc import UA

    line = ScannedLine([on_line("dlms/public", "1/17")])
    meter, registers = line.meters[0].meter, line.meters[0].registers
    answers: list[bytes] = []

    def carry(request: bytes) -> bytes:
        answers.append(meter.answer(request, registers) or b"")
        return answers[-1]

    assert drive(searches._link("1/17"), lambda exchange: carry(exchange.request)) == b"\1"
    assert len(answers) == 2
    assert UA in answers[0]
