"""Acts on disk: one SQLite file for its owner alone, WAL and FULL sync, each transaction whole or not at all.

Several processes may write: who writes holds the file from the moment he looks until he is done.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from metering.errors import MeteringError

BUSY_MS = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS act (
    number  INTEGER PRIMARY KEY,   -- 1, 2, 3 ...
    at_ms   INTEGER NOT NULL,
    by      TEXT NOT NULL,
    device  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS attempt (  -- the newest attempt to reach the centre
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    at_ms   INTEGER NOT NULL,
    problem TEXT
) STRICT;
"""
_AFTER = "SELECT number, at_ms, by, device, kind, content FROM act WHERE number > ? ORDER BY number"
_LAST_BY = "SELECT by FROM act WHERE by <> ? ORDER BY number DESC LIMIT 1"
_INSERT = "INSERT INTO act (number, at_ms, by, device, kind, content) VALUES (?, ?, ?, ?, ?, ?)"
_ATTEMPT = "REPLACE INTO attempt (one, at_ms, problem) VALUES (1, ?, ?)"


class ActFileDamaged(MeteringError):
    """The file cannot be read or written."""


@dataclass(frozen=True, slots=True)
class ActRow:
    """One act as it is kept."""

    number: int
    at_ms: int
    by: str
    device: str
    kind: str
    content: str


class ActFile:
    """The file of one journal; one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with _alone_in(path.parent):
                _create(path)
                self._connection = apsw.Connection(str(path))
                self._connection.set_busy_timeout(BUSY_MS)
                self._connection.pragma("journal_mode", "wal")
                self._connection.pragma("synchronous", "full")
                self._connection.execute(_SCHEMA)
        except apsw.Error as error:
            raise ActFileDamaged(str(error)) from error

    def after(self, number: int) -> list[ActRow]:
        """Give the acts behind `number`, in order."""
        try:
            return [ActRow(*row) for row in self._connection.execute(_AFTER, (number,))]
        except apsw.Error as error:
            raise ActFileDamaged(str(error)) from error

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Hold the file while inside; everything is kept at the end, or nothing on an error."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise ActFileDamaged(str(error)) from error
        is_done = False
        try:
            yield
            is_done = True
        finally:
            if is_done:
                self.commit()
            else:
                self._connection.execute("ROLLBACK")

    def commit(self) -> None:
        """Keep what was added; raises ActFileDamaged, and then nothing is."""
        try:
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise ActFileDamaged(str(error)) from error

    def add(self, row: ActRow) -> None:
        """Add an act; raises ActFileDamaged."""
        try:
            self._connection.execute(_INSERT, (row.number, row.at_ms, row.by, row.device, row.kind, row.content))
        except apsw.Error as error:
            raise ActFileDamaged(str(error)) from error

    def last_by(self, but: str) -> str | None:
        """Say who acted last, leaving out `but`."""
        row = self._connection.execute(_LAST_BY, (but,)).fetchone()
        return None if row is None else str(row[0])

    def note_attempt(self, at_ms: int, problem: str | None) -> None:
        """Keep when the centre was tried last, and why in vain; lost without harm."""
        try:
            self._connection.execute(_ATTEMPT, (at_ms, problem))
        except apsw.Error as error:
            raise ActFileDamaged(str(error)) from error

    def attempt(self) -> tuple[int, str | None] | None:
        """Give the newest attempt."""
        row = self._connection.execute("SELECT at_ms, problem FROM attempt").fetchone()
        return None if row is None else (int(row[0]), row[1])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one program at a time open the file: two that turn a new one to WAL at once are refused without waiting."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create(path: Path) -> None:
    """Make the file unless it is there. One that is there is not opened: closing it would end SQLite's locks on it."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
