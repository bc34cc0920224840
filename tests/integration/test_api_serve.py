"""`metertree serve` as a process: ready when its servers are, gone cleanly on SIGTERM; `migrate`, `site`, `doctor`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from ingest.cli import main
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import free_port, running
from metering.clock import SystemClock
from provisioning.keys import write_signing_key
from tests.doubles.park_books import PARK
from tests.doubles.servers import open_folder

PASSWORD = "centre password"


class Ground:
    """Everything `serve` stands on, and the flags that name it."""

    def __init__(self, dsn: str, broker: EmbeddedBroker, folder: Path) -> None:
        for name, text in (("token", "a token of more than twenty signs"), ("password", PASSWORD)):
            (folder / name).write_text(text, encoding="utf-8")
        write_signing_key(folder / "centre.key", bytes(32))
        self.dsn = dsn
        self.port = free_port()
        self.flags = [
            *("--dsn", dsn, "--broker-port", str(broker.port), "--broker-user", "centre"),
            *("--broker-password-file", str(folder / "password"), "--centre-key", str(folder / "centre.key")),
            *("--admin-token-file", str(folder / "token"), "--port", str(self.port)),
        ]

    def readiness(self) -> dict[str, str] | None:
        """Ask the service what it depends on; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=20) as answer:
                return dict(json.load(answer)["checks"])
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error)["checks"])
        except OSError:
            return None


@pytest.fixture
def ground(empty_dsn: str) -> Iterator[Ground]:
    """An empty database, a broker, keys."""
    folder = open_folder()
    broker = EmbeddedBroker(folder / "broker", [Login.of_centre("centre", PASSWORD)])
    with running(broker, SystemClock()):
        yield Ground(empty_dsn, broker, folder)


def test_a_fresh_database_is_migrated_then_served_and_ended_by_sigterm(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *ground.flags]) == 1
    assert "metertree migrate" in capsys.readouterr().err
    assert main(["migrate", "--dsn", ground.dsn]) == 0
    assert main(["migrate", "--dsn", ground.dsn]) == 0
    assert "up to date" in capsys.readouterr().out
    for verdict in ("imported as version 1", "is unchanged since version 1"):
        assert main(["site", "import", str(PARK), "--dsn", ground.dsn]) == 0
        assert verdict in capsys.readouterr().out
    assert main(["doctor", *ground.flags]) == 0
    command = str(Path(sys.executable).with_name("metertree"))
    with subprocess.Popen([command, "serve", *ground.flags], stderr=subprocess.PIPE) as process:
        pause = Event()
        for _ in range(300):
            if ground.readiness() == {"database": "ok", "broker": "ok"}:
                break
            pause.wait(0.1)
        else:
            process.kill()
            pytest.fail("the service did not become ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_doctor_names_each_thing_that_is_not_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("short", encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = str(taken.getsockname()[1])
        flags = ["--admin-token-file", str(token), "--broker-port", closed]
        assert main(["doctor", *flags]) == 1
    printed = capsys.readouterr().out
    assert "✓ profiles" in printed
    for name in ("centre key", "admin token: 5 signs", "database", "broker"):
        assert f"✗ {name}" in printed
