"""The park with two closed days and people of every role, behind the real service: for tests of pages about runs.

On the second day something between the main meter and the branches takes energy that nobody meters: a case that needs
a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx import Client

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.caller import Caller
from ingest.closing import Closing
from ingest.runs_desk import Act
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.operators import Post, add_operator
from metering.clock import ManualClock
from metering.identity import MeterId, SiteId
from metering.interval import SLOT
from metering.reading import MeterReading
from provisioning.site import Meter
from tests.doubles.park_books import CENTRE, ParkBooks, Skip, read_park
from tests.doubles.web import serving

PARK_ID = SiteId("park")
FIRST, SECOND = "2026-07-01--2026-07-01", "2026-07-02--2026-07-02"
BOOKED_AT = datetime(2026, 8, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 8, 1, 2, tzinfo=UTC)
TOKEN = "t0ken"
MAIN = MeterId("m-main")
TAKEN_WH = 9_000
"""What is taken unmetered, a quarter hour, of the second day on [Wh]."""
PEOPLE = {
    "an": ("energy-manager",),
    "bo": ("energy-manager",),
    "cy": ("approver",),
    "di": ("finance",),
    "ed": ("field-engineer",),
}


@dataclass
class TappedBooks(ParkBooks):
    """Books of a park in which somebody taps the supply from an instant on."""

    tapped_from: datetime | None = None

    def _reading(self, meter: Meter, played: Any, mark: datetime, skip: Skip) -> MeterReading:
        if meter.id != MAIN or self.tapped_from is None or mark <= self.tapped_from:
            return super()._reading(meter, played, mark, skip)
        taken = TAKEN_WH * ((mark - self.tapped_from) // SLOT)
        return super()._reading(meter, _Tapped(played, taken), mark, skip)


@dataclass
class _Tapped:
    played: Any
    taken_wh: int

    def register(self, obis: Any, mark: datetime) -> int | None:
        """Give what the meter shows with what was taken."""
        shown: int | None = self.played.register(obis, mark)
        return None if shown is None else shown + (self.taken_wh if str(obis).startswith("1-0:1.8") else 0)


@dataclass
class ReviewCentre:
    """The service with its books; `tokens` of people by name."""

    database: Database
    runs: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        site, rules, play, catalogue = read_park()
        self.books = TappedBooks(self.database, site, rules, play, catalogue)
        self.closing = Closing(Settlement(self.database, catalogue), CENTRE, bytes(32))
        self.clock = ManualClock(NOW)
        parts = WebParts(
            database=self.database,
            closing=self.closing,
            clock=self.clock,
            centre_key=CENTRE.public_key,
            admin_token=TOKEN,
            checks={"database": self.database.answers},
            metrics=Metrics(),
        )
        self.app = create_app(parts)

    def fill(self) -> None:
        """Write both days, let people in, close the first day and publish it."""
        self.books.enrol_all()
        start = self.books.site.calendar.period(FIRST).start
        self.books.tapped_from = start + timedelta(days=1)
        self.books.write(start + index * SLOT for index in range(193))
        with self.database.transaction() as connection:
            for name, roles in PEOPLE.items():
                self.tokens[name] = add_operator(connection, name, Caller("admin", "", ""), NOW, Post(roles))
        run = self.close(FIRST)
        at = [Act(name, BOOKED_AT + timedelta(hours=hour)) for hour, name in enumerate(("bo", "cy"), 1)]
        self.closing.desk.check(run, at[0], {})
        self.closing.desk.approve(run, at[1], {})
        self.closing.desk.publish(run, at[1])

    def close(self, period: str, actor: str = "an") -> str:
        """Close a day; give its run."""
        run = self.closing.close(PARK_ID, period, booked_at=BOOKED_AT, actor=actor)[0].head.run
        self.runs[period] = run
        return run

    def headers(self, name: str) -> dict[str, str]:
        """Give what a call of somebody carries."""
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    @contextmanager
    def open(self) -> Iterator[ReviewCentre]:
        """Serve while inside."""
        with serving(self.app) as self.client:
            yield self
