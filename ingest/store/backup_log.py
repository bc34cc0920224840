"""Which backups were begun and finished, noted in the database itself, and who is asked again after a restore.

A backup holds its own row as it was while it was made: unfinished, under a lock that ends with the session that makes
it. A database in which such a row stands and the lock is free came out of that backup, whatever tool put it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.ports import GatewayEpoch, Standing
from ingest.store.database import Connection, Database, load_queries
from metering.identity import GatewayId

KEPT = timedelta(days=30)
"""How long gateways keep what was receipted (docs/adr/0016); asked for longer, none could give more."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A finished backup; `octets` on disk."""

    backup: str
    kind: str
    place: str
    started_at: datetime
    finished_at: datetime
    octets: int


@dataclass(frozen=True, slots=True)
class ResendRequest:
    """A chain whose gateway is asked for what came after `after_seq`; `times` asked so far, next at `ask_at`."""

    owner: GatewayEpoch
    after_seq: int
    asked_since: datetime
    ask_at: datetime
    times: int


@contextmanager
def logged_backup(database: Database, backup: str, kind: str, place: str, started_at: datetime) -> Iterator[None]:
    """Note a backup as begun, and as being made as long as this is open; `database` has one connection."""
    queries = load_queries("backup")
    with database.transaction() as connection:
        connection.execute(queries["hold"], {"backup": backup})
    try:
        with database.transaction() as connection:
            row = {"backup": backup, "kind": kind, "place": place, "started_at": started_at}
            connection.execute(queries["begin_backup"], row)
        yield
    finally:
        with database.transaction() as connection:
            connection.execute(queries["let_go"], {"backup": backup})


def finish_backup(database: Database, backup: str, finished_at: datetime, octets: int) -> None:
    """Note a backup as finished."""
    with database.transaction() as connection:
        row = {"backup": backup, "finished_at": finished_at, "octets": octets}
        connection.execute(load_queries("backup")["finish_backup"], row)


def newest_backup(connection: Connection) -> Logged | None:
    """Give the backup that was finished last."""
    row = connection.execute(load_queries("backup")["newest_backup"]).fetchone()
    return None if row is None else Logged(*row)


def ask_all_again(connection: Connection, now: datetime) -> int:
    """Open a request for every chain of every gateway, and say how many."""
    return connection.execute(load_queries("resend")["ask_all"], {"now": now}).rowcount


def due_requests(connection: Connection, now: datetime, most: int) -> Sequence[Standing]:
    """Give what is held of the chains that are to be asked again now; a restore that nobody noticed yet is noticed."""
    queries = load_queries("resend")
    if connection.execute(queries["notice_restores"], {"now": now}).rowcount:
        ask_all_again(connection, now)
    connection.execute(queries["close_requests"], {"now": now, "kept_days": KEPT.days})
    return [
        Standing(GatewayEpoch(GatewayId(gateway), epoch), seq, bytes(32) if head is None else bytes(head))
        for gateway, epoch, seq, head in connection.execute(queries["due_requests"], {"now": now, "most": most})
    ]


def open_requests(connection: Connection) -> tuple[ResendRequest, ...]:
    """List the chains whose gateways have not been heard since they were asked."""
    rows = connection.execute(load_queries("resend")["open_requests"])
    return tuple(ResendRequest(GatewayEpoch(GatewayId(name), epoch), *rest) for name, epoch, *rest in rows)
