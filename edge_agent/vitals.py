"""How the running gateway is doing: what its threads noted, for a person, for Prometheus and for settings on trial."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from edge_agent.agenda import Agenda
from edge_agent.sweep import PortReader, Sweep
from metering.identity import MeterId, PortId
from metering.reading import MeterReading, ReadQuality
from metering.receipt import Receipt

ANSWERED = (ReadQuality.MEASURED, ReadQuality.LATE)


@dataclass(frozen=True, slots=True)
class PortVitals:
    """One port since the start.

    sweep_s      how long its newest sweep took [s]
    is_away      no meter answered in it
    by_quality   number of readings of each quality
    """

    mark: datetime | None = None
    swept_at: datetime | None = None
    sweep_s: float = 0.0
    sweeps: int = 0
    answered: int = 0
    silent: int = 0
    by_quality: dict[ReadQuality, int] = field(default_factory=dict)


class Vitals:
    """Collects from all threads; what it gives is a copy. `monotonic` counts seconds.

    listeners   given each sweep, in the thread of its port
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._ports: dict[PortId, PortVitals] = {}
        self._meters: dict[MeterId, MeterReading] = {}
        self._receipt: Receipt | None = None
        self._receipt_at: float | None = None
        self.listeners: list[Callable[[Sweep], None]] = []
        self.began_at = monotonic()
        self._beat_at = self.began_at

    def beat(self) -> None:
        """The poll cycle is at work."""
        self._beat_at = self._monotonic()

    @property
    def idle_s(self) -> float:
        """Since when the poll cycle gave no sign [s]."""
        return self._monotonic() - self._beat_at

    @property
    def up_s(self) -> float:
        """Since when this gateway runs with these settings [s]."""
        return self._monotonic() - self.began_at

    def swept(self, mark: datetime, sweep: Sweep, seconds: float) -> None:
        """A port was read."""
        self.beat()
        answered = sum(reading.quality in ANSWERED for reading in sweep.readings)
        with self._lock:
            before = self._ports.get(sweep.port, PortVitals())
            by_quality = dict(before.by_quality)
            for reading in sweep.readings:
                by_quality[reading.quality] = by_quality.get(reading.quality, 0) + 1
                self._meters[reading.meter] = reading
            self._ports[sweep.port] = replace(
                before,
                mark=mark,
                swept_at=sweep.ended_at,
                sweep_s=seconds,
                sweeps=before.sweeps + 1,
                answered=answered,
                silent=len(sweep.readings) - answered,
                by_quality=by_quality,
            )
        for listener in self.listeners:
            listener(sweep)

    def read_between(self, sweep: Sweep) -> None:
        """Something was read between marks; what it says of meters' clocks is heard by `listeners`."""
        self.beat()
        for listener in self.listeners:
            listener(sweep)

    def receipted(self, receipt: Receipt) -> None:
        """A receipt of the centre was believed."""
        with self._lock:
            self._receipt, self._receipt_at = receipt, self._monotonic()

    def ports(self) -> dict[PortId, PortVitals]:
        """Give each port that was read."""
        with self._lock:
            return dict(self._ports)

    def meters(self) -> dict[MeterId, MeterReading]:
        """Give the newest reading of each meter, with its own times: it is shown, never stamped anew."""
        with self._lock:
            return dict(self._meters)

    def receipt(self) -> tuple[Receipt, float] | None:
        """Give the newest receipt and its age [s]."""
        with self._lock:
            if self._receipt is None or self._receipt_at is None:
                return None
            return self._receipt, self._monotonic() - self._receipt_at


class WatchedReader:
    """A port's reader whose sweeps are noted."""

    def __init__(self, port: PortId, reader: PortReader, vitals: Vitals) -> None:
        self.port = port
        self._reader = reader
        self._vitals = vitals

    def sweep(self, mark: datetime, fitted_on: datetime | None = None) -> Sweep:
        """Sweep, and note it."""
        found = self._reader.sweep(mark, fitted_on)
        seconds = max(0.0, (found.ended_at - mark).total_seconds())
        self._vitals.swept(mark, found, seconds)
        return found

    @property
    def agenda(self) -> Agenda | None:
        """What is read between marks."""
        return self._reader.agenda

    def work_until(self, until: datetime, keep: Callable[[Sweep], None]) -> None:
        """Read what is on the agenda, and note it."""

        def note(found: Sweep) -> None:
            keep(found)
            self._vitals.read_between(found)

        self._reader.work_until(until, note)

    def close(self) -> None:
        """Close the port."""
        self._reader.close()
