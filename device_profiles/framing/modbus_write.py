"""Writing registers by Modbus RTU, for commissioning only: function 16, or 6 for one register. Sans I/O, both ends.

A gateway that measures never writes. A meter answers a write with its head (Modbus application protocol 1.1b3, 6.6 and
6.12), or refuses it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from device_profiles.framing.conversation import Conversation, one_exchange
from device_profiles.framing.errors import AddressMismatch, AnswerMismatch, CrcError, ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import EXCEPTION_BIT
from device_profiles.framing.modbus_rtu import EXCEPTION_OCTETS, crc16, with_crc

WRITE_ONE, WRITE_MANY = 6, 16
ANSWER_OCTETS = 8
_HEAD = struct.Struct(">BBHH")


@dataclass(frozen=True, slots=True)
class ModbusWrite:
    """Write `octets` (two a register) from `register` on, at unit `unit`; `function` 16, or 6 for a single one."""

    unit: int
    register: int
    octets: bytes
    function: int = WRITE_MANY

    def to_wire(self) -> bytes:
        """Give the request frame."""
        if self.function == WRITE_ONE:
            return with_crc(struct.pack(">BBH", self.unit, WRITE_ONE, self.register) + self.octets)
        head = _HEAD.pack(self.unit, WRITE_MANY, self.register, len(self.octets) // 2)
        return with_crc(head + bytes((len(self.octets),)) + self.octets)

    def answer(self) -> bytes:
        """Give the frame of a meter that has done it."""
        return with_crc(self.to_wire()[: _HEAD.size])

    def refusal(self, code: int) -> bytes:
        """Give the frame of a meter that refuses."""
        return with_crc(bytes((self.unit, self.function | EXCEPTION_BIT, code)))


def converse(write: ModbusWrite) -> Conversation:
    """Write, and check that the meter says it has; raises ExceptionReply or FrameError."""

    def parse(frame: bytes) -> bytes:
        if len(frame) < EXCEPTION_OCTETS or crc16(frame):
            raise CrcError(f"CRC of {frame.hex()} is wrong")
        if frame[0] != write.unit:
            raise AddressMismatch(f"answer from unit {frame[0]}, asked was {write.unit}")
        if frame[1] == write.function | EXCEPTION_BIT:
            raise ExceptionReply(frame[2], "the meter does not let this be set")
        if frame != write.answer():
            raise AnswerMismatch(f"{frame.hex()} does not answer the write")
        return frame

    def expected(received: bytes) -> int:
        is_refusal = len(received) >= 2 and bool(received[1] & EXCEPTION_BIT)
        return EXCEPTION_OCTETS if is_refusal else ANSWER_OCTETS

    return one_exchange(write.to_wire(), expected, parse)


def parse_request(frame: bytes) -> ModbusWrite:
    """Read a write request, as the meter's end does; raises FrameError."""
    if len(frame) < 8 or crc16(frame):
        raise FrameError("no whole write request")
    unit, function, register = struct.unpack_from(">BBH", frame)
    if function == WRITE_ONE and len(frame) == 8:
        return ModbusWrite(unit, register, frame[4:6], WRITE_ONE)
    if function == WRITE_MANY and len(frame) == 9 + frame[6] and frame[6] == 2 * int.from_bytes(frame[4:6], "big"):
        return ModbusWrite(unit, register, frame[7:-2])
    raise FrameError("no write request")


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the write request that begins at `at` ends; None when none does."""
    function = octets[at + 1] if at + 6 < len(octets) else 0
    end = at + (8 if function == WRITE_ONE else 9 + octets[at + 6]) if function in (WRITE_ONE, WRITE_MANY) else 0
    return end if end and end <= len(octets) and crc16(octets[at:end]) == 0 else None
