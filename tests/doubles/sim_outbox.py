"""An outbox in two parts: a disk that survives a power cut, and a process that does not.

It keeps the promises of `SqliteOutbox` that a crash can tell apart: entries and heads are durable once `append`
returned, a receipt only with the next append. `test_sim_doubles.py` runs both through the same steps.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.ports import ChainHead, Entry, OutboxDamaged
from metering.envelope import chain_digest
from metering.identity import GatewayId


@dataclass
class Disk:
    """What is left when the power is gone."""

    entries: dict[int, list[Entry]] = field(default_factory=dict)
    heads: dict[int, ChainHead] = field(default_factory=dict)
    receipted: dict[int, int] = field(default_factory=dict)

    def open(self) -> SimOutbox:
        """Open the outbox that is on it."""
        return SimOutbox(self)

    def copy(self) -> Disk:
        """An image of the card, as whoever clones a gateway takes it."""
        entries = {epoch: list(kept) for epoch, kept in self.entries.items()}
        return Disk(entries, dict(self.heads), dict(self.receipted))


class SqliteDisk:
    """The same with a real file: what a process has committed there outlives it."""

    def __init__(self, path: Path, gateway: GatewayId) -> None:
        self._path = path
        self._gateway = gateway

    def open(self) -> CutSqliteOutbox:
        """Open the production outbox on the file."""
        return CutSqliteOutbox(self._path, self._gateway, lambda _: b"")

    def copy(self) -> SqliteDisk:
        """Copy the file and its log, as they are while the gateway has them open."""
        clone = self._path.with_name(f"clone-of-{self._path.name}")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self._path}{suffix}", f"{clone}{suffix}")
        return SqliteDisk(clone, self._gateway)


class CutSqliteOutbox(SqliteOutbox):
    """The production outbox, which may also end without its orderly end."""

    def lose_power(self) -> None:
        """Let go of the file; nothing is written."""
        self._connection.close()


class SimOutbox:
    """The outbox of one process on a disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._receipted = dict(disk.receipted)

    def head(self, epoch: int) -> ChainHead:
        """Give the newest batch of `epoch`."""
        return self._disk.heads.get(epoch, ChainHead(epoch, 0, bytes(32), None))

    def newest_mark(self) -> datetime | None:
        """Give the latest mark of any epoch."""
        return max((head.mark for head in self._disk.heads.values() if head.mark is not None), default=None)

    def append(self, entries: Sequence[Entry]) -> None:
        """Write batches, and the receipts noted so far, at once."""
        if not entries:
            return
        head = self.head(entries[0].epoch)
        for entry in entries:
            if entry.epoch != head.epoch or entry.seq != head.seq + 1:
                raise OutboxDamaged(f"batch {entry.epoch}/{entry.seq} does not follow {head.epoch}/{head.seq}")
            head = ChainHead(entry.epoch, entry.seq, chain_digest(entry.octets), entry.mark)
        self._disk.entries.setdefault(head.epoch, []).extend(entries)
        self._disk.heads[head.epoch] = head
        self._disk.receipted = dict(self._receipted)

    def after(self, epoch: int, seq: int, limit: int) -> list[Entry]:
        """Give entries above `seq`; they are numbered from 1 without a gap."""
        return self._disk.entries.get(epoch, [])[seq : seq + limit]

    def receipted(self, epoch: int) -> int:
        """Give the highest receipted seq."""
        return self._receipted.get(epoch, 0)

    def acknowledge(self, epoch: int, seq: int) -> None:
        """Note a receipt, in memory."""
        self._receipted[epoch] = max(self.receipted(epoch), min(seq, self.head(epoch).seq))

    def recall(self, epoch: int, seq: int) -> None:
        """Write that less is receipted than was noted."""
        self._receipted[epoch] = min(self.receipted(epoch), seq)
        self._disk.receipted = dict(self._receipted)

    def unfinished_epochs(self) -> list[int]:
        """List epochs with unreceipted batches, oldest first."""
        return [epoch for epoch, head in sorted(self._disk.heads.items()) if self.receipted(epoch) < head.seq]

    def lose_power(self) -> None:
        """End without a chance to write."""

    def close(self) -> None:
        """End in order: what was noted is written."""
        self._disk.receipted = dict(self._receipted)
