"""The protocol data unit of Modbus reads, the same under RTU and TCP (Modbus application protocol 1.1b3, 6 and 7)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from device_profiles.framing.errors import AddressInvalid, AnswerMismatch, ExceptionReply, FrameError
from device_profiles.profile import ReadRequest

READ_FUNCTIONS = (3, 4)
EXCEPTION_BIT = 0x80
ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_COUNT = 3
DEVICE_SILENT = 11
REGISTERS_MAX = 125
"""Most registers of one Modbus read (Modbus application protocol 1.1b3, 6.3)."""
UNIT_ID_MAX = 247

_REQUEST = struct.Struct(">BHH")
_UNIT_ID = re.compile(r"[1-9]\d{0,2}\Z")
_MEANINGS = {
    1: "illegal function",
    2: "illegal register address",
    3: "illegal count",
    4: "device failure",
    5: "acknowledged, still working",
    6: "busy",
    10: "gateway path unavailable",
    11: "the device behind the gateway does not answer",
}


@dataclass(frozen=True, slots=True)
class ModbusRead(ReadRequest):
    """Read `count` registers from `address` by function 3 or 4."""

    function: int
    address: int
    count: int

    @property
    def end(self) -> int:
        """Address of the register after the last."""
        return self.address + self.count


def check_address(text: str) -> str:
    """Return `text` if it is a unit id, 1 to 247 without leading zeros; raises AddressInvalid."""
    if not _UNIT_ID.match(text) or int(text) > UNIT_ID_MAX:
        raise AddressInvalid(f"{text!r} is not a Modbus unit id: write a number from 1 to {UNIT_ID_MAX}")
    return text


def build_request(read: ModbusRead) -> bytes:
    """Give function, address and count (5 octets)."""
    return _REQUEST.pack(read.function, read.address, read.count)


def parse_request(pdu: bytes) -> ModbusRead:
    """Read a read request; raises FrameError for any other."""
    if len(pdu) != _REQUEST.size:
        raise FrameError(f"a read request has {_REQUEST.size} octets, not {len(pdu)}")
    read = ModbusRead(*_REQUEST.unpack(pdu))
    if read.function not in READ_FUNCTIONS or not 1 <= read.count <= REGISTERS_MAX or read.end > 0x10000:
        raise FrameError(f"not a register read within the map: {pdu.hex()}")
    return read


def build_reply(read: ModbusRead, body: bytes) -> bytes:
    """Give function, octet count and the register octets."""
    return bytes((read.function, len(body))) + body


def build_exception(function: int, code: int) -> bytes:
    """Give an exception reply."""
    return bytes((function | EXCEPTION_BIT, code))


def parse_reply(read: ModbusRead, pdu: bytes) -> bytes:
    """Give the register octets of the answer to `read`; raises ExceptionReply, AnswerMismatch or FrameError."""
    if len(pdu) < 2:
        raise FrameError(f"a reply has at least 2 octets, not {len(pdu)}")
    if pdu[0] == read.function | EXCEPTION_BIT and len(pdu) == 2:
        raise ExceptionReply(pdu[1], _MEANINGS.get(pdu[1], "a code the standard does not name"))
    if pdu[0] != read.function:
        raise AnswerMismatch(f"answer to function {pdu[0]}, asked was {read.function}")
    if pdu[1] != 2 * read.count or len(pdu) != 2 + 2 * read.count:
        raise AnswerMismatch(f"answer of {len(pdu) - 2} octets (it says {pdu[1]}), asked were {2 * read.count}")
    return pdu[2:]
