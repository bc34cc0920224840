"""The spine: at each mark every port is read, what it gave is sealed, and what is sealed is in the outbox.

    mark -> sweep every port at once -> seal one envelope per port -> one synced commit -> tell the uplink

All ports of a mark are sealed in the order of the configuration and committed together, so a crash either keeps a
mark whole or leaves none of it, and the gateway that starts again repeats it with the same octets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import Protocol

from edge_agent.agenda import Agenda
from edge_agent.ports import Outbox
from edge_agent.schedule import next_mark
from edge_agent.sealing import Identity, Sealer
from edge_agent.sweep import Sweep
from metering.clock import Clock

log = logging.getLogger(__name__)


class Reader(Protocol):
    """What reads one port."""

    @property
    def agenda(self) -> Agenda | None:
        """What is read between marks, None: nothing."""

    def work_until(self, until: datetime, keep: Callable[[Sweep], None]) -> None:
        """Read what is on the agenda; see `PortReader.work_until`."""

    def sweep(self, mark: datetime, fitted_on: datetime | None = None) -> Sweep:
        """Read every meter of the port; see `PortReader.sweep`."""


class PollCycle:
    """Reads, seals and keeps, mark by mark.

    executor   runs the ports of a mark at once
    appended   told the newest seq after each commit
    """

    def __init__(
        self,
        *,
        identity: Identity,
        readers: Sequence[Reader],
        outbox: Outbox,
        clock: Clock,
        every: timedelta,
        executor: Executor,
        appended: Callable[[int], None],
    ) -> None:
        self.sealer = Sealer(identity, outbox, clock, appended)
        self._readers = readers
        self._clock = clock
        self._every = every
        self._executor = executor
        # Of any epoch: a clock that is behind after a new enrolment must not bring old marks back.
        self._polled = outbox.newest_mark()

    @property
    def polled(self) -> datetime | None:
        """The newest mark that was read, in any epoch."""
        return self._polled

    def next_due(self) -> datetime:
        """Say which mark is read next."""
        return next_mark(self._clock.now(), self._polled, self._every)

    def poll_next(self) -> datetime:
        """Wait for the next mark that is not in the outbox, poll it, and give it; raises Stopped."""
        mark = self.next_due()
        if self._polled is not None and mark > self._polled + self._every:
            log.warning("marks-missed", extra={"after": self._polled.isoformat(), "before": mark.isoformat()})
        self._work_until(mark)
        self.poll(mark)
        self._polled = mark
        return mark

    def _work_until(self, mark: datetime) -> None:
        """Read in the meantime what the ports have on their agendas; each batch is sealed alone, without a mark."""
        busy = [reader for reader in self._readers if reader.agenda is not None]
        if len(busy) == 1:
            busy[0].work_until(mark, self._keep)
        elif busy:
            list(self._executor.map(lambda reader: reader.work_until(mark, self._keep), busy))

    def _keep(self, sweep: Sweep) -> None:
        self.sealer.seal_sweeps(None, [sweep])

    def poll(self, mark: datetime) -> None:
        """Read every port at `mark`, and return when the readings are safe."""
        self.sealer.seal_sweeps(mark, self.sweep(mark))

    def sweep(self, mark: datetime, fitted_on: datetime | None = None) -> list[Sweep]:
        """Read every port at once; see `PortReader.sweep`."""
        if len(self._readers) == 1:
            return [self._readers[0].sweep(mark, fitted_on)]
        return list(self._executor.map(lambda reader: reader.sweep(mark, fitted_on), self._readers))
