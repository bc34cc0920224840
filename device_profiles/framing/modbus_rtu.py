"""Modbus RTU: unit id, PDU, CRC-16 low octet first (Modbus over serial line 1.02, 2.5.1). Sans I/O, both ends.

Frames have no length mark and end by silence, so a reader predicts the length from the request and from what has
arrived: an exception reply is 5 octets, a full one 5 + 2 x count.
"""

from __future__ import annotations

from functools import partial

from device_profiles.framing import modbus_pdu, sunspec
from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, one_exchange
from device_profiles.framing.errors import AddressMismatch, CrcError, FrameError
from device_profiles.framing.modbus_pdu import ModbusRead, check_address
from device_profiles.framing.sunspec import SunSpecRead

__all__ = [
    "build_exception",
    "build_reply",
    "build_request",
    "check_address",
    "converse",
    "crc16",
    "octets_expected",
    "parse_reply",
    "parse_request",
    "request_end",
    "with_crc",
]

REQUEST_OCTETS = 8
EXCEPTION_OCTETS = 5


def _crc_step(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ 0xA001 if octet & 1 else octet >> 1
    return octet


_CRC_TABLE = tuple(_crc_step(octet) for octet in range(256))


def crc16(octets: bytes) -> int:
    """Give the CRC-16 (polynomial A001, start FFFF) of `octets`."""
    crc = 0xFFFF
    for octet in octets:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ octet) & 0xFF]
    return crc


def with_crc(octets: bytes) -> bytes:
    """Append the CRC, low octet first."""
    return octets + crc16(octets).to_bytes(2, "little")


def build_request(address: str, read: ModbusRead) -> bytes:
    """Give the frame that asks unit `address` for `read`."""
    return with_crc(bytes((int(address),)) + modbus_pdu.build_request(read))


def converse(address: str, read: ModbusRead | SunSpecRead, secrets: MeterSecrets = NO_SECRETS) -> Conversation:
    """Ask unit `address` for `read`; returns the register octets."""
    del secrets
    if isinstance(read, SunSpecRead):
        return sunspec.converse(partial(_ask, address), read)
    return _ask(address, read)


def _ask(address: str, read: ModbusRead) -> Conversation:
    return one_exchange(
        build_request(address, read), partial(octets_expected, read), partial(parse_reply, address, read)
    )


def octets_expected(read: ModbusRead, received: bytes) -> int:
    """Predict the length of the whole reply from what has been `received` of it so far."""
    if len(received) >= 2 and received[1] & modbus_pdu.EXCEPTION_BIT:
        return EXCEPTION_OCTETS
    return 5 + 2 * read.count


def parse_reply(address: str, read: ModbusRead, frame: bytes) -> bytes:
    """Give the register octets; raises CrcError, AddressMismatch, AnswerMismatch, FrameError or ExceptionReply."""
    octets = _checked(frame)
    if octets[0] != int(address):
        raise AddressMismatch(f"answer from unit {octets[0]}, asked was {address}")
    return modbus_pdu.parse_reply(read, octets[1:])


def parse_request(frame: bytes) -> tuple[str, ModbusRead]:
    """Give unit id and read of a request frame; raises CrcError or FrameError."""
    octets = _checked(frame)
    return str(octets[0]), modbus_pdu.parse_request(octets[1:])


def build_reply(address: str, read: ModbusRead, body: bytes) -> bytes:
    """Give the frame in which unit `address` answers `read`."""
    return with_crc(bytes((int(address),)) + modbus_pdu.build_reply(read, body))


def build_exception(address: str, read: ModbusRead, code: int) -> bytes:
    """Give the frame in which unit `address` refuses `read`."""
    return with_crc(bytes((int(address),)) + modbus_pdu.build_exception(read.function, code))


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the read request that begins at `at` ends; None when none does. The meter's end asks this."""
    end = at + REQUEST_OCTETS
    if end <= len(octets) and octets[at + 1] in modbus_pdu.READ_FUNCTIONS and crc16(octets[at:end]) == 0:
        return end
    return None


def _checked(frame: bytes) -> bytes:
    if len(frame) < 4:
        raise FrameError(f"an RTU frame has at least 4 octets, not {len(frame)}")
    if crc16(frame):  # a frame followed by its own CRC has CRC 0
        raise CrcError(f"CRC of {frame.hex()} is wrong")
    return frame[:-2]
