"""The machine's clock for a gateway that may be told to stop while it waits for a mark."""

from __future__ import annotations

import threading
from datetime import datetime

from edge_agent.ports import Stopped
from metering.clock import SystemClock


class StoppableClock(SystemClock):
    """The system clock; `sleep_until` raises Stopped once `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def sleep_until(self, instant: datetime) -> None:
        """Block until `instant`, in steps of at most 1 s so that a clock that is set meanwhile is noticed."""
        while (left_s := (instant - self.now()).total_seconds()) > 0:
            if self._stop.wait(min(left_s, 1.0)):
                raise Stopped("told to stop")
