"""Worker processes of this machine, one site at a time each.

Theory of operation. A worker is a fresh interpreter (spawn), told its settings through a private pipe and given one
site after another. Its death shows as the end of its pipe, so it is known exactly which site it had: that one is tried
again by another worker, and nobody else is disturbed. `concurrent.futures` cannot say that: one death breaks its whole
pool (docs/adr/0059). A worker whose parent is gone finishes its site, which is stored whole or not at all, and ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from ingest.many_sites.ctrl_c import deaf_to_ctrl_c
from ingest.many_sites.order import TRIES_MAX, Again, Begun, CloseOrder, Event, Outcome, Reached, Result
from ingest.many_sites.site_task import Stumbled, WorkerSettings, close_site
from metering.identity import SiteId

LEAVE_S = 5.0
"""How long a worker may take to leave before it is killed."""


@dataclass(frozen=True, slots=True)
class LocalPool:
    """At most `workers` worker processes on this machine."""

    settings: WorkerSettings
    workers: int

    def events(self, order: CloseOrder, sites: Sequence[SiteId]) -> Generator[Event, None, None]:
        """Close each site and tell what happens (see `Pool`)."""
        waiting, tries, crew = deque(sites), Counter[SiteId](), _Crew(self.settings, order)
        try:
            while waiting or crew.at_work:
                while waiting and len(crew.at_work) < self.workers:
                    site = waiting.popleft()
                    tries[site] += 1
                    yield Begun(site, crew.give(site), tries[site])
                for told in crew.listen():
                    if isinstance(told, Outcome):
                        yield replace(told, tries=tries[told.site])
                    elif isinstance(told, Again) and tries[told.site] >= TRIES_MAX:
                        yield Outcome(told.site, Result.FAILED, tries=TRIES_MAX, reasons=(told.why,))
                    else:
                        if isinstance(told, Again):
                            waiting.append(told.site)
                        yield told
        finally:
            crew.dismiss()


@dataclass(slots=True)
class _Worker:
    """One worker process, and the site it has."""

    running: SpawnProcess
    pipe: Connection[SiteId, Event]
    site: SiteId | None = None

    @property
    def name(self) -> str:
        """What a person is told."""
        return f"process {self.running.pid}"


class _Crew:
    """The worker processes there are."""

    def __init__(self, settings: WorkerSettings, order: CloseOrder) -> None:
        self._told = (settings, order)
        self._workers: list[_Worker] = []

    @property
    def at_work(self) -> list[_Worker]:
        """Those that have a site."""
        return [worker for worker in self._workers if worker.site is not None]

    def give(self, site: SiteId) -> str:
        """Give a site to a worker that has none, a new one if need be; give the worker's name."""
        idle = next((worker for worker in self._workers if worker.site is None), None)
        worker = self._hired() if idle is None else idle
        worker.site = site
        with contextlib.suppress(OSError):  # It died while it had nothing to do: `listen` finds the end of its pipe.
            worker.pipe.send(site)
        return worker.name

    def listen(self) -> Iterator[Event]:
        """Wait until a worker says something or dies, and tell it."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                told = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._buried(worker)
                continue
            if isinstance(told, Outcome | Again):
                worker.site = None
            yield replace(told, worker=worker.name) if isinstance(told, Outcome) else told

    def dismiss(self) -> None:
        """End every worker; what is at work is given up, and the database takes none of it."""
        for worker in self._workers:
            worker.pipe.close()
            if worker.site is not None:
                worker.running.terminate()
        for worker in self._workers:
            worker.running.join(LEAVE_S)
            if worker.running.exitcode is None:
                worker.running.kill()
                worker.running.join()
        self._workers.clear()

    def _hired(self) -> _Worker:
        """Start a worker; it ends when we say so, not when a terminal does."""
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        running = spawn.Process(target=work, args=(theirs, *self._told), name="metertree-close")
        with deaf_to_ctrl_c():
            running.start()
        theirs.close()
        self._workers.append(_Worker(running, ours))
        return self._workers[-1]

    def _buried(self, worker: _Worker) -> Iterator[Event]:
        worker.running.join()
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.site is not None:
            yield Again(worker.site, f"its worker, {worker.name}, {_ending(worker.running.exitcode)}")


def work(pipe: Connection[Event, SiteId], settings: WorkerSettings, order: CloseOrder) -> None:
    """Close the sites that come through `pipe`, one after the other, until it ends."""
    while True:
        try:
            site = pipe.recv()
            pipe.send(_closed(pipe, settings, order, site))
        except (EOFError, BrokenPipeError):
            return


def _closed(pipe: Connection[Event, SiteId], settings: WorkerSettings, order: CloseOrder, site: SiteId) -> Event:
    try:
        return close_site(settings, order, site, lambda stage: pipe.send(Reached(site, stage)))
    except Stumbled as error:
        return Again(site, str(error))


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def cores() -> int:
    """Count the processors of this machine."""
    return os.cpu_count() or 1
