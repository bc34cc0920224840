"""Every route of the service and every way it says no, over the real store functions on a database in memory."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI, Request
from httpx import Response

from ingest import caller as callers
from ingest.access.policy_file import shipped_policy
from ingest.api import installation as installation_routes
from ingest.api.admission import Admission
from ingest.api.door import Door
from ingest.api.metrics import Metrics
from ingest.api.problem_types import problem_type
from ingest.api.problems import Problem, install, not_found, problem_response
from ingest.intake import IntakeCounters
from ingest.store.database import DatabaseUnreachable
from ingest.verify import Reason
from metering.errors import BooksError, DocumentError, Fault, MeteringError, SenderError
from metering.identity import GatewayId
from provisioning.enrolment import BUNDLE_OCTETS_MAX, Claim, seal_bundle
from provisioning.keys import FileSigner
from tests.doubles.memory_centre import ADMIN, BOOKED_AT, NOW, PERIOD, REQUEST, TOKEN, MemoryCentre
from tests.doubles.park_books import CENTRE

PROBLEM = "application/problem+json"
RUNS = "/v1/allocation-runs"
SIGNER = FileSigner.from_seed(b"\x31" * 32)
OTHER = FileSigner.from_seed(b"\x32" * 32)


def require_problem(answer: Response, status: int) -> dict[str, Any]:
    """Give the problem document of an answer that must be one."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["type"] == problem_type(status, document.get("reason"))
    assert document["instance"] == answer.url.path
    return document


def order_for(gateway: str = "gw-a", days: int = 1, **changes: str) -> dict[str, str]:
    """What the office asks for."""
    expires_at = (NOW + timedelta(days=days)).isoformat()
    return {"site": "park", "gateway": gateway, "engineer": "crew 3", "expires_at": expires_at, **changes}


def claim_for(centre: MemoryCentre, gateway: str = "gw-a", days: int = 1) -> Claim:
    """Open an order; give its claim."""
    return Claim.parse(centre.post("/v1/install-orders", json=order_for(gateway, days)).json()["claim"])


def bundle(claim: Claim, *, gateway: str = "gw-a", epoch: int = 2, signer: FileSigner = SIGNER) -> bytes:
    """What the gateway presents."""
    return seal_bundle(GatewayId(gateway), epoch=epoch, claim=claim, public_key=signer.public_key, signer=signer)


# Runs


def test_a_run_is_created_once_and_found_where_the_answer_says(centre: MemoryCentre) -> None:
    centre.books.enrol_all()
    centre.write_day()
    first, again = (centre.post(RUNS, json=REQUEST) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["Location"] == again.headers["Location"] == first.json()["href"]
    found = centre.get(first.headers["Location"]).json()
    assert found["document"]["id"] == found["run"] == first.json()["run"]
    assert found["booked_at"] == datetime.fromisoformat(BOOKED_AT).astimezone(NOW.tzinfo).isoformat()


def test_what_was_settled_before_and_what_was_not_give_the_same_run(centre: MemoryCentre, closed: MemoryCentre) -> None:
    centre.books.enrol_all()
    centre.write_day()
    assert centre.settlement.settle_pending() > 0
    assert centre.settlement.settle_pending() == 0, "nothing waits any more"
    assert centre.close_day() == closed.close_day()
    assert centre.database.tables.statements == closed.database.tables.statements


def test_each_statement_of_a_run_is_linked_and_its_total_is_the_sum_of_its_lines(closed: MemoryCentre) -> None:
    summary = closed.close_day()
    assert summary["statements"]
    for statement in summary["statements"]:
        lines = closed.get(f"{summary['href']}/lines", params={"party": statement["party"]}).json()["lines"]
        assert sum(line["amount_minor"] for line in lines) == statement["total_minor"]
        assert closed.get(statement["href"]).status_code == 200


def test_lines_come_in_the_order_of_the_run_and_carry_energy_by_band(closed: MemoryCentre) -> None:
    href = closed.close_day()["href"]
    document = closed.get(href).json()["document"]
    answer = closed.get(f"{href}/lines").json()
    assert answer["bands"] == document["bands"]
    assert [line["line"] for line in answer["lines"]] == list(range(len(document["lines"])))
    for line, stored in zip(answer["lines"], document["lines"], strict=True):
        assert {name: line[name] for name in ("pool", "party", "unit", "band_energy_wh", "amount_minor")} == {
            name: stored[name] for name in ("pool", "party", "unit", "band_energy_wh", "amount_minor")
        }
        assert len(line["band_energy_wh"]) == len(answer["bands"])


@pytest.mark.parametrize("query", [{"party": "nobody"}, {"pool": "nothing"}, {"party": "t-01", "pool": "nothing"}])
def test_a_filter_that_fits_nothing_gives_no_lines(closed: MemoryCentre, query: dict[str, str]) -> None:
    answer = closed.get(f"{closed.close_day()['href']}/lines", params=query)
    assert (answer.status_code, answer.json()["lines"]) == (200, [])


def test_the_list_of_runs_can_be_narrowed(closed: MemoryCentre) -> None:
    run = closed.close_day()["run"]
    for query, found in (
        ({}, [run]),
        ({"site": "park"}, [run]),
        ({"site": "park", "period": PERIOD}, [run]),
        ({"site": "elsewhere"}, []),
        ({"period": "2026-08"}, []),
        ({"limit": 200}, [run]),
    ):
        assert [one["run"] for one in closed.get(RUNS, params=query).json()["runs"]] == found


@pytest.mark.parametrize("limit", ["0", "-1", "201", "many", "1.5", ""])
def test_a_list_has_bounds(closed: MemoryCentre, limit: str) -> None:
    faults = require_problem(closed.get(RUNS, params={"limit": limit}), 422)["faults"]
    assert [fault["place"] for fault in faults] == ["query.limit"]


@pytest.mark.parametrize("tail", ["", "/lines", "/balance"])
def test_a_run_that_is_not_there_is_said_to_be_missing_with_where_to_look(closed: MemoryCentre, tail: str) -> None:
    problem = require_problem(closed.get(f"{RUNS}/none{tail}"), 404)
    assert problem["detail"] == "run none does not exist"
    assert RUNS in problem["mend"]


def test_a_refused_run_is_counted_and_leaves_nothing(centre: MemoryCentre) -> None:
    centre.books.enrol_all()
    problem = require_problem(centre.post(RUNS, json=REQUEST), 409)
    assert "main" in problem["detail"]
    assert centre.get(RUNS).json() == {"runs": []}
    text = centre.get("/metrics").text
    assert 'metertree_allocation_runs_total{outcome="refused"} 1.0' in text


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"site": None}, "body.site"),
        ({"site": 7}, "body.site"),
        ({"period": None}, "body.period"),
        ({"booked_at": "2026-08-01T09:00:00"}, "body.booked_at"),
        ({"booked_at": "yesterday"}, "body.booked_at"),
        ({"approve": True}, "body.approve"),
    ],
)
def test_a_malformed_request_names_the_field(centre: MemoryCentre, change: dict[str, Any], place: str) -> None:
    faults = require_problem(centre.post(RUNS, json=REQUEST | change), 422)["faults"]
    assert [fault["place"] for fault in faults] == [place]
    assert all(fault["problem"] for fault in faults)


@pytest.mark.parametrize("period", ["July", "2026-13", "2026-07-02--2026-07-01", "", "2026-7", "2026-07-01--08-15"])
def test_a_period_that_is_none_is_refused(centre: MemoryCentre, period: str) -> None:
    centre.books.enrol_all()
    answer = centre.post(RUNS, json=REQUEST | {"period": period})
    assert answer.status_code in (409, 422)
    assert require_problem(answer, answer.status_code)["detail"]


def test_a_site_nobody_imported_is_refused_with_what_to_do(centre: MemoryCentre) -> None:
    problem = require_problem(centre.post(RUNS, json=REQUEST), 409)
    assert "metertree site import" in problem["detail"]


# Statements


def test_a_statement_is_the_same_file_each_time_with_the_stored_octets_in_it(closed: MemoryCentre) -> None:
    number = f"park-{PERIOD}-t-03-v1"
    answer = closed.get(f"/v1/statements/{number}")
    stored = closed.database.tables.statements[number]
    assert answer.content == closed.get(f"/v1/statements/{number}").content
    assert base64.b64decode(json.loads(answer.content)["proof"]) == stored[4]
    assert base64.b64decode(json.loads(answer.content)["statement"]) == stored[3]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{number}.json"'
    assert "no-cache" in answer.headers["Cache-Control"], "a provisional statement may become final"
    assert answer.headers["Metertree-Statement"] == "provisional"
    assert "private" in answer.headers["Cache-Control"], "no shared cache keeps somebody's bill"


def test_a_file_stored_before_files_were_put_together_on_demand_is_given_as_it_was_stored(closed: MemoryCentre) -> None:
    number = f"park-{PERIOD}-t-03-v1"
    stored = closed.database.tables.statements[number]
    closed.database.tables.statements[number] = (*stored[:4], None, b"as it was", stored[6])
    assert closed.get(f"/v1/statements/{number}").content == b"as it was"


def test_a_statement_that_is_not_there_is_said_to_be_missing(closed: MemoryCentre) -> None:
    assert "statement x does not exist" in require_problem(closed.get("/v1/statements/x"), 404)["detail"]


# Admission


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer  {TOKEN}",
        f"Bearer {TOKEN.upper()}",
    ],
)
@pytest.mark.parametrize("path", [RUNS, "/v1/install-orders"])
def test_a_write_without_the_token_is_refused_before_anything_is_read(
    centre: MemoryCentre, given: str | None, path: str
) -> None:
    headers = {} if given is None else {"Authorization": given}
    answer = centre.call("POST", path, json={"nonsense": True}, headers=headers)
    problem = require_problem(answer, 401)
    assert problem["mend"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="metertree"'
    assert TOKEN not in answer.text
    assert centre.database.executed == []


def test_the_scheme_of_the_token_is_read_in_any_case(centre: MemoryCentre) -> None:
    answer = centre.call("POST", RUNS, json=REQUEST, headers={"Authorization": f"bEARER {TOKEN}"})
    assert answer.status_code == 409


def test_every_route_that_writes_asks_for_the_token_or_for_a_signature(centre: MemoryCentre) -> None:
    described = centre.get("/v1/openapi.json").json()["paths"]
    writing = {(method, path) for path, methods in described.items() for method in set(methods) - {"get"}}
    rows = shipped_policy().routes
    signed = {path for method, path in writing if rows[f"{method.upper()} {path}"].permission is None}
    assert signed == {
        *("/v1/enrolments", "/v1/envelopes", "/v1/installation-events", "/v1/installation-packages"),
        *("/v1/certificates/renewals", "/v1/key-handovers", "/v1/oauth/token"),
    }
    for method, path in writing:
        if path not in signed:
            assert centre.call(method, path, json={}).status_code == 401, path
    photos = "/v1/photos/{sha256}"
    for path in ("/v1/readings", photos):
        assert centre.call("GET", path).status_code == 401, "readings name people"


def test_a_planted_token_check_that_lets_all_pass_is_seen(
    centre: MemoryCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lets_all_pass(_: Admission, request: Request) -> None:
        request.state.caller = callers.Caller(callers.ADMIN, "", "")

    monkeypatch.setattr(Admission, "__call__", lets_all_pass)
    require_problem(centre.call("POST", RUNS, json=REQUEST), 401)  # the door stands before it
    monkeypatch.setattr(Door, "_refusal", lambda *_: None)
    # FastAPI calls the instance through its class, so the planted check is the one that answers.
    answer = centre.call("POST", RUNS, json=REQUEST)
    with pytest.raises(AssertionError):
        require_problem(answer, 401)


# Gateways


def test_an_order_tells_its_claim_once_and_only_its_hash_is_kept(centre: MemoryCentre) -> None:
    centre.books.enrol_all()
    answer = centre.post("/v1/install-orders", json=order_for())
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    content = answer.json()
    assert set(content) == {"order", "site", "gateway", "claim", "expires_at", "fingerprint", "voucher", "order_file"}
    claim = Claim.parse(content["claim"])
    kept = centre.database.tables.orders[content["order"]]
    assert claim.hash in kept
    assert claim.text not in repr(kept)


@pytest.mark.parametrize(
    ("order", "status", "told"),
    [
        (order_for("gw-z"), 404, "gateway gw-z in site park"),
        (order_for(days=0), 422, "has passed"),
        (order_for(days=-1), 422, "has passed"),
        (order_for(site="elsewhere"), 409, "not imported"),
        (order_for("GW A"), 422, "GW A"),
        (order_for(site="../park"), 422, "park"),
        (order_for(engineer=""), 422, "form"),
        (order_for(engineer="x" * 201), 422, "form"),
        (order_for(expires_at="2026-09-01T00:00:00"), 422, "form"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    centre: MemoryCentre, order: dict[str, str], status: int, told: str
) -> None:
    centre.books.enrol_all()
    before = dict(centre.database.tables.orders)
    assert told in require_problem(centre.post("/v1/install-orders", json=order), status)["detail"]
    assert centre.database.tables.orders == before


def test_an_enrolment_is_answered_with_what_the_gateway_must_know(centre: MemoryCentre) -> None:
    centre.books.enrol_all()
    octets = bundle(claim_for(centre))
    first, again = (centre.call("POST", "/v1/enrolments", content=octets) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert (
        first.json()
        == again.json()
        == {
            "gateway": "gw-a",
            "epoch": 2,
            "key_id": SIGNER.key_id.hex(),
            "centre_public_key": CENTRE.public_key.hex(),
        }
    )


@pytest.mark.parametrize(
    ("present", "status", "reason"),
    [
        (lambda _: bundle(Claim.of_number(99)), 403, "claim-unknown"),
        (lambda centre: bundle(claim_for(centre), gateway="gw-b"), 403, "gateway-mismatch"),
        (lambda centre: bundle(claim_for(centre), epoch=1), 409, "epoch-used"),
        (lambda _: b"", 422, "malformed"),
        (lambda _: b"\xff" * BUNDLE_OCTETS_MAX, 422, "malformed"),
        (lambda _: b"\xff" * (BUNDLE_OCTETS_MAX + 1), 413, None),
    ],
)
def test_an_enrolment_that_cannot_be_is_refused_with_its_reason(
    centre: MemoryCentre, present: Callable[[MemoryCentre], bytes], status: int, reason: str | None
) -> None:
    centre.books.enrol_all()
    answer = centre.call("POST", "/v1/enrolments", content=present(centre))
    assert require_problem(answer, status).get("reason") == reason
    assert set(centre.database.tables.gateway_keys) == {("gw-a", 1), ("gw-b", 1)}


def test_a_claim_serves_one_bundle_only(centre: MemoryCentre) -> None:
    centre.books.enrol_all()
    claim = claim_for(centre)
    assert centre.call("POST", "/v1/enrolments", content=bundle(claim)).status_code == 201
    stolen = centre.call("POST", "/v1/enrolments", content=bundle(claim, epoch=3, signer=OTHER))
    assert require_problem(stolen, 409)["reason"] == "claim-used"


def test_an_order_lapses_at_its_instant(centre: MemoryCentre) -> None:
    centre.books.enrol_all()
    octets = bundle(claim_for(centre))
    centre.clock.sleep_until(NOW + timedelta(days=1))
    answer = centre.call("POST", "/v1/enrolments", content=octets)
    assert require_problem(answer, 409)["reason"] == "order-expired"


def test_a_body_is_read_no_further_than_a_bundle_can_reach(centre: MemoryCentre) -> None:
    sent: list[int] = []

    async def endless() -> Any:
        for number in range(50_000):
            sent.append(number)
            yield b"\0" * 1000

    answer = centre.call("POST", "/v1/enrolments", content=endless())
    require_problem(answer, 413)
    assert centre.database.executed == []


def test_a_gateway_shows_how_far_it_is_complete(closed: MemoryCentre) -> None:
    listed = closed.get("/v1/gateways").json()["gateways"]
    assert [one["gateway"] for one in listed] == ["gw-a", "gw-b"]
    assert closed.get("/v1/gateways/gw-a").json().items() >= listed[0].items()
    assert (listed[0]["contiguous_seq"], listed[0]["highest_seq"], listed[0]["gap_open"]) == (97, 97, False)
    head = closed.database.tables.heads["gw-a", 1]
    closed.database.tables.heads["gw-a", 1] = head | {"highest_seq": 99}
    assert closed.get("/v1/gateways/gw-a").json()["gap_open"] is True


def test_a_gateway_that_has_sent_nothing_shows_so(centre: MemoryCentre) -> None:
    centre.books.enrol_all()
    state = centre.get("/v1/gateways/gw-b").json()
    assert (state["last_mark"], state["received_at"], state["envelopes"], state["gap_open"]) == (None, None, 0, False)


def test_a_gateway_that_never_enrolled_is_not_there(centre: MemoryCentre) -> None:
    assert "gateway gw-a" in require_problem(centre.get("/v1/gateways/gw-a"), 404)["detail"]
    assert centre.get("/v1/gateways").json() == {"gateways": [], "next": None}


# Health and metrics


@pytest.mark.parametrize(
    ("database", "broker", "status"), [(True, True, 200), (True, False, 503), (False, True, 503), (False, False, 503)]
)
def test_readiness_follows_every_dependency_and_health_none(
    centre: MemoryCentre, database: bool, broker: bool, status: int
) -> None:
    centre.database.is_away, centre.broker_answers = not database, broker
    answer = centre.get("/readyz")
    word = {True: "ok", False: "away"}
    assert answer.status_code == status
    assert answer.json() == {
        "status": word[status == 200],
        "checks": {"database": word[database], "broker": word[broker]},
    }
    assert centre.get("/healthz").json() == {"status": "ok"}


def test_answers_are_counted_by_pattern_so_that_paths_cannot_fill_the_memory(centre: MemoryCentre) -> None:
    for number in range(50):
        centre.get(f"{RUNS}/{number}")
        centre.get(f"/nowhere/{number}")
    lines = [line for line in centre.get("/metrics").text.splitlines() if "http_requests_total{" in line]
    assert 'metertree_http_requests_total{route="/v1/allocation-runs/{run}",status="404"} 50.0' in lines
    assert 'metertree_http_requests_total{route="none",status="404"} 50.0' in lines
    assert len(lines) < 5


def test_rejections_are_shown_by_reason() -> None:
    metrics, counters = Metrics(), IntakeCounters()
    counters.rejected[Reason.SIGNATURE_INVALID] = 3
    metrics.follow(counters)
    found = {
        sample.labels["reason"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "metertree_intake_rejected_total"
    }
    assert found == {"signature-invalid": 3.0}


def test_two_services_in_one_program_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.runs.labels("computed").inc()
    assert second.registry.get_sample_value("metertree_allocation_runs_total", {"outcome": "computed"}) is None


# Errors


@pytest.fixture
def raising(centre: MemoryCentre) -> Callable[[Exception], Response]:
    """Calls a route that raises what it is given."""

    def call(error: Exception) -> Response:
        def fail() -> None:
            raise error

        centre.app.add_api_route(f"/raise/{id(error)}", fail)
        return centre.get(f"/raise/{id(error)}")

    return call


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MeteringError("what"), 422),
        (BooksError("what"), 409),
        (SenderError("what"), 422),
        (Problem(418, "what"), 418),
        (not_found("what", "look"), 404),
        (DatabaseUnreachable("what"), 503),
        (psycopg.OperationalError("what"), 503),
        (psycopg.errors.AdminShutdown("what"), 503),
        (psycopg.DataError("what"), 422),
        (psycopg.IntegrityError("what"), 500),
        (KeyError("what"), 500),
        (AssertionError("what"), 500),
    ],
)
def test_every_family_of_errors_has_its_status(
    raising: Callable[[Exception], Response], error: Exception, status: int
) -> None:
    problem = require_problem(raising(error), status)
    assert ("what" in problem["detail"]) == (status not in (500, 503)), "what broke inside is for the log"


def test_a_document_error_carries_every_fault(raising: Callable[[Exception], Response]) -> None:
    faults = tuple(Fault(path="site.toml", line=line, problem="wrong", mend="mend it") for line in (3, 9))
    problem = require_problem(raising(DocumentError(faults)), 422)
    assert [(fault["path"], fault["line"]) for fault in problem["faults"]] == [("site.toml", 3), ("site.toml", 9)]
    assert problem["detail"] == "the document has 2 faults"


def test_a_sender_error_carries_its_reason(raising: Callable[[Exception], Response]) -> None:
    assert require_problem(raising(SenderError("what")), 422)["reason"] == "refused"


def test_a_database_that_is_away_asks_to_try_again(raising: Callable[[Exception], Response]) -> None:
    assert raising(DatabaseUnreachable("gone")).headers["Retry-After"] == "5"


def test_a_fault_of_ours_stands_in_the_log(
    raising: Callable[[Exception], Response], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        raising(KeyError("the very key"))
    assert "the very key" in caplog.text


@pytest.mark.parametrize(
    ("path", "status"), [("/none", 404), ("/v1", 404), ("/v1/enrolments", 405), ("/v1/installation-events", 405)]
)
def test_what_is_no_route_is_a_problem_too(centre: MemoryCentre, path: str, status: int) -> None:
    require_problem(centre.get(path), status)


def test_members_are_added_and_empty_ones_left_out() -> None:
    plain = json.loads(bytes(problem_response(Problem(404, "gone"), "/x").body))
    assert "mend" not in plain
    assert "reason" not in plain
    full = json.loads(bytes(problem_response(Problem(404, "gone", "look", reason="r"), "/x", more=1).body))
    assert (full["mend"], full["reason"], full["more"]) == ("look", "r", 1)


def test_there_are_no_pages_that_load_scripts_from_elsewhere(centre: MemoryCentre) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert centre.get(path).status_code == 404
    assert centre.get("/v1/openapi.json").json()["info"]["title"] == "Metertree"


def test_every_handler_of_a_bare_application_is_installed() -> None:
    app = FastAPI()
    install(app)
    wanted: Iterable[Any] = (MeteringError, DatabaseUnreachable, psycopg.OperationalError, psycopg.DataError, Exception)
    assert set(wanted) <= set(app.exception_handlers)


def test_a_database_that_goes_away_is_seen_by_every_route_that_reads(closed: MemoryCentre) -> None:
    closed.database.refusal = DatabaseUnreachable("gone")
    paths = [
        RUNS,
        f"{RUNS}/x",
        f"{RUNS}/x/lines",
        f"{RUNS}/x/balance",
        "/v1/gateways",
        "/v1/gateways/x",
        "/",
        "/runs/x",
    ]
    for path in [*paths, "/v1/statements/x"]:
        require_problem(closed.get(path), 503)
    for path, content in ((RUNS, REQUEST), ("/v1/install-orders", order_for())):
        require_problem(closed.post(path, json=content), 503)
    octets = bundle(Claim.of_number(1))
    require_problem(closed.call("POST", "/v1/enrolments", content=octets), 503)


def test_a_run_that_is_half_stored_is_undone(centre: MemoryCentre, monkeypatch: pytest.MonkeyPatch) -> None:
    centre.books.enrol_all()
    centre.write_day()
    stored: list[str] = []

    def breaks(connection: Any, statements: Any) -> None:
        for statement in statements:
            stored.append(statement.number)
            if len(stored) == 3:
                raise psycopg.OperationalError("the line was cut")

    monkeypatch.setattr("ingest.closing.add_statements", breaks)
    require_problem(centre.post(RUNS, json=REQUEST), 503)
    assert len(stored) == 3
    assert centre.database.tables.runs == centre.database.tables.run_lines == {}


def test_the_wire_name_of_every_refusal_has_a_status() -> None:
    known = {"claim-unknown", "gateway-mismatch"}
    assert set(installation_routes._REFUSED) == known
    assert ADMIN["Authorization"].endswith(TOKEN)
