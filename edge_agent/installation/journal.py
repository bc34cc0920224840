"""The journal of an installation: acts in order, each kept whole, and the worksheet that they amount to.

Whoever writes has seen everything before it, other processes' acts included, because he holds the file while he looks
and writes. A refused act leaves nothing behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from edge_agent.adapters.act_file import ActFile, ActFileDamaged, ActRow
from edge_agent.installation.acts import Act, ActUnknown, from_row, to_row
from edge_agent.installation.view import DeskRefused, Who
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import EMPTY, Worksheet, after
from metering.envelope import from_ms, to_ms
from metering.errors import SenderError
from provisioning.document import DocumentMismatch

Write = Callable[[Act], None]


class Journal:
    """The journal of one gateway's installation; safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._worksheet, self._number = EMPTY, 0
        with self._told():
            self._file = ActFile(path)

    def worksheet(self) -> Worksheet:
        """Give what all acts amount to by now, those of other processes included."""
        with self._lock, self._told():
            self._catch_up()
            return self._worksheet

    @contextmanager
    def writing(self, who: Who, at: datetime) -> Iterator[tuple[Worksheet, Write]]:
        """Give the newest worksheet and what adds acts; all of them are kept at the end, or none on an error."""
        with self._lock, self._told():
            kept = self._worksheet, self._number
            is_done = False
            try:
                with self._file.whole():
                    self._catch_up()
                    kept = self._worksheet, self._number
                    yield self._worksheet, lambda act: self._add(act, who, at)
                is_done = True
            finally:
                if not is_done:
                    self._worksheet, self._number = kept

    def note_attempt(self, at: datetime, problem: str | None) -> None:
        """Keep when the centre was tried last, and why in vain."""
        with self._lock, self._told():
            self._file.note_attempt(to_ms(at), problem)

    def attempt(self) -> tuple[datetime, str | None] | None:
        """Give the newest attempt."""
        with self._lock:
            found = self._file.attempt()
        return None if found is None else (from_ms(found[0]), found[1])

    def last_by(self, but: str) -> str | None:
        """Say who acted last, leaving out `but`."""
        with self._lock:
            return self._file.last_by(but)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _add(self, act: Act, who: Who, at: datetime) -> None:
        self._worksheet = after(self._worksheet, act, who, from_ms(to_ms(at)))
        self._number += 1
        self._file.add(ActRow(self._number, to_ms(at), who.by, who.device, *to_row(act)))

    def _catch_up(self) -> None:
        for row in self._file.after(self._number):
            try:
                act = from_row(row.kind, row.content)
                self._worksheet = after(self._worksheet, act, Who(row.by, row.device), from_ms(row.at_ms))
            except (ActUnknown, DocumentMismatch, SenderError, ValueError) as error:
                raise ActFileDamaged(f"act {row.number}: {error}") from error
            self._number = row.number

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what is wrong with the file, and what to do, in both languages."""
        try:
            yield
        except ActFileDamaged as error:
            raise self._damaged(error) from error

    def _damaged(self, error: ActFileDamaged) -> DeskRefused:
        return refused("journal-damaged", path=self._path, problem=error)
