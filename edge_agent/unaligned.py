"""Measuring goes on when marks are of no use: the time is unknown, or a clock far ahead had taken them already.

Sweeps are then sealed without a mark, every five minutes. With an unknown time they count from the boot, and an anchor
dates them as soon as it is known; registers are cumulative, so nothing of the energy is lost, only its shape inside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from edge_agent.poll_cycle import PollCycle
from metering.clock import Clock, ClockQuality
from metering.report import Anchor

log = logging.getLogger(__name__)

EVERY_MAX = timedelta(seconds=300)
"""Time between unaligned sweeps, unless marks are closer."""
AHEAD_MIN = timedelta(minutes=30)
"""Marks taken up to here ahead are waited for: a clock that slews or steps a little makes no unaligned sweeps."""

SURER = 4
"""An anchor is followed by another when its error is this many times less."""
SOME_DAY = datetime(9000, 1, 1, tzinfo=UTC)
"""On a gateway that has no past and no time, the meters that are never taken away are the ones to read."""


class AnchorPost:
    """Puts an anchor into the chain when something of this boot waits to be dated, and again when time is much surer.

    anchor    gives one as of now, if the time is known
    is_owed   whether the newest batch of an earlier run was sealed while the time was unknown
    """

    def __init__(self, anchor: Callable[[], Anchor | None], marks: PollCycle, *, is_owed: bool) -> None:
        self._anchor = anchor
        self._marks = marks
        self._is_owed = is_owed
        self._error_ms: int | None = None

    def owe(self) -> None:
        """Something was sealed that has to be dated."""
        self._is_owed = True

    def post(self) -> None:
        """Seal an anchor if one is owed and there is something new to say."""
        anchor = self._anchor() if self._is_owed else None
        if anchor is None or (self._error_ms is not None and SURER * anchor.error_ms >= self._error_ms):
            return
        self._marks.sealer.report([anchor])
        self._error_ms = anchor.error_ms
        log.warning("boot-dated", extra={"error_ms": anchor.error_ms, "source": anchor.source})


class UnalignedCycle:
    """Reads all ports of a poll cycle without marks.

    marks   the cycle that reads at marks, whose ports and chain are used
    """

    def __init__(self, marks: PollCycle, clock: Clock, every: timedelta, anchors: AnchorPost) -> None:
        self._marks = marks
        self._clock = clock
        self._every = min(every, EVERY_MAX)
        self._anchors = anchors
        self._due: datetime | None = None

    @property
    def is_needed(self) -> bool:
        """Whether the next sweep has to be an unaligned one."""
        if self._is_unknown:
            return True
        polled = self._marks.polled
        return polled is not None and polled - self._clock.now() > AHEAD_MIN

    def next_due(self) -> datetime:
        """Say when the next sweep is due: at once at first, and after a clock that moved."""
        now = self._clock.now()
        if self._due is None or abs(now - self._due) > 2 * self._every:
            return now
        return self._due + self._every

    def poll_next(self) -> datetime:
        """Wait until the next sweep is due, poll, and give the instant; raises Stopped."""
        due = self.next_due()
        if self._due is None:
            log.warning("unaligned-sweeps", extra={"clock": self._clock.state().quality, "polled": self._marks.polled})
        self._clock.sleep_until(due)
        self.poll(due)
        self._due = due
        return due

    def poll(self, due: datetime) -> None:
        """Read every port at `due`, and return when the readings are safe."""
        polled = self._marks.polled
        if self._is_unknown:
            self._anchors.owe()
            sweeps = self._marks.sweep(due, polled or SOME_DAY)
        else:
            sweeps = self._marks.sweep(due)
        self._marks.sealer.seal_sweeps(None, sweeps, polled)

    @property
    def _is_unknown(self) -> bool:
        return self._clock.state().quality is ClockQuality.UNKNOWN
