"""A run that rests on a binding nobody has approved says so on its lines, and is not published until somebody has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from allocation_engine.run_state import RunState
from ingest.provisional import RunProvisional, provisional_of
from metering.identity import MeterId
from provisioning.installation import Bind
from tests.doubles.installation_centre import SECOND, phone
from tests.doubles.installer import NOW, binding
from tests.doubles.waiting_park import A101, AN, Park, park, served

__all__ = ["park"]


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
