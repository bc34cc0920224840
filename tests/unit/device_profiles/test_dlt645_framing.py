"""DL/T 645-2007 framing: a stream with wake-up octets, echoes and noise gives the one right answer, or an error."""

from __future__ import annotations

import pytest

from device_profiles.framing import dlt645
from device_profiles.framing.dlt645 import Dlt645Frame
from device_profiles.framing.errors import (
    AddressInvalid,
    AddressMismatch,
    AnswerMismatch,
    CrcError,
    ExceptionReply,
    FrameError,
)
from device_profiles.read_plan import Dlt645Read

METER = "000000000161"
IMPORT = Dlt645Read(bytes.fromhex("00010000"))
REQUEST = bytes.fromhex("68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16")
REPLY = bytes.fromhex("68 61 01 00 00 00 00 68 91 08 33 33 34 33 59 33 33 33 8A 16")
BODY = bytes.fromhex("26000000")


def test_a_request_is_framed_as_captured_with_wake_up() -> None:
    assert dlt645.build_request(METER, IMPORT) == b"\xfe\xfe\xfe\xfe" + REQUEST
    assert dlt645.parse_request(b"\xfe" + REQUEST) == (METER, IMPORT)


def test_a_reply_gives_what_follows_its_identifier() -> None:
    assert dlt645.parse_reply(METER, IMPORT, REPLY) == BODY
    assert dlt645.build_reply(METER, IMPORT, BODY) == dlt645.WAKE_UP + REPLY


@pytest.mark.parametrize("wake_up", [0, 1, 4, 7])
def test_any_number_of_wake_up_octets_may_come_first(wake_up: int) -> None:
    assert dlt645.parse_reply(METER, IMPORT, b"\xfe" * wake_up + REPLY) == BODY


def test_an_echo_of_the_request_is_skipped() -> None:
    assert dlt645.parse_reply(METER, IMPORT, b"\xfe" * 4 + REQUEST + REPLY) == BODY
    with pytest.raises(FrameError, match="no answer"):
        dlt645.parse_reply(METER, IMPORT, REQUEST)


def test_noise_before_a_frame_is_skipped_even_when_it_looks_like_a_start() -> None:
    for noise in (b"\x00\xff", b"\x68", b"\x68\x68", b"\x68" + bytes(6) + b"\x68\x91\xc0"):
        assert dlt645.parse_reply(METER, IMPORT, noise + REPLY) == BODY


def test_a_checksum_that_looks_like_the_end_octet_does_not_end_the_frame() -> None:
    body = next(
        bytes((low, high, 0, 0))
        for low in range(0x99)
        for high in range(0x99)
        if Dlt645Frame(METER, 0x91, b"\0\0\x01\0" + bytes((low, high, 0, 0))).to_wire()[-2] == 0x16
    )
    assert dlt645.parse_reply(METER, IMPORT, dlt645.build_reply(METER, IMPORT, body)) == body


@pytest.mark.parametrize("at", [0, 7, 9, 14, 18, 19])
def test_a_spoilt_frame_is_refused(at: int) -> None:
    spoilt = bytearray(REPLY)
    spoilt[at] ^= 0x10
    with pytest.raises(FrameError):
        dlt645.parse_reply(METER, IMPORT, bytes(spoilt))


def test_a_wrong_checksum_is_named() -> None:
    with pytest.raises(CrcError, match="right checksum"):
        dlt645.parse_reply(METER, IMPORT, REPLY[:-2] + b"\x8b\x16")


def test_the_answer_of_another_meter_is_refused() -> None:
    with pytest.raises(AddressMismatch, match="meter 000000000162"):
        dlt645.parse_reply(METER, IMPORT, dlt645.build_reply("000000000162", IMPORT, BODY))


def test_the_answer_for_another_identifier_is_refused() -> None:
    with pytest.raises(AnswerMismatch, match="answer for 00020000"):
        dlt645.parse_reply(METER, IMPORT, dlt645.build_reply(METER, Dlt645Read(bytes.fromhex("00020000")), BODY))


def test_two_answers_to_one_request_are_refused() -> None:
    with pytest.raises(AnswerMismatch, match="2 answers"):
        dlt645.parse_reply(METER, IMPORT, REPLY + REPLY)


def test_an_answer_that_goes_on_is_refused() -> None:
    with pytest.raises(AnswerMismatch, match="further frames"):
        dlt645.parse_reply(METER, IMPORT, Dlt645Frame(METER, 0xB1, b"\0\0\x01\0" + BODY).to_wire())


def test_an_answer_to_another_function_is_refused() -> None:
    with pytest.raises(AnswerMismatch, match="0x93"):
        dlt645.parse_reply(METER, IMPORT, Dlt645Frame(METER, 0x93, b"\0\0\x01\0" + BODY).to_wire())


def test_a_refusal_says_why() -> None:
    with pytest.raises(ExceptionReply, match="no such item") as caught:
        dlt645.parse_reply(METER, IMPORT, dlt645.build_exception(METER, IMPORT, 0x02))
    assert caught.value.code == 2
    with pytest.raises(ExceptionReply, match="no such item, not authorised"):
        dlt645.parse_reply(METER, IMPORT, dlt645.build_exception(METER, IMPORT, 0x06))
    with pytest.raises(ExceptionReply, match="no reason given"):
        dlt645.parse_reply(METER, IMPORT, dlt645.build_exception(METER, IMPORT, 0))
    with pytest.raises(FrameError, match="one error word"):
        dlt645.parse_reply(METER, IMPORT, Dlt645Frame(METER, 0xD1, b"").to_wire())


def test_two_frames_in_one_read_are_both_found() -> None:
    frames, rest = dlt645.scan(b"\xfe" + REPLY + b"\xfe\xfe" + REQUEST + REPLY[:5])
    assert [frame.control for frame in frames] == [0x91, 0x11]
    assert rest == REPLY[:5]


def test_octets_that_cannot_begin_a_frame_are_not_kept() -> None:
    assert dlt645.scan(b"\xfe\x00\x16") == ([], b"")
    assert dlt645.scan(bytes.fromhex("68 01 02 03 04 05 06 07 08")) == ([], b"")


def test_the_length_of_a_reply_is_predicted_from_what_came() -> None:
    whole = dlt645.WAKE_UP + REPLY
    assert dlt645.octets_expected(IMPORT, b"") == 12
    for received in range(14, len(whole)):
        assert dlt645.octets_expected(IMPORT, whole[:received]) == len(whole)
    assert dlt645.octets_expected(IMPORT, whole) == len(whole)


@pytest.mark.parametrize("received", range(1, 37))
def test_the_prediction_never_stops_short_of_the_answer(received: int) -> None:
    stream = b"\xfe\xfe" + REQUEST + b"\xfe\xfe" + REPLY
    complete = received >= len(stream)
    assert (dlt645.octets_expected(IMPORT, stream[:received]) <= received) is complete


def test_an_address_is_twelve_digits_and_not_the_broadcast() -> None:
    assert dlt645.check_address("000000000161") == "000000000161"
    for wrong in ("161", "00000000016A", "0000000000161", "AAAAAAAAAAAA", "999999999999", "", "０00000000161"):
        with pytest.raises(AddressInvalid):
            dlt645.check_address(wrong)


def test_a_request_for_the_meters_end_must_be_one_read() -> None:
    for octets in (b"", REPLY, REQUEST + REQUEST, Dlt645Frame(METER, 0x11, b"\0\0").to_wire()):
        with pytest.raises(FrameError):
            dlt645.parse_request(octets)
