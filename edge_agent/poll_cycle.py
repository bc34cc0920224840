"""The spine: at each mark every port is read, what it gave is sealed, and what is sealed is in the outbox.

    mark -> sweep every port at once -> seal one envelope per port -> one synced commit -> tell the uplink

All ports of a mark are sealed in the order of the configuration and committed together, so a crash either keeps a
mark whole or leaves none of it, and the gateway that starts again repeats it with the same octets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_agent.ports import Entry, Outbox
from edge_agent.schedule import next_mark
from edge_agent.sweep import PortReader, Sweep
from metering.clock import Clock
from metering.envelope import Envelope, Signer, chain_digest, seal
from metering.identity import GatewayId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom the gateway seals."""

    gateway: GatewayId
    epoch: int
    boot: bytes
    signer: Signer


class PollCycle:
    """Reads, seals and keeps, mark by mark.

    executor   runs the ports of a mark at once
    appended   told the newest seq after each commit
    """

    def __init__(
        self,
        *,
        identity: Identity,
        readers: Sequence[PortReader],
        outbox: Outbox,
        clock: Clock,
        every: timedelta,
        executor: Executor,
        appended: Callable[[int], None],
    ) -> None:
        self._identity = identity
        self._readers = readers
        self._outbox = outbox
        self._clock = clock
        self._every = every
        self._executor = executor
        self._appended = appended
        # Of any epoch: a clock that is behind after a new enrolment must not bring old marks back.
        self._polled = outbox.newest_mark()

    def poll_next(self) -> datetime:
        """Wait for the next mark that is not in the outbox, poll it, and give it; raises Stopped."""
        mark = next_mark(self._clock.now(), self._polled, self._every)
        if self._polled is not None and mark > self._polled + self._every:
            log.warning("marks-missed", extra={"after": self._polled.isoformat(), "before": mark.isoformat()})
        self.poll(mark)
        self._polled = mark
        return mark

    def poll(self, mark: datetime) -> None:
        """Read every port at `mark`, and return when the readings are safe."""
        sweeps = self._sweep(mark)
        entries = self._seal(mark, [sweep for sweep in sweeps if sweep.readings])
        self._outbox.append(entries)
        if entries:
            self._appended(entries[-1].seq)

    def _sweep(self, mark: datetime) -> list[Sweep]:
        if len(self._readers) == 1:
            return [self._readers[0].sweep(mark)]
        return list(self._executor.map(lambda reader: reader.sweep(mark), self._readers))

    def _seal(self, mark: datetime, sweeps: Sequence[Sweep]) -> list[Entry]:
        """Chain one envelope per sweep onto the outbox's head; all are sealed when the slowest port has ended."""
        identity = self._identity
        head = self._outbox.head(identity.epoch)
        seq, previous_hash = head.seq, head.digest
        entries: list[Entry] = []
        for sweep in sweeps:
            seq += 1
            envelope = Envelope(
                gateway=identity.gateway,
                epoch=identity.epoch,
                seq=seq,
                previous_hash=previous_hash,
                boot=identity.boot,
                sealed_at=max(each.ended_at for each in sweeps),
                clock=self._clock.state(),
                mark=mark,
                readings=sweep.readings,
            )
            octets = seal(envelope, identity.signer)
            previous_hash = chain_digest(octets)
            entries.append(Entry(identity.epoch, seq, envelope.sealed_at, mark, octets))
        return entries
