"""Whether an envelope may enter the books: pure decisions, first about who sent it, then about what it says.

The order matters. Nothing of the content is read before the signature holds: the key is found by the key id of the
protected header alone. Rejections are values. A rejection is `proven` once the signature held; only then may its seq
take a place in the chain, so that a refused envelope does not hold up those behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ingest.ports import GatewayEpoch, GatewayKey
from metering.clock import ClockQuality
from metering.envelope import (
    ENVELOPE_OCTETS_MAX,
    Envelope,
    EnvelopeMalformed,
    Sealed,
    Sign1,
    SignatureInvalid,
    head_of,
    open_sealed,
)
from metering.errors import MeteringError
from metering.identity import GatewayId, MeterId
from metering.reading import MeterReading
from metering.topics import gateway_of
from provisioning.site import Span


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


@dataclass(frozen=True, slots=True)
class Rejected:
    """An envelope that is not accepted, and why. `sealed` is given once its signature held."""

    reason: Reason
    detail: str
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that may be an envelope: the gateway its topic names, and its unproven parts."""

    gateway: GatewayId
    octets: bytes
    message: Sign1


@dataclass(frozen=True, slots=True)
class Proven:
    """An envelope whose signature held, with the key that proved it."""

    sealed: Sealed
    key: GatewayKey

    @property
    def owner(self) -> GatewayEpoch:
        """The chain it belongs to."""
        return self.key.owner


def read_claim(topic: str, octets: bytes) -> Claim | Rejected:
    """Find out whom a message claims to be from, without believing it."""
    if len(octets) > ENVELOPE_OCTETS_MAX:
        return Rejected(Reason.TOO_BIG, f"{len(octets)} octets; at most {ENVELOPE_OCTETS_MAX} are allowed")
    try:
        return Claim(gateway_of(topic), octets, head_of(octets))
    except EnvelopeMalformed as error:
        return Rejected(Reason.MALFORMED, str(error))
    except MeteringError as error:
        return Rejected(Reason.TOPIC_INVALID, str(error))


def prove(claim: Claim, keys: Iterable[GatewayKey]) -> Proven | Rejected:
    """Check the signature by the registered `keys` of this key id and of the topic's gateway."""
    known = tuple(keys)
    candidates = [key for key in known if key.key_id == claim.message.key_id]
    if not candidates:
        if any(key.owner.gateway == claim.gateway for key in known):
            return Rejected(Reason.KEY_UNKNOWN, f"key {claim.message.key_id.hex()} is not registered")
        return Rejected(Reason.GATEWAY_UNKNOWN, f"no gateway {claim.gateway} is enrolled")
    try:
        sealed = open_sealed(claim.octets, candidates[0].verifier)
    except SignatureInvalid as error:
        return Rejected(Reason.SIGNATURE_INVALID, str(error))
    except EnvelopeMalformed as error:
        return Rejected(Reason.MALFORMED, str(error))
    envelope = sealed.envelope
    if envelope.gateway != claim.gateway:
        return Rejected(Reason.TOPIC_MISMATCH, f"signed for {envelope.gateway}, sent on the topic of {claim.gateway}")
    owner = GatewayEpoch(envelope.gateway, envelope.epoch)
    for key in candidates:
        if key.owner == owner:
            return Proven(sealed, key)
    return Rejected(
        Reason.KEY_UNKNOWN,
        f"key {claim.message.key_id.hex()} does not sign for {owner.gateway} in epoch {owner.epoch}",
    )


def admit_content(sealed: Sealed, wiring: Mapping[MeterId, Span], profiles: Collection[bytes]) -> Rejected | None:
    """Say why the readings may not enter the books, or None if they may.

    wiring    the meters this gateway reports, and when
    profiles  hashes of the profiles this service can decode
    """
    envelope = sealed.envelope
    for reading in envelope.readings:
        if reading.profile_hash not in profiles:
            problem = f"meter {reading.meter} was read by profile {reading.profile_hash.hex()}, which is not known here"
            return Rejected(Reason.PROFILE_UNKNOWN, problem, sealed)
        if not _bound(reading, envelope, wiring):
            problem = f"meter {reading.meter} is not bound to {envelope.gateway} at {envelope.mark or reading.ended_at}"
            return Rejected(Reason.METER_UNBOUND, problem, sealed)
    return None


def _bound(reading: MeterReading, envelope: Envelope, wiring: Mapping[MeterId, Span]) -> bool:
    """No reading is refused because of the clock: one that does not know the time needs only a known meter."""
    span = wiring.get(reading.meter)
    if span is None:
        return False
    if envelope.clock.quality is ClockQuality.UNKNOWN:
        return True
    return (envelope.mark or reading.ended_at) in span
