"""A billing program as docs/billing-api.md tells to write one: its own books, a cursor, and nothing it need not lose.

It may die between any two statements (`dies` says where) and is then made anew over the same file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from tests.doubles.billing_client import metertree_billing as api

BOOKS = """
CREATE TABLE IF NOT EXISTS lines (
    id TEXT PRIMARY KEY, site TEXT, period TEXT, line TEXT, party TEXT, amount_minor INTEGER
);
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, cursor TEXT);
CREATE TABLE IF NOT EXISTS invoices (number INTEGER PRIMARY KEY, charge TEXT UNIQUE, party TEXT, amount_minor INTEGER);
CREATE TABLE IF NOT EXISTS seen (event TEXT PRIMARY KEY);
"""


class BillingProgram:
    """One process of it. dies: called with the name of each place; raises where the process is to end."""

    def __init__(self, file: Path, centre: api.Centre, dies: Callable[[str], None] = lambda _: None) -> None:
        self._books = sqlite3.connect(file, isolation_level=None)
        self._books.executescript(BOOKS)
        self._centre = centre
        self._dies = dies

    def close(self) -> None:
        """End as a process ends: whatever was not committed is gone."""
        self._books.close()

    def turn(self) -> None:
        """Do everything there is to do: book lines, make invoices, say their numbers."""
        self.book()
        self.collect()

    def book(self) -> None:
        """Take up published lines; lines and cursor in one transaction."""
        while True:
            page = self._centre.allocations(since=self._cursor("allocations"), limit=7)
            self._dies("page read")
            with self._books:
                self._books.execute("BEGIN")
                for line in page.lines:
                    row = (line.id, line.site, line.period, line.line, line.party, line.amount_minor)
                    self._books.execute("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)", row)
                self._dies("lines put")
                self._keep("allocations", page.cursor)
            self._dies("page booked")
            if not page.more:
                return

    def collect(self) -> None:
        """Make an invoice of every charge nobody has taken over, once, and say its number."""
        for charge in self._centre.charges(acknowledged=False):
            row = (charge.charge, charge.party, charge.amount_minor)
            insert = "INSERT INTO invoices (charge, party, amount_minor) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            self._books.execute(insert, row)
            self._dies("invoice made")
            query = "SELECT number FROM invoices WHERE charge = ?"
            (number,) = self._books.execute(query, (charge.charge,)).fetchone()
            self._centre.acknowledge(charge.charge, f"INV-{number:04d}")
            self._dies("charge acknowledged")

    def hear(self, headers: Mapping[str, str], body: bytes, secret: str) -> None:
        """Take a delivery: it only says that there is something to do."""
        event = api.verify_webhook(headers, body, [secret])
        with self._books:
            self._books.execute("BEGIN")
            taken = self._books.execute("INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING", (event.id,)).rowcount
        if taken:
            self.turn()

    def catch_up(self) -> list[str]:
        """Pull events, for those that no webhook brought; give their kinds, and do what there is to do."""
        found: list[str] = []
        while True:
            page = self._centre.events(after=int(self._cursor("events") or 0))
            with self._books:
                self._books.execute("BEGIN")
                for event in page.events:
                    insert = "INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING"
                    found += [event.type] * self._books.execute(insert, (event.id,)).rowcount
                self._keep("events", str(page.cursor))
            if not page.more:
                break
        self.turn()
        return found

    def booked(self) -> dict[str, int]:
        """Sum what is booked, by party."""
        return dict(self._books.execute("SELECT party, sum(amount_minor) FROM lines GROUP BY party"))

    def invoiced(self) -> dict[str, int]:
        """Sum what is invoiced, by party."""
        return dict(self._books.execute("SELECT party, sum(amount_minor) FROM invoices GROUP BY party"))

    def invoices(self) -> dict[str, str]:
        """Give the invoice of each charge."""
        with closing(self._books.execute("SELECT charge, number FROM invoices")) as rows:
            return {charge: f"INV-{number:04d}" for charge, number in rows}

    def _cursor(self, name: str) -> str | None:
        row = self._books.execute("SELECT cursor FROM cursors WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _keep(self, name: str, cursor: str) -> None:
        self._books.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, cursor))
