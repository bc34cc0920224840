"""`/v1/allocation-runs/{run}/...`: the steps a run takes through people's hands, and what changes would change.

An operator acts under his own name. The admin token speaks for whom it names: approval compares names, so give each
person one spelling.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from allocation_engine.rules_file import rules_from_document
from allocation_engine.run_diff import RunDiff
from allocation_engine.run_state import RunUnknown
from allocation_engine.what_if import Scope, totals
from ingest.api.admission import Admission, Admitted, Asking
from ingest.api.problems import Problem, not_found
from ingest.caller import Caller, acting
from ingest.period_inputs import site_names
from ingest.runs_desk import Act, Draft, RunsDesk
from ingest.store.run_log import corrections_of
from ingest.store.runs import StoredRun, find_run
from ingest.store.sites import site_version
from metering.identity import NodeId, PoolId
from provisioning.site import Site

PATH = "/v1/allocation-runs"
_FIND = f"GET {PATH} lists the runs"


class StepRequest(BaseModel):
    """Moves a run on: who, when by his own word, why, and the reasons for findings (`case main`) that need one."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field("", examples=["accountant"], description="an operator's token says it; with the admin token, who")
    at: AwareDatetime = Field(examples=["2026-08-01T10:00:00+08:00"])
    reason: str = Field("", max_length=2000)
    reasons: dict[str, str] = Field(default_factory=dict, max_length=10_000)

    def act(self, caller: Caller) -> Act:
        """Who acts, as the desk wants it; raises NotInPerson."""
        return Act(caller.named(self.by), self.at, self.reason)


class DraftRequest(BaseModel):
    """What to try: parts of the site's document and of its rules that replace those the run was made by.

    pools   ids of the pools that take the change; all without it. nodes: look only at units below these.
    """

    model_config = ConfigDict(extra="forbid")

    site: dict[str, Any] | None = None
    rules: dict[str, Any] = Field(default_factory=dict, examples=[{"tariff": {"format": 1}}])
    pools: list[str] | None = None
    nodes: list[str] = Field(default_factory=list)

    @property
    def scope(self) -> Scope:
        """Where the change is tried."""
        pools = None if self.pools is None else frozenset(map(PoolId, self.pools))
        return Scope(pools, frozenset(map(NodeId, self.nodes)))


class DeskRoutes:
    """The handlers, over one desk."""

    def __init__(self, desk: RunsDesk) -> None:
        self._desk = desk

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards every step, and every computation a stranger could start."""
        router = APIRouter(prefix=PATH, tags=["allocation runs"])
        guard = [Depends(admin)]
        for name, handler in (("check", self.check), ("approve", self.approve), ("publish", self.publish)):
            router.add_api_route(f"/{{run}}/{name}", handler, methods=["POST"], dependencies=guard)
        router.add_api_route("/{run}/what-if", self.what_if, methods=["POST"], dependencies=guard)
        router.add_api_route("/{run}/shadow", self.shadow, methods=["POST"], dependencies=guard)
        router.add_api_route("/{run}/findings", self.findings, methods=["POST"], dependencies=guard)
        router.add_api_route("/{run}/diff/{other}", self.diff, methods=["GET"], dependencies=guard)
        router.add_api_route("/{run}/log", self.log, methods=["GET"])
        router.add_api_route("/{run}/correction", self.correction, methods=["GET"])
        return router

    def check(self, run: str, request: StepRequest, caller: Admitted) -> dict[str, Any]:
        """Say that the run was looked at; give a reason for each finding, here or at approval."""
        with acting(caller):
            return _moved(self._desk.check(run, request.act(caller), request.reasons))

    def approve(self, run: str, request: StepRequest, caller: Admitted) -> dict[str, Any]:
        """Approve a checked run, as somebody who neither computed nor checked it."""
        with acting(caller):
            return _moved(self._desk.approve(run, request.act(caller), request.reasons))

    def publish(self, run: str, request: StepRequest, caller: Admitted) -> dict[str, Any]:
        """Make the run final; the published run of the period, if any, is superseded and corrected by delta lines."""
        with acting(caller):
            return _moved(self._desk.publish(run, request.act(caller)))

    def diff(self, run: str, other: str, who: Asking) -> dict[str, Any]:
        """Say what `other` changes against `run`, line by line, each with its causes."""
        with self._desk.database.transaction() as connection:
            found = find_run(connection, other, lines=False)
        # The door looked at `run` only.
        if found is None or not who.reaches(found.head.site):
            raise not_found(f"run {other}", _FIND)
        return self._desk.diff(run, other).to_document()

    def what_if(self, run: str, request: DraftRequest) -> dict[str, Any]:
        """Say who would have paid how much more or less; stores and sends nothing."""
        diff: RunDiff = self._desk.what_if(run, self._draft(run, request), request.scope)
        return diff.to_document()

    def shadow(self, run: str, request: DraftRequest, periods: int = Query(12, ge=1, le=24)) -> dict[str, Any]:
        """Try the draft on the newest published periods of the run's site; stores and sends nothing."""
        found = self._desk.shadow(self._draft(run, request), periods, request.scope)
        parties = [[one.party, one.before_minor, one.after_minor, one.delta_minor] for one in totals(found)]
        return {"periods": [one.to_document() for one in found], "parties": parties}

    def findings(self, run: str, request: DraftRequest) -> dict[str, Any]:
        """List the records that the draft would miss, each with a repair."""
        return {"findings": [one.to_document() for one in self._desk.findings(self._draft(run, request))]}

    def log(self, run: str) -> dict[str, Any]:
        """Give every step of the run with who, when and why, the reasons, and the findings still without one."""
        story = self._desk.story(run)
        return {
            "run": run,
            "steps": [
                {
                    "step": one.step,
                    "from": one.from_state,
                    "to": str(one.to_state),
                    "by": one.actor,
                    "at": one.acted_at.isoformat(),
                    "recorded_at": one.recorded_at.isoformat(),
                    "reason": one.reason,
                }
                for one in story.steps
            ],
            "reasons": [
                {"subject": one.subject, "reason": one.reason, "by": one.actor, "at": one.acted_at.isoformat()}
                for one in story.reasons
            ],
            "unexplained": list(story.unexplained),
        }

    def correction(self, run: str, party: str | None = None) -> dict[str, Any]:
        """Give the delta lines that publishing this run booked on its period, of one party if asked."""
        with self._desk.database.transaction() as connection:
            if find_run(connection, run, lines=False) is None:
                raise not_found(f"run {run}", _FIND)
            lines = corrections_of(connection, run, party)
        return {
            "run": run,
            "lines": [
                {
                    "corrects": one.corrects,
                    "id": one.line.id,
                    "pool": one.line.pool,
                    "party": one.line.party,
                    "unit": one.line.unit,
                    "before_minor": one.line.before_minor,
                    "after_minor": one.line.after_minor,
                    "delta_minor": one.line.delta_minor,
                    "causes": [[cause, delta] for cause, delta in one.line.causes],
                }
                for one in lines
            ],
        }

    def _draft(self, run: str, request: DraftRequest) -> Draft:
        """Lay what the caller sent over the documents the run was made by; raises DocumentError, SiteInvalid, Problem.

        A draft stays at the site of its run: who may look at one site would else try rules on the books of another.
        """
        with self._desk.database.transaction() as connection:
            stored = find_run(connection, run, lines=False)
            if stored is None:
                raise RunUnknown(f"run {run} does not exist")
            version = site_version(connection, stored.head.site, stored.head.site_version)
        site = version.site if request.site is None else Site.from_document(request.site)
        if site.id != stored.head.site:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the draft is of site {site.id}, and run {run} is of site {stored.head.site}",
                "try it on a run of its own site",
            )
        return Draft(site, rules_from_document({**version.rules, **request.rules}, site_names(site)))


def _moved(stored: StoredRun) -> dict[str, Any]:
    return {"run": stored.head.run, "state": str(stored.head.state), "href": f"{PATH}/{stored.head.run}"}
