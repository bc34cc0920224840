"""A database of its own on the server that METERTREE_TEST_DSN names, as the benches use the embedded one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from ingest.store.database import Database
from tests.doubles.servers import GIVEN_DSN, execute_alone

_numbers = itertools.count(1)


@dataclass(frozen=True)
class GivenDatabase:
    """`pid`: of the server's first process, 0 where it is not on this machine."""

    dsn: str
    pid: int


@contextmanager
def given_database(*, timescale: bool = True) -> Iterator[GivenDatabase]:
    """Make a database, with TimescaleDB in it where the server has that and it is wished, and drop it afterwards."""
    assert GIVEN_DSN, "set METERTREE_TEST_DSN"
    name = f"metertree_bench_{os.getpid()}_{next(_numbers)}"
    execute_alone(GIVEN_DSN, "CREATE DATABASE {} TEMPLATE template0", name)
    dsn = make_conninfo(GIVEN_DSN, dbname=name)
    try:
        if timescale and has_timescale():
            execute_alone(dsn, "CREATE EXTENSION IF NOT EXISTS timescaledb")
        yield GivenDatabase(dsn, _first_process(dsn))
    finally:
        execute_alone(GIVEN_DSN, "DROP DATABASE {} WITH (FORCE)", name)


def has_timescale() -> bool:
    """Say whether the given server has TimescaleDB."""
    assert GIVEN_DSN
    with psycopg.connect(GIVEN_DSN) as connection:
        found = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    return found is not None


def words_of(database: Database) -> str:
    """Name the server: PostgreSQL, TimescaleDB where it is there, and its memory for pages."""
    with database.transaction() as connection:
        row = connection.execute(
            b"SELECT current_setting('server_version'), "
            b"(SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), current_setting('shared_buffers')"
        ).fetchone()
    assert row is not None
    return f"PostgreSQL {row[0]}{f', TimescaleDB {row[1]}' if row[1] else ''}, shared_buffers {row[2]}"


def quieten(database: Database) -> None:
    """Keep TimescaleDB's policies from running beside what is measured."""
    with database.transaction() as connection:
        connection.execute(
            b"SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs "
            b"WHERE hypertable_name IS NOT NULL"
        )


def _first_process(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        stat = Path("/proc", str(pid), "stat")
        if not stat.exists() or not stat.read_text().partition("(")[2].startswith("postgres"):
            return 0
        return int(stat.read_text().rpartition(")")[2].split()[1])
