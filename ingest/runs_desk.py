"""The desk at which runs are checked, approved, published, compared and tried out, by people with names.

Every step stands in the log with who took it, when by his own word, and why. Publishing is the only step that reaches
tenants: it signs the publication that makes the run's statements final, supersedes the published run of the period
and whatever was computed before, and books what changes as delta lines on that period. All in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from allocation_engine.correction import correction_of
from allocation_engine.facts import Facts
from allocation_engine.publication import Publication
from allocation_engine.rule_check import Finding, check_rules
from allocation_engine.rules import Rules
from allocation_engine.run_diff import RunDiff, diff_facts
from allocation_engine.run_state import RunState, RunUnknown, TransitionRefused, findings_of, read_actor, require_step
from allocation_engine.what_if import Scope, Shadow, shadow, what_if
from device_profiles.catalogue import Catalogue
from ingest.provisional import refuse_provisional
from ingest.run_facts import FactsForgotten, facts_of_run, facts_of_site
from ingest.statement_issuing import statements_follow
from ingest.store.database import Connection, Database
from ingest.store.feed import enter_feed
from ingest.store.run_audit import note_steps, tell_correction
from ingest.store.run_log import (
    LoggedTransition,
    Reason,
    StoredCorrection,
    add_correction,
    add_publication,
    corrections_of,
    earlier_runs,
    move_run,
    published_periods,
    put_reason,
    reasons_of,
    require_standing,
    transitions_of,
)
from ingest.store.runs import StoredRun, find_run, list_runs
from ingest.store.sites import lock_site
from metering.envelope import Signer
from metering.errors import BooksError
from provisioning.site import Site

SHADOW_PERIODS_MAX = 24
"""Two years of months: each is closed twice."""


class ReasonInvalid(BooksError):
    """A reason speaks of something that is no finding of the run, or says nothing."""


class NothingPublished(BooksError):
    """A site has no published run that a draft of its rules could be tried on."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who acts, when by his own word, and why."""

    actor: str
    acted_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A site and rules that are not imported: what somebody wants to try."""

    site: Site
    rules: Rules


@dataclass(frozen=True, slots=True)
class RunStory:
    """What happened to a run: its steps, the reasons given, the findings still open, and what it corrected."""

    steps: tuple[LoggedTransition, ...]
    reasons: tuple[Reason, ...]
    unexplained: tuple[str, ...]
    corrections: tuple[StoredCorrection, ...]


@dataclass(frozen=True, slots=True)
class RunsDesk:
    """Moves runs on and compares them. `signer` is the centre's key; only publishing needs it."""

    database: Database
    catalogue: Catalogue
    signer: Signer | None

    def check(self, run: str, act: Act, reasons: Mapping[str, str]) -> StoredRun:
        """Say that a run was looked at, with a reason for each finding that needs one; more may follow at approval."""
        return self._move(run, RunState.CHECKED, act, reasons)

    def approve(self, run: str, act: Act, reasons: Mapping[str, str]) -> StoredRun:
        """Approve a checked run; raises SecondPersonNeeded and ReasonMissing."""
        return self._move(run, RunState.APPROVED, act, reasons)

    def publish(self, run: str, act: Act) -> StoredRun:
        """Make an approved run final: sign its publication, supersede what was there, book the delta lines.

        Raises RunProvisional while the run rests on a binding that nobody has approved.
        """
        act = _read(act)
        if self.signer is None:
            raise TypeError("a desk without the centre's key cannot publish")
        with self.database.transaction() as connection:
            stored = self._hold(connection, run)
            standing = require_standing(connection, stored)
            require_step(standing, RunState.PUBLISHED, act.actor)
            refuse_provisional(connection, stored.head)
            earlier = earlier_runs(connection, run)
            booked = next((other for other, state in earlier if state is RunState.PUBLISHED), None)
            for other, _ in earlier:
                told = f"superseded by {run[:16]}" + (f": {act.reason}" if act.reason else "")
                self._step(connection, require_run(connection, other), RunState.SUPERSEDED, replace(act, reason=told))
            self._step(connection, stored, RunState.PUBLISHED, act)
            octets = self._publication(connection, stored, act, booked).sealed(self.signer)
            publication = add_publication(connection, run, octets, act.acted_at)
            if booked is not None:
                before, after = (require_run(connection, one, lines=True) for one in (booked, run))
                lines = correction_of(before.document, after.document, self._why(connection, before, after))
                add_correction(connection, run, booked, lines, publication)
                tell_correction(connection, stored.head, booked, len(lines), act.acted_at)
            enter_feed(connection)
            note_steps(connection, run, *(other for other, _ in earlier))
            return require_run(connection, run)

    def withdraw(self, run: str, act: Act) -> StoredRun:
        """Supersede a run that was never published, for a reason: it was wrong, and nobody shall go on with it.

        Raises TransitionRefused for a published run: what takes its place supersedes it, so that a period that tenants
        were told of is never without a final run.
        """
        act = _read(act)
        if not act.reason:
            raise TransitionRefused("say why the run is withdrawn; whoever computed it will ask")
        with self.database.transaction() as connection:
            stored = self._hold(connection, run)
            if stored.head.state is RunState.PUBLISHED:
                raise TransitionRefused("the run is published: publish another one of its period, which supersedes it")
            self._step(connection, stored, RunState.SUPERSEDED, act)
            note_steps(connection, run)
            return require_run(connection, run)

    def story(self, run: str) -> RunStory:
        """Tell what happened to a run."""
        with self.database.transaction() as connection:
            stored = require_run(connection, run)
            return RunStory(
                transitions_of(connection, run),
                reasons_of(connection, run),
                require_standing(connection, stored).unexplained,
                corrections_of(connection, run, None),
            )

    def diff(self, before: str, after: str) -> RunDiff:
        """Say what differs between two runs of one period, and why; raises RunsNotComparable and FactsForgotten."""
        with self.database.transaction() as connection:
            sides = [facts_of_run(connection, self.catalogue, require_run(connection, one)) for one in (before, after)]
        return replace(diff_facts(*sides), before=before, after=after)

    def what_if(self, run: str, draft: Draft, scope: Scope | None = None) -> RunDiff:
        """Say what a draft of site and rules would have changed for whom; stores nothing."""
        with self.database.transaction() as connection:
            facts, tried = self._pair(connection, run, draft)
        return what_if(facts, tried, scope)

    def shadow(self, draft: Draft, periods: int, scope: Scope | None = None) -> tuple[Shadow, ...]:
        """Try a draft on the newest published periods of its site, newest first; raises NothingPublished."""
        with self.database.transaction() as connection:
            runs = published_periods(connection, draft.site.id, min(periods, SHADOW_PERIODS_MAX))
            pairs = [self._pair(connection, run, draft) for run in runs]
        if not pairs:
            raise NothingPublished(f"site {draft.site.id} has no published run to try the rules on")
        return tuple(shadow(pairs, scope))

    def findings(self, draft: Draft) -> tuple[Finding, ...]:
        """List the records of the newest run that a draft of the rules would miss.

        There are none before there is a run, or while the newest is from before runs kept their energy.
        """
        with self.database.transaction() as connection:
            heads = list_runs(connection, site=draft.site.id, period=None, most=1)
            if not heads:
                return ()
            try:
                return check_rules(*self._pair(connection, heads[0].run, draft))
            except FactsForgotten:
                return ()

    def _pair(self, connection: Connection, run: str, draft: Draft) -> tuple[Facts, Facts]:
        stored = require_run(connection, run)
        facts = facts_of_run(connection, self.catalogue, stored)
        period = stored.head.period
        tried = facts_of_site(connection, self.catalogue, draft.site, draft.rules, period, like=facts)
        return facts, tried

    def _move(self, run: str, to: RunState, act: Act, reasons: Mapping[str, str]) -> StoredRun:
        act = _read(act)
        with self.database.transaction() as connection:
            stored = self._hold(connection, run)
            known = findings_of(stored.document)
            for subject, reason in sorted(reasons.items()):
                if subject not in known or not reason.strip():
                    told = ", ".join(known) or "none"
                    raise ReasonInvalid(f"{subject!r} has no finding, or its reason is empty; findings: {told}")
                put_reason(connection, run, Reason(subject, reason.strip(), act.actor, act.acted_at))
            self._step(connection, stored, to, act)
            note_steps(connection, run)
            return require_run(connection, run)

    def _hold(self, connection: Connection, run: str) -> StoredRun:
        """Give a run, and keep its whole site still: publishing touches other runs of the period too."""
        stored = require_run(connection, run)
        lock_site(connection, stored.head.site)
        return require_run(connection, run)

    def _step(self, connection: Connection, stored: StoredRun, to: RunState, act: Act) -> None:
        standing = require_standing(connection, stored)
        require_step(standing, to, act.actor)
        run = stored.head.run
        move_run(connection, run, to, standing=standing, actor=act.actor, acted_at=act.acted_at, reason=act.reason)
        statements_follow(connection, stored.head, to, actor=act.actor, acted_at=act.acted_at)

    def _publication(self, connection: Connection, stored: StoredRun, act: Act, booked: str | None) -> Publication:
        steps = {step.to_state: step.actor for step in transitions_of(connection, stored.head.run)}
        document = stored.document
        return Publication(
            run=bytes.fromhex(stored.head.run),
            commitment=bytes.fromhex(document["commitment"]["root"]),
            site=stored.head.site,
            label=stored.head.period,
            published_at=act.acted_at,
            checked_by=steps[RunState.CHECKED],
            approved_by=steps[RunState.APPROVED],
            published_by=act.actor,
            reasons=tuple((one.subject, one.reason) for one in reasons_of(connection, stored.head.run)),
            supersedes=b"" if booked is None else bytes.fromhex(booked),
        )

    def _why(self, connection: Connection, before: StoredRun, after: StoredRun) -> RunDiff | None:
        """Explain a correction as far as both runs can be computed again."""
        try:
            return diff_facts(*(facts_of_run(connection, self.catalogue, one) for one in (before, after)))
        except FactsForgotten:
            return None


def require_run(connection: Connection, run: str, *, lines: bool = False) -> StoredRun:
    """Give a run, with its lines if asked; raises RunUnknown."""
    stored = find_run(connection, run, lines=lines)
    if stored is None:
        raise RunUnknown(f"run {run} does not exist; list the runs with: metertree run list")
    return stored


def _read(act: Act) -> Act:
    if act.acted_at.tzinfo is None:
        raise TransitionRefused("the time of a step carries no time zone; write it as 2026-08-02T09:00:00+08:00")
    return Act(read_actor(act.actor), act.acted_at.astimezone(UTC), act.reason.strip())
