"""Conversations: what a line's owner and a codec may rely on."""

from __future__ import annotations

from functools import partial

import pytest

from device_profiles.framing import NotInProtocol, broadcasts_of, codec_of, modbus_rtu
from device_profiles.framing.conversation import (
    NO_SECRETS,
    Conversation,
    Exchange,
    SecretMissing,
    broadcast,
    drive,
    one_exchange,
)
from device_profiles.framing.errors import CrcError, FrameError
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Protocol

READ = ModbusRead(3, 10, 2)
BODY = bytes.fromhex("00010203")


def answered(exchange: Exchange) -> bytes:
    """Answer as unit 7 would."""
    address, read = modbus_rtu.parse_request(exchange.request)
    return modbus_rtu.build_reply(address, read, BODY)


def test_a_single_exchange_returns_the_body() -> None:
    assert drive(codec_of(Protocol.MODBUS_RTU).converse("7", READ), answered) == BODY


def test_the_exchange_tells_how_long_the_answer_is_and_whether_it_is_right() -> None:
    exchange = next(codec_of(Protocol.MODBUS_RTU).converse("7", READ))
    reply = answered(exchange)
    assert exchange.octets_expected(reply[:3]) == len(reply)
    assert exchange.check is not None
    assert exchange.check(reply) == BODY
    with pytest.raises(CrcError):
        exchange.check(reply[:-1] + b"\0")


def test_what_the_codec_refuses_comes_out_of_the_conversation() -> None:
    with pytest.raises(CrcError):
        drive(codec_of(Protocol.MODBUS_RTU).converse("7", READ), lambda exchange: answered(exchange)[:-1] + b"\0")


def test_a_conversation_that_is_given_up_is_closed() -> None:
    closed: list[bool] = []

    def converse() -> Conversation:
        try:
            yield Exchange(b"1", len)
            return b""
        finally:
            closed.append(True)

    def fail(_: Exchange) -> bytes:
        raise FrameError("the line is gone")

    conversation = converse()  # kept, so that it is not the garbage collector that closes it
    with pytest.raises(FrameError):
        drive(conversation, fail)
    assert closed == [True]


def test_several_exchanges_follow_each_other_with_what_was_received() -> None:
    def converse() -> Conversation:
        first = yield Exchange(b"a", len)
        second = yield Exchange(b"b" + first, len, baud=9600)
        return second

    asked: list[tuple[bytes, int | None]] = []

    def carry(exchange: Exchange) -> bytes:
        asked.append((exchange.request, exchange.baud))
        return exchange.request.upper()

    assert drive(converse(), carry) == b"BA"
    assert asked == [(b"a", None), (b"bA", 9600)]


def test_a_broadcast_expects_no_reply() -> None:
    conversation = broadcast(b"now", pause_ms=20)
    exchange = next(conversation)
    assert (exchange.request, exchange.expects_reply, exchange.pause_ms) == (b"now", False, 20)
    with pytest.raises(StopIteration):
        conversation.send(b"")


def test_a_meter_that_wants_a_secret_is_told_from_one_that_answers_wrong() -> None:
    with pytest.raises(SecretMissing, match="password"):
        NO_SECRETS.secret("password")
    with pytest.raises(SecretMissing):
        NO_SECRETS.next_count()


def test_nothing_is_kept_between_two_conversations() -> None:
    codec = codec_of(Protocol.MODBUS_TCP)
    requests = {next(codec.converse("7", READ)).request for _ in range(3)}
    assert len(requests) == 1


def test_modbus_has_no_broadcasts() -> None:
    assert broadcasts_of(Protocol.MODBUS_RTU) is None


def test_a_protocol_without_codec_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(codec_of.__globals__["_CODECS"], Protocol.MODBUS_RTU)
    with pytest.raises(NotInProtocol, match="modbus-rtu"):
        codec_of(Protocol.MODBUS_RTU)


def test_rtu_over_tcp_is_framed_as_rtu() -> None:
    over_tcp = next(codec_of(Protocol.MODBUS_RTU_OVER_TCP).converse("7", READ))
    assert over_tcp.request == modbus_rtu.build_request("7", READ)


def test_parse_reply_is_what_one_exchange_checks_by() -> None:
    request = modbus_rtu.build_request("7", READ)
    conversation = one_exchange(
        request, partial(modbus_rtu.octets_expected, READ), partial(modbus_rtu.parse_reply, "7", READ)
    )
    assert drive(conversation, answered) == BODY
