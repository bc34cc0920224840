"""A line of simulated meters in a time of its own: what takes minutes on a wire takes milliseconds here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from device_profiles.timed_line import Speed, TimedLine
from edge_agent.arbiter import Arbiter, Stopwatch
from metering.clock import ClockQuality, ClockState
from provisioning.site import LineSettings

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SETTLE_S = 0.0005
"""What waiting for nothing costs [s]: a clock that stands still would be waited on for ever."""


class VirtualWire(Stopwatch):
    """Octet line, clock and stopwatch in one: `now_s` moves only when somebody waits."""

    def __init__(self, line: TimedLine) -> None:
        self.line = line
        self.now_s = 0.0
        self.opened = False
        self.switches = 0

    def bus(self, settings: LineSettings) -> Arbiter:
        """Give the arbiter over this line."""
        self._set(settings)
        return Arbiter(self, settings, self, self)

    def monotonic(self) -> float:  # type: ignore[override]
        """Give the present instant [s]."""
        return self.now_s

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += max(seconds, 0.0)

    def now(self) -> datetime:
        """Give the present instant of the wall clock."""
        return START + timedelta(seconds=self.now_s)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.wait(seconds)

    def sleep_until(self, instant: datetime) -> None:
        """Let time pass until `instant`."""
        self.wait((instant - self.now()).total_seconds())

    def state(self) -> ClockState:
        """Say that this clock is right."""
        return ClockState(ClockQuality.SYNCHRONISED, 0)

    def open(self) -> bool:
        """Open."""
        was, self.opened = self.opened, True
        return not was

    def close(self) -> None:
        """Close."""
        self.opened = False

    def send(self, octets: bytes) -> None:
        """Put octets on the wire."""
        self.line.hear(octets, self.now_s)

    def read(self, seconds: float) -> bytes:
        """Give what arrives within `seconds`, the first octets that come."""
        until_s = self.now_s + max(seconds, 0.0)
        due_s = self.line.next_due_s
        if due_s is None or due_s > until_s:
            self.now_s = until_s
            return b""
        self.now_s = max(self.now_s, due_s)
        return b"".join(octets for _, octets in self.line.due(self.now_s + SETTLE_S))

    def drain(self) -> None:
        """Everything has left."""

    def switch(self, settings: LineSettings) -> None:
        """Set the gateway's end."""
        self.switches += 1
        self._set(settings)

    def _set(self, settings: LineSettings) -> None:
        self.line.set_speed(Speed(settings.baud, settings.parity.value, settings.stopbits, settings.data_bits))
