"""When a job is due: after its pause, or once a night; a failure is tried again, a success is not."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.alerts import Alerting
from ingest.jobs import RETRY, Every, Nightly, shipped_jobs
from ingest.store.job_log import JobRun
from ingest.store.layout import Storage

NIGHT = datetime(2026, 7, 3, 18, tzinfo=UTC)
NIGHTLY = Nightly(time(18))
MINUTE = timedelta(minutes=1)
INSTANTS = st.datetimes(datetime(2026, 7, 1), datetime(2026, 7, 9), timezones=st.just(UTC))


def tried(started_at: datetime, succeeded_at: datetime | None = None, fault: str | None = None) -> JobRun:
    """The newest try of a job."""
    return JobRun("job", started_at, succeeded_at, None if succeeded_at is None else MINUTE, fault)


def test_a_job_that_was_never_tried_is_due() -> None:
    assert Every(MINUTE).is_due(None, NIGHT)
    assert NIGHTLY.is_due(None, NIGHT)


@pytest.mark.parametrize(("later_s", "due"), [(0, False), (59, False), (60, True), (3600, True), (-1, True)])
def test_every_minute_counts_from_start_to_start_and_survives_a_clock_set_back(later_s: int, due: bool) -> None:
    assert Every(MINUTE).is_due(tried(NIGHT), NIGHT + timedelta(seconds=later_s)) is due


def test_a_nightly_job_is_done_once_a_night() -> None:
    before = NIGHT - MINUTE
    assert not NIGHTLY.is_due(tried(NIGHT - timedelta(days=1), NIGHT - timedelta(days=1) + MINUTE), before)
    assert NIGHTLY.is_due(tried(before, before + timedelta(seconds=30)), NIGHT)
    assert not NIGHTLY.is_due(tried(NIGHT, NIGHT + MINUTE), NIGHT + timedelta(hours=23))


def test_a_night_that_was_slept_through_is_made_up_for() -> None:
    long_ago = NIGHT - timedelta(days=5)
    assert NIGHTLY.is_due(tried(long_ago, long_ago + MINUTE), NIGHT - timedelta(hours=3))


@pytest.mark.parametrize("succeeded_at", [None, NIGHT - timedelta(hours=20)])
def test_a_failure_is_tried_again_but_not_at_once(succeeded_at: datetime | None) -> None:
    newest = tried(NIGHT, succeeded_at, fault="OSError: disk full")
    assert not NIGHTLY.is_due(newest, NIGHT + RETRY - MINUTE)
    assert NIGHTLY.is_due(newest, NIGHT + RETRY)


def test_a_failure_that_lies_ahead_is_of_a_clock_that_was_set_back() -> None:
    assert NIGHTLY.is_due(tried(NIGHT, fault="OSError: disk full"), NIGHT - MINUTE)


def test_a_try_that_was_killed_is_made_again() -> None:
    assert NIGHTLY.is_due(tried(NIGHT, NIGHT - timedelta(days=1), fault=None), NIGHT + RETRY)


@given(INSTANTS, INSTANTS, st.times(timezones=st.none()).map(lambda at: at.replace(second=0, microsecond=0)))
def test_exactly_one_night_lies_between_a_success_and_the_next_time_it_is_due(
    done: datetime, now: datetime, at: time
) -> None:
    nights = [datetime.combine(done.date() + timedelta(days=days), at, UTC) for days in range(-1, 10)]
    between = [night for night in nights if done < night <= now]
    assert Nightly(at).is_due(tried(done, done), now) is bool(between)


def test_shipped_jobs_have_names_of_their_own_and_maintenance_is_nightly() -> None:
    jobs = {job.name: job.schedule for job in shipped_jobs(Storage(), time(18), Alerting())}
    nightly = {"maintain": NIGHTLY, "events": NIGHTLY}
    assert jobs == {**nightly, "alerts": Every(MINUTE), "aggregates": Every(5 * MINUTE)}
