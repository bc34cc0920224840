"""The routes of the pages that show a site's rules: pools, coefficients, tariffs, calendar, series, leases, history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.console.rules_view import (
    calendar_tables,
    formula_of,
    history_table,
    leases_table,
    method_text,
    numbers_table,
    part_history,
    pool_items,
    pools_table,
    rates_table,
    spans_table,
    steps_content,
    tariff_content,
    times_table,
)
from ingest.console.series_table import series_content, series_table
from ingest.console.tables import Table
from ingest.console.visit import Visit, visit_of
from ingest.rulebook.desk import Ground, RuleDesk, written_by_others
from ingest.rulebook.history import history_of
from ingest.rulebook.parts import read_part
from ingest.rulebook.told import overdue
from ingest.rulebook_words import rules_words
from ingest.store.rule_drafts import DraftState, list_drafts
from metering.clock import Clock
from metering.errors import DocumentError
from metering.identity import SiteId

PATH = "/rules/{site}"
SECTION = "rules"
TABS = ("pools", "coefficients", "tariffs", "calendar", "series", "leases", "history")


class RulesPages:
    """The handlers, over one desk."""

    def __init__(self, desk: RuleDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        get = partial(router.add_api_route, methods=["GET"], response_class=HTMLResponse)
        get("/rules", self.first)
        get(PATH, self.pools)
        get(f"{PATH}/pools/{{pool}}", self.pool)
        get(f"{PATH}/coefficients", self.coefficients)
        get(f"{PATH}/coefficients/{{name}}", self.numbers)
        get(f"{PATH}/tariffs", self.tariffs)
        get(f"{PATH}/calendar", self.calendar)
        get(f"{PATH}/series", self.series)
        get(f"{PATH}/series/{{name}}", self.one_series)
        get(f"{PATH}/leases", self.leases)
        get(f"{PATH}/history", self.history)
        for name, handler in (
            ("pools", self.pools_csv),
            ("coefficients", self.coefficients_csv),
            ("tariffs", self.tariffs_csv),
        ):
            get(f"{PATH}/{name}.csv", handler)
        get(f"{PATH}/series/{{name}}/days.csv", self.series_csv)
        get(f"{PATH}/coefficients/{{name}}/numbers.csv", self.numbers_csv)
        get(f"{PATH}/leases.csv", self.leases_csv)
        get(f"{PATH}/history.csv", self.history_csv)
        return router

    def first(self, request: Request) -> Response:
        """Lead to the rules of the chosen site, or say that there is none."""
        visit = visit_of(request)
        if visit.one_site is None:
            return visit.page("rules_none.html", section=SECTION, word=rules_words(visit.language))
        return visit.redirect(f"/rules/{visit.one_site}")

    def pools(self, request: Request, site: str) -> Response:
        """Show what is in force: pools with their methods; drafts that wait; what is overdue for review."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any]:
            today = self._today(ground)
            with self._desk.database.transaction() as connection:
                drafts = list_drafts(connection, SiteId(site))
                steps = history_of(connection, SiteId(site), 1)
            return {
                "table": pools_table(ground.rules, today, visit.language, ground.version.site),
                "links": [f"/rules/{site}/pools/{pool.id}" for pool in ground.rules.pools],
                "drafts": [one for one in drafts if not one.state.is_over],
                "ended": [one for one in drafts if one.state.is_over][:10],
                "for_you": len(written_by_others(drafts, visit.who)) if visit.who else 0,
                "overdue": overdue(ground.books, today, visit.language),
                "step": steps[0],
            }

        return self._page(request, site, "rules.html", "pools", content)

    def pool(self, request: Request, site: str, pool: str) -> Response:
        """Show one pool: its formula, why it conserves, everything that is written about it, and its history."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any] | None:
            written = read_part(ground.books, f"pool/{pool}")
            found = next((one for one in ground.rules.pools if one.id == pool), None)
            if written is None or found is None:
                return None
            formula, place = formula_of(found), 1 if visit.language == "zh" else 0
            return {
                "pool": written,
                "method": method_text(written, ground.rules.formulas.vocabulary, visit.language),
                "proof": [] if formula is None else [one[place] for one in formula.proof],
                "items": pool_items(written, ground.rules, ground.version.site, visit.language),
                "is_overdue": found.review_by is not None and found.review_by <= self._today(ground),
                "can_compose": written["rule"] in ("formula", "area"),
            }

        return self._part(request, site, "rules_pool.html", f"pool/{pool}", content)

    def coefficients(self, request: Request, site: str) -> Response:
        """Show the tables of coefficients, and the coefficients that pools carry themselves."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any]:
            today = self._today(ground)
            return {
                "table": numbers_table(ground.rules, today, visit.language),
                "links": [f"/rules/{site}/coefficients/{name}" for name in ground.rules.formulas.numbers],
                "times": times_table(ground.rules, today, visit.language),
                "overdue": overdue(ground.books, today, visit.language),
            }

        return self._page(request, site, "rules_coefficients.html", "coefficients", content)

    def numbers(self, request: Request, site: str, name: str) -> Response:
        """Show one table of coefficients with the days each number holds, and its history."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any] | None:
            found = ground.rules.formulas.numbers.get(name)
            if found is None:
                return None
            return {
                "numbers": found,
                "name": dict(found.names).get(visit.language, name),
                "table": spans_table(found, _unit_names(ground, visit.language), visit.language),
                "is_overdue": found.review_by is not None and found.review_by <= self._today(ground),
            }

        return self._part(request, site, "rules_numbers.html", f"numbers/{name}", content)

    def tariffs(self, request: Request, site: str) -> Response:
        """Show every tariff with its versions, rates and hours."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any]:
            today = self._today(ground)
            prices = ground.rules.prices
            return {
                "tariffs": [tariff_content(one, visit.language, today) for one in prices.tariffs],
                "currency": prices.main.currency,
            }

        return self._page(request, site, "rules_tariffs.html", "tariffs", content)

    def calendar(self, request: Request, site: str) -> Response:
        """Show the holidays by which tariffs go."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any]:
            used = {one.calendar.id: one.calendar for one in ground.rules.prices.tariffs if one.calendar is not None}
            return {"tables": calendar_tables(used.values(), visit.language), "zone": ground.version.site.calendar.zone}

        return self._page(request, site, "rules_calendar.html", "calendar", content)

    def series(self, request: Request, site: str) -> Response:
        """Show the imported series with their sources."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any]:
            return {
                "table": series_table(ground.rules.series, visit.language),
                "links": [f"/rules/{site}/series/{one.name}" for one in ground.rules.series],
            }

        return self._page(request, site, "rules_series.html", "series", content)

    def one_series(self, request: Request, site: str, name: str) -> Response:
        """Show one series: its curve, its source, the days that are missing."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any] | None:
            found = next((one for one in ground.rules.series if one.name == name), None)
            if found is None:
                return None
            word = ground.rules.formulas.vocabulary.word(name, visit.language)
            return {"name": word, "key": name, **series_content(found, visit.language)}

        return self._part(request, site, "rules_one_series.html", f"series/{name}", content)

    def leases(self, request: Request, site: str) -> Response:
        """Show units and leases as far as costs are divided by them."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any]:
            return {"table": leases_table(ground.version.site, visit.language)}

        return self._page(request, site, "rules_leases.html", "leases", content)

    def history(self, request: Request, site: str) -> Response:
        """Show who changed what when."""

        def content(visit: Visit, ground: Ground) -> dict[str, Any]:
            with self._desk.database.transaction() as connection:
                steps = history_of(connection, SiteId(site))
            return {"steps": steps_content(steps, ground.rules, visit.language, ground.version.site.calendar)}

        return self._page(request, site, "rules_history.html", "history", content)

    def pools_csv(self, request: Request, site: str) -> Response:
        """Give the pools for spreadsheets."""
        return self._csv(
            request,
            site,
            "pools",
            lambda visit, ground: pools_table(ground.rules, self._today(ground), visit.language, ground.version.site),
        )

    def coefficients_csv(self, request: Request, site: str) -> Response:
        """Give the list of coefficients for spreadsheets."""
        return self._csv(
            request,
            site,
            "coefficients",
            lambda visit, ground: numbers_table(ground.rules, self._today(ground), visit.language),
        )

    def tariffs_csv(self, request: Request, site: str) -> Response:
        """Give every rate of every version for spreadsheets."""
        return self._csv(
            request, site, "tariffs", lambda visit, ground: rates_table(ground.rules.prices.tariffs, visit.language)
        )

    def numbers_csv(self, request: Request, site: str, name: str) -> Response:
        """Give one table of coefficients for spreadsheets."""

        def build(visit: Visit, ground: Ground) -> Table | None:
            found = ground.rules.formulas.numbers.get(name)
            return None if found is None else spans_table(found, _unit_names(ground, visit.language), visit.language)

        return self._csv(request, site, name, build)

    def series_csv(self, request: Request, site: str, name: str) -> Response:
        """Give the days of one series for spreadsheets."""

        def build(visit: Visit, ground: Ground) -> Table | None:
            found = next((one for one in ground.rules.series if one.name == name), None)
            return None if found is None else series_content(found, visit.language)["table"]

        return self._csv(request, site, name, build)

    def leases_csv(self, request: Request, site: str) -> Response:
        """Give units and leases for spreadsheets."""
        return self._csv(
            request, site, "leases", lambda visit, ground: leases_table(ground.version.site, visit.language)
        )

    def history_csv(self, request: Request, site: str) -> Response:
        """Give the history for spreadsheets."""
        return self._csv(request, site, "history", self._history)

    def _history(self, visit: Visit, ground: Ground) -> Table:
        with self._desk.database.transaction() as connection:
            steps = history_of(connection, ground.version.site.id)
        return history_table(steps, ground.rules.formulas.vocabulary, visit.language, ground.version.site.calendar)

    def _part(
        self,
        request: Request,
        site: str,
        template: str,
        part: str,
        content: Callable[[Visit, Ground], dict[str, Any] | None],
    ) -> Response:
        """Show one part of the rules with its history; None: there is no such part."""
        visit = visit_of(request)
        ground = self._desk.ground(SiteId(site))
        shown = content(visit, ground)
        if shown is None:
            return visit.missing()
        with self._desk.database.transaction() as connection:
            steps = history_of(connection, SiteId(site))
        vocabulary, language = ground.rules.formulas.vocabulary, visit.language
        return visit.page(
            template,
            section=SECTION,
            word=rules_words(language),
            site=SiteId(site),
            site_id=site,
            **shown,
            history=part_history(steps, part, vocabulary, language, ground.version.site.calendar),
        )

    def _page(
        self,
        request: Request,
        site: str,
        template: str,
        tab: str,
        content: Callable[[Visit, Ground], dict[str, Any]],
    ) -> Response:
        visit = visit_of(request)
        word = rules_words(visit.language)
        try:
            ground = self._desk.ground(SiteId(site))
        except DocumentError:
            return visit.page("rules_unreadable.html", section=SECTION, word=word, site=SiteId(site))
        ways = [
            (word[f"tab-{one}"], f"/rules/{site}" + ("" if one == "pools" else f"/{one}"), one == tab) for one in TABS
        ]
        shown = content(visit, ground)
        return visit.page(
            template,
            section=SECTION,
            word=word,
            site=SiteId(site),
            site_id=site,
            rule_tabs=ways,
            csv=f"/rules/{site}/{tab}.csv",
            state_tone=STATE_TONE,
            **shown,
        )

    def _csv(self, request: Request, site: str, name: str, build: Callable[[Visit, Ground], Table | None]) -> Response:
        visit = visit_of(request)
        found = build(visit, self._desk.ground(SiteId(site)))
        return visit.missing() if found is None else visit.csv(found, f"{name}-{site}.csv")

    def _today(self, ground: Ground) -> date:
        return ground.version.site.calendar.local(self._clock.now()).date()


STATE_TONE = {
    DraftState.OPEN: "info",
    DraftState.HANDED_IN: "warn",
    DraftState.RELEASED: "good",
    DraftState.WITHDRAWN: "plain",
}


def _unit_names(ground: Ground, language: str) -> dict[str, str]:
    return {str(unit.id): unit.names.of(language) for unit in ground.version.site.units}
