"""Opening and closing a DLMS association: AARQ, AARE, RLRQ, RLRE in BER (IEC 62056-5-3, 7 and 9). Sans I/O.

The client proposes what services it will use and how it shows who it is; the meter answers whether it agrees, the
services both know, the longest APDU it takes, and under HLS its own challenge. Elements nobody asks for are stepped
over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from device_profiles.framing.axdr import AxdrReader, length_to_wire
from device_profiles.framing.errors import FrameError

AARQ = 0x60
AARE = 0x61
RLRQ = 0x62
RLRE = 0x63
INITIATE_REQUEST = 0x01
INITIATE_RESPONSE = 0x08
CONFIRMED_SERVICE_ERROR = 0x0E
GLO_INITIATE_REQUEST = 0x21
GLO_INITIATE_RESPONSE = 0x28
ACCEPTED = 0
AUTHENTICATION_REQUIRED = 14
"""Diagnostic beside an acceptance: the challenges come next."""

DLMS_VERSION = 6
LN_VAA_NAME = b"\x00\x07"
_CONTEXT = bytes.fromhex("608574050801")
_MECHANISM = bytes.fromhex("608574050802")
_LN_PLAIN = 1
_LN_CIPHERED = 3
_SENDER_REQUIREMENTS = bytes.fromhex("8A020780")
_RESPONDER_REQUIREMENTS = bytes.fromhex("88020780")
_DIAGNOSTICS = {
    1: "no reason given",
    2: "application context not supported",
    3: "calling system title not recognised",
    11: "authentication mechanism not recognised",
    12: "authentication mechanism required",
    13: "authentication failed: wrong password or key",
    14: "authentication required",
}


class Mechanism(IntEnum):
    """How the client shows who it is (IEC 62056-5-3, 7.2.7): not at all, by password, or by GMAC challenges."""

    LOWEST = 0
    LOW = 1
    GMAC = 5


class Conformance(IntFlag):
    """Services of an association, bit 0 of the standard being the highest of 24."""

    BLOCK_TRANSFER_WITH_GET = 1 << 12
    MULTIPLE_REFERENCES = 1 << 9
    GET = 1 << 4
    SELECTIVE_ACCESS = 1 << 2
    ACTION = 1 << 0


READING = (
    Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.GET
    | Conformance.SELECTIVE_ACCESS
)
"""What a reader proposes; nothing that writes."""


@dataclass(frozen=True, slots=True)
class Initiate:
    """xDLMS context: services (24 bits) and the longest APDU the sender takes [octets]."""

    conformance: int
    pdu_octets_max: int

    def to_request(self) -> bytes:
        """Give the InitiateRequest."""
        return bytes((INITIATE_REQUEST, 0, 0, 0, DLMS_VERSION)) + self._body()

    def to_response(self) -> bytes:
        """Give the InitiateResponse."""
        return bytes((INITIATE_RESPONSE, 0, DLMS_VERSION)) + self._body() + LN_VAA_NAME

    def _body(self) -> bytes:
        return b"\x5f\x1f\x04\x00" + self.conformance.to_bytes(3) + self.pdu_octets_max.to_bytes(2)

    @classmethod
    def from_wire(cls, octets: bytes) -> Initiate:
        """Read an InitiateRequest or InitiateResponse; raises FrameError."""
        reader = AxdrReader(octets)
        kind = reader.octet()
        if kind == CONFIRMED_SERVICE_ERROR:
            raise FrameError(f"the meter refused the services: error {octets[1:].hex()}")
        if kind not in (INITIATE_REQUEST, INITIATE_RESPONSE):
            raise FrameError(f"{kind:#04x} begins no initiate APDU")
        if kind == INITIATE_REQUEST:
            if reader.octet():
                reader.string()
            if reader.octet():
                reader.octet()
        if reader.octet():
            reader.octet()
        if reader.octet() != DLMS_VERSION:
            raise FrameError("not DLMS version 6")
        if reader.take(4) != b"\x5f\x1f\x04\x00":
            raise FrameError("a conformance block of an unknown form")
        return cls(conformance=reader.unsigned(3), pdu_octets_max=reader.unsigned(2))


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """AARQ. `authentication` is the password, or the client's challenge; `user_information` the initiate APDU."""

    mechanism: Mechanism
    user_information: bytes
    authentication: bytes = field(default=b"", repr=False)
    title: bytes = b""
    is_ciphered: bool = False

    def to_wire(self) -> bytes:
        """Give the APDU."""
        content = _element(0xA1, _element(0x06, _context(self.is_ciphered)))
        if self.title:
            content += _element(0xA6, _element(0x04, self.title))
        if self.mechanism is not Mechanism.LOWEST:
            content += _SENDER_REQUIREMENTS + _element(0x8B, _MECHANISM + bytes((self.mechanism,)))
            content += _element(0xAC, _element(0x80, self.authentication))
        return _element(AARQ, content + _element(0xBE, _element(0x04, self.user_information)))

    @classmethod
    def from_wire(cls, octets: bytes) -> AssociationRequest:
        """Read the APDU; raises FrameError."""
        elements = _elements(octets, AARQ)
        mechanism = elements.get(0x8B, _MECHANISM + b"\0")
        if mechanism[:-1] != _MECHANISM or mechanism[-1] not in tuple(Mechanism):
            raise FrameError(f"authentication mechanism {mechanism.hex()} is not known")
        return cls(
            mechanism=Mechanism(mechanism[-1]),
            user_information=_inner(elements, 0xBE, 0x04),
            authentication=_inner(elements, 0xAC, 0x80),
            title=_inner(elements, 0xA6, 0x04),
            is_ciphered=_inner(elements, 0xA1, 0x06) == _context(is_ciphered=True),
        )


@dataclass(frozen=True, slots=True)
class AssociationResponse:
    """AARE. `authentication` is the meter's challenge under HLS."""

    result: int
    diagnostic: int
    user_information: bytes
    authentication: bytes = b""
    title: bytes = b""
    is_ciphered: bool = False

    @property
    def is_accepted(self) -> bool:
        """Say whether the meter agreed."""
        return self.result == ACCEPTED

    @property
    def reason(self) -> str:
        """Give the diagnostic in words."""
        return _DIAGNOSTICS.get(self.diagnostic, f"diagnostic {self.diagnostic}")

    def to_wire(self) -> bytes:
        """Give the APDU."""
        content = _element(0xA1, _element(0x06, _context(self.is_ciphered)))
        content += _element(0xA2, _element(0x02, bytes((self.result,))))
        content += _element(0xA3, _element(0xA1, _element(0x02, bytes((self.diagnostic,)))))
        if self.title:
            content += _element(0xA4, _element(0x04, self.title))
        if self.authentication:
            content += _RESPONDER_REQUIREMENTS + _element(0x89, _MECHANISM + bytes((Mechanism.GMAC,)))
            content += _element(0xAA, _element(0x80, self.authentication))
        return _element(AARE, content + _element(0xBE, _element(0x04, self.user_information)))

    @classmethod
    def from_wire(cls, octets: bytes) -> AssociationResponse:
        """Read the APDU; raises FrameError."""
        elements = _elements(octets, AARE)
        result = _inner(elements, 0xA2, 0x02)
        source = AxdrReader(elements.get(0xA3, b""))
        diagnostic = _number(AxdrReader(source.string() if source.rest and source.octet() else b""))
        if len(result) != 1:
            raise FrameError("an association response without result")
        return cls(
            result=result[0],
            diagnostic=diagnostic,
            user_information=_inner(elements, 0xBE, 0x04),
            authentication=_inner(elements, 0xAA, 0x80),
            title=_inner(elements, 0xA4, 0x04),
            is_ciphered=_inner(elements, 0xA1, 0x06) == _context(is_ciphered=True),
        )


def release_request() -> bytes:
    """Give the RLRQ, reason normal."""
    return _element(RLRQ, _element(0x80, b"\0"))


def release_response() -> bytes:
    """Give the RLRE, reason normal."""
    return _element(RLRE, _element(0x80, b"\0"))


def _context(is_ciphered: bool) -> bytes:
    return _CONTEXT + bytes((_LN_CIPHERED if is_ciphered else _LN_PLAIN,))


def _element(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + length_to_wire(len(content)) + content


def _elements(octets: bytes, tag: int) -> dict[int, bytes]:
    """Read an APDU of `tag` as its elements by tag; the first of each counts."""
    outer = AxdrReader(octets)
    if outer.octet() != tag:
        raise FrameError(f"{octets[:1].hex()} is not the APDU {tag:#04x}")
    reader = AxdrReader(outer.string())
    outer.require_end()
    elements: dict[int, bytes] = {}
    while reader.rest:
        elements.setdefault(reader.octet(), reader.string())
    return elements


def _inner(elements: dict[int, bytes], tag: int, inner: int) -> bytes:
    """Give what stands in element `tag` within its one element `inner`; nothing when it is left out."""
    if tag not in elements:
        return b""
    reader = AxdrReader(elements[tag])
    if reader.octet() != inner:
        raise FrameError(f"element {tag:#04x} of an association APDU has no element {inner:#04x}")
    content = reader.string()
    reader.require_end()
    return content


def _number(reader: AxdrReader) -> int:
    return int.from_bytes(reader.string()) if reader.rest and reader.octet() == 0x02 else 0
