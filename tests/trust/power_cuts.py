"""Power cuts at the gateway: the production outbox on a disk that forgets what is not synced, cut at a random call.

Each cut is followed by a look at what is found, and the outbox then goes on from there, so that a later cut meets what
an earlier one left: up to `CUTS_PER_DISK` on one disk. The outbox promises that a batch whose `append` returned is
there: whole, or under a signed tombstone where the outbox was full; that the mark being written is there whole or not
at all; and that it opens again. With `synchronous` NORMAL instead of FULL the first promise must break, or this shows
nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.ports import Entry, OutboxDamaged
from metering.tombstone import Tombstone, parse_tombstone, seal_tombstone
from tests.conftest import SeededSigner
from tests.doubles.edge import GATEWAY, entry
from tests.doubles.power_cut import ForgetfulDisk

PATH = Path("/outbox.db")
EPOCH = 1
CUTS_PER_DISK = 12
CALLS_MAX = 90
"""The power goes at one of so many changing calls."""
SMALL = 14
"""Batches that a small outbox holds: it evicts all the time."""
_SIGNER = SeededSigner("metertree test power cut")


@dataclass
class PowerTally:
    """What a campaign found. `lost` and `damaged`: cuts after which a promise did not hold, the first few in words."""

    cuts: int = 0
    appended: int = 0
    evicted: int = 0
    reopened_torn: int = 0
    lost: int = 0
    damaged: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def fault(self, kind: str, words: str) -> None:
        """Count a broken promise."""
        if kind == "lost":
            self.lost += 1
        else:
            self.damaged += 1
        if len(self.faults) < 5:
            self.faults.append(f"{kind}: {words}")


@dataclass
class _Known:
    """What the gateway knows: every batch whose `append` returned, how far it was ever told that the centre has them,
    and what was being appended.
    """

    appended: dict[int, bytes] = field(default_factory=dict)
    head_seq: int = 0
    receipted: int = 0
    pending: Sequence[Entry] = ()


class _Life:
    """One disk, from cut to cut."""

    def __init__(self, rng: random.Random, synchronous: str, tally: PowerTally) -> None:
        self._rng = rng
        self._synchronous = synchronous
        self._tally = tally
        self._octets_max = SMALL * len(entry(1).octets) if rng.random() < 0.5 else 10**9
        self._disk = ForgetfulDisk()
        self._known = _Known()

    def live(self) -> None:
        """Work until the power goes, look, and go on; ends early once a promise is broken."""
        for _ in range(CUTS_PER_DISK):
            self._disk.cut_at = self._disk.counts.calls + self._rng.randint(1, CALLS_MAX)
            self._work()
            self._tally.cuts += 1
            torn = any(store.since for store in self._disk.files.values())
            self._tally.reopened_torn += torn
            self._disk.switch_off()
            self._disk = self._disk.recover(self._rng, self._rng.choice((0.0, 0.1, 0.5, 0.9, 1.0)))
            if not self._look():
                break
        self._disk.switch_off()

    def _open(self) -> SqliteOutbox:
        return SqliteOutbox(
            PATH, GATEWAY, _seal, self._octets_max, connect=lambda path: self._disk.connect(path, self._synchronous)
        )

    def _work(self) -> None:
        try:
            outbox = self._open()
            while True:
                self._turn(outbox)
        except (apsw.Error, OutboxDamaged):
            if not self._disk.is_dead:
                raise

    def _turn(self, outbox: SqliteOutbox) -> None:
        """Append a mark of one to three ports; now and then take a receipt, or hear of a restored centre."""
        known, chance = self._known, self._rng.random()
        if chance < 0.3:
            seq = self._rng.randint(outbox.receipted(EPOCH), known.head_seq)
            known.receipted = max(known.receipted, seq)
            outbox.acknowledge(EPOCH, seq)
        elif chance < 0.33:
            outbox.recall(EPOCH, self._rng.randint(0, outbox.receipted(EPOCH)))
        known.pending = [entry(known.head_seq + 1 + port) for port in range(self._rng.randint(1, 3))]
        outbox.append(known.pending)
        known.head_seq += len(known.pending)
        known.appended |= {one.seq: one.octets for one in known.pending}
        known.pending = ()
        self._tally.appended += 1

    def _look(self) -> bool:
        """Compare what is found with what was promised."""
        known, tally = self._known, self._tally
        try:
            outbox = self._open()
            found = outbox.after(EPOCH, 0, 10**6)
            verdict = outbox._connection.execute("PRAGMA integrity_check").fetchall()[0][0]
        except (apsw.Error, OutboxDamaged, TypeError) as error:
            tally.fault("damaged", str(error))
            return False
        if verdict != "ok":
            tally.fault("damaged", str(verdict))
            return False
        head_seq = outbox.head(EPOCH).seq
        outbox._connection.close()
        tally.evicted += sum(_span(one) for one in found if one.evicted)
        if head_seq not in (known.head_seq, known.head_seq + len(known.pending)):
            tally.fault("lost", f"head is {head_seq}, batches up to {known.head_seq} were appended")
            return False
        if missing := _missing(found, head_seq, known):
            tally.fault("lost", f"batch {missing[0]} of {head_seq} is gone without a word")
            return False
        whole = {one.seq: one.octets for one in known.pending if one.seq <= head_seq}
        self._known = _Known(known.appended | whole, head_seq, known.receipted)
        return True


def _missing(found: Sequence[Entry], head_seq: int, known: _Known) -> list[int]:
    """List what was appended and is neither there, nor under a tombstone, nor known to the centre."""
    there = {one.seq: one.octets for one in found if not one.evicted}
    told = {seq for one in found if one.evicted for seq in range(one.seq - _span(one) + 1, one.seq + 1)}
    wanted = known.appended | {one.seq: one.octets for one in known.pending if one.seq <= head_seq}
    return [
        seq
        for seq, octets in sorted(wanted.items())
        if there.get(seq) != octets and seq not in told and seq > known.receipted
    ]


def _span(stone: Entry) -> int:
    parsed = parse_tombstone(stone.octets)
    return parsed.last_seq - parsed.first_seq + 1


def _seal(stone: Tombstone) -> bytes:
    return seal_tombstone(stone, _SIGNER)


def cut_power(cuts: int, seed: int, synchronous: str = "full") -> PowerTally:
    """Cut the power `cuts` times or a few more."""
    tally, begun, number = PowerTally(), time.perf_counter(), 0
    while tally.cuts < cuts:
        number += 1
        _Life(random.Random(f"{seed}/{number}"), synchronous, tally).live()
    tally.seconds = time.perf_counter() - begun
    return tally
