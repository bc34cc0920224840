"""What programs say to each other through the database: notices, turns, the lead, and how jobs went."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from threading import Event, Thread

import psycopg
import pytest

from ingest.alerts import Alerting
from ingest.api.metrics import Metrics
from ingest.app import JobLoop
from ingest.cli import main
from ingest.jobs import Every, Job, Nightly, Work, shipped_jobs
from ingest.store.database import Database
from ingest.store.job_log import job_runs, newest_run, record_fault, record_start, record_success
from ingest.store.layout import Storage
from ingest.store.notices import Announcer, Listener, announce
from ingest.store.sites import import_site
from ingest.store.turns import Leadership, site_turn
from metering.clock import ManualClock
from metering.identity import SiteId
from tests.doubles.park_books import read_park

NOW = datetime(2026, 7, 3, 18, tzinfo=UTC)
SECOND = timedelta(seconds=1)
EVERY_SECOND = Every(SECOND)
PATIENCE_S = 60.0
SITE = SiteId("park")
CUT_LISTENERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()
"""
LOCKS = """
FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND datname = current_database() AND pid <> pg_backend_pid()
"""


def cut_lock_holders(dsn: str) -> None:
    """End the connections that hold locks of this kind, and wait until they are gone."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {LOCKS}".encode())
        while connection.execute(f"SELECT {LOCKS}".encode()).fetchall():
            Event().wait(0.02)


@contextmanager
def running(*works: object) -> Iterator[Event]:
    """Run things in threads until the end."""
    stop = Event()
    threads = [Thread(target=work, args=(stop,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@contextmanager
def listening(dsn: str) -> Iterator[Event]:
    """A listener that has looked once already."""
    woken = Event()
    with running(Listener(dsn, woken).run):
        assert woken.wait(PATIENCE_S), "whoever begins to listen looks once"
        woken.clear()
        yield woken


# Notices


def test_what_one_program_commits_wakes_another(database: Database, migrated_dsn: str) -> None:
    announcer = Announcer(database)
    with listening(migrated_dsn) as woken, running(announcer.run):
        announcer.wake()
        assert woken.wait(PATIENCE_S)
        woken.clear()
        announcer.wake()
        assert woken.wait(PATIENCE_S)


def test_a_notice_counts_from_its_commit_and_not_at_all_if_rolled_back(database: Database, migrated_dsn: str) -> None:
    with listening(migrated_dsn) as woken:
        with database.transaction() as connection, connection.transaction(force_rollback=True):
            announce(connection)
        with database.transaction() as connection:
            announce(connection)
            assert not woken.wait(1.0)
        assert woken.wait(PATIENCE_S)


def test_a_site_that_is_wired_anew_wakes_settlement(database: Database, migrated_dsn: str) -> None:
    site, rules, _, _ = read_park()
    with listening(migrated_dsn) as woken:
        with database.transaction() as connection:
            import_site(connection, site, rules.document, imported_at=NOW)
        assert woken.wait(PATIENCE_S)


def test_a_listener_whose_connection_is_cut_listens_again(
    database: Database, migrated_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.store.notices.PAUSE_S", 0.05)
    with listening(migrated_dsn) as woken:
        with psycopg.connect(migrated_dsn) as connection:
            assert connection.execute(CUT_LISTENERS).fetchall() == [(True,)]
        assert woken.wait(PATIENCE_S), "it looks once more, for what it may have missed"
        woken.clear()
        with database.transaction() as connection:
            announce(connection)
        assert woken.wait(PATIENCE_S)


# Turns and the lead


def test_a_site_has_one_turn_at_a_time_and_others_are_free(database: Database) -> None:
    other = SiteId("other")
    with site_turn(database, SITE) as first, site_turn(database, SITE) as second, site_turn(database, other) as third:
        assert (first, second, third) == (True, False, True)
    with site_turn(database, SITE) as again:
        assert again


def test_a_turn_ends_with_its_connection(migrated_dsn: str, database: Database) -> None:
    with Database(migrated_dsn, connections=1) as killed:
        turn = site_turn(killed, SITE)
        assert turn.__enter__()
        cut_lock_holders(migrated_dsn)
        with site_turn(database, SITE) as second:
            assert second
        with pytest.raises(psycopg.OperationalError):
            turn.__exit__(None, None, None)


def test_one_program_leads_and_another_once_it_is_gone(migrated_dsn: str) -> None:
    first, second = Leadership(migrated_dsn), Leadership(migrated_dsn)
    try:
        assert [first.is_ours(), second.is_ours(), first.is_ours()] == [True, False, True]
        first.give_up()
        assert [second.is_ours(), first.is_ours()] == [True, False]
    finally:
        first.give_up()
        second.give_up()


def test_a_leader_that_lost_its_connection_knows_it_does_not_lead(migrated_dsn: str) -> None:
    first, second = Leadership(migrated_dsn), Leadership(migrated_dsn)
    try:
        assert first.is_ours()
        cut_lock_holders(migrated_dsn)
        assert not first.is_ours(), "it notices, and begins anew with the next look"
        assert second.is_ours()
        assert not first.is_ours()
    finally:
        first.give_up()
        second.give_up()


def test_nobody_leads_while_the_database_is_away() -> None:
    assert not Leadership("postgresql://nobody@127.0.0.1:1/none").is_ours()


# Jobs


class Ground:
    """A job loop over a real database, with a clock that is told."""

    def __init__(self, database: Database, dsn: str) -> None:
        self.database = database
        self.clock = ManualClock(NOW)
        self.metrics = Metrics()
        self.leadership = Leadership(dsn)
        self.stop = Event()

    def look(self, work: Work, schedule: Every | Nightly = EVERY_SECOND) -> None:
        """Look at a job once."""
        job = Job("count", schedule, work)
        JobLoop(job, self.database, self.leadership, self.metrics, self.clock).look(self.stop)

    def sample(self, name: str, **labels: str) -> float | None:
        """Read a metric."""
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def ground(database: Database, migrated_dsn: str) -> Iterator[Ground]:
    """A program that could lead."""
    made = Ground(database, migrated_dsn)
    yield made
    made.leadership.give_up()


def test_a_job_is_done_when_it_is_due_and_its_success_is_in_the_books(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[datetime] = []

    def work(_database: Database, now: datetime) -> Iterator[str]:
        done.append(now)
        ground.clock.sleep(0.5)
        yield "made a partition"

    with caplog.at_level(logging.INFO):
        ground.look(work)
        ground.look(work)
        ground.clock.sleep(1)
        ground.look(work)
    assert done == [NOW, NOW + 1.5 * SECOND]
    assert "job.did job=count: made a partition" in caplog.text
    with ground.database.transaction() as connection:
        (run,) = job_runs(connection)
    assert (run.started_at, run.succeeded_at, run.took, run.fault) == (
        done[1],
        done[1] + 0.5 * SECOND,
        0.5 * SECOND,
        None,
    )
    assert ground.sample("metertree_jobs_leader") == 1


def test_a_job_that_fails_is_told_and_tried_again_and_keeps_its_last_success(ground: Ground) -> None:
    def fails(_database: Database, _now: datetime) -> Iterator[str]:
        yield "something"
        raise KeyError("planted")

    ground.look(lambda _database, _now: ())
    ground.clock.sleep(1)
    ground.look(fails)
    with ground.database.transaction() as connection:
        run = newest_run(connection, "count")
    assert run is not None
    assert (run.succeeded_at, run.fault) == (NOW, "KeyError: 'planted'")
    assert ground.sample("metertree_job_faults_total", job="count") == 1
    ground.clock.sleep(1)
    ground.look(lambda _database, _now: ())
    with ground.database.transaction() as connection:
        run = newest_run(connection, "count")
    assert run is not None
    assert run.fault is None


def test_who_does_not_lead_does_nothing(ground: Ground, migrated_dsn: str) -> None:
    leader = Leadership(migrated_dsn)
    assert leader.is_ours()
    try:
        ground.look(lambda _database, _now: pytest.fail("a second program did the job"))
    finally:
        leader.give_up()
    assert ground.sample("metertree_jobs_leader") == 0
    with ground.database.transaction() as connection:
        assert job_runs(connection) == ()


def test_a_job_that_is_stopped_half_way_is_not_taken_for_done(ground: Ground) -> None:
    def work(_database: Database, _now: datetime) -> Iterator[str]:
        yield "one"
        ground.stop.set()
        yield "two"
        pytest.fail("it went on after it was stopped")

    ground.look(work)
    with ground.database.transaction() as connection:
        run = newest_run(connection, "count")
    assert run is not None
    assert (run.succeeded_at, run.fault) == (None, None)


def test_a_nightly_job_that_another_program_did_is_not_done_again(ground: Ground) -> None:
    with ground.database.transaction() as connection:
        record_success(connection, job="count", started_at=NOW, finished_at=NOW + SECOND)
    ground.clock.sleep(3600)
    ground.look(lambda _database, _now: pytest.fail("done twice"), Nightly(time(18)))


def test_a_job_loop_outlives_a_database_that_is_away(ground: Ground) -> None:
    ground.leadership.is_ours = lambda: True  # type: ignore[method-assign]
    job = Job("count", Every(SECOND), lambda _database, _now: ())
    with Database("postgresql://nobody@127.0.0.1:1/none", connections=1) as away:
        away._lent = _never  # type: ignore[method-assign, assignment]
        JobLoop(job, away, ground.leadership, ground.metrics, ground.clock).look(ground.stop)
    assert ground.sample("metertree_job_faults_total", job="count") == 1


@contextmanager
def _never(_wait_s: float) -> Iterator[None]:
    raise psycopg.OperationalError("planted: the database is away")
    yield


def test_every_shipped_job_goes_well_on_a_fresh_database(ground: Ground) -> None:
    for job in shipped_jobs(Storage(), time(18), Alerting()):
        JobLoop(job, ground.database, ground.leadership, ground.metrics, ground.clock).look(ground.stop)
    with ground.database.transaction() as connection:
        runs = job_runs(connection)
    assert {run.job for run in runs} == {job.name for job in shipped_jobs(Storage(), time(18), Alerting())}
    assert [run.job for run in runs if run.fault is not None or run.succeeded_at is None] == []


def test_tries_are_noted_one_over_the_other(database: Database) -> None:
    with database.transaction() as connection:
        record_start(connection, "backup", NOW)
        assert [(run.succeeded_at, run.fault) for run in job_runs(connection)] == [(None, None)]
        record_fault(connection, job="backup", started_at=NOW, fault="disk\0full")
        assert [(run.succeeded_at, run.fault) for run in job_runs(connection)] == [(None, "disk full")]
        record_success(connection, job="backup", started_at=NOW, finished_at=NOW - SECOND)
        assert [(run.took, run.fault) for run in job_runs(connection)] == [(timedelta(), None)]
        record_start(connection, "backup", NOW + SECOND)
        assert [(run.started_at, run.succeeded_at) for run in job_runs(connection)] == [(NOW + SECOND, NOW - SECOND)]


def test_how_the_jobs_went_is_told(database: Database, migrated_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = ["jobs", "--status", "--dsn", migrated_dsn]
    assert main(status) == 0
    assert "no job has run yet" in capsys.readouterr().out
    with database.transaction() as connection:
        record_success(connection, job="maintain", started_at=NOW, finished_at=NOW + 1.5 * SECOND)
        record_start(connection, "alerts", NOW)
    assert main(status) == 0
    assert capsys.readouterr().out.splitlines() == [
        "alerts: last done never",
        "maintain: last done 2026-07-03 18:00:01 UTC, took 1.5 s",
    ]
    with database.transaction() as connection:
        record_fault(connection, job="maintain", started_at=NOW + SECOND, fault="OSError: disk full")
    assert main(status) == 1
    assert "; failed at 2026-07-03 18:00:01 UTC: OSError: disk full" in capsys.readouterr().out


def test_the_books_are_shown_as_gauges(database: Database) -> None:
    metrics = Metrics()
    metrics.follow_books(database)
    with database.transaction() as connection:
        record_success(connection, job="maintain", started_at=NOW, finished_at=NOW + SECOND)
        connection.execute("INSERT INTO unsettled_days VALUES ('m', '2026-07-01', 1), ('m', '2026-07-02', 3)")
        connection.execute(
            "INSERT INTO chain_heads VALUES ('g', 1, 1, decode(repeat('00', 32), 'hex'), 3, NULL, 2, 0, now()),"
            " ('h', 1, 3, decode(repeat('00', 32), 'hex'), 3, NULL, 3, 0, now())"
        )
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }
    assert shown["metertree_books_up",] == 1
    assert shown["metertree_settlement_waiting_days",] == 2
    assert shown["metertree_settlement_waiting_seconds",] >= 0
    assert shown["metertree_chain_gaps",] == 1
    assert shown["metertree_gateways",] == 0
    assert shown["metertree_job_last_success_timestamp_seconds", "maintain"] == (NOW + SECOND).timestamp()
    assert shown["metertree_job_last_seconds", "maintain"] == 1
    assert shown["metertree_job_failing", "maintain"] == 0


def test_books_that_are_away_are_shown_as_such() -> None:
    metrics = Metrics()
    with Database("postgresql://nobody@127.0.0.1:1/none", connections=1) as away:
        metrics.follow_books(away)
        sample = metrics.registry.get_sample_value
        assert sample("metertree_books_up") == 0
        assert sample("metertree_gateways") is None
