"""Statements follow their run: they are issued where it is published, and superseded where another takes its place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from allocation_engine.run_state import RunState
from ingest.event_kinds import Event, EventKind
from ingest.store.database import Connection
from ingest.store.events import tell_all
from ingest.store.runs import RunHead
from ingest.store.statement_states import issue_statements, supersede_statements

_FOLLOW: dict[RunState, tuple[Callable[..., tuple[str, ...]], EventKind]] = {
    RunState.PUBLISHED: (issue_statements, EventKind.STATEMENT_ISSUED),
    RunState.SUPERSEDED: (supersede_statements, EventKind.STATEMENT_SUPERSEDED),
}


def statements_follow(connection: Connection, run: RunHead, to: RunState, *, actor: str, acted_at: datetime) -> None:
    """Move a run's statements where the run goes, and tell it; call inside the transaction that moves the run.

    Statements of a run that was never published were never out: nothing becomes of them.
    """
    if to not in _FOLLOW:
        return
    step, kind = _FOLLOW[to]
    numbers = step(connection, run.run, actor=actor, acted_at=acted_at)
    body = {"run": run.run, "period": run.period}
    tell_all(
        connection,
        (Event(kind, run.site, f"statement/{one}", acted_at, {"statement": one, **body}) for one in numbers),
    )
