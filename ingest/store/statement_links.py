"""Links of statements in the database: the hash of a token, and until when it opens. Open transactions only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.store.database import Connection, load_queries


@dataclass(frozen=True, slots=True)
class HeldLink:
    """How the link of a statement stands. `expires_at` None: there is none, or it was taken back."""

    statement: str
    party: str
    run: str
    issue: int
    expires_at: datetime | None


def find_link(connection: Connection, token_hash: bytes) -> tuple[str, datetime] | None:
    """Give the statement that a token opens and until when, or None."""
    row = connection.execute(load_queries("statement_states")["find_link"], {"token_hash": token_hash}).fetchone()
    return None if row is None else (str(row[0]), row[1])


def hold_links(connection: Connection, *, run: str | None = None, number: str | None = None) -> tuple[HeldLink, ...]:
    """Give how the links of a run, or of one statement, stand, by number; others wait until the transaction ends."""
    rows = connection.execute(load_queries("statement_states")["hold_links"], {"run": run, "number": number})
    return tuple(HeldLink(*row) for row in rows)


def put_link(
    connection: Connection, number: str, token_hash: bytes | None, issue: int, expires_at: datetime | None
) -> None:
    """Let a statement be opened by this token alone; None: by none."""
    row = {"number": number, "token_hash": token_hash, "link_issue": issue, "link_expires_at": expires_at}
    connection.execute(load_queries("statement_states")["put_link"], row)
