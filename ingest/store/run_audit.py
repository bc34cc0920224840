"""What was done to runs, as the audit log keeps it. Functions take an open transaction."""

from __future__ import annotations

from allocation_engine.run_state import RunState
from ingest.audit_log import Verb
from ingest.store.audit import note
from ingest.store.database import Connection, load_queries

VERBS = {
    RunState.DRAFT: Verb.RUN_DRAFTED,
    RunState.COMPUTED: Verb.RUN_COMPUTED,
    RunState.CHECKED: Verb.RUN_CHECKED,
    RunState.APPROVED: Verb.RUN_APPROVED,
    RunState.PUBLISHED: Verb.RUN_PUBLISHED,
    RunState.SUPERSEDED: Verb.RUN_SUPERSEDED,
}


def note_steps(connection: Connection, *runs: str) -> None:
    """Record every step that these runs have taken in this transaction; last in it."""
    found = connection.execute(load_queries("audit")["steps_of_now"], {"runs": list(runs)}).fetchall()
    for run, site, step, before, after, actor, reason, acted_at in found:
        note(
            connection,
            VERBS[RunState(after)],
            f"run/{run}",
            before=None if before is None else {"state": before},
            after={"state": after, "step": step, "by": actor, "acted_at": acted_at.isoformat()},
            reason=reason,
            touches=(f"site/{site}",),
        )
