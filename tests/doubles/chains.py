"""Chains of sealed envelopes for tests of intake: a gateway with its key, and what it sends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ingest.ports import Arrival, GatewayEpoch, GatewayKey
from metering.envelope import Envelope, chain_digest, digest_of, seal
from metering.identity import GatewayId, MeterId
from metering.interval import SLOT
from metering.tombstone import Tombstone, seal_tombstone
from metering.topics import envelope_topic
from provisioning.site import ALWAYS, Span
from tests.conftest import MARK, SeededSigner, build_envelope

METERS: dict[MeterId, Span] = {MeterId(name): ALWAYS for name in ("m-u-a101", "m-u-a102", "m-lift")}
PROFILES = {reading.profile_hash for reading in build_envelope().readings}
BUNDLE_HASH = digest_of(b"bundle")


@dataclass(frozen=True)
class Gateway:
    """A gateway that signs with a key made from its name."""

    name: str = "gw-a"
    epoch: int = 1

    @property
    def id(self) -> GatewayId:
        """Its id."""
        return GatewayId(self.name)

    @property
    def owner(self) -> GatewayEpoch:
        """Its chain."""
        return GatewayEpoch(self.id, self.epoch)

    @property
    def signer(self) -> SeededSigner:
        """Its key, another for each epoch."""
        return SeededSigner(f"metertree test {self.name} {self.epoch}")

    @property
    def key(self) -> GatewayKey:
        """Its entry in the registry."""
        return GatewayKey(self.owner, self.signer.key_id, self.signer.verifier, BUNDLE_HASH)

    @property
    def topic(self) -> str:
        """Where it publishes."""
        return envelope_topic(self.id)

    def envelope(self, seq: int, previous_hash: bytes, mark: datetime | None = None) -> Envelope:
        """The envelope of one mark; by default seq counts the marks."""
        envelope = build_envelope(seq, previous_hash, MARK + (seq - 1) * SLOT if mark is None else mark)
        return replace(envelope, gateway=self.id, epoch=self.epoch)

    def sealed(self, envelope: Envelope) -> Arrival:
        """`envelope` as it arrives."""
        return Arrival(self.topic, seal(envelope, self.signer))

    def chain(self, length: int, *, first: int = 1, previous_hash: bytes = bytes(32)) -> list[Arrival]:
        """A run of envelopes, each naming the one before."""
        return list(self._links(length, first, previous_hash))

    def _links(self, length: int, first: int, previous_hash: bytes) -> Iterator[Arrival]:
        for seq in range(first, first + length):
            arrival = self.sealed(self.envelope(seq, previous_hash))
            previous_hash = chain_digest(arrival.octets)
            yield arrival

    def tombstone(self, chain: Sequence[Arrival], first_seq: int, last_seq: int, **changes: Any) -> Arrival:
        """What this gateway tells instead of a run of `chain`, which begins at seq 1."""
        digests = [bytes(32), *(chain_digest(arrival.octets) for arrival in chain)]
        stone = Tombstone(
            gateway=self.id,
            epoch=self.epoch,
            first_seq=first_seq,
            last_seq=last_seq,
            last_digest=digests[last_seq],
            previous_hash=digests[first_seq - 1],
            first_mark=MARK + (first_seq - 1) * SLOT,
            last_mark=MARK + (last_seq - 1) * SLOT,
        )
        return Arrival(self.topic, seal_tombstone(replace(stone, **changes), self.signer))

    def other(self, seq: int, previous_hash: bytes) -> Arrival:
        """Another content under `seq`, rightly signed: what a clone would send."""
        envelope = self.envelope(seq, previous_hash)
        return self.sealed(replace(envelope, sealed_at=envelope.sealed_at + timedelta(milliseconds=1)))
