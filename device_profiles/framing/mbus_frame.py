"""Link frames of wired M-Bus (EN 13757-2, 5.6): acknowledge, short frame, long frame. Sans I/O, both ends.

    E5                                   acknowledge
    10 C A CS 16                         short frame
    68 L L 68 C A user(L-2) CS 16        long frame; a control frame is one whose user octets are CI alone

CS is the sum of C, A and the user octets. A level converter may echo the request and noise may stand before an answer,
so received octets are a stream: the search goes on at the next start octet where a frame is wrong. The end is found by
the length, never by looking for 16.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.framing.errors import CrcError, FrameError

ACKNOWLEDGE = b"\xe5"
SND_NKE = 0x40
"""Reset of the link; it clears the frame count bit on both sides."""
SND_UD = 0x53
REQ_UD2 = 0x5B
FRAME_COUNT_BIT = 0x20
"""Changes with every new request; a meter that sees it unchanged sends its last telegram again."""
RSP_UD = 0x08
FROM_CLIENT = 0x40
"""Set in the control octet of all that the reading side sends: how an echo shows."""

ADDRESS_UNSET = 0
PRIMARY_MAX = 250
SELECTED = 253
"""Address of the meter that was selected by its secondary address."""
ANY_METER = 254
EVERY_METER = 255

_SHORT = 0x10
_LONG = 0x68
_END = 0x16
_SHORT_OCTETS = 5
_LONG_OVERHEAD = 6
_ANSWER_BITS = 0x0F
"""RSP_UD may carry the access demand and data flow bits above these."""


@dataclass(frozen=True, slots=True)
class MbusFrame:
    """One frame with a right checksum. `user` begins with the CI octet; a short frame has none."""

    control: int
    address: int
    user: bytes = b""

    @property
    def is_echo(self) -> bool:
        """Say whether the reading side sent it."""
        return bool(self.control & FROM_CLIENT)

    def to_wire(self) -> bytes:
        """Give the octets on the line."""
        summed = bytes((self.control, self.address)) + self.user
        end = bytes((sum(summed) & 0xFF, _END))
        if not self.user:
            return bytes((_SHORT,)) + summed + end
        return bytes((_LONG, len(summed), len(summed), _LONG)) + summed + end


def frame_at(octets: bytes, at: int) -> tuple[MbusFrame | None, int]:
    """Try the frame that begins at `at`: the frame or None, and where it ends or would end.

    The end lies beyond `octets` while the frame may still be arriving, and within them when it is refuted.
    """
    if octets[at] == _SHORT:
        end = at + _SHORT_OCTETS
        first, last = at + 1, end - 2
    elif octets[at] == _LONG:
        head = octets[at + 1 : at + 4]
        if (len(head) > 1 and head[0] != head[1]) or (len(head) > 2 and head[2] != _LONG) or (head and head[0] < 3):
            return None, at
        if len(head) < 3:
            return None, at + _LONG_OVERHEAD + 3
        end = at + _LONG_OVERHEAD + head[0]
        first, last = at + 4, end - 2
    else:
        return None, at
    if end > len(octets):
        return None, end
    if octets[end - 1] != _END or sum(octets[first:last]) & 0xFF != octets[last]:
        return None, at
    return MbusFrame(octets[first], octets[first + 1], octets[first + 2 : last]), end


def scan(octets: bytes) -> tuple[list[MbusFrame], bytes]:
    """Give every whole frame in `octets`, and what is left from where the next one may have begun.

    A whole frame wins over an earlier start that is still waiting for octets: that start was noise.
    """
    frames: list[MbusFrame] = []
    begun: int | None = None
    at = 0
    while at < len(octets):
        frame, end = frame_at(octets, at)
        if frame is not None:
            frames.append(frame)
            begun, at = None, end
            continue
        if end > len(octets) and begun is None:
            begun = at
        at += 1
    return frames, b"" if begun is None else octets[begun:]


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the whole request that begins at `at` ends; None when none does."""
    frame, end = frame_at(octets, at)
    return end if frame is not None and frame.is_echo else None


def without_echo(octets: bytes) -> bytes:
    """Leave off whole frames of the reading side from the front."""
    while octets:
        frame, end = frame_at(octets, 0)
        if frame is None or not frame.is_echo:
            break
        octets = octets[end:]
    return octets


def acknowledge_octets(received: bytes) -> int:
    """Give how many octets must have arrived for an acknowledge to be there, echoes counted."""
    rest = without_echo(received)
    return len(received) - len(rest) + 1


def answer_octets(received: bytes) -> int:
    """Give how many octets must have arrived, at least, until `received` can hold a meter's telegram."""
    frames, rest = scan(received)
    if any(not frame.is_echo for frame in frames):
        return len(received)
    if rest:
        return len(received) - len(rest) + frame_at(rest, 0)[1]
    return len(received) + _LONG_OVERHEAD + 3


def require_acknowledge(received: bytes) -> None:
    """Check that `received` is one acknowledge and nothing else; raises FrameError.

    One octet has no checksum, so nothing may stand beside it.
    """
    rest = without_echo(received)
    if rest != ACKNOWLEDGE:
        raise FrameError(f"no acknowledge (E5) but {rest.hex() or 'nothing'}")


def telegram_in(received: bytes) -> MbusFrame:
    """Give the one telegram of a meter in `received`; raises FrameError or CrcError."""
    found, _ = scan(received)
    answers = [frame for frame in found if not frame.is_echo]
    if not answers:
        if not found and bytes((_LONG,)) in received:
            raise CrcError(f"no frame with a right checksum in {received.hex()}")
        raise FrameError(f"no answer in {received.hex()}")
    if len(answers) > 1:
        raise FrameError(f"{len(answers)} answers to one request")
    answer = answers[0]
    if answer.control & _ANSWER_BITS != RSP_UD or not answer.user:
        raise FrameError(f"control {answer.control:#04x} is no telegram (RSP_UD, 08)")
    return answer
