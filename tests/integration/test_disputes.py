"""Disputes over HTTP: who may read and answer them, what an answer does, and the pages where people answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from ingest.statement_desk import Complaint
from ingest.statement_states import WHOLE, DisputeState
from ingest.store.erasure import erase, plan_party
from ingest.store.operators import Post, add_operator
from metering.identity import PartyId, SiteId
from tests.doubles.issued_park import (
    ADMIN_TOKEN,
    BY,
    NOW,
    PHONE,
    TENANT,
    IssuedPark,
)
from tests.doubles.web import serving

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
HTML = {"Accept": "text/html", "Accept-Language": "en"}


@pytest.fixture
def client(issued_park: IssuedPark) -> Iterator[httpx.Client]:
    """A caller of the park's service."""
    with serving(issued_park.app) as client:
        yield client


def bearer(park: IssuedPark, name: str, role: str, sites: tuple[str, ...] | None = None) -> dict[str, str]:
    """The header of a new operator."""
    scope = None if sites is None else tuple(map(SiteId, sites))
    with park.database.transaction() as connection:
        token = add_operator(connection, name, BY, NOW, post=Post((role,), scope))
    return {"Authorization": f"Bearer {token}"}


def disputed(park: IssuedPark, line: str | None = None) -> int:
    """A dispute of the tenant."""
    about = park.view().content.lines[0].id if line is None else line
    return park.desk.dispute(park.token, Complaint(about, "my meter <stood> still"), PHONE).dispute


def test_disputes_are_listed_filtered_and_read(client: httpx.Client, issued_park: IssuedPark) -> None:
    number = disputed(issued_park)
    listed = client.get("/v1/disputes", headers=ADMIN).json()
    (one,) = listed["disputes"]
    assert (one["dispute"], one["statement"], one["party"], one["state"]) == (number, TENANT, "t-01", "open")
    assert listed["next"] is None
    assert client.get(f"/v1/disputes/{number}", headers=ADMIN).json() == one
    assert client.get("/v1/disputes?state=upheld", headers=ADMIN).json()["disputes"] == []
    assert client.get("/v1/disputes?site=elsewhere", headers=ADMIN).json()["disputes"] == []
    assert client.get("/v1/disputes/999", headers=ADMIN).status_code == 404


def test_an_answer_is_given_once_and_charges_what_it_upholds(client: httpx.Client, issued_park: IssuedPark) -> None:
    number = disputed(issued_park)
    issued_park.desk.confirm(issued_park.token, PHONE)
    path, told = f"/v1/disputes/{number}/answer", {"state": "upheld", "answer": "read twice, it stands"}
    headers = bearer(issued_park, "finn", "finance")
    first = client.post(path, json=told, headers=headers)
    assert first.status_code == 200, first.text
    assert first.json()["state"] == "upheld"
    assert client.post(path, json=told, headers=headers).status_code == 200
    assert client.post(path, json={**told, "state": "recomputed"}, headers=headers).status_code == 409
    assert client.post(path, json={"state": "open", "answer": "x"}, headers=headers).status_code == 422
    assert [one.charge for one in issued_park.view().charges] == [f"{TENANT}-c1", f"{TENANT}-c2"]


@pytest.mark.parametrize("role", ["auditor", "leasing", "field-engineer"])
def test_only_those_who_may_answer_do(client: httpx.Client, issued_park: IssuedPark, role: str) -> None:
    number = disputed(issued_park)
    told = {"state": "upheld", "answer": "it stands"}
    answer = client.post(f"/v1/disputes/{number}/answer", json=told, headers=bearer(issued_park, "op-1", role))
    assert answer.status_code == 403
    assert issued_park.view().disputes[0].state is DisputeState.OPEN


def test_disputes_of_other_sites_are_not_there(client: httpx.Client, issued_park: IssuedPark) -> None:
    number = disputed(issued_park)
    headers = bearer(issued_park, "op-2", "finance", ("elsewhere",))
    assert client.get("/v1/disputes", headers=headers).json()["disputes"] == []
    assert client.get(f"/v1/disputes/{number}", headers=headers).status_code == 404
    assert client.get("/v1/dispute-counts", headers=headers).json()["periods"] == []


def test_counts_and_states_are_told(client: httpx.Client, issued_park: IssuedPark) -> None:
    issued_park.desk.see(issued_park.token, PHONE)
    disputed(issued_park, WHOLE)
    (counts,) = client.get("/v1/dispute-counts", headers=ADMIN).json()["periods"]
    assert (counts["statements"], counts["seen"], counts["confirmed"], counts["open"]) == (8, 1, 0, 1)
    states = client.get(f"/v1/statements/{TENANT}/states", headers=ADMIN).json()
    assert states["state"] == "disputed"
    assert [one["state"] for one in states["steps"]] == ["issued", "seen", "disputed"]
    assert client.get("/v1/statements/none/states", headers=ADMIN).status_code == 404


def test_a_link_is_given_renewed_and_taken_back(client: httpx.Client, issued_park: IssuedPark) -> None:
    path = f"/v1/statements/{TENANT}/link"
    first = client.put(path, json={}, headers=ADMIN).json()
    assert client.put(path, json={}, headers=ADMIN).json()["path"] == first["path"]
    assert client.get(first["path"]).status_code == 200
    renewed = client.put(path, json={"renew": True}, headers=ADMIN).json()
    assert (client.get(first["path"]).status_code, client.get(renewed["path"]).status_code) == (404, 200)
    assert client.delete(path, headers=ADMIN).status_code == 204
    assert client.get(renewed["path"]).status_code == 404
    assert client.put(path, json={}, headers=bearer(issued_park, "op-3", "auditor")).status_code == 403
    assert client.put("/v1/statements/none/link", json={}, headers=ADMIN).status_code == 404


def test_the_page_of_disputes_shows_what_waits(client: httpx.Client, issued_park: IssuedPark) -> None:
    assert "No dispute waits" in client.get("/disputes", headers=HTML).text
    number = disputed(issued_park)
    text = client.get("/disputes", headers=HTML).text
    assert f'href="/disputes/{number}"' in text
    assert "Qinghe Tea" in text
    assert "my meter &lt;stood&gt; still" in text
    assert "my meter" in client.get("/disputes.csv", headers=HTML).text
    assert "No dispute" not in client.get("/disputes?state=all", headers=HTML).text
    assert "8" in client.get("/statements", headers=HTML).text
    assert client.get("/statements.csv").status_code == 200


def test_the_page_of_a_dispute_shows_the_sums_and_takes_an_answer(
    client: httpx.Client, issued_park: IssuedPark
) -> None:
    number = disputed(issued_park)
    headers = {**HTML, **bearer(issued_park, "erin", "energy-manager")}
    text = client.get(f"/disputes/{number}", headers=headers).text
    assert "99.560 kWh" in text
    assert "Send the answer" in text
    refused = client.post(f"/disputes/{number}/answer", data={"answer": "kept words"}, headers=headers)
    assert refused.status_code == 422
    assert "kept words" in refused.text
    told = {"state": "recomputed", "answer": "the area was wrong"}
    done = client.post(f"/disputes/{number}/answer", data=told, headers=headers)
    assert (done.status_code, done.headers["Location"]) == (303, f"/disputes/{number}?told=answered")
    assert "the area was wrong" in client.get(f"/disputes/{number}", headers=headers).text
    (dispute,) = issued_park.view().disputes
    assert (dispute.state, dispute.answered_by) == (DisputeState.RECOMPUTED, "erin")
    other = client.post(f"/disputes/{number}/answer", data={"state": "upheld", "answer": "no"}, headers=headers)
    assert "Somebody answered already" in other.text


def test_who_may_only_read_gets_no_form(client: httpx.Client, issued_park: IssuedPark) -> None:
    number = disputed(issued_park)
    text = client.get(f"/disputes/{number}", headers=HTML).text
    assert "Send the answer" not in text
    assert client.get("/disputes/999", headers=HTML).status_code == 404
    assert client.get(f"/disputes/{number}/photo", headers=HTML).status_code == 404


def test_what_a_party_wrote_goes_when_it_is_erased(issued_park: IssuedPark) -> None:
    number = disputed(issued_park)
    long_after = NOW + timedelta(days=4000)
    with issued_park.database.transaction() as connection:
        connection.execute(
            "UPDATE site_versions SET document = jsonb_set(document, '{leases}', "
            "(SELECT jsonb_agg(one) FROM jsonb_array_elements(document -> 'leases') AS one "
            "WHERE one ->> 'party' <> 't-01'))"
        )
        erase(connection, plan_party(connection, SiteId("park"), PartyId("t-01"), long_after), "asked for", long_after)
        texts = connection.execute("SELECT reason, photo FROM disputes WHERE dispute = %s", [number]).fetchone()
    assert texts == ("(erased)", None)
