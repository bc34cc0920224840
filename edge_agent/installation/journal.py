"""The journal on disk: acts in order, each in a synced commit of its own, readable by its owner alone.

SQLite in WAL mode with FULL sync: after a power cut an act is there whole or not at all. Several processes may write;
whoever writes has seen everything before it, because he holds the database while he looks and writes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import apsw

from edge_agent.installation.acts import Act, ActUnknown, from_row, to_row
from edge_agent.installation.view import Who
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import EMPTY, Worksheet, after
from metering.envelope import from_ms, to_ms
from provisioning.document import DocumentMismatch

BUSY_MS = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS act (
    number  INTEGER PRIMARY KEY,   -- 1, 2, 3 ...
    at_ms   INTEGER NOT NULL,
    by      TEXT NOT NULL,
    device  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    content TEXT NOT NULL          -- document form, JSON
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

Write = Callable[[Act], None]


class Journal:
    """The journal of one gateway's installation; safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._worksheet, self._number = EMPTY, 0
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(BUSY_MS)
            self._connection.pragma("journal_mode", "wal")
            self._connection.pragma("synchronous", "full")
            self._connection.execute(_SCHEMA)
        except apsw.Error as error:
            raise refused("journal-damaged", path=path, problem=error) from error

    def worksheet(self) -> Worksheet:
        """Give what all acts amount to by now, those of other processes included."""
        with self._lock:
            self._catch_up()
            return self._worksheet

    @contextmanager
    def writing(self, who: Who, at: datetime) -> Iterator[tuple[Worksheet, Write]]:
        """Give the newest worksheet and what adds acts; all of them are kept at the end, or none on an error."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except apsw.Error as error:
                raise refused("journal-damaged", path=self._path, problem=error) from error
            kept = self._worksheet, self._number
            try:
                self._catch_up()
                kept = self._worksheet, self._number
                yield self._worksheet, lambda act: self._add(act, who, at)
                self._commit()
            except BaseException:
                self._worksheet, self._number = kept
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def note_attempt(self, at: datetime, problem: str | None) -> None:
        """Keep when the centre was tried last, and why in vain."""
        with self._lock:
            self._connection.execute(_ATTEMPT, (to_ms(at), problem))

    def attempt(self) -> tuple[datetime, str | None] | None:
        """Give the newest attempt."""
        with self._lock:
            row = self._connection.execute("SELECT at_ms, problem FROM attempt").fetchone()
        return None if row is None else (from_ms(row[0]), row[1])

    def last_by(self, but: str) -> str | None:
        """Say who acted last, leaving out `but`."""
        with self._lock:
            row = self._connection.execute(_LAST_BY, (but,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _add(self, act: Act, who: Who, at: datetime) -> None:
        self._worksheet = after(self._worksheet, act, who, from_ms(to_ms(at)))
        self._number += 1
        self._connection.execute(_INSERT, (self._number, to_ms(at), who.by, who.device, *to_row(act)))

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _catch_up(self) -> None:
        try:
            for number, at_ms, by, device, kind, content in self._connection.execute(_AFTER, (self._number,)):
                self._worksheet = after(self._worksheet, from_row(kind, content), Who(by, device), from_ms(at_ms))
                self._number = number
        except (apsw.Error, ActUnknown, DocumentMismatch, ValueError) as error:
            raise refused("journal-damaged", path=self._path, problem=error) from error
