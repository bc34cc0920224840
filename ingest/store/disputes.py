"""Disputes of statements in the database. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.statement_states import WHOLE, DisputedLine, DisputeState
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import PartyId, SiteId

LIST_MAX = 500
"""Most disputes in one list."""
PERIODS_MAX = 240
"""Most periods that are counted: of ten sites two years of months."""


class DisputeUnknown(BooksError):
    """There is no dispute with this number."""

    reason = "dispute-unknown"


@dataclass(frozen=True, slots=True)
class Dispute:
    """What a tenant does not accept, and what he was answered.

    line     id of a line, WHOLE for all of the statement
    photo    SHA-256 of the picture he sent along; None without
    """

    dispute: int
    statement: str
    line: str
    reason: str
    photo: bytes | None
    raised_at: datetime
    state: DisputeState
    answer: str | None
    answered_by: str | None
    answered_at: datetime | None

    @property
    def is_whole(self) -> bool:
        """Say whether it is about all of the statement."""
        return self.line == WHOLE

    @property
    def as_line(self) -> DisputedLine:
        """Give what charges must know of it."""
        return DisputedLine(self.line, self.state)


@dataclass(frozen=True, slots=True)
class ListedDispute:
    """A dispute with the place of its statement."""

    dispute: Dispute
    site: SiteId
    period: str
    party: PartyId


@dataclass(frozen=True, slots=True)
class PeriodCounts:
    """How many statements of a period are out, were seen, were confirmed; how many disputes stand how."""

    site: SiteId
    period: str
    statements: int
    seen: int
    confirmed: int
    open: int
    upheld: int
    recomputed: int


def add_dispute(
    connection: Connection, statement: str, line: str, reason: str, photo: bytes | None, raised_at: datetime
) -> int | None:
    """Enter a dispute and give its number; None if this line is or was disputed already."""
    row = {"statement": statement, "line": line, "reason": reason, "photo": photo, "raised_at": raised_at}
    found = connection.execute(load_queries("statement_states")["add_dispute"], row).fetchone()
    return None if found is None else int(found[0])


def disputes_of(connection: Connection, statement: str) -> tuple[Dispute, ...]:
    """List the disputes of a statement, oldest first."""
    rows = connection.execute(load_queries("statement_states")["disputes_of_statement"], {"number": statement})
    return tuple(_from_row(row) for row in rows)


def require_dispute(connection: Connection, dispute: int) -> Dispute:
    """Give a dispute; raises DisputeUnknown."""
    row = connection.execute(load_queries("statement_states")["dispute"], {"dispute": dispute}).fetchone()
    if row is None:
        raise DisputeUnknown(f"there is no dispute {dispute}; list them with GET /v1/disputes")
    return _from_row(row)


def answer_dispute(
    connection: Connection, dispute: int, state: DisputeState, answer: str, by: str, at: datetime
) -> None:
    """Enter the answer to a dispute."""
    row = {"dispute": dispute, "state": state, "answer": answer, "by": by, "at": at}
    connection.execute(load_queries("statement_states")["answer_dispute"], row)


def list_disputes(
    connection: Connection,
    *,
    state: DisputeState | None = None,
    sites: Sequence[str] | None = None,
    period: str | None = None,
    before: int | None = None,
    most: int = LIST_MAX,
) -> tuple[ListedDispute, ...]:
    """List disputes, newest first, of these sites (None: all); `before`: those with smaller numbers only."""
    wanted = {
        "state": state,
        "sites": None if sites is None else list(sites),
        "period": period,
        "before": before,
        "most": min(most, LIST_MAX),
    }
    rows = connection.execute(load_queries("statement_states")["list_disputes"], wanted)
    return tuple(ListedDispute(_from_row(row[:10]), SiteId(row[10]), row[11], PartyId(row[12])) for row in rows)


def count_disputes(connection: Connection, sites: Sequence[str] | None = None) -> tuple[PeriodCounts, ...]:
    """Count statements and disputes by period, newest first."""
    wanted = {"sites": None if sites is None else list(sites), "most": PERIODS_MAX}
    rows = connection.execute(load_queries("statement_states")["count_disputes"], wanted)
    return tuple(PeriodCounts(SiteId(row[0]), *row[1:]) for row in rows)


def _from_row(row: tuple[Any, ...]) -> Dispute:
    number, statement, line, reason, photo, raised_at, state, *answered = row
    kept = None if photo is None else bytes(photo)
    return Dispute(number, statement, line, reason, kept, raised_at, DisputeState(state), *answered)
