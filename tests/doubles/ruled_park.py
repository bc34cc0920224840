"""The closed park served to two people: `lin` writes rules, `wu` releases them; and a form as a browser sends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.caller import Caller
from ingest.closing import Closing
from ingest.intake import IntakeCounters
from ingest.preview_desk import PreviewDesk
from ingest.rulebook.desk import RuleDesk
from ingest.rulebook.parts import Books
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.operators import Post, add_operator
from ingest.store.sites import SiteVersion, require_site
from metering.clock import ManualClock
from metering.identity import SiteId
from tests.doubles.park_books import CENTRE, read_park
from tests.doubles.web import serving

SITE = SiteId("park")
NOW = datetime(2026, 8, 3, 2, tzinfo=UTC)
BY = Caller("admin", "127.0.0.1", "a test")
PEOPLE = {"lin": ("energy-manager",), "wu": ("approver",), "fin": ("finance",), "lea": ("leasing",)}


def person(name: str) -> Caller:
    """Somebody who showed his own token."""
    return Caller(name, "127.0.0.1", "a test", in_person=True)


@dataclass
class RuledPark:
    """The park, its desk of rules, and people with tokens."""

    database: Database
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.catalogue = read_park()[3]
        self.closing = Closing(Settlement(self.database, self.catalogue), CENTRE, bytes(32))
        previews = PreviewDesk(self.database, self.catalogue)
        self.desk = RuleDesk(self.database, self.closing.desk, previews, ManualClock(NOW))
        with self.database.transaction() as connection:
            for name, roles in PEOPLE.items():
                self.tokens[name] = add_operator(connection, name, BY, NOW, post=Post(roles, None))

    @property
    def version(self) -> SiteVersion:
        """What is in force."""
        with self.database.transaction() as connection:
            return require_site(connection, SITE)

    @property
    def books(self) -> Books:
        """What is in force, as documents."""
        return Books(self.version.site.to_document(), self.version.rules)

    def headers(self, name: str) -> dict[str, str]:
        """What a call of somebody carries."""
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    @contextmanager
    def served(self) -> Iterator[httpx.Client]:
        """Serve it; give a client that carries nothing."""
        metrics = Metrics()
        metrics.follow(IntakeCounters())
        parts = WebParts(
            database=self.database,
            closing=self.closing,
            clock=ManualClock(NOW),
            centre_key=CENTRE.public_key,
            admin_token="t0ken",
            checks={},
            metrics=metrics,
        )
        with serving(create_app(parts)) as client:
            yield client


def pool(**changes: Any) -> dict[str, str | list[str]]:
    """The form of a new pool over the guard room, by a formula; None takes a field out."""
    typed: dict[str, Any] = {
        "id": "guard",
        "name_zh": "门卫室",
        "name_en": "Guard room",
        "agreement": "assembly 2026-07",
        "reading": "spreading",
        "grain": "day",
        "formula": "unit_area",
        "spread": "all",
        "path": "guard-room",
        "fallback": "owner",
        "from": "2026-07-01",
        "review_by": "2027-07-01",
    }
    return {name: text for name, text in (typed | changes).items() if text is not None}
