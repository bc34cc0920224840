"""Modbus TCP: MBAP header and PDU (Modbus messaging on TCP/IP 1.0b, 3.1.3). Sans I/O, both ends.

The transaction id that a request carried comes back in its reply, which is how a late reply shows.
"""

from __future__ import annotations

import struct
from functools import partial

from device_profiles.framing import modbus_pdu, sunspec
from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, one_exchange
from device_profiles.framing.errors import AddressMismatch, AnswerMismatch, FrameError
from device_profiles.framing.modbus_pdu import ModbusRead, check_address
from device_profiles.framing.sunspec import SunSpecRead

__all__ = [
    "build_exception",
    "build_reply",
    "build_request",
    "check_address",
    "converse",
    "octets_expected",
    "parse_reply",
    "parse_request",
]

_MBAP = struct.Struct(">HHHB")
_PDU_OCTETS_MAX = 253


def build_request(address: str, read: ModbusRead, transaction: int = 0) -> bytes:
    """Give the frame that asks unit `address` for `read`; `transaction` is 0 to 65535."""
    return _framed(transaction, int(address), modbus_pdu.build_request(read))


def converse(address: str, read: ModbusRead | SunSpecRead, secrets: MeterSecrets = NO_SECRETS) -> Conversation:
    """Ask unit `address` for `read`, as transaction 0; returns the register octets."""
    del secrets
    if isinstance(read, SunSpecRead):
        return sunspec.converse(partial(_ask, address), read)
    return _ask(address, read)


def _ask(address: str, read: ModbusRead) -> Conversation:
    return one_exchange(
        build_request(address, read), partial(octets_expected, read), partial(parse_reply, address, read)
    )


def octets_expected(read: ModbusRead | None, received: bytes) -> int:
    """Give the length of the frame that begins `received`, or of the header while that is incomplete.

    Raises FrameError when the header is no MBAP header. The length stands in the frame, so `read` is not needed.
    """
    del read
    if len(received) < _MBAP.size:
        return _MBAP.size
    _, protocol, length, _ = _MBAP.unpack_from(received)
    if protocol != 0 or not 2 <= length <= 1 + _PDU_OCTETS_MAX:
        raise FrameError(f"not an MBAP header: {received[: _MBAP.size].hex()}")
    return 6 + int(length)


def parse_reply(address: str, read: ModbusRead, frame: bytes, transaction: int = 0) -> bytes:
    """Give the register octets; raises AddressMismatch, AnswerMismatch, FrameError or ExceptionReply."""
    echoed, unit_id, pdu = _parsed(frame)
    if unit_id != int(address):
        raise AddressMismatch(f"answer from unit {unit_id}, asked was {address}")
    if echoed != transaction:
        raise AnswerMismatch(f"answer to transaction {echoed}, asked was {transaction}")
    return modbus_pdu.parse_reply(read, pdu)


def parse_request(frame: bytes) -> tuple[int, str, ModbusRead]:
    """Give transaction, unit id and read of a request frame; raises FrameError."""
    transaction, unit_id, pdu = _parsed(frame)
    return transaction, str(unit_id), modbus_pdu.parse_request(pdu)


def build_reply(address: str, read: ModbusRead, body: bytes, transaction: int = 0) -> bytes:
    """Give the frame in which unit `address` answers `read`."""
    return _framed(transaction, int(address), modbus_pdu.build_reply(read, body))


def build_exception(address: str, read: ModbusRead, code: int, transaction: int = 0) -> bytes:
    """Give the frame in which unit `address` refuses `read`."""
    return _framed(transaction, int(address), modbus_pdu.build_exception(read.function, code))


def _framed(transaction: int, unit_id: int, pdu: bytes) -> bytes:
    return _MBAP.pack(transaction, 0, 1 + len(pdu), unit_id) + pdu


def _parsed(frame: bytes) -> tuple[int, int, bytes]:
    if len(frame) < _MBAP.size or len(frame) != octets_expected(None, frame):
        raise FrameError(f"{len(frame)} octets are not one Modbus TCP frame")
    transaction, _, _, unit_id = _MBAP.unpack_from(frame)
    return transaction, unit_id, frame[_MBAP.size :]
