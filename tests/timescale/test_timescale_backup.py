"""Backups on TimescaleDB: rows go out of, and back into, hypertables like any others, compressed or not."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
import pytest

from ingest.store.layout import arrange
from ingest.store.migrate import migrate_schema
from ingest.store.snapshot import Part, list_tables, survey
from tests.doubles.servers import TABLES
from tests.timescale.test_timescale import MARKS, NOW, SITE, STORAGE, readings_at, server

__all__ = ["server"]


@pytest.fixture(scope="module")
def written(server: Any) -> Any:
    """Readings of two months in plain tables."""
    server.fresh()
    migrate_schema(server)
    server.execute(SITE + "".join(statement for mark in MARKS for statement in readings_at(mark)))
    return server


def parts_of(server: Any) -> list[Part]:
    """What a backup would read out."""
    with server.transaction() as connection:
        return [part for table in list_tables(connection) for part in survey(connection, table)]


def test_a_part_is_the_same_part_whatever_the_tables_lie_in(written: Any) -> None:
    """So that the first backup after a change of the layout, or after compression, writes nothing twice."""
    plain = parts_of(written)
    assert [part.name for part in plain if part.table == "readings"] == ["2026-07", "2026-08"]
    assert sum(part.rows for part in plain if part.table == "readings") == len(MARKS) + len(MARKS) * 3 // 4
    list(arrange(written, STORAGE, NOW))
    assert parts_of(written) == plain
    for (chunk,) in written.execute("SELECT show_chunks('readings')::text").fetchall():
        written.execute(f"CALL convert_to_columnstore('{chunk}')")
    assert written.execute(
        "SELECT bool_and(is_compressed) FROM timescaledb_information.chunks WHERE hypertable_name = 'readings'"
    ).fetchone() == (True,)
    assert parts_of(written) == plain


def test_no_table_of_timescaledb_itself_is_in_a_backup(written: Any) -> None:
    list(arrange(written, STORAGE, NOW))
    with written.transaction() as connection:
        assert {table.name for table in list_tables(connection)} == set(TABLES)


def test_in_restoring_mode_a_hypertable_takes_no_rows_so_it_is_not_used(written: Any) -> None:
    """2.23 refuses them; 2.29 takes them into the root table, beside the chunks, where nothing finds them."""
    list(arrange(written, STORAGE, NOW))
    before = written.execute("SELECT count(*) FROM readings").fetchall()
    written.execute("SELECT timescaledb_pre_restore()")
    with suppress(psycopg.Error):
        written.execute(next(readings_at(MARKS[0])))
    written.execute("SELECT timescaledb_post_restore()")
    assert written.execute("SELECT count(*) FROM readings").fetchall() == before
