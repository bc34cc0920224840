"""What intake needs from the outside: a consumer of the broker, and a store that enters a group of envelopes at once.

The adapters are `adapters/mqtt_consumer.py` and `store/intake_store.py`; `tests/doubles` holds both in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingest.sweeps import Opened
from metering.envelope import Verifier
from metering.errors import MeteringError
from metering.identity import GatewayId, KeyId, MeterId
from metering.tombstone import Tombstone
from provisioning.site import Span


class StoreUnreachable(MeteringError):
    """The store cannot commit now; the same group may be entered again later."""


class StoreRefused(MeteringError):
    """The store will never take this group as it is; some envelope of it cannot be stored."""


@dataclass(frozen=True, slots=True, order=True)
class GatewayEpoch:
    """One chain of envelopes: a gateway between two enrolments."""

    gateway: GatewayId
    epoch: int


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """The key that signs for one epoch.

    bundle_hash   SHA-256 of its enrolment bundle, or of the handover to it: what seq 1 may name
    last_seq      last seq it may sign, since it has handed over to another; None while it has not
    """

    owner: GatewayEpoch
    key_id: KeyId
    verifier: Verifier
    bundle_hash: bytes
    last_seq: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger knows of one seq: SHA-256 of the envelope, and the one it names as its predecessor."""

    digest: bytes
    previous_hash: bytes


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """A run of seqs that their gateway has told as lost, and the digest of the last."""

    first_seq: int
    last_seq: int
    last_digest: bytes


@dataclass(frozen=True, slots=True)
class ChainState:
    """One chain as stored; `entries` are the ledger's at the seqs asked for.

    contiguous_seq  every seq from 1 to here is in the ledger or told as lost; `head_hash` is the digest there (zeros
                    at 0)
    losses          runs told as lost that end beyond `contiguous_seq`
    is_revoked      whether what is signed in this epoch counts no more, as of now: the chain is held
    """

    contiguous_seq: int
    head_hash: bytes
    highest_seq: int
    entries: Mapping[int, LedgerEntry]
    losses: tuple[Loss, ...] = ()
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One new row of the ledger. `refused`: the reason if the envelope goes to quarantine and not into the books."""

    sealed: Opened
    received_at: datetime
    refused: str | None


@dataclass(frozen=True, slots=True)
class LossEntry:
    """A tombstone for the books. `octets`: as it came, signed."""

    stone: Tombstone
    octets: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What could not be accepted. gateway, epoch and seq are known where the envelope could be read.

    proven  the signature held, so that they are more than a claim
    """

    octets: bytes
    digest: bytes
    topic: str
    reason: str
    detail: str
    proven: bool
    received_at: datetime
    claim: tuple[GatewayEpoch, int] | None


@dataclass(frozen=True, slots=True)
class ChainAdvance:
    """What a group did to one chain: its new head, what came, what was a repeat."""

    contiguous_seq: int
    head_hash: bytes
    highest_seq: int
    newest_mark: datetime | None
    envelopes: int
    repeats: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What the books hold of a chain: everything up to `contiguous_seq`, whose digest is `head_hash` (zeros at 0)."""

    owner: GatewayEpoch
    contiguous_seq: int
    head_hash: bytes


class IntakeGroup(Protocol):
    """One transaction of the store: all of it is committed on leaving, or nothing."""

    def lock_chains(self, seqs: Mapping[GatewayEpoch, Collection[int]]) -> Mapping[GatewayEpoch, ChainState]:
        """Give the chains as stored, with the entries at `seqs`; no other group may touch them until this one ends."""

    def wiring(self, gateways: Collection[GatewayId]) -> Mapping[GatewayId, Mapping[MeterId, Span]]:
        """Say which meters each gateway may report, and when, by the newest version of its site."""

    def following(self, chain: GatewayEpoch, seq: int, most: int) -> Sequence[tuple[int, bytes]]:
        """List seq and digest of the next stored envelopes above `seq`, in order, at most `most`."""

    def enter(self, entries: Sequence[Entry]) -> None:
        """Write ledger rows; for those not refused also octets and readings, and mark their days as unsettled."""

    def enter_losses(self, losses: Sequence[LossEntry]) -> None:
        """Keep tombstones; the same run twice is one."""

    def quarantine(self, refusals: Sequence[Quarantined]) -> None:
        """Keep what could not be accepted; a repeat is counted. Unproven ones are bounded, the oldest go first."""

    def raise_alarm(self, kind: str, chain: GatewayEpoch, seq: int, detail: Mapping[str, str], at: datetime) -> None:
        """Note what a person must look at; the same alarm twice is one."""

    def advance(self, chains: Mapping[GatewayEpoch, ChainAdvance]) -> None:
        """Write new heads."""

    def refused(self, chains: Collection[GatewayEpoch]) -> Mapping[GatewayEpoch, tuple[tuple[int, str], ...]]:
        """Give the newest refused seqs of each chain with their reasons, at most 100, by seq."""

    def due_resends(self, now: datetime, most: int) -> Sequence[Standing]:
        """Give chains whose gateways are to be told how far the books go: after a restore, until they are heard."""

    def due_orders(self, now: datetime, most: int) -> Sequence[tuple[GatewayId, bytes]]:
        """Give sealed orders of settings that are to be sent now, until their gateways have reported."""


class IntakeStore(Protocol):
    """Where envelopes are kept."""

    def keys(self, key_ids: Collection[KeyId], gateways: Collection[GatewayId]) -> Sequence[GatewayKey]:
        """Give every registered key with one of `key_ids` or of one of `gateways`; raises StoreUnreachable."""

    def digests(self, places: Collection[tuple[GatewayEpoch, int]]) -> Mapping[tuple[GatewayEpoch, int], bytes]:
        """Give SHA-256 of the message that is in the books at each of `places`, chain and seq; raises StoreUnreachable.

        What is refused is not in the books.
        """

    def group(self) -> AbstractContextManager[IntakeGroup]:
        """Open a transaction; leaving it raises StoreUnreachable or StoreRefused if it was not committed."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message from the broker. `delivery` is the consumer's own mark for acknowledging it."""

    topic: str
    octets: bytes
    delivery: object = None


class Consumer(Protocol):
    """The broker, seen from intake."""

    def receive(self, most: int, wait_s: float) -> Sequence[Arrival]:
        """Give at most `most` messages in order of arrival; wait up to `wait_s` [s] for the first."""

    def publish(self, topic: str, octets: bytes) -> None:
        """Send a receipt; it may be lost, a later one says the same and more."""

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Tell the broker that these need not be delivered again."""
