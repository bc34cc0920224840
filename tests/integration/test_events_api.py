"""Events and endpoints over HTTP, through the real door: who may ask, what he is told, and how errors mend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.event_kinds import KINDS, Event, EventKind
from ingest.store.clients import add_client, make_key, remove_client
from ingest.store.database import Database
from ingest.store.events import tell_all
from ingest.store.operators import Post, add_operator
from ingest.store.webhooks import Wants, change_endpoint
from metering.identity import SiteId
from tests.doubles.hooked import Post as DeliveryPost
from tests.doubles.hooked import receiving
from tests.doubles.installing import ADMIN, InstallingCentre
from tests.doubles.revoked_session import BY

AT = datetime(2026, 8, 1, 9, tzinfo=UTC)
EVENTS, ENDPOINTS = "/v1/events", "/v1/webhook-endpoints"
HOOK = {"url": "https://billing.example/hook"}


@pytest.fixture
def centre(database: Database) -> Iterator[InstallingCentre]:
    with InstallingCentre(database).open() as opened:
        yield opened


def someone(centre: InstallingCentre, name: str, *roles: str, sites: tuple[str, ...] | None = None) -> dict[str, str]:
    """Headers of an operator with these roles."""
    with centre.database.transaction() as connection:
        return {"Authorization": f"Bearer {add_operator(connection, name, BY, AT, Post(roles, sites))}"}


def happen(centre: InstallingCentre) -> None:
    """A run is published at each of two sites, an alert opens at one and one at the centre."""
    run, alert = "ab" * 32, {"kind": "disk-full", "scope": "service", "of": "x", "severity": "warning"}
    with centre.database.transaction() as connection:
        tell_all(
            connection,
            [
                *(
                    Event(
                        EventKind.RUN_PUBLISHED,
                        SiteId(site),
                        f"run/{run}",
                        AT,
                        {"run": run, "site": site, "period": "2026-07", "step": 4},
                    )
                    for site in ("park", "campus")
                ),
                Event(EventKind.ALERT_OPENED, SiteId("park"), "alert/1", AT, {"alert": 1, **alert}),
                Event(EventKind.ALERT_OPENED, None, "alert/2", AT, {"alert": 2, **alert}),
            ],
        )


def pulled(centre: InstallingCentre, headers: dict[str, str], **wanted: Any) -> list[tuple[str, str | None]]:
    """Kind and site of each event that somebody pulls."""
    answer = centre.client.get(EVENTS, params=wanted, headers=headers)
    assert answer.status_code == 200, answer.text
    return [(one["type"], one.get("site")) for one in answer.json()["events"]]


def test_a_program_pulls_page_by_page_and_goes_on_where_it_was(centre: InstallingCentre) -> None:
    happen(centre)
    got: list[int] = []
    cursor, more = 0, True
    while more:
        answer = centre.client.get(EVENTS, params={"after": cursor, "limit": 3}, headers=ADMIN).json()
        got += [one["number"] for one in answer["events"]]
        cursor, more = answer["cursor"], answer["more"]
    assert got == [1, 2, 3, 4]
    assert centre.client.get(EVENTS, params={"after": cursor}, headers=ADMIN).json() == {
        "events": [],
        "cursor": 4,
        "more": False,
    }
    happen(centre)
    assert len(pulled(centre, ADMIN, after=cursor)) == 4


def test_an_event_is_told_in_one_form_that_its_schema_describes(centre: InstallingCentre) -> None:
    happen(centre)
    one = centre.client.get(EVENTS, params={"limit": 1}, headers=ADMIN).json()["events"][0]
    assert set(one) == {"id", "type", "timestamp", "number", "site", "subject", "data"}
    kinds = {kind["kind"]: kind for kind in centre.client.get("/v1/event-kinds").json()["kinds"]}
    assert set(kinds) == set(KINDS)
    schema = kinds[one["type"]]["schema"]
    assert set(schema["required"]) <= set(one["data"]) <= set(schema["properties"])


def test_each_pulls_what_he_may_read_at_his_sites_and_nothing_else(centre: InstallingCentre) -> None:
    happen(centre)
    assert len(pulled(centre, ADMIN)) == 4
    manager = someone(centre, "mia", "energy-manager", sites=("park",))
    assert pulled(centre, manager) == [("run.published", "park"), ("alert.opened", "park")]
    finance = someone(centre, "fin", "finance")
    assert pulled(centre, finance) == [("run.published", "park"), ("run.published", "campus")]
    assert pulled(centre, finance, kind="alert.opened") == []
    assert pulled(centre, manager, site="campus") == []
    assert pulled(centre, manager, site="park", kind="run.published") == [("run.published", "park")]
    leasing = someone(centre, "lea", "leasing")
    assert centre.client.get(EVENTS, headers=leasing).status_code == 403


def test_a_cursor_that_is_ahead_or_no_number_is_refused_with_its_mend(centre: InstallingCentre) -> None:
    answer = centre.client.get(EVENTS, params={"after": 9}, headers=ADMIN)
    assert (answer.status_code, answer.json()["reason"]) == (409, "cursor-ahead")
    assert centre.client.get(EVENTS, params={"after": -1}, headers=ADMIN).status_code == 422
    assert centre.client.get(EVENTS, params={"kind": "run.vanished"}, headers=ADMIN).status_code == 422
    assert centre.client.get(EVENTS, params={"after": 2**63}, headers=ADMIN).status_code == 422


def test_an_endpoint_is_added_read_changed_turned_rotated_tested_and_removed(centre: InstallingCentre) -> None:
    added = centre.client.post(ENDPOINTS, json={**HOOK, "signing": "hmac-sha256"}, headers=ADMIN)
    assert added.status_code == 201, added.text
    assert added.headers["cache-control"] == "no-store"
    told = added.json()
    assert told["secret"].startswith("whsec_")
    path = added.headers["location"]
    assert path == f"{ENDPOINTS}/{told['id']}"
    read = centre.client.get(path, headers=ADMIN).json()
    assert "secret" not in read
    assert (read["state"], read["waiting"], read["secrets"][0]["signing"]) == ("on", 0, "hmac-sha256")
    changed = centre.client.put(path, json={**HOOK, "kinds": ["run.published"], "sites": ["park"]}, headers=ADMIN)
    assert (changed.json()["kinds"], changed.json()["sites"]) == (["run.published"], ["park"])
    assert centre.client.post(f"{path}/turn", json={"on": False}, headers=ADMIN).json()["state"] == "off"
    assert centre.client.post(f"{path}/turn", json={"on": True}, headers=ADMIN).json()["state"] == "on"
    rotated = centre.client.post(f"{path}/rotate", json={"signing": "ed25519"}, headers=ADMIN).json()
    assert rotated["secret"] == rotated["secrets"][0]["public_key"]
    assert rotated["secrets"][1]["ends_at"] is not None
    tested = centre.client.post(f"{path}/test", headers=ADMIN)
    assert tested.status_code == 202
    (delivery,) = centre.client.get(f"{path}/deliveries", headers=ADMIN).json()["deliveries"]
    assert (delivery["event"], delivery["type"], delivery["state"]) == (
        *(tested.json()["event"], "webhook.test", "waiting"),
    )
    assert centre.client.delete(path, headers=ADMIN).status_code == 204
    for method, rest in (("GET", ""), ("POST", "/test"), ("DELETE", ""), ("GET", "/deliveries")):
        assert centre.client.request(method, path + rest, headers=ADMIN).status_code == 404


def test_an_address_that_must_not_be_reached_is_refused_when_it_is_written_down(centre: InstallingCentre) -> None:
    for url in (
        "http://billing.example/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://user@billing.example/",
        "https://localhost/",
        "javascript:alert(1)",
        "",
    ):
        answer = centre.client.post(ENDPOINTS, json={"url": url}, headers=ADMIN)
        assert (answer.status_code, answer.json().get("reason")) == (422, "url-refused"), url
    assert centre.client.get(ENDPOINTS, headers=ADMIN).json()["endpoints"] == []


def test_a_replay_says_how_many_and_a_wrong_one_says_what_is_wrong(centre: InstallingCentre) -> None:
    path = centre.client.post(ENDPOINTS, json=HOOK, headers=ADMIN).headers["location"]
    happen(centre)
    events = centre.client.get(EVENTS, headers=ADMIN).json()["events"]
    replay = f"{path}/replay"
    one = centre.client.post(replay, json={"event": events[0]["id"]}, headers=ADMIN)
    assert (one.status_code, one.json()) == (202, {"deliveries": 1})
    assert centre.client.post(replay, json={"event": "evt_" + "0" * 32}, headers=ADMIN).status_code == 422
    assert centre.client.post(replay, json={}, headers=ADMIN).status_code == 422
    deliveries = centre.client.get(f"{path}/deliveries", params={"limit": 3}, headers=ADMIN).json()
    assert [one["number"] for one in deliveries["deliveries"]] == [4, 3, 2]
    rest = centre.client.get(f"{path}/deliveries", params={"before": deliveries["next"]}, headers=ADMIN).json()
    assert ([one["number"] for one in rest["deliveries"]], rest["next"]) == ([1], None)


def test_a_secret_that_was_shown_is_not_shown_again_by_an_idempotency_key(centre: InstallingCentre) -> None:
    headers = {**ADMIN, "Idempotency-Key": "once"}
    first = centre.client.post(ENDPOINTS, json={**HOOK, "signing": "hmac-sha256"}, headers=headers)
    again = centre.client.post(ENDPOINTS, json={**HOOK, "signing": "hmac-sha256"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 409)
    secret = first.json()["secret"].removeprefix("whsec_")
    with centre.database.transaction() as connection:
        tables = connection.execute(
            b"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations'"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT * FROM {table}".encode()).fetchall()
            assert secret not in repr(rows), table
            assert secret not in json.dumps([[str(cell) for cell in row] for row in rows]), table


def test_a_billing_program_adds_its_endpoint_with_its_key_and_is_delivered_to_until_it_is_removed(
    centre: InstallingCentre,
) -> None:
    """The whole way: key, endpoint, act, delivery; its name in the books is the one deliveries are looked up by."""
    with centre.database.transaction() as connection:
        add_client(connection, "billing", ["billing"], ["park"], BY, centre.clock.now())
        key = {"Authorization": f"Bearer {make_key(connection, 'billing', BY, centre.clock.now())}"}
    told = centre.client.post(ENDPOINTS, json=HOOK, headers=key).json()
    assert (told["owner"], told["sites"]) == ("client/billing", ["park"])
    assert centre.client.get(f"{ENDPOINTS}/{told['id']}", headers=key).status_code == 200
    wants = Wants(sites=(SiteId("park"),))
    with receiving() as receiver:
        with centre.database.transaction() as connection:
            change_endpoint(connection, told["id"], url=receiver.url, wants=wants, description="")
        post = DeliveryPost(centre.database)
        happen(centre)
        post.run()
        assert [one.document["type"] for one in receiver.came] == ["run.published"]
        with centre.database.transaction() as connection:
            remove_client(connection, "billing", BY, centre.clock.now())
        happen(centre)
        post.later(minutes=1).run()
        assert len(receiver.came) == 1


def test_who_may_not_change_endpoints_is_refused(centre: InstallingCentre) -> None:
    assert centre.client.post(ENDPOINTS, json=HOOK).status_code == 401
    auditor = someone(centre, "aud", "auditor")
    assert centre.client.post(ENDPOINTS, json=HOOK, headers=auditor).status_code == 403
    assert centre.client.get(ENDPOINTS, headers=auditor).status_code == 200
    finance = someone(centre, "fin", "finance")
    assert centre.client.get(ENDPOINTS, headers=finance).status_code == 403
    assert centre.client.get(ENDPOINTS).status_code in (401, 403)
