"""How often signing in failed of late: by it guessing is slowed down. Functions take an open transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.caller import bucket_of
from ingest.store.database import Connection, load_queries

WINDOW = timedelta(minutes=15)
TOGETHER_MAX = 6
"""Of one name from one address: somebody who has forgotten his password, more is guessing."""
ADDRESS_MAX = 60
"""Of one address: an office behind one has some people who mistype."""
NAME_MAX = 60
"""Of one name from everywhere; higher than the first, so that no stranger locks somebody out from elsewhere soon."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody at `address` says he is `operator`."""

    operator: str
    address: str

    @property
    def row(self) -> dict[str, object]:
        """Give what is kept of it: people type passwords into the field of the name."""
        return {"operator_hash": hashlib.sha256(self.operator.encode()).digest(), "address": bucket_of(self.address)}


def is_held(connection: Connection, attempt: Attempt, now: datetime) -> bool:
    """Say whether there were so many failures that nobody looks at another attempt for now."""
    wanted = attempt.row | {"since": now - WINDOW}
    row = connection.execute(load_queries("sign_ins")["count_failures"], wanted).fetchone()
    assert row is not None
    together, of_name, of_address = row
    return bool(together >= TOGETHER_MAX or of_name >= NAME_MAX or of_address >= ADDRESS_MAX)


def note_failure(connection: Connection, attempt: Attempt, now: datetime) -> None:
    """Count a failure."""
    connection.execute(load_queries("sign_ins")["add_failure"], attempt.row | {"at": now})


def forgive(connection: Connection, attempt: Attempt, now: datetime) -> None:
    """Forget the failures of who has shown that he is it, and all that are old."""
    connection.execute(load_queries("sign_ins")["forgive"], attempt.row | {"since": now - WINDOW})
