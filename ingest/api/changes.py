"""What changed since a run was computed, as the interface says it, and the cursor that turns its pages."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import Any

from ingest.api.problems import Problem
from ingest.store.run_changes import ChangedRun, DayChange, RunChanges
from ingest.store.settled_rows import DayKey
from metering.identity import NodeId
from metering.obis import Obis, ObisInvalid

CURSOR_PARTS = 3


def changes_document(run: str, changed: RunChanges) -> dict[str, Any]:
    """Say how much has changed; `changed_since` is null where the run still says what is in the books."""
    if not changed.entries:
        return {"changed_since": None}
    assert changed.first is not None, "a change has a day"
    assert changed.last is not None, "a change has a day"
    assert changed.first_at is not None, "a change has a time"
    assert changed.last_at is not None, "a change has a time"
    counted = {
        "days": changed.days,
        "nodes": changed.nodes,
        "entries": changed.entries,
        "first_day": changed.first.isoformat(),
        "last_day": changed.last.isoformat(),
        "first_at": changed.first_at.isoformat(),
        "last_at": changed.last_at.isoformat(),
        "href": f"/v1/allocation-runs/{run}/changes",
        "mend": "close the period again: POST /v1/allocation-runs",
    }
    return {"changed_since": counted}


def change_document(change: DayChange) -> dict[str, Any]:
    """Give one changed day: energy [Wh] then and now, null where it was not or is not settled."""
    return {
        "node": change.key.node,
        "obis": str(change.key.obis),
        "day": change.key.day.isoformat(),
        "was_wh": change.was_wh,
        "now_wh": change.now_wh,
        "times": change.times,
        "first_at": change.first_at.isoformat(),
        "last_at": change.last_at.isoformat(),
    }


def changed_run(run: ChangedRun) -> dict[str, Any]:
    """Give a run of which days have changed since it was computed."""
    return {
        "run": run.run,
        "site": run.site,
        "period": run.period,
        "state": str(run.state),
        "days": run.days,
        "nodes": run.nodes,
        "last_at": run.last_at.isoformat(),
        "href": f"/v1/allocation-runs/{run.run}",
    }


def cursor_of(key: DayKey) -> str:
    """Name the place behind a changed day."""
    return f"{key.node}/{key.obis}/{key.day.isoformat()}"


def read_cursor(text: str | None) -> DayKey | None:
    """Read what `cursor_of` gave; raises Problem."""
    if text is None:
        return None
    parts = text.split("/")
    try:
        if len(parts) != CURSOR_PARTS:
            raise ValueError("too few or too many parts")
        return DayKey(NodeId(parts[0]), Obis.parse(parts[1]), date.fromisoformat(parts[2]))
    except (ValueError, ObisInvalid) as error:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{text[:100]!r} is no cursor", "take `after` of the answer before"
        ) from error
