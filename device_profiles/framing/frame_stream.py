"""Frames that begin with 68 and carry their length, found in a stream of octets with noise and echoes between them.

Shared by DL/T 645 and CJ/T 188. A frame is told from noise by its length, checksum and end octet; where one is wrong,
the search goes on at the next 68. A checksum may look like an end octet, so no end is ever searched for.
"""

from __future__ import annotations

import typing
from collections.abc import Callable

from device_profiles.framing.errors import AnswerMismatch, CrcError, FrameError

START_OCTET = b"\x68"
FrameT = typing.TypeVar("FrameT")
FrameAt = Callable[[bytes, int], tuple[FrameT | None, int]]
"""Tries the frame whose 68 is at a place: the frame or None, and where it ends or would end.

The end lies beyond the octets while the frame may still be arriving, and within them when it is refuted.
"""


def scan(octets: bytes, frame_at: FrameAt[FrameT]) -> tuple[list[FrameT], bytes]:
    """Give every whole frame in `octets`, and what is left from where the next one may have begun.

    A whole frame wins over an earlier start that is still waiting for octets: that start was noise.
    """
    frames: list[FrameT] = []
    begun: int | None = None
    at = 0
    while (at := octets.find(START_OCTET, at)) >= 0:
        frame, end = frame_at(octets, at)
        if frame is not None:
            frames.append(frame)
            begun, at = None, end
            continue
        if end > len(octets) and begun is None:
            begun = at
        at += 1
    return frames, b"" if begun is None else octets[begun:]


def octets_until_answer(
    received: bytes, frame_at: FrameAt[FrameT], is_answer: Callable[[FrameT], bool], octets_min: int
) -> int:
    """Give how many octets must arrive, at least, until `received` can hold an answer, of `octets_min` or more.

    Wake-up octets, noise and echoes are counted as received.
    """
    frames, rest = scan(received, frame_at)
    if any(is_answer(frame) for frame in frames):
        return len(received)
    if rest:
        return len(received) - len(rest) + frame_at(rest, 0)[1]
    return len(received) + octets_min


def the_answer(received: bytes, frame_at: FrameAt[FrameT], is_answer: Callable[[FrameT], bool]) -> FrameT:
    """Find the one frame from a meter; echoes of requests are skipped. Raises FrameError.

    More than one is refused: one of them answers something else, or two meters have heard a common address.
    """
    found, rest = scan(received, frame_at)
    answers = [each for each in found if is_answer(each)]
    if not answers:
        if not found and not rest and START_OCTET in received:
            raise CrcError(f"no frame with a right checksum in {received.hex()}")
        raise FrameError(f"no answer in {received.hex()}")
    if len(answers) > 1:
        raise AnswerMismatch(f"{len(answers)} answers to one request")
    return answers[0]
