"""What billing reads and answers over HTTP: feed, files, charges, each as its role and sites let it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.audit_log import Verb
from ingest.store.audit import entries
from ingest.store.charges import Charge, ChargeLine, add_charge
from ingest.store.database import Connection, Database
from ingest.store.events import number_events, read_events
from ingest.store.operators import Post, add_operator
from metering.identity import PartyId, SiteId
from tests.doubles.billing_books import NOW, add_run, lines, publish, run_id
from tests.doubles.installing import InstallingCentre
from tests.doubles.revoked_session import BY
from tests.doubles.servers import _database

FEED = "/v1/allocations"
JULY = "2026-07"
A, B, C = (run_id(name) for name in "abc")
LINE_FIELDS = {
    *("id", "kind", "site", "period", "starts_at", "ends_at", "published_at", "run", "corrects", "line", "pool"),
    *("party", "unit", "line_kind", "amount_minor", "currency", "quantity", "quantity_unit"),
}


class Service:
    """The service over published runs, with a token of each role."""

    def __init__(self, database: Database, client: httpx.Client) -> None:
        self.database = database
        self.client = client
        self.token = cache(self._token)

    def _token(self, role: str, *sites: str) -> dict[str, str]:
        """Give the header of somebody with a role, at some sites or all."""
        name = f"{role}-{'-'.join(sites) or 'all'}"
        with self.database.transaction() as connection:
            token = add_operator(connection, name, BY, NOW, Post((role,), sites or None))
        return {"Authorization": f"Bearer {token}"}

    def get(self, path: str, *, role: str = "finance", sites: tuple[str, ...] = (), **asked: Any) -> httpx.Response:
        """Ask as a role."""
        return self.client.get(path, params=asked, headers=self.token(role, *sites))


def fill(connection: Connection) -> None:
    """July of a park with its correction, and of a mall."""
    add_run(connection, A, "plaza", JULY, [*lines(2500), ("lift", "owner", None, "residual", 7, [0, 0, 0])])
    publish(connection, A)
    add_run(connection, B, "plaza", JULY, lines(2500))
    publish(connection, B, corrects=A, deltas=[("own-use/u-00001/t-00001", -3), ("lift/residual/owner", 3)])
    add_run(connection, C, "mall", JULY, [("lift", "s-01", "s1", "share", 5, [1, 0, 0])])
    publish(connection, C)


@pytest.fixture(scope="module")
def service(postgres_dsn: str, migrated_template: str) -> Iterator[Service]:
    """The service for tests that only read."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=4) as database:
            with database.transaction() as connection:
                fill(connection)
            with InstallingCentre(database).open() as centre:
                yield Service(database, centre.client)


def pulled(service: Service, limit: int = 1000, **asked: Any) -> list[dict[str, Any]]:
    """Pull the feed to its end."""
    found, since = [], "0"
    while True:
        page = service.get(FEED, since=since, limit=limit, **asked).json()
        found += page["lines"]
        since = page["cursor"]
        if not page["more"]:
            return found


def test_the_feed_gives_every_line_with_all_its_fields(service: Service) -> None:
    found = pulled(service)
    assert len(found) == 2504
    assert len({one["id"] for one in found}) == 2504
    assert {frozenset(one) for one in found} == {frozenset(LINE_FIELDS)}
    assert found[1] | {"id": ""} == {
        "id": "",
        "kind": "allocation",
        "site": "plaza",
        "period": JULY,
        "starts_at": "2026-06-30T16:00:00Z",
        "ends_at": "2026-07-31T16:00:00Z",
        "published_at": "2026-08-02T01:00:00Z",
        "run": A,
        "corrects": None,
        "line": "own-use/u-00001/t-00001",
        "pool": "own-use",
        "party": "t-00001",
        "unit": "u-00001",
        "line_kind": "metered",
        "amount_minor": 101,
        "currency": "CNY",
        "quantity": 6,
        "quantity_unit": "Wh",
    }
    correction = found[2502]
    assert (correction["kind"], correction["run"], correction["corrects"], correction["quantity"]) == (
        "correction",
        B,
        A,
        None,
    )


def test_ids_stay_whatever_the_page_and_the_filter(service: Service) -> None:
    ids = [one["id"] for one in pulled(service)]
    assert [one["id"] for one in pulled(service, limit=700)] == ids
    assert [one["id"] for one in pulled(service, site="mall")] == ids[-1:]
    assert [one["id"] for one in pulled(service, kind="correction")] == ids[2501:2503]
    assert [one["id"] for one in pulled(service, party="t-00001")] == [ids[1], ids[2502]]


def test_who_has_one_site_gets_the_lines_of_that_site(service: Service) -> None:
    assert [one["site"] for one in pulled(service, sites=("mall",))] == ["mall"]
    assert pulled(service, sites=("mall",), site="plaza") == []
    assert service.get(f"{FEED}.csv", sites=("mall",)).text.count("\n") == 2


@pytest.mark.parametrize(("role", "status"), [("leasing", 403), ("field-engineer", 403), ("finance", 200)])
def test_who_may_not_read_allocations_is_refused(service: Service, role: str, status: int) -> None:
    assert service.get(FEED, role=role).status_code == status
    assert service.get(f"{FEED}.csv", role=role).status_code == status


@pytest.mark.parametrize("since", ["x", "7.0.0011223344556677"])
def test_a_cursor_of_another_feed_is_a_problem_with_a_mend(service: Service, since: str) -> None:
    for path in (FEED, f"{FEED}.csv"):
        answer = service.get(path, since=since)
        assert (answer.status_code, answer.json()["reason"]) == (422, "cursor-unknown")
        assert "from its beginning" in answer.json()["detail"]


@pytest.mark.parametrize("limit", [0, 10_001])
def test_a_page_has_a_bound(service: Service, limit: int) -> None:
    assert service.get(FEED, limit=limit).status_code == 422


def test_the_same_page_is_304_to_who_has_it(service: Service) -> None:
    first = service.get(FEED, limit=10)
    headers = service.token("finance") | {"If-None-Match": first.headers["ETag"]}
    assert service.client.get(FEED, params={"limit": 10}, headers=headers).status_code == 304


def rows_of(form: str, octets: bytes) -> list[dict[str, Any]]:
    """Read a file back."""
    if form == "csv":
        return list(csv.DictReader(io.StringIO(octets.decode())))
    table = pq.read_table(io.BytesIO(octets)) if form == "parquet" else pa.ipc.open_stream(octets).read_all()
    return table.to_pylist()  # type: ignore[no-any-return]


def plain(row: dict[str, Any]) -> dict[str, str]:
    """As a CSV says it."""
    return {
        key: "" if one is None else one.isoformat().replace("+00:00", "Z") if isinstance(one, datetime) else str(one)
        for key, one in row.items()
    }


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_a_file_holds_what_the_feed_holds_and_says_where_it_goes_on(service: Service, form: str) -> None:
    answer = service.get(f"{FEED}.{form}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="allocations.{form}"'
    assert [plain(one) for one in rows_of(form, answer.content)] == [plain(one) for one in pulled(service)]
    rest = service.get(FEED, since=answer.headers["Metertree-Cursor"]).json()
    assert (rest["lines"], rest["more"]) == ([], False)
    last = service.get(f"{FEED}.{form}", since=service.get(FEED, limit=2503).json()["cursor"])
    assert len(rows_of(form, last.content)) == 1


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_focus_columns_add_up_to_the_fen_and_tell_split_costs(service: Service, form: str) -> None:
    found = rows_of(form, service.get(f"{FEED}.{form}", columns="focus").content)
    cents = sum(round(float(one["BilledCost"]) * 100) for one in found)
    assert cents == sum(one["amount_minor"] for one in pulled(service))
    metered, residual, correction, share = found[1], found[2500], found[2502], found[2503]
    assert (plain(metered)["ResourceId"], plain(metered)["AllocatedMethodId"]) == ("u-00001", "")
    assert float(metered["ConsumedQuantity"]) == 0.006
    assert metered["ConsumedUnit"] == "kWh"
    assert (share["ResourceId"], share["AllocatedMethodId"], share["AllocatedResourceId"]) == (
        "lift",
        "mall/lift",
        "s1",
    )
    assert (residual["ResourceType"], residual["AllocatedResourceId"]) == ("Pool", "owner")
    assert correction["ChargeClass"] == "Correction"
    assert json.loads(share["Tags"]) == {"metertree/period": JULY, "metertree/run": C}


def test_a_form_that_needs_a_library_says_so_where_it_lacks(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.billing.forms.find_spec", lambda _: None)
    answer = service.get(f"{FEED}.parquet")
    assert (answer.status_code, service.get(f"{FEED}.csv").status_code) == (501, 200)
    assert "csv" in answer.json()["mend"]
    assert service.get(f"{FEED}.xlsx").status_code == 422


def test_files_are_compressed_as_they_are_made(service: Service) -> None:
    headers = service.token("finance") | {"Accept-Encoding": "gzip"}
    answer = service.client.get(f"{FEED}.csv", headers=headers)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.text == service.get(f"{FEED}.csv").text


# Charges


CHARGES = "/v1/charges"


@pytest.fixture
def charged(postgres_dsn: str, migrated_template: str) -> Iterator[Service]:
    """The service with three charges."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=4) as database:
            with database.transaction() as connection:
                for run, site in ((A, "plaza"), (C, "mall")):
                    add_run(connection, run, site, JULY, lines(2))
                for number, (run, site) in enumerate(((A, "plaza"), (A, "plaza"), (C, "mall"))):
                    party, statement = f"t-{number}", f"{site}-2026-07-t-{number}-v1"
                    connection.execute(
                        b"INSERT INTO statements (number, run, party, octets, proof, issued_at)"
                        b" VALUES (%s, %s, %s, '', '', %s)",
                        (statement, run, party, NOW),
                    )
                    parts = (SiteId(site), JULY, PartyId(party), 100 + number, "CNY", NOW)
                    charge = Charge(f"{statement}-c1", statement, *parts)
                    add_charge(connection, charge, [ChargeLine(f"own-use/u/{party}", 150 + number, 50)])
            with InstallingCentre(database).open() as centre:
                yield Service(database, centre.client)


def acknowledge(service: Service, charge: str, invoice: str, role: str = "finance", *sites: str) -> httpx.Response:
    """Say the invoice."""
    path = f"{CHARGES}/{charge}/acknowledgements"
    return service.client.post(path, json={"invoice": invoice}, headers=service.token(role, *sites))


def test_a_charge_is_taken_over_once_by_one_invoice(charged: Service) -> None:
    charge = "plaza-2026-07-t-0-v1-c1"
    first, again = acknowledge(charged, charge, "INV-1"), acknowledge(charged, charge, " INV-1 ")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["invoice"] == "INV-1"
    other = acknowledge(charged, charge, "INV-2")
    assert (other.status_code, other.json()["reason"]) == (409, "charge-acknowledged")
    assert "INV-1" in other.json()["detail"]
    with charged.database.transaction() as connection:
        told = [one for one in entries(connection) if one.verb == Verb.CHARGE_ACKNOWLEDGED]
        number_events(connection)
        events = [one.body for one in read_events(connection, 0, 100)[0] if one.kind == "charge.acknowledged"]
    assert [(one.subject, one.who, one.told["after"]) for one in told] == [
        (f"charge/{charge}", "finance-all", {"invoice": "INV-1"})
    ]
    assert events == [{"charge": charge, "statement": "plaza-2026-07-t-0-v1", "run": A, "period": JULY}]


def test_charges_are_listed_in_pages_and_by_what_is_still_to_be_done(charged: Service) -> None:
    acknowledge(charged, "plaza-2026-07-t-1-v1-c1", "INV-1")
    first = charged.get(CHARGES, limit=2).json()
    rest = charged.get(CHARGES, limit=2, after=first["next"]).json()
    assert [one["party"] for one in first["charges"] + rest["charges"]] == ["t-0", "t-1", "t-2"]
    assert rest["next"] is None
    due = charged.get(CHARGES, acknowledged="false").json()["charges"]
    assert [(one["party"], one["amount_minor"], one["invoice"]) for one in due] == [
        ("t-0", 100, None),
        ("t-2", 102, None),
    ]
    assert [one["party"] for one in charged.get(CHARGES, site="mall").json()["charges"]] == ["t-2"]
    assert [one["party"] for one in charged.get(CHARGES, sites=("mall",)).json()["charges"]] == ["t-2"]


def test_a_charge_says_what_each_line_adds_to_what_was_charged_before(charged: Service) -> None:
    found = charged.get(f"{CHARGES}/mall-2026-07-t-2-v1-c1").json()
    assert found["lines"] == [{"line": "own-use/u/t-2", "stated_minor": 152, "before_minor": 50, "amount_minor": 102}]
    assert charged.get(f"{CHARGES}/none").status_code == 404
    assert acknowledge(charged, "none", "INV-1").status_code == 404


def test_who_may_not_take_a_charge_over_does_not_and_an_invoice_is_a_short_text(charged: Service) -> None:
    charge = "mall-2026-07-t-2-v1-c1"
    assert acknowledge(charged, charge, "INV-1", "auditor").status_code == 403
    assert acknowledge(charged, charge, "INV-1", "leasing").status_code == 403
    assert acknowledge(charged, charge, "INV-1", "finance", "plaza").status_code == 404
    for invoice in ("", "   ", "x" * 201, "a\nb", "a\x00b"):
        assert acknowledge(charged, charge, invoice).status_code == 422
    assert charged.get(f"{CHARGES}/{charge}").json()["invoice"] is None


def test_the_database_itself_refuses_half_an_acknowledgement(charged: Service) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), charged.database.transaction() as connection:
        connection.execute(b"UPDATE charges SET invoice = 'INV-9'")


def test_hidden_columns_are_left_out_of_json_and_files(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """No role that reads allocations lacks money today; a table that says otherwise is followed."""
    from ingest.access.policy import Policy

    def visible(_: Policy, who: Any, resource: str, prefix: str, names: tuple[str, ...]) -> tuple[str, ...]:
        del who
        assert (resource, prefix) == ("allocations", "lines[]")
        return tuple(one for one in names if one not in ("amount_minor", "party"))

    monkeypatch.setattr(Policy, "visible", visible)
    line = service.get(FEED, limit=1).json()["lines"][0]
    assert set(line) == LINE_FIELDS - {"amount_minor", "party"}
    head = service.get(f"{FEED}.csv", columns="focus").text.splitlines()[0].split(",")
    assert {"BilledCost", "ListCost", "SubAccountId"} & set(head) == set()
    assert "ServiceName" in head


def test_instants_are_written_in_utc() -> None:
    from ingest.billing.forms import instant

    assert instant(datetime(2026, 7, 1, tzinfo=UTC)) == "2026-07-01T00:00:00Z"
