"""Readings and envelopes by month on plain PostgreSQL: reached from any earlier layout, and kept up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources

import psycopg
import pytest

from ingest.commands.migrate import run as run_migrate
from ingest.store.database import Database, load_queries
from ingest.store.layout import (
    Layout,
    LayoutRefused,
    Storage,
    arrange,
    convert,
    find_layout,
    layout_queries,
    list_parts,
    list_policies,
    missing_steps,
)
from ingest.store.migrate import migrate, migrate_schema
from tests.doubles.servers import GIVEN_DSN

NOW = datetime(2026, 11, 22, tzinfo=UTC)
STORAGE = Storage()
ROWS = 2000
BEFORE = f"""
INSERT INTO readings SELECT 'm-' || number % 7, timestamptz '2026-06-20Z' + number * interval '1 hour', true,
    timestamptz '2026-06-20Z', timestamptz '2026-06-20Z', 0, 'p', 0, ARRAY[number], 'gw-a', 1, number
FROM generate_series(1, {ROWS}) AS number;
INSERT INTO envelopes SELECT 'gw-a', 1, number, timestamptz '2026-06-20Z' + number * interval '1 hour', 'octets'
FROM generate_series(1, {ROWS}) AS number;
"""


@pytest.fixture
def plain(bare_dsn: str) -> Iterator[Database]:
    """A database of the newest schema with rows, as versions before the layout made it."""
    with Database(bare_dsn, connections=2) as database:
        migrate_schema(database)
        with database.transaction() as connection:
            connection.execute(BEFORE.encode())
        yield database


@pytest.fixture
def laid_out(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database laid out for NOW; a given server may have TimescaleDB, so there it is made from nothing."""
    with Database(request.getfixturevalue("bare_dsn" if GIVEN_DSN else "own_dsn"), connections=2) as database:
        migrate_schema(database)
        list(arrange(database, STORAGE, NOW))
        yield database


def rows_of(database: Database) -> list[tuple[object, ...]]:
    """Everything in both tables, in one order."""
    with database.transaction() as connection:
        readings = connection.execute("SELECT seq, meter, due_at, mantissas FROM readings ORDER BY seq").fetchall()
        return readings + connection.execute("SELECT seq, received_at FROM envelopes ORDER BY seq").fetchall()


def partitions_of(database: Database, table: str) -> dict[str, int]:
    """Rows of each partition, by name."""
    with database.transaction() as connection:
        rows = connection.execute(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1".encode())
        return {name.removeprefix("metertree_partitions."): count for name, count in rows}


def test_a_database_from_before_is_divided_by_month_and_no_row_is_lost(plain: Database) -> None:
    before = rows_of(plain)
    told = list(arrange(plain, STORAGE, NOW))
    assert told[0].startswith("envelopes is divided by month of received_at")
    assert rows_of(plain) == before
    assert len(before) == 2 * ROWS
    months = partitions_of(plain, "readings")
    assert set(months) == {"readings_2026_06", "readings_2026_07", "readings_2026_08", "readings_2026_09"}
    assert months["readings_2026_07"] == 31 * 24


def test_a_second_application_changes_nothing(plain: Database) -> None:
    list(arrange(plain, STORAGE, NOW))
    assert list(arrange(plain, STORAGE, NOW)) == []


def test_a_division_that_was_broken_off_goes_on_where_it_stopped(plain: Database) -> None:
    before = rows_of(plain)
    steps = arrange(plain, STORAGE, NOW)
    done = [next(steps) for _ in range(5)]
    steps.close()
    assert rows_of(plain) == before
    left = list(arrange(plain, STORAGE, NOW))
    assert not set(done) & set(left)
    assert rows_of(plain) == before


def test_a_step_that_fails_leaves_everything_as_it_was(plain: Database) -> None:
    """Somebody's table of the name that a partition needs: the step is refused whole, and no row has moved."""
    before = rows_of(plain)
    steps = arrange(plain, STORAGE, NOW)
    while "2026-07" not in next(steps):
        pass
    with plain.transaction() as connection:
        connection.execute(
            "ALTER TABLE metertree_partitions.readings_other ADD CONSTRAINT blocked CHECK (seq < 0) NOT VALID"
        )
        connection.execute("CREATE TABLE metertree_partitions.readings_2026_07 ()")
    assert not any("readings of 2026-07" in told for told in steps)
    assert rows_of(plain) == before


def test_two_processes_at_once_divide_it_once(plain: Database, bare_dsn: str) -> None:
    before = rows_of(plain)
    told: list[str] = []

    def divide() -> None:
        with Database(bare_dsn, connections=1) as database:
            told.extend(arrange(database, STORAGE, NOW))

    threads = [threading.Thread(target=divide) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == len(set(told))
    assert rows_of(plain) == before


def test_index_comment_and_grants_stay(plain: Database) -> None:
    with plain.transaction() as connection:
        connection.execute("GRANT SELECT ON readings TO PUBLIC")
    list(arrange(plain, STORAGE, NOW))
    with plain.transaction() as connection:
        (definition,) = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'readings_by_meter' "
                                           "AND schemaname = 'public'").fetchone()  # type: ignore[misc]  # fmt: skip
        assert definition.endswith("USING btree (meter, due_at)")
        (comment,) = connection.execute("SELECT obj_description('readings'::regclass)").fetchone()  # type: ignore[misc]
        assert comment.startswith("One row per meter and sweep")
        (public,) = connection.execute(
            "SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE oid = 'readings'::regclass AND grantee = 0"
        ).fetchone()  # type: ignore[misc]
        assert public == 1


def test_a_view_that_would_go_on_showing_the_old_table_is_named(plain: Database) -> None:
    with plain.transaction() as connection:
        connection.execute("CREATE VIEW newest AS SELECT max(due_at) FROM readings")
    with pytest.raises(LayoutRefused, match="newest"):
        list(arrange(plain, STORAGE, NOW))


def test_no_row_is_refused_for_its_time(laid_out: Database) -> None:
    """A clock far off must not stop the intake: such readings lie in the partition of everything else."""
    with laid_out.transaction() as connection:
        for due_at in ("1970-01-01Z", "2099-01-01Z", "infinity", "2026-11-30 23:59:59.999Z", "2026-12-01Z"):
            connection.execute(
                "INSERT INTO readings VALUES ('m', %s, false, now(), now(), 0, 'p', 0, '{1}', 'gw-a', 1, 1)", [due_at]
            )
    assert partitions_of(laid_out, "readings") == {"readings_other": 3, "readings_2026_11": 1, "readings_2026_12": 1}
    assert list(arrange(laid_out, STORAGE, NOW)) == []


def test_rows_of_a_month_without_partition_get_one(laid_out: Database) -> None:
    with laid_out.transaction() as connection:
        connection.execute(BEFORE.encode())
    assert set(partitions_of(laid_out, "readings")) == {"readings_other"}
    told = list(arrange(laid_out, STORAGE, NOW))
    assert "readings of 2026-08 get a partition" in told
    assert set(partitions_of(laid_out, "envelopes")) == {f"envelopes_2026_0{month}" for month in (6, 7, 8, 9)}


def test_the_months_to_come_have_partitions_before_they_come(laid_out: Database) -> None:
    with laid_out.transaction() as connection:
        assert missing_steps(connection, STORAGE, NOW) == ()
        later = missing_steps(connection, STORAGE, NOW + timedelta(days=31))
        assert [step.what for step in later] == [
            f"{table} of 2027-03 get a partition" for table in ("envelopes", "readings")
        ]
        more = missing_steps(connection, replace(STORAGE, months_ahead=5), NOW)
        assert len(more) == 4


def test_a_reading_that_arrives_while_its_month_is_divided_waits_and_is_not_lost(
    plain: Database, bare_dsn: str
) -> None:
    steps = arrange(plain, STORAGE, NOW)
    next(steps), next(steps)
    late = "INSERT INTO readings VALUES ('late', '2026-07-01Z', true, now(), now(), 0, 'p', 0, '{1}', 'gw-a', 1, 9999)"
    with psycopg.connect(bare_dsn) as writer:
        writer.execute(late.encode())
        moving = threading.Thread(target=lambda: list(steps))
        moving.start()
        writer.commit()
        moving.join(60)
    with plain.transaction() as connection:
        found = connection.execute("SELECT tableoid::regclass::text FROM readings WHERE meter = 'late'").fetchall()
    assert found == [("metertree_partitions.readings_2026_07",)]


def test_a_month_is_looked_for_in_its_partition_only(laid_out: Database) -> None:
    with laid_out.transaction() as connection:
        plan = connection.execute(
            b"EXPLAIN " + load_queries("readings")["readings_due"],
            {"meters": ["m"], "first": NOW, "last": NOW + timedelta(days=1)},
        ).fetchall()
    named = {word for (line,) in plan for word in line.split() if word.startswith("readings_2")}
    assert {name[:16] for name in named} == {"readings_2026_11"}


def test_the_parts_are_described(laid_out: Database) -> None:
    with laid_out.transaction() as connection:
        assert find_layout(connection) is Layout.PARTITIONS
        by_table = {parts.table: parts for parts in list_parts(connection)}
        assert list_policies(connection) == ()
    assert set(by_table) == {"envelopes", "readings"}
    assert by_table["readings"].last is not None
    assert by_table["readings"].last >= datetime(2027, 3, 1, tzinfo=UTC)
    assert by_table["readings"].octets > 0


def test_an_empty_database_has_no_layout(empty_dsn: str) -> None:
    with Database(empty_dsn, connections=1) as database, database.transaction() as connection:
        assert find_layout(connection) is Layout.ABSENT
        assert missing_steps(connection, STORAGE, NOW) == ()
        assert list_parts(connection) == ()


def test_without_timescaledb_nothing_becomes_a_hypertable(laid_out: Database) -> None:
    with pytest.raises(LayoutRefused, match="not installed"):
        list(convert(laid_out, STORAGE))


@pytest.mark.parametrize("kept", [{"keep_readings_months": 2}, {"keep_envelopes_months": 4}, {"chunk_days": 0}])
def test_a_horizon_that_a_close_could_not_live_with_is_refused(kept: dict[str, int]) -> None:
    with pytest.raises(LayoutRefused):
        Storage(**kept)
    assert Storage(keep_readings_months=5, keep_envelopes_months=5).late_days == 35


def test_every_layout_query_can_be_read() -> None:
    assert {*layout_queries("hypertables")} >= {"steps", "drops", "parts", "policies", "from_partitions"}
    assert {*layout_queries("partitions")} >= {"layout", "conversions", "months", "drops", "parts"}
    assert resources.files("ingest.store").joinpath("hypertables.sql").is_file()


def test_migrating_lays_out_what_it_migrated(empty_dsn: str) -> None:
    with Database(empty_dsn, connections=1) as database:
        assert migrate(database, storage=STORAGE, now=NOW)
        with database.transaction() as connection:
            assert missing_steps(connection, STORAGE, NOW) == ()
    assert run_migrate is not None
