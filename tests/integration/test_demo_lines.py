"""Played time and the line that is cut, over real sockets."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from ingest.demo.cutter import Cutter
from ingest.demo.time_server import PlayedTime, TimeServer
from ingest.demo.world import PlayedRegisters
from metering.identity import GatewayId

GW = GatewayId("gw-a")
START = datetime(2026, 6, 30, 16, tzinfo=UTC)


class Hands:
    """The hands of a clock: all that the time server wants of a gateway's registers."""

    def __init__(self) -> None:
        self.now = START

    def advance_to(self, instant: datetime) -> bool:
        """Follow, except beyond the second day."""
        if instant > START + timedelta(days=1):
            return False
        self.now = instant
        return True


@pytest.fixture
def time_server() -> Iterator[TimeServer]:
    """A time server on a free port."""
    server = TimeServer(PlayedTime({GW: cast(PlayedRegisters, Hands())}, lambda *_: None), 0)
    server.start()
    yield server
    server.close()


def connected(port: int) -> socket.socket:
    """Connect to a port of this machine; a test that waits 5 s has failed."""
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def test_one_connection_asks_and_advances(time_server: TimeServer) -> None:
    with connected(time_server.port) as client, client.makefile("rw") as lines:
        for hours in (1, 2):
            instant = (START + timedelta(hours=hours)).isoformat()
            lines.write(json.dumps({"gateway": GW, "advance_to": instant}) + "\n")
            lines.flush()
            assert json.loads(lines.readline()) == {"now": instant}


def test_an_advance_beyond_the_end_waits_and_others_are_still_served(time_server: TimeServer) -> None:
    with connected(time_server.port) as waits, connected(time_server.port) as asks:
        beyond = (START + timedelta(days=2)).isoformat()
        waits.sendall(json.dumps({"gateway": GW, "advance_to": beyond}).encode() + b"\n")
        asks.sendall(json.dumps({"gateway": GW}).encode() + b"\n")
        assert json.loads(asks.makefile().readline()) == {"now": START.isoformat()}
        waits.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waits.recv(1)


def test_a_mistake_closes_the_connection(time_server: TimeServer) -> None:
    with connected(time_server.port) as client:
        client.sendall(b"what time is it?\n")
        assert client.recv(1) == b""


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while octets := self.request.recv(4096):
            self.request.sendall(octets)


@pytest.fixture
def cutter() -> Iterator[Cutter]:
    """A relay to a server that echoes."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as target:
        target.daemon_threads = True
        threading.Thread(target=target.serve_forever, daemon=True).start()
        cutter = Cutter(0, target.server_address[1])
        cutter.start()
        yield cutter
        cutter.close()
        target.shutdown()


def echoes(client: socket.socket) -> bool:
    """Say whether what is sent comes back."""
    try:
        client.sendall(b"ping")
        return client.recv(4) == b"ping"
    except ConnectionError:
        return False


def test_an_uncut_line_relays_both_ways(cutter: Cutter) -> None:
    with connected(cutter.port) as client:
        assert echoes(client)


def test_a_cut_closes_what_stands_and_refuses_what_comes(cutter: Cutter) -> None:
    with connected(cutter.port) as stands:
        assert echoes(stands)
        cutter.set_cut(True)
        assert not echoes(stands)
    with connected(cutter.port) as comes:
        assert not echoes(comes)


def test_a_mended_line_relays_again(cutter: Cutter) -> None:
    cutter.set_cut(True)
    cutter.set_cut(False)
    with connected(cutter.port) as client:
        assert echoes(client)


def test_the_end_of_one_side_ends_the_other(cutter: Cutter) -> None:
    with connected(cutter.port) as client:
        assert echoes(client)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
