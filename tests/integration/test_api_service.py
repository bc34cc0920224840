"""The whole central service behind HTTP, over a real database: runs, statements, gateways, console, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.cli import main
from ingest.closing import Closing
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.identity import GatewayId
from metering.interval import SLOT
from provisioning.enrolment import BUNDLE_OCTETS_MAX, Claim, seal_bundle
from provisioning.keys import FileSigner
from tests.doubles.page_parts import foreign_parts
from tests.doubles.park_books import CENTRE, ParkBooks, read_park
from tests.doubles.servers import _database
from tests.doubles.web import serving

TOKEN = "t0ken"
PERIOD = "2026-07-01--2026-07-01"
BOOKED_AT = "2026-08-01T09:00:00+08:00"
REQUEST = {"site": "park", "period": PERIOD, "booked_at": BOOKED_AT}
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
NOW = datetime(2026, 8, 1, 1, tzinfo=UTC)
PROBLEM = "application/problem+json"


class Centre:
    """A service with switches for what it depends on."""

    def __init__(self, database: Database) -> None:
        site, rules, play, catalogue = read_park()
        self.books = ParkBooks(database, site, rules, play, catalogue)
        self.broker_answers = True
        self.metrics = Metrics()
        self.metrics.follow(IntakeCounters(accepted=7))
        parts = WebParts(
            database=database,
            closing=Closing(Settlement(database, catalogue), CENTRE, bytes(32)),
            clock=ManualClock(NOW),
            centre_key=CENTRE.public_key,
            admin_token=TOKEN,
            checks={"database": database.answers, "broker": lambda: self.broker_answers},
            metrics=self.metrics,
        )
        self.app = create_app(parts)
        self.client: Client

    @contextmanager
    def open(self) -> Iterator[Centre]:
        """Serve while inside."""
        with serving(self.app) as self.client:
            yield self

    def write_day(self) -> None:
        """Store every reading of the first day."""
        start = self.books.site.calendar.period(PERIOD).start
        self.books.write(start + index * SLOT for index in range(97))

    def close(self) -> Any:
        """Ask for the run; give the answer's content."""
        return self.client.post("/v1/allocation-runs", json=REQUEST, headers=ADMIN).json()


@pytest.fixture
def centre(database: Database) -> Iterator[Centre]:
    """A service on an empty database."""
    with Centre(database).open() as built:
        yield built


@pytest.fixture(scope="module")
def closed(postgres_dsn: str, migrated_template: str) -> Iterator[Centre]:
    """A service with one closed day, for tests that only read."""
    with closed_centre(postgres_dsn, migrated_template) as built:
        yield built


@contextmanager
def closed_centre(postgres_dsn: str, migrated_template: str) -> Iterator[Centre]:
    """A service on a database of its own, with one closed day."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=4) as database, Centre(database).open() as built:
            built.books.enrol_all()
            built.write_day()
            assert built.close()["run"]
            yield built


def test_closing_twice_gives_one_run_whatever_the_booking_time(centre: Centre) -> None:
    centre.books.enrol_all()
    centre.write_day()
    first = centre.client.post("/v1/allocation-runs", json=REQUEST, headers=ADMIN)
    later = REQUEST | {"booked_at": "2026-09-01T09:00:00+08:00"}
    second = centre.client.post("/v1/allocation-runs", json=later, headers=ADMIN)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.headers["Location"] == second.headers["Location"]
    assert len(centre.client.get("/v1/allocation-runs").json()["runs"]) == 1


def test_lines_and_residuals_add_up_to_every_pool_and_statements_to_the_run(closed: Centre) -> None:
    summary = closed.close()
    document = closed.client.get(summary["href"]).json()["document"]
    for pool in document["pools"]:
        lines = closed.client.get(f"{summary['href']}/lines", params={"pool": pool["id"]}).json()["lines"]
        assert sum(line["amount_minor"] for line in lines) == pool["cost_minor"]
    stated = sum(statement["total_minor"] for statement in summary["statements"])
    assert stated == sum(pool["cost_minor"] for pool in summary["pools"])


def test_lines_can_be_asked_for_by_party(closed: Centre) -> None:
    href = closed.close()["href"]
    lines = closed.client.get(f"{href}/lines", params={"party": "t-01"}).json()["lines"]
    assert lines
    assert {line["party"] for line in lines} == {"t-01"}


def test_the_balance_names_every_node_and_the_exceptions(closed: Centre) -> None:
    balance = closed.client.get(f"{closed.close()['href']}/balance").json()
    assert {row["node"] for row in balance["balance"]} == {node.id for node in closed.books.site.nodes}
    assert balance["cases"] == []
    assert balance["reconciliation"]["supply_wh"] > 0


def test_a_downloaded_statement_verifies_with_the_public_key_alone(
    closed: Centre, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, file = tmp_path / "centre.pub", tmp_path / "statement.json"
    key.write_text(CENTRE.public_key.hex(), encoding="ascii")
    answer = closed.client.get(f"/v1/statements/park-{PERIOD}-t-01-v1")
    assert "attachment" in answer.headers["Content-Disposition"]
    file.write_bytes(answer.content)
    root = closed.client.get(closed.close()["href"]).json()["document"]["commitment"]["root"]
    for language, *words in (
        ("en", "Everything holds.", "Do the shares add up?", "of all others make exactly its cost of"),
        ("zh", "一切成立。", "分摊是否一分不差", "相加正好是该池费用"),
    ):
        assert main(["verify", str(file), "--key", str(key), "--lang", language]) == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words)
        assert root in told
    assert main(["verify", str(file), "--key", str(key), "--line", "own-use/a101/t-01", "--all-spans"]) == 0
    assert "rounded once" in capsys.readouterr().out
    assert main(["verify", str(file), "--key", str(key), "--line", "no/such/line"]) == 1
    assert main(["verify", str(file), "--key", str(key), "--json"]) == 0


def test_a_changed_statement_does_not_verify(
    closed: Centre, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, file = tmp_path / "centre.pub", tmp_path / "statement.json"
    key.write_text(CENTRE.public_key.hex(), encoding="ascii")
    bundle = closed.client.get(f"/v1/statements/park-{PERIOD}-t-01-v1").json()
    bundle["evidence"] = bundle["evidence"][1:]
    file.write_text(json.dumps(bundle), encoding="utf-8")
    assert main(["verify", str(file), "--key", str(key)]) == 1
    assert "Does not hold: evidence" in capsys.readouterr().out
    bundle["proof"] = closed.client.get(f"/v1/statements/park-{PERIOD}-t-02-v1").json()["proof"]
    file.write_text(json.dumps(bundle), encoding="utf-8")
    assert main(["verify", str(file), "--key", str(key)]) == 1
    told = capsys.readouterr().out
    assert "pool lift-and-fire-pump" in told.splitlines()[-1]
    assert "Do the shares add up?" not in told
    key.write_text(FileSigner.from_seed(bytes(32)).public_key.hex(), encoding="ascii")
    assert main(["verify", str(file), "--key", str(key)]) == 1
    assert "statement key" in capsys.readouterr().out


def test_two_databases_that_were_told_the_same_give_the_same_octets(
    closed: Centre, migrated_template: str, postgres_dsn: str
) -> None:
    with closed_centre(postgres_dsn, migrated_template) as other:
        assert other.close() == closed.close()
        path = f"/v1/statements/park-{PERIOD}-t-04-v1"
        assert other.client.get(path).content == closed.client.get(path).content


def test_a_period_with_missing_readings_is_refused_with_every_reason(centre: Centre) -> None:
    centre.books.enrol_all()
    answer = centre.client.post("/v1/allocation-runs", json=REQUEST, headers=ADMIN)
    assert (answer.status_code, answer.headers["Content-Type"]) == (409, PROBLEM)
    assert "main" in answer.json()["detail"]
    assert centre.client.get("/v1/allocation-runs").json() == {"runs": []}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"site": "nowhere"}, 409),
        ({"period": "July"}, 422),
        ({"booked_at": "2026-08-01T09:00:00"}, 422),
        ({"more": 1}, 422),
    ],
)
def test_a_wrong_request_is_a_problem_that_says_what_is_wrong(
    centre: Centre, change: dict[str, Any], status: int
) -> None:
    centre.books.enrol_all()
    answer = centre.client.post("/v1/allocation-runs", json=REQUEST | change, headers=ADMIN)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert answer.json()["detail"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
@pytest.mark.parametrize("path", ["/v1/allocation-runs", "/v1/install-orders"])
def test_a_write_without_the_admin_token_is_refused(centre: Centre, headers: dict[str, str], path: str) -> None:
    answer = centre.client.post(path, json=REQUEST, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path",
    ["/v1/allocation-runs/none", "/v1/allocation-runs/none/lines", "/v1/statements/none", "/v1/gateways/none", "/none"],
)
def test_what_does_not_exist_is_a_problem_document(centre: Centre, path: str) -> None:
    answer = centre.client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, PROBLEM)


def test_a_gateway_enrols_once_by_its_claim_and_is_then_listed(centre: Centre) -> None:
    centre.books.enrol_all()
    order = {
        "site": "park",
        "gateway": "gw-a",
        "engineer": "fitter",
        "expires_at": (NOW + timedelta(days=1)).isoformat(),
    }
    claim = centre.client.post("/v1/install-orders", json=order, headers=ADMIN).json()["claim"]
    signer = FileSigner.from_seed(b"\x01" * 32)
    bundle = seal_bundle(
        GatewayId("gw-a"), epoch=2, claim=Claim.parse(claim), public_key=signer.public_key, signer=signer
    )
    first, again = (centre.client.post("/v1/enrolments", content=bundle) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["centre_public_key"] == CENTRE.public_key.hex()
    listed = centre.client.get("/v1/gateways").json()["gateways"]
    assert [(one["gateway"], one["epoch"]) for one in listed] == [("gw-a", 2), ("gw-b", 1)]
    other = FileSigner.from_seed(b"\x02" * 32)
    stolen = seal_bundle(
        GatewayId("gw-a"), epoch=3, claim=Claim.parse(claim), public_key=other.public_key, signer=other
    )
    refused = centre.client.post("/v1/enrolments", content=stolen)
    assert (refused.status_code, refused.json()["reason"]) == (409, "claim-used")


@pytest.mark.parametrize(("octets", "status"), [(b"", 422), (bytes(50), 422), (bytes(BUNDLE_OCTETS_MAX + 1), 413)])
def test_an_enrolment_that_is_none_is_refused(centre: Centre, octets: bytes, status: int) -> None:
    answer = centre.client.post("/v1/enrolments", content=octets)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)


def test_an_order_for_an_unknown_gateway_or_a_past_day_is_refused(centre: Centre) -> None:
    centre.books.enrol_all()
    order = {
        "site": "park",
        "gateway": "gw-z",
        "engineer": "fitter",
        "expires_at": (NOW + timedelta(days=1)).isoformat(),
    }
    assert centre.client.post("/v1/install-orders", json=order, headers=ADMIN).status_code == 404
    past = order | {"gateway": "gw-a", "expires_at": (NOW - timedelta(days=1)).isoformat()}
    assert centre.client.post("/v1/install-orders", json=past, headers=ADMIN).status_code == 422


def test_readiness_asks_what_the_service_depends_on(centre: Centre) -> None:
    assert centre.client.get("/healthz").json() == {"status": "ok"}
    assert centre.client.get("/readyz").status_code == 200
    centre.broker_answers = False
    answer = centre.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"database": "ok", "broker": "away"})


def test_a_database_that_is_away_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.store.database.CHECKOUT_S", 0.2)
    dsn = "host=127.0.0.1 port=1 connect_timeout=1"
    with Database(dsn, connections=1) as nowhere, Centre(nowhere).open() as centre:
        assert centre.client.get("/readyz").json()["checks"]["database"] == "away"
        answer = centre.client.get("/v1/gateways")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert centre.client.get("/healthz").status_code == 200


def test_metrics_count_answers_and_what_the_intake_did(centre: Centre) -> None:
    centre.client.get("/v1/gateways")
    text = centre.client.get("/metrics").text
    assert 'metertree_http_requests_total{route="/v1/gateways",status="200"} 1.0' in text
    assert "metertree_intake_accepted_total 7.0" in text


def test_the_first_page_waits_for_a_site_then_for_a_run(centre: Centre) -> None:
    page = centre.client.get("/?lang=en").text
    assert "metertree site import" in page
    assert 'http-equiv="refresh"' in page
    centre.books.enrol_all()
    page = centre.client.get("/?lang=en").text
    assert "Example park" in page
    assert "gw-a" in page


def test_the_first_page_shows_the_newest_run_in_both_languages(closed: Centre) -> None:
    run = closed.close()["run"]
    chinese, english = (closed.client.get("/", headers={"Accept-Language": one}) for one in ("zh-CN", "en"))
    assert '<html lang="zh-CN">' in chinese.text
    assert "分摊明细确认单" in chinese.text
    assert "示范产业园" in chinese.text
    assert '<html lang="en">' in english.text
    for page in (chinese.text, english.text):
        assert run in page
        assert "fails" not in page
        assert page.count("✓") == 4
        assert 'http-equiv="refresh"' not in page
    its_own, first = (closed.client.get(f"{path}?lang=en").text for path in (f"/runs/{run}", "/"))
    assert its_own.split("<main")[1] == first.split("<main")[1]
    assert closed.client.get("/runs/none").status_code == 404


def test_pages_load_nothing_from_elsewhere(closed: Centre) -> None:
    answer = closed.client.get("/")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "https://" not in answer.text
    loaded = re.findall(r'<(?:script|link)\b[^>]*(?:src|href)="([^"]+)"', answer.text)
    assert loaded
    for path in loaded:
        file = closed.client.get(path)
        assert (file.status_code, "immutable" in file.headers["Cache-Control"]) == (200, True)
    assert foreign_parts(answer.text) == []
    style = closed.client.get("/static/console.css")
    assert style.headers["Content-Type"].startswith("text/css")
    assert "url(" not in style.text


def test_names_in_a_site_cannot_inject_markup(centre: Centre) -> None:
    document = centre.books.site.to_document()
    document["names"] = {"zh": "<script>", "en": "<script>alert(1)</script>"}
    centre.books.site = type(centre.books.site).from_document(document)
    centre.books.enrol_all()
    assert "<script>" not in centre.client.get("/?lang=en").text
