"""What goes into the outbox is sealed here, whatever it is and whoever has it: one chain, one link after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from edge_agent.ports import Entry, Outbox
from edge_agent.sweep import Sweep
from metering.clock import Clock
from metering.envelope import Envelope, Kind, Signer, chain_digest, seal
from metering.identity import GatewayId
from metering.reading import MeterReading
from metering.report import Record


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom the gateway seals.

    first_link   what the first envelope of the epoch names as its predecessor: the bundle, where there was a survey
    """

    gateway: GatewayId
    epoch: int
    boot: bytes
    signer: Signer
    first_link: bytes = bytes(32)


class Sealer:
    """Chains envelopes onto the outbox's head, in one synced commit each time. Several threads may use it.

    appended   told the newest seq after each commit
    """

    def __init__(self, identity: Identity, outbox: Outbox, clock: Clock, appended: Callable[[int], None]) -> None:
        self._identity = identity
        self._outbox = outbox
        self._clock = clock
        self._appended = appended
        self._lock = threading.Lock()

    def seal_sweeps(self, mark: datetime | None, sweeps: Sequence[Sweep], kept_as: datetime | None = None) -> None:
        """Keep one envelope for each sweep that has readings; all are sealed when the slowest port has ended.

        mark      what the sweeps were aligned to, None for unaligned ones
        kept_as   a mark that an unaligned sweep is kept as dearly as; None: it is the first to go when there is no room
        """
        if not sweeps:
            return
        sealed_at = max(sweep.ended_at for sweep in sweeps)
        envelopes = [self._blank(sealed_at, mark, sweep.readings) for sweep in sweeps if sweep.readings]
        self._keep(envelopes, mark or kept_as)

    def report(self, records: Sequence[Record]) -> None:
        """Keep what the gateway has to say about itself."""
        if records:
            leaves = tuple(record.to_wire() for record in records)
            report = replace(self._blank(self._clock.now(), None), kind=Kind.REPORT, records=leaves)
            self._keep([report], self._outbox.newest_mark())

    def _blank(self, sealed_at: datetime, mark: datetime | None, readings: tuple[MeterReading, ...] = ()) -> Envelope:
        one = self._identity
        return Envelope(
            gateway=one.gateway,
            epoch=one.epoch,
            seq=1,
            previous_hash=bytes(32),
            boot=one.boot,
            sealed_at=sealed_at,
            clock=self._clock.state(),
            mark=mark,
            readings=readings,
        )

    def _keep(self, envelopes: Sequence[Envelope], kept_as: datetime | None) -> None:
        with self._lock:
            entries = self._chained(envelopes, kept_as)
            self._outbox.append(entries)
            if entries:
                self._appended(entries[-1].seq)

    def _chained(self, envelopes: Sequence[Envelope], kept_as: datetime | None) -> list[Entry]:
        """Seal onto the head of the chain. In the outbox, what does not know its day stands under the newest known."""
        head = self._outbox.head(self._identity.epoch)
        seq, previous_hash = head.seq, head.digest if head.seq else self._identity.first_link
        entries: list[Entry] = []
        for envelope in envelopes:
            seq += 1
            octets = seal(replace(envelope, seq=seq, previous_hash=previous_hash), self._identity.signer)
            previous_hash = chain_digest(octets)
            sealed_at = max(envelope.sealed_at, kept_as or envelope.sealed_at)
            entries.append(Entry(self._identity.epoch, seq, sealed_at, kept_as, octets))
        return entries
