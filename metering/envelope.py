"""The sealed batch: what a gateway signs and a stranger can check years later.

Theory of operation. A gateway seals each sweep of a port into one envelope: deterministic CBOR (RFC 8949, 4.2)
inside COSE_Sign1 (RFC 9052, 4.2). Envelopes of one gateway and epoch form a chain: `seq` counts from 1 without gaps
and each envelope names the SHA-256 of the one before, so a missing, changed or doubled envelope shows. Algorithm and
key are the registry's, looked up by key id; what the message says about its algorithm must merely agree. An envelope
is accepted only in its one canonical form: it is encoded again after decoding and compared byte for byte.

The CDDL and test vectors are in docs/wire.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Protocol

import cbor2

from metering.clock import ClockQuality, ClockState
from metering.errors import SenderError
from metering.identity import GatewayId, IdentifierInvalid, KeyId, MeterId, check_identifier
from metering.reading import MeterReading, ReadQuality

FORMAT = 1
ENVELOPE_OCTETS_MAX = 256 * 1024
"""A sweep of 250 meters with 64 channels each is about 100 KiB; twice that and more is not a sweep."""
NESTING_MAX = 8
COSE_SIGN1_TAG = 18
_HEADER_ALGORITHM = 1
_HEADER_KEY_ID = 4
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


class Algorithm(IntEnum):
    """COSE algorithm numbers (RFC 9053): EDDSA always with Ed25519 here, ES256 for hardware keys."""

    EDDSA = -8
    ES256 = -7


class Signer(Protocol):
    """A signing key that may live in a file or in hardware."""

    @property
    def key_id(self) -> KeyId:
        """Identifier of the public half in the registry."""

    @property
    def algorithm(self) -> Algorithm:
        """Algorithm of this key."""

    def sign(self, message: bytes) -> bytes:
        """Sign `message`."""


class Verifier(Protocol):
    """The public half of a key, from the registry."""

    @property
    def algorithm(self) -> Algorithm:
        """Algorithm the registry binds to this key."""

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether `signature` is this key's over `message`."""


class EnvelopeMalformed(SenderError):
    """The octets are not an envelope in canonical form."""

    reason = "malformed"


class SignatureInvalid(SenderError):
    """The signature does not fit the content and the registered key."""

    reason = "signature-invalid"


class Kind(IntEnum):
    """What an envelope carries."""

    READINGS = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """The content of one sealed batch.

    epoch          rises at enrolment, key rollover or loss of state
    seq            1, 2, 3 ... within the epoch
    previous_hash  SHA-256 of the previous sealed envelope; of the enrolment bundle, or 32 zero octets, at seq 1
    boot           16 octets naming one boot of the gateway machine
    sealed_at      gateway clock at sealing; `clock` says how far to trust it
    mark           wall-clock quarter hour that the sweep was aligned to, None for an unaligned one
    """

    gateway: GatewayId
    epoch: int
    seq: int
    previous_hash: bytes
    boot: bytes
    sealed_at: datetime
    clock: ClockState
    mark: datetime | None
    readings: tuple[MeterReading, ...]
    kind: Kind = Kind.READINGS


def encode(content: Any) -> bytes:
    """Encode deterministically (RFC 8949, 4.2.1): shortest forms, sorted keys, no indefinite lengths."""
    return cbor2.dumps(content, canonical=True)


def decode_canonical(octets: bytes, octets_max: int = ENVELOPE_OCTETS_MAX) -> Any:
    """Decode CBOR that must be in canonical form; raises EnvelopeMalformed, and nothing else, for any other input."""
    if len(octets) > octets_max:
        raise EnvelopeMalformed(f"{len(octets)} octets; at most {octets_max} are allowed")
    try:
        content = cbor2.loads(octets, max_depth=NESTING_MAX, allow_indefinite=False, allow_duplicate_keys=False)
        again = encode(content)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise EnvelopeMalformed(f"not CBOR: {error}") from error
    if again != octets:
        raise EnvelopeMalformed("not in canonical form")
    return content


def sign1(payload: bytes, signer: Signer) -> bytes:
    """Wrap `payload` in a COSE_Sign1 with algorithm and key id in the protected header."""
    protected = encode({_HEADER_ALGORITHM: int(signer.algorithm), _HEADER_KEY_ID: signer.key_id})
    signature = signer.sign(_to_be_signed(protected, payload))
    return encode(cbor2.CBORTag(COSE_SIGN1_TAG, [protected, {}, payload, signature]))


@dataclass(frozen=True, slots=True)
class Sign1:
    """The parts of a COSE_Sign1; nothing about it is proven until its signature is checked."""

    key_id: KeyId
    algorithm: Algorithm
    payload: bytes
    signature: bytes
    signed: bytes

    def require(self, verifier: Verifier) -> bytes:
        """Give the payload once `verifier` has proven it; raises SignatureInvalid."""
        if verifier.algorithm != self.algorithm:
            raise SignatureInvalid("the message names another algorithm than the registry")
        if not verifier.verifies(self.signature, self.signed):
            raise SignatureInvalid(f"the signature is not that of key {self.key_id.hex()}")
        return self.payload


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope with its sealed octets. From `parse_sealed` nothing is proven yet; from `open_sealed` it is."""

    octets: bytes
    message: Sign1
    envelope: Envelope

    @property
    def digest(self) -> bytes:
        """SHA-256 of the sealed octets: what the next envelope names as `previous_hash`."""
        return digest_of(self.octets)


def parse_sign1(octets: bytes) -> Sign1:
    """Take a COSE_Sign1 apart without trusting it; raises EnvelopeMalformed."""
    message = decode_canonical(octets)
    if not isinstance(message, cbor2.CBORTag) or message.tag != COSE_SIGN1_TAG:
        raise EnvelopeMalformed("not a COSE_Sign1 (tag 18)")
    parts = message.value
    if not isinstance(parts, list | tuple) or len(parts) != 4 or parts[1] != {}:
        raise EnvelopeMalformed("COSE_Sign1 must be [protected, {}, payload, signature]")
    protected, _, payload, signature = parts
    if not all(isinstance(part, bytes) for part in (protected, payload, signature)):
        raise EnvelopeMalformed("protected header, payload and signature must be byte strings")
    header = decode_canonical(protected)
    if not isinstance(header, dict) or set(header) != {_HEADER_ALGORITHM, _HEADER_KEY_ID}:
        raise EnvelopeMalformed("the protected header must hold algorithm and key id, and nothing else")
    key_id = header[_HEADER_KEY_ID]
    if not isinstance(key_id, bytes) or not 1 <= len(key_id) <= 32:
        raise EnvelopeMalformed("the key id must be 1 to 32 octets")
    try:
        algorithm = Algorithm(header[_HEADER_ALGORITHM])
    except ValueError as error:
        raise EnvelopeMalformed(f"algorithm {header[_HEADER_ALGORITHM]!r} is not in use here") from error
    return Sign1(KeyId(key_id), algorithm, payload, signature, _to_be_signed(protected, payload))


def seal(envelope: Envelope, signer: Signer) -> bytes:
    """Give the signed octets of `envelope`: what goes into the outbox, over the wire and into the store."""
    return sign1(encode(_to_wire(envelope)), signer)


def parse_sealed(octets: bytes) -> Sealed:
    """Parse sealed octets without checking the signature; raises EnvelopeMalformed."""
    message = parse_sign1(octets)
    return Sealed(octets, message, _from_wire(decode_canonical(message.payload)))


def open_sealed(octets: bytes, verifier: Verifier) -> Sealed:
    """Verify, then parse; raises EnvelopeMalformed or SignatureInvalid."""
    message = parse_sign1(octets)
    return Sealed(octets, message, _from_wire(decode_canonical(message.require(verifier))))


def digest_of(octets: bytes) -> bytes:
    """SHA-256 of sealed octets."""
    return hashlib.sha256(octets).digest()


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052, 4.4, without external data."""
    return encode(["Signature1", protected, b"", payload])


def to_ms(instant: datetime) -> int:
    """Milliseconds from 1970-01-01T00:00Z to `instant`, rounded down."""
    return (instant - _EPOCH_START) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """Inverse of `to_ms`; raises EnvelopeMalformed beyond the years 1 to 9999."""
    try:
        return _EPOCH_START + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise EnvelopeMalformed(f"{milliseconds} ms is no instant") from error


def _to_wire(envelope: Envelope) -> list[Any]:
    profiles = sorted({reading.profile_hash for reading in envelope.readings})
    sealed_ms = to_ms(envelope.sealed_at)
    return [
        FORMAT,
        int(envelope.kind),
        envelope.gateway,
        envelope.epoch,
        envelope.seq,
        envelope.previous_hash,
        envelope.boot,
        sealed_ms,
        [int(envelope.clock.quality), envelope.clock.error_ms],
        None if envelope.mark is None else int(envelope.mark.timestamp()),
        profiles,
        [_reading_to_wire(reading, profiles, sealed_ms) for reading in envelope.readings],
    ]


def _reading_to_wire(reading: MeterReading, profiles: Sequence[bytes], sealed_ms: int) -> list[Any]:
    """Times are sent as milliseconds before sealing: small numbers, and exact."""
    return [
        reading.meter,
        profiles.index(reading.profile_hash),
        reading.group,
        sealed_ms - to_ms(reading.started_at),
        sealed_ms - to_ms(reading.ended_at),
        int(reading.quality),
        list(reading.mantissas),
        list(reading.frames),
    ]


def _from_wire(content: Any) -> Envelope:
    fields = expect_list(content, 12, "payload")
    if fields[0] != FORMAT:
        raise EnvelopeMalformed(f"format {fields[0]!r} is not known; this service reads format {FORMAT}")
    clock = expect_list(fields[8], 2, "clock")
    profiles = [expect_bytes(profile, 32, "profile hash") for profile in expect_list(fields[10], None, "profiles")]
    sealed_ms = expect_int(fields[7], "sealed_at", -(2**47), 2**47)
    try:
        return Envelope(
            gateway=GatewayId(check_identifier(expect_text(fields[2], "gateway"))),
            epoch=expect_int(fields[3], "epoch", 1, 2**31 - 1),
            seq=expect_int(fields[4], "seq", 1, 2**63 - 1),
            previous_hash=expect_bytes(fields[5], 32, "previous hash"),
            boot=expect_bytes(fields[6], 16, "boot"),
            sealed_at=from_ms(sealed_ms),
            clock=ClockState(
                ClockQuality(expect_int(clock[0], "clock quality", 0, 2)),
                None if clock[1] is None else expect_int(clock[1], "clock error", 0, 2**47),
            ),
            mark=None if fields[9] is None else from_ms(1000 * expect_int(fields[9], "mark", -(2**37), 2**37)),
            readings=tuple(
                _reading_from_wire(item, profiles, sealed_ms) for item in expect_list(fields[11], None, "readings")
            ),
            kind=Kind(expect_int(fields[1], "kind", 1, 1)),
        )
    except IdentifierInvalid as error:
        raise EnvelopeMalformed(str(error)) from error


def _reading_from_wire(content: Any, profiles: Sequence[bytes], sealed_ms: int) -> MeterReading:
    fields = expect_list(content, 8, "reading")
    index = expect_int(fields[1], "profile index", 0, max(len(profiles) - 1, 0))
    if not profiles:
        raise EnvelopeMalformed("a reading without a profile")
    return MeterReading(
        meter=MeterId(check_identifier(expect_text(fields[0], "meter"))),
        profile_hash=profiles[index],
        group=expect_int(fields[2], "group", 0, 255),
        started_at=from_ms(sealed_ms - expect_int(fields[3], "start", -(2**47), 2**47)),
        ended_at=from_ms(sealed_ms - expect_int(fields[4], "end", -(2**47), 2**47)),
        quality=ReadQuality(expect_int(fields[5], "quality", 0, 4)),
        mantissas=tuple(
            None if mantissa is None else expect_int(mantissa, "mantissa", -(2**63), 2**63 - 1)
            for mantissa in expect_list(fields[6], None, "mantissas")
        ),
        frames=tuple(expect_bytes(frame, None, "frame") for frame in expect_list(fields[7], None, "frames")),
    )


def expect_list(content: Any, length: int | None, what: str) -> Sequence[Any]:
    """Require an array, of `length` items where one is given; raises EnvelopeMalformed naming `what`."""
    if not isinstance(content, list | tuple) or (length is not None and len(content) != length):
        raise EnvelopeMalformed(f"{what}: expected an array{'' if length is None else f' of {length}'}")
    return content


def expect_int(content: Any, what: str, least: int, most: int) -> int:
    """Require an integer from `least` to `most`, both included; raises EnvelopeMalformed naming `what`."""
    if type(content) is not int or not least <= content <= most:
        raise EnvelopeMalformed(f"{what}: expected an integer from {least} to {most}")
    return content


def expect_bytes(content: Any, length: int | None, what: str) -> bytes:
    """Require octets, `length` of them where one is given; raises EnvelopeMalformed naming `what`."""
    if type(content) is not bytes or (length is not None and len(content) != length):
        raise EnvelopeMalformed(f"{what}: expected {'' if length is None else f'{length} '}octets")
    return content


def expect_text(content: Any, what: str) -> str:
    """Require text; raises EnvelopeMalformed naming `what`."""
    if type(content) is not str:
        raise EnvelopeMalformed(f"{what}: expected text")
    return content
