"""DL/T 645 conversations of both editions: answers that go on, addresses, freezes, the time, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from device_profiles.framing import broadcasts_of, codec_of, dlt645
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.dlt645 import (
    ANY_METER,
    BROADCAST,
    CODEC_1997,
    CODEC_2007,
    Dlt645Frame,
    Dlt645Freeze,
    Dlt645Read,
    Dlt645ReadAddress,
    FollowUp,
)
from device_profiles.framing.dlt645_codec import FOLLOW_UPS_MAX, Dlt645Codec
from device_profiles.framing.errors import (
    AddressMismatch,
    AnswerMismatch,
    ExceptionReply,
    FrameError,
    NotInProtocol,
)
from device_profiles.profile import Protocol

METER = "000000000161"
BLOCK = Dlt645Read(bytes.fromhex("0001FF00"))
OLD_BLOCK = Dlt645Read(bytes.fromhex("901F"))
EDITIONS = pytest.mark.parametrize(
    ("codec", "read"), [(CODEC_2007, BLOCK), (CODEC_1997, OLD_BLOCK)], ids=["2007", "1997"]
)


def replies(*frames: bytes) -> Callable[[Exchange], bytes]:
    """Answer each exchange with the next frame."""
    at: Iterator[bytes] = iter(frames)
    return lambda _: next(at)


def parts(codec: Dlt645Codec, read: Dlt645Read, *bodies: bytes) -> list[bytes]:
    """Give the frames of an answer in several parts."""
    frames = [codec.build_reply(METER, read, bodies[0], goes_on=len(bodies) > 1)]
    for number, body in enumerate(bodies[1:], 1):
        asked = FollowUp(read.di, number if codec is CODEC_2007 else None)
        frames.append(codec.build_follow_up_reply(METER, asked, body, goes_on=number + 1 < len(bodies)))
    return frames


@EDITIONS
def test_an_answer_in_several_frames_is_put_together(codec: Dlt645Codec, read: Dlt645Read) -> None:
    asked: list[bytes] = []
    frames = iter(parts(codec, read, b"\x01\x02", b"\x03", b"\x04\x05"))

    def carry(exchange: Exchange) -> bytes:
        asked.append(exchange.request)
        reply = next(frames)
        assert exchange.octets_expected(b"") > 0
        assert exchange.octets_expected(reply) == len(reply)
        assert exchange.check is not None
        assert isinstance(exchange.check(reply), bytes)
        return reply

    assert drive(codec.converse(METER, read), carry) == b"\x01\x02\x03\x04\x05"
    follow = [dlt645.scan(request)[0][0] for request in asked[1:]]
    assert {frame.control for frame in follow} == {codec.dialect.follow}
    numbers = [b"\x01", b"\x02"] if codec is CODEC_2007 else [b"", b""]
    assert [frame.field for frame in follow] == [read.di[::-1] + number for number in numbers]


def test_the_follow_up_request_is_framed_as_captured() -> None:
    """Public code: identifier 03300001, number 1."""
    conversation = CODEC_2007.converse("123456789012", Dlt645Read(bytes.fromhex("03300001")))
    next(conversation)
    first = CODEC_2007.build_reply("123456789012", Dlt645Read(bytes.fromhex("03300001")), b"\0", goes_on=True)
    request = conversation.send(first).request
    assert request.lstrip(b"\xfe") == bytes.fromhex("68 12 90 78 56 34 12 68 12 05 34 33 63 36 34 D1 16")


def test_a_repeated_or_skipped_part_is_refused() -> None:
    first, second, third = parts(CODEC_2007, BLOCK, b"\x01", b"\x02", b"\x03")
    for wrong in (third, first):
        with pytest.raises(FrameError):
            drive(CODEC_2007.converse(METER, BLOCK), replies(first, wrong, third))
    with pytest.raises(AnswerMismatch, match="follow-up"):
        drive(CODEC_2007.converse(METER, BLOCK), replies(first, second, second))


@EDITIONS
def test_a_part_of_another_answer_is_refused(codec: Dlt645Codec, read: Dlt645Read) -> None:
    first, _ = parts(codec, read, b"\x01", b"\x02")
    other = Dlt645Read(read.di[:-1] + b"\x77")
    with pytest.raises(AnswerMismatch, match="answer for"):
        drive(codec.converse(METER, read), replies(first, parts(codec, other, b"\x01", b"\x02")[1]))
    stranger = Dlt645Frame("000000000162", codec.dialect.follow | 0x80, read.di[::-1]).to_wire()
    with pytest.raises(AddressMismatch):
        drive(codec.converse(METER, read), replies(first, stranger))


@EDITIONS
def test_an_answer_without_an_end_is_given_up(codec: Dlt645Codec, read: Dlt645Read) -> None:
    frames = parts(codec, read, *[b"\x01"] * (FOLLOW_UPS_MAX + 3))
    with pytest.raises(AnswerMismatch, match="beyond 16 follow-up frames"):
        drive(codec.converse(METER, read), replies(*frames))


@EDITIONS
def test_a_refused_follow_up_says_why(codec: Dlt645Codec, read: Dlt645Read) -> None:
    first, _ = parts(codec, read, b"\x01", b"\x02")
    refusal = codec.build_exception(METER, FollowUp(read.di, 1), 0x02)
    with pytest.raises(ExceptionReply, match="identifier|item"):  # noqa: RUF043
        drive(codec.converse(METER, read), replies(first, refusal))


def test_date_and_time_are_asked_in_one_conversation() -> None:
    clock = Dlt645Read(bytes.fromhex("04000101"), bytes.fromhex("04000102"))
    date = CODEC_2007.build_reply(METER, Dlt645Read(clock.di), bytes.fromhex("05090126"))
    time = CODEC_2007.build_reply(METER, Dlt645Read(clock.also), bytes.fromhex("003014"))
    assert drive(CODEC_2007.converse(METER, clock), replies(date, time)) == bytes.fromhex("05090126003014")


def test_an_edition_takes_only_its_own_identifiers() -> None:
    for codec, read in ((CODEC_2007, OLD_BLOCK), (CODEC_1997, BLOCK)):
        with pytest.raises(NotInProtocol, match="no identifier of"):
            next(codec.converse(METER, read))


@pytest.mark.parametrize("codec", [CODEC_2007, CODEC_1997], ids=["2007", "1997"])
def test_the_one_meter_of_a_line_says_its_address(codec: Dlt645Codec) -> None:
    answer = codec.build_address_reply(METER)
    assert drive(codec.converse(ANY_METER, Dlt645ReadAddress()), replies(answer)).hex() == METER
    with pytest.raises(AnswerMismatch, match="2 answers"):
        drive(codec.converse(ANY_METER, Dlt645ReadAddress()), replies(answer + codec.build_address_reply(METER)))


def test_an_address_that_contradicts_itself_is_refused() -> None:
    two = Dlt645Frame(METER, 0x93, bytes.fromhex("620100000000")).to_wire()
    with pytest.raises(AddressMismatch, match="says that its address is 000000000162"):
        drive(CODEC_2007.converse(ANY_METER, Dlt645ReadAddress()), replies(two))
    for field in ("", "6101", "0A0100000000", "999999999999"):
        odd = Dlt645Frame(ANY_METER, 0x93, bytes.fromhex(field)).to_wire()
        with pytest.raises(FrameError, match="address"):
            drive(CODEC_2007.converse(ANY_METER, Dlt645ReadAddress()), replies(odd))


def test_one_meter_is_frozen_and_says_so() -> None:
    freeze = Dlt645Freeze()
    asked: list[bytes] = []
    done = CODEC_2007.build_done(METER, freeze)
    assert drive(CODEC_2007.converse(METER, freeze), lambda exchange: asked.append(exchange.request) or done) == b""  # type: ignore[func-returns-value]
    frame = dlt645.scan(asked[0])[0][0]
    assert (frame.address, frame.control, frame.field) == (METER, 0x16, b"\x99" * 4)
    refusal = CODEC_2007.build_exception(METER, freeze, 0x01)
    with pytest.raises(ExceptionReply, match="other error"):
        drive(CODEC_2007.converse(METER, freeze), replies(refusal))


def test_a_freeze_may_be_for_a_moment_that_comes() -> None:
    """Minute, hour, day, month; 99 for every: each full hour, each midnight, each first of a month."""
    assert Dlt645Freeze(minute=0).to_wire() == bytes.fromhex("00999999")
    assert Dlt645Freeze(hour=0, minute=0).to_wire() == bytes.fromhex("00009999")
    assert Dlt645Freeze(day=1, hour=0, minute=30).to_wire() == bytes.fromhex("30000199")


def test_broadcasts_are_sent_to_everybody_and_not_answered() -> None:
    broadcasts = broadcasts_of(Protocol.DLT645_2007)
    assert broadcasts is not None
    for conversation, control in ((broadcasts.freeze(), 0x16), (broadcasts.set_time(datetime(2026, 7, 1)), 0x08)):
        exchange = next(conversation)
        frame = dlt645.scan(exchange.request)[0][0]
        assert (frame.address, frame.control) == (BROADCAST, control)
        assert not exchange.expects_reply
        with pytest.raises(StopIteration) as ended:
            conversation.send(b"")
        assert ended.value.value == b""


def test_the_1997_edition_sets_the_time_but_has_no_freeze() -> None:
    broadcasts: Any = broadcasts_of(Protocol.DLT645_1997)
    assert dlt645.scan(next(broadcasts.set_time(datetime(2026, 7, 1))).request)[0][0].control == 0x08
    with pytest.raises(NotInProtocol, match="no freeze command"):
        broadcasts.freeze()


@pytest.mark.parametrize(
    ("codec", "word", "told"),
    [
        (CODEC_2007, 0x02, "no such item (无请求数据)"),
        (CODEC_2007, 0x06, "no such item, not authorised (无请求数据、密码错或未授权)"),
        (CODEC_2007, 0x78, "too many day periods, too many rates, "),
        (CODEC_1997, 0x02, "wrong identifier (数据标识错)"),
        (CODEC_1997, 0x80, "bit 7 (第7位)"),
        (CODEC_1997, 0x00, "no reason given (未说明原因)"),
    ],
)
def test_a_refusal_names_its_bits_in_both_languages(codec: Dlt645Codec, word: int, told: str) -> None:
    read = BLOCK if codec is CODEC_2007 else OLD_BLOCK
    with pytest.raises(ExceptionReply) as caught:
        drive(codec.converse(METER, read), replies(codec.build_exception(METER, read, word)))
    assert caught.value.code == word
    if word == 0x78:
        assert codec.dialect.meaning(word).count(",") == 3
    else:
        assert str(caught.value).endswith(told)


def test_an_answer_in_the_other_edition_is_refused() -> None:
    with pytest.raises(AnswerMismatch, match="control 0x81"):
        drive(CODEC_2007.converse(METER, BLOCK), replies(CODEC_1997.build_reply(METER, OLD_BLOCK, bytes(20))))


def test_both_editions_are_registered() -> None:
    assert codec_of(Protocol.DLT645_2007) is CODEC_2007
    assert codec_of(Protocol.DLT645_1997) is CODEC_1997


def test_what_the_meters_end_does_not_know_is_no_request() -> None:
    for control, field in ((0x14, bytes(12)), (0x11, b"\0\0"), (0x12, bytes(4)), (0x16, bytes(4)), (0x13, b"\0")):
        with pytest.raises(FrameError, match="not one DL/T 645-2007 request"):
            CODEC_2007.parse_request(Dlt645Frame(METER, control, field).to_wire())
    with pytest.raises(FrameError, match="not one DL/T 645-1997 request"):
        CODEC_1997.parse_request(Dlt645Frame(METER, 0x02, bytes(3)).to_wire())
