"""The demo's view of the central service, against a server that answers as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ingest.demo.centre import Arrival, Centre, CentreAway, CentreRefused
from metering.identity import GatewayId, SiteId


class Told(BaseHTTPRequestHandler):
    """Answers every request with the server's `status` and `document`, and notes what was asked."""

    server: ToldServer

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.server.asked.append((self.command, self.path, self.headers["Authorization"], self.rfile.read(length)))
        if self.server.status == 0:
            self.close_connection = True
            return
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.document).encode())

    do_GET = do_POST = _answer  # noqa: N815 the names are the library's

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class ToldServer(ThreadingHTTPServer):
    """A server with one answer."""

    status = 200
    document: Any = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Told)
        self.asked: list[tuple[str, str, str, bytes]] = []


@pytest.fixture
def server() -> Iterator[ToldServer]:
    """A server that runs until the end of the test."""
    with ToldServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def centre(server: ToldServer) -> Centre:
    """The centre behind that server."""
    return Centre(f"http://127.0.0.1:{server.server_address[1]}", "token")


def test_arrivals_are_read_by_gateway(server: ToldServer, centre: Centre) -> None:
    server.document = {"gateways": [{"gateway": "gw-a", "contiguous_seq": 7, "quarantined": 1, "epoch": 1}]}
    assert centre.arrivals() == {GatewayId("gw-a"): Arrival(contiguous_seq=7, refused=1)}


def test_a_period_is_closed_with_the_token_and_the_stated_booking_time(server: ToldServer, centre: Centre) -> None:
    server.document = {"run": "ab12"}
    assert centre.close(SiteId("park"), "2026-07", "2026-08-01T09:00:00+08:00", "accountant") == "ab12"
    method, path, token, body = server.asked[0]
    assert (method, path, token) == ("POST", "/v1/allocation-runs", "Bearer token")
    stated = {"site": "park", "period": "2026-07", "booked_at": "2026-08-01T09:00:00+08:00", "by": "accountant"}
    assert json.loads(body) == stated


def test_a_run_stands_where_the_last_step_of_its_log_says(server: ToldServer, centre: Centre) -> None:
    server.document = {"steps": [{"to": "computed"}, {"to": "checked"}], "unexplained": ["case main"]}
    assert centre.log("ab12") == ("checked", ["case main"])
    assert server.asked[0][:2] == ("GET", "/v1/allocation-runs/ab12/log")


def test_a_run_is_moved_on_by_name(server: ToldServer, centre: Centre) -> None:
    server.document = {}
    centre.move("ab12", "approve", {"by": "approver"})
    method, path, _, body = server.asked[0]
    assert (method, path, json.loads(body)) == ("POST", "/v1/allocation-runs/ab12/approve", {"by": "approver"})


def test_a_refusal_is_final_and_gives_its_reason(server: ToldServer, centre: Centre) -> None:
    server.status, server.document = 409, {"detail": "u-a102: 1 slots held"}
    with pytest.raises(CentreRefused, match=r"409 .*u-a102: 1 slots held"):
        centre.get("/v1/gateways")


@pytest.mark.parametrize("status", [500, 503, 0])
def test_a_service_in_trouble_counts_as_away(server: ToldServer, centre: Centre, status: int) -> None:
    server.status = status
    with pytest.raises(CentreAway):
        centre.get("/v1/gateways")
    assert not centre.is_ready()


def test_a_service_that_does_not_listen_is_away(server: ToldServer, centre: Centre) -> None:
    server.document = {}
    assert centre.is_ready()
    server.shutdown()
    server.server_close()
    assert not centre.is_ready()
