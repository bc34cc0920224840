"""The whole database as parts of tables: read out in one snapshot, put in again in one transaction.

Which tables there are, in which order rows go in, and what large ones are divided by, the catalogue is asked for
(queries/backup.sql), so a new table is in the next backup without a word here. Rows travel as PostgreSQL's binary COPY.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ingest.store.database import Connection, load_queries
from metering.errors import MeteringError

BLOCK_OCTETS = 1 << 18
"""PostgreSQL hands over row by row; this much is gathered before it is passed on."""


class SnapshotInconsistent(MeteringError):
    """A part did not come out, or did not go in, with as many rows as it has."""


class RowsThere(MeteringError):
    """The database to be filled holds something already."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table. by, span: what it is divided by (a column; its months, or each of its contents), or None."""

    name: str
    columns: tuple[str, ...]
    by: str | None
    span: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a table: those with `low` <= by < `high`, or by = `low`, or all.

    fingerprint  sum over the hashes of the rows: the same as long as they are the same, in whatever order
    """

    table: str
    name: str
    rows: int
    fingerprint: str
    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class About:
    """A database: itself, the versions below it, and the migrations behind its schema, name and checksum each."""

    database: str
    postgresql: str
    timescaledb: str | None
    migrations: tuple[tuple[str, bytes], ...]


def begin_snapshot(connection: Connection) -> None:
    """Let this transaction see the database as it is now, whatever is committed meanwhile; its first words."""
    connection.execute(load_queries("backup")["begin_snapshot"])


def list_tables(connection: Connection) -> tuple[Table, ...]:
    """List every table of ours, those that others refer to first."""
    rows = connection.execute(load_queries("backup")["tables"], {})
    return tuple(Table(name, tuple(columns), by, span) for name, columns, by, span in rows)


def lock_statement(connection: Connection, tables: Iterable[Table], mode: str) -> bytes:
    """Give the statement after which nobody changes the tables (`SHARE ROW EXCLUSIVE`) or their form (`ACCESS SHARE`).

    It lasts until the end of the transaction. Executed right after `begin_snapshot`, it is held before the snapshot is
    taken, so no month is dropped in between; to ask for it there would take the snapshot first.
    """
    return _given(connection, "lock_tables", names=[table.name for table in tables], mode=mode)


def about(connection: Connection) -> About:
    """Say which database this is, of which versions, and which migrations made its schema."""
    row = connection.execute(load_queries("backup")["about"]).fetchone()
    identity = connection.execute(load_queries("database")["identity"]).fetchone()
    assert row is not None
    assert identity is not None
    applied = connection.execute(load_queries("database")["applied_migrations"])
    return About(identity[0], row[0], row[1], tuple((name, bytes(checksum)) for name, checksum in applied))


def survey(connection: Connection, table: Table) -> tuple[Part, ...]:
    """List the parts of a table that hold anything; reads every row, but sends none."""
    statement = _given(connection, "survey", name=table.name, by=table.by, span=table.span)
    return tuple(
        Part(table.name, name, rows, fingerprint, low, high)
        for name, low, high, rows, fingerprint in connection.execute(statement)
        if rows
    )


def read_part(connection: Connection, table: Table, part: Part) -> Iterator[bytes]:
    """Give the rows of a part; raises SnapshotInconsistent if they are not as many as were counted."""
    statement = _given(
        connection,
        "read_part",
        name=table.name,
        columns=list(table.columns),
        by=table.by,
        low=part.low,
        high=part.high,
    )
    gathered = bytearray()
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for row in copy:
                gathered += row
                if len(gathered) >= BLOCK_OCTETS:
                    yield bytes(gathered)
                    gathered.clear()
        yield bytes(gathered)
        _require_rows(table.name, part.name, cursor.rowcount, part.rows)


def put_part(connection: Connection, table: Table, name: str, rows: int, blocks: Iterable[bytes]) -> None:
    """Put the rows of a part into their table; raises SnapshotInconsistent unless they are `rows`."""
    statement = _given(connection, "put_part", name=table.name, columns=list(table.columns))
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for block in blocks:
                copy.write(block)
        _require_rows(table.name, name, cursor.rowcount, rows)


def require_empty(connection: Connection, tables: Sequence[Table]) -> None:
    """Raise RowsThere if any of the tables holds a row."""
    statement = _given(connection, "any_row", names=[table.name for table in tables])
    filled = [name for (name,) in connection.execute(statement)]
    if filled:
        raise RowsThere(
            f"the database is not empty: {', '.join(sorted(filled))} hold rows; a backup goes into an empty database, "
            "so that nothing is mixed: make one (CREATE DATABASE) and name it with --dsn"
        )


def go_on_numbering(connection: Connection, tables: Iterable[Table]) -> None:
    """Let each numbered table go on behind its highest number."""
    rows = connection.execute(load_queries("backup")["go_on_numbering"], {"names": [table.name for table in tables]})
    for (statement,) in rows.fetchall():
        connection.execute(statement.encode())


def _given(connection: Connection, query: str, **arguments: object) -> bytes:
    """Ask the server for the statement that does what the query says."""
    row = connection.execute(load_queries("backup")[query], arguments).fetchone()
    assert row is not None
    return str(row[0]).encode()


def _require_rows(table: str, part: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise SnapshotInconsistent(f"{table} {part}: {found} rows instead of {wanted}")
