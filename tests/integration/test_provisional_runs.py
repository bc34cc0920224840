"""A run that rests on a binding nobody has approved says so on its lines, and is not published until somebody has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from allocation_engine.run_state import RunState
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.installation_desk import InstallationDesk, Terms
from ingest.intake import IntakeCounters
from ingest.provisional import RunProvisional, provisional_of
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
from tests.doubles.installation_centre import ADMIN, SECOND, phone
from tests.doubles.installer import NOW, Installer, binding
from tests.doubles.park_books import CENTRE, read_park
from tests.doubles.web import serving

__all__ = ["closed_park"]
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


def test_a_run_without_installations_is_published_as_ever(park: Park) -> None:
    run = park.close()
    assert park.closing.desk.publish(run.head.run, AN).head.state is RunState.PUBLISHED


def test_a_run_on_a_binding_that_waits_is_not_published_until_it_is_approved(park: Park) -> None:
    before = park.close()
    park.install()
    run = park.close()
    assert [line["amount_minor"] for line in run.document["lines"]] == [
        line["amount_minor"] for line in before.document["lines"]
    ]
    with pytest.raises(RunProvisional, match="m-u-a101 \\(pending\\)"):
        park.closing.desk.publish(run.head.run, AN)
    park.desk.approve("gw-a-2-1", "plan and photo agree", SECOND)
    assert park.closing.desk.publish(run.head.run, AN).head.state is RunState.PUBLISHED


def test_a_refused_binding_keeps_the_run_provisional(park: Park) -> None:
    park.install()
    park.desk.refuse("gw-a-2-1", "wrong flat", SECOND)
    run = park.close()
    with pytest.raises(RunProvisional, match="refused"):
        park.closing.desk.publish(run.head.run, AN)


def test_a_binding_after_the_period_touches_nothing_of_it(park: Park) -> None:
    park.install(datetime(2026, 7, 1, 16, tzinfo=UTC))
    run = park.close()
    assert park.closing.desk.publish(run.head.run, AN).head.state is RunState.PUBLISHED


def test_an_event_that_is_held_keeps_its_periods_provisional(park: Park) -> None:
    taken = replace(park.site.meter(MeterId("m-lift")), id=MeterId("m-x"), serial="8", address="99")
    park.install()
    park.desk.approve("gw-a-2-1", "fine", SECOND)
    park.installer.act(Bind(binding=binding(taken, NOW)))
    (held,) = park.desk.take_events(park.installer.sealed[-1:], phone)
    assert held.state == "held"
    run = park.close()
    with pytest.raises(RunProvisional, match="held"):
        park.closing.desk.publish(run.head.run, AN)
    park.desk.refuse("gw-a-2-2", "entered by mistake", SECOND)
    assert park.closing.desk.publish(run.head.run, AN).head.state is RunState.PUBLISHED


def test_a_site_that_requires_bindings_counts_no_meter_without(park: Park) -> None:
    park.require_bindings()
    run = park.close()
    with park.database.transaction() as connection:
        found = provisional_of(connection, run.head)
    assert {one.meter for one in found} == {meter.id for meter in park.site.meters if meter.id != "m-u-a102-2"}
    assert {one.state for one in found} == {"unbound"}
    with pytest.raises(RunProvisional, match="and 14 more"):
        park.closing.desk.publish(run.head.run, AN)
    park.install()
    park.desk.approve("gw-a-2-1", "fine", SECOND)
    with park.database.transaction() as connection:
        assert A101 not in {one.meter for one in provisional_of(connection, run.head)}


def served(park: Park) -> Any:
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


def test_lines_that_rest_on_it_say_so_over_http_and_on_the_page(park: Park) -> None:
    plain = park.close()
    park.install()
    with served(park) as client:
        told = client.get(f"/v1/allocation-runs/{plain.head.run}").json()
        (waiting,) = told["provisional"]["bindings"]
        assert (waiting["meter"], waiting["unit"], waiting["state"]) == ("m-u-a101", "a101", "pending")
        touched = {one["id"] for one in told["provisional"]["lines"]}
        own = {line["id"] for line in plain.document["lines"] if line["unit"] == "a101" and line["kind"] == "metered"}
        assert own
        assert own <= touched
        other = {line["id"] for line in plain.document["lines"] if line["unit"] == "b102" and line["kind"] == "metered"}
        assert not other & touched
        lines = client.get(f"/v1/allocation-runs/{plain.head.run}/lines").json()["lines"]
        assert {one["unit"] for one in lines if "provisional" in one} >= {"a101"}
        page = client.get(f"/runs/{plain.head.run}?lang=zh").text
        assert "待批准的安装（暂定）" in page
        assert '<span class="badge warn">安装待批</span>' in page
        assert "waits for approval" in client.get(f"/runs/{plain.head.run}?lang=en").text
        csv = client.get(f"/runs/{plain.head.run}/tables/provisional.csv?lang=en").text
        assert "m-u-a101" in csv
        park.desk.approve("gw-a-2-1", "fine", SECOND)
        assert "provisional" not in client.get(f"/v1/allocation-runs/{plain.head.run}").json()
        assert "安装待批" not in client.get(f"/runs/{plain.head.run}?lang=zh").text
