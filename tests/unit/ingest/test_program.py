"""The threads of a program stand and fall together, and a signal ends them, by force if they hang."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ingest import app, small_port
from ingest.app import Program, ProgramFell

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30.0


def waiting(stop: Event) -> None:
    """Work that ends when it is told to."""
    assert stop.wait(PATIENCE_S)


def falling(_stop: Event) -> None:
    """Work that runs into an error."""
    raise KeyError("planted")


def send(number: signal.Signals) -> None:
    """Send a signal to this process."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_thread_and_calls_every_end(number: signal.Signals) -> None:
    before, ended = signal.getsignal(number), list[str]()
    with Program("intake", "1/2") as program:
        program.start("one", waiting, end=lambda: ended.append("one"))
        program.start("two", waiting)
        send(number)
        program.run(lambda: ended.append("own"))
    assert sorted(ended) == ["one", "own"]
    assert program.stop.is_set()
    assert signal.getsignal(number) is before


def test_a_program_that_cannot_begin_ends_what_it_began() -> None:
    ended = Event()

    def work(stop: Event) -> None:
        waiting(stop)
        ended.set()

    def begin() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, Program("serve") as program:
            program.start("one", work)
            small_port.listen(*taken.getsockname())

    with pytest.raises(small_port.PortTaken):
        begin()
    assert ended.is_set()


def fall(name: str, work: Callable[[Event], None]) -> Program:
    """Run a program of which one thread falls."""
    with Program("serve") as program:
        program.start("steady", waiting)
        program.start(name, work)
        with pytest.raises(ProgramFell, match=name):
            program.run()
    assert program.stop.is_set()
    return program


def test_a_thread_that_falls_takes_the_program_with_it(caplog: pytest.LogCaptureFixture) -> None:
    fall("weak", falling)
    assert "program.thread_fell thread=weak" in caplog.text
    assert "planted" in caplog.text


def test_a_thread_that_ends_without_being_told_is_missed_too() -> None:
    fall("done", lambda _: None)


def test_an_exit_inside_a_thread_is_missed_too() -> None:
    fall("web", lambda _: sys.exit(3))


def test_what_hangs_is_named_and_then_ended_by_force(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forced, let_go = Event(), Event()
    monkeypatch.setattr(app, "_end_by_force", forced.set)
    monkeypatch.setattr(app, "FORCE_S", 0.05)
    with Program("settle", stop_s=0.05) as program:
        program.start("stubborn", lambda _: (let_go.wait(PATIENCE_S), None)[1])
        send(signal.SIGTERM)
        program.run()
        assert forced.wait(PATIENCE_S)
        let_go.set()
    assert "program.threads_hang threads=stubborn" in caplog.text


def test_a_program_that_ended_in_time_is_not_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[object] = []

    class Kept(app.Timer):
        """Keeps the timers that are made."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            timers.append(self)

    monkeypatch.setattr(app, "Timer", Kept)
    with Program("settle") as program:
        program.start("quick", waiting)
        send(signal.SIGTERM)
        program.run()
    (timer,) = timers
    assert isinstance(timer, Kept)
    assert timer.finished.is_set()


STUBBORN = """
    import sys
    from threading import Event
    from ingest import app, small_port
    app.FORCE_S = float(sys.argv[1])
    program = app.Program("settle", stop_s=0.2)
    with program:
        program.start("stubborn", lambda stop: (stop.wait(), print("ending", flush=True), Event().wait()))
        print("up", flush=True)
        program.run()
    Event().wait()
"""


def run_stubborn(force_s: float, act: Callable[[subprocess.Popen[str]], None]) -> int:
    """Run a program that never ends by itself."""
    words = [sys.executable, "-c", textwrap.dedent(STUBBORN), str(force_s)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            act(child)
            return child.wait(PATIENCE_S)
        finally:
            child.kill()


def test_a_program_that_hangs_is_gone_in_the_end() -> None:
    assert run_stubborn(0.2, subprocess.Popen.terminate) == 1


def test_a_second_signal_ends_at_once() -> None:
    def tell_twice(child: subprocess.Popen[str]) -> None:
        child.terminate()
        assert child.stdout is not None
        assert child.stdout.readline() == "ending\n"
        child.terminate()

    assert run_stubborn(600, tell_twice) == -signal.SIGTERM


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(small_port.PortTaken, match=rf"127\.0\.0\.1:{port} cannot be listened on .* --port"):
            small_port.listen("127.0.0.1", port)
