"""Reads what a person needs to judge a run, and keeps what does not change of the runs looked at last.

A run is named by what it was computed from, so its document, its lines and its site never change; what is kept of them
is dropped when names are erased at the site, and when another run becomes the one of the period before. Where it stands
and what people said of it is read each time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock, Thread
from typing import Any

import psycopg

from allocation_engine.rules import Rules
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run_state import RunState, findings_of, unexplained
from ingest.period_inputs import site_names
from ingest.provisional import provisional_of, touched_lines
from ingest.review.outliers import Outlier, outliers_of
from ingest.review.sheet import Sheet
from ingest.review.verdict import Need, Sums, needs_of, sums_of
from ingest.runs_desk import require_run
from ingest.store.bindings import Unapproved
from ingest.store.database import Connection, Database
from ingest.store.review import (
    Rival,
    RunRow,
    RunsWanted,
    SiteTerms,
    StageFacts,
    compared_lines,
    count_by_state,
    earlier_periods,
    find_head,
    line_history,
    newest_erasure,
    rivals,
    run_rows,
    site_terms,
    stage_facts,
)
from ingest.store.run_changes import RunChanges, changes_since
from ingest.store.run_log import LoggedTransition, Reason, reasons_of, transitions_of
from ingest.store.runs import RunHead, StoredRun
from ingest.store.sites import SiteVersion, newest_numbers, site_version
from metering.errors import DocumentError, MeteringError
from metering.identity import SiteId
from provisioning.site import Site

_log = logging.getLogger(__name__)
KEPT_MAX = 6
"""Runs kept: one of ten thousand lines takes some 20 MB."""


@dataclass(frozen=True)
class Kept:
    """What does not change of a run that somebody looks at.

    rules     None where this program no longer reads them
    earlier   period and run of the periods before, newest first
    touched   the lines that rest on what nobody has approved, by what that is: found once
    """

    document: Mapping[str, Any]
    site: Site
    rules: Rules | None
    sheet: Sheet
    sums: Sums
    findings: tuple[str, ...]
    earlier: tuple[tuple[str, str], ...]
    touched: dict[tuple[Unapproved, ...], frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    _outliers: list[tuple[Outlier, ...]] = field(default_factory=list, init=False, repr=False, compare=False)

    def outliers(self, connection: Connection) -> tuple[Outlier, ...]:
        """Find what stands out, once."""
        if not self._outliers:
            history = line_history(connection, self.sheet.run, (run for _, run in self.earlier))
            areas = {str(unit.id): unit.area_cm2 for unit in self.site.units if unit.area_cm2}
            self._outliers.append(outliers_of(self.sheet.lines, history, areas))
        return self._outliers[0]


@dataclass(frozen=True, slots=True)
class Review:
    """A run as somebody looks at it now."""

    head: RunHead
    kept: Kept
    stages: StageFacts
    steps: tuple[LoggedTransition, ...]
    reasons: tuple[Reason, ...]
    unexplained: tuple[str, ...]
    provisional: tuple[Unapproved, ...]
    touched: frozenset[str]
    changes: RunChanges
    rivals: tuple[Rival, ...]
    outliers: tuple[Outlier, ...]
    needs: tuple[Need, ...]

    @property
    def published_rival(self) -> Rival | None:
        """The published run that publishing this one would supersede."""
        return next((one for one in self.rivals if one.state is RunState.PUBLISHED), None)


@dataclass(frozen=True, slots=True)
class RunsPage:
    """Runs of a list with the terms of their sites; counts by state of all that the filter lets through."""

    rows: tuple[RunRow, ...]
    terms: Mapping[SiteId, SiteTerms]
    counts: Mapping[RunState, int]


class ReviewDesk:
    """Reads runs for people; safe to use from several threads."""

    def __init__(self, database: Database, kept_max: int = KEPT_MAX) -> None:
        self._database = database
        self._kept_max = kept_max
        self._kept: OrderedDict[tuple[Any, ...], Kept] = OrderedDict()
        self._terms: dict[tuple[SiteId, int], SiteTerms] = {}
        self._lock = Lock()
        self._is_warming = False

    def runs(self, wanted: RunsWanted) -> RunsPage:
        """List runs, newest first."""
        with self._database.transaction() as connection:
            rows = run_rows(connection, wanted)
            counts = count_by_state(connection, wanted)
            terms = self.terms(connection, {row.head.site for row in rows})
        return RunsPage(rows, terms, counts)

    def terms(self, connection: Connection, sites: Iterable[SiteId] | None = None) -> dict[SiteId, SiteTerms]:
        """Give zone, currency and names of sites (None: of all) as their newest version has them."""
        newest = newest_numbers(connection)
        found = {}
        for site in sorted(newest if sites is None else sites):
            place = (site, newest[site])
            if place not in self._terms:
                self._terms[place] = site_terms(connection, *place)
            found[site] = self._terms[place]
        return found

    def review(self, run: str) -> Review:
        """Read a run with all that is needed to judge it; raises RunUnknown."""
        with self._database.transaction() as connection:
            head, kept = self._of(connection, run)
            said = reasons_of(connection, run)
            open_findings = unexplained(kept.findings, (one.subject for one in said))
            provisional = provisional_of(connection, head)
            changes = changes_since(connection, run)
            outliers = kept.outliers(connection)
            ended_at = datetime.fromisoformat(kept.document["period"]["end"])
            needs = needs_of(
                kept.document,
                kept.sums,
                head.state,
                unexplained=len(open_findings),
                provisional=len(provisional),
                changed_days=changes.days,
                outliers=len(outliers),
            )
            return Review(
                head=head,
                kept=kept,
                stages=stage_facts(connection, run, ended_at),
                steps=transitions_of(connection, run),
                reasons=said,
                unexplained=open_findings,
                provisional=provisional,
                touched=self._touched(connection, run, kept, provisional),
                changes=changes,
                rivals=rivals(connection, head),
                outliers=outliers,
                needs=needs,
            )

    def warm_soon(self, run: str) -> None:
        """Read a run in a thread of its own, so that whoever opens it next waits for nothing."""
        with self._lock:
            if self._is_warming or any(key[0] == run for key in self._kept):
                return
            self._is_warming = True
        Thread(target=self._warm, args=(run,), name="review-warm", daemon=True).start()

    def _warm(self, run: str) -> None:
        try:
            self.lines(run)
        except (MeteringError, psycopg.Error) as error:
            _log.info("review.not_warmed run=%s: %s", run, error)
        finally:
            self._is_warming = False

    def lines(self, run: str) -> tuple[RunHead, Kept, tuple[Outlier, ...], frozenset[str]]:
        """Give what a page of lines needs of a run, and no more; raises RunUnknown."""
        with self._database.transaction() as connection:
            head, kept = self._of(connection, run)
            provisional = provisional_of(connection, head)
            touched = self._touched(connection, run, kept, provisional)
            return head, kept, kept.outliers(connection), touched

    def _touched(
        self, connection: Connection, run: str, kept: Kept, provisional: tuple[Unapproved, ...]
    ) -> frozenset[str]:
        """Give the ids of the lines that rest on something nobody has approved."""
        if not provisional:
            return frozenset()
        if provisional not in kept.touched:
            lines = require_run(connection, run, lines=True).document["lines"]
            places = touched_lines(lines, kept.document["pools"], provisional)
            kept.touched.clear()
            kept.touched[provisional] = frozenset(lines[at]["id"] for at, _ in places)
        return kept.touched[provisional]

    def _of(self, connection: Connection, run: str) -> tuple[RunHead, Kept]:
        head = require_head(connection, run)
        earlier = earlier_periods(connection, head)
        key = (run, head.site_version, newest_erasure(connection, head.site), earlier)
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is None:
                stale = [other for other in self._kept if other[0] == run]
                for other in stale:
                    del self._kept[other]
                kept = _keep(connection, require_run(connection, run), earlier)  # without its lines: the sheet has them
                while len(self._kept) >= self._kept_max:
                    self._kept.popitem(last=False)
            self._kept[key] = kept
        return head, kept


def _keep(connection: Connection, stored: StoredRun, earlier: tuple[tuple[str, str], ...]) -> Kept:
    head = stored.head
    version = site_version(connection, head.site, head.site_version)
    before = earlier[0] if earlier else None
    sheet = Sheet(
        run=head.run,
        before=None if before is None else before[1],
        before_period="" if before is None else before[0],
        lines=compared_lines(connection, head.run, None if before is None else before[1]),
        names=_names(version.site),
    )
    rules = _rules(version)
    return Kept(
        document=stored.document,
        site=version.site,
        rules=rules,
        sheet=sheet,
        sums=sums_of(stored.document, sheet.lines, version.site.owner.id, rules),
        findings=findings_of(stored.document),
        earlier=earlier,
    )


def _names(site: Site) -> dict[str, dict[str, str]]:
    """Give the names of parties by id and of units by `/id`, as a party may have the id of a unit; by language."""
    return {
        language: {str(one.id): one.names.of(language) for one in site.parties}
        | {f"/{one.id}": one.names.of(language) for one in site.units}
        for language in ("zh", "en")
    }


def _rules(version: SiteVersion) -> Rules | None:
    try:
        return rules_from_document(version.rules, site_names(version.site))
    except DocumentError:
        return None


def require_head(connection: Connection, run: str) -> RunHead:
    """Give the head of a run; raises RunUnknown."""
    found = find_head(connection, run)
    return require_run(connection, run).head if found is None else found
