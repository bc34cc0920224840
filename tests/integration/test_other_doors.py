"""Ways around the doors that a reviewer found open: each is tried here as somebody who wants in would."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest

from ingest.api.desk import DeskRoutes
from ingest.api.door import _named
from ingest.api.problems import Problem
from ingest.caller import Caller
from ingest.passwords import is_password, new_secret
from ingest.sign_in_desk import Outcome, SignInDesk
from ingest.statement_desk import Answer, Complaint
from ingest.statement_states import WHOLE, DisputeState
from ingest.store.database import Connection, Database, DatabaseUnreachable
from ingest.store.operators import Post, add_operator, renew_operator
from ingest.store.sign_in_failures import ADDRESS_MAX
from ingest.store.sign_ins import set_code, set_password
from ingest.store.sites import require_site
from ingest.webhooks.desk import EndpointDesk, EndpointUnknown, Wish
from ingest.webhooks.guard import Guard, UrlRefused
from ingest.webhooks.signing import Algorithm
from metering.clock import ManualClock
from tests.doubles.closed_park import PARK_ID
from tests.doubles.console_centre import NOW, PASSWORD, console_centre
from tests.doubles.hooked import BOX, operator
from tests.doubles.issued_park import BY, PHONE, IssuedPark
from tests.doubles.web import serving

RUNS = "/v1/allocation-runs"


def header(park: IssuedPark, name: str, *roles: str, sites: tuple[str, ...] | None = None) -> dict[str, str]:
    """Add an operator; give the header that shows his token."""
    with park.database.transaction() as connection:
        return {"Authorization": f"Bearer {add_operator(connection, name, BY, NOW, Post(roles, sites))}"}


def test_a_draft_tries_nothing_on_the_books_of_another_site(issued_park: IssuedPark) -> None:
    with issued_park.database.transaction() as connection:
        site: dict[str, Any] = dict(require_site(connection, PARK_ID).site.to_document())
    here = header(issued_park, "ann", "energy-manager", sites=("park",))
    with serving(issued_park.app) as client:
        for act in ("shadow", "findings", "what-if"):
            path = f"{RUNS}/{issued_park.run}/{act}"
            answer = client.post(path, json={"site": site | {"id": "campus"}}, headers=here)
            assert (answer.status_code, "of site park" in answer.text) == (422, True), (act, answer.text[:300])
            assert client.post(path, json={"site": site}, headers=here).status_code == 200, act


def test_a_run_of_another_site_is_compared_with_nothing(issued_park: IssuedPark) -> None:
    """The door looks at the first run only; a refusal to compare would name site and period of the second."""
    routes, run = DeskRoutes(issued_park.closing.desk), issued_park.run
    assert routes.diff(run, run, operator("ann", "energy-manager", sites=("park",)))["lines"] == []
    with pytest.raises(Problem) as refused:
        routes.diff("of-the-campus", run, operator("bob", "energy-manager", sites=("campus",)))
    assert (refused.value.status, "park" in str(refused.value)) == (404, False)


def test_an_administrator_of_one_site_keeps_to_his_own_endpoints(database: Database) -> None:
    desk = EndpointDesk(database, BOX, Guard(), ManualClock(NOW))
    whole, here = operator("boss", "administrator"), operator("ann", "administrator", sites=("park",))
    wish = Wish("https://billing.example/hooks", None, None)
    theirs = desk.add(wish, Algorithm.ED25519, whole).endpoint.endpoint
    mine = desk.add(wish, Algorithm.ED25519, here).endpoint.endpoint
    assert [one.endpoint for one in desk.list(here)] == [mine]
    assert {one.endpoint for one in desk.list(whole)} == {mine, theirs}
    for act in (
        lambda: desk.read(theirs, here),
        lambda: desk.change(theirs, wish, here),
        lambda: desk.rotate(theirs, here, algorithm=None, overlap_h=0),
        lambda: desk.deliveries(theirs, here, state=None, before=None, most=10),
    ):
        with pytest.raises(EndpointUnknown):
            act()


def test_a_cookie_stays_guarded_whatever_else_a_call_carries(database: Database, cheap_passwords: None) -> None:
    """A browser may add `Authorization: Basic` by itself; only what no browser adds takes a form's place."""
    with console_centre(database) as centre:
        centre.add("manager", "energy-manager")
        centre.sign_in("manager")
        for shown in ("Basic eDp5", "Bearer", "bearer", "Negotiate x", ""):
            answer = centre.client.post("/account/sessions/end-others", headers={"Authorization": shown})
            assert answer.status_code == 403, shown


def test_no_token_of_an_address_gets_into_the_log(
    issued_park: IssuedPark, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseUnreachable("away")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    token = issued_park.token
    with caplog.at_level(logging.DEBUG), serving(issued_park.app) as client:
        refused = client.post(f"/welcome/{token}", data={"password": "x"})
        assert refused.status_code == 403
        for fault in (away, broken):
            with monkeypatch.context() as patched:
                patched.setattr("ingest.statement_desk.StatementDesk.open_token", fault)
                patched.setattr("ingest.sign_in_desk.SignInDesk.operator_of_link", fault)
                for path in ("s", "welcome"):
                    answer = client.get(f"/{path}/{token}", headers={"Connection": "close"})
                    assert answer.status_code in (500, 503)
    told = [f"{one.getMessage()} {one.__dict__}" for one in caplog.records if not one.name.startswith("http")]
    assert any("/s/{token}" in one for one in told)
    assert [one for one in told if token in one] == []


def test_guessing_passwords_from_one_ipv6_network_is_held(database: Database, cheap_passwords: None) -> None:
    """Whoever has one address of IPv6 has 2^64 of them: they count as one, with as many names as he likes."""
    desk = SignInDesk(database, ManualClock(NOW))
    outcomes = [
        desk.sign_in(f"name-{guess}", "wrong horse battery", Caller("stranger", f"2001:db8::{guess:x}", "")).outcome
        for guess in range(1, ADDRESS_MAX + 2)
    ]
    assert outcomes == [Outcome.WRONG] * ADDRESS_MAX + [Outcome.HELD]
    elsewhere = Caller("stranger", "2001:db8:0:1::1", "")
    assert desk.sign_in("name-0", "wrong horse battery", elsewhere).outcome is Outcome.WRONG


def test_a_link_is_counted_as_one_however_it_is_written(issued_park: IssuedPark) -> None:
    token = issued_park.token
    with serving(issued_park.app) as client:
        written = [token, token.lower(), *(f"{token[:at]}-{token[at:]}" for at in range(4, 20))]
        seen = [client.get(f"/s/{written[at % len(written)]}/qr.svg").status_code for at in range(100)]
    assert 429 in seen


def test_who_sees_no_names_learns_of_nobody_who_answered(issued_park: IssuedPark) -> None:
    """Finance answers disputes and sees no names of people: not on the page, and not in a refusal."""
    issued_park.desk.dispute(issued_park.token, Complaint(WHOLE, "too much"), PHONE)
    dispute = issued_park.view().disputes[0].dispute
    issued_park.desk.answer(dispute, Answer(DisputeState.UPHELD, "it is right"), Caller("quentin", "", "", True))
    finance = header(issued_park, "fin", "finance")
    manager = header(issued_park, "man", "energy-manager")
    other = {"state": "recomputed", "answer": "another"}
    with serving(issued_park.app) as client:
        refused = client.post(f"/v1/disputes/{dispute}/answer", json=other, headers=finance)
        pages = {
            name: client.get(f"/disputes/{dispute}", headers=who) for name, who in (("f", finance), ("m", manager))
        }
        form = client.post(f"/disputes/{dispute}/answer", data=other, headers=finance)
    assert (refused.status_code, "quentin" in refused.text) == (409, False)
    assert "already" in refused.json()["detail"]
    assert {name: "quentin" in page.text for name, page in pages.items()} == {"f": False, "m": True}
    assert "it is right" in pages["f"].text
    assert "quentin" not in form.text


def test_a_password_that_was_changed_while_it_was_looked_at_lets_nobody_in(
    database: Database, cheap_passwords: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing takes long: what was changed meanwhile counts, or a thief gets in just after he was locked out."""
    desk = SignInDesk(database, ManualClock(NOW))
    person, thief = Caller("manager", "192.0.2.1", "", True), Caller("stranger", "192.0.2.66", "")
    with database.transaction() as connection:
        add_operator(connection, "manager", BY, NOW, Post(("energy-manager",)))
        set_password(connection, "manager", PASSWORD, person, NOW)

    def change(connection: Connection) -> None:
        set_password(connection, "manager", "quite another horse", person, NOW)

    def protect(connection: Connection) -> None:
        set_code(connection, "manager", new_secret(), 1, person, NOW)

    for act, outcome in ((protect, Outcome.CODE), (change, Outcome.WRONG)):

        def looked_at(given: str, hashed: str | None, act: Callable[[Connection], None] = act) -> bool:
            with database.transaction() as connection:
                act(connection)
            return is_password(given, hashed)

        monkeypatch.setattr("ingest.sign_in_desk.is_password", looked_at)
        assert desk.sign_in("manager", PASSWORD, thief).outcome is outcome


def test_the_account_is_for_who_is_signed_in_and_no_program_of_his(database: Database, cheap_passwords: None) -> None:
    with console_centre(database) as centre:
        centre.add("manager", "energy-manager")
        with database.transaction() as connection:
            token = renew_operator(connection, "manager", BY, NOW)
        shown = {"Authorization": f"Bearer {token}", "Connection": "close"}
        new = {"new-password": "quite another horse", "repeat": "quite another horse"}
        for path, fields in (
            ("sessions/end-others", {}),
            ("password", {"old-password": PASSWORD} | new),
            ("code/drop", {"drop-password": PASSWORD}),
        ):
            answer = centre.client.post(f"/account/{path}", data=fields, headers=shown)
            assert answer.status_code == 403, path
        assert centre.sign_in("manager").status_code == 303


def test_open_reads_are_closed_to_a_proxy_that_hides(database: Database) -> None:
    """As nginx calls unless told otherwise: HTTP/1.0, by the address it calls, and no word of whom it calls for."""
    with console_centre(database, open_reads=True) as centre:
        host, port = str(centre.client.base_url.host), int(centre.client.base_url.port or 0)
        told = {}
        for version in ("1.0", "1.1"):
            with socket.create_connection((host, port), 5) as wire:
                head = f"GET /v1/allocation-runs HTTP/{version}\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
                wire.sendall(head.encode())
                told[version] = wire.makefile("rb").readline().split()[1]
    assert told == {"1.0": b"401", "1.1": b"200"}


@pytest.mark.parametrize(
    ("body", "site"),
    [
        (b'{"site": "park"}', "park"),
        (b"form_token=1&site=park", "park"),
        (b"site=park&site=campus", None),
        (b"site=&site=campus", None),
        (b'{"site": "park", "note": "&site=campus&"}', None),
        (b'{"site": "park", "note": "a & b, site: campus"}', "park"),
        (b'{"site": ["park"]}', None),
        (b"{}", None),
    ],
)
def test_a_body_names_a_site_in_one_way_only(body: bytes, site: str | None) -> None:
    """What reads as JSON and as a form would be let in by the one, and done by the other."""
    assert _named(body, "site") == site


@pytest.mark.parametrize("address", ["192.0.0.192", "192.0.0.8", "168.63.129.16", "::ffff:192.0.0.192"])
def test_no_delivery_goes_to_the_house_services_of_a_cloud(address: str) -> None:
    """Addresses that look public and are answered by the machine's own host: Oracle's metadata, Azure's agent."""
    guard = Guard()
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(UrlRefused):
        guard.read(f"https://{shown}/")
    with pytest.raises(UrlRefused):
        guard.resolve(guard.read("https://hooks.example/"), lambda *_: [address])
