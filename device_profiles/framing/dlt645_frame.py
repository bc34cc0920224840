"""The frame that DL/T 645-2007 and -1997 share: 68 address(6) 68 control length field(+33H) checksum 16. Both ends.

Theory of operation. Any number of FE wake-up octets may come first, an adapter may echo the request, noise may stand
between frames, and two frames may arrive in one read. So received octets are a stream: at each 68 the header is tried,
then checksum and end octet; where one is wrong, the search goes on at the next 68. A checksum may itself be 16, so the
end is found by the length octet, never by looking for 16. Sources: DL/T 645-2007, 5; DL/T 645-1997, 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from device_profiles.framing import frame_stream
from device_profiles.framing.errors import AddressInvalid, AddressMismatch

WAKE_UP = b"\xfe" * 4
FROM_METER = 0x80
REFUSED = 0x40
MORE_FOLLOWS = 0x20
FUNCTION = 0x1F
BROADCAST = "9" * 12
ANY_METER = "A" * 12
"""Address that every meter takes for its own; of use only where one meter is on the line."""

_ANY_DIGIT = "A"

START = 0x68
FIELD_OCTETS_MAX = 200
HEADER_OCTETS = 10
TRAILER_OCTETS = 2
_END = 0x16
_OFFSET = 0x33
_ADD = bytes((octet + _OFFSET) & 0xFF for octet in range(256))
_SUBTRACT = bytes((octet - _OFFSET) & 0xFF for octet in range(256))
_ADDRESS = re.compile(r"\d{12}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dlt645Frame:
    """One frame with a right checksum; `field` is without the +33H. The address is 12 digits, or AAs as wildcards."""

    address: str
    control: int
    field: bytes

    def to_wire(self) -> bytes:
        """Give the octets on the line, without wake-up."""
        address = bytes.fromhex(self.address)[::-1]
        octets = b"\x68" + address + bytes((START, self.control, len(self.field))) + self.field.translate(_ADD)
        return octets + bytes((sum(octets) & 0xFF, _END))


def is_address(text: str) -> bool:
    """Say whether `text` is one meter's address: 12 decimal digits, not those of a broadcast."""
    return bool(_ADDRESS.match(text)) and text != BROADCAST


def check_address(text: str) -> str:
    """Return `text` if it is one meter's address of 12 decimal digits; raises AddressInvalid."""
    if not is_address(text):
        raise AddressInvalid(f"{text!r} is not a DL/T 645 address: write 12 digits, with leading zeros, not all 9")
    return text


def is_asked(asked: str, own: str) -> bool:
    """Say whether meter `own` answers to `asked`: to its address, or to its last digits with AA before them.

    Such shortened addresses (DL/T 645-2007, address field: low octets given, AA above) tell meters on a line apart
    when nobody knows their numbers.
    """
    low = asked.lstrip(_ANY_DIGIT)
    return len(low) % 2 == 0 and own.endswith(low)


def scan(octets: bytes) -> tuple[list[Dlt645Frame], bytes]:
    """Give every whole frame in `octets`, and what is left from where the next one may have begun."""
    return frame_stream.scan(octets, frame_at)


def frame_at(octets: bytes, at: int) -> tuple[Dlt645Frame | None, int]:
    """Try the frame whose first 68 is at `at`; see `frame_stream.FrameAt`."""
    present = len(octets) - at
    if present > 7 and octets[at + 7] != START:
        return None, at
    if present < HEADER_OCTETS:
        return None, at + HEADER_OCTETS + TRAILER_OCTETS
    length = octets[at + 9]
    end = at + HEADER_OCTETS + length + TRAILER_OCTETS
    if length > FIELD_OCTETS_MAX:
        return None, at
    if end > len(octets):
        return None, end
    if octets[end - 1] != _END or sum(octets[at : end - 2]) & 0xFF != octets[end - 2]:
        return None, at
    address = octets[at + 1 : at + 7][::-1].hex().upper()
    return Dlt645Frame(address, octets[at + 8], octets[at + 10 : end - 2].translate(_SUBTRACT)), end


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the frame whose first 68 is at `at` ends; None when no whole one begins there."""
    if octets[at] != START:
        return None
    frame, end = frame_at(octets, at)
    return None if frame is None else end


def octets_until_answer(received: bytes) -> int:
    """Give how many octets must arrive, at least, until `received` can hold a frame from a meter."""
    return frame_stream.octets_until_answer(received, frame_at, _is_answer, HEADER_OCTETS + TRAILER_OCTETS)


def answer_of(address: str, received: bytes) -> Dlt645Frame:
    """Find the one answer of meter `address`, of any meter for the common address; raises FrameError."""
    answer = frame_stream.the_answer(received, frame_at, _is_answer)
    if not is_asked(address, answer.address):
        raise AddressMismatch(f"answer from meter {answer.address}, asked was {address}")
    return answer


def _is_answer(frame: Dlt645Frame) -> bool:
    return bool(frame.control & FROM_METER)
