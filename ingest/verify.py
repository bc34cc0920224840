"""Whether an envelope may enter the books: pure decisions, first about who sent it, then about what it says.

The order matters. Nothing of the content is read before the signature holds: the key is found by the key id of the
protected header alone. Rejections are values. A rejection is `proven` once the signature held; only then may its seq
take a place in the chain, so that a refused envelope does not hold up those behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ingest.ports import GatewayEpoch, GatewayKey
from ingest.sweeps import Frame, Opened, Sweep, frame_of, meters_of, open_sweeps
from metering.clock import ClockQuality
from metering.envelope import (
    ENVELOPE_OCTETS_MAX,
    Envelope,
    EnvelopeMalformed,
    Head,
    Sealed,
    Sign1,
    SignatureInvalid,
    digest_of,
    from_ms,
    head_of,
    open_sealed,
    parse_sign1,
    read_head,
)
from metering.errors import MeteringError
from metering.identity import GatewayId, KeyId, MeterId
from metering.reading import MeterReading
from metering.tombstone import Tombstone, is_tombstone, read_tombstone
from metering.topics import gateway_of
from provisioning.site import Span

ROSTER_OCTETS_MAX = 4 << 20
"""Names of meters remembered: the ports of a million meters, or one gateway's attempt to fill the memory."""


Place = tuple[GatewayEpoch, int]


class Reason(StrEnum):
    """Why an envelope is not accepted."""

    TOO_BIG = "too-big"
    MALFORMED = "malformed"
    TOPIC_INVALID = "topic-invalid"
    GATEWAY_UNKNOWN = "gateway-unknown"
    KEY_UNKNOWN = "key-unknown"
    SIGNATURE_INVALID = "signature-invalid"
    TOPIC_MISMATCH = "topic-mismatch"
    SEQUENCE_REPLAYED = "sequence-replayed"
    CHAIN_BROKEN = "chain-broken"
    PROFILE_UNKNOWN = "profile-unknown"
    METER_UNBOUND = "meter-unbound"
    NOT_STORABLE = "not-storable"
    KEY_REVOKED = "key-revoked"
    KEY_OVER = "key-over"


@dataclass(frozen=True, slots=True)
class Rejected:
    """An envelope that is not accepted, and why. `sealed` is given once its signature held."""

    reason: Reason
    detail: str
    sealed: Opened | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that may be an envelope: the gateway its topic names, and its unproven parts.

    frame   where its parts lie; None where it is not laid out as a whole envelope
    head    what it says, unproven; None where that cannot be read
    stone   the tombstone that it is, unproven; None for an envelope
    """

    gateway: GatewayId
    octets: bytes
    message: Sign1
    frame: Frame | None
    head: Head | None = None
    stone: Tombstone | None = None

    @property
    def place(self) -> Place | None:
        """Chain and seq that it claims; None where it does not even claim those of its topic's gateway."""
        if self.head is None or self.head.gateway != self.gateway:
            return None
        return GatewayEpoch(self.head.gateway, self.head.epoch), self.head.seq


@dataclass(frozen=True, slots=True)
class Proven:
    """An envelope whose signature held, with the key that proved it."""

    sealed: Opened
    key: GatewayKey

    @property
    def owner(self) -> GatewayEpoch:
        """The chain it belongs to."""
        return self.key.owner


@dataclass(frozen=True, slots=True)
class Repeated:
    """A message that is in the books at its place, octet for octet."""

    owner: GatewayEpoch


@dataclass(frozen=True, slots=True)
class Told:
    """A tombstone whose signature held: batches that their gateway says are lost."""

    stone: Tombstone
    key: GatewayKey

    @property
    def owner(self) -> GatewayEpoch:
        """The chain they are missing from."""
        return self.key.owner


@dataclass(frozen=True, slots=True)
class Signed:
    """A claim whose head some key has signed; nothing is known of its readings yet. `keys`: those of its key id."""

    claim: Claim
    keys: Sequence[GatewayKey]
    head: Head


class Keys:
    """The registered keys that a group of claims may need."""

    def __init__(self, keys: Iterable[GatewayKey]) -> None:
        self._by_id: dict[KeyId, list[GatewayKey]] = {}
        self._gateways: set[GatewayId] = set()
        for key in keys:
            self._by_id.setdefault(key.key_id, []).append(key)
            self._gateways.add(key.owner.gateway)

    def of(self, claim: Claim) -> Sequence[GatewayKey] | Rejected:
        """Give the keys of the claim's key id."""
        key_id = claim.message.key_id
        if key_id in self._by_id:
            return self._by_id[key_id]
        if claim.gateway in self._gateways:
            return Rejected(Reason.KEY_UNKNOWN, f"key {key_id.hex()} is not registered")
        return Rejected(Reason.GATEWAY_UNKNOWN, f"no gateway {claim.gateway} is enrolled")


def read_claim(topic: str, octets: bytes) -> Claim | Rejected:
    """Find out whom a message claims to be from, without believing it."""
    if len(octets) > ENVELOPE_OCTETS_MAX:
        return Rejected(Reason.TOO_BIG, f"{len(octets)} octets; at most {ENVELOPE_OCTETS_MAX} are allowed")
    try:
        gateway, frame = gateway_of(topic), frame_of(octets)
        if is_tombstone(octets):
            message = parse_sign1(octets)
            return Claim(gateway, octets, message, None, stone=read_tombstone(message))
        if frame is None:
            return Claim(gateway, octets, head_of(octets), None)
        message = parse_sign1(frame.sealed_head)
        return Claim(gateway, octets, message, frame, _head_or_none(message))
    except EnvelopeMalformed as error:
        return Rejected(Reason.MALFORMED, str(error))
    except MeteringError as error:
        return Rejected(Reason.TOPIC_INVALID, str(error))


def _head_or_none(message: Sign1) -> Head | None:
    try:
        return read_head(message.payload)
    except EnvelopeMalformed:
        return None


def repeat_of(claim: Claim, digests: Mapping[Place, bytes]) -> Repeated | None:
    """Say whether this very message is in the books, which hold these `digests`: then it need not be proven again."""
    place = claim.place
    return Repeated(place[0]) if place is not None and digests.get(place) == digest_of(claim.octets) else None


def check_signature(claim: Claim, keys: Keys) -> Signed | Told | Rejected:
    """Check the signature by the registered keys of this key id and of the topic's gateway."""
    candidates = keys.of(claim)
    if isinstance(candidates, Rejected):
        return candidates
    try:
        payload = claim.message.require(candidates[0].verifier)
        if claim.stone is not None:
            key = _key_for(claim, candidates, claim.stone.gateway, claim.stone.epoch)
            return key if isinstance(key, Rejected) else Told(claim.stone, key)
        return Signed(claim, candidates, claim.head or read_head(payload))
    except SignatureInvalid as error:
        return Rejected(Reason.SIGNATURE_INVALID, str(error))
    except EnvelopeMalformed as error:
        return Rejected(Reason.MALFORMED, str(error))


def open_signed(signed: Sequence[Signed]) -> list[Proven | Rejected]:
    """Take apart what these heads stand for, all at once, and find the one key that may say it."""
    framed = [(one.claim.octets, one.claim.frame, one.head) for one in signed if one.claim.frame is not None]
    sweeps = iter(open_sweeps(framed))
    return [_owned(one, None if one.claim.frame is None else next(sweeps)) for one in signed]


def prove(claim: Claim, keys: Iterable[GatewayKey]) -> Proven | Told | Rejected:
    """Check one claim by itself."""
    signed = check_signature(claim, Keys(keys))
    return open_signed([signed])[0] if isinstance(signed, Signed) else signed


def _owned(signed: Signed, sweep: Sweep | None) -> Proven | Rejected:
    claim, sealed = signed.claim, sweep or _readable(signed)
    if isinstance(sealed, Rejected):
        return sealed
    key = _key_for(claim, signed.keys, sealed.head.gateway, sealed.head.epoch)
    if isinstance(key, Rejected):
        return key
    if key.last_seq is not None and sealed.head.seq > key.last_seq:
        problem = f"key {key.key_id.hex()} handed over after seq {key.last_seq}: is a copy of it about?"
        return Rejected(Reason.KEY_OVER, problem)
    return Proven(sealed, key)


def _key_for(claim: Claim, keys: Iterable[GatewayKey], gateway: GatewayId, epoch: int) -> GatewayKey | Rejected:
    """Find the one key that may say what a message says."""
    if gateway != claim.gateway:
        return Rejected(Reason.TOPIC_MISMATCH, f"signed for {gateway}, sent on the topic of {claim.gateway}")
    owner = GatewayEpoch(gateway, epoch)
    for key in keys:
        if key.owner == owner:
            return key
    problem = f"key {claim.message.key_id.hex()} does not sign for {owner.gateway} in epoch {owner.epoch}"
    return Rejected(Reason.KEY_UNKNOWN, problem)


def _readable(signed: Signed) -> Sealed | Rejected:
    """Let the readable way judge what the fast one did not open."""
    try:
        return open_sealed(signed.claim.octets, signed.keys[0].verifier)
    except SignatureInvalid as error:
        return Rejected(Reason.SIGNATURE_INVALID, str(error))
    except EnvelopeMalformed as error:
        return Rejected(Reason.MALFORMED, str(error))


class Rosters:
    """Remembers when all meters of a roster are bound: a port asks the same meters at every sweep."""

    def __init__(self) -> None:
        self._spans: dict[tuple[GatewayId, bytes], tuple[Mapping[MeterId, Span], Span | None]] = {}
        self._octets = 0

    def span(self, gateway: GatewayId, roster: bytes, wiring: Mapping[MeterId, Span]) -> Span | None:
        """Give the span in which every meter is bound to `gateway`; None where there is none."""
        known = self._spans.get((gateway, roster))
        if known is not None and known[0] is wiring:
            return known[1]
        if self._octets + len(roster) > ROSTER_OCTETS_MAX:
            self._spans.clear()
            self._octets = 0
        self._octets += len(roster)
        span = _common([wiring.get(meter) for meter in meters_of(roster)])
        self._spans[gateway, roster] = (wiring, span)
        return span


def admit_content(
    sealed: Opened, wiring: Mapping[MeterId, Span], profiles: Collection[bytes], rosters: Rosters | None = None
) -> Rejected | None:
    """Say why the readings may not enter the books, or None if they may.

    wiring    the meters this gateway reports, and when
    profiles  hashes of the profiles this service can decode
    rosters   what was found out about these meters before
    """
    if rosters is not None and isinstance(sealed, Sweep) and _plainly_fits(sealed, wiring, profiles, rosters):
        return None
    envelope = sealed.envelope
    for reading in envelope.readings:
        if reading.profile_hash not in profiles:
            problem = f"meter {reading.meter} was read by profile {reading.profile_hash.hex()}, which is not known here"
            return Rejected(Reason.PROFILE_UNKNOWN, problem, sealed)
        if not _bound(reading, envelope, wiring):
            problem = f"meter {reading.meter} is not bound to {envelope.gateway} at {envelope.mark or reading.ended_at}"
            return Rejected(Reason.METER_UNBOUND, problem, sealed)
    return None


def _plainly_fits(sweep: Sweep, wiring: Mapping[MeterId, Span], profiles: Collection[bytes], rosters: Rosters) -> bool:
    """Whether every reading is fine for a reason that holds for all of them together."""
    head = sweep.head
    if not all(profile in profiles for profile in head.profiles):
        return False
    span = rosters.span(head.gateway, sweep.roster, wiring)
    if span is None:
        return False
    if head.mark is not None:
        return head.mark in span
    ended_ms = sweep.readings["ended_ms"]
    return len(ended_ms) == 0 or (from_ms(int(ended_ms.min())) in span and from_ms(int(ended_ms.max())) in span)


def _common(spans: Sequence[Span | None]) -> Span | None:
    """The instants that lie in all `spans`."""
    known = [span for span in spans if span is not None]
    start = max((span.start for span in known if span.start is not None), default=None)
    end = min((span.end for span in known if span.end is not None), default=None)
    if len(known) < len(spans) or (start is not None and end is not None and start >= end):
        return None
    return Span(start, end)


def _bound(reading: MeterReading, envelope: Envelope, wiring: Mapping[MeterId, Span]) -> bool:
    """No reading is refused because of the clock: one that does not know the time needs only a known meter."""
    span = wiring.get(reading.meter)
    if span is None:
        return False
    if envelope.clock.quality is ClockQuality.UNKNOWN:
        return True
    return (envelope.mark or reading.ended_at) in span
