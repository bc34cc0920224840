"""Allocation runs as stored: immutable documents with their lines and a state. A correction is another run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from allocation_engine.run import Run
from allocation_engine.run_state import RunState, findings_of
from ingest.store.database import Connection, load_queries
from metering.identity import SiteId

LIST_MAX = 200
"""Most runs in one list: 16 years of months of one site."""


@dataclass(frozen=True, slots=True)
class RunHead:
    """What a list of runs shows."""

    run: str
    site: SiteId
    period: str
    state: RunState
    booked_at: datetime
    site_version: int


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run with its document: `Run.to_document()` and, beside it, the exceptions of its period.

    Its lines are in the document unless it was asked for without them.
    """

    head: RunHead
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredLine:
    """One line of a run: energy [Wh] per band and amount in minor units; `kind` None where the document has it."""

    line: int
    pool: str
    party: str
    unit: str | None
    energy: list[int]
    amount_minor: int
    trace: Mapping[str, Any]
    kind: str | None

    def to_document(self) -> dict[str, Any]:
        """Give it as it stands in a run's document."""
        return {
            "id": f"{self.pool}/{self.unit or 'residual'}/{self.party}",
            "pool": self.pool,
            "party": self.party,
            "unit": self.unit,
            "kind": self.kind,
            "band_energy_wh": self.energy,
            "amount_minor": self.amount_minor,
            "trace": self.trace,
        }


@dataclass(frozen=True, slots=True)
class PartyTotal:
    """How many lines a party has in a run, and their sum in minor units."""

    party: str
    lines: int
    total_minor: int


def add_run(
    connection: Connection,
    run: Run,
    document: Mapping[str, Any],
    lines: Iterable[Mapping[str, Any]],
    *,
    state: RunState,
    computed_by: str,
    site_version: int,
    booked_at: datetime,
) -> StoredRun:
    """Store a run and its lines and give it as stored, without them; its log must be opened in the same transaction.

    document   without the lines
    """
    queries = load_queries("runs")
    connection.execute(
        queries["add_run"],
        {
            "run": run.id,
            "site": run.site,
            "period": run.label,
            "state": state,
            "booked_at": booked_at,
            "site_version": site_version,
            "inputs_hash": run.inputs_hash,
            "engine_version": run.engine_version,
            "document": Jsonb(document),
            "computed_by": computed_by,
            "unexplained": len(findings_of(document)),
        },
    )
    with connection.cursor() as cursor, cursor.copy(queries["add_lines"]) as copy:
        for number, line in enumerate(lines):
            energy, trace = (json.dumps(line[name], ensure_ascii=False) for name in ("band_energy_wh", "trace"))
            place = (run.id, number, line["pool"], line["party"], line["unit"])
            copy.write_row((*place, energy, line["amount_minor"], trace, line["kind"]))
    return StoredRun(RunHead(run.id, run.site, run.label, state, booked_at, site_version), document)


def confirm_run(connection: Connection, stored: StoredRun, version: int) -> StoredRun:
    """Note that a newer version of the site gives the same run; a published one stays as it is."""
    row = connection.execute(
        load_queries("runs")["confirm_run"], {"run": stored.head.run, "version": version}
    ).fetchone()
    return stored if row is None else replace(stored, head=replace(stored.head, site_version=row[0]))


def find_run(connection: Connection, run: str, *, lines: bool = True) -> StoredRun | None:
    """Give a run, or None if there is none with this id.

    lines   False leaves them out, where the run is from after they were stored once only
    """
    row = connection.execute(load_queries("runs")["run"], {"run": run}).fetchone()
    if row is None:
        return None
    document = row[6]
    if lines and "lines" not in document:
        stored = list_lines(connection, run, party=None, pool=None)
        document = {**document, "lines": [line.to_document() for line in stored]}
    return StoredRun(_head(row[:6]), document)


def find_head(connection: Connection, run: str) -> RunHead | None:
    """Give what a list shows of a run, without its document; None if there is none with this id."""
    row = connection.execute(load_queries("runs")["run_head"], {"run": run}).fetchone()
    return None if row is None else _head(row)


def list_runs(connection: Connection, *, site: str | None, period: str | None, most: int) -> tuple[RunHead, ...]:
    """List runs, newest first, of one site and period if given; at most `most` (bounded by LIST_MAX)."""
    wanted = {"site": site, "period": period, "most": min(most, LIST_MAX)}
    return tuple(_head(row) for row in connection.execute(load_queries("runs")["run_heads"], wanted))


def runs_behind(
    connection: Connection, after: str, *, site: str | None, period: str | None, most: int
) -> tuple[RunHead, ...]:
    """List runs behind one of them, as `list_runs` does; none where there is no such run."""
    wanted = {"site": site, "period": period, "after": after, "most": min(most, LIST_MAX)}
    return tuple(_head(row) for row in connection.execute(load_queries("billing")["run_heads_page"], wanted))


def lines_behind(
    connection: Connection, run: str, after: int, *, party: str | None, pool: str | None, most: int
) -> tuple[StoredLine, ...]:
    """List the lines of a run behind one of them."""
    wanted = {"run": run, "party": party, "pool": pool, "after": after, "most": most}
    return tuple(StoredLine(*row) for row in connection.execute(load_queries("billing")["lines_page"], wanted))


def count_runs(connection: Connection, site: SiteId, period: str) -> int:
    """Count the runs of a site's period that have statements: all but drafts."""
    row = connection.execute(load_queries("runs")["count_runs"], {"site": site, "period": period}).fetchone()
    return 0 if row is None else int(row[0])


def list_lines(connection: Connection, run: str, *, party: str | None, pool: str | None) -> tuple[StoredLine, ...]:
    """List the lines of a run in the order of the run, of one party and pool if given."""
    wanted = {"run": run, "party": party, "pool": pool}
    return tuple(StoredLine(*row) for row in connection.execute(load_queries("runs")["lines"], wanted))


def party_totals(connection: Connection, run: str) -> tuple[PartyTotal, ...]:
    """Give what each party has to pay by a run, by party."""
    return tuple(PartyTotal(*row) for row in connection.execute(load_queries("runs")["totals"], {"run": run}))


def _head(row: tuple[Any, ...]) -> RunHead:
    run, site, period, state, booked_at, site_version = row
    return RunHead(run, SiteId(site), period, RunState(state), booked_at, site_version)
