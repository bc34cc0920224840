"""What a guest on the gateway's network, who does not know the PIN, can do to its page: nothing that lasts."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from device_profiles.catalogue import Catalogue
from edge_agent.page.access import CALLERS_EACH_MAX, CALLERS_MAX
from edge_agent.page.server import PageAddress, Shown, page_shown
from metering.clock import SystemClock
from tests.doubles.desk import desk_at

PIECE = b"10000\r\n" + bytes(0x10000) + b"\r\n"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    with (
        desk_at(tmp_path, SystemClock()) as desk,
        page_shown(PageAddress("127.0.0.1", 0), desk, Catalogue.shipped(), SystemClock()) as page,
    ):
        yield page


def called(shown: Shown) -> socket.socket:
    port = urlsplit(shown.url).port
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def asked(shown: Shown, path: str = "/sign-in") -> bytes:
    with called(shown) as caller:
        caller.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return caller.recv(200)


def test_a_body_of_untold_length_is_not_taken(shown: Shown) -> None:
    with called(shown) as caller:
        caller.sendall(
            b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            for _ in range(400):  # 25 MiB
                caller.sendall(PIECE)
            caller.sendall(b"0\r\n\r\n")
        with contextlib.suppress(OSError):
            answer = caller.recv(200)
            assert b" 411 " in answer.splitlines()[0]
            return
    # Hung up on while it still sent: refused as well.
    assert b" 200 " in asked(shown)


def test_callers_that_stand_in_the_door_cost_a_bounded_number_of_threads(shown: Shown) -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as standing:
        for _ in range(4 * CALLERS_MAX):
            standing.enter_context(called(shown)).sendall(b"GET / HTTP/1.1\r\nHost: ")
        time.sleep(0.5)
        assert threading.active_count() - before <= CALLERS_EACH_MAX
    deadline = time.monotonic() + 10
    while b" 200 " not in (_answer(shown)):
        assert time.monotonic() < deadline


def _answer(shown: Shown) -> bytes:
    try:
        return asked(shown)
    except OSError:
        return b""
