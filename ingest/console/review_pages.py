"""The routes of a run's review: what it needs, its lines, the steps it takes through people's hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from allocation_engine.run_state import RunState, RunUnknown
from ingest.access.policy_file import shipped_policy
from ingest.caller import acting
from ingest.console.forms import Form, FormRead
from ingest.console.review_lines import LineRows, difference_table
from ingest.console.review_view import OUTLIERS_SHOWN, ReviewView, state_tone
from ingest.console.review_words import period_words, refusal_word, review_words
from ingest.console.visit import Visit, visit_of
from ingest.console.words import words
from ingest.review.sheet import Asked, LineChange, Only, Order
from ingest.review_desk import Review, ReviewDesk
from ingest.run_words import run_word
from ingest.runs_desk import Act, RunsDesk
from ingest.store.database import Database
from ingest.store.review import line_details
from ingest.store.run_log import corrections_of
from metering.clock import Clock
from metering.errors import BooksError

SECTION = "runs"
CORRECTIONS_SHOWN = 200
_TEXT_MAX = 100
_PERMISSIONS = {"check": "runs.check", "approve": "runs.approve", "publish": "runs.publish", "withdraw": "runs.check"}
"""Which permission each step takes; the table of routes says the same, and is what holds."""


@dataclass(frozen=True, slots=True)
class LinesQuery:
    """What the form above the lines asks for; what is no choice of it counts as nothing."""

    order: str = Order.CHANGE
    only: str = Only.ALL
    pool: str = ""
    text: str = ""
    percent: str = ""
    page: int = 1

    def asked(self) -> Asked:
        """Read it."""
        return Asked(
            order=Order(self.order) if self.order in set(Order) else Order.CHANGE,
            only=Only(self.only) if self.only in set(Only) else Only.ALL,
            pool=self.pool[:_TEXT_MAX],
            text=self.text[:_TEXT_MAX],
            percent_min=int(self.percent) if self.percent.isascii() and self.percent.isdigit() else 0,
            page=self.page,
        )


@dataclass(frozen=True)
class ReviewPages:
    """The handlers, over one store."""

    database: Database
    review: ReviewDesk
    desk: RunsDesk
    clock: Clock

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/runs/{run}/review", self.page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs/{run}/lines", self.lines, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs/{run}/lines.csv", self.lines_csv, methods=["GET"])
        router.add_api_route("/runs/{run}/review/{name}.csv", self.table_csv, methods=["GET"])
        for name, handler in (
            ("check", self.check),
            ("approve", self.approve),
            ("publish", self.publish),
            ("withdraw", self.withdraw),
        ):
            router.add_api_route(f"/runs/{{run}}/{name}", handler, methods=["POST"], response_class=HTMLResponse)
        return router

    def page(self, request: Request, run: str) -> Response:
        """Show what there is to judge about a run."""
        visit = visit_of(request)
        try:
            found = self.review.review(run)
        except RunUnknown:
            return visit.missing()
        return self._page(visit, found)

    def lines(
        self,
        request: Request,
        run: str,
        order: str = "",
        only: str = "",
        pool: str = "",
        text: str = "",
        percent: str = "",
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    ) -> Response:
        """Show lines: a part of a page where a script asks, else a page of its own."""
        visit = visit_of(request)
        query = LinesQuery(order or Order.CHANGE, only or Only.ALL, pool, text, percent, page)
        try:
            content = self._lines(visit, run, query.asked())
        except RunUnknown:
            return visit.missing()
        template = "review_lines.html" if request.headers.get("HX-Request") == "true" else "lines.html"
        return visit.page(template, section=SECTION, word=review_words(visit.language), **content)

    def lines_csv(
        self,
        request: Request,
        run: str,
        order: str = "",
        only: str = "",
        pool: str = "",
        text: str = "",
        percent: str = "",
    ) -> Response:
        """Give all lines of a filter for spreadsheets."""
        visit = visit_of(request)
        asked = LinesQuery(order or Order.RUN, only or Only.ALL, pool, text, percent).asked()
        try:
            rows, found = self._selected(visit, run, asked)
        except RunUnknown:
            return visit.missing()
        return visit.csv(rows.csv(found), f"lines-{run[:16]}.csv")

    def table_csv(self, request: Request, run: str, name: str) -> Response:
        """Give one of the tables of the review for spreadsheets."""
        visit = visit_of(request)
        try:
            found = self.review.review(run)
        except RunUnknown:
            return visit.missing()
        view = ReviewView(found, visit.language, self.clock.now())
        tables: Mapping[str, Callable[[], object]] = {
            "totals": view.totals,
            "pools": view.pools,
            "residuals": view.residuals,
            "outliers": lambda: view.outliers(None),
            "corrections": lambda: self._corrections(visit, found, None),
        }
        made = tables.get(name)
        return visit.missing() if made is None else visit.csv(made(), f"{name}-{run[:16]}.csv")  # type: ignore[arg-type]

    # Steps

    def check(self, request: Request, run: str, form: FormRead) -> Response:
        """Check a run, with the reasons that were typed."""
        return self._step(request, run, form, "check")

    def approve(self, request: Request, run: str, form: FormRead) -> Response:
        """Approve it, as the second person."""
        return self._step(request, run, form, "approve")

    def publish(self, request: Request, run: str, form: FormRead) -> Response:
        """Publish it."""
        return self._step(request, run, form, "publish")

    def withdraw(self, request: Request, run: str, form: FormRead) -> Response:
        """Withdraw it, for a reason."""
        return self._step(request, run, form, "withdraw")

    def _step(self, request: Request, run: str, form: Form, key: str) -> Response:
        """Take a step as who is signed in; what is refused shows the page again with what was typed."""
        visit = visit_of(request)
        typed: dict[str, str] = {}
        try:
            caller = visit.principal.caller
            caller.require_in_person("taking a run on")
            found = self.review.review(run)
            typed = _typed(form, found)
            act = Act(caller.name, self.clock.now(), form.text("reason"))
            with acting(caller):
                if key == "check":
                    self.desk.check(run, act, typed)
                elif key == "approve":
                    self.desk.approve(run, act, typed)
                elif key == "publish":
                    self.desk.publish(run, act)
                else:
                    self.desk.withdraw(run, act)
        except RunUnknown:
            return visit.missing()
        except BooksError as error:
            found = self.review.review(run)
            return self._page(visit, found, HTTPStatus.CONFLICT, error, typed, form.text("reason"))
        return visit.redirect(f"/runs/{run}/review", told=key)

    # What pages are made of

    def _page(
        self,
        visit: Visit,
        found: Review,
        status: HTTPStatus = HTTPStatus.OK,
        fault: BooksError | None = None,
        typed: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> Response:
        view = ReviewView(found, visit.language, self.clock.now())
        word = {**words(visit.language), **review_words(visit.language)}
        head = found.head
        key = {RunState.COMPUTED: "check", RunState.CHECKED: "approve", RunState.APPROVED: "publish"}.get(
            head.state, ""
        )
        who = visit.who
        step = view.step(who, bool(key) and _may(visit, key, head.site), _roles(key, visit))
        return visit.page(
            "review.html",
            status,
            section=SECTION,
            word=word,
            site=head.site,
            head_run=head,
            view=view,
            step=step,
            state_word=word[f"state-{head.state}"],
            state_tone=state_tone(head.state),
            findings=view.findings(typed or {}),
            reasons_open=step.key in ("check", "approve") and step.may,
            can_withdraw=view.can_be_withdrawn and bool(who) and _may(visit, "withdraw", head.site),
            may_try=_may_permission(visit, "runs.try", head.site),
            fault="" if fault is None else word[refusal_word(fault)],
            fault_text="" if fault is None else str(fault),
            typed_reason=reason,
            outliers_count=len(found.outliers),
            outliers_more=len(found.outliers) > OUTLIERS_SHOWN,
            corrections=self._corrections(visit, found, CORRECTIONS_SHOWN),
            zone=found.kept.document["zone"],
            rivals=[
                (one.run, word[f"state-{one.state}"], state_tone(one.state), f"{one.created_at:%Y-%m-%d}")
                for one in found.rivals
            ],
            **self._lines(visit, head.run, Asked()),
        )

    def _corrections(self, visit: Visit, found: Review, most: int | None) -> object:
        with self.database.transaction() as connection:
            lines = [one.line for one in corrections_of(connection, found.head.run, None)]
        return difference_table(lines[:most], found.kept, visit.language, lambda cause: run_word(cause, visit.language))

    def _selected(self, visit: Visit, run: str, asked: Asked) -> tuple[LineRows, list[LineChange]]:
        _, kept, outliers, touched = self.review.lines(run)
        numbers = frozenset(one.line.number for one in outliers if one.line.number is not None)
        found = kept.sheet.select(asked, visit.language, outliers=numbers, provisional=touched)
        return LineRows(kept, visit.language, numbers, touched), found

    def _lines(self, visit: Visit, run: str, asked: Asked) -> dict[str, Any]:
        head, kept, outliers, touched = self.review.lines(run)
        numbers = frozenset(one.line.number for one in outliers if one.line.number is not None)
        found = kept.sheet.select(asked, visit.language, outliers=numbers, provisional=touched)
        page = kept.sheet.page(asked, found)
        rows = LineRows(kept, visit.language, numbers, touched)
        with self.database.transaction() as connection:
            wanted = [line.number for line in page.lines if line.number is not None]
            details = line_details(connection, run, wanted)
        energies = {number: sum(detail.energy_wh) for number, detail in details.items()}
        query = {
            "order": asked.order,
            "only": asked.only,
            "pool": asked.pool,
            "text": asked.text,
            "percent": str(asked.percent_min or ""),
        }
        word = review_words(visit.language)

        def href(path: str = f"/runs/{run}/lines", **changes: str) -> str:
            parts = {name: text for name, text in {**query, **changes}.items() if text}
            return f"{path}?{urlencode(parts)}"

        return {
            "run_head": head,
            "period": period_words(head.period),
            "run": run,
            "asked": asked,
            "before_period": period_words(kept.sheet.before_period),
            "line_rows": [
                rows.row(line, energies.get(-1 if line.number is None else line.number)) for line in page.lines
            ],
            "line_page": page,
            "line_pools": rows.pools,
            "orders": [(str(one), word[f"order-{one}"]) for one in Order],
            "onlys": [(str(one), word[f"only-{one}"]) for one in Only],
            "line_href": href,
            "lines_csv": href(f"/runs/{run}/lines.csv"),
            "line_earlier": href(page=str(page.page - 1)) if page.page > 1 else "",
            "line_later": href(page=str(page.page + 1)) if page.page < page.pages else "",
            "line_sum": rows.money(page.amount_minor),
        }


def _typed(form: Form, found: Review) -> dict[str, str]:
    """Read the reasons of a form: each stands under the place of its finding."""
    reasons = ((subject, form.text(f"reason-{place}")) for place, subject in enumerate(found.kept.findings))
    return {subject: reason for subject, reason in reasons if reason}


def _may(visit: Visit, key: str, site: str) -> bool:
    return _may_permission(visit, _PERMISSIONS[key], site)


def _may_permission(visit: Visit, permission: str, site: str) -> bool:
    principal = visit.principal
    return principal is not None and principal.viewing_as is None and shipped_policy().may(principal, permission, site)


def _roles(key: str, visit: Visit) -> str:
    """Name the roles that may take a step."""
    if not key:
        return ""
    policy, word = shipped_policy(), words(visit.language)
    named = sorted(policy.permissions[_PERMISSIONS[key]])
    return ("、" if visit.language == "zh" else ", ").join(word.get(f"role-{one}", one) for one in named)
