"""Pulse inputs: the gateway counts, so the "meter's end" is the gateway's own counter. Sans I/O, both ends.

A read asks one input and is answered by how many pulses it has counted since it was first fitted, 8 octets, high octet
first. That number is all the wire there is: what a pulse is worth stands in the profile.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, one_exchange
from device_profiles.framing.errors import AddressInvalid, FrameError
from device_profiles.profile import ReadRequest

INPUT_MAX = 999
COUNT_OCTETS = 8

_INPUT = re.compile(r"(?:0|[1-9]\d{0,2})\Z", re.ASCII)
_REQUEST = re.compile(rb"PULSE (0|[1-9]\d{0,2})\n\Z")
_COUNT = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class PulseRead(ReadRequest):
    """Read the count of an input."""


def check_address(text: str) -> str:
    """Return the number of an input (of its GPIO line), 0 to 999; raises AddressInvalid."""
    if not _INPUT.match(text):
        raise AddressInvalid(f"{text!r} is not a pulse input: write its number, from 0 to {INPUT_MAX}")
    return text


def converse(address: str, read: PulseRead, secrets: MeterSecrets = NO_SECRETS, /) -> Conversation:
    """Ask the counter of one input."""
    del read, secrets
    return one_exchange(build_request(address), _octets_expected, body_in)


def build_request(address: str) -> bytes:
    """Give the request for one input."""
    return f"PULSE {address}\n".encode()


def asked_input(request: bytes) -> str | None:
    """Give the input that `request` asks; None for what is no request."""
    match = _REQUEST.match(request)
    return None if match is None else match.group(1).decode()


def build_reply(count: int) -> bytes:
    """Give the answer: `count` pulses."""
    return _COUNT.pack(count)


def body_in(received: bytes) -> bytes:
    """Give the body, which is the answer as it is; raises FrameError."""
    if len(received) != COUNT_OCTETS:
        raise FrameError(f"a count has {COUNT_OCTETS} octets, not {len(received)}")
    return received


def _octets_expected(received: bytes) -> int:
    del received
    return COUNT_OCTETS


def count_in(body: bytes) -> int:
    """Give the pulses in a body; raises FrameError."""
    count: int = _COUNT.unpack(body_in(body))[0]
    return count
