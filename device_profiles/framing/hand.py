"""Meters without a bus: a person reads the display. Sans I/O; no gateway ever asks by this protocol.

What a person wrote down takes the place of an answer, so that such a meter has a profile, simulated meters and vectors
as any other: 8 octets, high octet first, all digits of the display as one number.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, one_exchange
from device_profiles.framing.errors import AddressInvalid, FrameError
from device_profiles.profile import ReadRequest

DIGITS_OCTETS = 8

_NAME = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,30}[0-9A-Za-z])?\Z", re.ASCII)
_REQUEST = re.compile(rb"READ ([0-9A-Za-z-]{1,32})\n\Z")
_DIGITS = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class DisplayRead(ReadRequest):
    """Read the display."""


def check_address(text: str) -> str:
    """Return what the round calls a meter, usually its serial; raises AddressInvalid."""
    if not _NAME.match(text):
        raise AddressInvalid(f"{text!r} names no meter of a round: write 1 to 32 letters, digits and hyphens")
    return text


def converse(address: str, read: DisplayRead, secrets: MeterSecrets = NO_SECRETS, /) -> Conversation:
    """Ask for one display."""
    del read, secrets
    return one_exchange(build_request(address), _octets_expected, body_in)


def _octets_expected(received: bytes) -> int:
    del received
    return DIGITS_OCTETS


def build_request(address: str) -> bytes:
    """Give the request for one display."""
    return f"READ {address}\n".encode()


def asked_meter(request: bytes) -> str | None:
    """Give the meter that `request` asks; None for what is no request."""
    match = _REQUEST.match(request)
    return None if match is None else match.group(1).decode()


def build_reply(digits: int) -> bytes:
    """Give the answer: all digits as one number."""
    return _DIGITS.pack(digits)


def body_in(received: bytes) -> bytes:
    """Give the body, which is the answer as it is; raises FrameError."""
    if len(received) != DIGITS_OCTETS:
        raise FrameError(f"a display comes as {DIGITS_OCTETS} octets, not {len(received)}")
    return received


def digits_in(body: bytes) -> int:
    """Give the digits in a body; raises FrameError."""
    digits: int = _DIGITS.unpack(body_in(body))[0]
    return digits
