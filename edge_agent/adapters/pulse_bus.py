"""A port of pulse inputs: the gateway counts in the background, and a read is answered from its own counters.

Theory of operation. One thread takes edges in as they come. A count is written to disk before it is told to anybody, so
what a reading said never goes back, not even after a power cut; besides, counts that have changed are written once a
minute, so a power cut costs no more than a minute's pulses. Pulses that come while the gateway does not run are lost:
the port is opened when the gateway starts, not at its first mark.

Edges that the kernel had to drop for want of reading are known by their numbers; they are told in the log and counted,
never made up.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from device_profiles.framing.conversation import Conversation, Exchange, drive
from device_profiles.framing.pulse import asked_input, build_reply
from edge_agent.adapters.pulse_lines import PulseLines
from edge_agent.adapters.pulse_store import PulseStore
from edge_agent.figures import LineFigures
from edge_agent.ports import Answer, Bus, BusTimeout, PortLost
from edge_agent.pulse_counter import PulseCounter
from metering.clock import Clock
from metering.errors import MeterError
from provisioning.site import LineSettings, PulsePort

log = logging.getLogger(__name__)

WAIT_S = 0.5
"""How long the thread waits for edges before it looks whether it is to stop [s]."""
SAVE_S = 60.0
"""Counts that changed are on disk after this long at the latest [s]: 4 KiB a minute and port, 6 MB a day."""


def store_path(state_dir: Path, port: PulsePort) -> Path:
    """Give where the counts of a port are kept."""
    return state_dir / f"pulses-{port.id}.counts"


class PulseBus(Bus):
    """The inputs of one port."""

    def __init__(self, port: PulsePort, clock: Clock, lines: PulseLines, store: PulseStore) -> None:
        self._port = port
        self._clock = clock
        self._lines = lines
        self._store = store
        self.figures = LineFigures()
        self.missed = 0
        self._guard = threading.Lock()
        self._counters: dict[int, PulseCounter] = {}
        self._saved: dict[int, int] = {}
        self._saved_s = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> bool:
        """Take up the counts and begin to count; False if it counts already. Raises PortLost, CountsDamaged.

        Two programs on one file of counts would lose pulses to each other, so the second one finds the port lost.
        """
        if self._thread is not None and self._thread.is_alive():
            return False
        if not self._store.claim():
            raise PortLost(f"{self._store.path}: another program counts these inputs")
        self._stopping.clear()
        self._lines.close()
        levels = self._lines.open()
        kept = {**self._store.load(), **self._counts()}
        self._counters = {
            line: PulseCounter(count=kept.get(line, 0), debounce_ns=1000 * self._port.debounce_us, is_active=is_active)
            for line, is_active in levels.items()
        }
        self._saved, self._saved_s = {**kept, **self._counts()}, time.monotonic()
        self._thread = threading.Thread(target=self._count_on, name=f"pulses-{self._port.id}", daemon=True)
        self._thread.start()
        return True

    def close(self) -> None:
        """Stop counting and write the counts down."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            try:
                with self._guard:
                    self._save()
            except PortLost as error:
                log.error("counts-not-written", extra={"port": self._port.id, "reason": str(error)})
            finally:
                self._lines.close()
        self._store.release()

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Hold the conversation that a read of an input takes; see `Bus.converse`."""
        del reply_s, late_s, line  # the answer is here already
        began_s, started_at = time.monotonic(), self._clock.now()
        try:
            body = drive(conversation, self._carry)
        except MeterError as error:
            self.figures.note_failure(is_silence=isinstance(error, BusTimeout))
            raise
        finally:
            self.figures.busy_s += time.monotonic() - began_s
        return Answer(body, started_at, self._clock.now(), 0.0)

    def _carry(self, exchange: Exchange) -> bytes:
        """Answer one request from the counters, which are on disk by then."""
        self.figures.exchanges += 1
        asked = asked_input(exchange.request)
        if self._thread is None or not self._thread.is_alive():
            raise PortLost(f"{self._port.device} is not open")
        with self._guard:
            self._take_in()
            counter = self._counters.get(int(asked)) if asked is not None else None
            if counter is None:
                raise BusTimeout(f"port {self._port.id} has no input {asked}")
            counter.settle(time.monotonic_ns())
            self._save()
            return build_reply(counter.count)

    def _count_on(self) -> None:
        while not self._stopping.is_set():
            try:
                self._lines.wait(WAIT_S)
                with self._guard:
                    self._take_in()
                    if time.monotonic() - self._saved_s >= SAVE_S:
                        self._save()
            except PortLost as error:
                log.warning("port-lost", extra={"port": self._port.id, "reason": str(error)})
                return

    def _take_in(self) -> None:
        """Count the edges that have come; the guard is held."""
        for edge in self._lines.edges():
            counter = self._counters.get(edge.line)
            if counter is None:
                continue
            counter.note(edge)
            if edge.missed:
                self.missed += edge.missed
                log.error("edges-missed", extra={"port": self._port.id, "input": edge.line, "edges": edge.missed})

    def _counts(self) -> dict[int, int]:
        return {line: counter.count for line, counter in self._counters.items()}

    def _save(self) -> None:
        """Write the counts if they have changed; the guard is held. Raises PortLost when the disk refuses."""
        counts = {**self._saved, **self._counts()}
        self._saved_s = time.monotonic()
        if counts == self._saved:
            return
        try:
            self._store.save(counts)
        except OSError as error:
            raise PortLost(f"{self._store.path}: the counts cannot be written: {error}") from error
        self._saved = counts
