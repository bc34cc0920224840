"""The park's gateway gw-b at its installation: meters on a Modbus TCP port, an order, and a desk in a fresh home."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from device_profiles.catalogue import Catalogue
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.simulator import ModbusTcpPort
from edge_agent.installation.desk import Desk
from edge_agent.installation.home import Home
from edge_agent.installation.view import BindRequest, Typed, Who
from metering.clock import Clock, ManualClock
from metering.identity import GatewayId, MeterId, NodeId, PortId
from metering.obis import ENERGY_IMPORT, Obis
from provisioning.enrolment import Claim, Survey, open_bundle, seal_bundle
from provisioning.grant import Grant, seal_grant
from provisioning.installation_events import parse_event
from provisioning.keys import FileSigner, fingerprint
from provisioning.order_file import open_order_file, plan_of, seal_order_file
from provisioning.package import photos_in
from provisioning.site import Names, Site
from provisioning.voucher import Voucher, seal_voucher
from tests.doubles.installer import NOW
from tests.doubles.surveyed_park import CENTRE, surveyed_site

GATEWAY = GatewayId("gw-b")
PORT = PortId("tcp-b")
WHO = Who("eng-1", "test terminal")
CLAIM = Claim.of_number(20_260_701).text
FINGERPRINT = fingerprint(CENTRE.public_key)
START = NOW + timedelta(hours=1)
NOBODY = "http://127.0.0.1:9"


class Registers:
    """True registers of every meter, each different; `off` are off the bus."""

    def __init__(self) -> None:
        self.off: set[str] = set()
        self.added_wh = 0

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give a register: energies differ from meter to meter, voltages are those of a network under load."""
        if meter in self.off:
            return None
        if obis.d == 8:
            return 1_000_000 + 137_210 * (sum(meter.encode()) % 97) + 1_000 * obis.c + self.added_wh * (obis.c == 1)
        return {32: 230_000, 52: 231_000, 72: 229_000, 31: 4_000, 51: 4_100, 71: 3_900, 14: 50_000}.get(obis.c, 1_000)


class Cabinet:
    """The meters of gw-b on a port of this machine."""

    def __init__(self, site: Site) -> None:
        catalogue = Catalogue.shipped()
        self.registers = Registers()
        meters = [
            SimulatedMeter(one.id, catalogue.by_id(one.profile), one.protocol, one.address)
            for one in site.meters_of(GATEWAY)
        ]
        self.tcp = ModbusTcpPort(meters, self.registers)

    @property
    def place(self) -> str:
        """Where the port is."""
        return f"127.0.0.1:{self.tcp.port}"

    def shows(self, meter: str, obis: Obis = ENERGY_IMPORT) -> str:
        """What the display of a meter shows [kWh]."""
        register = self.registers.register(MeterId(meter), obis)
        assert register is not None
        return f"{register / 1000:.2f}"


@contextmanager
def cabinet() -> Iterator[Cabinet]:
    """Have the meters answer while inside."""
    found = Cabinet(surveyed_site())
    found.tcp.start()
    try:
        yield found
    finally:
        found.tcp.stop()


def order_file(
    *,
    centre_url: str = NOBODY,
    broker: str | None = "127.0.0.1:9",
    roots: tuple[bytes, ...] = (),
    centre: FileSigner = CENTRE,
    order: str = "order-3f9a12c4d05e",
) -> bytes:
    """The order file of gw-b."""
    site = surveyed_site()
    voucher = Voucher(
        order=order,
        site=site.id,
        gateway=GATEWAY,
        owner=Names("示范资产管理有限公司", "Example Estates"),
        centre_url=centre_url,
        broker=broker,
        centre_public_key=centre.public_key,
        roots=roots,
        not_after=START + timedelta(days=14),
    )
    return seal_order_file(seal_voucher(voucher, centre), plan_of(site, GATEWAY), centre)


@contextmanager
def desk_at(root: Path, clock: Clock | None = None) -> Iterator[Desk]:
    """Open a desk in a home."""
    desk = Desk(Home(root), Catalogue.shipped(), clock or ManualClock(START))
    try:
        yield desk
    finally:
        desk.close()


def request(meter: str) -> BindRequest:
    """Everything of a planned meter, as an engineer without a scan says it."""
    one = surveyed_site().meter(MeterId(meter))
    return BindRequest(
        node=one.node,
        serial=one.serial,
        port=one.port,
        protocol=one.protocol,
        address=one.address,
        profile=one.profile,
        ct=None if one.ct == 1 else one.ct,
    )


def begun(desk: Desk, meters: Cabinet, **order: str) -> None:
    """Take the order and say where the port is."""
    desk.begin(order_file(**order), WHO, confirmed=FINGERPRINT, claim=CLAIM)  # type: ignore[arg-type]
    desk.set_port(PORT, meters.place, WHO)


def typed(meters: Cabinet, meter: str) -> list[Typed]:
    """What the engineer reads off a display."""
    return [Typed(ENERGY_IMPORT, meters.shows(meter), "kWh")]


def accept_all(desk: Desk) -> None:
    """Go on in spite of everything."""
    for one in desk.state().open_findings:
        desk.accept(one.code, one.subject, "as the test wants it", WHO)


def sealed(desk: Desk, meters: Cabinet, *names: str) -> None:
    """Install some meters and seal."""
    begun(desk, meters)
    for name in names:
        desk.bind(request(name), WHO)
    desk.check(WHO)
    accept_all(desk)
    desk.seal(WHO)
    desk._clock.sleep(60)


def node(name: str) -> NodeId:
    """An id of a node."""
    return NodeId(name)


class DeskCentre:
    """A centre that grants any bundle; `refuses` lets it say no, `calls` are those it took."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.bundles: list[bytes] = []
        self.events: list[int] = []
        self.photos: dict[str, bytes] = {}
        self.refuses = False
        centre = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._answer()

            def do_PUT(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, document = centre.answer(self.command, self.path, body)
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, form: str, *parts: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer one call."""
        self.calls.append((method, path))
        if self.refuses:
            return 403, {
                "detail": "this claim has served already",
                "mend": "ask for a new order",
                "reason": "claim-used",
            }
        if path == "/v1/enrolments":
            self.bundles.append(body)
            return 201, {"grant": base64.b64encode(grant_for(body)).decode()}
        if path == "/v1/installation-events":
            self.events.append(parse_event(body).number)
            return 201, {"state": "pending"}
        found = {digest.hex(): picture for digest, picture in photos_in(io.BytesIO(body))}
        self.photos |= found
        return 201, {"events": [], "photos": [{"photo": one, "kept": True, "reason": ""} for one in found]}

    @contextmanager
    def running(self) -> Iterator[DeskCentre]:
        """Answer while inside."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def voucher_of(order: bytes) -> bytes:
    """The sealed voucher in an order file."""
    return open_order_file(order, None).sealed_voucher


def other_bundle() -> bytes:
    """The bundle of another machine with the same order."""
    key = FileSigner.from_seed(bytes([5]) * 32)
    return seal_bundle(
        GATEWAY, epoch=1, claim=Claim.parse(CLAIM), public_key=key.public_key, signer=key, survey=Survey(None, None, ())
    )


def grant_for(bundle: bytes, centre: FileSigner = CENTRE, certificates: tuple[bytes, ...] = ()) -> bytes:
    """The centre's answer to a bundle."""
    opened = open_bundle(bundle)
    grant = Grant(opened.gateway, opened.epoch, opened.key_id, opened.digest, certificates, centre.public_key, START)
    return seal_grant(grant, centre)
