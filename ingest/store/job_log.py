"""When each job was last tried, and how that ended: what a leader goes by, and what alerts and metrics show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.store.database import Connection, load_queries


@dataclass(frozen=True, slots=True)
class JobRun:
    """The newest try of a job.

    succeeded_at   end of the last try that went well, this one or an earlier
    took           how long that one took
    fault          what the newest try ended in; None while it goes on, and when it went well
    """

    job: str
    started_at: datetime
    succeeded_at: datetime | None
    took: timedelta | None
    fault: str | None


def job_runs(connection: Connection) -> tuple[JobRun, ...]:
    """Give the newest try of every job, by name."""
    return tuple(
        JobRun(job, started_at, succeeded_at, None if took_ms is None else timedelta(milliseconds=took_ms), fault)
        for job, started_at, succeeded_at, took_ms, fault in connection.execute(load_queries("jobs")["job_runs"])
    )


def newest_run(connection: Connection, job: str) -> JobRun | None:
    """Give the newest try of one job, if it was ever tried."""
    return next((run for run in job_runs(connection) if run.job == job), None)


def record_start(connection: Connection, job: str, started_at: datetime) -> None:
    """Note that a job is tried."""
    connection.execute(load_queries("jobs")["record_start"], {"job": job, "started_at": started_at})


def record_success(connection: Connection, *, job: str, started_at: datetime, finished_at: datetime) -> None:
    """Note that a job was done."""
    took_ms = (finished_at - started_at) // timedelta(milliseconds=1)
    row = {"job": job, "started_at": started_at, "succeeded_at": finished_at, "took_ms": max(took_ms, 0)}
    connection.execute(load_queries("jobs")["record_success"], row)


def record_fault(connection: Connection, *, job: str, started_at: datetime, fault: str) -> None:
    """Note what a try of a job ended in."""
    row = {"job": job, "started_at": started_at, "fault": fault.replace("\0", " ")}
    connection.execute(load_queries("jobs")["record_fault"], row)
