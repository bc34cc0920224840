"""Other ways to store readings, for comparison: each value a row, in tables of their own, one connection, durable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ingest.store.database import Connection, Database
from tests.bench.ingest.plant import sweeps_of

Row = tuple[str, int, Any, int]
"""Meter, channel, instant, value."""
TABLE = b"""
CREATE TABLE IF NOT EXISTS other_values (
    meter text NOT NULL, channel smallint NOT NULL, at timestamptz NOT NULL, value bigint NOT NULL,
    PRIMARY KEY (meter, channel, at)
)
"""
INSERT = b"INSERT INTO other_values VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


def values_of(arrivals: Sequence[Any]) -> Iterator[Row]:
    """Every value of the envelopes as a row."""
    for sweep in sweeps_of(arrivals):
        for reading in sweep.envelope.readings:
            for channel, mantissa in enumerate(reading.mantissas):
                if mantissa is not None:
                    yield reading.meter, channel, sweep.head.mark, mantissa


def by_executemany(connection: Connection, rows: Sequence[Row]) -> None:
    """psycopg sends the statements in a pipeline."""
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, rows)


def by_staging(connection: Connection, rows: Sequence[Row]) -> None:
    """Binary COPY into a temporary table, then INSERT .. SELECT .. ON CONFLICT."""
    connection.execute(b"CREATE TEMP TABLE IF NOT EXISTS staged (LIKE other_values) ON COMMIT DELETE ROWS")
    with connection.cursor() as cursor, cursor.copy(b"COPY staged FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(("text", "int2", "timestamptz", "int8"))
        for row in rows:
            copy.write_row(row)
    connection.execute(b"INSERT INTO other_values SELECT * FROM staged ON CONFLICT DO NOTHING")


def by_statement_text(connection: Connection, rows: Sequence[Row]) -> None:
    """As MyEMS' collectors do: one INSERT a poll, the values written into its text, committed by itself."""
    told = ", ".join(f"('{meter}', {channel}, '{at.isoformat()}', {value})" for meter, channel, at, value in rows)
    connection.execute(f"INSERT INTO other_values VALUES {told}".encode())


WAYS: dict[str, Callable[[Connection, Sequence[Row]], None]] = {
    "a row for each value, `executemany`": by_executemany,
    "staging table, then `ON CONFLICT`": by_staging,
    "an `INSERT` with values in its text for each poll (MyEMS)": by_statement_text,
}


def measure(database: Database, way: str, groups: Sequence[Sequence[Row]], readings: int) -> float:
    """Readings a second, a group a transaction; rows are made beforehand."""
    with database.transaction() as connection:
        connection.execute(TABLE)
        connection.execute(b"TRUNCATE other_values")
    began = time.perf_counter()
    for rows in groups:
        with database.transaction() as connection:
            WAYS[way](connection, rows)
    took = time.perf_counter() - began
    return readings / took
