"""A centre with its console over a real database, and people who can sign in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from device_profiles.catalogue import Catalogue
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.caller import Caller
from ingest.closing import Closing
from ingest.console.visit import SESSION, VISIT, form_token
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.operators import Post, add_operator
from ingest.store.sign_ins import set_password
from metering.clock import ManualClock
from tests.doubles.park_books import CENTRE
from tests.doubles.web import serving

NOW = datetime(2026, 8, 1, 1, tzinfo=UTC)
TOKEN = "t0ken"
PASSWORD = "correct horse battery"
LOCAL = Caller("local/root", "centre", "")


@dataclass
class ConsoleCentre:
    """A running centre; `client` keeps cookies as a browser does."""

    database: Database
    clock: ManualClock
    client: httpx.Client

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.client.base_url).rstrip("/")

    def add(self, name: str, *roles: str, sites: tuple[str, ...] | None = None) -> None:
        """Add an operator who has chosen the usual password."""
        now = self.clock.now()
        with self.database.transaction() as connection:
            add_operator(connection, name, LOCAL, now, Post(roles, sites))
            set_password(connection, name, PASSWORD, Caller(name, "127.0.0.1", "", True), now)

    @property
    def session(self) -> str:
        """What the cookie of the session holds; empty without one."""
        return self.client.cookies.get(SESSION) or ""

    def become(self, session: str) -> None:
        """Go on with another session, as another browser has it."""
        self.client.cookies.clear()
        self.client.cookies.set(SESSION, session, domain=self.client.base_url.host, path="/")

    def form_token(self) -> str:
        """What forms of this client carry."""
        secret = self.client.cookies.get(SESSION) or self.client.cookies.get(VISIT, "")
        return form_token(secret) if secret else ""

    def send(self, path: str, **fields: str | list[str]) -> httpx.Response:
        """Send a form as a page of ours does: the token first."""
        return self.client.post(path, data={"form_token": self.form_token(), **fields})

    def sign_in(self, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
        """Sign in as a browser does."""
        self.client.get("/sign-in")
        return self.send("/sign-in", name=name, password=password, **fields)


@contextmanager
def console_centre(database: Database, *, open_reads: bool = False) -> Iterator[ConsoleCentre]:
    """Run a centre."""
    clock, metrics = ManualClock(NOW), Metrics()
    metrics.follow(IntakeCounters())
    parts = WebParts(
        database=database,
        closing=Closing(Settlement(database, Catalogue.shipped()), CENTRE, bytes(32)),
        clock=clock,
        centre_key=CENTRE.public_key,
        admin_token=TOKEN,
        checks={"database": database.answers},
        metrics=metrics,
        open_reads=open_reads,
    )
    with serving(create_app(parts)) as client:
        yield ConsoleCentre(database, clock, client)


def words_of(page: str) -> str:
    """What a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())
