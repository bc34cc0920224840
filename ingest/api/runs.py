"""`/v1/allocation-runs`: close a period, list runs, read one with its lines and its balance."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ingest.api.admission import Admission, Admitted
from ingest.api.changes import change_document, changed_run, changes_document, cursor_of, read_cursor
from ingest.api.metrics import Metrics
from ingest.api.problems import not_found
from ingest.api.statements import standing_of
from ingest.caller import acting
from ingest.closing import UNNAMED, Closing
from ingest.console.words import Language
from ingest.provisional import document, provisional_of, touched_lines
from ingest.settlement_words import changes_table
from ingest.store.database import Connection, Database
from ingest.store.run_changes import CHANGES_MAX, changes_since, list_changed_runs, list_changes
from ingest.store.runs import (
    LIST_MAX,
    RunHead,
    StoredRun,
    find_run,
    lines_behind,
    list_lines,
    list_runs,
    party_totals,
    runs_behind,
)
from ingest.store.statements import numbers_of_run
from metering.errors import MeteringError
from metering.identity import SiteId

PATH = "/v1/allocation-runs"
LINES_PAGE, LINES_MAX = 10_000, 2**31 - 1
_APPROVE = "have somebody else than the engineer approve them: metertree-provision bindings, approve"
_FIND = f"GET {PATH} lists the runs"


class RunRequest(BaseModel):
    """Asks to close a period of a site: a month, or days with both ends included.

    `booked_at` is the time the result carries: no clock is read for it. A draft is stored without statements; a dry
    run is not stored at all. `by` names who computes: somebody else has to approve.
    """

    model_config = ConfigDict(extra="forbid")

    site: str = Field(examples=["park"])
    period: str = Field(examples=["2026-07", "2026-07-01--2026-07-03"])
    booked_at: AwareDatetime = Field(examples=["2026-08-01T09:00:00+08:00"])
    by: str = Field(UNNAMED, examples=["accountant"])
    draft: bool = False
    dry_run: bool = False


class RunRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database, closing: Closing, metrics: Metrics) -> None:
        self._database = database
        self._closing = closing
        self._metrics = metrics

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards the one that writes."""
        router = APIRouter(prefix=PATH, tags=["allocation runs"])
        router.add_api_route("", self.close, methods=["POST"], dependencies=[Depends(admin)], status_code=201)
        router.add_api_route("", self.list, methods=["GET"])
        router.add_api_route("/{run}", self.read, methods=["GET"])
        router.add_api_route("/{run}/lines", self.lines, methods=["GET"])
        router.add_api_route("/{run}/balance", self.balance, methods=["GET"])
        router.add_api_route("/{run}/changes", self.changes, methods=["GET"])
        router.add_api_route("/{run}/changes.csv", self.changes_csv, methods=["GET"], response_class=Response)
        return router

    def close(self, request: RunRequest, response: Response, caller: Admitted) -> dict[str, Any]:
        """Close a period. The same facts and rules give the same run: 201 the first time, 200 after."""
        site = SiteId(request.site)
        if request.dry_run:
            response.status_code = HTTPStatus.OK
            document = self._closing.dry_run(site, request.period).to_document()
            return {"dry_run": True, "document": document}
        try:
            actor = caller.named(None if request.by == UNNAMED and caller.in_person else request.by)
            with acting(caller):
                stored, is_new = self._closing.close(
                    site, request.period, booked_at=request.booked_at, actor=actor, draft=request.draft
                )
        except MeteringError:
            self._metrics.runs.labels("refused").inc()
            raise
        self._metrics.runs.labels("computed" if is_new else "repeated").inc()
        response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        response.headers["Location"] = f"{PATH}/{stored.head.run}"
        with self._database.transaction() as connection:
            return _summary(connection, stored)

    def list(
        self,
        site: str | None = None,
        period: str | None = None,
        limit: int = Query(20, ge=1, le=LIST_MAX),
        changed: bool = False,
        after: str | None = Query(None, max_length=64, description="`next` of the page before"),
    ) -> dict[str, Any]:
        """List runs, newest first; with `changed` those of which days have changed since they were computed.

        `next` is there while there may be more.
        """
        with self._database.transaction() as connection:
            if changed:
                runs = list_changed_runs(connection, site=site, most=limit)
                return {"runs": [changed_run(one) for one in runs if period in (None, one.period)]}
            if after is None:
                heads = list_runs(connection, site=site, period=period, most=limit)
            else:
                heads = runs_behind(connection, after, site=site, period=period, most=limit)
        return {"runs": [*map(_head, heads)], **({"next": heads[-1].run} if len(heads) == limit else {})}

    def read(self, run: str) -> dict[str, Any]:
        """Give the whole run: rules it was made by, balance, pools, lines with their traces, statements."""
        with self._database.transaction() as connection:
            stored = _require(connection, run)
            changed = changes_document(run, changes_since(connection, run))
            waiting = _provisional(connection, stored)
            return {**_summary(connection, stored), **changed, **waiting, "document": stored.document}

    def lines(
        self,
        run: str,
        party: str | None = None,
        pool: str | None = None,
        after: int | None = Query(None, ge=-1, le=LINES_MAX, description="`next` of the page before; -1 at first"),
        limit: int = Query(LINES_PAGE, ge=1, le=LINES_PAGE),
    ) -> dict[str, Any]:
        """Give the lines, of one party or pool if asked; energies in the order of `bands`.

        All of them, unless `after` asks for pages; then `next` is there while there may be more.
        """
        with self._database.transaction() as connection:
            stored = _require(connection, run, lines=False)
            if after is None:
                lines = list_lines(connection, run, party=party, pool=pool)
            else:
                lines = lines_behind(connection, run, after, party=party, pool=pool, most=limit)
            found = provisional_of(connection, stored.head)
        documents = [one.to_document() for one in lines]
        touched = dict(touched_lines(documents, stored.document["pools"], found))
        return {
            "run": run,
            "currency": stored.document["currency"],
            "bands": stored.document["bands"],
            "lines": [
                {
                    "line": line.line,
                    "pool": line.pool,
                    "party": line.party,
                    "unit": line.unit,
                    "band_energy_wh": line.energy,
                    "amount_minor": line.amount_minor,
                    "trace": line.trace,
                    **({"provisional": touched[place]} if place in touched else {}),
                }
                for place, line in enumerate(lines)
            ],
            **({"next": lines[-1].line} if after is not None and len(lines) == limit else {}),
        }

    def balance(self, run: str) -> dict[str, Any]:
        """Give energy and loss of every node, the cases, and what was not plainly measured."""
        with self._database.transaction() as connection:
            document = _require(connection, run, lines=False).document
        shown = ("balance", "cases", "exceptions", "reconciliation", "taxes", "checks")
        return {"run": run, **{key: document[key] for key in shown if key in document}}

    def changes(
        self, run: str, after: str | None = None, limit: int = Query(CHANGES_MAX, ge=1, le=CHANGES_MAX)
    ) -> dict[str, Any]:
        """List the days that have changed since a run was computed, by node, quantity and day; `after` turns pages."""
        with self._database.transaction() as connection:
            _require(connection, run, lines=False)
            summary = changes_since(connection, run)
            found = list_changes(connection, run, after=read_cursor(after), most=limit)
        more = cursor_of(found[-1].key) if len(found) == limit else None
        return {"run": run, **changes_document(run, summary), "changes": [*map(change_document, found)], "after": more}

    def changes_csv(self, run: str, lang: Language = Language.EN) -> Response:
        """Give the days that have changed since a run was computed for spreadsheets, at most 1,000 rows a call."""
        with self._database.transaction() as connection:
            _require(connection, run, lines=False)
            summary = changes_since(connection, run)
            found = list_changes(connection, run, after=None, most=CHANGES_MAX)
        headers = {"Content-Disposition": f'attachment; filename="changes-{run[:16]}.csv"'}
        octets = changes_table(found, summary, lang).to_csv()
        return Response(octets, media_type="text/csv; charset=utf-8", headers=headers)


def _require(connection: Connection, run: str, *, lines: bool = True) -> StoredRun:
    stored = find_run(connection, run, lines=lines)
    if stored is None:
        raise not_found(f"run {run}", _FIND)
    return stored


def _provisional(connection: Connection, stored: StoredRun) -> dict[str, Any]:
    """Say what the run rests on that nobody has approved, and which lines that touches; nothing where all is."""
    found = provisional_of(connection, stored.head)
    if not found:
        return {}
    lines = stored.document["lines"]
    touched = [
        {"id": lines[at]["id"], "nodes": nodes} for at, nodes in touched_lines(lines, stored.document["pools"], found)
    ]
    return {"provisional": {"bindings": [*map(document, found)], "lines": touched, "mend": _APPROVE}}


def _head(head: RunHead) -> dict[str, Any]:
    return {
        "run": head.run,
        "site": head.site,
        "period": head.period,
        "state": str(head.state),
        "booked_at": head.booked_at.isoformat(),
        "site_version": head.site_version,
        "href": f"{PATH}/{head.run}",
    }


def _summary(connection: Connection, stored: StoredRun) -> dict[str, Any]:
    document = stored.document
    totals = {one.party: one.total_minor for one in party_totals(connection, stored.head.run)}
    return {
        **_head(stored.head),
        "approvable": document["approvable"],
        "currency": document["currency"],
        "pools": [
            {key: pool[key] for key in ("id", "pool_class", "cost_minor", "charged_minor")}
            for pool in document["pools"]
        ],
        "statements": [
            {
                "number": number,
                "party": party,
                "total_minor": totals[party],
                "standing": standing_of(stored.head.state),
                "href": f"/v1/statements/{number}",
            }
            for number, party in numbers_of_run(connection, stored.head.run)
        ],
    }
