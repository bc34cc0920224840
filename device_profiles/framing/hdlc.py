"""HDLC frames of DLMS/COSEM: 7E, format and length, two addresses, control, HCS, information, FCS, 7E. Sans I/O.

Theory of operation. Frame format type 3 (IEC 62056-46, 6.4): the length stands in the format field and counts all but
the two flags, octets are not stuffed, so a 7E within a frame is no flag, and the end is found by the length. Two frames
may share a flag. A frame with information has two checks: HCS over the header, FCS over all of it; without
information the only check covers the header. Received octets are a stream: noise is stepped over, and a frame with
right checks wins over an earlier 7E that merely looked like a beginning.

A server address has 1 octet (logical device), 2 (logical, physical) or 4 (the same, 14 bits each); the low bit of its
last octet is 1. A client's address has 1 octet. 127, and 16383 in 4 octets, call every device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from device_profiles.framing.errors import AddressInvalid

FLAG = 0x7E
FORMAT = 0xA000
SEGMENTED = 0x0800
LENGTH_MASK = 0x07FF
SNRM = 0x93
DISC = 0x53
UA = 0x73
DM = 0x1F
FRMR = 0x97
UI = 0x13
FINAL = 0x10
"""Poll from the client, final from the server."""

_ADDRESS_OCTETS_MAX = 4
_HEADER_OCTETS_MIN = 5
_CHECK_OCTETS = 2
_ADDRESS = re.compile(r"(\d{1,5})(?:/(\d{1,5}))?\Z", re.ASCII)
_SHORT_MAX = 0x7E
_LONG_MAX = 0x3FFE


def _fcs_step(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ 0x8408 if octet & 1 else octet >> 1
    return octet


_FCS_TABLE = tuple(_fcs_step(octet) for octet in range(256))


def fcs16(octets: bytes) -> bytes:
    """Give the check octets (CRC-16/X.25) as they go on the wire, low octet first."""
    fcs = 0xFFFF
    for octet in octets:
        fcs = fcs >> 8 ^ _FCS_TABLE[(fcs ^ octet) & 0xFF]
    return (fcs ^ 0xFFFF).to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class HdlcAddress:
    """A device: logical device and, behind addresses of 2 or 4 octets, the physical one. `octets` on the wire."""

    logical: int
    physical: int | None
    octets: int

    @classmethod
    def client(cls, number: int) -> HdlcAddress:
        """Give a client's address: 16 public, 1 management, and what the meter knows else (1 to 127)."""
        return cls(number, None, 1)

    @classmethod
    def server(cls, text: str, octets: int = 0) -> HdlcAddress:
        """Read `logical` or `logical/physical`; on the wire as short as it fits, but no shorter than `octets`.

        Raises AddressInvalid, whatever `octets` is, for what is no address.
        """
        match = _ADDRESS.match(text)
        logical, physical = (int(match[1]), int(match[2]) if match[2] else None) if match else (0, None)
        highest = max(logical, physical or 0)
        if not logical or highest > _LONG_MAX:
            raise AddressInvalid(
                f"{text!r} is not an HDLC address: write logical/physical device, like 1/17, or the logical device"
                f" alone; up to {_SHORT_MAX}, or {_LONG_MAX} in 4 octets"
            )
        shortest = 4 if highest > _SHORT_MAX else 1 if physical is None else 2
        chosen = max(octets, shortest)
        return cls(logical, None if chosen == 1 else physical or 0, chosen)

    def to_wire(self) -> bytes:
        """Give the address field."""
        if self.octets == 1:
            return bytes((self.logical << 1 | 1,))
        physical = self.physical or 0
        if self.octets == 2:
            return bytes((self.logical << 1, physical << 1 | 1))
        return bytes(
            (self.logical >> 7 << 1, (self.logical & 0x7F) << 1, physical >> 7 << 1, (physical & 0x7F) << 1 | 1)
        )

    @classmethod
    def from_wire(cls, field: bytes) -> HdlcAddress:
        """Read an address field of 1, 2 or 4 octets."""
        parts = [octet >> 1 for octet in field]
        if len(parts) == 1:
            return cls(parts[0], None, 1)
        if len(parts) == 2:
            return cls(parts[0], parts[1], 2)
        return cls(parts[0] << 7 | parts[1], parts[2] << 7 | parts[3], 4)


@dataclass(frozen=True, slots=True)
class HdlcFrame:
    """One frame with right checks. `segmented`: the information goes on in the next frame."""

    destination: HdlcAddress
    source: HdlcAddress
    control: int
    information: bytes = b""
    segmented: bool = False

    @property
    def is_information(self) -> bool:
        """Say whether this is a numbered information frame."""
        return not self.control & 0x01

    @property
    def is_receive_ready(self) -> bool:
        """Say whether this only says which frame is awaited."""
        return self.control & 0x0F == 0x01

    @property
    def send_number(self) -> int:
        """N(S) of an information frame."""
        return self.control >> 1 & 0x07

    @property
    def receive_number(self) -> int:
        """N(R): the frame that the sender awaits next."""
        return self.control >> 5

    @property
    def is_final(self) -> bool:
        """Say whether the other side may speak now."""
        return bool(self.control & FINAL)

    def to_wire(self) -> bytes:
        """Give the octets on the line, flags included."""
        addresses = self.destination.to_wire() + self.source.to_wire()
        length = 2 + len(addresses) + 1 + _CHECK_OCTETS
        if self.information:
            length += len(self.information) + _CHECK_OCTETS
        head = (FORMAT | SEGMENTED * self.segmented | length).to_bytes(2) + addresses + bytes((self.control,))
        head += fcs16(head)
        if self.information:
            head += self.information
            head += fcs16(head)
        return bytes((FLAG,)) + head + bytes((FLAG,))


def information_control(send: int, receive: int) -> int:
    """Give the control octet of an information frame that hands over the turn."""
    return receive << 5 | FINAL | send << 1


def receive_ready_control(receive: int) -> int:
    """Give the control octet that asks for frame `receive`."""
    return receive << 5 | FINAL | 0x01


def scan(octets: bytes) -> tuple[list[HdlcFrame], int]:
    """Give every whole frame in `octets`, and how many octets, at least, are missing to the end of one begun last.

    0 missing: no frame has begun. A whole frame wins over an earlier beginning that still waits for octets.
    """
    frames: list[HdlcFrame] = []
    missing = 0
    at = 0
    while (at := octets.find(FLAG, at)) >= 0:
        frame, end = frame_at(octets, at)
        if frame is not None:
            frames.append(frame)
            missing, at = 0, end - 1  # the closing flag may open the next frame
            at += end == len(octets)
            continue
        if end > len(octets) and at + 1 < len(octets):
            missing = missing or end - len(octets)
        at += 1
    return frames, missing


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the frame that begins at `at` ends; None when none does."""
    frame, end = frame_at(octets, at) if octets[at] == FLAG else (None, at)
    return None if frame is None else end


def frame_at(octets: bytes, at: int) -> tuple[HdlcFrame | None, int]:
    """Try the frame whose opening flag is at `at`: the frame or None, and where it ends or would end.

    The end lies beyond `octets` while the frame may still be arriving, and at `at` when it is refuted.
    """
    present = len(octets) - at
    if present < 3:
        refuted = present == 2 and octets[at + 1] & 0xF0 != FORMAT >> 8
        return None, at if refuted else at + 2 + _HEADER_OCTETS_MIN
    field = int.from_bytes(octets[at + 1 : at + 3])
    length = field & LENGTH_MASK
    end = at + 1 + length + 1
    if field & 0xF000 != FORMAT or length < _HEADER_OCTETS_MIN + _CHECK_OCTETS:
        return None, at
    if end > len(octets):
        return None, end
    body = octets[at + 1 : end - 1]
    if octets[end - 1] != FLAG or fcs16(body[:-2]) != body[-2:]:
        return None, at
    frame = _parsed(body, segmented=bool(field & SEGMENTED))
    return (frame, end) if frame is not None else (None, at)


def _parsed(body: bytes, *, segmented: bool) -> HdlcFrame | None:
    """Read what stands between the flags, its FCS being right; None when it has no form."""
    destination_end = _address_end(body, 2)
    source_end = _address_end(body, destination_end)
    header_end = source_end + 1 + _CHECK_OCTETS
    if not destination_end or not source_end or header_end > len(body):
        return None
    information = b""
    if header_end < len(body):
        information = body[header_end:-_CHECK_OCTETS]
        if not information or fcs16(body[: source_end + 1]) != body[source_end + 1 : header_end]:
            return None
    return HdlcFrame(
        destination=HdlcAddress.from_wire(body[2:destination_end]),
        source=HdlcAddress.from_wire(body[destination_end:source_end]),
        control=body[source_end],
        information=information,
        segmented=segmented,
    )


def _address_end(body: bytes, start: int) -> int:
    """Give where the address that begins at `start` ends; 0 when it has no end, or 3 octets."""
    for count in range(1, _ADDRESS_OCTETS_MAX + 1):
        if start and start + count <= len(body) and body[start + count - 1] & 1:
            return start + count if count != 3 else 0
    return 0
