"""What happens to a run after it was computed: transitions, reasons, publications, corrections. Only ever added to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from allocation_engine.correction import CorrectionLine
from allocation_engine.run_state import RunState, Standing, findings_of, unexplained
from ingest.store.database import Connection, load_queries
from ingest.store.runs import StoredRun
from metering.identity import PartyId, PoolId, SiteId, UnitId


@dataclass(frozen=True, slots=True)
class LoggedTransition:
    """One step of a run: who moved it where, when by his own word, and why; `from_state` is None for the first."""

    step: int
    from_state: RunState | None
    to_state: RunState
    actor: str
    reason: str
    acted_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one finding does not stand in the way of approval."""

    subject: str
    reason: str
    actor: str
    acted_at: datetime


@dataclass(frozen=True, slots=True)
class StoredCorrection:
    """A line of a correction and the run it corrects."""

    corrects: str
    line: CorrectionLine


def open_log(connection: Connection, run: str, state: RunState, *, actor: str, acted_at: datetime) -> None:
    """Enter the first step of a run that is being stored in the same transaction."""
    _add(connection, run, 1, None, state, actor=actor, acted_at=acted_at, reason="")


def require_standing(connection: Connection, stored: StoredRun) -> Standing:
    """Give what decides about a run's next step, and keep others from moving it until the transaction ends."""
    state, _, computed_by, checked_by = _held(connection, stored.head.run)
    explained = (reason.subject for reason in reasons_of(connection, stored.head.run))
    return Standing(RunState(state), computed_by, checked_by, unexplained(findings_of(stored.document), explained))


def move_run(
    connection: Connection, run: str, to: RunState, *, standing: Standing, actor: str, acted_at: datetime, reason: str
) -> None:
    """Move a run on and log it; the database refuses what `run_state` would refuse."""
    queries = load_queries("run_log")
    step = 1 + _held(connection, run)[1]
    _add(connection, run, step, standing.state, to, actor=actor, acted_at=acted_at, reason=reason)
    connection.execute(
        queries["move_run"],
        {"run": run, "to_state": to, "step": step, "actor": actor, "unexplained": len(standing.unexplained)},
    )


def book_run(connection: Connection, run: str, booked_at: datetime) -> None:
    """Give a run that becomes more than a draft the booking time its statements carry."""
    connection.execute(load_queries("run_log")["book_run"], {"run": run, "booked_at": booked_at})


def transitions_of(connection: Connection, run: str) -> tuple[LoggedTransition, ...]:
    """Give the log of a run, oldest step first."""
    return tuple(
        LoggedTransition(step, None if before is None else RunState(before), RunState(after), *rest)
        for step, before, after, *rest in connection.execute(load_queries("run_log")["transitions"], {"run": run})
    )


def put_reason(connection: Connection, run: str, reason: Reason) -> None:
    """Record why a finding does not stand in the way."""
    connection.execute(
        load_queries("run_log")["put_reason"],
        {
            "run": run,
            "subject": reason.subject,
            "reason": reason.reason,
            "actor": reason.actor,
            "acted_at": reason.acted_at,
        },
    )


def reasons_of(connection: Connection, run: str) -> tuple[Reason, ...]:
    """Give the recorded reasons of a run, by subject."""
    return tuple(Reason(*row) for row in connection.execute(load_queries("run_log")["reasons"], {"run": run}))


def earlier_runs(connection: Connection, run: str) -> tuple[tuple[str, RunState], ...]:
    """Give the runs that publishing `run` leaves behind, with their states."""
    rows = connection.execute(load_queries("run_log")["earlier_runs"], {"run": run})
    return tuple((other, RunState(state)) for other, state in rows)


def published_periods(connection: Connection, site: SiteId, most: int) -> tuple[str, ...]:
    """Give the final runs of a site, newest period first, at most `most`."""
    rows = connection.execute(load_queries("run_log")["published_periods"], {"site": site, "most": most})
    return tuple(str(run) for run, _ in rows)


def add_publication(connection: Connection, run: str, octets: bytes, published_at: datetime) -> int:
    """Store the signed word that a run is final; give its number."""
    row = connection.execute(
        load_queries("run_log")["add_publication"], {"run": run, "published_at": published_at, "octets": octets}
    ).fetchone()
    assert row is not None
    return int(row[0])


def publication_of(connection: Connection, run: str) -> bytes | None:
    """Give the newest signed word that a run is final, or None if it never was."""
    row = connection.execute(load_queries("run_log")["newest_publication"], {"run": run}).fetchone()
    return None if row is None else bytes(row[0])


def state_of(connection: Connection, run: str) -> RunState:
    """Say where a stored run stands."""
    row = connection.execute(load_queries("run_log")["state"], {"run": run}).fetchone()
    assert row is not None, "a run was found and is never deleted"
    return RunState(row[0])


def add_correction(
    connection: Connection, run: str, corrects: str, lines: Iterable[CorrectionLine], publication: int
) -> None:
    """Store what publishing `run` changes of the run it supersedes."""
    with connection.cursor() as cursor, cursor.copy(load_queries("run_log")["add_correction_lines"]) as copy:
        for line in lines:
            amounts = (line.before_minor, line.after_minor, line.delta_minor)
            causes = Jsonb([[str(cause), delta] for cause, delta in line.causes])
            copy.write_row((run, corrects, line.id, line.pool, line.party, line.unit, *amounts, causes, publication))


def corrections_of(connection: Connection, run: str, party: str | None) -> tuple[StoredCorrection, ...]:
    """Give what publishing a run changed, of one party if given."""
    rows = connection.execute(load_queries("run_log")["correction_lines"], {"run": run, "party": party})
    return tuple(_correction(row) for row in rows)


def add_exclusions(connection: Connection, site: SiteId, version: int, excluded: Mapping[str, str]) -> None:
    """Record which records the rules of a site version miss on purpose, and why."""
    for subject, reason in sorted(excluded.items()):
        wanted = {"site": site, "version": version, "subject": subject, "reason": reason}
        connection.execute(load_queries("run_log")["add_exclusion"], wanted)


def exclusions_of(connection: Connection, site: SiteId, version: int) -> dict[str, str]:
    """Give the records that a site version misses on purpose, with the reasons."""
    rows = connection.execute(load_queries("run_log")["exclusions"], {"site": site, "version": version})
    return {str(subject): str(reason) for subject, reason in rows}


def _held(connection: Connection, run: str) -> tuple[Any, ...]:
    row = connection.execute(load_queries("run_log")["standing"], {"run": run}).fetchone()
    assert row is not None, "a run was found and is never deleted"
    return row


def _add(
    connection: Connection,
    run: str,
    step: int,
    before: RunState | None,
    after: RunState,
    *,
    actor: str,
    acted_at: datetime,
    reason: str,
) -> None:
    connection.execute(
        load_queries("run_log")["add_transition"],
        {
            "run": run,
            "step": step,
            "from_state": before,
            "to_state": after,
            "actor": actor,
            "reason": reason,
            "acted_at": acted_at,
        },
    )


def _correction(row: tuple[Any, ...]) -> StoredCorrection:
    corrects, line, pool, party, unit, before_minor, after_minor, _, causes = row
    unit_id = None if unit is None else UnitId(unit)
    parts = tuple((str(cause), int(delta)) for cause, delta in causes)
    return StoredCorrection(
        corrects, CorrectionLine(line, PoolId(pool), PartyId(party), unit_id, before_minor, after_minor, parts)
    )
