"""Locks of the database by which several programs share work: who settles a site, and who does the jobs.

A lock goes with its connection: whoever is killed frees it, and another goes on. The books do not rest on these locks,
only the effort does: settlement and jobs are right when two do them at once, by the locks of their own transactions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

import psycopg

from ingest.store.database import Connection, Database, connect_alone, load_queries
from metering.identity import SiteId

_log = logging.getLogger(__name__)


@contextmanager
def site_turn(database: Database, site: SiteId) -> Iterator[bool]:
    """Take the turn to settle a site while inside; False if another program has it. Does not wait."""
    with database.transaction() as connection:
        row = connection.execute(load_queries("turns")["take_site"], {"site": site}).fetchone()
        yield row is not None and row[0]


class Leadership:
    """Which of several programs does the jobs: the one that holds this lock, on a connection of its own.

    A leader whose connection broke without its noticing may go on for a while beside the next one.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None
        self._leads = False
        self._lock = Lock()

    def is_ours(self) -> bool:
        """Say whether this program leads now, and begin to if nobody else does."""
        with self._lock:
            try:
                return self._still_ours() or self._take()
            except psycopg.Error as error:
                _log.warning("jobs.no_lead: %s", error)
                self._let_go()
                return False

    def give_up(self) -> None:
        """Let another program lead at once: a lock outlives its closed connection until the server sees it."""
        with self._lock:
            if self._connection is not None and self._leads:
                with suppress(psycopg.Error):
                    self._connection.execute(load_queries("turns")["leave_jobs"])
            self._let_go()

    def _still_ours(self) -> bool:
        if self._connection is None or not self._leads:
            return False
        self._connection.execute(load_queries("database")["ping"])
        return True

    def _take(self) -> bool:
        if self._connection is None:
            self._connection = connect_alone(self._dsn)
        row = self._connection.execute(load_queries("turns")["take_jobs"]).fetchone()
        self._leads = row is not None and bool(row[0])
        if self._leads:
            _log.info("jobs.leading")
        return self._leads

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._leads = None, False
