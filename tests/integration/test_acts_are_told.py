"""Acts at the centre's desks are told outside, in the transaction that does them, with ids and nothing more."""

from __future__ import annotations

from typing import Any

import pytest

import ingest.alerts as spine
from ingest.alert_rules import AlertKind, Cause, Changes, Finding, Scope, Severity
from ingest.event_kinds import KINDS, Event, EventKind, Resource
from ingest.store import alerts as alert_store
from ingest.store.alerts import acknowledge, store_changes
from ingest.store.database import Database
from ingest.store.events import NumberedEvent, number_events, read_events
from tests.doubles.installation_centre import SECOND, Centre, park_centre
from tests.doubles.installer import Installer
from tests.doubles.store_harness import NOW
from tests.integration.test_alerts_store import GW, Room
from tests.integration.test_runs_desk import CY, Desk, desk, settled

__all__ = ["desk", "settled"]


def told(database: Database) -> list[NumberedEvent]:
    """All that is told, in order; each as its kind promises."""
    with database.transaction() as connection:
        number_events(connection)
    with database.transaction() as connection:
        found = list(read_events(connection, 0, 1000)[0])
    for one in found:
        Event(one.kind, one.site, one.subject, one.at, one.body)
        assert set(one.body) <= set(KINDS[one.kind].fields)
    return found


def kinds(found: list[NumberedEvent]) -> list[str]:
    return [str(one.kind) for one in found]


def of_runs(found: list[NumberedEvent]) -> list[NumberedEvent]:
    return [one for one in found if KINDS[one.kind].resource is Resource.RUN]


def test_a_run_is_told_step_by_step_and_what_it_takes_the_place_of_too(desk: Desk) -> None:
    first = desk.close()[0].head.run
    desk.publish(first)
    found = of_runs(told(desk.database))
    assert kinds(found) == ["run.computed", "run.checked", "run.approved", "run.published"]
    assert found[-1].subject == f"run/{first}"
    assert found[-1].at == CY.acted_at
    period = "2026-07-01--2026-07-01"
    assert found[-1].body == {"run": first, "site": "park", "period": period, "step": 4}


def test_a_correction_is_told_with_how_many_lines_it_has(desk: Desk, tmp_path: Any) -> None:
    first = desk.close()[0].head.run
    desk.publish(first)
    desk.release(desk.folder(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"'))
    second = desk.close()[0].head.run
    before = len(told(desk.database))
    desk.publish(second)
    found = of_runs(told(desk.database)[before:])
    assert sorted(kinds(found)) == [
        *("correction.published", "run.approved", "run.checked", "run.published", "run.superseded"),
    ]
    correction = next(one for one in found if one.kind is EventKind.CORRECTION_PUBLISHED)
    assert (correction.body["run"], correction.body["corrects"]) == (second, first)
    assert correction.body["lines"] > 0


def test_a_draft_is_told_to_nobody(desk: Desk) -> None:
    desk.close(draft=True)
    assert told(desk.database) == []


def test_an_alert_is_told_when_it_opens_and_when_it_closes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spine, "missing_steps", lambda *_: ())
    monkeypatch.setattr(alert_store, "waits_since", lambda *_: None)
    monkeypatch.setattr(alert_store, "backed_up", lambda *_: (None, None))
    room = Room(database)
    room.enrol(GW)
    room.intake.take(GW.chain(1))
    room.later(46).look()
    room.look()
    (opened,) = told(database)
    assert (opened.kind, opened.site, opened.subject) == (EventKind.ALERT_OPENED, "park", "alert/1")
    assert opened.body == {
        "alert": 1,
        "kind": "gateway-silent",
        "scope": "gateway",
        "of": "gw-a",
        "severity": str(room.all()[0].severity),
    }
    room.intake.take(GW.chain(2)[1:])
    room.look()
    room.later(11).look()
    assert kinds(told(database)) == ["alert.opened", "alert.closed"]


def test_an_alert_that_a_person_closes_is_told_once(database: Database) -> None:
    cause = Cause(AlertKind.EQUIVOCATION, Scope.GATEWAY, "gw-a")
    clone = Finding(cause, Severity.CRITICAL, True, {"count": 1})
    with database.transaction() as connection:
        store_changes(connection, Changes((clone,), (), (), ()), NOW)
        acknowledge(connection, 1, by="bo", note="seen", now=NOW)
        acknowledge(connection, 1, by="bo", note="seen", now=NOW)
    (one,) = told(database)
    assert (one.kind, one.subject, one.body["kind"]) == ("alert.closed", "alert/1", "equivocation")


@pytest.mark.parametrize(("decision", "kind"), [("approve", "binding.approved"), ("refuse", "binding.refused")])
def test_a_decision_about_a_binding_is_told(database: Database, decision: str, kind: str) -> None:
    centre: Centre = park_centre(database)
    installer, order = Installer(), centre.order()
    installer.bind("m-u-a101")
    centre.present(installer, order)
    binding = centre.desk.bindings(site=None, state=None)[0][0].act.binding
    getattr(centre.desk, decision)(binding, "seen on the photo", SECOND)
    (one,) = told(database)
    assert (one.kind, one.site, one.subject) == (kind, "park", f"binding/{binding}")
    assert one.body == {"binding": binding, "gateway": "gw-a", "node": "u-a101", "meter": "m-u-a101"}
