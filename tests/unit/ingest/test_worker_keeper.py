"""A keeper starts its worker, starts it again when it ends, and ends it in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from prometheus_client import CollectorRegistry

from ingest import worker_keeper
from ingest.embedded.server import free_port
from ingest.small_port import small_port
from ingest.worker_keeper import WorkerKeeper
from tests.doubles.programs import ROOT, wait_until

PATIENCE_S = 60.0
LIVES = "import time, sys; open(sys.argv[1], 'a').write('.'); time.sleep(600)"
DIES = "import sys; open(sys.argv[1], 'a').write('.'); sys.exit(3)"
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "open(sys.argv[1], 'a').write('.'); time.sleep(600)"
)


class Kept:
    """A keeper of a small program, which leaves a mark in a file whenever it is started."""

    def __init__(self, program: str, folder: Path, probe: str = "") -> None:
        self.restarts = 0
        self.marks = folder / "marks"
        self.keeper = WorkerKeeper("1/2", (), probe=probe, on_restart=self.count)
        self.keeper._words = (sys.executable, "-c", program, str(self.marks))

    def count(self) -> None:
        """Count a restart."""
        self.restarts += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep it while inside."""
        stop = Event()
        thread = Thread(target=self.keeper.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def wait_for_starts(self, count: int) -> None:
        """Wait until it was started so often."""
        wait_until(lambda: self.marks.exists() and len(self.marks.read_text()) >= count, f"started {count} times")


def is_there(pid: int) -> bool:
    """Say whether a process is there, and no zombie that nobody waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_is_ready_while_it_runs_and_gone_in_the_end(tmp_path: Path) -> None:
    kept = Kept(LIVES, tmp_path)
    assert not kept.keeper.is_ready()
    with kept.running():
        kept.wait_for_starts(1)
        pid = kept.keeper.pid
        assert pid is not None
        assert kept.keeper.is_ready()
    assert not is_there(pid)
    assert not kept.keeper.is_ready()
    assert kept.restarts == 0


def test_a_worker_that_is_killed_is_started_again(tmp_path: Path) -> None:
    kept = Kept(LIVES, tmp_path)
    with kept.running():
        kept.wait_for_starts(1)
        assert kept.keeper.pid is not None
        os.kill(kept.keeper.pid, signal.SIGKILL)
        kept.wait_for_starts(2)
        assert kept.restarts == 1


def test_a_worker_that_dies_again_and_again_gets_ever_longer_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_keeper, "PAUSE_S", 0.01)
    monkeypatch.setattr(worker_keeper, "PAUSE_S_MAX", 0.04)
    kept = Kept(DIES, tmp_path)
    with kept.running():
        kept.wait_for_starts(5)
    told = [record.args for record in caplog.records if "intake_worker.ended" in record.msg]
    assert [(share, code) for share, code, _ in told[:4]] == [("1/2", 3)] * 4  # type: ignore[misc]
    assert [pause_s for *_, pause_s in told[:4]] == [0.01, 0.02, 0.04, 0.04]  # type: ignore[misc]


def test_a_worker_that_does_not_end_when_told_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_keeper, "END_S", 0.1)
    kept = Kept(STUBBORN, tmp_path)
    with kept.running():
        kept.wait_for_starts(1)
        pid = kept.keeper.pid
        assert pid is not None
    assert not is_there(pid)


KEEPING = """
    import sys
    from threading import Event
    from ingest.worker_keeper import WorkerKeeper
    keeper = WorkerKeeper("1/1", (), probe="", on_restart=lambda: None)
    keeper._words = (sys.executable, "-c", *sys.argv[1:])
    keeper.run(Event())
"""


def test_a_worker_dies_with_the_program_that_was_killed(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    program = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()}.'); time.sleep(600)"
    words = [sys.executable, "-c", textwrap.dedent(KEEPING), program, str(marks)]
    with subprocess.Popen(words, cwd=ROOT) as parent:
        wait_until(lambda: marks.exists() and marks.read_text().endswith("."), "the worker started")
        child = int(marks.read_text().rstrip("."))
        assert is_there(child)
        parent.kill()
    wait_until(lambda: not is_there(child), "the worker gone")


def test_a_worker_that_says_it_is_not_ready_is_not(tmp_path: Path) -> None:
    is_broker_there = False
    port = free_port()
    kept = Kept(LIVES, tmp_path, probe=f"http://127.0.0.1:{port}/readyz")
    with kept.running():
        kept.wait_for_starts(1)
        assert not kept.keeper.is_ready(), "nobody listens yet"
        with small_port("127.0.0.1", port, {"broker": lambda: is_broker_there}, CollectorRegistry()):
            assert not kept.keeper.is_ready()
            is_broker_there = True
            assert kept.keeper.is_ready()


def test_the_command_line_of_a_worker_ends_with_its_share() -> None:
    keeper = WorkerKeeper("2/3", ("--log-format=json", "intake"), probe="", on_restart=lambda: None)
    assert keeper._words[1:] == ("-m", "ingest.cli", "--log-format=json", "intake", "--intake-share=2/3")
