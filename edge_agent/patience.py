"""How long to wait for a meter and how often to ask one that does not answer (pure; one object per meter).

Theory of operation. A meter that answers teaches its turnaround; the first attempt waits twice the 99th percentile of
it, the retry as long as the profile allows. A meter that failed both attempts is silent: from then on it gets one
probe, its first request, at growing pauses, and all silent meters of a port together get at most 5 % of the port's
time. An answer makes it an ordinary meter again.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

REPLY_S_MIN = 0.080
"""Shortest timeout [s]: a USB adapter's latency timer of 16 ms, twice, and the host's scheduling."""
SAMPLES = 100
SAMPLES_MIN = 20
"""Fewer turnarounds than this say nothing about their 99th percentile."""
PAUSES_S = (5, 15, 60, 300)
"""Growing pauses between probes of a silent meter [s]."""
SILENT_SHARE = 0.05
SILENT_CREDIT_S = SILENT_SHARE * 900
"""What silent meters may use at once: their share of a quarter hour [s]."""


class Patience:
    """The state of one meter.

    reply_s_max   the longest turnaround to wait for [s]
    reply_s_min   shortest timeout that may be learnt [s]
    """

    def __init__(self, reply_s_max: float, reply_s_min: float = REPLY_S_MIN) -> None:
        self.reply_s_max = reply_s_max
        self._reply_s_min = reply_s_min
        self.probe_at: datetime | None = None
        self._turnarounds_s: deque[float] = deque(maxlen=SAMPLES)
        self._probes = 0

    @property
    def is_silent(self) -> bool:
        """Say whether the meter is being probed only."""
        return self.probe_at is not None

    def is_due(self, now: datetime) -> bool:
        """Say whether the meter may be asked at `now`.

        A probe that lies further ahead than the longest pause was set by a clock that has been put back since.
        """
        if self.probe_at is None or now >= self.probe_at:
            return True
        return self.probe_at - now > timedelta(seconds=PAUSES_S[-1])

    def timeouts_s(self, *, has_answered: bool) -> tuple[float, ...]:
        """Give the timeout of each attempt [s]: two attempts, or one probe.

        has_answered   whether the meter has answered in this sweep; a silent meter that did is silent no more
        """
        if not self.is_silent:
            return (self._learnt_s(), self.reply_s_max)
        return (self.reply_s_max, self.reply_s_max) if has_answered else (self.reply_s_max,)

    def answered(self, turnaround_s: float) -> None:
        """Learn from an answer."""
        self._turnarounds_s.append(turnaround_s)
        self.probe_at = None
        self._probes = 0

    def stayed_silent(self, now: datetime) -> None:
        """Note that every attempt at `now` went unanswered."""
        pause_s = PAUSES_S[min(self._probes, len(PAUSES_S) - 1)]
        self._probes += 1
        self.probe_at = now + timedelta(seconds=pause_s)

    def _learnt_s(self) -> float:
        if len(self._turnarounds_s) < SAMPLES_MIN:
            return self.reply_s_max
        ranked = sorted(self._turnarounds_s)
        percentile_s = ranked[len(ranked) * 99 // 100]
        return min(max(2 * percentile_s, self._reply_s_min), self.reply_s_max)


class SilentShare:
    """Bounds the time that silent meters cost a port: a bucket that fills with 5 % of the clock's time."""

    def __init__(self) -> None:
        self._credit_s = SILENT_CREDIT_S
        self._filled_at: datetime | None = None

    def allows(self, now: datetime) -> bool:
        """Say whether a silent meter may be probed at `now`."""
        if self._filled_at is not None and now > self._filled_at:
            earned_s = SILENT_SHARE * (now - self._filled_at).total_seconds()
            self._credit_s = min(self._credit_s + earned_s, SILENT_CREDIT_S)
        self._filled_at = now
        return self._credit_s > 0

    def spend(self, seconds: float) -> None:
        """Charge the port's time that a probe without answer took [s]."""
        self._credit_s -= seconds
