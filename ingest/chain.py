"""One chain of envelopes while a group is entered: what is new, what fits, how far it is complete. Pure.

A chain counts seq from 1 and each envelope names the digest of the one before. Predecessors may come late; a gap stays
visible as `contiguous_seq`. A refused envelope keeps its place: the chain runs on across it. It runs on across a run
that its gateway has told as lost, too, by the digest that the tombstone names; an envelope that turns up in such a run
after all is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from ingest.ports import ChainAdvance, ChainState, LedgerEntry, Loss
from ingest.sweeps import Opened
from ingest.verify import Reason, Rejected
from metering.tombstone import Tombstone

GENESIS = bytes(32)
"""What the first envelope may name as its predecessor, beside the enrolment bundle."""
STEP = 1000
"""How many stored envelopes behind a closed gap are fetched at once."""

Following = Callable[[int, int], Sequence[tuple[int, bytes]]]
"""(seq, most) -> seq and digest of stored envelopes above seq."""


def neighbours(seqs: Collection[int]) -> set[int]:
    """Give `seqs` and the seqs on both sides of each: what `Chain` must know of the ledger."""
    return {near for seq in seqs for near in (seq - 1, seq, seq + 1) if near >= 1}


class Chain:
    """The chain of one gateway epoch, from its stored state through one group."""

    def __init__(self, state: ChainState, *, bundle_hash: bytes) -> None:
        self._state = state
        self._bundle_hash = bundle_hash
        self._entries = dict(state.entries)
        self._losses = list(state.losses)
        self._ends = {loss.last_seq: loss.last_digest for loss in state.losses}
        if state.contiguous_seq:
            self._ends[state.contiguous_seq] = state.head_hash
        self._highest_seq = state.highest_seq
        self._newest_mark: datetime | None = None
        self._envelopes = 0
        self._repeats = 0

    @property
    def is_revoked(self) -> bool:
        """Whether what comes on this chain counts no more."""
        return self._state.is_revoked

    def is_repeat(self, sealed: Opened) -> bool:
        """Say whether the ledger has this very envelope."""
        entry = self._entries.get(sealed.head.seq)
        return entry is not None and entry.digest == sealed.digest

    def fault(self, sealed: Opened) -> Rejected | None:
        """Say why this envelope does not fit the chain, or None if it does."""
        head = sealed.head
        held = self._entries.get(head.seq)
        if held is not None:
            problem = f"seq {head.seq} is held with digest {held.digest.hex()}, this one has {sealed.digest.hex()}"
            return Rejected(Reason.SEQUENCE_REPLAYED, problem, sealed)
        told = self._ends.get(head.seq, sealed.digest)
        if told != sealed.digest:
            problem = f"seq {head.seq} was told as lost with digest {told.hex()}, this one has {sealed.digest.hex()}"
            return Rejected(Reason.SEQUENCE_REPLAYED, problem, sealed)
        if not self._follows(sealed):
            problem = f"seq {head.seq} names {head.previous_hash.hex()}, which is not the digest before it"
            return Rejected(Reason.CHAIN_BROKEN, problem, sealed)
        after = self._entries.get(head.seq + 1)
        if after is not None and after.previous_hash != sealed.digest:
            return Rejected(Reason.CHAIN_BROKEN, f"seq {head.seq + 1} is held and names another digest", sealed)
        return None

    def enter(self, sealed: Opened, *, refused: bool) -> None:
        """Take `sealed` into the chain."""
        head = sealed.head
        self._entries[head.seq] = LedgerEntry(sealed.digest, head.previous_hash)
        self._highest_seq = max(self._highest_seq, head.seq)
        if not refused:
            self._envelopes += 1
            if head.mark is not None:
                self._newest_mark = max(head.mark, self._newest_mark or head.mark)

    def is_known_loss(self, stone: Tombstone) -> bool:
        """Say whether a tombstone tells nothing new: it came before, or nothing of its run is missing."""
        if stone.last_seq <= self._state.contiguous_seq:
            return True
        return any(one.first_seq <= stone.first_seq and stone.last_seq <= one.last_seq for one in self._losses)

    def loss_fault(self, stone: Tombstone) -> Rejected | None:
        """Say why a tombstone does not fit the chain, or None if it does."""
        held, after = self._entries.get(stone.last_seq), self._entries.get(stone.last_seq + 1)
        ends = self._ends.get(stone.last_seq) if held is None else held.digest
        if ends not in (None, stone.last_digest):
            problem = f"seq {stone.last_seq} is held with another digest than {stone.last_digest.hex()}, told as lost"
            return Rejected(Reason.SEQUENCE_REPLAYED, problem)
        if after is not None and after.previous_hash != stone.last_digest:
            return Rejected(Reason.CHAIN_BROKEN, f"seq {stone.last_seq + 1} is held and names another digest")
        before = self._digest_at(stone.first_seq - 1)
        if None not in (before, stone.previous_hash) and before != stone.previous_hash:
            problem = f"the run from seq {stone.first_seq} on is told to follow another digest than that before it"
            return Rejected(Reason.CHAIN_BROKEN, problem)
        return None

    def lose(self, stone: Tombstone) -> None:
        """Take a run that is told as lost into the chain."""
        self._losses.append(Loss(stone.first_seq, stone.last_seq, stone.last_digest))
        self._ends[stone.last_seq] = stone.last_digest
        self._highest_seq = max(self._highest_seq, stone.last_seq)

    def count_repeat(self) -> None:
        """Note that an envelope came once more."""
        self._repeats += 1

    def advance(self, following: Following, received_at: datetime) -> ChainAdvance:
        """Give the state after the group; `following` is asked only where a gap was closed."""
        seq, head = self._state.contiguous_seq, self._state.head_hash
        while seq < self._highest_seq:
            entry = self._entries.get(seq + 1)
            if entry is not None:
                seq, head = seq + 1, entry.digest
                continue
            loss = max((one for one in self._losses if one.first_seq <= seq + 1 <= one.last_seq), default=None)
            if loss is not None:
                seq, head = loss.last_seq, loss.last_digest
                continue
            stored = _contiguous(seq, following(seq, STEP))
            if not stored:
                break
            seq, head = stored[-1]
        return ChainAdvance(
            contiguous_seq=seq,
            head_hash=head,
            highest_seq=self._highest_seq,
            newest_mark=self._newest_mark,
            envelopes=self._envelopes,
            repeats=self._repeats,
            received_at=received_at,
        )

    def _follows(self, sealed: Opened) -> bool:
        head = sealed.head
        if head.seq == 1:
            return head.previous_hash in (GENESIS, self._bundle_hash)
        return self._digest_at(head.seq - 1) in (None, head.previous_hash)

    def _digest_at(self, seq: int) -> bytes | None:
        entry = self._entries.get(seq)
        return self._ends.get(seq) if entry is None else entry.digest


def _contiguous(seq: int, stored: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return [item for step, item in enumerate(stored, start=1) if item[0] == seq + step]
