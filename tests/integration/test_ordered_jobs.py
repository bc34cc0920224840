"""What people order at the console is done once, tells how far it is, and is told where its service was killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from ingest.caller import Caller
from ingest.closing import Closing
from ingest.ordered_jobs import INTERRUPTED, JobUnknown, OrderedJobs
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.ordered_jobs import JobState, begin_job, held, tell
from ingest.store.run_log import transitions_of
from metering.clock import ManualClock
from metering.identity import SiteId
from tests.doubles.closed_park import BOOKED_AT, PARK_ID, PERIOD, copy_of
from tests.doubles.park_books import CENTRE, read_park

NOW = datetime(2026, 8, 2, tzinfo=UTC)
BO = Caller("bo", "127.0.0.1", "a browser", in_person=True)


@pytest.fixture
def jobs(postgres_dsn: str, closed_park: str) -> Iterator[OrderedJobs]:
    """The park with one closed day; nothing is done before a test says so."""
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=6) as database:
            yield Quiet(database, Closing(Settlement(database, read_park()[3]), CENTRE, bytes(32)), ManualClock(NOW))


class Quiet(OrderedJobs):
    """Orders that wait until the test does them."""

    def wake(self) -> None:
        """Leave it to the test."""


def order(jobs: OrderedJobs, period: str = PERIOD, caller: Caller = BO) -> str:
    """Order a closing."""
    return jobs.order_close(PARK_ID, period, BOOKED_AT, caller, draft=False)


def test_a_closing_tells_every_stage_and_ends_with_its_run(jobs: OrderedJobs) -> None:
    job = order(jobs)
    assert jobs.find(job).job.state is JobState.WAITING
    jobs.do_waiting()
    events, found = jobs.events(job, 0)
    assert found is not None
    assert (found.state, found.told, found.ended_at) == (JobState.DONE, "same", NOW)
    assert [one.number for one in events] == list(range(1, len(events) + 1)) == list(range(1, found.events + 1))
    assert [one.body["stage"] for one in events][:4] == ["settle", "gather", "compute", "commit"]
    later, _ = jobs.events(job, 3)
    assert later == events[3:]
    with jobs.database.transaction() as connection:
        assert transitions_of(connection, str(found.run))


def test_pressing_twice_orders_once_until_it_has_ended(jobs: OrderedJobs) -> None:
    first = order(jobs)
    assert order(jobs, caller=replace(BO, name="cy")) == first
    jobs.do_waiting()
    assert order(jobs) != first


def test_a_period_that_is_not_ready_is_refused_with_the_reason_and_nothing_stored(jobs: OrderedJobs) -> None:
    job = order(jobs, "2026-07-01--2026-07-09")
    jobs.do_waiting()
    found = jobs.find(job).job
    assert (found.state, found.run) == (JobState.REFUSED, None)
    assert "main" in found.told


def test_a_job_whose_service_was_killed_is_told_as_interrupted_and_not_begun_again(jobs: OrderedJobs) -> None:
    """Planted: a service that began, held the job, told half of it and vanished with its connection."""
    job = order(jobs)
    with held(jobs.database, job) as is_ours:
        assert is_ours
        with jobs.database.transaction() as connection:
            assert begin_job(connection, job, NOW)
            tell(connection, job, NOW, {"stage": "seal", "done": 3, "of": 9})
        assert jobs.find(job).job.state is JobState.RUNNING
    found = jobs.find(job)
    assert (found.job.state, found.job.told, found.job.run) == (JobState.INTERRUPTED, INTERRUPTED, None)
    assert found.newest is not None
    assert found.newest.body == {"stage": "seal", "done": 3, "of": 9}
    jobs.do_waiting()
    assert jobs.find(job).job.state is JobState.INTERRUPTED
    with jobs.database.transaction() as connection:
        tell(connection, job, NOW, {"stage": "seal", "done": 9, "of": 9})
    assert jobs.find(job).newest == found.newest


def test_two_services_do_a_job_once(jobs: OrderedJobs) -> None:
    job = order(jobs)
    with held(jobs.database, job):
        other = Quiet(jobs.database, jobs.closing, jobs.clock)
        other.do_waiting()
        assert jobs.find(job).job.state is JobState.WAITING
    jobs.do_waiting()
    assert jobs.find(job).job.state is JobState.DONE


def test_jobs_of_other_sites_are_not_listed(jobs: OrderedJobs) -> None:
    order(jobs)
    assert len(jobs.list(None, 10)) == len(jobs.list(frozenset({PARK_ID}), 10)) == 1
    assert jobs.list(frozenset({SiteId("yard")}), 10) == ()


def test_nobody_ordered_that(jobs: OrderedJobs) -> None:
    with pytest.raises(JobUnknown):
        jobs.find("nothing")
    assert jobs.events("nothing", 0) == ((), None)


def test_a_run_knows_when_its_readings_were_complete(jobs: OrderedJobs) -> None:
    with psycopg.connect(jobs.database._pool.conninfo) as connection:
        rows = connection.execute(
            "SELECT complete_at = (SELECT max(settled_at) FROM site_days), complete_at <= created_at "
            "FROM run_completions JOIN allocation_runs USING (run)"
        ).fetchall()
    assert rows == [(True, True)]
