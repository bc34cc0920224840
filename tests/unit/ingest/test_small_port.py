"""The small port of a program: alive, ready, counted; and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from ingest.embedded.server import free_port
from ingest.small_port import PortTaken, small_port

ROOT = Path(__file__).parents[3]
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(port: int, path: str, method: str = "GET") -> tuple[int, Message, bytes]:
    """Call."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with _direct.open(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_it_says_whether_the_program_lives_and_is_ready_and_what_it_counts() -> None:
    is_there = {"database": True, "broker": False}
    checks = {name: lambda name=name: is_there[name] for name in is_there}
    registry = CollectorRegistry()
    Counter("metertree_things", "Things", registry=registry).inc()
    with small_port("127.0.0.1", free_port(), checks, registry) as port:
        assert get(port, "/healthz")[0] == 200
        status, headers, octets = get(port, "/readyz")
        assert (status, json.loads(octets)) == (503, {"status": "away", "checks": {"database": "ok", "broker": "away"}})
        assert headers["Content-Type"] == "application/json"
        is_there["broker"] = True
        assert get(port, "/readyz?again")[0] == 200
        status, headers, octets = get(port, "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain")
        assert b"metertree_things_total 1.0\n" in octets
        assert [get(port, path)[0] for path in ("/", "/metrics/", "/../etc/passwd")] == [404, 404, 404]
        assert get(port, "/healthz", "POST")[0] == 501
        assert headers["Server"] == "metertree"
    with pytest.raises(urllib.error.URLError):
        get(port, "/healthz")


def test_no_port_is_no_port() -> None:
    with small_port("127.0.0.1", 0, {}, CollectorRegistry()) as port:
        assert port == 0


def test_a_port_that_is_taken_is_told_with_its_mend() -> None:
    with (
        small_port("127.0.0.1", free_port(), {}, CollectorRegistry()) as port,
        pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port} .*--probe-port"),
        small_port("127.0.0.1", port, {}, CollectorRegistry()),
    ):
        pytest.fail("two programs listen on one port")


def test_a_check_that_breaks_does_not_break_the_port() -> None:
    def breaks() -> bool:
        raise KeyError("planted")

    with small_port("127.0.0.1", free_port(), {"database": breaks}, CollectorRegistry()) as port:
        with pytest.raises((urllib.error.URLError, ConnectionError, OSError)):
            get(port, "/readyz")
        assert get(port, "/healthz")[0] == 200


def test_a_program_without_a_web_application_does_without_fastapi() -> None:
    script = "import sys, ingest.app\nassert not {'fastapi', 'uvicorn', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)
