"""Lending a line to the desk: between sweeps, to one at a time, and back when its process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent import line_loan
from edge_agent.line_loan import LentBus, LineBusy, YieldingBus, borrowed, keep_lending, use_lock
from edge_agent.ports import Answer, PortLost
from metering.clock import ManualClock, SystemClock
from metering.identity import PortId

LINE = PortId("line-a")
WAIT_S = 30.0
HOLD = """
import sys, threading
from pathlib import Path
from edge_agent.line_loan import borrowed
with borrowed(Path(sys.argv[1]), "line-a"):
    print("has it", flush=True)
    threading.Event().wait()
"""


class Wire:
    """A bus that notes whether it is open; a conversation waits for `go_on`."""

    def __init__(self) -> None:
        self.is_open = False
        self.opened = 0
        self.began, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def open(self) -> bool:
        """Open it."""
        was, self.is_open = self.is_open, True
        self.opened += not was
        return not was

    def close(self) -> None:
        """Close it."""
        self.is_open = False

    def converse(self, *_: object, **__: object) -> Answer:
        """Talk."""
        assert self.is_open
        self.began.set()
        assert self.go_on.wait(WAIT_S)
        now = SystemClock().now()
        return Answer(b"", now, now, 0.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(line_loan, "LOOK_S", 0.01)
    monkeypatch.setattr(line_loan, "IDLE_S", 0.02)
    monkeypatch.setattr(line_loan, "OPEN_S", 0.02)


def test_an_idle_line_is_lent_and_taken_back(tmp_path: Path, quick: None) -> None:
    wire, stop = Wire(), threading.Event()
    bus = LentBus(wire, tmp_path, LINE)  # type: ignore[arg-type]
    lender = threading.Thread(target=keep_lending, args=([bus], stop))
    lender.start()
    assert bus.open()
    assert not bus.open()
    with borrowed(tmp_path, LINE):
        assert not wire.is_open
        with pytest.raises(PortLost, match="lent to the installation desk"):
            bus.open()
        with pytest.raises(PortLost, match="lent"):
            bus.converse(iter(()), reply_s=0, late_s=0)  # type: ignore[arg-type]
    assert bus.open()
    bus.converse(iter(()), reply_s=0, late_s=0)  # type: ignore[arg-type]
    stop.set()
    lender.join()
    bus.close()
    assert not use_lock(tmp_path, LINE).is_held


def test_a_conversation_is_not_broken_off(tmp_path: Path, quick: None) -> None:
    wire = Wire()
    bus = LentBus(wire, tmp_path, LINE)  # type: ignore[arg-type]
    bus.open()
    wire.go_on.clear()
    talking = threading.Thread(target=lambda: bus.converse(iter(()), reply_s=0, late_s=0))  # type: ignore[arg-type]
    talking.start()
    assert wire.began.wait(WAIT_S)
    want = line_loan.want_lock(tmp_path, LINE)
    assert want.take()
    assert not bus.lend_if_wanted()
    wire.go_on.set()
    talking.join()
    while not bus.lend_if_wanted():
        threading.Event().wait(0.01)
    assert not wire.is_open
    want.drop()


def test_a_line_that_is_never_idle_is_lent_between_two_conversations(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_loan, "IDLE_S", 1e9)
    bus = LentBus(Wire(), tmp_path, LINE)  # type: ignore[arg-type]
    bus.open()
    want = line_loan.want_lock(tmp_path, LINE)
    want.take()
    assert not bus.lend_if_wanted()
    monkeypatch.setattr(line_loan, "PATIENCE_S", 0.0)
    assert bus.lend_if_wanted()
    want.drop()


def test_two_desks_do_not_have_one_line_at_once(tmp_path: Path) -> None:
    with (
        borrowed(tmp_path, LINE),
        pytest.raises(LineBusy, match="in use by another desk"),
        borrowed(tmp_path, LINE, wait_s=0.05),
    ):
        raise AssertionError("both have it")


def test_a_desk_that_was_killed_gives_the_line_back(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as desk:
        assert desk.stdout is not None
        assert desk.stdout.readline() == "has it\n"
        assert not use_lock(tmp_path, LINE).take()
        os.kill(desk.pid, signal.SIGKILL)
        desk.wait(WAIT_S)
    with borrowed(tmp_path, LINE, wait_s=WAIT_S):
        pass


def test_a_long_scan_gives_the_line_back_around_each_mark(tmp_path: Path, quick: None) -> None:
    """What happens on the line, in order: a question, the agent's sweep at the mark, the next question."""
    clock = ManualClock(datetime(2026, 7, 1, 7, 59, 50, tzinfo=UTC))
    wire, seen = Wire(), list[str]()
    with borrowed(tmp_path, LINE) as loan:
        bus = YieldingBus(wire, loan, clock, timedelta(minutes=15))  # type: ignore[arg-type]
        bus.open()
        bus.converse(iter(()), reply_s=0, late_s=0)  # type: ignore[arg-type]
        clock.sleep(7)
        sleep_until = clock.sleep_until

        def slept(instant: datetime) -> None:
            agents = use_lock(tmp_path, LINE)
            seen.append("agent has it" if agents.take() and not wire.is_open else "agent has it not")
            agents.drop()
            sleep_until(instant)

        clock.sleep_until = slept  # type: ignore[method-assign]
        bus.converse(iter(()), reply_s=0, late_s=0)  # type: ignore[arg-type]
        bus.converse(iter(()), reply_s=0, late_s=0)  # type: ignore[arg-type]
        assert not use_lock(tmp_path, LINE).take()
        bus.close()
    assert seen == ["agent has it"]
    assert clock.now() == datetime(2026, 7, 1, 8, 0, 2, tzinfo=UTC)
    assert wire.opened == 2
