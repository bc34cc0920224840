"""What is dropped when: readings by age, envelopes by age unless a statement rests on them, everything else never.

A statement names the envelopes that prove it, and its file is put together from them when somebody asks. So before any
envelope goes, the statements of every run are read, and the span in which their envelopes were received is noted.
Whatever touches the span of a run whose statements must stay provable is kept, and everything while a run is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from allocation_engine.statement_content import STATEMENT_OCTETS_MAX, StatementContent
from ingest.store.database import Connection, Database, load_queries
from ingest.store.layout import Layout, Step, Storage, arrange, execute_step, find_layout, planned_steps
from metering.envelope import decode_canonical, parse_sign1
from metering.errors import MeteringError

STATEMENTS_AT_ONCE = 200


class EvidenceUnreadable(MeteringError):
    """A statement does not say which envelopes it rests on; until that is mended nothing is dropped."""


def maintain(database: Database, storage: Storage, now: datetime) -> Iterator[str]:
    """Make the partitions to come, then drop what is over its time; tells each change in words.

    Raises LayoutRefused, and EvidenceUnreadable before anything is dropped.
    """
    yield from arrange(database, storage, now)
    with database.transaction() as connection:
        if find_layout(connection) is Layout.ABSENT:
            return
        connection.execute(load_queries("database")["lock_migrations"])
        read_evidence(connection)
    done: set[Step] = set()
    while True:
        with database.transaction() as connection:
            connection.execute(load_queries("database")["lock_migrations"])
            left = [step for step in steps_of_retention(connection, storage, now) if step not in done]
            if not left:
                return
            execute_step(connection, left[0])
        done.add(left[0])
        yield left[0].what


def steps_of_retention(connection: Connection, storage: Storage, now: datetime) -> tuple[Step, ...]:
    """List what may be dropped now, oldest first."""
    layout = find_layout(connection)
    if layout is Layout.ABSENT:
        return ()
    return planned_steps(connection, layout, "drops", asdict(storage) | {"now": now})


def read_evidence(connection: Connection) -> tuple[str, ...]:
    """Write down what the statements of each run rest on that was not read yet, and name these runs.

    Raises EvidenceUnreadable.
    """
    queries = load_queries("evidence")
    runs = connection.execute(queries["unread_runs"]).fetchall()
    for run, statements, issued_at in runs:
        oldest, newest = _span_of(connection, run)
        connection.execute(
            queries["put_run_evidence"],
            {"run": run, "statements": statements, "issued_at": issued_at, "oldest": oldest, "newest": newest},
        )
    return tuple(run for run, _, _ in runs)


def _span_of(connection: Connection, run: str) -> tuple[datetime | None, datetime | None]:
    """Give when the first and the last envelope that the statements of `run` name were received."""
    queries = load_queries("evidence")
    places: set[tuple[str, int, int]] = set()
    with connection.cursor(name="statements_of_run") as cursor:
        cursor.itersize = STATEMENTS_AT_ONCE
        for number, octets in cursor.execute(queries["statements_of_run"], {"run": run}):
            places.update(_places(number, bytes(octets)))
    ordered = sorted(places)
    wanted = {name: [place[index] for place in ordered] for index, name in enumerate(("gateways", "epochs", "seqs"))}
    row = connection.execute(queries["span_of_envelopes"], wanted).fetchone()
    assert row is not None
    return row[0], row[1]


def _places(number: str, octets: bytes) -> Iterator[tuple[str, int, int]]:
    try:
        payload = parse_sign1(octets, STATEMENT_OCTETS_MAX).payload
        content = StatementContent.from_wire(decode_canonical(payload, STATEMENT_OCTETS_MAX))
    except MeteringError as error:
        raise EvidenceUnreadable(f"statement {number} cannot be read, so nothing is dropped: {error}") from error
    for ref in content.evidence:
        yield ref.gateway, ref.epoch, ref.seq
