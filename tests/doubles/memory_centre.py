"""The whole central service in one thread: its real web application over the database in memory, called without a
socket."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx

from device_profiles.catalogue import Catalogue
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.statement_file import statement_file
from ingest.store.runs import find_run
from ingest.store.statements import find_statement
from metering.clock import ManualClock
from metering.interval import SLOT
from tests.doubles.memory_database import MemoryDatabase, Tables
from tests.doubles.park_books import CENTRE, ParkBooks, read_park

TOKEN = "t0ken"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
NOW = datetime(2026, 8, 1, 1, tzinfo=UTC)
PERIOD = "2026-07-01--2026-07-01"
BOOKED_AT = "2026-08-01T09:00:00+08:00"
REQUEST = {"site": "park", "period": PERIOD, "booked_at": BOOKED_AT}
SALT = bytes(32)


class MemoryCentre:
    """A central service with the park's books, and switches for what it depends on."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are further parts of the web application, by their names."""
        site, rules, play, catalogue = _park()
        self.database = MemoryDatabase()
        self.books = ParkBooks(self.database, site, rules, play, catalogue)
        self.settlement = Settlement(self.database, catalogue)
        self.closing = Closing(self.settlement, CENTRE, SALT)
        self.broker_answers = True
        self.clock = ManualClock(NOW)
        self.metrics = Metrics()
        self.metrics.follow(IntakeCounters())
        parts = WebParts(
            database=self.database,
            closing=self.closing,
            clock=self.clock,
            centre_key=CENTRE.public_key,
            admin_token=TOKEN,
            checks={"database": self.database.answers, "broker": lambda: self.broker_answers},
            metrics=self.metrics,
            **settings,
        )
        self.app = create_app(parts)

    @contextmanager
    def open(self) -> Iterator[MemoryCentre]:
        """Answer calls while inside. A mistake of the service is answered with its 500, as over a socket."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
        with asyncio.Runner() as runner:
            self._client, self._runner = client, runner
            yield self
            runner.run(client.aclose())

    def call(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Make one call."""
        return self._runner.run(self._client.request(method, path, **parts))

    def get(self, path: str, **parts: Any) -> httpx.Response:
        """Fetch."""
        return self.call("GET", path, **parts)

    def post(self, path: str, **parts: Any) -> httpx.Response:
        """Send with the admin's token."""
        return self.call("POST", path, headers=ADMIN, **parts)

    def write_day(self, slots: int = 96) -> None:
        """Store every reading of the first day."""
        start = self.books.site.calendar.period(PERIOD).start
        self.books.write(start + index * SLOT for index in range(slots + 1))

    def close_day(self) -> Any:
        """Ask for the run of the first day; give the answer's content."""
        return self.post("/v1/allocation-runs", json=REQUEST).json()


@cache
def _park() -> Any:
    return read_park()


@cache
def closed_tables() -> Tables:
    """The tables of a service that has closed its first day; copy them before use."""
    centre = MemoryCentre()
    centre.books.enrol_all()
    centre.write_day()
    centre.closing.close(centre.books.site.id, PERIOD, booked_at=datetime.fromisoformat(BOOKED_AT))
    return centre.database.tables


def closed_document() -> dict[str, Any]:
    """The document of the closed day's run with its lines, to change at will."""
    database = MemoryDatabase()
    database.tables = closed_tables()
    (run,) = database.tables.runs
    with database.transaction() as connection:
        stored = find_run(connection, run)
    assert stored is not None
    return copy.deepcopy(dict(stored.document))


@contextmanager
def closed_centre() -> Iterator[MemoryCentre]:
    """A service with one closed day."""
    centre = MemoryCentre()
    centre.database.tables = closed_tables().copied()
    with centre.open():
        yield centre


@cache
def bundle_of(party: str) -> bytes:
    """The statement file of a party for the closed day."""
    database = MemoryDatabase()
    database.tables = closed_tables()
    with database.transaction() as connection:
        stored = find_statement(connection, f"park-{PERIOD}-{party}-v1")
        assert stored is not None
        return statement_file(connection, stored, Catalogue.shipped())
