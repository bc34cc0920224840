"""The gateway's desk before a real centre: order, installation, grant, envelopes, exchange, package."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_agent import installed
from edge_agent.installation.desk import Desk
from edge_agent.installation.home import Home
from edge_agent.installed import run_at_home
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.sites import import_site
from metering.clock import SystemClock
from metering.identity import MeterId
from provisioning.keys import fingerprint
from tests.doubles.desk import WHO, Cabinet, accept_all, cabinet, desk_at, node, request, typed
from tests.doubles.edge_station import wait_for
from tests.doubles.park_books import CENTRE, read_park
from tests.doubles.surveyed_park import picture, surveyed_site
from tests.doubles.web import serving

ADMIN = {"Authorization": "Bearer t0ken"}


class Centre:
    """A centre on the machine's own clock, with the park imported and nothing enrolled."""

    def __init__(self, database: Database) -> None:
        _, rules, _, catalogue = read_park()
        clock, metrics = SystemClock(), Metrics()
        metrics.follow(IntakeCounters())
        with database.transaction() as connection:
            import_site(connection, surveyed_site(), rules.document, imported_at=clock.now() - timedelta(days=1))
        closing = Closing(Settlement(database, catalogue), CENTRE, bytes(32))
        checks = {"database": database.answers}
        self.app = create_app(WebParts(database, closing, clock, CENTRE.public_key, "t0ken", checks, metrics))

    @contextmanager
    def open(self) -> Iterator[Centre]:
        """Serve while inside."""
        with serving(self.app) as self.client:
            yield self

    def order(self) -> tuple[bytes, str]:
        """Order an installation; gives the order file and the claim."""
        expires_at = (SystemClock().now() + timedelta(days=14)).isoformat()
        wanted = {"site": "park", "gateway": "gw-b", "engineer": "eng-1", "expires_at": expires_at}
        answer = self.client.post("/v1/install-orders", json=wanted, headers=ADMIN)
        assert answer.status_code == 201, answer.text
        return base64.b64decode(answer.json()["order_file"]), answer.json()["claim"]

    def asks(self, path: str) -> Any:
        """Ask something of the centre."""
        answer = self.client.get(path, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def bindings(self) -> dict[str, str]:
        """Bindings that the centre knows, by meter."""
        return {one["meter"]: one["state"] for one in self.asks("/v1/bindings?site=park")["bindings"]}

    def takes(self, package: bytes) -> Any:
        """Take a package that somebody brought."""
        answer = self.client.post("/v1/installation-packages", content=package)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


@pytest.fixture
def centre(database: Database) -> Iterator[Centre]:
    """A service with the park imported."""
    with Centre(database).open() as built:
        yield built


@pytest.fixture
def meters() -> Iterator[Cabinet]:
    """The meters of gw-b."""
    with cabinet() as found:
        yield found


@contextmanager
def agent(home: Home) -> Iterator[None]:
    """The agent in a thread, as `metertree-gateway run --home` runs it."""
    stop = threading.Event()
    thread = threading.Thread(target=run_at_home, args=(home, [], stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def installed_by(desk: Desk, centre: Centre, meters: Cabinet, *names: str) -> None:
    """Take an order and install some meters."""
    order, claim = centre.order()
    desk.begin(order, WHO, confirmed=fingerprint(CENTRE.public_key), claim=claim)
    desk.set_port(desk.state().ports[0].id, meters.place, WHO)
    for name in names:
        desk.bind(request(name), WHO)
    desk.photograph(MeterId(names[0]), "meter", picture(7), WHO)
    desk.check(WHO)
    accept_all(desk)
    desk.seal(WHO)


def test_a_gateway_is_installed_measures_and_changes_over_its_own_network(
    centre: Centre, meters: Cabinet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "DELIVERY_S", (0.2, 0.4))
    monkeypatch.setattr(installed, "NOTHING_S", 0.1)
    with agent(Home(tmp_path)), desk_at(tmp_path, SystemClock()) as desk:
        installed_by(desk, centre, meters, "m-main", "m-u-b101")
        wait_for(lambda: desk.state().delivery.is_granted, "the grant")
        told = desk.deliver()
        assert told.problem is None, told.problem
        assert centre.bindings() == {"m-main": "pending", "m-u-b101": "pending"}
        wait_for(lambda: centre.asks("/v1/gateways/gw-b")["contiguous_seq"] >= 1, "the first envelope")

        new = replace(request("m-u-b202"), node=node("u-b101"), unit=None)
        desk.exchange(MeterId("m-u-b101"), new, WHO)
        desk.compare(MeterId("m-u-b101-2"), typed(meters, "m-u-b202"), WHO)
        desk.check(WHO)
        accept_all(desk)
        desk.seal(WHO)
        wait_for(lambda: centre.bindings().get("m-u-b101-2") == "pending", "the exchange")
        assert desk.deliver().problem is None
    told = centre.asks("/v1/history?meter=m-u-b101-2&site=park")["events"]
    assert [one["kind"] for one in told] == ["exchange"]


def test_an_installation_without_any_network_goes_by_telephone(centre: Centre, meters: Cabinet, tmp_path: Path) -> None:
    with desk_at(tmp_path, SystemClock()) as desk:
        installed_by(desk, centre, meters, "m-main")
        answer = centre.takes(desk.package())
        state = desk.take_grant(base64.b64decode(answer["enrolment"]["grant"]))
        assert state.delivery.is_granted
        assert centre.bindings() == {"m-main": "pending"}
        again = centre.takes(desk.package())
        assert base64.b64decode(again["enrolment"]["grant"]) == base64.b64decode(answer["enrolment"]["grant"])
