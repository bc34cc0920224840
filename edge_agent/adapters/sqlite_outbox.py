"""The outbox as one SQLite file: WAL, synchronous FULL, one commit per sweep, blob rows in seq order, bounded.

Theory of operation. The row key is epoch x 2^40 + seq, so the table itself is the order and needs no index. `chain`
keeps the head of each epoch, so the next batch joins on even when every row was freed. Receipts are noted in memory and
written with the next sweep's commit: losing one costs a repeated send, and a card sees one sync per sweep. Receipted
batches stay 30 days of their own clock's time, so that a restored centre can ask again.

When the file is full, the oldest receipted go first. Then unreceipted ones, each rank oldest first: those without a
mark (status), those off the full hour, the rest: registers are cumulative, so hours keep every energy exact while the
curve within them is estimated. What goes leaves a signed tombstone; neighbours are joined. See docs/adr/0016 and 0078.

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
from metering.envelope import EnvelopeMalformed, chain_digest, from_ms, head_of, read_head, to_ms
from metering.identity import GatewayId
from metering.tombstone import LossCause, Tombstone, parse_tombstone

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
_BEFORE = """
SELECT position, sealed_ms, mark_ms, evicted, octets FROM entry WHERE position < ? AND position > ?
ORDER BY position DESC LIMIT 1
"""
_RANKS = ("mark_ms IS NULL", "mark_ms % 3600000 <> 0", "TRUE")
"""What is given up first when nothing receipted is left; each rank oldest first."""
_VICTIMS = tuple(
    f"""
SELECT position, sealed_ms, mark_ms, evicted, octets FROM entry WHERE position > ? AND NOT evicted AND {rank}
ORDER BY position LIMIT 1
"""
    for rank in _RANKS
)
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
    connect         opens the file
    """

    def __init__(
        self,
        path: Path,
        gateway: GatewayId,
        seal_tombstone: Callable[[Tombstone], bytes],
        octets_max: int = OCTETS_MAX,
        connect: Callable[[Path], apsw.Connection] = lambda path: apsw.Connection(str(path)),
    ) -> None:
        self._gateway = gateway
        self._seal_tombstone = seal_tombstone
        self._octets_max = octets_max
        self._lock = threading.Lock()
        self._connection = _open(path, connect)
        self._searched = [0] * len(_RANKS)
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
            # What has no mark (status, reports) must not bring old marks back.
            head = ChainHead(entry.epoch, entry.seq, chain_digest(entry.octets), entry.mark or head.mark)
        with self._lock:
            try:
                with self._connection:
                    self._free_expired(entries[-1].sealed_at)
                    self._make_room(sum(len(entry.octets) for entry in entries))
                    self._connection.executemany(_INSERT, [_to_row(entry) for entry in entries])
                    self._save_chains({**self._heads, head.epoch: head})
            except apsw.Error as error:
                self._octets = self._count_octets()
                self._searched = [0] * len(_RANKS)
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
        """Note, and write at once, that the centre holds no more than up to `seq`: what follows waits again.

        What is no longer kept above it is told by a tombstone.
        """
        with self._lock:
            self._receipted[epoch] = min(self.receipted(epoch), seq)
            self._searched = [0] * len(_RANKS)
            try:
                with self._connection:
                    self._tell_missing(epoch, self.receipted(epoch))
                    self._save_chains(self._heads)
            except apsw.Error as error:
                self._octets = self._count_octets()
                raise OutboxDamaged(f"the outbox cannot be written: {error}") from error

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

    def _oldest_receipted(self) -> Entry | None:
        """Give the oldest entry that a receipt covers; an epoch with nothing receipted stands in nobody's way."""
        for epoch in sorted(self._heads):
            row = self._connection.execute(
                _AFTER, (_position(epoch, 0), _position(epoch, self.receipted(epoch)), 1)
            ).get
            if row is not None:
                return _from_row(row)
        return None

    def _free_expired(self, now: datetime) -> None:
        """Free receipted batches sealed more than 30 days before the newest."""
        for _ in range(FREED_PER_COMMIT_MAX):
            oldest = self._oldest_receipted()
            if oldest is None or now - oldest.sealed_at <= KEPT:
                break
            self._delete(oldest)

    def _make_room(self, octets: int) -> None:
        """Free entries until `octets` more fit: receipted ones, then unreceipted ones into tombstones."""
        while self._octets + octets > self._octets_max:
            receipted = self._oldest_receipted()
            if receipted is not None:
                self._delete(receipted)
                continue
            victim = self._victim()
            if victim is None:
                return
            self._bury(victim)

    def _victim(self) -> Entry | None:
        """Give the unreceipted batch that is worth least; each rank is searched on from where its last one was."""
        for rank, query in enumerate(_VICTIMS):
            row = self._connection.execute(query, (self._searched[rank],)).get
            if row is not None:
                entry = _from_row(row)
                self._searched[rank] = _position(entry.epoch, entry.seq)
                return entry
            newest = max(self._heads.values(), key=lambda head: head.epoch, default=None)
            self._searched[rank] = 0 if newest is None else _position(newest.epoch, newest.seq)
        return None

    def _bury(self, entry: Entry) -> None:
        """Put a tombstone in place of `entry`, joined with those right before and behind it."""
        stone = Tombstone(
            gateway=self._gateway,
            epoch=entry.epoch,
            first_seq=entry.seq,
            last_seq=entry.seq,
            last_digest=chain_digest(entry.octets),
            previous_hash=_previous_hash(entry),
            first_mark=entry.mark,
            last_mark=entry.mark,
        )
        self._delete(entry)
        position, last = _position(entry.epoch, entry.seq), entry
        before = self._connection.execute(_BEFORE, (position, _position(entry.epoch, 0))).get
        if before is not None and (found := _from_row(before)).evicted and found.seq == stone.first_seq - 1:
            stone = parse_tombstone(found.octets).joined(stone)
            self._delete(found)
        behind = self._connection.execute(_AFTER, (position, _position(entry.epoch, _SEQ_MAX), 1)).get
        if behind is not None and (found := _from_row(behind)).evicted:
            later = parse_tombstone(found.octets)
            if later.first_seq == stone.last_seq + 1:
                stone, last = stone.joined(later), found
                self._delete(found)
        self._insert_stone(stone, last.sealed_at, last.mark)

    def _tell_missing(self, epoch: int, seq: int) -> None:
        """Put a tombstone for what is no longer kept right above `seq`."""
        head = self.head(epoch)
        row = self._connection.execute(_AFTER, (_position(epoch, seq), _position(epoch, _SEQ_MAX), 1)).get
        found = None if row is None else _from_row(row)
        if found is None:
            if head.seq > seq:
                self._insert_missing(epoch, seq + 1, head.seq, head.digest, head.mark)
            return
        later = parse_tombstone(found.octets) if found.evicted else None
        first_seq = found.seq if later is None else later.first_seq
        previous_hash = _previous_hash(found) if later is None else later.previous_hash
        if first_seq > seq + 1 and previous_hash is not None:
            self._insert_missing(epoch, seq + 1, first_seq - 1, previous_hash, None)

    def _insert_missing(self, epoch: int, first_seq: int, last_seq: int, digest: bytes, mark: datetime | None) -> None:
        stone = Tombstone(self._gateway, epoch, first_seq, last_seq, digest, cause=LossCause.KEPT_NO_LONGER)
        head = self.head(epoch)
        self._insert_stone(stone, head.mark or from_ms(0), mark)

    def _insert_stone(self, stone: Tombstone, sealed_at: datetime, mark: datetime | None) -> None:
        sealed = self._seal_tombstone(stone)
        self._octets += len(sealed)
        self._connection.execute(_INSERT, _to_row(Entry(stone.epoch, stone.last_seq, sealed_at, mark, sealed, True)))

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


def _open(path: Path, connect: Callable[[Path], apsw.Connection]) -> apsw.Connection:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < SQLITE_MIN:
        raise OutboxDamaged(f"SQLite {apsw.sqlite_lib_version()} may corrupt the outbox; install apsw 3.51.3 or newer")
    try:
        connection = connect(path)
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


def _previous_hash(entry: Entry) -> bytes | None:
    """Give what a batch names as its predecessor; None where that cannot be read."""
    try:
        return read_head(head_of(entry.octets).payload).previous_hash
    except EnvelopeMalformed:
        return None


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
