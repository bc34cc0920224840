"""The park with one settled day and a computed run, on a real database that tests of backup and erasure copy from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from ingest.closing import Closing
from ingest.settlement import Settlement
from ingest.store.database import Database
from metering.identity import SiteId
from metering.interval import SLOT
from tests.doubles.park_books import CENTRE, ParkBooks, read_park
from tests.doubles.servers import _database

PARK_ID = SiteId("park")
PERIOD = "2026-07-01--2026-07-01"
BOOKED_AT = datetime(2026, 8, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def closed_park(postgres_dsn: str, migrated_template: str | None) -> Iterator[str]:
    """Connection string to it; nobody may write there."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=2) as database:
            site, rules, play, catalogue = read_park()
            books = ParkBooks(database, site, rules, play, catalogue)
            books.enrol_all()
            start = site.calendar.period(PERIOD).start
            books.write(start + index * SLOT for index in range(97))
            settlement = Settlement(database, catalogue)
            settlement.settle_site(PARK_ID)
            Closing(settlement, CENTRE, bytes(32)).close(PARK_ID, PERIOD, booked_at=BOOKED_AT, actor="an")
        yield dsn


def copy_of(postgres_dsn: str, dsn: str) -> Iterator[str]:
    """Give a copy of a database that nobody is connected to."""
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    assert isinstance(name, str)
    yield from _database(postgres_dsn, name)
