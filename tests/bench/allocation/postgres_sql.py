"""Contender: PostgreSQL (the embedded one), the same SQL as DuckDB's over unlogged tables, analysed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from metering.clock import SystemClock
from tests.bench.allocation.job import Amounts, Job
from tests.bench.allocation.long_table import STATEMENTS, amounts, tables

SETTINGS = ("work_mem = '512MB'", "temp_buffers = '1GB'", "max_parallel_workers_per_gather = 2", "jit = on")


def prepare(job: Job) -> Any:
    """Start a server and give a connection to a database that holds the tables."""
    stack = ExitStack()
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(stack.close)
    server = EmbeddedPostgres(folder / "server")
    stack.enter_context(running(server, SystemClock()))
    connection = stack.enter_context(psycopg.connect(server.dsn, autocommit=True))
    for setting in SETTINGS:
        connection.execute(f"SET {setting}")
    for name, columns in tables(job).items():
        listed = ", ".join(f"{column} bigint" for column in columns)
        connection.execute(f"CREATE UNLOGGED TABLE {name} ({listed})")
        with connection.cursor().copy(f"COPY {name} FROM STDIN") as copy:
            for row in zip(*(column.tolist() for column in columns.values()), strict=True):
                copy.write_row(row)
        connection.execute(f"VACUUM ANALYZE {name}")
    return connection


def run(job: Job, connection: Any) -> tuple[Amounts, dict[str, float]]:
    """Do the job."""
    for statement in STATEMENTS:
        connection.execute(statement.replace("//", "/"))
        made = statement.partition("TEMP TABLE ")[2].partition(" ")[0]
        if made:
            connection.execute(f"ANALYZE {made}")
    sums = connection.execute("SELECT node, band, own, lost, loads FROM sums").fetchall()
    (loss_nano,) = connection.execute("SELECT sum(loss * rate) FROM flows").fetchone()
    connection.execute("DROP TABLE energy, flows, factors, loads, sums")
    return amounts(job, sums, int(loss_nano)), {}
