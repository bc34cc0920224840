"""Word from one program to another, through the database: readings wait to be settled.

A notice only saves waiting. It may be lost, as when a program is killed between its commit and the notice, or when a
pool between here and the database does not pass it on; settlement looks by itself every minute.
"""

from __future__ import annotations

import logging
from threading import Event

import psycopg

from ingest.store.database import Connection, Database, DatabaseUnreachable, connect_alone, load_queries

EVERY_S = 0.5
"""Pause between two notices [s]: they are for settlement, which gathers what arrives for seconds."""
STEP_S = 0.5
"""How soon a listener notices that it is to end [s]."""
PAUSE_S = 2.0
"""Pause before a listener connects again [s]."""

_log = logging.getLogger(__name__)


def announce(connection: Connection) -> None:
    """Tell every listener, at the commit of this transaction, that something waits to be settled."""
    connection.execute(load_queries("notices")["announce"])


class Announcer:
    """Announces what others commit, from a thread of its own.

    Not in their transactions: those that announce are committed one after the other, so two intake workers would wait
    for each other's disk.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._woken = Event()

    def wake(self) -> None:
        """Something was committed; returns at once."""
        self._woken.set()

    def run(self, stop: Event) -> None:
        """Announce, at most twice a second, until `stop` is set; what is not announced while the database is away is
        found without."""
        while not stop.is_set():
            if not self._woken.wait(STEP_S):
                continue
            self._woken.clear()
            try:
                with self._database.transaction() as connection:
                    announce(connection)
            except (psycopg.Error, DatabaseUnreachable) as error:
                _log.warning("notices.not_sent: %s", error)
            stop.wait(EVERY_S)


class Listener:
    """Sets `woken` whenever any program announces; holds one connection of its own."""

    def __init__(self, dsn: str, woken: Event) -> None:
        self._dsn = dsn
        self._woken = woken

    def run(self, stop: Event) -> None:
        """Listen until `stop` is set, connecting again whenever the connection is lost."""
        while not stop.is_set():
            try:
                self._listen(stop)
            except psycopg.Error as error:
                _log.warning("notices.not_heard: %s", error)
                stop.wait(PAUSE_S)

    def _listen(self, stop: Event) -> None:
        with connect_alone(self._dsn) as connection:
            connection.execute(load_queries("notices")["listen"])
            # Whatever was announced while nobody listened is found by looking once.
            self._woken.set()
            while not stop.is_set():
                for _ in connection.notifies(timeout=STEP_S, stop_after=1):
                    self._woken.set()
