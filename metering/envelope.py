"""The sealed batch: what a gateway signs and a stranger can check years later.

Theory of operation. A gateway seals each sweep of a port into one envelope: deterministic CBOR (RFC 8949, 4.2)
inside COSE_Sign1 (RFC 9052, 4.2). Envelopes of one gateway and epoch form a chain: `seq` counts from 1 without gaps
and each envelope names the SHA-256 of the one before, so a missing, changed or doubled envelope shows. Algorithm and
key are the registry's, looked up by key id; what the message says about its algorithm must merely agree. An envelope
is accepted only in its one canonical form: it is encoded again after decoding and compared byte for byte.

The signature covers a head that names the root of a hash tree over the readings, each salted (metering/disclosure.py).
So one meter's reading can be shown to its tenant, with proof that it was sealed, while the neighbours' stay hidden.

The CDDL and test vectors are in docs/wire.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Protocol

import cbor2

from metering.clock import ClockQuality, ClockState
from metering.disclosure import SALT_OCTETS, Opening, open_leaf, openings, tree_root
from metering.errors import SenderError
from metering.identity import GatewayId, IdentifierInvalid, KeyId, MeterId, check_identifier
from metering.reading import MeterReading, ReadQuality

FORMAT = 1
ENVELOPE_OCTETS_MAX = 256 * 1024
"""A sweep of 250 meters with 64 channels each is about 100 KiB; twice that and more is not a sweep."""
NESTING_MAX = 8
READINGS_MAX = 4096
"""More meters than any serial line or Modbus TCP gateway can address."""
_WHOLE = 1
_PART = 2
_SEED_DOMAIN = "metertree envelope seed 1"
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
    """What an envelope carries: what the leaves of its tree are."""

    READINGS = 1
    REPORT = 2
    """Records about the gateway itself (metering/report.py): anchors of its clock, what became of settings sent."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The content of one sealed batch.

    epoch          rises at enrolment, key rollover or loss of state
    seq            1, 2, 3 ... within the epoch
    previous_hash  SHA-256 of the previous sealed envelope; of the enrolment bundle, or 32 zero octets, at seq 1
    boot           16 octets naming one boot of the gateway machine
    sealed_at      gateway clock at sealing; `clock` says how far to trust it. With an unknown clock it counts from the
                   boot, as do the times of the readings, until an anchor of that boot dates them
    mark           wall-clock quarter hour that the sweep was aligned to, None for an unaligned one
    records        of a report, as its leaves stand on the wire; () with readings
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
    records: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """What the signature covers: all of an envelope but its readings, of which it holds the number and the root.

    profiles  the profile hashes that the readings name by index
    """

    gateway: GatewayId
    epoch: int
    seq: int
    previous_hash: bytes
    boot: bytes
    sealed_at: datetime
    clock: ClockState
    mark: datetime | None
    kind: Kind
    profiles: tuple[bytes, ...]
    count: int
    root: bytes


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
    """An envelope with its message octets. From `parse_sealed` nothing is proven yet; from `open_*` it is.

    is_whole   whether every reading is there; a disclosed envelope holds some of them
    """

    octets: bytes
    message: Sign1
    digest: bytes
    """SHA-256 of the signed head: what the next envelope names as `previous_hash`, however much is disclosed."""
    head: Head
    envelope: Envelope
    is_whole: bool


def parse_sign1(octets: bytes, octets_max: int = ENVELOPE_OCTETS_MAX) -> Sign1:
    """Take a COSE_Sign1 apart without trusting it; raises EnvelopeMalformed."""
    message = decode_canonical(octets, octets_max)
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
    """Give the message of `envelope`: what goes into the outbox, over the wire and into the store.

    The seed of the salts is drawn from a signature, so that sealing the same sweep again gives the same octets with
    an Ed25519 key, and nobody without the key can guess it.
    """
    place = encode([_SEED_DOMAIN, envelope.gateway, envelope.epoch, envelope.seq])
    seed = hashlib.sha256(signer.sign(place)).digest()[:SALT_OCTETS]
    profiles = sorted({reading.profile_hash for reading in envelope.readings})
    sealed_ms = to_ms(envelope.sealed_at)
    leaves = [_reading_to_wire(reading, profiles, sealed_ms) for reading in envelope.readings]
    leaves.extend(list(record) for record in envelope.records)
    head = _head_to_wire(envelope, profiles, len(leaves), tree_root(seed, [encode(leaf) for leaf in leaves]))
    return encode([sign1(encode(head), signer), [_WHOLE, seed, leaves]])


def disclose(octets: bytes, meters: Collection[MeterId]) -> bytes:
    """Give the same envelope with the readings of `meters` only; signature and digest stay what they are.

    Raises EnvelopeMalformed unless `octets` is a whole envelope.
    """
    signed, shown = _parts(octets)
    if shown[0] != _WHOLE:
        raise EnvelopeMalformed("only a whole envelope can be disclosed in part")
    seed, readings = expect_bytes(shown[1], SALT_OCTETS, "seed"), expect_list(shown[2], None, "readings")
    leaves = openings(seed, [encode(reading) for reading in readings])
    chosen = [
        [one.index, one.salt, readings[one.index], list(one.path)]
        for one in leaves
        if expect_list(readings[one.index], 8, "reading")[0] in meters
    ]
    return encode([signed, [_PART, chosen]])


def parse_sealed(octets: bytes) -> Sealed:
    """Parse a message, whole or disclosed in part, without checking the signature; raises EnvelopeMalformed."""
    signed, shown = _parts(octets)
    message = parse_sign1(signed)
    head = read_head(message.payload)
    return Sealed(octets, message, digest_of(signed), head, _envelope_of(head, shown), shown[0] == _WHOLE)


def open_disclosed(octets: bytes, verifier: Verifier) -> Sealed:
    """Verify, then parse a message, whole or in part; raises EnvelopeMalformed or SignatureInvalid."""
    signed, shown = _parts(octets)
    message = parse_sign1(signed)
    head = read_head(message.require(verifier))
    return Sealed(octets, message, digest_of(signed), head, _envelope_of(head, shown), shown[0] == _WHOLE)


def open_sealed(octets: bytes, verifier: Verifier) -> Sealed:
    """Verify, then parse a whole envelope; raises EnvelopeMalformed (also for one in part) or SignatureInvalid."""
    sealed = open_disclosed(octets, verifier)
    if not sealed.is_whole:
        raise EnvelopeMalformed("some readings are left out; the centre takes whole envelopes only")
    return sealed


def head_of(octets: bytes) -> Sign1:
    """Give the signed head of a message, unproven: key id and algorithm are in it; raises EnvelopeMalformed."""
    return parse_sign1(_parts(octets)[0])


def chain_digest(octets: bytes) -> bytes:
    """SHA-256 of a message's signed head: its place in the chain; raises EnvelopeMalformed."""
    return digest_of(_parts(octets)[0])


def digest_of(octets: bytes) -> bytes:
    """SHA-256 of octets."""
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


def _parts(octets: bytes) -> tuple[bytes, Sequence[Any]]:
    """Split a message into its signed head and what is shown of the readings."""
    parts = expect_list(decode_canonical(octets), 2, "message")
    shown = expect_list(parts[1], None, "readings")
    if not shown or len(shown) != {_WHOLE: 3, _PART: 2}.get(expect_int(shown[0], "form", _WHOLE, _PART)):
        raise EnvelopeMalformed("readings must be [1, seed, readings] or [2, openings]")
    return expect_bytes(parts[0], None, "signed head"), shown


def _head_to_wire(envelope: Envelope, profiles: Sequence[bytes], count: int, root: bytes) -> list[Any]:
    return [
        FORMAT,
        int(envelope.kind),
        envelope.gateway,
        envelope.epoch,
        envelope.seq,
        envelope.previous_hash,
        envelope.boot,
        to_ms(envelope.sealed_at),
        [int(envelope.clock.quality), envelope.clock.error_ms],
        None if envelope.mark is None else int(envelope.mark.timestamp()),
        profiles,
        count,
        root,
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


def read_head(payload: bytes) -> Head:
    """Parse the payload of a sealed head; raises EnvelopeMalformed."""
    fields = expect_list(decode_canonical(payload), 13, "head")
    if fields[0] != FORMAT:
        raise EnvelopeMalformed(f"format {fields[0]!r} is not known; this service reads format {FORMAT}")
    clock = expect_list(fields[8], 2, "clock")
    try:
        return Head(
            gateway=GatewayId(check_identifier(expect_text(fields[2], "gateway"))),
            epoch=expect_int(fields[3], "epoch", 1, 2**31 - 1),
            seq=expect_int(fields[4], "seq", 1, 2**63 - 1),
            previous_hash=expect_bytes(fields[5], 32, "previous hash"),
            boot=expect_bytes(fields[6], 16, "boot"),
            sealed_at=from_ms(expect_int(fields[7], "sealed_at", -(2**47), 2**47)),
            clock=ClockState(
                ClockQuality(expect_int(clock[0], "clock quality", 0, 2)),
                None if clock[1] is None else expect_int(clock[1], "clock error", 0, 2**47),
            ),
            mark=None if fields[9] is None else from_ms(1000 * expect_int(fields[9], "mark", -(2**37), 2**37)),
            kind=_kind(fields[1]),
            profiles=tuple(expect_bytes(one, 32, "profile hash") for one in expect_list(fields[10], None, "profiles")),
            count=expect_int(fields[11], "count", 0, READINGS_MAX),
            root=expect_bytes(fields[12], 32, "root"),
        )
    except IdentifierInvalid as error:
        raise EnvelopeMalformed(str(error)) from error


def _kind(content: Any) -> Kind:
    return Kind(expect_int(content, "kind", Kind.READINGS, Kind.REPORT))


def _envelope_of(head: Head, shown: Sequence[Any]) -> Envelope:
    """Put the head and the shown leaves together, once they are proven to hang below its root."""
    sealed_ms = to_ms(head.sealed_at)
    leaves = _readings(head, shown)
    readings: tuple[MeterReading, ...] = ()
    records: tuple[tuple[Any, ...], ...] = ()
    try:
        if head.kind is Kind.READINGS:
            readings = tuple(_reading_from_wire(leaf, head.profiles, sealed_ms) for leaf in leaves)
        else:
            records = tuple(tuple(expect_list(leaf, None, "record")) for leaf in leaves)
    except IdentifierInvalid as error:
        raise EnvelopeMalformed(str(error)) from error
    return Envelope(
        gateway=head.gateway,
        epoch=head.epoch,
        seq=head.seq,
        previous_hash=head.previous_hash,
        boot=head.boot,
        sealed_at=head.sealed_at,
        clock=head.clock,
        mark=head.mark,
        readings=readings,
        kind=head.kind,
        records=records,
    )


def _readings(head: Head, shown: Sequence[Any]) -> Sequence[Any]:
    """Give the readings that are shown, once they are proven to hang below the signed root."""
    if shown[0] == _WHOLE:
        readings = expect_list(shown[2], head.count, "readings")
        seed = expect_bytes(shown[1], SALT_OCTETS, "seed")
        if tree_root(seed, [encode(reading) for reading in readings]) != head.root:
            raise EnvelopeMalformed("the readings are not those that were signed")
        return readings
    return [_open_reading(item, head.count, head.root) for item in expect_list(shown[1], None, "openings")]


def _open_reading(item: Any, count: int, root: bytes) -> Any:
    index, salt, reading, path = expect_list(item, 4, "opening")
    opening = Opening(
        index=expect_int(index, "index", 0, max(count - 1, 0)),
        salt=expect_bytes(salt, SALT_OCTETS, "salt"),
        path=tuple(expect_bytes(sibling, 32, "sibling") for sibling in expect_list(path, None, "path")),
    )
    if open_leaf(opening, count, encode(reading)) != root:
        raise EnvelopeMalformed("a reading is not one of those that were signed")
    return reading


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
