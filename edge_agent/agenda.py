"""What a port reads between marks, and in which order: earliest deadline first (pure).

Billing reads belong to the mark and are not in here; this is how the rest of the time is shared. An operator's wish
goes first, then everything by its deadline, where classes decide between equals. Nothing is begun that would not be
done before the next mark. What was missed for want of time is read once, late, and counted: reads never pile up.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from metering.identity import MeterId


class JobClass(IntEnum):
    """How much a read matters, first what matters most. ALIGNED is the class of a mark's own reads."""

    OPERATOR = 0
    ALIGNED = 1
    NORMAL = 2
    SLOW = 3
    PROBE = 4


SLOW_S = 900
"""A rhythm longer than this is slow [s]."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A group of one meter that is read every `every_s` [s], which takes the line about `cost_s` [s]."""

    meter: MeterId
    group: str
    every_s: int
    cost_s: float

    @property
    def job_class(self) -> JobClass:
        """NORMAL, or SLOW for a rhythm longer than a quarter hour."""
        return JobClass.SLOW if self.every_s > SLOW_S else JobClass.NORMAL

    def job(self, now: datetime) -> Job:
        """Give the job of the period that holds `now`; periods begin on the wall clock, like marks."""
        start_s = int(now.timestamp()) // self.every_s * self.every_s
        due = datetime.fromtimestamp(start_s, UTC)
        return Job(self.job_class, self.meter, self.group, due, due + timedelta(seconds=self.every_s), self.cost_s)


@dataclass(frozen=True, slots=True)
class Job:
    """Read `group` of `meter` from `due` on, at best before `deadline`."""

    job_class: JobClass
    meter: MeterId
    group: str
    due: datetime
    deadline: datetime
    cost_s: float


class Agenda:
    """The jobs of one port. `begun_at` is when the first periods begin to count: a start reads nothing twice."""

    def __init__(self, rhythms: Iterable[Rhythm], begun_at: datetime) -> None:
        self.missed = 0
        self._number = itertools.count()
        self._lock = threading.Lock()
        self._wishes: list[Job] = []
        self._ready: list[tuple[datetime, int, int, Job, Rhythm]] = []
        self._waiting: list[tuple[datetime, int, Job, Rhythm]] = []
        for rhythm in rhythms:
            self._wait_for(rhythm.job(begun_at), rhythm)

    def wish(self, job: Job) -> None:
        """Add an operator's wish, from any thread."""
        with self._lock:
            self._wishes.append(job)

    def take(self, now: datetime, until: datetime) -> Job | None:
        """Give the next job that is due and is done before `until`; None where there is none."""
        with self._lock:
            for place, job in enumerate(self._wishes):
                if _fits(job, now, until):
                    return self._wishes.pop(place)
        self._make_ready(now)
        passed = []
        found: Job | None = None
        while self._ready and found is None:
            entry = heapq.heappop(self._ready)
            job, rhythm = entry[3], entry[4]
            if not _fits(job, now, until):
                passed.append(entry)
                continue
            found = job
            self._set_next(rhythm, job, now)
        for entry in passed:
            heapq.heappush(self._ready, entry)
        return found

    def next_due(self) -> datetime | None:
        """Say when the next job that is not due yet will be; None where there is none."""
        return self._waiting[0][0] if self._waiting else None

    def _wait_for(self, job: Job, rhythm: Rhythm) -> None:
        heapq.heappush(self._waiting, (job.due, next(self._number), job, rhythm))

    def _make_ready(self, now: datetime) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, number, job, rhythm = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (job.deadline, job.job_class, number, job, rhythm))

    def _set_next(self, rhythm: Rhythm, job: Job, now: datetime) -> None:
        """Put the next period behind `now`; those between were missed."""
        following = rhythm.job(max(now, job.due) + timedelta(seconds=rhythm.every_s))
        self.missed += int((following.due - job.due).total_seconds()) // rhythm.every_s - 1
        self._wait_for(following, rhythm)


def _fits(job: Job, now: datetime, until: datetime) -> bool:
    return job.due <= now and now + timedelta(seconds=job.cost_s) <= until
