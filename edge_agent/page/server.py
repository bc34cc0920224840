"""The page on the wire: routes, templates, and a server in threads, with TLS beyond this machine."""

from __future__ import annotations

import logging
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from socket import gethostname, socket
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import bottle
import jinja2

from device_profiles.catalogue import Catalogue
from edge_agent.installation.desk import Desk
from edge_agent.page.access import Door, Places, fresh_pin
from edge_agent.page.call import Guard, House, refused_call, sent
from edge_agent.page.certificate import PageCertificate, page_certificate
from edge_agent.page.entrance import Entrance
from edge_agent.page.finish import Finish
from edge_agent.page.jobs import Jobs
from edge_agent.page.lines import Lines
from edge_agent.page.meters import Meters
from metering.clock import Clock
from metering.errors import MeteringError
from provisioning.gateway_config import LOOPBACK

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
PIN_FILE = "page.pin"
CALLER_S = 30
"""A telephone that sends nothing for so long is hung up on [s]."""
STATIC = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


class PageUnreachable(MeteringError):
    """The page cannot be shown where it was asked for."""


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Where the page is shown: `host` an address of this machine, `port` 0 for any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> PageAddress:
        """Read `192.168.4.1:8443`; raises PageUnreachable."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise PageUnreachable(f"{text!r}: write an address of this machine and a port, such as 192.168.4.1:8443")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK


@dataclass(frozen=True, slots=True)
class Shown:
    """A page that is shown: its address, its PIN, and the fingerprint of its certificate (None: not encrypted)."""

    url: str
    pin: str
    fingerprint: str | None


@contextmanager
def page_shown(address: PageAddress, desk: Desk, catalogue: Catalogue, clock: Clock) -> Iterator[Shown]:
    """Show the page while inside; raises PageUnreachable where the address cannot be listened on."""
    pin, jobs = fresh_pin(), Jobs()
    tls = None if address.is_loopback else page_certificate(desk.home.keys, address.host, clock.now())
    host = gethostname().lower()
    house = House(
        desk,
        catalogue,
        clock,
        Door(pin, time.monotonic),
        jobs,
        names=frozenset({"localhost", host, f"{host}.local"}),
        is_secure=tls is not None,
        render=_renderer(),
    )
    server = _listening(address, application(house), tls)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, name="page", daemon=True)
    thread.start()
    pin_file = desk.home.state / PIN_FILE
    _keep_private(pin_file, pin)
    try:
        name = f"[{address.host}]" if ":" in address.host else address.host
        scheme = "http" if tls is None else "https"
        url = f"{scheme}://{name}:{server.server_address[1]}/"
        yield Shown(url, pin, None if tls is None else tls.fingerprint)
    finally:
        pin_file.unlink(missing_ok=True)
        jobs.stop_all()
        server.shutdown()
        thread.join()
        server.server_close()


def application(house: House) -> bottle.Bottle:
    """Build the web application: every route, in the order of the work."""
    app, guard = bottle.Bottle(), Guard(house)
    entrance, lines, meters, finish = Entrance(house), Lines(), Meters(), Finish()
    shown: Mapping[str, Callable[..., Any]] = {
        "/": entrance.home,
        "/order": entrance.order_form,
        "/lines": lines.list,
        "/lines/<port>": lines.line,
        "/lines/<port>/live": lines.live,
        "/meters": meters.list,
        "/nodes/<node>/bind": meters.bind_form,
        "/meters/<meter>": meters.show,
        "/meters/<meter>/live": meters.live,
        "/meters/<meter>/later": meters.later_form,
        "/photos/<digest>": meters.picture,
        "/check": finish.check_form,
        "/check/live": finish.check_live,
        "/seal": finish.seal_form,
        "/deliver": finish.deliver_form,
        "/package": finish.package,
        "/report/<kind:re:html|pdf>": finish.report,
        "/acts": finish.acts,
    }
    done: Mapping[str, Callable[..., Any]] = {
        "/sign-out": entrance.sign_out,
        "/language": entrance.language,
        "/order/open": entrance.open_order,
        "/order/another": entrance.forget_order,
        "/order/take": entrance.take_order,
        "/lines/<port>/place": lines.set_place,
        "/lines/<port>/scan": lines.scan,
        "/lines/<port>/stop": lines.stop,
        "/nodes/<node>/bind": meters.bind,
        "/meters/<meter>/compare": meters.compare,
        "/meters/<meter>/wiring": meters.wiring,
        "/meters/<meter>/photo": meters.photograph,
        "/meters/<meter>/unbind": meters.unbind,
        "/meters/<meter>/close": meters.close,
        "/meters/<meter>/exchange": meters.exchange,
        "/meters/<meter>/ratio": meters.ratio,
        "/meters/<meter>/decommission": meters.decommission,
        "/check": finish.check,
        "/accept": finish.accept,
        "/seal": finish.seal,
        "/deliver": finish.deliver,
        "/grant": finish.grant,
    }
    app.route("/sign-in", "GET", guard.open(entrance.sign_in_form))
    app.route("/sign-in", "POST", guard.open(entrance.sign_in))
    app.route("/static/<name>", "GET", _static)
    for path, handler in shown.items():
        app.route(path, "GET", guard.signed_in(handler))
    for path, handler in done.items():
        app.route(path, "POST", guard.act(handler))
    app.error_handler.update(dict.fromkeys((404, 405, 500), _failed))
    return app


def _static(name: str) -> bottle.HTTPResponse:
    media = STATIC.get(name)
    if media is None:
        return refused_call(HTTPStatus.NOT_FOUND, "no such file")
    return sent((FOLDER / "static" / name).read_bytes(), media)


def _failed(error: bottle.HTTPError) -> str:
    bottle.response.content_type = "text/plain; charset=utf-8"
    texts = {404: "没有这个页面 / There is no such page", 405: "没有这个页面 / There is no such page"}
    unforeseen = "这一步出了意外，请看网关日志 / Something unforeseen went wrong: look into the gateway's log"
    return texts.get(error.status_code, unforeseen) + "\n"


def _renderer() -> Callable[..., str]:
    loader = jinja2.FileSystemLoader(FOLDER / "templates")
    templates = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return lambda template, **parts: templates.get_template(template).render(**parts)


class _Caller(WSGIRequestHandler):
    timeout = CALLER_S

    def address_string(self) -> str:
        """Do not ask a name service who calls."""
        return str(self.client_address[0])

    def log_message(self, form: str, *parts: Any) -> None:
        """Keep callers out of the log."""
        log.debug("page-answered: %s", form % parts)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None
    places: Places

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own; hang up on whoever finds no place."""
        if not self.places.take(client_address[0]):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self.places.leave(client_address[0])
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and free the place whatever comes."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.leave(client_address[0])

    def server_bind(self) -> None:
        """Bind without asking the name service what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Speak TLS in the caller's own thread, so that one who stalls keeps nobody waiting."""
        if self.tls is not None:
            request.settimeout(CALLER_S)
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if isinstance(request, ssl.SSLSocket):
            request.close()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """A caller that left, or speaks no TLS, is nothing; the rest goes to the log."""
        del request, client_address
        if not isinstance(sys.exc_info()[1], OSError):
            log.exception("page-failed")


def _listening(address: PageAddress, app: bottle.Bottle, tls: PageCertificate | None) -> _Server:
    try:
        server = _Server((address.host, address.port), _Caller)
    except OSError as error:
        problem = f"{address.host}:{address.port} cannot be listened on: {error}; choose another address with --page"
        raise PageUnreachable(problem) from error
    server.places = Places()
    server.set_app(app)
    if tls is not None:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        server.tls.load_cert_chain(tls.path)
    return server


def _keep_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="ascii")
