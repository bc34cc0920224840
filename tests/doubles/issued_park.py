"""The park with one settled day and a published run, and the desk at which its tenants meet their statements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pytest
from fastapi import FastAPI

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.caller import Caller
from ingest.closing import Closing
from ingest.runs_desk import Act
from ingest.settlement import Settlement
from ingest.site_folder import read_site_folder
from ingest.statement_desk import StatementDesk, StatementView
from ingest.store.database import Database
from ingest.store.events import NumberedEvent, number_events, read_events
from ingest.store.runs import list_runs
from ingest.store.sites import import_site
from metering.clock import ManualClock
from tests.doubles.closed_park import BOOKED_AT, PARK_ID, PERIOD, closed_park, copy_of
from tests.doubles.park_books import CENTRE, ORDERED_AT, PARK, read_park

__all__ = ["BY", "NOW", "PHONE", "TENANT", "IssuedPark", "closed_park", "issued_park", "published_park"]

NOW = datetime(2026, 8, 3, 9, tzinfo=UTC)
BY = Caller("fay", "127.0.0.1", "a test", in_person=True)
PHONE = Caller("tenant/park/t-01", "203.0.113.9", "a telephone")
TENANT = "park-2026-07-01--2026-07-01-t-01-v1"
SALT_KEY = bytes(32)
ADMIN_TOKEN = "the-admin-token"
BO, CY = (Act(name, BOOKED_AT + timedelta(hours=hours)) for name, hours in (("bo", 2), ("cy", 3)))


class IssuedPark:
    """The park on a database of its own; its day is closed, and published unless told otherwise."""

    def __init__(self, dsn: str, database: Database) -> None:
        self.dsn = dsn
        self.database = database
        self.clock = ManualClock(NOW)
        catalogue = read_park()[3]
        self.catalogue = catalogue
        self.closing = Closing(Settlement(database, catalogue), CENTRE, SALT_KEY)
        self.desk = StatementDesk(database, self.clock, SALT_KEY)

    @property
    def run(self) -> str:
        """The newest run."""
        with self.database.transaction() as connection:
            return list_runs(connection, site=PARK_ID, period=PERIOD, most=1)[0].run

    def publish(self, run: str | None = None) -> str:
        """Take the newest run through people's hands and give its id."""
        run, desk = run or self.run, self.closing.desk
        desk.check(run, BO, dict.fromkeys(desk.story(run).unexplained, "as played"))
        desk.approve(run, CY, {})
        desk.publish(run, CY)
        return run

    def correct(self, tmp_path: Path, file: str = "tariff.toml", old: str = "", new: str = "") -> str:
        """Import the park with one text of one file replaced, close the day again, publish it, give the run."""
        folder = tmp_path / "corrected"
        folder.mkdir()
        for path in PARK.iterdir():
            if path.is_file():
                text = path.read_text(encoding="utf-8")
                if path.name == file:
                    assert old in text
                    text = text.replace(old, new)
                (folder / path.name).write_text(text, encoding="utf-8")
        site, rules = read_site_folder(folder, self.catalogue)
        with self.database.transaction() as connection:
            import_site(connection, site, rules.document, imported_at=ORDERED_AT)
        stored, _ = self.closing.close(PARK_ID, PERIOD, booked_at=BOOKED_AT + timedelta(hours=5), actor="an")
        return self.publish(stored.head.run)

    @cached_property
    def token(self) -> str:
        """The token of the first tenant's statement."""
        return self.desk.link(TENANT, BY).token

    @property
    def app(self) -> FastAPI:
        """The whole web application over it."""
        parts = WebParts(
            database=self.database,
            closing=self.closing,
            clock=self.clock,
            centre_key=CENTRE.public_key,
            admin_token=ADMIN_TOKEN,
            checks={},
            metrics=Metrics(),
        )
        return create_app(parts)

    def view(self) -> StatementView:
        """The first tenant's statement as it stands."""
        return self.desk.open_token(self.token)

    def events(self) -> tuple[NumberedEvent, ...]:
        """Everything that was told."""
        with self.database.transaction() as connection:
            while number_events(connection):
                pass
            return read_events(connection, 0, 1000)[0]

    def kinds(self) -> list[str]:
        """What was told of statements and charges, in order, but for issuing."""
        found = [str(one.kind) for one in self.events()]
        return [one for one in found if one.split(".")[0] in ("statement", "dispute", "charge") and "issued" not in one]


@pytest.fixture(scope="session")
def published_park(postgres_dsn: str, closed_park: str) -> Iterator[str]:
    """Connection string to the published park; nobody may write there."""
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=2) as database:
            IssuedPark(dsn, database).publish()
        yield dsn


@pytest.fixture
def issued_park(postgres_dsn: str, published_park: str) -> Iterator[IssuedPark]:
    """The published park, on a database of its own."""
    for dsn in copy_of(postgres_dsn, published_park):
        with Database(dsn, connections=8) as database:
            yield IssuedPark(dsn, database)
