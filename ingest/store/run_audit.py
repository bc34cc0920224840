"""What was done to runs, for the audit log and for those outside. Functions take an open transaction."""

from __future__ import annotations

from datetime import datetime

from allocation_engine.run_state import RunState
from ingest.audit_log import Verb
from ingest.event_kinds import Event, EventKind
from ingest.store.audit import note
from ingest.store.database import Connection, load_queries
from ingest.store.events import tell
from ingest.store.runs import RunHead

VERBS = {
    RunState.DRAFT: Verb.RUN_DRAFTED,
    RunState.COMPUTED: Verb.RUN_COMPUTED,
    RunState.CHECKED: Verb.RUN_CHECKED,
    RunState.APPROVED: Verb.RUN_APPROVED,
    RunState.PUBLISHED: Verb.RUN_PUBLISHED,
    RunState.SUPERSEDED: Verb.RUN_SUPERSEDED,
}


def note_steps(connection: Connection, *runs: str) -> None:
    """Record and tell every step that these runs have taken in this transaction; last in it."""
    found = connection.execute(load_queries("audit")["steps_of_now"], {"runs": list(runs)}).fetchall()
    for run, site, step, before, after, actor, reason, acted_at, period in found:
        note(
            connection,
            VERBS[RunState(after)],
            f"run/{run}",
            before=None if before is None else {"state": before},
            after={"state": after, "step": step, "by": actor, "acted_at": acted_at.isoformat()},
            reason=reason,
            touches=(f"site/{site}",),
        )
        if RunState(after) is not RunState.DRAFT:  # a draft is a trial, and no business of those outside
            body = {"run": run, "site": site, "period": period, "step": step}
            tell(connection, Event(EventKind(f"run.{after}"), site, f"run/{run}", acted_at, body))


def tell_correction(connection: Connection, head: RunHead, corrects: str, lines: int, at: datetime) -> None:
    """Tell that publishing a run booked delta lines against the run that was published before."""
    body = {"run": head.run, "corrects": corrects, "site": head.site, "period": head.period, "lines": lines}
    tell(connection, Event(EventKind.CORRECTION_PUBLISHED, head.site, f"run/{head.run}", at, body))
