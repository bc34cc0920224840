"""The inbox over real books: each kind appears by its cause, leads to its place, and is gone when that is mended."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from ingest.alert_rules import AlertKind, Cause, Changes, Finding, Scope, Severity
from ingest.caller import SERVICE
from ingest.store.alerts import lock_alerts, store_changes
from ingest.store.operators import Post, add_operator
from tests.doubles.closed_park import BOOKED_AT, PERIOD
from tests.doubles.installer import NOW
from tests.doubles.waiting_park import AN, PARK_ID, Park, park, served

__all__ = ["park"]
EN = {"lang": "en"}


@pytest.fixture
def client(park: Park) -> Iterator[httpx.Client]:
    with served(park) as made:
        yield made


def operator(park: Park, name: str, *roles: str, sites: tuple[str, ...] | None = None) -> dict[str, str]:
    """Headers of an operator with these roles."""
    with park.database.transaction() as connection:
        token = add_operator(connection, name, SERVICE, NOW, post=Post(roles, sites))
    return {"Authorization": f"Bearer {token}"}


def open_alert(park: Park, scope: Scope, subject: str, kind: AlertKind = AlertKind.GATEWAY_SILENT) -> None:
    of_site = {} if scope is Scope.SERVICE else {"site": "park"}
    detail = of_site | {
        "percent": 91,
        "since": NOW.isoformat(),
        "never": False,
        "count": 1,
        "of": 2,
        "epoch": 1,
        "seq": 4,
    }
    finding = Finding(Cause(kind, scope, subject), Severity.CRITICAL, True, detail)
    with park.database.transaction() as connection:
        lock_alerts(connection)
        store_changes(connection, Changes((finding,), (), (), ()), NOW)


def test_a_binding_waits_side_by_side_with_its_plan_until_a_second_person_decides(
    park: Park, client: httpx.Client
) -> None:
    park.install()
    boss = operator(park, "boss", "energy-manager")
    listed = client.get("/inbox", params=EN, headers=boss).text
    assert "Meter bound: " in listed
    path = "/inbox/bindings/gw-a-2-1"
    assert f'href="{path}"' in listed
    page = client.get(path, params=EN, headers=boss).text
    assert "u-a101" in page
    assert "Planned" in page
    refused = client.post(f"{path}/refuse", params=EN, headers=boss, data={"reason": ""})
    assert refused.status_code == 422
    assert "say why binding gw-a-2-1 is refused" in refused.text
    done = client.post(f"{path}/approve", params=EN, headers=boss, data={"reason": "plan and photo agree"})
    assert (done.status_code, done.headers["Location"]) == (303, "/inbox?told=approved")
    assert f'href="{path}"' not in client.get("/inbox", params=EN, headers=boss).text


def test_the_engineer_himself_cannot_decide_and_is_told_so(park: Park, client: httpx.Client) -> None:
    park.install()
    engineer = operator(park, "eng-1", "energy-manager")
    answer = client.post("/inbox/bindings/gw-a-2-1/approve", params=EN, headers=engineer, data={"reason": "mine"})
    assert answer.status_code == 422
    assert "somebody else has to decide" in answer.text
    assert "mine" in answer.text, "what was typed is kept"


def test_a_run_waits_with_what_it_needs(park: Park, client: httpx.Client) -> None:
    stored, _ = park.closing.close(PARK_ID, PERIOD, booked_at=BOOKED_AT, actor="an")
    page = client.get("/inbox", params=EN).text
    assert f"/runs/{stored.head.run}/review" in page
    assert "Computed, waits to be checked." in page
    park.close()
    assert "Approved, waits to be published." in client.get("/inbox", params=EN).text


def test_an_alert_is_acknowledged_by_who_takes_care_of_it(park: Park, client: httpx.Client) -> None:
    open_alert(park, Scope.GATEWAY, "gw-a")
    boss = operator(park, "boss", "energy-manager")
    listed = client.get("/inbox", params=EN | {"kind": "alert"}, headers=boss).text
    path = listed.split('href="/inbox/alerts/')[1].split('"')[0]
    page = client.get(f"/inbox/alerts/{path}", params=EN, headers=boss).text
    assert "Gateway silent" in page
    assert (
        client.post(f"/inbox/alerts/{path}/acknowledge", headers=boss, data={"reason": "on my way"}).status_code == 303
    )
    assert "/inbox/alerts/" not in client.get("/inbox", params=EN, headers=boss).text


def test_everybody_sees_what_his_role_and_his_sites_let_him(park: Park, client: httpx.Client) -> None:
    park.install()
    open_alert(park, Scope.GATEWAY, "gw-a")
    open_alert(park, Scope.SERVICE, "/data", AlertKind.DISK_FULL)
    money = operator(park, "money", "finance")
    elsewhere = operator(park, "away", "energy-manager", sites=("other",))
    here = operator(park, "here", "energy-manager", sites=("park",))
    assert "/inbox/bindings/" not in client.get("/inbox", headers=money).text
    assert client.get("/inbox/bindings/gw-a-2-1", headers=money).status_code == 403
    assert "/inbox/" not in client.get("/inbox.csv", headers=elsewhere).text
    assert client.get("/inbox/bindings/gw-a-2-1", headers=elsewhere).status_code == 404
    mine = client.get("/inbox.csv", params=EN, headers=here).text
    assert "Gateway silent" in mine
    assert "/data" not in mine, "what is of no site is not his"


def test_the_count_in_the_navigation_is_that_of_the_list(park: Park, client: httpx.Client) -> None:
    park.install()
    open_alert(park, Scope.SITE, "park")
    for who in (operator(park, "boss", "energy-manager"), operator(park, "money", "finance")):
        rows = client.get("/inbox.csv", params=EN, headers=who).text.splitlines()[1:]
        page = client.get("/inbox", params=EN, headers=who).text
        assert f"All {len(rows)}" in page or not rows
        assert f'<span class="count">{len(rows)}</span>' in page or not rows


def test_a_reader_gets_no_buttons(park: Park, client: httpx.Client) -> None:
    open_alert(park, Scope.GATEWAY, "gw-a")
    listed = client.get("/inbox", params=EN | {"kind": "alert"}).text
    path = listed.split('href="/inbox/alerts/')[1].split('"')[0]
    assert "<form" not in client.get(f"/inbox/alerts/{path}", params=EN).text.split("<main")[1]


def test_nothing_waiting_says_so(park: Park, client: httpx.Client) -> None:
    run = park.close()
    park.closing.desk.publish(run.head.run, AN)
    assert "Nothing waits" in client.get("/inbox", params=EN).text
