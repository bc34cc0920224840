"""Measuring goes on when marks are of no use: the time is unknown, or a clock far ahead had taken them already.

Sweeps are then sealed without a mark, every five minutes. With an unknown time they count from the boot, and an anchor
dates them as soon as it is known; registers are cumulative, so nothing of the energy is lost, only its shape inside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from edge_agent.poll_cycle import PollCycle
from metering.clock import Clock, ClockQuality
from metering.report import Anchor

log = logging.getLogger(__name__)

EVERY_MAX = timedelta(seconds=300)
"""Time between unaligned sweeps, unless marks are closer."""
AHEAD_MIN = timedelta(minutes=30)
"""Marks taken up to here ahead are waited for: a clock that slews or steps a little makes no unaligned sweeps."""


class UnalignedCycle:
    """Reads all ports of a poll cycle without marks.

    marks   the cycle that reads at marks, whose ports and chain are used
    """

    def __init__(self, marks: PollCycle, clock: Clock, every: timedelta) -> None:
        self._marks = marks
        self._clock = clock
        self._every = min(every, EVERY_MAX)
        self._due: datetime | None = None
        self._is_told = False

    @property
    def is_needed(self) -> bool:
        """Whether the next sweep has to be an unaligned one."""
        if self._clock.state().quality is ClockQuality.UNKNOWN:
            return True
        polled = self._marks.polled
        return polled is not None and polled - self._clock.now() > AHEAD_MIN

    def poll_next(self) -> datetime:
        """Wait until the next sweep is due, at once at first, poll, and give the instant; raises Stopped."""
        now = self._clock.now()
        if self._due is None or not now - self._every <= self._due + self._every <= now + self._every:
            self._due = now
            log.warning(
                "unaligned-sweeps", extra={"clock": self._clock.state().quality.name, "polled": self._marks.polled}
            )
        else:
            self._due += self._every
        self.poll(self._due)
        return self._due

    def poll(self, due: datetime) -> None:
        """Read every port at `due`, and return when the readings are safe."""
        is_unknown = self._clock.state().quality is ClockQuality.UNKNOWN
        fitted_on = self._marks.polled if is_unknown else due
        self._marks.sealer.seal_sweeps(None, self._marks.sweep(due, fitted_on))


class AnchorPost:
    """Puts an anchor into the chain once a boot, and again when the time became surer by much.

    anchor   gives one as of now, if the time is known
    """

    SURER = 4
    """An anchor is followed by another when its error is this many times less."""

    def __init__(self, anchor: Callable[[], Anchor | None], marks: PollCycle) -> None:
        self._anchor = anchor
        self._marks = marks
        self._error_ms: int | None = None

    def post(self) -> None:
        """Seal an anchor if there is something new to say."""
        anchor = self._anchor()
        if anchor is None or (self._error_ms is not None and self.SURER * anchor.error_ms >= self._error_ms):
            return
        self._error_ms = anchor.error_ms
        self._marks.sealer.report([anchor])
