"""Does what people order at the console, one job after another in a thread of the service, and tells how far it is.

All of it is in the database: whoever watches may ask any of several services, and a job whose service was killed is
found by the lock that nobody holds any more. It is told as interrupted, with what was kept, and never begun anew by
itself: whoever ordered it decides.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock, Thread

import psycopg

from ingest.caller import Caller, acting
from ingest.closing import Closing, Stage
from ingest.store.database import Database, DatabaseUnreachable
from ingest.store.ordered_jobs import (
    JobEvent,
    JobOrder,
    JobState,
    OrderedJob,
    add_job,
    begin_job,
    end_job,
    events_after,
    find_job,
    held,
    left_jobs,
    list_jobs,
    newest_event,
    tell,
    waiting_jobs,
)
from metering.clock import Clock
from metering.errors import BooksError, MeteringError
from metering.identity import SiteId

CLOSE = "close"
"""Kind of a job that closes a period; its subject is the period."""
TELL_EVERY_S = 0.4
"""How often a stage of many parts tells how far it is: a bar moves smoothly, and a job of minutes tells hundreds."""
IDLE_S = 30.0
"""How long the thread waits for the next order before it ends."""
INTERRUPTED = "the service ended while it did this"

_log = logging.getLogger(__name__)


class JobUnknown(BooksError):
    """Nobody ordered such a job."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A job with the newest thing it told."""

    job: OrderedJob
    newest: JobEvent | None


@dataclass(slots=True)
class OrderedJobs:
    """Takes orders and does them. One job at a time: closing takes all cores, and the site's lock."""

    database: Database
    closing: Closing
    clock: Clock
    _callers: dict[str, Caller] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _woken: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def order_close(self, site: SiteId, period: str, booked_at: datetime, caller: Caller, *, draft: bool) -> str:
        """Order that a period is closed; give the job, or the one that somebody ordered before and that goes on."""
        parts = {"booked_at": booked_at.isoformat(), "draft": draft}
        order = JobOrder(CLOSE, site, period, parts, caller.name)
        job = secrets.token_hex(8)
        with self.database.transaction() as connection:
            job, is_new = add_job(connection, job, order, self.clock.now())
        if is_new:
            self._callers[job] = caller
        self.wake()
        return job

    def find(self, job: str) -> Standing:
        """Give a job as it stands; raises JobUnknown."""
        self.tidy()
        with self.database.transaction() as connection:
            found = find_job(connection, job)
            if found is None:
                raise JobUnknown(f"job {job} does not exist; /jobs lists what was ordered")
            return Standing(found, newest_event(connection, job))

    def list(self, sites: frozenset[SiteId] | None, most: int) -> tuple[OrderedJob, ...]:
        """List jobs of some sites (None: of all), those that go on first, then the newest."""
        self.tidy()
        with self.database.transaction() as connection:
            return list_jobs(connection, sites, most)

    def events(self, job: str, after: int) -> tuple[tuple[JobEvent, ...], OrderedJob | None]:
        """Give what a job told after its event `after`, and the job as it stands then."""
        with self.database.transaction() as connection:
            # The job first: what it tells between the two is only shown with the next look.
            found = find_job(connection, job)
            return events_after(connection, job, after), found

    def tidy(self) -> None:
        """Tell jobs as interrupted whose service is no more, and begin those that wait."""
        with self.database.transaction() as connection:
            for job in left_jobs(connection):
                end_job(connection, job, JobState.INTERRUPTED, self.clock.now(), told=INTERRUPTED)
            waits = bool(waiting_jobs(connection))
        if waits:
            self.wake()

    def wake(self) -> None:
        """See to it that somebody does what waits."""
        with self._lock:
            self._woken.set()
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._work, name="ordered-jobs", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._woken.clear()
            try:
                self.do_waiting()
            except (psycopg.Error, DatabaseUnreachable) as error:
                _log.warning("ordered_jobs.database_away: %s", error)
            if not self._woken.wait(IDLE_S):
                with self._lock:
                    if not self._woken.is_set():
                        self._thread = None
                        return

    def do_waiting(self) -> None:
        """Do everything that waits, and that no other service does."""
        with self.database.transaction() as connection:
            jobs = waiting_jobs(connection)
        for job in jobs:
            with held(self.database, job) as is_ours:
                if is_ours:
                    self._do(job)

    def _do(self, job: str) -> None:
        with self.database.transaction() as connection:
            found = find_job(connection, job)
            if found is None or not begin_job(connection, job, self.clock.now()):
                return
        caller = self._callers.pop(job, None) or Caller(found.order.ordered_by, "", "")
        run, state, told = None, JobState.DONE, ""
        try:
            with acting(caller):
                run, told = self._close(found)
        except MeteringError as error:
            _log.info("ordered_jobs.refused job=%s: %s", job, error)
            state, told = JobState.REFUSED, str(error)
        with self.database.transaction() as connection:
            end_job(connection, job, state, self.clock.now(), run=run, told=told)

    def _close(self, job: OrderedJob) -> tuple[str, str]:
        order = job.order
        stored, is_new = self.closing.close(
            order.site,
            order.subject,
            booked_at=datetime.fromisoformat(order.parts["booked_at"]),
            actor=order.ordered_by,
            draft=bool(order.parts["draft"]),
            watch=self._teller(job.job),
        )
        return stored.head.run, "new" if is_new else "same"

    def _teller(self, job: str) -> Callable[[Stage, int, int], None]:
        """Make a watch that stores each stage, and a stage's parts as often as a bar needs."""
        last_stage: Stage | None = None
        last_s = 0.0

        def watch(stage: Stage, done: int, of: int) -> None:
            nonlocal last_stage, last_s
            now_s = time.monotonic()
            if stage is last_stage and now_s - last_s < TELL_EVERY_S:
                return
            last_stage, last_s = stage, now_s
            with self.database.transaction() as connection:
                tell(connection, job, self.clock.now(), {"stage": str(stage), "done": done, "of": of})

        return watch
