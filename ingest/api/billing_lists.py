"""Lists and explanations beside the feed: statements, residuals, and how each line came about."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from ingest.api.admission import Asking
from ingest.api.problems import not_found
from ingest.api.statements import standing_of
from ingest.billing.forms import instant
from ingest.explanation import Explanation
from ingest.statement_desk import view_of
from ingest.statement_states import StatementUnknown
from ingest.store.billing_lists import WantedStatements, list_statements, residuals_of
from ingest.store.database import Database
from ingest.store.runs import find_run

LIMIT, LIMIT_MAX = 100, 1000
_FIND = "GET /v1/statements lists them"
Name = Annotated[str | None, Query(max_length=200)]


class BillingLists:
    """The handlers, over one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1", tags=["billing"])
        router.add_api_route("/statements", self.statements, methods=["GET"])
        router.add_api_route("/statements/{number}/explanation", self.explanation, methods=["GET"])
        router.add_api_route("/allocation-runs/{run}/residuals", self.residuals, methods=["GET"])
        return router

    def statements(
        self,
        who: Asking,
        run: Name = None,
        site: Name = None,
        period: Name = None,
        party: Name = None,
        after: Annotated[str, Query(max_length=200, description="`next` of the page before")] = "",
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
    ) -> dict[str, Any]:
        """List statements by number, each with what became of it; `next` is null on the last page."""
        sites = None if who.sites is None else tuple(sorted(who.sites))
        wanted = WantedStatements(sites, run, site, period, party)
        with self._database.transaction() as connection:
            found = list_statements(connection, wanted, after, limit + 1)
        following = found[limit - 1].number if len(found) > limit else None
        listed = [
            {
                "number": one.number,
                "run": one.run,
                "site": one.site,
                "period": one.period,
                "party": one.party,
                "total_minor": one.total_minor,
                "currency": one.currency,
                "standing": standing_of(one.run_state),
                "state": one.state,
                "issued_at": instant(one.issued_at),
                "href": f"/v1/statements/{one.number}",
            }
            for one in found[:limit]
        ]
        return {"statements": listed, "next": following}

    def explanation(
        self, number: str, line: Name = None, lang: Literal["zh", "en"] = "en", all_spans: bool = False
    ) -> dict[str, Any]:
        """Say how each line of a statement came about (or one), step by step, from nothing but what was signed."""
        with self._database.transaction() as connection:
            try:
                content = view_of(connection, number).content
            except StatementUnknown as error:
                raise not_found(f"statement {number}", _FIND) from error
        told = Explanation(content, lang, all_spans=all_spans)
        lines = [one for one in content.lines if line in (None, one.id)]
        if not lines:
            raise not_found(f"line {line} of statement {number}", "leave `line` out to see all")
        return {
            "statement": number,
            "lines": [
                {
                    "line": one.id,
                    "amount_minor": one.amount_minor,
                    "steps": [{"depth": step.depth, "text": step.text} for step in told.steps(one)],
                }
                for one in lines
            ],
        }

    def residuals(self, run: str) -> dict[str, Any]:
        """Say of each pool what it cost, what was charged, and what stays with whom."""
        with self._database.transaction() as connection:
            stored = find_run(connection, run, lines=False)
            if stored is None:
                raise not_found(f"run {run}", "GET /v1/allocation-runs lists the runs")
            bearers = residuals_of(connection, run)
        return {
            "run": run,
            "currency": stored.document["currency"],
            "pools": [
                {
                    "pool": pool["id"],
                    "class": pool["pool_class"],
                    "cost_minor": pool["cost_minor"],
                    "charged_minor": pool["charged_minor"],
                    "residual_minor": pool["cost_minor"] - pool["charged_minor"],
                    "borne_by": [
                        {"party": party, "amount_minor": amount} for party, amount in bearers.get(pool["id"], ())
                    ],
                }
                for pool in stored.document["pools"]
            ],
        }
