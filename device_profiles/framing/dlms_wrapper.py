"""The wrapper under DLMS/COSEM over TCP: version 1, source and destination port, length, then the APDU. Sans I/O.

Port numbers name devices: the meter's logical device (1 is the management device) and the client (16 is public). There
is no transaction number; a late answer shows by the invoke octet of its APDU. Source: IEC 62056-47, 6; TCP port 4059.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from device_profiles.framing.acse import release_request
from device_profiles.framing.conversation import Exchange
from device_profiles.framing.errors import AddressInvalid, AddressMismatch, FrameError

HEADER_OCTETS = 8
_VERSION = b"\x00\x01"
_PORT_MAX = 0xFFFF
_ADDRESS = re.compile(r"[1-9]\d{0,4}\Z", re.ASCII)


def check_port(text: str) -> int:
    """Read a wrapper port, 1 to 65535; raises AddressInvalid."""
    if not _ADDRESS.match(text) or int(text) > _PORT_MAX:
        raise AddressInvalid(f"{text!r} is not a wrapper port: write the meter's logical device, 1 to {_PORT_MAX}")
    return int(text)


def wrapped(source: int, destination: int, apdu: bytes) -> bytes:
    """Give `apdu` behind its header."""
    return _VERSION + source.to_bytes(2) + destination.to_bytes(2) + len(apdu).to_bytes(2) + apdu


def unwrapped(octets: bytes) -> tuple[int, int, bytes]:
    """Give source, destination and APDU of one whole message; raises FrameError."""
    if len(octets) < HEADER_OCTETS or octets[:2] != _VERSION:
        raise FrameError(f"no wrapper of version 1: {octets[:HEADER_OCTETS].hex()}")
    source, destination, length = (int.from_bytes(octets[at : at + 2]) for at in (2, 4, 6))
    if len(octets) != HEADER_OCTETS + length:
        raise FrameError(f"{len(octets) - HEADER_OCTETS} octets behind a header that announces {length}")
    return source, destination, octets[HEADER_OCTETS:]


def octets_expected(received: bytes) -> int:
    """Give the length of the message that has begun; raises FrameError when it is none."""
    if received[:2] != _VERSION[: len(received)]:
        raise FrameError(f"no wrapper of version 1: {received[:HEADER_OCTETS].hex()}")
    if len(received) < HEADER_OCTETS:
        return HEADER_OCTETS
    return HEADER_OCTETS + int.from_bytes(received[6:HEADER_OCTETS])


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the message that begins at `at` ends; None when none does."""
    if octets[at : at + 2] != _VERSION or len(octets) < at + HEADER_OCTETS:
        return None
    end = at + octets_expected(octets[at : at + HEADER_OCTETS])
    return end if at + HEADER_OCTETS < end <= len(octets) else None


class WrapperClient:
    """The gateway's side, for one conversation."""

    is_numbered = False

    def __init__(self, server: int, client: int) -> None:
        self._server = server
        self._client = client

    def connect(self) -> Generator[Exchange, bytes, None]:
        """The connection is the line's; nothing is to be set up."""
        yield from ()

    def transfer(self, apdu: bytes) -> Generator[Exchange, bytes, bytes]:
        """Send an APDU and give the one that answers it."""
        received = yield Exchange(wrapped(self._client, self._server, apdu), octets_expected, check=self._apdu)
        return self._apdu(received)

    def release(self) -> Generator[Exchange, bytes, None]:
        """End the association. Whatever comes back, or nothing: the answers are here already."""
        request = wrapped(self._client, self._server, release_request())
        yield Exchange(request, octets_expected, silence_is_answer=True)

    def _apdu(self, received: bytes) -> bytes:
        source, destination, apdu = unwrapped(received)
        if (source, destination) != (self._server, self._client):
            raise AddressMismatch(f"answer from {source} to {destination}, asked was {self._server} by {self._client}")
        return apdu
