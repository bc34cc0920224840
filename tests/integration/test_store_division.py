"""Intake and readers beside a table that is being divided by month: they wait or go on, nothing is lost or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.store.database import Connection, Database, load_queries
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.layout import LayoutRefused, Step, Storage, arrange, execute_step, missing_steps
from ingest.store.migrate import migrate_schema
from metering.clock import SystemClock
from tests.conftest import MARK, SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import PostgresHarness, wired

NOW = datetime(2026, 11, 22, tzinfo=UTC)
STORAGE = Storage()
GATEWAY = Gateway()
PATIENCE_S = 60.0
JUNE, JULY, AUGUST = ("readings of 2026-06", "readings of 2026-07", "readings of 2026-08")
ROWS = """
INSERT INTO readings SELECT 'm-old', at, true, at, at, 0, 'p', 0, '{1}', 'gw-z', 1, 1
FROM generate_series(timestamptz '2026-06-30Z', timestamptz '2026-09-02Z', interval '1 day') AS at;
"""


@pytest.fixture
def divided(bare_dsn: str) -> Iterator[Database]:
    """Tables of which no month has a partition yet, with rows of four months and a gateway that may send."""
    with Database(bare_dsn, connections=3) as database:
        migrate_schema(database)
        harness = PostgresHarness(database)
        harness.enrol(GATEWAY)
        harness.wire(wired(GATEWAY))
        with database.transaction() as connection:
            connection.execute(ROWS.encode())
            for step in missing_steps(connection, STORAGE, NOW):
                execute_step(connection, step)
        yield database


class OneGroup(MemoryConsumer):
    """Gives what it has and ends the intake once that is acknowledged."""

    def __init__(self, arrivals: Sequence[Arrival], stop: threading.Event) -> None:
        super().__init__(arrivals)
        self._stop = stop

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Remember, and end."""
        super().acknowledge(arrivals)
        self._stop.set()


def intake_of(database: Database, consumer: MemoryConsumer) -> Intake:
    """Intake of the test gateway's envelopes."""
    return Intake(
        consumer=consumer,
        store=PostgresIntakeStore(database),
        signer=SeededSigner("metertree test centre"),
        clock=SystemClock(),
        profiles=PROFILES,
    )


@contextmanager
def taking(database: Database, arrivals: Sequence[Arrival]) -> Iterator[Intake]:
    """An intake beside the test that ends when `arrivals` are acknowledged; leaving this waits for that."""
    stop = threading.Event()
    intake = intake_of(database, OneGroup(arrivals, stop))
    thread = threading.Thread(target=intake.run, args=(stop,), daemon=True)
    thread.start()
    yield intake
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "what came must be acknowledged in the end"


def step_of(connection: Connection, what: str) -> Step:
    """The step that gives a month its partition."""
    (step,) = [step for step in missing_steps(connection, STORAGE, NOW) if step.what.startswith(what)]
    return step


@contextmanager
def dividing(dsn: str, what: str) -> Iterator[Connection]:
    """Another process in the midst of a step: done, not committed; committed on leaving."""
    with psycopg.connect(dsn) as connection:
        execute_step(connection, step_of(connection, what))
        yield connection


def wait_for_a_waiter(connection: Connection) -> None:
    """Until somebody waits for a lock in this database."""
    waiting = b"SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database "
    waiting += b"WHERE datname = current_database())"
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.02)):
        if connection.execute(waiting).fetchone() != (0,):
            return
        pause.wait(0.02)
    pytest.fail("nobody waits for the lock of the step")


def place_of(database: Database, meter: str) -> list[str]:
    """In which partitions the readings of a meter lie."""
    with database.transaction() as connection:
        rows = connection.execute(
            b"SELECT tableoid::regclass::text FROM readings WHERE meter = %s ORDER BY due_at", [meter]
        )
        return [name.removeprefix("metertree_partitions.") for (name,) in rows]


def test_an_envelope_that_comes_while_its_month_is_divided_waits_and_is_neither_lost_nor_refused(
    divided: Database, bare_dsn: str
) -> None:
    """PostgreSQL routed its rows to the partition of everything else before the month had one of its own."""
    (arrival,) = GATEWAY.chain(1)
    with dividing(bare_dsn, JUNE) as other, taking(divided, [arrival]) as intake:
        wait_for_a_waiter(other)
        other.commit()
    seen = PostgresHarness(divided).see()
    assert (seen.quarantine, [digest is not None for digest in seen.ledger]) == ([], [True])
    assert intake.counters.accepted == 1
    assert not intake.counters.rejected
    assert place_of(divided, "m-lift") == ["readings_2026_06"]


def test_a_group_that_comes_while_months_are_divided_one_after_another_is_stored_whole(
    divided: Database, bare_dsn: str
) -> None:
    arrivals = GATEWAY.chain(40)
    with dividing(bare_dsn, JUNE) as other, taking(divided, arrivals):
        wait_for_a_waiter(other)
        other.commit()
        list(arrange(divided, STORAGE, NOW))
    seen = PostgresHarness(divided).see()
    assert seen.quarantine == []
    assert len(seen.ledger) == len(arrivals)
    assert len(seen.readings) == 3 * len(arrivals) + 65
    places = place_of(divided, "m-lift")
    assert {name: places.count(name) for name in set(places)} == {"readings_2026_06": 32, "readings_2026_07": 8}


def test_months_that_have_a_partition_are_written_and_read_while_another_is_divided(
    divided: Database, bare_dsn: str
) -> None:
    with divided.transaction() as connection:
        execute_step(connection, step_of(connection, JUNE))
        execute_step(connection, step_of(connection, JULY))
    with dividing(bare_dsn, AUGUST):
        with divided.transaction() as connection:
            connection.execute("SET LOCAL lock_timeout = '5s'")
            wanted = {"meters": ["m-old"], "first": MARK, "last": MARK + timedelta(days=3)}
            assert connection.execute(load_queries("readings")["readings_due"], wanted).fetchall() == []
            marks = {"meters": ["m-old"], "marks": [datetime(2026, 7, day, tzinfo=UTC) for day in (1, 2)]}
            assert len(connection.execute(load_queries("readings")["registers_at"], marks).fetchall()) == 1
        intake_of(divided, consumer := MemoryConsumer()).take(GATEWAY.chain(1))
        assert len(consumer.acknowledged) == 1
    assert place_of(divided, "m-lift") == ["readings_2026_06"]


def test_a_step_gives_up_where_the_table_is_in_use_for_too_long_and_changes_nothing(
    divided: Database, bare_dsn: str
) -> None:
    before = place_of(divided, "m-old")
    with psycopg.connect(bare_dsn) as busy:
        busy.execute("SELECT count(*) FROM readings")
        with divided.transaction() as connection:
            step = step_of(connection, JULY)
            with pytest.raises(LayoutRefused, match=r"readings of 2026-07 .* in use for too long; run the command"):
                execute_step(connection, replace(step, statement=step.statement.replace("'30s'", "'100ms'")))
    assert place_of(divided, "m-old") == before
    assert any(told.startswith(JULY) for told in arrange(divided, STORAGE, NOW))
    assert place_of(divided, "m-old").count("readings_2026_07") == 31
