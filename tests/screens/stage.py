"""A park in which something of everything has happened, served: what the pictures of all pages are taken of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ingest.alert_rules import AlertKind, Cause, Changes, Finding, Scope, Severity
from ingest.caller import Caller, acting
from ingest.rulebook.desk import Entry
from ingest.rulebook.parts import read_part
from ingest.statement_desk import Complaint, StatementDesk
from ingest.store.alerts import lock_alerts, open_alerts, store_changes
from ingest.store.clients import add_client
from ingest.store.database import Database
from ingest.store.operators import Post, add_operator
from ingest.store.quarantine import list_kept
from ingest.store.sign_ins import make_link, set_password
from ingest.store.sites import import_site, require_site
from metering.obis import ENERGY_IMPORT
from provisioning.place import Place
from tests.doubles.review_centre import FIRST, NOW, PARK_ID, SECOND, TOKEN, ReviewCentre
from tests.doubles.ruled_park import RuledPark
from tests.doubles.surveyed_park import surveyed_site
from tests.doubles.waiting_park import Park

PASSWORD = "correct horse battery"
ADMIN = Caller("admin", "127.0.0.1", "a test")
TENANT = f"park-{FIRST}-t-01-v1"
SHADE = hashlib.sha256(b"places").digest()


@dataclass
class Stage:
    """The served park; `parts` are what paths of pages are filled with."""

    url: str
    parts: Mapping[str, str]

    def path(self, pattern: str) -> str:
        """Fill the pattern of a page."""
        return pattern.format_map(self.parts)


@contextmanager
def stage(database: Database) -> Iterator[Stage]:
    """Fill an empty database and serve it."""
    centre = ReviewCentre(database)
    centre.fill()
    parts = {"site": str(PARK_ID), "node": "lobby-ac", "gateway": "gw-a", "number": TENANT}
    parts["published"], parts["before"] = centre.runs[FIRST], centre.close(SECOND)
    people = _people(database)
    parts["operator"] = "eva"
    parts["client"] = "billing-1"
    parts["welcome"] = people
    _install(database)
    _survey(database)
    parts["run"] = centre.close(SECOND)
    parts["binding"] = "gw-a-2-1"
    parts["alert"] = _alerts(database)
    parts |= _rules(database)
    parts |= _tenants(database, centre)
    with centre.open():
        client = centre.client
        client.post("/v1/envelopes", content=b"\x84not an envelope", headers={"Content-Type": "application/cose"})
        with database.transaction() as connection:
            kept = list_kept(connection, 1)
        parts["kept"] = str(kept[0].number) if kept else "0"
        made = client.post(
            "/v1/webhook-endpoints",
            json={"url": "https://billing.example/hooks/metertree", "description": "billing"},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        parts["endpoint"] = made.json()["id"]
        parts["reading"] = _reading(client, centre.headers("bo"))
        yield Stage(str(client.base_url).rstrip("/"), parts)


def _people(database: Database) -> str:
    """Let `eva` sign in with a password and every role; give a link by which another chooses his."""
    by = Caller("eva", "127.0.0.1", "", True)
    with database.transaction() as connection:
        add_operator(connection, "eva", ADMIN, NOW, Post(("administrator", "energy-manager", "approver", "finance")))
        set_password(connection, "eva", PASSWORD, by, NOW)
        add_operator(connection, "kim", ADMIN, NOW, Post(("finance",), (str(PARK_ID),)))
        add_client(connection, "billing-1", ("billing",), None, ADMIN, NOW)
        return make_link(connection, "kim", ADMIN, NOW)


def _survey(database: Database) -> None:
    """Put outlines of buildings and places of meters into the site."""
    outlines = {node.id: node.outline for node in surveyed_site().nodes}
    with database.transaction() as connection:
        version = require_site(connection, PARK_ID)
        site = version.site
        nodes = tuple(replace(node, outline=outlines.get(node.id)) for node in site.nodes)
        meters = tuple(
            meter
            if meter.place
            else replace(meter, place=Place(312_989_500 + SHADE[place] * 14, 1_205_853_000 + SHADE[-place - 1] * 48))
            for place, meter in enumerate(site.meters)
        )
        import_site(connection, replace(site, nodes=nodes, meters=meters), version.rules, imported_at=NOW)


def _install(database: Database) -> None:
    Park(database).install()


def _alerts(database: Database) -> str:
    silent = {"site": str(PARK_ID), "since": "2026-08-01T00:00:00+00:00", "never": False}
    found = (
        Finding(Cause(AlertKind.GATEWAY_SILENT, Scope.GATEWAY, "gw-a"), Severity.CRITICAL, True, silent),
        Finding(Cause(AlertKind.DISK_FULL, Scope.SERVICE, "/data"), Severity.WARNING, True, {"percent": 91}),
    )
    with database.transaction() as connection:
        lock_alerts(connection)
        store_changes(connection, Changes(found, (), (), ()), NOW)
        return str(open_alerts(connection)[0].alert)


def _rules(database: Database) -> dict[str, str]:
    """Write a draft of another formula for the lobby."""
    park = RuledPark(database)
    pools = [pool["id"] for pool in park.books.rules["pools"]["pools"]]
    with acting(Caller("bo", "127.0.0.1", "", True)):
        pool = "lobby" if "lobby" in pools else pools[0]
        content = {**read_part(park.books, f"pool/{pool}"), "names": {"zh": "大堂空调（新）", "en": "Lobby A/C (new)"}}
        draft = park.desk.save(PARK_ID, Entry({f"pool/{pool}": content}, "Lobby by degree days", "from August on"))
    return {"pool": pool, "draft": str(draft.draft), "series": "tmax"}


def _tenants(database: Database, centre: ReviewCentre) -> dict[str, str]:
    """Give links to statements: one untouched, one disputed."""
    desk = StatementDesk(database, centre.clock, bytes(32))
    with acting(ADMIN):
        token = desk.link(TENANT, ADMIN).token
        other = desk.link(TENANT.replace("t-01", "t-03"), ADMIN).token
        line = desk.open_token(other).content.lines[0].id
        phone = Caller("tenant/park/t-03", "203.0.113.9", "a telephone")
        dispute = desk.dispute(other, Complaint(line, "The lobby was closed for a week / 大堂停用了一周"), phone)
    return {"token": token, "disputed": other, "dispute": str(dispute.dispute)}


def _reading(client: Any, headers: dict[str, str]) -> str:
    """Enter what somebody read wrongly off a display: it waits for a second person."""
    at = datetime(2026, 7, 1, 4, tzinfo=UTC).isoformat()
    look = {"site": str(PARK_ID), "meter": "m-lift", "obis": str(ENERGY_IMPORT), "read_at": at, "text": "1.00"}
    entered = client.post("/v1/readings/manual", json=look, headers=headers)
    return str(entered.json().get("number", 0))
