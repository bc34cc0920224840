"""Signs of life to systemd: as long as the poll cycle is at work, and no longer."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.adapters.service_manager import ServiceManager
from edge_agent.config import ServiceNotices


class Systemd:
    """The socket that systemd would listen on."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(self.path)
        self._line.settimeout(20)

    def hear(self) -> str:
        """Wait for a notice."""
        return self._line.recv(100).decode()

    def close(self) -> None:
        """Leave."""
        self._line.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """A service manager that listens."""
    made = Systemd(tmp_path / "notify")
    yield made
    made.close()


def test_readiness_signs_of_life_and_the_end_are_told(systemd: Systemd) -> None:
    service = ServiceManager(ServiceNotices(systemd.path, 0.06), lambda: 0.0)
    service.ready()
    assert [systemd.hear() for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    service.stopping()
    heard = systemd.hear()
    while heard == "WATCHDOG=1":
        heard = systemd.hear()
    assert heard == "STOPPING=1"


def test_a_poll_cycle_that_hangs_gives_no_sign_of_life(systemd: Systemd, caplog: pytest.LogCaptureFixture) -> None:
    asked = 0

    def hanging() -> float:
        nonlocal asked
        asked += 1
        return 1000.0

    service = ServiceManager(ServiceNotices(systemd.path, 0.03), hanging)
    service.ready()
    assert systemd.hear() == "READY=1"
    for _ in range(2000):
        if asked >= 3:
            break
        service._ended.wait(0.01)
    service.stopping()
    assert asked >= 3
    assert systemd.hear() == "STOPPING=1"
    assert "poll-cycle-hangs" in caplog.text


def test_without_systemd_nothing_is_told() -> None:
    service = ServiceManager(ServiceNotices(None, None), lambda: 0.0)
    service.ready()
    service.stopping()


def test_a_service_manager_that_is_gone_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    service = ServiceManager(ServiceNotices(str(tmp_path / "gone"), None), lambda: 0.0)
    service.ready()
    service.stopping()
    assert "service-manager-deaf" in caplog.text


@pytest.mark.parametrize(
    ("wait_us", "pid", "watchdog_s"),
    [
        ("30000000", None, 30.0),
        ("30000000", "own", 30.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("x", None, None),
    ],
)
def test_what_systemd_wants_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, wait_us: str, pid: str | None, watchdog_s: float | None
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("WATCHDOG_USEC", wait_us)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert ServiceNotices.from_environment() == ServiceNotices("/run/notify", watchdog_s)


def test_without_a_socket_there_is_no_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert ServiceNotices.from_environment() == ServiceNotices(None, None)
