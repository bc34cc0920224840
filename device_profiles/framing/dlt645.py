"""DL/T 645-2007 frames: 68 address(6) 68 control length field(+33H) checksum 16. Sans I/O, both ends.

Theory of operation. Any number of FE wake-up octets may come first, an adapter may echo the request, noise may stand
between frames, and two frames may arrive in one read. So received octets are a stream: at each 68 the header is tried,
then checksum and end octet; where one is wrong, the search goes on at the next 68. A checksum may itself be 16, so the
end is found by the length octet, never by looking for 16. Sources: DL/T 645-2007, 5 and 7; reads only (control 11).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, one_exchange
from device_profiles.framing.errors import (
    AddressInvalid,
    AddressMismatch,
    AnswerMismatch,
    CrcError,
    ExceptionReply,
    FrameError,
)
from device_profiles.profile import ReadRequest

WAKE_UP = b"\xfe" * 4
READ = 0x11
FROM_METER = 0x80
REFUSED = 0x40
MORE_FOLLOWS = 0x20
BROADCAST = "9" * 12
NO_SUCH_ITEM = 0x02

START = 0x68
_END = 0x16
_HEADER_OCTETS = 10
_TRAILER_OCTETS = 2
_FIELD_OCTETS_MAX = 200
_OFFSET = 0x33
_ADD = bytes((octet + _OFFSET) & 0xFF for octet in range(256))
_SUBTRACT = bytes((octet - _OFFSET) & 0xFF for octet in range(256))
_ADDRESS = re.compile(r"\d{12}\Z", re.ASCII)
_ERROR_BITS = (
    "other error",
    "no such item",
    "not authorised",
    "baud rate cannot change",
    "too many year zones",
    "too many day periods",
    "too many rates",
)


@dataclass(frozen=True, slots=True)
class Dlt645Read(ReadRequest):
    """Read one data identifier, written as printed: DI3 first (4 octets)."""

    di: bytes


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


def check_address(text: str) -> str:
    """Return `text` if it is one meter's address of 12 decimal digits; raises AddressInvalid."""
    if not _ADDRESS.match(text) or text == BROADCAST:
        raise AddressInvalid(f"{text!r} is not a DL/T 645 address: write 12 digits, with leading zeros, not all 9")
    return text


def scan(octets: bytes) -> tuple[list[Dlt645Frame], bytes]:
    """Give every whole frame in `octets`, and what is left from where the next one may have begun.

    A whole frame wins over an earlier start that is still waiting for octets: that start was noise.
    """
    frames: list[Dlt645Frame] = []
    begun: int | None = None
    at = 0
    while (at := octets.find(b"\x68", at)) >= 0:
        frame, end = frame_at(octets, at)
        if frame is not None:
            frames.append(frame)
            begun, at = None, end
            continue
        if end > len(octets) and begun is None:
            begun = at
        at += 1
    return frames, b"" if begun is None else octets[begun:]


def build_request(address: str, read: Dlt645Read) -> bytes:
    """Give the frame, with wake-up, that asks meter `address` for `read`."""
    return WAKE_UP + Dlt645Frame(address, READ, read.di[::-1]).to_wire()


def converse(address: str, read: Dlt645Read, secrets: MeterSecrets = NO_SECRETS) -> Conversation:
    """Ask meter `address` for `read`; returns the octets after the data identifier."""
    del secrets
    return one_exchange(
        build_request(address, read), partial(octets_expected, read), partial(parse_reply, address, read)
    )


def octets_expected(read: Dlt645Read | None, received: bytes) -> int:
    """Give how many octets must arrive, at least, until `received` can hold a frame from a meter.

    Wake-up octets, noise and echoes are counted as received; `read` is not needed, frames carry their length.
    """
    del read
    frames, rest = scan(received)
    if any(frame.control & FROM_METER for frame in frames):
        return len(received)
    if rest:
        return len(received) - len(rest) + frame_at(rest, 0)[1]
    return len(received) + _HEADER_OCTETS + _TRAILER_OCTETS


def parse_reply(address: str, read: Dlt645Read, frame: bytes) -> bytes:
    """Give the octets after the data identifier; raises a FrameError or ExceptionReply.

    Echoes of requests are skipped. More than one frame from meters is refused: one of them answers something else.
    """
    found, rest = scan(frame)
    answers = [each for each in found if each.control & FROM_METER]
    if not answers:
        if not found and not rest and b"\x68" in frame:
            raise CrcError(f"no frame with a right checksum in {frame.hex()}")
        raise FrameError(f"no answer in {frame.hex()}")
    if len(answers) > 1:
        raise AnswerMismatch(f"{len(answers)} answers to one request")
    answer = answers[0]
    if answer.address != address:
        raise AddressMismatch(f"answer from meter {answer.address}, asked was {address}")
    if answer.control == READ | FROM_METER | REFUSED:
        raise _refusal(answer)
    if answer.control == READ | FROM_METER | MORE_FOLLOWS:
        raise AnswerMismatch("the answer goes on in further frames; a profile must ask for shorter answers")
    if answer.control != READ | FROM_METER:
        raise AnswerMismatch(f"control {answer.control:#04x}; a whole answer to a read has {READ | FROM_METER:#04x}")
    if answer.field[:4] != read.di[::-1]:
        raise AnswerMismatch(f"answer for {answer.field[:4][::-1].hex()}, asked was {read.di.hex()}")
    return answer.field[4:]


def parse_request(frame: bytes) -> tuple[str, Dlt645Read]:
    """Give address and read of the one request in `frame`; raises FrameError."""
    found, _ = scan(frame)
    if len(found) != 1 or found[0].control != READ or len(found[0].field) != 4:
        raise FrameError(f"not one DL/T 645-2007 read request: {frame.hex()}")
    return found[0].address, Dlt645Read(found[0].field[::-1])


def build_reply(address: str, read: Dlt645Read, body: bytes) -> bytes:
    """Give the frame, with wake-up, in which meter `address` answers `read`."""
    return WAKE_UP + Dlt645Frame(address, READ | FROM_METER, read.di[::-1] + body).to_wire()


def build_exception(address: str, read: Dlt645Read, code: int) -> bytes:
    """Give the frame in which meter `address` refuses `read` with error word `code`."""
    del read
    return WAKE_UP + Dlt645Frame(address, READ | FROM_METER | REFUSED, bytes((code,))).to_wire()


def frame_at(octets: bytes, at: int) -> tuple[Dlt645Frame | None, int]:
    """Try the frame whose first 68 is at `at`: the frame or None, and where it ends or would end.

    The end lies beyond `octets` while the frame may still be arriving, and within them when it is refuted.
    """
    present = len(octets) - at
    if present > 7 and octets[at + 7] != START:
        return None, at
    if present < _HEADER_OCTETS:
        return None, at + _HEADER_OCTETS + _TRAILER_OCTETS
    length = octets[at + 9]
    end = at + _HEADER_OCTETS + length + _TRAILER_OCTETS
    if length > _FIELD_OCTETS_MAX:
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


def _refusal(answer: Dlt645Frame) -> FrameError | ExceptionReply:
    if len(answer.field) != 1:
        return FrameError(f"a refusal carries one error word, not {len(answer.field)} octets")
    word = answer.field[0]
    meanings = [meaning for bit, meaning in enumerate(_ERROR_BITS) if word >> bit & 1]
    return ExceptionReply(word, ", ".join(meanings) or "no reason given")
