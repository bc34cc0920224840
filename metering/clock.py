"""The only door to time. Cores take a Clock; nothing else reads the wall clock or sleeps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Protocol


class ClockQuality(IntEnum):
    """How far a clock may be trusted."""

    UNKNOWN = 0
    ESTIMATED = 1
    SYNCHRONISED = 2


@dataclass(frozen=True, slots=True)
class ClockState:
    """Trust in a clock at one moment: its quality and, if known, the error bound [ms]."""

    quality: ClockQuality
    error_ms: int | None


class Clock(Protocol):
    """Source of time for one process."""

    def now(self) -> datetime:
        """Give the present instant, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait `seconds` [s] of this clock's time."""

    def sleep_until(self, instant: datetime) -> None:
        """Wait until this clock shows `instant`; return at once if it has passed."""

    def state(self) -> ClockState:
        """Say how far this clock may be trusted now."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Give the machine's wall-clock time in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds` [s]."""
        time.sleep(seconds)

    def sleep_until(self, instant: datetime) -> None:
        """Block until `instant`, in steps of at most 1 s so that a clock that is set meanwhile is noticed."""
        while (left_s := (instant - self.now()).total_seconds()) > 0:
            self.sleep(min(left_s, 1.0))

    def state(self) -> ClockState:
        """Report an estimated clock: whether the host is synchronised is not known to this class."""
        return ClockState(ClockQuality.ESTIMATED, None)


class ManualClock:
    """A clock that moves only when told or slept on; for tests and simulations."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Give the instant this clock was last set to."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move forward by `seconds` [s] at once."""
        self._now = datetime.fromtimestamp(self._now.timestamp() + seconds, UTC)

    def sleep_until(self, instant: datetime) -> None:
        """Move to `instant` at once, never backwards."""
        self._now = max(self._now, instant)

    def state(self) -> ClockState:
        """Report a synchronised clock with no error."""
        return ClockState(ClockQuality.SYNCHRONISED, 0)
