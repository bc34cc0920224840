"""Lending a line: the running agent gives it to the installation desk for a while, whichever process the desk is in.

Theory of operation. Two lock files for each port lie in the state directory. Who holds `.use` may have the line open;
who wants it from the agent holds `.want`. The kernel drops both when their process ends, however it ends, so a desk
that was killed gives the line back. The agent keeps `.use` while its bus is open. A few times a second it looks for a
wish, and grants it when nothing was said on the line for half a second, which is between sweeps; after half a minute of
waiting, between any two conversations. A lent line is a lost one to a sweep, which waits as long as an answer may be
late; a long scan gives the line back around each mark.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from device_profiles.framing.conversation import Conversation
from edge_agent.figures import LineFigures
from edge_agent.ports import Answer, Bus, PortLost
from edge_agent.schedule import next_mark
from metering.clock import Clock
from metering.errors import MeteringError
from metering.identity import PortId
from provisioning.site import LineSettings

log = logging.getLogger(__name__)

FOLDER = "lines"
LOOK_S = 0.25
IDLE_S = 0.5
"""A line on which nothing was said for so long is between two sweeps [s]."""
PATIENCE_S = 30.0
"""A line that is never idle is lent between two conversations after so long [s]."""
WAIT_S = 60.0
"""How long a desk waits for a line [s]: the agent's patience, and the longest conversation."""
BEFORE_MARK = timedelta(seconds=4)
"""So long before a mark a scan gives the line back: longer than one conversation."""
BEHIND_MARK = timedelta(seconds=2)
"""So long after it the agent has surely begun its sweep; it lends the line when that has ended."""
OPEN_S = 1.0
"""How long the agent waits for a line that is lent before it says so [s]."""


class LineBusy(MeteringError):
    """Somebody else has the line and does not give it back."""


class LineLock:
    """One lock file; held by an open descriptor, so it is gone with its process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    @property
    def is_held(self) -> bool:
        """Say whether this object holds it."""
        return self._fd >= 0

    def take(self, *, is_shared: bool = False) -> bool:
        """Take it, or say False where somebody else has it."""
        if self.is_held:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._fd = descriptor
        return True

    def take_within(self, seconds: float, stop: threading.Event) -> bool:
        """Take it within `seconds` [s]; False where that did not do, or `stop` was set."""
        until_s = time.monotonic() + seconds
        while not self.take():
            if time.monotonic() > until_s or stop.wait(0.02):
                return False
        return True

    def drop(self) -> None:
        """Give it back, if it is held."""
        if self.is_held:
            os.close(self._fd)
            self._fd = -1


def use_lock(state: Path, port: PortId) -> LineLock:
    """Give the lock of who may open the line."""
    return LineLock(state / FOLDER / f"{port}.use")


def want_lock(state: Path, port: PortId) -> LineLock:
    """Give the lock of who wants the line from the agent."""
    return LineLock(state / FOLDER / f"{port}.want")


class Loan:
    """A line that somebody has borrowed."""

    def __init__(self, state: Path, port: PortId, stop: threading.Event, wait_s: float) -> None:
        self._port = port
        self._stop = stop
        self._wait_s = wait_s
        self._want, self._use = want_lock(state, port), use_lock(state, port)

    def take(self) -> None:
        """Have the line; raises LineBusy."""
        if not self._want.take_within(self._wait_s, self._stop) or not self._use.take_within(self._wait_s, self._stop):
            self.give_back()
            raise LineBusy(f"line {self._port} is in use by another desk or program: try again, or stop that one")

    def give_back(self) -> None:
        """Let the agent have it."""
        self._use.drop()
        self._want.drop()


@contextmanager
def borrowed(state: Path, port: PortId, stop: threading.Event | None = None, wait_s: float = WAIT_S) -> Iterator[Loan]:
    """Have the line for as long as one is inside; raises LineBusy after `wait_s` [s]."""
    loan = Loan(state, port, stop or threading.Event(), wait_s)
    loan.take()
    try:
        yield loan
    finally:
        loan.give_back()


class YieldingBus(Bus):
    """A borrower's bus that gives the line back around each mark, so that a long scan costs the agent no reading.

    every   time between the agent's marks
    """

    def __init__(self, inner: Bus, loan: Loan, clock: Clock, every: timedelta) -> None:
        self._inner = inner
        self._loan = loan
        self._clock = clock
        self._every = every
        self._mark = next_mark(clock.now(), None, every)

    def open(self) -> bool:
        """Open the line; raises PortLost."""
        return self._inner.open()

    def close(self) -> None:
        """Close the line."""
        self._inner.close()

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Hold a conversation, behind the agent's sweep if a mark is near; raises LineBusy where it does not end."""
        if self._clock.now() >= self._mark - BEFORE_MARK:
            self._inner.close()
            self._loan.give_back()
            self._clock.sleep_until(self._mark + BEHIND_MARK)
            self._mark = next_mark(self._clock.now(), self._mark, self._every)
            self._loan.take()
            self._inner.open()
        return self._inner.converse(conversation, reply_s=reply_s, late_s=late_s, line=line)


class LentBus(Bus):
    """An agent's bus that lends its line."""

    def __init__(self, inner: Bus, state: Path, port: PortId) -> None:
        self._inner = inner
        self.port = port
        self._use, self._want = use_lock(state, port), want_lock(state, port)
        self._talking = threading.Lock()
        self._quiet_since_s = time.monotonic()
        self._wanted_since_s: float | None = None
        self._stop = threading.Event()

    @property
    def figures(self) -> LineFigures:
        """What the line has carried."""
        figures: LineFigures = getattr(self._inner, "figures", None) or LineFigures()
        return figures

    def open(self) -> bool:
        """Open the line; raises PortLost, also while it is lent."""
        with self._talking:
            if not self._use.is_held and not self._use.take_within(OPEN_S, self._stop):
                raise PortLost(f"line {self.port} is lent to the installation desk")
            try:
                return self._inner.open()
            except PortLost:
                self._use.drop()
                raise

    def close(self) -> None:
        """Close the line."""
        with self._talking:
            self._give_back()

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Hold a conversation; see `Bus.converse`."""
        with self._talking:
            if not self._use.is_held:
                raise PortLost(f"line {self.port} is lent to the installation desk")
            try:
                return self._inner.converse(conversation, reply_s=reply_s, late_s=late_s, line=line)
            finally:
                self._quiet_since_s = time.monotonic()

    def lend_if_wanted(self) -> bool:
        """Close the line if somebody wants it and it is a moment to give it; say whether it was given."""
        if not self._use.is_held:
            return False
        if self._want.take(is_shared=True):
            self._want.drop()
            self._wanted_since_s = None
            return False
        now_s = time.monotonic()
        self._wanted_since_s = self._wanted_since_s or now_s
        is_patient = now_s - self._wanted_since_s < PATIENCE_S
        if is_patient and (now_s - self._quiet_since_s < IDLE_S or self._talking.locked()):
            return False
        with self._talking:
            self._give_back()
        log.warning("line-lent", extra={"port": self.port})
        self._wanted_since_s = None
        return True

    def _give_back(self) -> None:
        self._inner.close()
        self._use.drop()


def keep_lending(buses: Sequence[LentBus], stop: threading.Event) -> None:
    """Look for wishes until `stop` is set."""
    while buses and not stop.wait(LOOK_S):
        for bus in buses:
            bus.lend_if_wanted()
