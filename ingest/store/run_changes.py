"""Which settled days are no longer what a run was computed from: noted in the transaction that settles them anew.

A row says of one run, node, quantity and local day what it was when the run was computed and what it is now. A day that
becomes again what it was has no row. Runs that were superseded are history and not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from allocation_engine.run_state import RunState
from ingest.store.database import Connection, load_queries
from ingest.store.settled_rows import DayKey
from metering.identity import NodeId, SiteId
from metering.interval import CalendarInvalid, SiteCalendar
from metering.obis import Obis

CHANGES_MAX = 1000
"""Most changes in one answer."""


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """Runs of a site that are not superseded, and the first and last local day of each."""

    runs: tuple[str, ...]
    firsts: tuple[date, ...]
    lasts: tuple[date, ...]

    def cover(self, day: date) -> bool:
        """Say whether any of them is of this day."""
        return any(first <= day <= last for first, last in zip(self.firsts, self.lasts, strict=True))

    @property
    def columns(self) -> dict[str, Any]:
        """Give them as arguments of a query."""
        return {"runs": list(self.runs), "firsts": list(self.firsts), "lasts": list(self.lasts)}


@dataclass(frozen=True, slots=True)
class RunChanges:
    """How much of what a run was computed from has changed since.

    days, nodes     how many local days and nodes are touched
    entries         how many days of registers: a day of one node counts once for each of its quantities
    first, last     the days they lie between; None where nothing changed, as the instants are
    first_at        when the first of them was noted
    last_at         when one of them last changed
    """

    days: int
    nodes: int
    entries: int
    first: date | None
    last: date | None
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class DayChange:
    """One settled day that is no longer what a run was computed from.

    was_wh, now_wh            its energy then and now [Wh]; None where it was not, or is not, settled
    was_settled, now_settled  whether there was, or is, such a day
    times                     how often it was settled anew
    """

    key: DayKey
    was_wh: int | None
    now_wh: int | None
    was_settled: bool
    now_settled: bool
    times: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ChangedRun:
    """A run whose days have changed since it was computed."""

    run: str
    site: SiteId
    period: str
    state: RunState
    days: int
    nodes: int
    last_at: datetime


def open_runs(connection: Connection, site: SiteId, calendar: SiteCalendar) -> OpenRuns:
    """Give the runs of a site that a settled day may matter to."""
    found: list[tuple[str, date, date]] = []
    for run, period in connection.execute(_queries()["open_runs"], {"site": site}):
        try:
            days = calendar.days(calendar.period(period))
        except CalendarInvalid:  # a label of another calendar: no day of this one is meant
            continue
        found.append((run, days[0], days[-1]))
    return OpenRuns(*(tuple(column) for column in zip(*found, strict=True))) if found else OpenRuns((), (), ())


@contextmanager
def noted(connection: Connection, site: SiteId, runs: OpenRuns, keys: Sequence[DayKey]) -> Iterator[None]:
    """Settle these days anew inside the block; what that changes for a run is noted, in the same transaction."""
    days = {day for day in {key.day for key in keys} if runs.cover(day)}
    of_runs = [key for key in keys if key.day in days]
    if not of_runs:
        yield
        return
    touched = {
        "site": site,
        "nodes": [key.node for key in of_runs],
        "quantities": [str(key.obis) for key in of_runs],
        "days": [key.day for key in of_runs],
        **runs.columns,
    }
    connection.execute(_queries()["keep_before"], touched)
    yield
    connection.execute(_queries()["keep_after"], touched)
    connection.execute(_queries()["forget_unchanged"], touched)


def note_forgotten(
    connection: Connection, site: SiteId, calendar: SiteCalendar, nodes: Sequence[NodeId] | None
) -> None:
    """Note that every settled day of these nodes (None: of all) is about to be forgotten."""
    runs = open_runs(connection, site, calendar)
    if runs.runs:
        wanted = {"site": site, "nodes": None if nodes is None else list(nodes), **runs.columns}
        connection.execute(_queries()["keep_forgotten"], wanted)


def forget_changes(connection: Connection, run: str) -> None:
    """Forget what changed since a run was computed: it has just been computed again, to the same."""
    connection.execute(_queries()["forget_changes"], {"run": run})


def changes_since(connection: Connection, run: str) -> RunChanges:
    """Say how much of what a run was computed from has changed since."""
    row = connection.execute(_queries()["summary"], {"run": run}).fetchone()
    assert row is not None, "a count has a row"
    return RunChanges(*row)


def list_changes(connection: Connection, run: str, *, after: DayKey | None, most: int) -> tuple[DayChange, ...]:
    """List the changed days of a run by node, quantity and day, at most `most` (bounded by CHANGES_MAX).

    after   only those that come after this one
    """
    wanted = {
        "run": run,
        "node": after and after.node,
        "obis": after and str(after.obis),
        "day": after and after.day,
        "most": min(most, CHANGES_MAX),
    }
    return tuple(
        DayChange(DayKey(NodeId(node), Obis.parse(obis), day), *rest)
        for node, obis, day, *rest in connection.execute(_queries()["changes"], wanted)
    )


def list_changed_runs(connection: Connection, *, site: str | None, most: int) -> tuple[ChangedRun, ...]:
    """List the runs with days that have changed since, of one site if given, the latest change first."""
    rows = connection.execute(_queries()["changed_runs"], {"site": site, "most": min(most, CHANGES_MAX)})
    return tuple(ChangedRun(run, SiteId(at), period, RunState(state), *rest) for run, at, period, state, *rest in rows)


def runs_changed_by(connection: Connection, site: SiteId, key: DayKey) -> tuple[str, ...]:
    """Give the runs that were computed from this day before it became what it is."""
    wanted = {"site": site, "node": key.node, "obis": str(key.obis), "day": key.day}
    return tuple(str(run) for (run,) in connection.execute(_queries()["runs_changed_by"], wanted))


def _queries() -> Any:
    return load_queries("run_changes")
