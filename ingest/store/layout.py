"""How readings and envelopes lie on disk: TimescaleDB's hypertables where it is installed, else partitions by month.

The layout is not part of the schema: it is reached from any earlier one by steps that the catalogue is asked for, so
the same plan is what `migrate` does, what `--dry-run` prints, and what `doctor` finds missing. Every step is a
transaction, and a plan that was broken off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import resources

import psycopg

from ingest.store.database import Connection, Database, Queries, load_queries
from metering.errors import MeteringError

ROUNDS_MAX = 5
"""Rounds of plans until nothing is left to do: a layout needs one, and another for what the first made possible."""
TIMESCALEDB_OLDEST = (2, 18)
DAYS_OF_MONTH_MIN = 28
CLOSE_DAYS = 92
"""A period may still be open this long after it began [days]."""
AGGREGATES = "registers_"
"""What the names of continuous aggregates begin with; see hypertables.sql."""
INDEX_PART = 4
"""The indexes that are written take at most one part in so many of the memory for pages."""


class LayoutRefused(MeteringError):
    """The tables cannot be laid out as wished; the text says why and what to do."""


class Layout(StrEnum):
    """How readings and envelopes lie on disk."""

    ABSENT = "absent"
    HYPERTABLES = "hypertables"
    PARTITIONS = "partitions"


@dataclass(frozen=True, slots=True)
class Storage:
    """How long what is kept, and in which pieces.

    chunk_days               span of a chunk of a hypertable [days]
    compress_after_days      age at which a chunk of readings goes into the columnstore [days]
    late_days                how late readings may come and still show in the aggregates [days]
    months_ahead             months to come that have a partition
    keep_readings_months     readings are dropped when older; they can be made again from envelopes
    keep_envelopes_months    envelopes are dropped when older, unless a statement rests on them
    keep_statements_months   how long after its issue a statement must stay provable
    """

    chunk_days: int = 7
    compress_after_days: int = 14
    late_days: int = 35
    months_ahead: int = 3
    keep_readings_months: int = 36
    keep_envelopes_months: int = 36
    keep_statements_months: int = 120

    def __post_init__(self) -> None:
        """Refuse what would drop readings that a period still to be closed needs."""
        if min(asdict(self).values()) < 1:
            raise LayoutRefused("every horizon is at least 1")
        if min(self.keep_readings_months, self.keep_envelopes_months) * DAYS_OF_MONTH_MIN < self.late_days + CLOSE_DAYS:
            raise LayoutRefused("keep readings and envelopes 3 months longer than they may be late: a close needs them")


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the layout: in words, and as the statement that makes it."""

    what: str
    statement: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The chunks or partitions of one table. `octets`: with indexes; `first`, `last`: span of those with bounds."""

    table: str
    count: int
    compressed: int
    first: datetime | None
    last: datetime | None
    octets: int


@cache
def layout_queries(name: str) -> Queries:
    """Load `hypertables.sql` or `partitions.sql`."""
    return Queries(name, resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8"))


def find_layout(connection: Connection) -> Layout:
    """Say which layout this database has or will get; raises LayoutRefused if its TimescaleDB is too old."""
    row = connection.execute(layout_queries("partitions")["layout"]).fetchone()
    assert row is not None
    version, kinds, _ = row
    if kinds is None:
        return Layout.ABSENT
    if version is None or "p" in kinds:
        return Layout.PARTITIONS
    if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < TIMESCALEDB_OLDEST:
        raise LayoutRefused(f"TimescaleDB {version} is installed here; update it to 2.18 or newer")
    return Layout.HYPERTABLES


def missing_steps(connection: Connection, storage: Storage, now: datetime) -> tuple[Step, ...]:
    """List what the layout still lacks, in order; raises LayoutRefused."""
    layout = find_layout(connection)
    if layout is Layout.ABSENT:
        return ()
    if layout is Layout.HYPERTABLES:
        return planned_steps(connection, layout, "steps", asdict(storage))
    conversions = planned_steps(connection, layout, "conversions", {})
    if not conversions:
        return planned_steps(connection, layout, "months", {"now": now, "months_ahead": storage.months_ahead})
    views = [view for (view,) in connection.execute(layout_queries("partitions")["dependents"])]
    if views:
        raise LayoutRefused(f"views that would keep showing the old table: {', '.join(views)}; drop them first")
    return conversions


def steps_to_hypertables(connection: Connection, storage: Storage) -> tuple[Step, ...]:
    """List what turns partitions into hypertables; raises LayoutRefused where TimescaleDB is not installed."""
    row = connection.execute(layout_queries("partitions")["layout"]).fetchone()
    if row is None or row[0] is None:
        raise LayoutRefused("TimescaleDB is not installed in this database; its administrator does that")
    return planned_steps(connection, Layout.HYPERTABLES, "from_partitions", {"chunk_days": storage.chunk_days})


def arrange(database: Database, storage: Storage, now: datetime) -> Iterator[str]:
    """Do what the layout lacks, each step in a transaction of its own, and tell it in words; raises LayoutRefused."""
    for _ in range(ROUNDS_MAX):
        with database.transaction() as connection:
            steps = missing_steps(connection, storage, now)
        if not steps:
            return
        for step in steps:
            with database.transaction() as connection:
                done = do(connection, step, storage, now)
            if done:
                yield step.what
    raise LayoutRefused(f"after {ROUNDS_MAX} rounds there is still to do: {steps[0].what}")


def arrange_aggregates(database: Database, storage: Storage, now: datetime) -> Iterator[str]:
    """Keep ready what charts of newly imported zones show, and no more: horizons are for `arrange` to change."""
    with database.transaction() as connection:
        steps = missing_steps(connection, storage, now)
    for step in steps:
        if step.what.startswith(AGGREGATES):
            with database.transaction() as connection:
                done = do(connection, step, storage, now)
            if done:
                yield step.what


def convert(database: Database, storage: Storage) -> Iterator[str]:
    """Turn partitions into hypertables, one table at a time; raises LayoutRefused without TimescaleDB."""
    with database.transaction() as connection:
        steps = steps_to_hypertables(connection, storage)
    for step in steps:
        with database.transaction() as connection:
            connection.execute(load_queries("database")["lock_migrations"])
            if step in steps_to_hypertables(connection, storage):
                execute_step(connection, step)
                yield step.what


def do(connection: Connection, step: Step, storage: Storage, now: datetime) -> bool:
    """Make one change, unless another process has made it meanwhile, and say so; raises LayoutRefused."""
    connection.execute(load_queries("database")["lock_migrations"])
    if find_layout(connection) is Layout.HYPERTABLES and step not in missing_steps(connection, storage, now):
        return False
    try:
        execute_step(connection, step)
    except psycopg.errors.DuplicateTable:  # what another process has done meanwhile: its names are taken
        return False
    return True


def execute_step(connection: Connection, step: Step) -> None:
    """Execute the statement of a step, whole or not at all; raises LayoutRefused if the table is in use too long."""
    try:
        with connection.transaction():
            connection.execute(step.statement.encode())
    except psycopg.errors.LockNotAvailable as error:
        raise LayoutRefused(f"{step.what}: the table was in use for too long; run the command again") from error


def list_parts(connection: Connection) -> tuple[Parts, ...]:
    """Describe the chunks or partitions of each table that has any."""
    layout = find_layout(connection)
    if layout is Layout.ABSENT:
        return ()
    return tuple(Parts(*row) for row in connection.execute(layout_queries(layout)["parts"]))


def list_policies(connection: Connection) -> tuple[str, ...]:
    """Name what TimescaleDB does by itself, with the horizons; nothing on plain PostgreSQL."""
    if find_layout(connection) is not Layout.HYPERTABLES:
        return ()
    return tuple(policy for (policy,) in connection.execute(layout_queries(Layout.HYPERTABLES)["policies"]))


def remark_on_chunks(connection: Connection, storage: Storage) -> str | None:
    """Say how to mend it where the index of a chunk that is written does not fit in memory; else nothing."""
    if find_layout(connection) is not Layout.HYPERTABLES:
        return None
    row = connection.execute(layout_queries(Layout.HYPERTABLES)["open_chunks"]).fetchone()
    assert row is not None
    index_octets, memory_octets = row
    return sized(storage.chunk_days, index_octets, memory_octets)


def sized(chunk_days: int, index_octets: int, memory_octets: int) -> str | None:
    """Judge the index of one chunk by the server's memory for pages: what is written at random must stay in it."""
    most = memory_octets // INDEX_PART
    if index_octets <= most:
        return None
    days = chunk_days * most // index_octets
    shorter = f"METERTREE_CHUNK_DAYS={max(1, days)}, or " if chunk_days > 1 else ""
    return (
        f"the index of a chunk of readings takes {index_octets / 1e6:,.0f} MB, more than a quarter of shared_buffers "
        f"({memory_octets / 1e6:,.0f} MB), so late readings are written at the speed of the disk; set {shorter}"
        f"shared_buffers to {INDEX_PART * index_octets / 1e6:,.0f} MB"
    )


def planned_steps(
    connection: Connection, layout: Layout, query: str, arguments: Mapping[str, object]
) -> tuple[Step, ...]:
    """Ask the catalogue for the steps that a query of the layout gives."""
    rows = connection.execute(layout_queries(layout)[query], arguments)
    return tuple(Step(what, statement) for what, statement in rows)
