"""Work that people ordered at the console, with what it told on its way. Functions take an open transaction.

Whoever does a job holds a lock of his session. A job that is running while nobody holds its lock was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from ingest.store.database import Connection, Database, load_queries
from metering.identity import SiteId

LISTED_MAX = 50
"""Most jobs in one list."""


class JobState(StrEnum):
    """How far a job is. `refused`: the books said no, and nothing was stored."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What somebody wants done. subject: what of the site, such as a period; parts: how."""

    kind: str
    site: SiteId
    subject: str
    parts: Mapping[str, Any]
    ordered_by: str


@dataclass(frozen=True, slots=True)
class OrderedJob:
    """An ordered job as it stands. events: how many it told; run: what came of it; told: why it ended otherwise."""

    job: str
    order: JobOrder
    ordered_at: datetime
    state: JobState
    events: int
    started_at: datetime | None
    ended_at: datetime | None
    run: str | None
    told: str

    @property
    def is_open(self) -> bool:
        """Say whether it still goes on, or will."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing a job told; numbers count from 1."""

    number: int
    at: datetime
    body: Mapping[str, Any]


def add_job(connection: Connection, job: str, order: JobOrder, at: datetime) -> tuple[str, bool]:
    """Order a job and say whether it is new; the same order that is still open is not made twice."""
    queries = load_queries("ordered_jobs")
    same = {"kind": order.kind, "site": order.site, "subject": order.subject}
    connection.execute(queries["lock_subject"], same)
    row = connection.execute(queries["open_job"], same).fetchone()
    if row is not None:
        return str(row[0]), False
    made = {"job": job, "order_of": Jsonb(dict(order.parts)), "ordered_by": order.ordered_by, "ordered_at": at}
    connection.execute(queries["add_job"], same | made)
    return job, True


def find_job(connection: Connection, job: str) -> OrderedJob | None:
    """Give a job, or None if nobody ordered it."""
    row = connection.execute(load_queries("ordered_jobs")["job"], {"job": job}).fetchone()
    return None if row is None else _from_row(row)


def list_jobs(connection: Connection, sites: Iterable[str] | None, most: int = LISTED_MAX) -> tuple[OrderedJob, ...]:
    """List jobs of some sites (None: of all), those that go on first, then the newest."""
    wanted = {"sites": None if sites is None else list(sites), "most": min(most, LISTED_MAX)}
    return tuple(map(_from_row, connection.execute(load_queries("ordered_jobs")["jobs"], wanted)))


def waiting_jobs(connection: Connection) -> tuple[str, ...]:
    """Give the jobs that nobody has begun, oldest first."""
    return tuple(str(job) for (job,) in connection.execute(load_queries("ordered_jobs")["waiting_jobs"]))


def begin_job(connection: Connection, job: str, at: datetime) -> bool:
    """Begin a job that waits; False if somebody else was faster."""
    row = connection.execute(load_queries("ordered_jobs")["begin_job"], {"job": job, "at": at}).fetchone()
    return row is not None


def tell(connection: Connection, job: str, at: datetime, body: Mapping[str, Any]) -> None:
    """Add what a job that goes on tells; nothing of one that ended."""
    told = {"job": job, "at": at, "body": Jsonb(dict(body))}
    connection.execute(load_queries("ordered_jobs")["tell_event"], told)


def end_job(
    connection: Connection, job: str, state: JobState, at: datetime, *, run: str | None = None, told: str = ""
) -> bool:
    """End a job; False if it had ended."""
    wanted = {"job": job, "state": state, "at": at, "run": run, "told": told.replace("\0", " ")}
    return connection.execute(load_queries("ordered_jobs")["end_job"], wanted).fetchone() is not None


def events_after(connection: Connection, job: str, after: int) -> tuple[JobEvent, ...]:
    """Give what a job told after its event `after`, in order."""
    rows = connection.execute(load_queries("ordered_jobs")["events_after"], {"job": job, "after": after})
    return tuple(JobEvent(*row) for row in rows)


def newest_event(connection: Connection, job: str) -> JobEvent | None:
    """Give what a job told last."""
    row = connection.execute(load_queries("ordered_jobs")["newest_event"], {"job": job}).fetchone()
    return None if row is None else JobEvent(*row)


@contextmanager
def held(database: Database, job: str) -> Iterator[bool]:
    """Hold a job while inside, on a connection of its own; False if another program holds it."""
    queries, wanted = load_queries("ordered_jobs"), {"job": job}
    with database.alone() as connection:
        row = connection.execute(queries["hold_job"], wanted).fetchone()
        is_ours = row is not None and bool(row[0])
        try:
            yield is_ours
        finally:
            if is_ours and not connection.closed:
                connection.execute(queries["let_go_job"], wanted)


def left_jobs(connection: Connection) -> tuple[str, ...]:
    """Give the jobs that are running and that nobody does: whoever did them is no more."""
    queries = load_queries("ordered_jobs")
    found = [str(job) for (job,) in connection.execute(queries["running_jobs"]).fetchall()]
    return tuple(
        job for job in found if connection.execute(queries["lock_left_job"], {"job": job}).fetchone() == (True,)
    )


def note_settled_days(connection: Connection, site: SiteId, days: Sequence[date]) -> None:
    """Note that something of these local days was settled to something new, in the transaction that did it."""
    wanted = {"site": site, "days": sorted(set(days))}
    connection.execute(load_queries("ordered_jobs")["note_settled_days"], wanted)


def note_completion(connection: Connection, run: str, site: SiteId, first: date, last: date) -> None:
    """Note since when the days of a run were settled, in the transaction that computes it."""
    wanted = {"run": run, "site": site, "first": first, "last": last}
    connection.execute(load_queries("ordered_jobs")["note_completion"], wanted)


def _from_row(row: tuple[Any, ...]) -> OrderedJob:
    job, kind, site, subject, parts, ordered_by, ordered_at, state, *rest = row
    order = JobOrder(kind, SiteId(site), subject, parts, ordered_by)
    return OrderedJob(job, order, ordered_at, JobState(state), *rest)
