"""The supervisor with real programs: small Python ones that live, die, or refuse to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.demo.supervisor import YOUNG_DEATHS_MAX, Program, ProgramFailed, Supervisor

LIVES = "import time, os; print('up', os.getpid(), flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LIVES}"


def program(name: str, source: str) -> Program:
    """A program that runs `source`."""
    return Program(name, (sys.executable, "-I", "-S", "-c", source))


def comes_true(condition: Callable[[], bool], timeout_s: float = 15) -> bool:
    """Wait until `condition` holds; say no when time runs out."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor whose programs end with the test."""
    supervisor = Supervisor(tmp_path)
    yield supervisor
    supervisor.stop()


def pids(directory: Path) -> dict[str, int]:
    """Read the process ids the supervisor has written."""
    path = directory / "pids.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def ups(directory: Path, name: str) -> int:
    """Count how often a program came up."""
    path = directory / "logs" / f"{name}.log"
    return path.read_text(encoding="utf-8").count("up ") if path.exists() else 0


def test_a_killed_program_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program("alpha", LIVES))
    assert comes_true(lambda: ups(tmp_path, "alpha") == 1)
    first = pids(tmp_path)["alpha"]
    os.kill(first, signal.SIGKILL)
    assert comes_true(lambda: ups(tmp_path, "alpha") == 2)
    assert pids(tmp_path)["alpha"] != first
    supervisor.require_alive()


def test_a_program_that_keeps_dying_is_given_up_with_the_tail_of_its_log(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.demo.supervisor.PAUSE_S_MAX", 0.02)
    supervisor.start(program("beta", "raise SystemExit('no such file: site.toml')"))
    with pytest.raises(ProgramFailed, match=r"beta keeps dying.*\n.*no such file: site.toml"):
        supervisor.wait_until(lambda: False, name="beta", timeout_s=30)
    assert (tmp_path / "logs" / "beta.log").read_text().count("no such file") == YOUNG_DEATHS_MAX + 1


def test_waiting_for_what_never_comes_ends_with_a_message(supervisor: Supervisor) -> None:
    supervisor.start(program("gamma", LIVES))
    with pytest.raises(ProgramFailed, match="gamma is not ready after 0 s"):
        supervisor.wait_until(lambda: False, name="gamma", timeout_s=0.2)


def test_stop_ends_the_last_started_program_first(supervisor: Supervisor, tmp_path: Path) -> None:
    told = tmp_path / "told"
    source = (
        "import signal, sys\n"
        "def end(*_):\n    open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit()\n"
        f"signal.signal(signal.SIGTERM, end)\n{LIVES}"
    )
    for name in "abc":
        supervisor.start(Program(name, (sys.executable, "-I", "-S", "-c", source, str(told), name)))
    assert comes_true(lambda: all(ups(tmp_path, name) for name in "abc"))
    supervisor.stop()
    assert told.read_text() == "cba"
    assert not any(is_alive(pid) for pid in pids(tmp_path).values())


def test_a_program_that_ignores_the_signal_is_killed(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.demo.supervisor.STOP_S_MAX", 0.3)
    supervisor.start(program("stubborn", STUBBORN))
    assert comes_true(lambda: ups(tmp_path, "stubborn") == 1)
    supervisor.stop()
    assert not is_alive(pids(tmp_path)["stubborn"])


@pytest.mark.skipif(sys.platform != "linux", reason="the tether to the parent is Linux's")
def test_programs_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    script = (
        "import sys, threading\nfrom pathlib import Path\n"
        "from ingest.demo.supervisor import Program, Supervisor\n"
        "supervisor = Supervisor(Path(sys.argv[1]))\n"
        "supervisor.start(Program('child', (sys.executable, '-I', '-S', '-c', sys.argv[2])))\n"
        "threading.Event().wait(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path), LIVES]) as parent:
        try:
            assert comes_true(lambda: bool(pids(tmp_path)) and ups(tmp_path, "child") == 1)
        finally:
            parent.kill()
    assert comes_true(lambda: not is_alive(pids(tmp_path)["child"]))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can change the user")
def test_a_program_under_another_account_dies_with_its_parent_too(tmp_path: Path) -> None:
    script = (
        "import sys, threading\nfrom pathlib import Path\n"
        "from ingest.demo.supervisor import Program, Supervisor\n"
        "supervisor = Supervisor(Path(sys.argv[1]))\n"
        "argv = ('/bin/sh', '-c', 'echo up $(id -u); exec sleep 600')\n"
        "supervisor.start(Program('child', argv, {}, (65534, 65534)))\n"
        "threading.Event().wait(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as parent:
        try:
            assert comes_true(lambda: bool(pids(tmp_path)) and ups(tmp_path, "child") == 1)
        finally:
            parent.kill()
    assert "up 65534" in (tmp_path / "logs" / "child.log").read_text()
    assert comes_true(lambda: not is_alive(pids(tmp_path)["child"]))
