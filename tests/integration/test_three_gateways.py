"""A whole site installed: three gateways, 60 meters, four protocols, offline, then online; each error is caught.

The back office orders, engineers install without any network, the gateways measure; then one reaches the centre by its
own network, one by the engineer's telephone, one by a file. A second person approves, and only then it counts.
"""

from __future__ import annotations

import base64
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from edge_agent import installed
from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.installation.desk import Desk
from edge_agent.installation.home import Home
from edge_agent.installation.view import BindRequest, Typed, Who
from edge_agent.installed import run_at_home
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.caller import SERVICE
from ingest.closing import Closing
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.operators import add_operator
from ingest.store.sites import import_site
from metering.clock import SystemClock
from metering.envelope import open_sealed
from metering.identity import GatewayId, PortId
from metering.reading import ReadQuality
from provisioning.enrolment import Claim, seal_bundle
from provisioning.keys import FileSigner, fingerprint
from provisioning.report.files import check_report
from tests.doubles.edge_station import wait_for
from tests.doubles.park_books import CENTRE
from tests.doubles.surveyed_park import picture
from tests.doubles.wharf import CATALOGUE, LINES, Fitted, expected, fitted_meters, lines_up, shown, site_of

ADMIN = {"Authorization": "Bearer t0ken"}
ENGINEER = Who("eng-1", "telephone 1")
GATEWAYS = ("gw-north", "gw-south", "gw-west")


def free_port() -> int:
    """Find a port of this machine that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Office:
    """The centre, and the people in it; `open` puts it on the network at its one address."""

    def __init__(self, database: Database, meters: list[Fitted]) -> None:
        clock, metrics = SystemClock(), Metrics()
        metrics.follow(IntakeCounters())
        self.database = database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.meters = meters
        with database.transaction() as connection:
            import_site(connection, site_of(meters), {}, imported_at=clock.now() - timedelta(days=1))
            self.tokens = {name: add_operator(connection, name, SERVICE, clock.now()) for name in ("eng-1", "office-2")}
        closing = Closing(Settlement(database, CATALOGUE), CENTRE, bytes(32))
        checks = {"database": database.answers}
        self.app = create_app(WebParts(database, closing, clock, CENTRE.public_key, "t0ken", checks, metrics))

    @contextmanager
    def open(self) -> Iterator[httpx.Client]:
        """Be reachable while inside."""
        server = uvicorn.Server(
            uvicorn.Config(self.app, "127.0.0.1", self.port, log_config=None, access_log=False, lifespan="off")
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_for(lambda: server.started, "the centre")
        try:
            with httpx.Client(base_url=self.url, timeout=60, trust_env=False, headers=ADMIN) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()

    def order(self, client: httpx.Client, gateway: str, url: str | None = None) -> tuple[bytes, str]:
        """Order an installation; gives the order file and the claim."""
        wanted = {
            "site": "wharf",
            "gateway": gateway,
            "engineer": "eng-1",
            "expires_at": (SystemClock().now() + timedelta(days=7)).isoformat(),
            "centre_url": url or self.url,
            "expected": [
                {
                    "meter": one.meter,
                    "node": one.node,
                    "unit": one.unit,
                    "serial": one.serial,
                    "profile": one.profile,
                    "ct": one.ct,
                    "pt": one.pt,
                    "port": one.port,
                }
                for one in expected(self.meters, gateway)
            ],
        }
        answer = client.post("/v1/install-orders", json=wanted)
        assert answer.status_code == 201, answer.text
        return base64.b64decode(answer.json()["order_file"]), answer.json()["claim"]

    def asks(self, client: httpx.Client, path: str) -> Any:
        """Ask something."""
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def decides(self, client: httpx.Client, who: str, binding: str, word: str = "approve") -> int:
        """Have somebody decide about a binding."""
        own = {"Authorization": f"Bearer {self.tokens[who]}"}
        answer = client.post(f"/v1/bindings/{binding}/{word}", json={"reason": "compared with the plan"}, headers=own)
        return answer.status_code


@dataclass
class Station:
    """One gateway at the site."""

    desk: Desk
    home: Home
    meters: list[Fitted]

    @property
    def gateway(self) -> str:
        """Its id."""
        return self.meters[0].line.gateway

    def codes(self) -> set[tuple[str, str]]:
        """What is open: code and subject."""
        return {(one.code, one.subject) for one in self.desk.state().open_findings}

    def scan(self, line: str, seconds: float = 120.0) -> Any:
        """Scan a line to its end, or until the engineer has seen enough [s]."""
        stop = threading.Event()
        watch = threading.Timer(seconds, stop.set)
        watch.start()
        try:
            return self.desk.scan(PortId(line), ENGINEER, lambda _: None, stop)
        finally:
            watch.cancel()

    def bind(self, one: Fitted, **changes: Any) -> None:
        """Bind a meter as the plan has it, found by the scan."""
        self.desk.bind(BindRequest(one.node, place=one.place, seal=f"S-{one.name}", **changes), ENGINEER)

    def compare(self, one: Fitted, other: Fitted | None = None, ratio: int = 1) -> str:
        """Type what a display shows; gives the verdict."""
        obis, _, unit = one.counter
        self.desk.read(one.meter)
        (told,) = self.desk.compare(one.meter, [Typed(obis, shown(other or one, ratio), unit)], ENGINEER)
        return told.verdict

    def accept_rest(self) -> None:
        """Give a reason for what is open and was looked at."""
        for finding in self.desk.state().open_findings:
            self.desk.accept(finding.code, finding.subject, "looked at on site", ENGINEER)


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


def measured(home: Home) -> set[str]:
    """Which meters gave a reading so far, by what the gateway signed."""
    if not home.state.joinpath("outbox.db").exists():
        return set()
    outbox = SqliteOutbox(home.state / "outbox.db", GatewayId("any"), lambda _: b"")
    try:
        entries = [entry for epoch in outbox.epochs() for entry in outbox.after(epoch, 0, 1000)]
    finally:
        outbox.close()
    verifier = FileSigner.read(home.signing_key).verifier()
    return {
        reading.meter
        for entry in entries
        for reading in open_sealed(entry.octets, verifier).envelope.readings
        if reading.quality is ReadQuality.MEASURED
    }


def named(meters: list[Fitted], name: str) -> Fitted:
    """Find a meter."""
    return next(one for one in meters if one.name == name)


def wired(one: Fitted, watts: tuple[int, int, int], amperes: int = 5) -> None:
    """Put a load on a meter: 230 V, so many amperes, and what it makes of them per phase."""
    power = dict(zip(("1-0:36.7.0", "1-0:56.7.0", "1-0:76.7.0"), watts, strict=True))
    volts = dict.fromkeys(("1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0"), 230_000)
    current = dict.fromkeys(("1-0:31.7.0", "1-0:51.7.0", "1-0:71.7.0"), amperes * 1000)
    one.registers.set_to = {**power, **volts, **current, "1-0:16.7.0": sum(watts)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents look and deliver without the pauses of the field."""
    monkeypatch.setattr(installed, "DELIVERY_S", (0.2, 0.5))
    monkeypatch.setattr(installed, "NOTHING_S", 0.1)
    monkeypatch.setattr(installed, "LOOK_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_a_site_is_installed_offline_then_online_and_each_error_is_caught(database: Database, tmp_path: Path) -> None:
    meters = fitted_meters()
    assert len(meters) == 60
    intruder = Fitted("x-01", LINES[0], "eastron/sdm630", named(meters, "n-01").protocol, "5", "63999999", 63_999_999)
    office = Office(database, meters)
    with office.open() as client:
        papers = {name: office.order(client, name) for name in GATEWAYS}
        stolen = papers["gw-west"][1]

    with lines_up(tmp_path, [*meters, intruder]) as lines:
        stations = {name: begun_at(tmp_path / name, papers[name], meters, name, lines) for name in GATEWAYS}
        north, south, west = (stations[name] for name in GATEWAYS)
        try:
            duplicate_address_is_caught_and_mended(north, lines["n-1"], meters)
            with ThreadPoolExecutor(3) as people:
                list(people.map(lambda station: find_and_bind(station, lines), stations.values()))
            wrong_tenant_is_caught_and_mended(north)
            swapped_phases_are_caught_and_mended(north)
            wrong_ratio_is_caught_and_mended(south)
            for station in stations.values():
                station.desk.check(ENGINEER)
                assert not [one for one in station.desk.state().open_findings if one.severity.value == "wrong"]
                station.accept_rest()
                station.desk.photograph(station.meters[0].meter, "meter", picture(3), ENGINEER)
                station.desk.seal(ENGINEER)
            measured_without_a_network(south, west)
            clone = cloned(north.home, tmp_path / "cloned card")

            with office.open() as client:
                north_by_its_own_network(office, client, north)
                cloned_card_is_caught(office, client, clone)
                south_by_telephone(office, client, south)
                stolen_claim_is_caught_and_west_comes_by_file(office, client, west, stolen, tmp_path, lines)
                second_person_approves(office, client)
            report_is_proven(north)
        finally:
            for station in stations.values():
                station.desk.close()


def begun_at(root: Path, papers: tuple[bytes, str], meters: list[Fitted], name: str, lines: Any) -> Station:
    """Take an order to the site: the fingerprint was compared, the lines are where the engineer found them."""
    home = Home(root)
    desk = Desk(home, CATALOGUE, SystemClock())
    station = Station(desk, home, [one for one in meters if one.line.gateway == name])
    desk.begin(papers[0], ENGINEER, confirmed=fingerprint(CENTRE.public_key), claim=papers[1])
    for line in {one.line.id for one in station.meters}:
        desk.set_port(PortId(line), lines[line].place, ENGINEER)
    return station


def duplicate_address_is_caught_and_mended(north: Station, line: Any, meters: list[Fitted]) -> None:
    """Two meters answer at address 5: told with free addresses, and gone when one is taken off."""
    result = north.scan("n-1", seconds=25)
    (twice,) = result.duplicates
    assert twice.address == "5"
    assert result.free_addresses[twice.protocol]
    line.line.take_off("m-x-01")
    result = north.scan("n-1")
    assert (result.duplicates, result.missing, len(result.found)) == ((), (), 12)


def find_and_bind(station: Station, lines: Any) -> None:
    """Scan what is left, bind every meter where the plan has it, compare each display."""
    for line in sorted({one.line.id for one in station.meters} - {"n-1"}):
        result = station.scan(line)
        assert (result.missing, result.foreign) == ((), ()), line
    for one in station.meters:
        station.bind(one)
        assert station.compare(one) in ("equal", "primary-display"), one.name


def wrong_tenant_is_caught_and_mended(north: Station) -> None:
    """The meter of another unit is bound: told by its number before any display is read, and by the display itself."""
    mine, other = named(north.meters, "n-02"), named(north.meters, "n-03")
    north.desk.unbind(other.meter, ENGINEER)
    north.bind(mine, found=other.plate)
    north.desk.check(ENGINEER, with_meters=False)
    assert "wrong" in {one.severity.value for one in north.desk.state().open_findings if mine.meter == one.subject}
    assert {code for code, subject in north.codes() if subject == mine.meter} & {
        "serial-crossed",
        "serial-expected-elsewhere",
    }
    north.bind(mine, found=mine.plate)
    north.bind(other)
    assert north.compare(mine, other) == "other-meter", "the engineer stands before another door"
    assert north.compare(mine) == north.compare(other) == "equal"


def swapped_phases_are_caught_and_mended(north: Station) -> None:
    """Two current transformers sit on each other's phase: told which, and gone when they are moved."""
    one = named(north.meters, "n-12")
    wired(one, (-575, -575, 1150))
    told = {finding.code for finding in north.desk.judge_wiring(one.meter, ENGINEER)}
    assert told & {"wiring-way", "wiring-several"}
    assert any(finding.severity.value == "wrong" for finding in north.desk.state().open_findings)
    wired(one, (1150, 1150, 1150))
    told = {finding.code for finding in north.desk.judge_wiring(one.meter, ENGINEER, is_rotation_right=True)}
    assert not told & {"wiring-way", "wiring-several", "wiring-direction"}


def wrong_ratio_is_caught_and_mended(south: Station) -> None:
    """A ratio of 20 where 200/5 A transformers sit: a clamp round the primary proves 40."""
    from metering.quantity import Shown, Unit
    from provisioning.wiring_proof import Clamp

    one = named(south.meters, "b-south")
    wired(one, (460, 460, 460), amperes=2)
    south.bind(one, ct=20)
    told = south.desk.judge_wiring(one.meter, ENGINEER, clamps=[Clamp("L1", Shown(800, -1, Unit.A))])
    assert "clamp-ratio" in {finding.code for finding in told}
    assert any("40" in finding.told.en for finding in told if finding.code == "clamp-ratio")
    assert not south.desk.state().may_seal
    south.bind(one, ct=40)
    told = south.desk.judge_wiring(one.meter, ENGINEER, clamps=[Clamp("L1", Shown(800, -1, Unit.A))])
    assert "clamp-ratio" not in {finding.code for finding in told}
    assert south.compare(one) in ("equal", "primary-display")


def measured_without_a_network(*stations: Station) -> None:
    """The gateways measure from the seal on, and nothing is reachable."""
    for station in stations:
        with agent(station.home):
            wanted = {one.meter for one in station.meters}
            wait_for(
                lambda home=station.home, wanted=wanted: measured(home) == wanted, f"readings of {station.gateway}"
            )


def cloned(home: Home, root: Path) -> Home:
    """Copy a card, as it would be found in another machine: the same paths, another card below them."""
    copy = Home(shutil.copytree(home.root, root))
    copy.config.write_text(copy.config.read_text().replace(str(home.root), str(root)))
    return copy


def north_by_its_own_network(office: Office, client: httpx.Client, north: Station) -> None:
    """The agent brings the installation and its readings itself."""
    with agent(north.home):
        wait_for(lambda: north.desk.state().delivery.is_granted, "the grant of gw-north")
        wait_for(lambda: north.desk.state().delivery.waiting == 0, "everything of gw-north")
        wait_for(lambda: office.asks(client, "/v1/gateways/gw-north")["contiguous_seq"] >= 1, "its first envelope")
    assert measured(north.home) == {one.meter for one in north.meters}


def cloned_card_is_caught(office: Office, client: httpx.Client, clone: Home) -> None:
    """A copy of the card signs the same number with other content: refused, and told with what to do."""

    def told() -> list[Any]:
        found: list[Any] = office.asks(client, "/v1/history?gateway=gw-north")["suspicions"]
        return found

    assert told() == []
    with agent(clone):
        wait_for(lambda: bool(told()), "the clone to be noticed")
    assert told()[0]["kind"] == "equivocation"
    stored = office.asks(client, "/v1/gateways/gw-north")
    assert stored["quarantined"] >= 1


def south_by_telephone(office: Office, client: httpx.Client, south: Station) -> None:
    """The package goes by the engineer's telephone, the grant comes back by it."""
    answer = client.post("/v1/installation-packages", content=south.desk.package())
    assert answer.status_code in (200, 201), answer.text
    state = south.desk.take_grant(base64.b64decode(answer.json()["enrolment"]["grant"]))
    assert state.delivery.is_granted


def stolen_claim_is_caught_and_west_comes_by_file(
    office: Office, client: httpx.Client, west: Station, claim: str, folder: Path, lines: Any
) -> None:
    """Somebody photographed the claim and was first: told with both keys; revoked, and the gateway comes anew."""
    thief = FileSigner.from_seed(b"\x42" * 32)
    bundle = seal_bundle(
        GatewayId("gw-west"), epoch=1, claim=Claim.parse(claim), public_key=thief.public_key, signer=thief
    )
    assert client.post("/v1/enrolments", content=bundle).status_code == 201
    refused = client.post("/v1/installation-packages", content=west.desk.package())
    assert "claim-used" in refused.text
    history = office.asks(client, "/v1/history?gateway=gw-west")
    (suspicion,) = [one for one in history["suspicions"] if "claim" in one["kind"]]
    assert thief.key_id.hex() in str(suspicion)

    assert client.post("/v1/gateways/gw-west/revoke", json={"reason": "stolen claim"}).status_code == 200
    again = begun_at(folder / "gw-west anew", office.order(client, "gw-west"), office.meters, "gw-west", lines)
    again.desk.replace_gateway(1, "its claim was stolen", ENGINEER)
    find_and_bind(again, lines)
    again.desk.check(ENGINEER)
    again.accept_rest()
    again.desk.seal(ENGINEER)
    file = folder / "gw-west.metertree-package"
    file.write_bytes(again.desk.package())
    answer = client.post("/v1/installation-packages", content=file.read_bytes())
    grant = folder / "gw-west.grant"
    grant.write_bytes(base64.b64decode(answer.json()["enrolment"]["grant"]))
    assert again.desk.take_grant(grant.read_bytes()).delivery.is_granted
    again.desk.close()


def second_person_approves(office: Office, client: httpx.Client) -> None:
    """Nobody approves his own work; another does, once, and every meter counts."""
    pending = office.asks(client, "/v1/bindings?site=wharf&state=pending")["bindings"]
    assert {one["meter"] for one in pending} == {one.meter for one in office.meters}
    first = pending[0]["binding"]
    assert office.decides(client, "eng-1", first) == 409
    for one in pending:
        assert office.decides(client, "office-2", one["binding"]) == 200
    assert office.asks(client, "/v1/bindings?site=wharf&state=pending")["bindings"] == []
    approved = office.asks(client, "/v1/bindings?site=wharf&state=approved")["bindings"]
    assert len(approved) == 60


def report_is_proven(station: Station) -> None:
    """The commissioning report proves itself offline."""
    from edge_agent.installation.reporting import report_file
    from provisioning.report.seal import ReportKind

    octets = report_file(station.desk, ReportKind.HTML, "zh", SystemClock().now())
    assert check_report(octets) is not None
