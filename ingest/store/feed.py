"""The feed of published lines: every publication in the order of its commit, its lines numbered. Only ever added to.

A publication gets its position under a lock that its transaction keeps to the end, so whoever reads position n has
seen, or can see, every position before n: a cursor never passes by a line that commits late.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.store.database import Connection, load_queries
from metering.errors import SenderError

ENTRIES_AT_ONCE = 200
"""Publications looked at in one query."""
_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,9})\.([0-9a-f]{16})\Z")


class CursorUnknown(SenderError):
    """A cursor that this feed never gave, or gave before its database was restored from an older backup."""

    reason = "cursor-unknown"

    def __init__(self, text: str) -> None:
        super().__init__(f"cursor {text[:80]!r} is none of this feed; read it from its beginning: lines keep their ids")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the feed: `lines` lines of the entry at `position` are read; `key` names that entry."""

    position: int
    lines: int
    key: str

    def __str__(self) -> str:
        return f"{self.position}.{self.lines}.{self.key}" if self.position else BEGINNING

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Read what `str` gave; raises CursorUnknown."""
        if text in (None, "", BEGINNING):
            return START
        found = _CURSOR.match(text or "")
        if found is None or int(found[1]) == 0:
            raise CursorUnknown(text or "")
        return cls(int(found[1]), int(found[2]), found[3])


BEGINNING = "0"
START = Cursor(0, 0, "")


@dataclass(frozen=True, slots=True)
class Entry:
    """One publication as the feed tells it; `units` are those of the run's bands, `lines` how many lines it has."""

    position: int
    key: str
    publication: int
    run: str
    corrects: str | None
    site: str
    period: str
    starts_at: datetime
    ends_at: datetime
    currency: str
    units: list[str]
    lines: int
    published_at: datetime

    @property
    def has_one_unit(self) -> bool:
        """Say whether all bands are of one unit, as in every run that meters electricity only."""
        return bool(self.units) and self.units.count(self.units[0]) == len(self.units)

    def cursor(self, lines: int) -> Cursor:
        """Name the place behind so many of its lines."""
        return Cursor(self.position, lines, self.key)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for. sites: those the caller may see, None for all; corrections: None for both kinds.

    until   the last position to look at; None: all there are
    """

    sites: tuple[str, ...] | None = None
    site: str | None = None
    period: str | None = None
    party: str | None = None
    corrections: bool | None = None
    until: int | None = None


Row = tuple[int, str, str, str | None, str | None, int, str | None]
"""place, pool, party, unit, kind, amount_minor and amounts by band (a JSON list); the last is None in a correction."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines: parts of entries in order; where to go on; and whether there is more already."""

    parts: tuple[tuple[Entry, Sequence[Row]], ...]
    cursor: Cursor
    more: bool


def enter_feed(connection: Connection) -> None:
    """Give what was published a position; late in the transaction that publishes, since others wait from here on."""
    queries = load_queries("feed")
    connection.execute(queries["lock_feed"])
    connection.execute(queries["enter_feed"])


def read_feed(connection: Connection, since: Cursor, wanted: Wanted, most: int) -> Page:
    """Give at most `most` lines behind `since`; raises CursorUnknown."""
    _require(connection, since)
    parts: list[tuple[Entry, Sequence[Row]]] = []
    at, left = since, most
    for entry in _entries(connection, since.position, wanted):
        first = since.lines if entry.position == since.position else 0
        # One more than asked for tells whether there are more.
        rows = _rows(connection, entry, first, wanted, left + 1) if first < entry.lines else []
        if len(rows) > left:
            if not left:
                return Page(tuple(parts), at, more=True)
            parts.append((entry, rows[:left]))
            return Page(tuple(parts), entry.cursor(rows[left][0]), more=True)
        if rows:
            parts.append((entry, rows))
        at, left = entry.cursor(entry.lines), left - len(rows)
    return Page(tuple(parts), at, more=False)


def newest_cursor(connection: Connection) -> Cursor:
    """Name the place behind everything that is published by now."""
    row = connection.execute(load_queries("feed")["newest_entry"]).fetchone()
    return START if row is None else Cursor(row[0], row[2], row[1])


def _require(connection: Connection, cursor: Cursor) -> None:
    if cursor.position:
        found = connection.execute(load_queries("feed")["feed_entry"], {"position": cursor.position}).fetchone()
        if found is None or found[0] != cursor.key or found[1] < cursor.lines:
            raise CursorUnknown(str(cursor))


def _entries(connection: Connection, position: int, wanted: Wanted) -> Iterator[Entry]:
    asked: dict[str, Any] = {
        "sites": None if wanted.sites is None else list(wanted.sites),
        "site": wanted.site,
        "period": wanted.period,
        "corrections": wanted.corrections,
        "until": wanted.until,
        "most": ENTRIES_AT_ONCE,
    }
    while True:
        rows = connection.execute(load_queries("feed")["feed_entries"], asked | {"position": position}).fetchall()
        yield from (Entry(*row) for row in rows)
        if len(rows) < ENTRIES_AT_ONCE:
            return
        position = rows[-1][0] + 1


def _rows(connection: Connection, entry: Entry, first: int, wanted: Wanted, most: int) -> list[Row]:
    queries = load_queries("feed")
    asked = {"first": first, "party": wanted.party, "most": most}
    if entry.corrects is None:
        return connection.execute(queries["feed_run_lines"], asked | {"run": entry.run}).fetchall()
    return connection.execute(queries["feed_correction_lines"], asked | {"publication": entry.publication}).fetchall()
