"""Every route and every command that changes the books stands in the audit log, or here with the reason why not."""

from __future__ import annotations

import getpass
import json
import pkgutil
import socket
from pathlib import Path
from typing import Any

import pytest

import ingest
from ingest import commands
from ingest.audit_log import Entry, Verb, chain_faults
from ingest.cli import main
from ingest.store.audit import entries
from ingest.store.database import Database
from ingest.store.operators import add_operator
from provisioning.keys import write_signing_key
from tests.doubles.installing import ADMIN, ENROLMENTS, NOW, InstallingCentre, bundle, machine
from tests.doubles.revoked_session import BY

NOTHING = "stores nothing"
ROUTES: dict[str, Verb | str] = {
    "POST /v1/oauth/token": "a token of 15 minutes; that its key was made stands in the log",
    "POST /v1/allocation-runs": Verb.RUN_COMPUTED,
    "POST /v1/allocation-runs/{run}/check": Verb.RUN_CHECKED,
    "POST /v1/allocation-runs/{run}/approve": Verb.RUN_APPROVED,
    "POST /v1/allocation-runs/{run}/publish": Verb.RUN_PUBLISHED,
    "POST /v1/allocation-runs/{run}/what-if": NOTHING,
    "POST /v1/allocation-runs/{run}/shadow": NOTHING,
    "POST /v1/allocation-runs/{run}/findings": NOTHING,
    "POST /v1/allocation-runs/{run}/preview": NOTHING,
    "POST /v1/install-orders": Verb.INSTALL_ORDERED,
    "POST /v1/enrolments": Verb.ENROLLED,
    "POST /v1/installation-events": Verb.EVENT_TAKEN,
    "POST /v1/installation-events/retry": Verb.SITE_PUT,
    "POST /v1/installation-packages": Verb.EVENT_TAKEN,
    "POST /v1/bindings/{binding}/approve": Verb.BINDING_APPROVED,
    "POST /v1/bindings/{binding}/refuse": Verb.BINDING_REFUSED,
    "POST /v1/gateways/{gateway}/revoke": Verb.GATEWAY_REVOKED,
    "POST /v1/certificates/renewals": Verb.CERTIFICATE_ISSUED,
    "POST /v1/key-handovers": Verb.KEY_ROLLED,
    "POST /v1/alerts/{alert}/acknowledge": Verb.ALERT_ACKNOWLEDGED,
    "POST /v1/envelopes": "each is signed and chained by its gateway; the ledger is its log",
    "POST /v1/quarantine/{number}/replay": Verb.QUARANTINE_REPLAYED,
    "POST /v1/readings/manual": Verb.READING_ADDED,
    "POST /v1/readings/candidate": NOTHING,
    "POST /v1/readings/{number}/accept": Verb.READING_DECIDED,
    "POST /v1/readings/{number}/refuse": Verb.READING_DECIDED,
    "POST /v1/readings/{number}/withdraw": Verb.READING_DECIDED,
    "PUT /v1/photos/{sha256}": Verb.PHOTO_PUT,
    "POST /v1/disputes/{dispute}/answer": Verb.DISPUTE_ANSWERED,
    "PUT /v1/statements/{number}/link": Verb.LINK_MADE,
    "DELETE /v1/statements/{number}/link": Verb.LINK_REVOKED,
    "POST /v1/webhook-endpoints": Verb.ENDPOINT_ADDED,
    "PUT /v1/webhook-endpoints/{endpoint}": Verb.ENDPOINT_CHANGED,
    "DELETE /v1/webhook-endpoints/{endpoint}": Verb.ENDPOINT_CHANGED,
    "POST /v1/webhook-endpoints/{endpoint}/turn": Verb.ENDPOINT_CHANGED,
    "POST /v1/webhook-endpoints/{endpoint}/rotate": Verb.SECRET_ROTATED,
    "POST /v1/webhook-endpoints/{endpoint}/replay": Verb.DELIVERIES_REPLAYED,
    "POST /v1/webhook-endpoints/{endpoint}/test": "tells one endpoint that it is tested; changes nothing of the books",
    "POST /v1/charges/{charge}/acknowledgements": Verb.CHARGE_ACKNOWLEDGED,
}
COMMANDS: dict[str, Verb | str] = {
    "alerts": Verb.ALERT_ACKNOWLEDGED,
    "api": "a program: its routes record",
    "audit": "reads; a checkpoint is signed by itself",
    "backup": "reads; a backup knows itself",
    "close": Verb.RUN_COMPUTED,
    "demo": "a program",
    "doctor": NOTHING,
    "erase": Verb.PERSON_ERASED,
    "fleet": NOTHING,
    "gateway_config": Verb.SETTINGS_ORDERED,
    "intake": "a program: the ledger is its log",
    "jobs": "a program: what it does follows from the books and the clock alone",
    "maintain": "what it drops follows from the books and the clock alone",
    "migrate": "schema_migrations is its log",
    "client": Verb.CLIENT_ADDED,
    "operator": Verb.OPERATOR_ADDED,
    "quarantine": Verb.QUARANTINE_REPLAYED,
    "reading": Verb.READING_ADDED,
    "restore": "fills an empty database, with the log in it",
    "run": Verb.RUN_APPROVED,
    "series": NOTHING,
    "serve": "a program: its routes record",
    "settle": "settled days follow from readings and the site alone",
    "simulate": NOTHING,
    "statements": Verb.LINK_MADE,
    "site": Verb.SITE_PUT,
    "verify": NOTHING,
    "verify_page": NOTHING,
    "webhook": Verb.ENDPOINT_ADDED,
}


def log_of(database: Database) -> list[Entry]:
    """The whole log."""
    with database.transaction() as connection:
        return list(entries(connection))


def test_no_route_changes_anything_that_nobody_thought_about(database: Database) -> None:
    described = InstallingCentre(database).app.openapi()["paths"]
    changing = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    assert {route for route in changing if not route.startswith("GET ")} == set(ROUTES)


def test_no_command_changes_anything_that_nobody_thought_about() -> None:
    assert {found.name for found in pkgutil.iter_modules(commands.__path__)} == set(COMMANDS)


def test_every_verb_is_recorded_by_somebody() -> None:
    words = {"audit_log.py", "audit_words.py", "audit_rows.py"}
    modules = [path for path in Path(str(ingest.__file__)).parent.rglob("*.py") if path.name not in words]
    source = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    assert [verb for verb in Verb if f"Verb.{verb.name}" not in source] == []


def test_commands_at_the_centre_are_recorded_with_account_and_machine(
    database: Database, migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with InstallingCentre(database).open() as centre:
        assert centre.client.post(ENROLMENTS, content=bundle(centre.order(), machine(1))).status_code == 201
    key = tmp_path / "centre.key"
    write_signing_key(key, bytes(32))
    before = len(log_of(database))
    place = ("--place", "line-a=/dev/ttyS0")
    words = (
        "gateway-config",
        "order",
        "gw-a",
        "--by",
        "eng-1",
        *place,
        "--dsn",
        migrated_dsn,
        "--centre-key",
        str(key),
    )
    assert main(words) == 0, capsys.readouterr().err
    assert main(("operator", "add", "eng-2", "--dsn", migrated_dsn)) == 0
    folder = Path(__file__).parents[2] / "examples/park"
    assert main(("site", "import", str(folder), "--dsn", migrated_dsn)) == 0, capsys.readouterr().err
    log = log_of(database)
    assert list(chain_faults(log)) == []
    added = log[before:]
    assert [one.verb for one in added][:2] == ["settings-ordered", "operator-added"]
    assert {one.who for one in added} == {f"local/{getpass.getuser()}"}
    assert {one.told["where"] for one in added} == {socket.gethostname()}
    assert added[0].told["after"]["by"] == "eng-1"


def test_an_operator_acts_under_his_own_name_over_http(database: Database) -> None:
    with database.transaction() as connection:
        token = add_operator(connection, "eng-1", BY, NOW)
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "a browser"}
    with InstallingCentre(database).open() as centre:
        expires_at = "2026-08-09T00:00:00+00:00"
        wanted: dict[str, Any] = {"site": "park", "gateway": "gw-a", "engineer": "x", "expires_at": expires_at}
        assert centre.client.post("/v1/install-orders", json=wanted, headers=headers).status_code == 201
        run = {"site": "park", "period": "2026-07", "booked_at": "2026-08-01T09:00:00+08:00", "by": "somebody-else"}
        answer = centre.client.post("/v1/allocation-runs", json=run, headers=headers)
        assert (answer.status_code, "cannot act as 'somebody-else'" in answer.json()["detail"]) == (409, True)
        step = {"by": "somebody-else", "at": "2026-08-01T10:00:00+08:00"}
        answer = centre.client.post("/v1/allocation-runs/none/approve", json=step, headers=headers)
        assert answer.status_code == 409
        ordered = centre.client.post("/v1/install-orders", json=wanted, headers=ADMIN)
        assert ordered.status_code == 201
    log = [one for one in log_of(database) if one.verb == "install-ordered"]
    assert [one.who for one in log] == ["eng-1", "admin"]
    assert log[0].told["device"] == "a browser"
    assert json.loads(log[0].content or "")["after"]["engineer"] == "x"
