"""Keeps the demo's programs running: starts them, starts again what dies, stops all in order.

Each program has a keeper thread that starts it and waits for its end. A program that dies is started again after a
pause that doubles while it dies young; after too many deaths the demo ends with the tail of its log. All programs die
with the supervisor, however it dies (tethered.py), so that a killed demo leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingest import tethered
from ingest.embedded.server import ServerCommand
from metering.errors import MeteringError

RESTARTS_MAX = 20
"""Enough for a test that kills a program again and again; a program that needs more is broken."""
YOUNG_DEATHS_MAX = 8
"""Deaths in a row within YOUNG_S of the start. A killed database may need a few until its orphans are gone."""
YOUNG_S = 5.0
PAUSE_S_FIRST = 0.1
PAUSE_S_MAX = 2.0
STOP_S_MAX = 10.0
"""How long a program may take to stop before it is killed."""
POLL_S = 0.05
LOG_LINES_SHOWN = 15


class ProgramFailed(MeteringError):
    """A program of the demo keeps dying, or does not get ready."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to keep running.

    name         in messages, and of its log file
    argv         its command; the program by its full path
    environment  None for the supervisor's own
    account      user and group to run as (uid, gid); None for the supervisor's own
    stop_signal  what ends it cleanly
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    account: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    @classmethod
    def of_server(cls, name: str, command: ServerCommand) -> Program:
        """Take over the command of an embedded server."""
        identity = command.identity
        account = (identity["user"], identity["group"]) if identity else None
        return cls(name, command.argv, command.environment, account, command.stop_signal)

    def tethered_to(self, parent: int) -> tuple[str, ...]:
        """Give the command that ends when process `parent` does."""
        account = "-" if self.account is None else "{}:{}".format(*self.account)
        return (sys.executable, "-I", "-S", tethered.__file__, str(parent), account, *self.argv)


class Supervisor:
    """Runs programs with logs in `directory`/logs and their process ids in `directory`/pids.json."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._keepers: list[_Keeper] = []
        self._pids: dict[str, int] = {}
        self._lock = threading.Lock()
        self._paused = threading.Event()
        (directory / "logs").mkdir(parents=True, exist_ok=True)

    def start(self, program: Program) -> None:
        """Start a program and keep it running until `stop`."""
        keeper = _Keeper(program, self.log_path(program.name), self._note_pid)
        self._keepers.append(keeper)
        keeper.start()

    def stop(self) -> None:
        """Stop every program, the last one started first; kill one that does not stop in time."""
        while self._keepers:
            self._keepers.pop().stop()

    def require_alive(self) -> None:
        """Raise ProgramFailed, with the tail of its log, if a program has been given up."""
        for keeper in self._keepers:
            if keeper.has_given_up:
                raise self.failure(keeper.program.name, "keeps dying")

    def wait_until(self, is_ready: Callable[[], bool], *, name: str, timeout_s: float) -> None:
        """Wait until `is_ready`; raises ProgramFailed when a program dies for good or time runs out [s]."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if time.monotonic() > deadline:
                raise self.failure(name, f"is not ready after {timeout_s:.0f} s")
            self.watch(POLL_S)

    def watch(self, pause_s: float) -> None:
        """Let `pause_s` [s] pass; raises ProgramFailed when a program has died for good."""
        self.require_alive()
        self._paused.wait(pause_s)

    def failure(self, name: str, problem: str) -> ProgramFailed:
        """Describe what is wrong with a program, with the last lines of its log."""
        path = self.log_path(name)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        tail = "\n".join(f"    {line}" for line in lines[-LOG_LINES_SHOWN:]) or "    (nothing)"
        return ProgramFailed(f"{name} {problem}. The last lines of {path}:\n{tail}")

    def log_path(self, name: str) -> Path:
        """Give the log file of a program."""
        return self._directory / "logs" / f"{name}.log"

    def _note_pid(self, name: str, pid: int) -> None:
        with self._lock:
            self._pids[name] = pid
            path = self._directory / "pids.json"
            fresh = path.with_suffix(".fresh")
            fresh.write_text(json.dumps(self._pids, indent=2) + "\n", encoding="utf-8")
            fresh.replace(path)


class _Keeper:
    """Starts one program again whenever it dies."""

    def __init__(self, program: Program, log: Path, note_pid: Callable[[str, int], None]) -> None:
        self.program = program
        self.has_given_up = False
        self._log = log
        self._note_pid = note_pid
        self._stopping = threading.Event()
        self._running: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=f"keep-{program.name}", daemon=True)

    def start(self) -> None:
        """Start the program and keep it running."""
        self._thread.start()

    def _keep(self) -> None:
        """Start, wait, pause, and so on until stopped or out of restarts."""
        young_deaths = 0
        for _ in range(RESTARTS_MAX + 1):
            started_s = time.monotonic()
            running = self._launched()
            if running is None:
                return
            running.wait()
            young_deaths = young_deaths + 1 if time.monotonic() - started_s < YOUNG_S else 0
            if young_deaths > YOUNG_DEATHS_MAX:
                break
            if self._stopping.wait(min(PAUSE_S_MAX, PAUSE_S_FIRST * 2**young_deaths)):
                return
        self.has_given_up = not self._stopping.is_set()

    def stop(self) -> None:
        """End the program and this thread."""
        with self._lock:
            self._stopping.set()
            running = self._running
        if running is not None and running.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                running.send_signal(self.program.stop_signal)
            try:
                running.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                running.kill()
        self._thread.join()

    def _launched(self) -> subprocess.Popen[bytes] | None:
        """Start the program, unless stopping. A session of its own: Ctrl-C reaches the supervisor only."""
        with self._lock, self._log.open("ab") as log:
            if self._stopping.is_set():
                return None
            self._running = subprocess.Popen(
                self.program.tethered_to(os.getpid()),
                env=self.program.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._note_pid(self.program.name, self._running.pid)
            return self._running
