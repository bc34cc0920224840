"""The outbox as one SQLite file: WAL, synchronous FULL, one commit per sweep, blob rows in seq order, bounded.

Theory of operation. The row key is epoch x 2^40 + seq, so the table itself is the order and needs no index. `chain`
keeps the head of each epoch, so the next batch joins on even when every row was freed. Receipts are noted in memory and
written with the next sweep's commit: losing one costs a repeated send, and a card sees one sync per sweep. Receipted
batches stay 30 days of their own clock's time, so that a restored centre can ask again; when the file is full, the
oldest receipted go first, then the oldest unreceipted, which leave a signed tombstone. See docs/adr/0016.

apsw brings its own SQLite: releases before 3.51.3 can corrupt a WAL that is reset while another connection reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw

from edge_agent.ports import ChainHead, Entry, OutboxDamaged
from edge_agent.tombstone import Tombstone, parse_tombstone
from metering.envelope import EnvelopeMalformed, chain_digest, from_ms, to_ms
from metering.identity import GatewayId

SQLITE_MIN = (3, 51, 3)
KEPT = timedelta(days=30)
"""How long a receipted batch stays, so that a centre restored from a backup can ask for it."""
OCTETS_MAX = 512 * 1024 * 1024
"""Bound of the stored batches [octets]: twenty ports of 100 meters each, every quarter hour, for two months."""
FREED_PER_COMMIT_MAX = 64
"""Rows freed in one commit, so that no sweep waits for a long deletion."""
_SEQ_BITS = 40
_SEQ_MAX = 2**_SEQ_BITS - 1
_EPOCH_MAX = 2**22

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    position  INTEGER PRIMARY KEY,   -- epoch * 2^40 + seq
    sealed_ms INTEGER NOT NULL,
    mark_ms   INTEGER,
    evicted   INTEGER NOT NULL,      -- 1: octets are a tombstone that ends at this seq
    octets    BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS chain (
    epoch         INTEGER PRIMARY KEY,
    seq           INTEGER NOT NULL,
    digest        BLOB NOT NULL,
    mark_ms       INTEGER,
    receipted_seq INTEGER NOT NULL
) STRICT;
"""
_INSERT = "INSERT INTO entry (position, sealed_ms, mark_ms, evicted, octets) VALUES (?, ?, ?, ?, ?)"
_SAVE_CHAIN = """
INSERT INTO chain (epoch, seq, digest, mark_ms, receipted_seq) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (epoch) DO UPDATE SET seq = excluded.seq, digest = excluded.digest, mark_ms = excluded.mark_ms,
    receipted_seq = excluded.receipted_seq
"""
_AFTER = """
SELECT position, sealed_ms, mark_ms, evicted, octets FROM entry WHERE position > ? AND position <= ?
ORDER BY position LIMIT ?
"""
_OLDEST = "SELECT position, sealed_ms, mark_ms, evicted, octets FROM entry ORDER BY position LIMIT ?"
_EXTENTS = """
SELECT epoch, seq, digest, chain.mark_ms, receipted_seq,
    COUNT(position), COALESCE(SUM(LENGTH(octets)), 0), COALESCE(SUM(evicted), 0)
FROM chain LEFT JOIN entry ON position >> 40 = epoch
GROUP BY epoch ORDER BY epoch
"""


class SqliteOutbox:
    """The gateway's outbox. Safe to use from the poll cycle and the uplink at once.

    seal_tombstone  signs what is left of evicted batches
    octets_max      bound of the stored batches [octets]
    """

    def __init__(
        self,
        path: Path,
        gateway: GatewayId,
        seal_tombstone: Callable[[Tombstone], bytes],
        octets_max: int = OCTETS_MAX,
    ) -> None:
        self._gateway = gateway
        self._seal_tombstone = seal_tombstone
        self._octets_max = octets_max
        self._lock = threading.Lock()
        self._connection = _open(path)
        self._heads: dict[int, ChainHead] = {}
        self._receipted: dict[int, int] = {}
        self._load_chains()
        self._octets = self._count_octets()

    def head(self, epoch: int) -> ChainHead:
        """Give the newest batch of `epoch`; seq 0 and 32 zero octets before the first."""
        return self._heads.get(epoch, ChainHead(epoch, 0, bytes(32), None))

    def newest_mark(self) -> datetime | None:
        """Give the latest mark of any epoch, None before the first."""
        return max((head.mark for head in self._heads.values() if head.mark is not None), default=None)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add the next batches of one chain in one synced commit; frees what is due. Raises OutboxDamaged."""
        if not entries:
            return
        head = self.head(entries[0].epoch)
        for entry in entries:
            if entry.epoch != head.epoch or entry.seq != head.seq + 1 or entry.seq > _SEQ_MAX:
                raise OutboxDamaged(f"batch {entry.epoch}/{entry.seq} does not follow {head.epoch}/{head.seq}")
            head = ChainHead(entry.epoch, entry.seq, chain_digest(entry.octets), entry.mark)
        with self._lock:
            try:
                with self._connection:
                    self._free_expired(entries[-1].sealed_at)
                    self._make_room(sum(len(entry.octets) for entry in entries))
                    self._connection.executemany(_INSERT, [_to_row(entry) for entry in entries])
                    self._save_chains({**self._heads, head.epoch: head})
            except apsw.Error as error:
                self._octets = self._count_octets()
                raise OutboxDamaged(f"the outbox cannot be written: {error}") from error
            self._heads[head.epoch] = head
            self._octets += sum(len(entry.octets) for entry in entries)

    def after(self, epoch: int, seq: int, limit: int) -> list[Entry]:
        """Give up to `limit` entries of `epoch` above `seq`, in order."""
        with self._lock:
            rows = self._connection.execute(
                _AFTER, (_position(epoch, seq), _position(epoch, _SEQ_MAX), limit)
            ).fetchall()
        return [_from_row(row) for row in rows]

    def receipted(self, epoch: int) -> int:
        """Give the highest seq of `epoch` that a receipt covers, 0 for none."""
        return self._receipted.get(epoch, 0)

    def acknowledge(self, epoch: int, seq: int) -> None:
        """Note that a receipt covers everything up to `seq`; written with the next commit."""
        with self._lock:
            self._receipted[epoch] = max(self.receipted(epoch), min(seq, self.head(epoch).seq))

    def recall(self, epoch: int, seq: int) -> None:
        """Note, and write at once, that the centre holds no more than up to `seq`: what follows waits again."""
        with self._lock:
            self._receipted[epoch] = min(self.receipted(epoch), seq)
            self._save_chains(self._heads)

    def unfinished_epochs(self) -> list[int]:
        """List the epochs that hold batches without receipt, oldest first."""
        return [epoch for epoch, head in sorted(self._heads.items()) if self.receipted(epoch) < head.seq]

    def epochs(self) -> list[int]:
        """List every epoch that has a chain, oldest first."""
        return sorted(self._heads)

    def close(self) -> None:
        """Write the receipts noted since the last commit, and close."""
        with self._lock:
            self._save_chains(self._heads)
            self._connection.close()

    def _load_chains(self) -> None:
        for epoch, seq, digest, mark_ms, receipted in self._connection.execute("SELECT * FROM chain"):
            self._heads[epoch] = ChainHead(epoch, seq, digest, None if mark_ms is None else from_ms(mark_ms))
            self._receipted[epoch] = receipted
            newest = self._connection.execute(
                _AFTER, (_position(epoch, seq - 1), _position(epoch, _SEQ_MAX), 2)
            ).fetchall()
            entries = [_from_row(row) for row in newest]
            if not all(entry.seq == seq and _ends_chain(entry, digest) for entry in entries):
                raise OutboxDamaged(f"the newest batch of epoch {epoch} is not the head of its chain")

    def _save_chains(self, heads: dict[int, ChainHead]) -> None:
        rows = [
            (each.epoch, each.seq, each.digest, _ms(each.mark), self.receipted(each.epoch)) for each in heads.values()
        ]
        with self._connection:
            self._connection.executemany(_SAVE_CHAIN, rows)

    def _count_octets(self) -> int:
        return int(self._connection.execute("SELECT COALESCE(SUM(LENGTH(octets)), 0) FROM entry").get)

    def _oldest(self, limit: int) -> list[Entry]:
        return [_from_row(row) for row in self._connection.execute(_OLDEST, (limit,)).fetchall()]

    def _is_receipted(self, entry: Entry) -> bool:
        return entry.seq <= self.receipted(entry.epoch)

    def _free_expired(self, now: datetime) -> None:
        """Free receipted batches sealed more than 30 days before the newest; the table begins with the oldest."""
        for _ in range(FREED_PER_COMMIT_MAX):
            oldest = self._oldest(1)
            if not oldest or not self._is_receipted(oldest[0]) or now - oldest[0].sealed_at <= KEPT:
                break
            self._delete(oldest[0])

    def _make_room(self, octets: int) -> None:
        """Free the oldest until `octets` more fit: receipted ones, then unreceipted ones into one tombstone."""
        while self._octets + octets > self._octets_max:
            oldest = self._oldest(2)
            if not oldest:
                return
            if self._is_receipted(oldest[0]):
                self._delete(oldest[0])
            elif not oldest[0].evicted:
                self._bury(oldest[0], oldest[0].seq)
            elif len(oldest) == 2 and oldest[1].epoch == oldest[0].epoch:
                self._delete(oldest[0])
                self._bury(oldest[1], parse_tombstone(oldest[0].octets).first_seq)
            else:
                return

    def _bury(self, entry: Entry, first_seq: int) -> None:
        """Put in place of `entry` a tombstone for `first_seq` to its seq."""
        self._delete(entry)
        stone = Tombstone(self._gateway, entry.epoch, first_seq, entry.seq, chain_digest(entry.octets))
        sealed = self._seal_tombstone(stone)
        self._octets += len(sealed)
        self._connection.execute(
            _INSERT, _to_row(Entry(entry.epoch, entry.seq, entry.sealed_at, entry.mark, sealed, True))
        )

    def _delete(self, entry: Entry) -> None:
        self._octets -= len(entry.octets)
        self._connection.execute("DELETE FROM entry WHERE position = ?", (_position(entry.epoch, entry.seq),))


@dataclass(frozen=True, slots=True)
class EpochExtent:
    """What the outbox file holds of one epoch: its head, how far it is receipted, entries and octets stored."""

    head: ChainHead
    receipted_seq: int
    entries: int
    octets: int
    evicted: int


def read_extents(path: Path) -> list[EpochExtent]:
    """Look at an outbox file without touching it, also while a gateway works on it; raises OutboxDamaged."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5_000)
        rows: Sequence[Any] = connection.execute(_EXTENTS).fetchall()
        connection.close()
    except apsw.Error as error:
        raise OutboxDamaged(f"{path} cannot be read: {error}") from error
    return [
        EpochExtent(ChainHead(epoch, seq, digest, None if mark_ms is None else from_ms(mark_ms)), *counts)
        for epoch, seq, digest, mark_ms, *counts in rows
    ]


def _open(path: Path) -> apsw.Connection:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < SQLITE_MIN:
        raise OutboxDamaged(f"SQLite {apsw.sqlite_lib_version()} may corrupt the outbox; install apsw 3.51.3 or newer")
    try:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(5_000)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("journal_size_limit", 4 * 1024 * 1024)
        connection.execute(_SCHEMA)
    except apsw.Error as error:
        raise OutboxDamaged(f"{path} cannot be opened: {error}") from error
    return connection


def _position(epoch: int, seq: int) -> int:
    if not 0 < epoch < _EPOCH_MAX:
        raise OutboxDamaged(f"epoch {epoch} is beyond what the outbox can order")
    return (epoch << _SEQ_BITS) + seq


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else to_ms(instant)


def _to_row(entry: Entry) -> tuple[int, int, int | None, int, bytes]:
    return (
        _position(entry.epoch, entry.seq),
        to_ms(entry.sealed_at),
        _ms(entry.mark),
        int(entry.evicted),
        entry.octets,
    )


def _ends_chain(entry: Entry, digest: bytes) -> bool:
    if entry.evicted:
        return True
    try:
        return chain_digest(entry.octets) == digest
    except EnvelopeMalformed:
        return False


def _from_row(row: Sequence[Any]) -> Entry:
    position, sealed_ms, mark_ms, evicted, octets = row
    return Entry(
        epoch=position >> _SEQ_BITS,
        seq=position & _SEQ_MAX,
        sealed_at=from_ms(sealed_ms),
        mark=None if mark_ms is None else from_ms(mark_ms),
        octets=octets,
        evicted=bool(evicted),
    )
