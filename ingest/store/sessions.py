"""Sessions of operators who signed in on the console. Functions take an open transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.store.database import Connection


@dataclass(frozen=True, slots=True)
class Session:
    """One browser in which an operator is signed in; `started_at` is when he signed in, `seen_at` his newest call."""

    session: int
    operator: str
    started_at: datetime
    seen_at: datetime


def session_of(connection: Connection, token: str, now: datetime) -> Session | None:  # noqa: ARG001
    """Give the session whose cookie holds `token`, if it counts at `now`, and note that it was seen."""
    return None
