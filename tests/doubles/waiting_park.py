"""The closed park with a gateway that is being installed anew: bindings that wait, runs that rest on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest

from allocation_engine.run_state import RunState
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.installation_desk import InstallationDesk, Terms
from ingest.intake import IntakeCounters
from ingest.runs_desk import Act
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.runs import StoredRun, find_run
from ingest.store.sites import import_site, require_site
from metering.clock import ManualClock
from metering.identity import GatewayId, MeterId, SiteId
from provisioning.installation import Bind
from provisioning.site import Site
from tests.doubles.closed_park import BOOKED_AT, PERIOD, closed_park, copy_of
from tests.doubles.installation_centre import ADMIN, phone
from tests.doubles.installer import NOW, Installer, binding
from tests.doubles.park_books import CENTRE, read_park
from tests.doubles.web import serving

__all__ = ["closed_park", "park"]
PARK_ID = SiteId("park")
AN, BO, CY = (Act(name, BOOKED_AT + timedelta(hours=hours)) for name, hours in (("an", 1), ("bo", 2), ("cy", 3)))
A101 = MeterId("m-u-a101")


class Park:
    """The closed park, with a gateway that is being installed anew."""

    def __init__(self, database: Database) -> None:
        self.catalogue = read_park()[3]
        self.database = database
        self.clock = ManualClock(NOW)
        self.closing = Closing(Settlement(database, self.catalogue), CENTRE, bytes(32))
        self.desk = InstallationDesk(database, self.clock, CENTRE, CENTRE.public_key, self.catalogue, Terms("http://c"))
        self.installer = Installer(epoch=2, site=self.site)

    @property
    def site(self) -> Site:
        """The site as it stands."""
        with self.database.transaction() as connection:
            return require_site(connection, PARK_ID).site

    def install(self, at: datetime = NOW) -> None:
        """Bind u-a101's meter by an order of its own; nobody has approved it."""
        self.installer.act(Bind(binding=binding(self.site.meter(A101), at, unit="a101")), at)
        order = self.desk.order(
            ADMIN, site=PARK_ID, gateway=GatewayId("gw-a"), engineer="eng-1", expires_at=NOW + timedelta(days=1),
            expected=(), terms=Terms(),
        )  # fmt: skip
        taken = self.desk.enrol(self.installer.bundle(order.claim), phone).events
        assert [one.reason for one in taken] == [""]

    def close(self) -> StoredRun:
        """Close the day, and let it be checked and approved."""
        stored, _ = self.closing.close(PARK_ID, PERIOD, booked_at=BOOKED_AT, actor="an")
        run = stored.head.run
        if stored.head.state is RunState.COMPUTED:
            reasons = dict.fromkeys(self.closing.desk.story(run).unexplained, "looked at")
            self.closing.desk.check(run, BO, reasons)
            self.closing.desk.approve(run, CY, {})
        with self.database.transaction() as connection:
            found = find_run(connection, run)
        assert found is not None
        return found

    def require_bindings(self) -> None:
        """Let the site require an approved binding of every meter."""
        with self.database.transaction() as connection:
            version = require_site(connection, PARK_ID)
            import_site(connection, replace(version.site, bindings="required"), version.rules, imported_at=NOW)


@pytest.fixture
def park(postgres_dsn: str, closed_park: str) -> Iterator[Park]:
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=6) as database:
            yield Park(database)


def served(park: Park) -> AbstractContextManager[httpx.Client]:
    """Serve it; give a client."""
    metrics = Metrics()
    metrics.follow(IntakeCounters())
    parts = WebParts(
        database=park.database,
        closing=park.closing,
        clock=park.clock,
        centre_key=CENTRE.public_key,
        admin_token="t0ken",
        checks={},
        metrics=metrics,
    )
    return serving(create_app(parts))
