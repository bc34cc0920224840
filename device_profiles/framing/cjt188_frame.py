"""The frame of CJ/T 188: 68 type address(7) control length field checksum 16; no octet is offset. Both ends.

Theory of operation. Wake-up octets FE come first. The header has one start octet only, so noise that holds a 68 is
told from a frame by length, checksum and end octet alone; where one is wrong, the search goes on at the next 68. The
field begins with a data identifier of two octets, which meters send in either order, and a serial number.
Source: CJ/T 188-2004, 5 and 6; no public frame tells the 2018 edition from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from device_profiles.framing import frame_stream
from device_profiles.framing.errors import AddressInvalid, AddressMismatch

WAKE_UP = b"\xfe" * 4
FROM_METER = 0x80
REFUSED = 0x40
ANY_METER = "A" * 14
ANY_TYPE = 0xAA

START = 0x68
FIELD_OCTETS_MAX = 100
HEADER_OCTETS = 11
TRAILER_OCTETS = 2
_END = 0x16
_ADDRESS = re.compile(r"[0-9A-F]{14}\Z")


@dataclass(frozen=True, slots=True)
class Cjt188Frame:
    """One frame with a right checksum. The address is 14 digits as printed: maker's code, then the meter's number."""

    meter_type: int
    address: str
    control: int
    field: bytes

    def to_wire(self) -> bytes:
        """Give the octets on the line, without wake-up."""
        address = bytes.fromhex(self.address)[::-1]
        octets = bytes((START, self.meter_type)) + address + bytes((self.control, len(self.field))) + self.field
        return octets + bytes((sum(octets) & 0xFF, _END))


def check_address(text: str) -> str:
    """Return `text` if it is one meter's address; raises AddressInvalid. Makers use hex digits in theirs too."""
    if not _ADDRESS.match(text) or text == ANY_METER:
        raise AddressInvalid(
            f"{text!r} is not a CJ/T 188 address: write its 14 digits, maker's code first, letters large"
        )
    return text


def scan(octets: bytes) -> tuple[list[Cjt188Frame], bytes]:
    """Give every whole frame in `octets`, and what is left from where the next one may have begun."""
    return frame_stream.scan(octets, frame_at)


def frame_at(octets: bytes, at: int) -> tuple[Cjt188Frame | None, int]:
    """Try the frame whose 68 is at `at`; see `frame_stream.FrameAt`."""
    if len(octets) - at < HEADER_OCTETS:
        return None, at + HEADER_OCTETS + TRAILER_OCTETS
    length = octets[at + 10]
    end = at + HEADER_OCTETS + length + TRAILER_OCTETS
    if length > FIELD_OCTETS_MAX:
        return None, at
    if end > len(octets):
        return None, end
    if octets[end - 1] != _END or sum(octets[at : end - 2]) & 0xFF != octets[end - 2]:
        return None, at
    address = octets[at + 2 : at + 9][::-1].hex().upper()
    return Cjt188Frame(octets[at + 1], address, octets[at + 9], octets[at + HEADER_OCTETS : end - 2]), end


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the frame whose 68 is at `at` ends; None when no whole one begins there."""
    if octets[at] != START:
        return None
    frame, end = frame_at(octets, at)
    return None if frame is None else end


def octets_until_answer(received: bytes) -> int:
    """Give how many octets must arrive, at least, until `received` can hold a frame from a meter."""
    return frame_stream.octets_until_answer(received, frame_at, _is_answer, HEADER_OCTETS + TRAILER_OCTETS)


def answer_of(address: str, received: bytes) -> Cjt188Frame:
    """Find the one answer of meter `address`, of any meter for the common address; raises FrameError."""
    answer = frame_stream.the_answer(received, frame_at, _is_answer)
    if address not in (ANY_METER, answer.address):
        raise AddressMismatch(f"answer from meter {answer.address}, asked was {address}")
    return answer


def _is_answer(frame: Cjt188Frame) -> bool:
    return bool(frame.control & FROM_METER)
