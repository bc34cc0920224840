"""An estate of small parks to close with the real command: its octets, its blocked workers, its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ingest.config import CENTRE_KEY, DSN
from provisioning.keys import SALT_KEY, write_salt_key, write_signing_key
from tests.doubles.many_parks import DAY, park_id

PARKS = tuple(range(1, 7))
UNREAD = 9
"""A park without a single reading."""
BOOKED_AT = "2026-08-01T09:00:00+08:00"
PATIENCE_S = 120.0
_RESULTS = ("allocation_runs", "run_lines", "statements", "run_transitions", "run_slots")
_WAITING = "SELECT client_port FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
_WRITTEN_DOWN = ("created_at", "recorded_at")
"""When the database wrote a row: for operators, and in no result."""


def write_keys(folder: Path) -> Path:
    """Write the centre's key and salts; give the key's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_signing_key(folder / "centre.key", b"\x07" * 32)
    write_salt_key(folder / SALT_KEY, b"\x05" * 32)
    return folder / "centre.key"


@dataclass
class Estate:
    """One database of parks, and the environment in which commands find it."""

    dsn: str
    key: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command, with our settings and nobody else's."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("METERTREE_")}
        return {**kept, DSN.variable: self.dsn, CENTRE_KEY.variable: str(self.key), "COLUMNS": "200"}

    def start(self, *words: str, **parts: Any) -> subprocess.Popen[str]:
        """Start `metertree close` in a process group of its own, as a terminal does."""
        command = [sys.executable, "-m", "ingest.cli", "close", *words, DAY, "--booked-at", BOOKED_AT]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        running = subprocess.Popen(
            command,
            env=self.environment,
            start_new_session=True,
            # Whoever runs the tests in the background of a shell lets them ignore Ctrl-C, and so would the command.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **{**pipes, **parts},
        )
        self.started.append(running)
        return running

    def close(self, *words: str, **parts: Any) -> tuple[int, str]:
        """Close to the end; give exit code and what was printed."""
        running = self.start(*words, **parts)
        printed, _ = running.communicate(timeout=PATIENCE_S)
        return running.returncode, printed

    def octets(self) -> dict[str, list[dict[str, Any]]]:
        """Give everything that closing stores, column by column; octets are written as hexadecimal digits."""
        without = " - ".join(["to_jsonb(stored)", *(f"'{name}'" for name in _WRITTEN_DOWN)])
        return {
            table: [row for (row,) in self._rows(f"SELECT {without} FROM {table} AS stored ORDER BY 1")]
            for table in _RESULTS
        }

    def closed(self) -> list[str]:
        """List the sites that have a run."""
        return [row[0] for row in self._rows("SELECT DISTINCT site FROM allocation_runs ORDER BY 1")]

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int(self._rows(f"SELECT count(*) FROM {table}")[0][0])

    @contextmanager
    def blocked(self, statement: str) -> Iterator[None]:
        """Hold what `statement` locks, so that whoever needs it waits in the middle of his work."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement.encode())
            yield

    def held(self, number: int) -> str:
        """Give the statement that holds the lock of a park."""
        return f"SELECT pg_advisory_xact_lock(hashtextextended('{park_id(number)}', 7083465729082))"

    def waiting_pids(self) -> list[int]:
        """List the client processes whose backends wait for a lock of this database."""
        owners = _owners_of_ports()
        return sorted({owners[port] for (port,) in self._rows(_WAITING) if port in owners})

    def count_waiting(self) -> int:
        """Count the backends that wait for a lock, also those whose client is no more."""
        return len(self._rows(_WAITING))

    def stop(self) -> None:
        """Kill what is left of the started commands."""
        for running in self.started:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            if running.stdout is not None:
                running.stdout.close()

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode()).fetchall()


def wait_for(is_so: Callable[[], Any], running: subprocess.Popen[str] | None = None) -> Any:
    """Wait until `is_so` gives something true, and give that; not for ever, and not after the end of `running`."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := is_so()):
        assert time.monotonic() < deadline, "it did not come about"
        assert running is None or running.poll() is None, running.communicate()
        threading.Event().wait(0.02)
    return found


def ended_within(running: subprocess.Popen[str], seconds: float) -> bool:
    """Wait for the end of a process, no longer than that [s]; say whether it came."""
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def members_of_group(group: int) -> list[int]:
    """List the living processes of a process group, zombies left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def _owners_of_ports() -> Mapping[int, int]:
    """Say which process holds the local end of each TCP connection."""
    inodes = {}
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        parts = line.split()
        inodes[f"socket:[{parts[9]}]"] = int(parts[1].rpartition(":")[2], 16)
    owners: dict[int, int] = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target in inodes:
            owners[inodes[target]] = int(link.parts[2])
    return owners
