"""Steps of statements in the database; only ever added to. Functions take an open transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.statement_states import StatementState, StatementUnknown, require_step
from ingest.store.database import Connection, load_queries


@dataclass(frozen=True, slots=True)
class LoggedState:
    """One step of a statement: what it became, by whom and when."""

    step: int
    state: StatementState
    actor: str
    acted_at: datetime


def issue_statements(connection: Connection, run: str, *, actor: str, acted_at: datetime) -> tuple[str, ...]:
    """Say that the statements of a run are final; give their numbers. Call where the run is published."""
    return _step_all(connection, run, StatementState.ISSUED, actor, acted_at)


def supersede_statements(connection: Connection, run: str, *, actor: str, acted_at: datetime) -> tuple[str, ...]:
    """Say that newer ones take the place of a run's statements; give those that were out."""
    return _step_all(connection, run, StatementState.SUPERSEDED, actor, acted_at)


def hold_statement(connection: Connection, number: str) -> StatementState | None:
    """Give the state of a statement and keep others from moving it until the transaction ends.

    None while it is provisional. Raises StatementUnknown.
    """
    if connection.execute(load_queries("statement_states")["hold_statement"], {"number": number}).fetchone() is None:
        raise StatementUnknown(f"there is no statement {number}; each run names its statements")
    return _standing(connection, number)[1]


def step_statement(
    connection: Connection, number: str, to: StatementState, *, actor: str, acted_at: datetime
) -> StatementState | None:
    """Move a held statement on and give the state it came from.

    Raises NotIssued, Superseded, StatementStepRefused.
    """
    step, state = _standing(connection, number)
    require_step(number, state, to)
    row = {"number": number, "step": step + 1, "from_state": state, "to_state": to}
    connection.execute(load_queries("statement_states")["add_step"], {**row, "actor": actor, "acted_at": acted_at})
    return state


def states_of(connection: Connection, number: str) -> tuple[LoggedState, ...]:
    """Give every step of a statement, oldest first."""
    rows = connection.execute(load_queries("statement_states")["states"], {"number": number})
    return tuple(LoggedState(step, StatementState(state), actor, at) for step, state, actor, at in rows)


def newer_statement(connection: Connection, number: str) -> str | None:
    """Name the statement of the same party and period that is final; None where it is this one, or there is none."""
    row = connection.execute(load_queries("statement_states")["newer_statement"], {"number": number}).fetchone()
    return None if row is None else str(row[0])


def _standing(connection: Connection, number: str) -> tuple[int, StatementState | None]:
    row = connection.execute(load_queries("statement_states")["standing"], {"number": number}).fetchone()
    return (0, None) if row is None else (int(row[0]), StatementState(row[1]))


def _step_all(connection: Connection, run: str, to: StatementState, actor: str, acted_at: datetime) -> tuple[str, ...]:
    rows = connection.execute(
        load_queries("statement_states")["step_all"],
        {"run": run, "to_state": to, "actor": actor, "acted_at": acted_at},
    )
    return tuple(sorted(str(row[0]) for row in rows))
