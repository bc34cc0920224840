"""Contender: DuckDB, all of the job in SQL over long tables in memory."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow

from tests.bench.allocation.job import Amounts, Job
from tests.bench.allocation.long_table import STATEMENTS, amounts, tables


def prepare(job: Job) -> Any:
    """Give a database in memory that holds the tables."""
    database = duckdb.connect()
    for name, columns in tables(job).items():
        given = pyarrow.table(columns)
        database.register("given", given)
        database.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        database.unregister("given")
    return database


def run(job: Job, database: Any) -> tuple[Amounts, dict[str, float]]:
    """Do the job."""
    for statement in STATEMENTS:
        database.execute(statement)
    sums = database.execute("SELECT node, band, own, lost, loads FROM sums").fetchall()
    (loss_nano,) = database.execute("SELECT sum(loss * rate) FROM flows").fetchone()
    for table in ("energy", "flows", "factors", "loads", "sums"):
        database.execute(f"DROP TABLE {table}")
    return amounts(job, sums, int(loss_nano)), {}
