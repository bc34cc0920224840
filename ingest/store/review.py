"""What a review asks of the store: runs with their stages, a run's lines beside those of the period before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allocation_engine.run_state import RunState
from ingest.review.sheet import GONE, LineChange
from ingest.review.stages import Stage, stages_of
from ingest.store.database import Connection, load_queries
from ingest.store.runs import RunHead
from metering.identity import SiteId
from metering.interval import SiteCalendar
from provisioning.site import Names

HISTORY_MAX = 12
"""Earlier periods that a line is held against: a year of months."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Who computed, checked and approved a run; None where nobody has yet."""

    computed_by: str
    checked_by: str | None
    approved_by: str | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list. amount_minor: all its lines; unexplained: findings that need a reason and have none."""

    head: RunHead
    created_at: datetime
    hands: Hands
    unexplained: int
    complete_at: datetime | None
    steps: tuple[tuple[RunState, datetime], ...]
    amount_minor: int
    lines: int

    def stages(self, ended_at: datetime) -> tuple[Stage, ...]:
        """Give its stages, of a period that ended then."""
        return stages_of(ended_at, self.complete_at, self.steps)


@dataclass(frozen=True, slots=True)
class SiteTerms:
    """What a list needs of a site, without reading it whole."""

    site: SiteId
    calendar: SiteCalendar
    currency: str
    names: Names


@dataclass(frozen=True, slots=True)
class RunsWanted:
    """Which runs a list shows; None: any. period: how its label begins, such as 2026-07."""

    sites: tuple[str, ...] | None = None
    state: RunState | None = None
    period: str = ""
    most: int = 50
    skip: int = 0

    @property
    def arguments(self) -> dict[str, Any]:
        """Give them as arguments of a query."""
        # What people type is no pattern.
        begins = self.period.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        sites = None if self.sites is None else list(self.sites)
        page = {"most": self.most, "skip": self.skip}
        return {"sites": sites, "state": self.state, "period": f"{begins}%" if begins else None, **page}


@dataclass(frozen=True, slots=True)
class StageFacts:
    """The stages of one run and who had a hand in it; computing: how long the machine took, where that is known."""

    stages: tuple[Stage, ...]
    hands: Hands
    computing: timedelta | None


@dataclass(frozen=True, slots=True)
class Rival:
    """Another run of the same period."""

    run: str
    state: RunState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LineDetail:
    """What is shown of a line only when it is on the page: energy per band [Wh], and its trace."""

    energy_wh: tuple[int, ...]
    trace: Mapping[str, Any]


def run_rows(connection: Connection, wanted: RunsWanted) -> tuple[RunRow, ...]:
    """List runs with their stages, newest first."""
    return tuple(map(_run_row, connection.execute(load_queries("review")["run_rows"], wanted.arguments)))


def find_head(connection: Connection, run: str) -> RunHead | None:
    """Give the head of a run without reading its document, or None if there is none with this id."""
    row = connection.execute(load_queries("review")["run_head"], {"run": run}).fetchone()
    return None if row is None else RunHead(row[0], SiteId(row[1]), row[2], RunState(row[3]), *row[4:])


def count_by_state(connection: Connection, wanted: RunsWanted) -> dict[RunState, int]:
    """Count the runs of a filter by state, whatever state the filter asks for."""
    rows = connection.execute(load_queries("review")["count_runs"], wanted.arguments)
    return {RunState(state): count for state, count in rows}


def stage_facts(connection: Connection, run: str, ended_at: datetime) -> StageFacts:
    """Give the stages of a stored run whose period ended at an instant."""
    queries = load_queries("review")
    row = connection.execute(queries["stage_facts"], {"run": run}).fetchone()
    assert row is not None, "a run was found and is never deleted"
    _, complete_at, states, entered, *hands = row
    took = connection.execute(queries["job_of_run"], {"run": run}).fetchone()
    computing = None if took is None else took[1] - took[0]
    return StageFacts(stages_of(ended_at, complete_at, _steps(states, entered)), Hands(*hands), computing)


def earlier_periods(connection: Connection, head: RunHead, most: int = HISTORY_MAX) -> tuple[tuple[str, str], ...]:
    """Give period and run of earlier periods as long as that of a run, newest first, one run a period."""
    wanted = {"site": head.site, "period": head.period, "most": most}
    return tuple((period, run) for period, run in connection.execute(load_queries("review")["earlier_periods"], wanted))


def rivals(connection: Connection, head: RunHead, most: int = HISTORY_MAX) -> tuple[Rival, ...]:
    """Give the other runs of a run's period, newest first."""
    wanted = {"site": head.site, "period": head.period, "run": head.run, "most": most}
    rows = connection.execute(load_queries("review")["rivals"], wanted)
    return tuple(Rival(run, RunState(state), created_at) for run, state, created_at in rows)


def compared_lines(connection: Connection, run: str, before: str | None) -> tuple[LineChange, ...]:
    """Give the lines of a run in its order beside those of another, and then what only that one has."""
    rows = connection.execute(load_queries("review")["compared_lines"], {"run": run, "before": before})
    return tuple(
        LineChange(here, there, pool, party, unit, GONE if here is None else kind or "", amount, was)
        for here, there, pool, party, unit, kind, amount, was in rows
    )


def line_history(connection: Connection, run: str, others: Iterable[str]) -> dict[int, Sequence[int]]:
    """Give what each line of a run was in other runs [minor units], in any order, by its number."""
    rows = connection.execute(load_queries("review")["line_history"], {"run": run, "others": list(others)})
    return {int(line): amounts for line, amounts in rows}


def line_details(connection: Connection, run: str, lines: Iterable[int]) -> dict[int, LineDetail]:
    """Give energy and trace of some lines of a run, by number."""
    rows = connection.execute(load_queries("review")["line_details"], {"run": run, "lines": list(lines)})
    return {int(line): LineDetail(tuple(energy), trace) for line, energy, trace in rows}


def site_terms(connection: Connection, site: SiteId, version: int) -> SiteTerms:
    """Give zone, currency and names of a version of a site."""
    row = connection.execute(load_queries("review")["site_terms"], {"site": site, "version": version}).fetchone()
    assert row is not None, "a version is never deleted"
    zone, currency, zh, en = row
    return SiteTerms(site, SiteCalendar(zone), currency, Names(zh, en))


def newest_erasure(connection: Connection, site: SiteId) -> int:
    """Number the newest erasure of names at a site; 0 before there is one."""
    row = connection.execute(load_queries("review")["newest_erasure"], {"site": site}).fetchone()
    return 0 if row is None else int(row[0])


def site_versions(connection: Connection, site: SiteId, most: int = HISTORY_MAX) -> tuple[tuple[int, datetime], ...]:
    """List the versions of a site that have rules, newest first, with when each was imported."""
    rows = connection.execute(load_queries("review")["site_versions"], {"site": site, "most": most})
    return tuple((int(version), imported_at) for version, imported_at in rows)


def _run_row(row: tuple[Any, ...]) -> RunRow:
    run, site, period, state, booked_at, version, created_at, *hands, unexplained, complete_at = row[:12]
    states, entered, amount, lines = row[12:]
    return RunRow(
        head=RunHead(run, SiteId(site), period, RunState(state), booked_at, version),
        created_at=created_at,
        hands=Hands(*hands),
        unexplained=unexplained,
        complete_at=complete_at,
        steps=_steps(states, entered),
        amount_minor=amount or 0,
        lines=lines,
    )


def _steps(states: Sequence[str] | None, entered: Sequence[datetime] | None) -> tuple[tuple[RunState, datetime], ...]:
    return tuple((RunState(state), at) for state, at in zip(states or (), entered or (), strict=True))
