"""SPINE: receive -> open -> verify -> deduplicate -> store -> receipt.

Envelopes are taken in groups, and a group is one transaction: its ledger rows, readings, quarantine and chain heads
are committed together or not at all. Only then are receipts signed and the broker's deliveries acknowledged, so a kill
at any moment costs a repeat, never a reading. The ledger tells repeats from news, whatever the broker does.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Event

from ingest.chain import Chain, neighbours
from ingest.ports import (
    Arrival,
    ChainAdvance,
    Consumer,
    Entry,
    GatewayEpoch,
    IntakeGroup,
    IntakeStore,
    LossEntry,
    Quarantined,
    StoreRefused,
    StoreUnreachable,
)
from ingest.sweeps import Opened
from ingest.tally import Tally
from ingest.tracing import span
from ingest.verify import (
    Keys,
    Proven,
    Reason,
    Rejected,
    Repeated,
    Rosters,
    Signed,
    Told,
    admit_content,
    check_signature,
    open_signed,
    read_claim,
    repeat_of,
)
from metering.clock import Clock, ClockQuality
from metering.envelope import Kind, Signer, digest_of
from metering.receipt import Receipt, seal_receipt
from metering.topics import config_topic, receipt_topic

Verdict = Proven | Told | Repeated | Rejected
GROUP_MAX = 256
"""Envelopes per transaction: enough to share one disk flush, few enough to commit within a broker's patience."""
WAIT_S = 0.5
BACKOFF_S = 0.1
BACKOFF_S_MAX = 5.0
ASK_EVERY_S = 60.0
"""How often it is looked whether gateways are to be asked again, after a restore."""
ASK_MOST = 500
"""Gateways asked at once, so that a large fleet does not send its backlogs all in one minute."""
EQUIVOCATION = "equivocation"
"""Alarm: two contents under one seq, as from a cloned gateway."""
BATCHES_LOST = "batches-lost"
"""Alarm: a gateway says that batches are gone which never came here."""
LAG_BOUNDS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""From live to a day behind [s]."""
COMMIT_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class IntakeCounters:
    """What intake has done since it started.

    rejected         by reason
    told_lost        tombstones entered
    lag_s            of accepted envelopes, from sealing to commit, by the clocks of both ends
    commit_s         of groups that are committed, once they are proven
    chains_with_gap  of those that arrived: an envelope is in the books and one before it is not
    """

    received: int = 0
    accepted: int = 0
    readings: int = 0
    repeated: int = 0
    told_lost: int = 0
    groups: int = 0
    receipts: int = 0
    retries: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    lag_s: Tally = field(default_factory=lambda: Tally(LAG_BOUNDS_S))
    commit_s: Tally = field(default_factory=lambda: Tally(COMMIT_BOUNDS_S))
    chains_with_gap: set[GatewayEpoch] = field(default_factory=set)


@dataclass(slots=True)
class _Entered:
    """The outcome of one group: what to count, when its envelopes were sealed, and the receipts to send."""

    receipts: list[Receipt] = field(default_factory=list)
    counters: IntakeCounters = field(default_factory=IntakeCounters)
    sealed_at: list[datetime] = field(default_factory=list)
    has_gap: dict[GatewayEpoch, bool] = field(default_factory=dict)


class Intake:
    """Takes envelopes from a consumer into a store. One thread calls `run`; workers may share the partitions.

    profiles   hashes of the profiles whose readings can be decoded here
    on_commit  called after each commit that brought new readings
    """

    def __init__(
        self,
        *,
        consumer: Consumer,
        store: IntakeStore,
        signer: Signer,
        clock: Clock,
        profiles: Collection[bytes],
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._signer = signer
        self._clock = clock
        self._profiles = frozenset(profiles)
        self._on_commit = on_commit
        self._rosters = Rosters()
        self._ask_at: datetime | None = None
        self.counters = IntakeCounters()

    def run(self, stop: Event) -> None:
        """Take group after group until `stop` is set; while the store is away, hold the group and try again."""
        while not stop.is_set():
            self._ask_if_due()
            arrivals = self._consumer.receive(GROUP_MAX, WAIT_S)
            if arrivals:
                self._take_patiently(arrivals, None, stop)

    def run_ahead(self, stop: Event) -> None:
        """As `run`, and a second thread receives and proves the next group, one and no more, while this one commits."""
        with ThreadPoolExecutor(1, "intake-prove") as prover:
            ahead = prover.submit(self._receive_and_prove)
            while not stop.is_set():
                self._ask_if_due()
                arrivals, verdicts = ahead.result()
                ahead = prover.submit(self._receive_and_prove)
                if arrivals:
                    self._take_patiently(arrivals, verdicts, stop)

    def take(self, arrivals: Sequence[Arrival], verdicts: Sequence[Verdict] | None = None) -> None:
        """Enter one group, send receipts, acknowledge. Raises StoreUnreachable, and nothing has changed then.

        verdicts   what `prove` said of them, if it was asked already
        """
        with span("intake.group", envelopes=len(arrivals)):
            try:
                self._commit(arrivals, verdicts)
            except StoreRefused as refusal:
                self._divide(arrivals, refusal)
            self._consumer.acknowledge(arrivals)

    def ask_again(self) -> int:
        """Tell gateways, after a restore, how far the books go, so that they send the rest; raises StoreUnreachable.

        Says how many were told. A receipt that says less than an earlier one is what they go by (docs/wire.md).
        """
        now = self._clock.now()
        with self._store.group() as group:
            standings = group.due_resends(now, ASK_MOST)
            refused = group.refused([one.owner for one in standings])
        self._send(
            Receipt(
                gateway=one.owner.gateway,
                epoch=one.owner.epoch,
                contiguous_seq=one.contiguous_seq,
                head_hash=one.head_hash,
                server_time=now,
                refused=refused.get(one.owner, ()),
            )
            for one in standings
        )
        return len(standings)

    def send_orders(self) -> int:
        """Send settings that were ordered and not reported on; say how many. An order may be lost: it is sent again."""
        try:
            with self._store.group() as group:
                orders = group.due_orders(self._clock.now(), ASK_MOST)
        except StoreUnreachable as error:
            _log.warning("intake.cannot_send_orders: %s", error)
            return 0
        for gateway, octets in orders:
            self._consumer.publish(config_topic(gateway), octets)
            _log.info("intake.sent_settings gateway=%s", gateway)
        return len(orders)

    def _ask_if_due(self) -> None:
        now = self._clock.now()
        if self._ask_at is not None and now < self._ask_at:
            return
        self._ask_at = now + timedelta(seconds=ASK_EVERY_S)
        try:
            asked = self.ask_again()
        except StoreUnreachable as error:
            _log.warning("intake.cannot_ask_again: %s", error)
            return
        if asked:
            _log.info("intake.asked_again gateways=%s", asked)
        self.send_orders()

    def _receive_and_prove(self) -> tuple[Sequence[Arrival], Sequence[Verdict] | None]:
        arrivals = self._consumer.receive(GROUP_MAX, WAIT_S)
        try:
            return arrivals, self.prove(arrivals) if arrivals else None
        except StoreUnreachable:
            return arrivals, None

    def _take_patiently(self, arrivals: Sequence[Arrival], verdicts: Sequence[Verdict] | None, stop: Event) -> None:
        patience_s = BACKOFF_S
        while True:
            try:
                self.take(arrivals, verdicts)
                return
            except StoreUnreachable as error:
                self.counters.retries += 1
                _log.warning("intake.store_unreachable wait_s=%s: %s", patience_s, error)
            if stop.wait(patience_s):
                return
            patience_s = min(2 * patience_s, BACKOFF_S_MAX)

    def _commit(self, arrivals: Sequence[Arrival], verdicts: Sequence[Verdict] | None = None) -> None:
        received_at = self._clock.now()
        judged = list(zip(arrivals, self.prove(arrivals) if verdicts is None else verdicts, strict=True))
        proven = sorted(
            ((arrival, verdict) for arrival, verdict in judged if isinstance(verdict, Proven)),
            key=lambda item: (item[1].owner, item[1].sealed.head.seq),
        )
        rejected = [(arrival, verdict) for arrival, verdict in judged if isinstance(verdict, Rejected)]
        repeated = [verdict for _, verdict in judged if isinstance(verdict, Repeated)]
        told = [(arrival, verdict) for arrival, verdict in judged if isinstance(verdict, Told)]
        begun_s = time.perf_counter()
        with self._store.group() as group:
            entry = _GroupEntry(group, self._profiles, received_at, self._rosters)
            entered = entry.enter(proven, rejected, repeated, told)
        self._clock_in(entered, received_at, time.perf_counter() - begun_s)
        self._count(entered.counters, len(arrivals))
        self._send(entered.receipts)
        if entered.counters.accepted:
            self._on_commit()

    def prove(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """Say of each arrival whether it is what it claims to be; raises StoreUnreachable. Changes nothing."""
        claims = [read_claim(arrival.topic, arrival.octets) for arrival in arrivals]
        made = [claim for claim in claims if not isinstance(claim, Rejected)]
        keys = Keys(self._store.keys({claim.message.key_id for claim in made}, {claim.gateway for claim in made}))
        known = self._store.digests({place for claim in made if (place := claim.place) is not None})
        checked = [
            claim if isinstance(claim, Rejected) else repeat_of(claim, known) or check_signature(claim, keys)
            for claim in claims
        ]
        opened = iter(open_signed([one for one in checked if isinstance(one, Signed)]))
        return [next(opened) if isinstance(one, Signed) else one for one in checked]

    def _divide(self, arrivals: Sequence[Arrival], refusal: StoreRefused) -> None:
        """Find the one envelope that the store will not take, so that it alone goes to quarantine."""
        if len(arrivals) > 1:
            for arrival in arrivals:
                try:
                    self._commit([arrival])
                except StoreRefused as own:
                    self._divide([arrival], own)
            return
        _log.error("intake.not_storable topic=%s: %s", arrivals[0].topic, refusal)
        received_at = self._clock.now()
        rejected = Rejected(Reason.NOT_STORABLE, str(refusal))
        with self._store.group() as group:
            entered = _GroupEntry(group, self._profiles, received_at).enter([], [(arrivals[0], rejected)])
        self._count(entered.counters, 1)

    def _send(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            self._consumer.publish(receipt_topic(receipt.gateway), seal_receipt(receipt, self._signer))
            self.counters.receipts += 1

    def _count(self, entered: IntakeCounters, received: int) -> None:
        total = self.counters
        total.received += received
        total.accepted += entered.accepted
        total.readings += entered.readings
        total.repeated += entered.repeated
        total.told_lost += entered.told_lost
        total.rejected.update(entered.rejected)
        if entered.rejected:  # a line for a group of up to 256, so that nobody can fill the log
            told = ",".join(f"{reason}:{count}" for reason, count in sorted(entered.rejected.items()))
            _log.warning("intake.quarantined messages=%s reasons=%s", entered.rejected.total(), told)
        total.groups += 1

    def _clock_in(self, entered: _Entered, received_at: datetime, commit_s: float) -> None:
        """Note how long the group took, how far its envelopes lag behind, and which chains have a gap now."""
        total = self.counters
        total.commit_s.add(commit_s)
        for sealed_at in entered.sealed_at:
            total.lag_s.add((received_at - sealed_at).total_seconds() + commit_s)
        for owner, has_gap in entered.has_gap.items():
            (total.chains_with_gap.add if has_gap else total.chains_with_gap.discard)(owner)


class _GroupEntry:
    """One group on its way into one transaction of the store."""

    def __init__(
        self,
        group: IntakeGroup,
        profiles: Collection[bytes],
        received_at: datetime,
        rosters: Rosters | None = None,
    ) -> None:
        self._group = group
        self._profiles = profiles
        self._rosters = rosters
        self._received_at = received_at
        self._entries: list[Entry] = []
        self._quarantined: list[Quarantined] = []
        self._entered = _Entered()

    def enter(
        self,
        proven: Sequence[tuple[Arrival, Proven]],
        rejected: Sequence[tuple[Arrival, Rejected]],
        repeated: Sequence[Repeated] = (),
        told: Sequence[tuple[Arrival, Told]] = (),
    ) -> _Entered:
        """Write everything; `proven` must be in order of chain and seq."""
        for arrival, rejection in rejected:
            self._quarantine(arrival, rejection)
        chains = self._lock([one for _, one in proven], {one.owner for one in repeated}, [one for _, one in told])
        for repeat in repeated:
            chains[repeat.owner].count_repeat()
            self._entered.counters.repeated += 1
        wiring = self._group.wiring({owner.gateway for owner in chains})
        for arrival, owner in [(arrival, one.owner) for arrival, one in proven] + [(a, one.owner) for a, one in told]:
            if chains[owner].is_revoked:
                self._quarantine(arrival, _revoked(owner))
        chains = {owner: chain for owner, chain in chains.items() if not chain.is_revoked}
        for arrival, one in proven:
            if one.owner not in chains:
                continue
            chain = chains[one.owner]
            if chain.is_repeat(one.sealed):
                chain.count_repeat()
                self._entered.counters.repeated += 1
                continue
            fault = chain.fault(one.sealed) or admit_content(
                one.sealed, wiring[one.owner.gateway], self._profiles, self._rosters
            )
            if fault is None:
                self._accept(chain, one.sealed)
            else:
                self._refuse(chain, arrival, one, fault)
        for arrival, stone in told:
            if stone.owner in chains:
                self._take_loss(chains[stone.owner], arrival, stone)
        self._group.enter(self._entries)
        self._group.quarantine(self._quarantined)
        self._advance(chains)
        return self._entered

    def _lock(
        self, proven: Sequence[Proven], others: Collection[GatewayEpoch], told: Sequence[Told]
    ) -> dict[GatewayEpoch, Chain]:
        bundles = dict.fromkeys(others, b"") | {one.owner: one.key.bundle_hash for one in told}
        bundles |= {one.owner: one.key.bundle_hash for one in proven}
        seqs: dict[GatewayEpoch, set[int]] = {owner: set() for owner in sorted(bundles)}
        for one in proven:
            seqs[one.owner].add(one.sealed.head.seq)
        for stone in (one.stone for one in told):
            seqs[GatewayEpoch(stone.gateway, stone.epoch)].update({stone.first_seq, stone.last_seq})
        states = self._group.lock_chains({owner: neighbours(wanted) for owner, wanted in seqs.items()})
        return {owner: Chain(state, bundle_hash=bundles[owner]) for owner, state in states.items()}

    def _accept(self, chain: Chain, sealed: Opened) -> None:
        chain.enter(sealed, refused=False)
        self._entries.append(Entry(sealed, self._received_at, refused=None))
        if sealed.head.clock.quality is not ClockQuality.UNKNOWN:
            self._entered.sealed_at.append(sealed.head.sealed_at)
        self._entered.counters.accepted += 1
        if sealed.head.kind is Kind.READINGS:
            self._entered.counters.readings += sealed.head.count

    def _take_loss(self, chain: Chain, arrival: Arrival, told: Told) -> None:
        """Enter a run that is told as lost; a tombstone that does not fit goes to quarantine and moves nothing."""
        stone = told.stone
        fault = chain.loss_fault(stone)
        if fault is not None:
            if fault.reason is Reason.SEQUENCE_REPLAYED:
                detail = {"digest": stone.last_digest.hex(), "detail": fault.detail}
                self._group.raise_alarm(EQUIVOCATION, told.owner, stone.last_seq, detail, self._received_at)
            self._quarantine(arrival, fault, (told.owner, stone.first_seq))
        elif chain.is_known_loss(stone):
            chain.count_repeat()
            self._entered.counters.repeated += 1
        else:
            chain.lose(stone)
            self._group.enter_losses([LossEntry(stone, arrival.octets, self._received_at)])
            detail = {"last_seq": str(stone.last_seq), "cause": str(stone.cause)}
            self._group.raise_alarm(BATCHES_LOST, told.owner, stone.first_seq, detail, self._received_at)
            self._entered.counters.told_lost += 1
            _log.warning(
                "intake.batches_lost gateway=%s epoch=%s first_seq=%s last_seq=%s cause=%s",
                stone.gateway,
                stone.epoch,
                stone.first_seq,
                stone.last_seq,
                stone.cause,
            )

    def _refuse(self, chain: Chain, arrival: Arrival, one: Proven, fault: Rejected) -> None:
        """Keep a rightly signed envelope in quarantine; unless its seq is taken, it holds its place in the chain."""
        if fault.reason is Reason.SEQUENCE_REPLAYED:
            detail = {"digest": one.sealed.digest.hex(), "detail": fault.detail}
            self._group.raise_alarm(EQUIVOCATION, one.owner, one.sealed.head.seq, detail, self._received_at)
        else:
            chain.enter(one.sealed, refused=True)
            self._entries.append(Entry(one.sealed, self._received_at, refused=fault.reason))
        self._quarantine(arrival, fault)

    def _quarantine(self, arrival: Arrival, fault: Rejected, claim: tuple[GatewayEpoch, int] | None = None) -> None:
        head = None if fault.sealed is None else fault.sealed.head
        if head is not None:
            claim = (GatewayEpoch(head.gateway, head.epoch), head.seq)
        self._quarantined.append(
            Quarantined(
                octets=arrival.octets,
                digest=digest_of(arrival.octets),
                topic=arrival.topic,
                reason=fault.reason,
                detail=fault.detail,
                proven=claim is not None,
                received_at=self._received_at,
                claim=claim,
            )
        )
        self._entered.counters.rejected[fault.reason] += 1

    def _advance(self, chains: Mapping[GatewayEpoch, Chain]) -> None:
        advances: dict[GatewayEpoch, ChainAdvance] = {}
        for owner, chain in chains.items():
            advances[owner] = chain.advance(partial(self._group.following, owner), self._received_at)
        self._group.advance(advances)
        refused = self._group.refused(advances)
        for owner, advance in advances.items():
            self._entered.has_gap[owner] = advance.highest_seq > advance.contiguous_seq
            self._entered.receipts.append(
                Receipt(
                    gateway=owner.gateway,
                    epoch=owner.epoch,
                    contiguous_seq=advance.contiguous_seq,
                    head_hash=advance.head_hash,
                    server_time=self._received_at,
                    refused=refused.get(owner, ()),
                )
            )


def _revoked(owner: GatewayEpoch) -> Rejected:
    """Say that a key counts no more. It proves nothing either, so what it signed takes no place in the chain."""
    problem = f"the key of {owner.gateway} in epoch {owner.epoch} is revoked; order the gateway anew if that was wrong"
    return Rejected(Reason.KEY_REVOKED, problem)
