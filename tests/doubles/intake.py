"""Intake's ports in memory: a store whose groups are all or nothing, and a consumer that one can look into."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from ingest.ports import (
    Arrival,
    ChainAdvance,
    ChainState,
    Entry,
    GatewayEpoch,
    GatewayKey,
    IntakeGroup,
    LedgerEntry,
    Loss,
    LossEntry,
    Quarantined,
    Standing,
)
from metering.envelope import digest_of
from metering.identity import GatewayId, KeyId, MeterId
from provisioning.site import Span

REFUSED_MAX = 100
UNPROVEN_MAX = 2000


@dataclass
class Books:
    """Everything a store holds."""

    ledger: dict[GatewayEpoch, dict[int, Entry]] = field(default_factory=dict)
    heads: dict[GatewayEpoch, ChainAdvance] = field(default_factory=dict)
    quarantine: dict[tuple[bytes, str, str], tuple[Quarantined, int]] = field(default_factory=dict)
    alarms: dict[tuple[str, GatewayEpoch, int], Mapping[str, str]] = field(default_factory=dict)
    unsettled: dict[tuple[MeterId, date], int] = field(default_factory=dict)
    losses: dict[GatewayEpoch, tuple[LossEntry, ...]] = field(default_factory=dict)
    orders: list[tuple[GatewayId, bytes]] = field(default_factory=list)

    def copy(self) -> Books:
        """The same books, so that writing in one does not show in the other."""
        ledger = {owner: dict(chain) for owner, chain in self.ledger.items()}
        return replace(
            self,
            ledger=ledger,
            heads=dict(self.heads),
            quarantine=dict(self.quarantine),
            alarms=dict(self.alarms),
            unsettled=dict(self.unsettled),
            losses=dict(self.losses),
        )


class MemoryStore:
    """An IntakeStore in memory. `faults` are raised by the next commits, one each, and nothing is kept then."""

    def __init__(self) -> None:
        self.books = Books()
        self.registered: list[GatewayKey] = []
        self.wirings: dict[GatewayId, dict[MeterId, Span]] = {}
        self.faults: list[Exception] = []
        self.commits = 0
        self.asked: set[GatewayEpoch] = set()

    def keys(self, key_ids: Collection[KeyId], gateways: Collection[GatewayId]) -> Sequence[GatewayKey]:
        """Give every registered key with one of `key_ids` or of one of `gateways`."""
        return [key for key in self.registered if key.key_id in key_ids or key.owner.gateway in gateways]

    def digests(self, places: Collection[tuple[GatewayEpoch, int]]) -> Mapping[tuple[GatewayEpoch, int], bytes]:
        """Give what is in the books."""
        found = {(owner, seq): self.books.ledger.get(owner, {}).get(seq) for owner, seq in places}
        return {
            place: digest_of(entry.sealed.octets)
            for place, entry in found.items()
            if entry is not None and entry.refused is None
        }

    @contextmanager
    def group(self) -> Iterator[IntakeGroup]:
        """Work on a copy that takes the place of the books only at the end."""
        books = self.books.copy()
        yield MemoryGroup(books, self.wirings, self.asked)
        if self.faults:
            raise self.faults.pop(0)
        self.books = books
        self.commits += 1


class MemoryGroup:
    """One transaction of the double."""

    def __init__(
        self, books: Books, wirings: Mapping[GatewayId, Mapping[MeterId, Span]], asked: set[GatewayEpoch]
    ) -> None:
        self._books = books
        self._wirings = wirings
        self._asked = asked

    def lock_chains(self, seqs: Mapping[GatewayEpoch, Collection[int]]) -> Mapping[GatewayEpoch, ChainState]:
        """Give the chains as kept; there is nobody to lock out."""
        return {owner: self._state(owner, wanted) for owner, wanted in seqs.items()}

    def wiring(self, gateways: Collection[GatewayId]) -> Mapping[GatewayId, Mapping[MeterId, Span]]:
        """Give the wiring as set."""
        return {gateway: self._wirings.get(gateway, {}) for gateway in gateways}

    def following(self, chain: GatewayEpoch, seq: int, most: int) -> Sequence[tuple[int, bytes]]:
        """List what comes next in the chain."""
        kept = self._books.ledger.get(chain, {})
        return [(found, kept[found].sealed.digest) for found in sorted(kept) if found > seq][:most]

    def enter(self, entries: Sequence[Entry]) -> None:
        """Keep entries; a seq that is taken is a fault of the caller."""
        for entry in entries:
            envelope = entry.sealed.envelope
            chain = self._books.ledger.setdefault(GatewayEpoch(envelope.gateway, envelope.epoch), {})
            assert envelope.seq not in chain, "the ledger's key"
            chain[envelope.seq] = entry
        arrived = {
            (reading.meter, (entry.sealed.envelope.mark or reading.ended_at).astimezone(UTC).date())
            for entry in entries
            if entry.refused is None
            for reading in entry.sealed.envelope.readings
        }
        for place in arrived:
            self._books.unsettled[place] = self._books.unsettled.get(place, 0) + 1

    def enter_losses(self, losses: Sequence[LossEntry]) -> None:
        """Keep tombstones."""
        for one in losses:
            owner = GatewayEpoch(one.stone.gateway, one.stone.epoch)
            self._books.losses[owner] = (*self._books.losses.get(owner, ()), one)

    def quarantine(self, refusals: Sequence[Quarantined]) -> None:
        """Keep refusals, count repeats, drop the oldest unproven ones."""
        kept = self._books.quarantine
        for refusal in refusals:
            place = (refusal.digest, refusal.reason, refusal.topic)
            first, times = kept.get(place, (refusal, 0))
            kept[place] = (replace(first, detail=refusal.detail), times + 1)
        unproven = [place for place, (refusal, _) in kept.items() if not refusal.proven]
        for place in unproven[: max(0, len(unproven) - UNPROVEN_MAX)]:
            del kept[place]

    def raise_alarm(self, kind: str, chain: GatewayEpoch, seq: int, detail: Mapping[str, str], at: datetime) -> None:
        """Keep the first alarm of its kind and place."""
        self._books.alarms.setdefault((kind, chain, seq), detail)

    def advance(self, chains: Mapping[GatewayEpoch, ChainAdvance]) -> None:
        """Keep new heads, and add up what came."""
        self._asked.difference_update(chains)
        for owner, advance in chains.items():
            before = self._books.heads.get(owner)
            if before is not None:
                marks = [mark for mark in (before.newest_mark, advance.newest_mark) if mark is not None]
                advance = replace(
                    advance,
                    newest_mark=max(marks, default=None),
                    envelopes=before.envelopes + advance.envelopes,
                    repeats=before.repeats + advance.repeats,
                )
            self._books.heads[owner] = advance

    def refused(self, chains: Collection[GatewayEpoch]) -> Mapping[GatewayEpoch, tuple[tuple[int, str], ...]]:
        """Give the newest refusals of each chain."""
        found: dict[GatewayEpoch, dict[int, str]] = {}
        for refusal, _ in self._books.quarantine.values():
            if refusal.proven and refusal.claim is not None and refusal.claim[0] in chains:
                owner, seq = refusal.claim
                reasons = found.setdefault(owner, {})
                reasons[seq] = min(refusal.reason, reasons.get(seq, refusal.reason))
        return {owner: tuple(sorted(items.items())[-REFUSED_MAX:]) for owner, items in found.items()}

    def due_resends(self, now: datetime, most: int) -> Sequence[Standing]:
        """Give every chain that is to be asked again, as often as one asks, until it was heard."""
        found = []
        for owner in sorted(self._asked)[:most]:
            state = self._state(owner, ())
            found.append(Standing(owner, state.contiguous_seq, state.head_hash))
        return found

    def due_orders(self, now: datetime, most: int) -> Sequence[tuple[GatewayId, bytes]]:
        """Give every order that was laid down, as often as one asks."""
        del now
        return self._books.orders[:most]

    def _state(self, owner: GatewayEpoch, seqs: Collection[int]) -> ChainState:
        kept = self._books.ledger.get(owner, {})
        head = self._books.heads.get(owner)
        entries = {
            seq: LedgerEntry(kept[seq].sealed.digest, kept[seq].sealed.envelope.previous_hash)
            for seq in seqs
            if seq in kept
        }
        if head is None:
            return ChainState(0, bytes(32), 0, entries)
        stones = (one.stone for one in self._books.losses.get(owner, ()) if one.stone.last_seq > head.contiguous_seq)
        losses = tuple(Loss(stone.first_seq, stone.last_seq, stone.last_digest) for stone in stones)
        return ChainState(head.contiguous_seq, head.head_hash, head.highest_seq, entries, losses)


class MemoryConsumer:
    """A broker's session in memory: give it arrivals, read what was published and acknowledged."""

    def __init__(self, arrivals: Sequence[Arrival] = ()) -> None:
        self.waiting = list(arrivals)
        self.published: list[tuple[str, bytes]] = []
        self.acknowledged: list[Arrival] = []

    def receive(self, most: int, wait_s: float) -> Sequence[Arrival]:
        """Give what waits; never blocks."""
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def publish(self, topic: str, octets: bytes) -> None:
        """Remember a receipt."""
        self.published.append((topic, octets))

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Remember what was acknowledged."""
        self.acknowledged.extend(arrivals)
