"""Modbus framing, RTU and TCP: only the whole, right answer to the request gets through."""

from __future__ import annotations

import pytest

from device_profiles.framing import codec_of, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import (
    AddressInvalid,
    AddressMismatch,
    AnswerMismatch,
    CrcError,
    ExceptionReply,
    FrameError,
)
from device_profiles.profile import Protocol
from device_profiles.read_plan import ModbusRead
from metering.errors import MeterError

VOLTAGE = ModbusRead(4, 0, 2)
REPLY = bytes.fromhex("01040443663334 1B38")
BODY = bytes.fromhex("43663334")


def test_a_request_is_framed_as_in_the_makers_manual() -> None:
    assert modbus_rtu.build_request("1", VOLTAGE) == bytes.fromhex("010400000002 71CB")
    assert modbus_rtu.parse_request(bytes.fromhex("010400000002 71CB")) == ("1", VOLTAGE)


def test_a_right_reply_gives_its_registers() -> None:
    assert modbus_rtu.parse_reply("1", VOLTAGE, REPLY) == BODY
    assert modbus_rtu.build_reply("1", VOLTAGE, BODY) == REPLY


def test_a_wrong_crc_is_refused() -> None:
    with pytest.raises(CrcError):
        modbus_rtu.parse_reply("1", VOLTAGE, REPLY[:-1] + b"\x39")


def test_the_answer_of_another_unit_is_refused() -> None:
    with pytest.raises(AddressMismatch, match="unit 2, asked was 1"):
        modbus_rtu.parse_reply("1", VOLTAGE, modbus_rtu.build_reply("2", VOLTAGE, BODY))


def test_a_late_reply_to_another_block_shows_by_its_length() -> None:
    late = modbus_rtu.build_reply("1", ModbusRead(4, 0x48, 4), bytes(8))
    with pytest.raises(AnswerMismatch, match="answer of 8 octets"):
        modbus_rtu.parse_reply("1", VOLTAGE, late)


def test_the_answer_to_another_function_is_refused() -> None:
    with pytest.raises(AnswerMismatch, match="function 3, asked was 4"):
        modbus_rtu.parse_reply("1", VOLTAGE, modbus_rtu.build_reply("1", ModbusRead(3, 0, 2), BODY))


def test_a_length_octet_that_contradicts_the_frame_is_refused() -> None:
    lying = modbus_rtu.with_crc(bytes.fromhex("0104044366"))
    with pytest.raises(AnswerMismatch):
        modbus_rtu.parse_reply("1", VOLTAGE, lying)


@pytest.mark.parametrize(("code", "meaning"), [(2, "illegal register address"), (6, "busy"), (99, "does not name")])
def test_an_exception_is_an_error_with_its_code_and_never_a_zero(code: int, meaning: str) -> None:
    refusal = modbus_rtu.build_exception("1", VOLTAGE, code)
    with pytest.raises(ExceptionReply, match=meaning) as caught:
        modbus_rtu.parse_reply("1", VOLTAGE, refusal)
    assert caught.value.code == code


def test_a_frame_too_short_to_be_one_is_refused() -> None:
    for octets in (b"", b"\x01", b"\x01\x04\x00", modbus_rtu.with_crc(b"\x01\x04")):
        with pytest.raises(MeterError):
            modbus_rtu.parse_reply("1", VOLTAGE, octets)


def test_the_length_of_a_reply_is_predicted_from_what_came() -> None:
    assert modbus_rtu.octets_expected(VOLTAGE, b"") == 9
    assert modbus_rtu.octets_expected(VOLTAGE, b"\x01\x04") == 9
    assert modbus_rtu.octets_expected(VOLTAGE, b"\x01\x84") == 5
    assert modbus_rtu.octets_expected(ModbusRead(3, 0, 125), b"") == 255


@pytest.mark.parametrize("pdu", ["0400000000", "04FFFF0002", "0600000001", "040000007E", "04000000"])
def test_a_request_that_is_no_register_read_is_refused(pdu: str) -> None:
    with pytest.raises(FrameError):
        modbus_rtu.parse_request(modbus_rtu.with_crc(b"\x01" + bytes.fromhex(pdu)))


def test_tcp_carries_the_transaction_back() -> None:
    request = modbus_tcp.build_request("7", VOLTAGE, 0x1234)
    assert request == bytes.fromhex("1234 0000 0006 07 0400000002")
    assert modbus_tcp.parse_request(request) == (0x1234, "7", VOLTAGE)
    reply = modbus_tcp.build_reply("7", VOLTAGE, BODY, 0x1234)
    assert modbus_tcp.parse_reply("7", VOLTAGE, reply, 0x1234) == BODY


def test_tcp_refuses_a_late_transaction_another_unit_and_an_exception() -> None:
    with pytest.raises(AnswerMismatch, match="transaction 1, asked was 2"):
        modbus_tcp.parse_reply("7", VOLTAGE, modbus_tcp.build_reply("7", VOLTAGE, BODY, 1), 2)
    with pytest.raises(AddressMismatch):
        modbus_tcp.parse_reply("7", VOLTAGE, modbus_tcp.build_reply("8", VOLTAGE, BODY, 1), 1)
    with pytest.raises(ExceptionReply, match="does not answer"):
        modbus_tcp.parse_reply("7", VOLTAGE, modbus_tcp.build_exception("7", VOLTAGE, 11))


def test_tcp_length_stands_in_the_header() -> None:
    reply = modbus_tcp.build_reply("7", VOLTAGE, BODY)
    assert modbus_tcp.octets_expected(VOLTAGE, b"") == 7
    assert modbus_tcp.octets_expected(VOLTAGE, reply[:7]) == len(reply)
    for wrong in ("0000 0001 0006 01", "0000 0000 0001 01", "0000 0000 FFFF 01"):
        with pytest.raises(FrameError, match="not an MBAP header"):
            modbus_tcp.octets_expected(VOLTAGE, bytes.fromhex(wrong))
    for frame in (reply[:-1], reply + b"\0", b""):
        with pytest.raises(FrameError):
            modbus_tcp.parse_reply("7", VOLTAGE, frame)


def test_unit_ids_are_checked() -> None:
    for codec in (codec_of(Protocol.MODBUS_RTU), codec_of(Protocol.MODBUS_TCP)):
        assert codec.check_address("1") == "1"
        assert codec.check_address("247") == "247"
        for wrong in ("0", "248", "01", "", "one", "-1", "1 ", "１"):
            with pytest.raises(AddressInvalid):
                codec.check_address(wrong)
