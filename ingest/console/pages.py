"""The console's routes: the newest run on the first page, each run on its own, in the language of the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from allocation_engine.rules import Rules
from allocation_engine.rules_file import rules_from_document
from ingest.access.policy_file import shipped_policy
from ingest.console.assets import asset_router
from ingest.console.rendering import local_time
from ingest.console.run_tables import SHOWN, RunTables
from ingest.console.tables import Table, number_cell, table, words_cell
from ingest.console.view import RunReader
from ingest.console.visit import Visit, visit_of
from ingest.console.words import Language, words
from ingest.period_inputs import site_names
from ingest.provisional import provisional_of, touched_lines
from ingest.provisional_words import provisional_table, provisional_word
from ingest.settlement_words import changes_table
from ingest.store.database import Connection, Database
from ingest.store.gateways import GatewayState, gateway_states
from ingest.store.run_changes import changes_since, list_changes
from ingest.store.runs import StoredRun, find_run, list_runs
from ingest.store.sites import SiteVersion, newest_versions, site_version
from ingest.store.statements import numbers_of_run
from metering.errors import DocumentError
from metering.interval import SiteCalendar

CHANGES_SHOWN = 100
"""Changed days on the page of a run; more are in the API."""
REFRESH_S = 5
"""How often a page that waits for its first run looks again."""


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One gateway on the page."""

    gateway: str
    last_mark: str
    contiguous_seq: int
    envelopes: int
    quarantined: int


class Console:
    """Renders pages from the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/", self.first_page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs/{run}", self.run_page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs/{run}/tables/{name}.csv", self.csv, methods=["GET"])
        router.add_api_route("/gateways.csv", self.gateways_csv, methods=["GET"])
        router.include_router(asset_router())
        return router

    def first_page(self, request: Request) -> Response:
        """Show the newest run, or what is being waited for."""
        visit = visit_of(request)
        with self._database.transaction() as connection:
            newest = list_runs(connection, site=None, period=None, most=1)
            stored = find_run(connection, newest[0].run) if newest else None
            if stored is not None:
                return self._run(connection, stored, visit)
            sites = newest_versions(connection)
            site = sites[0].site if sites else None
            gateways = _gateways(gateway_states(connection), SiteCalendar("UTC") if site is None else site.calendar)
        name = site.names.of(visit.language) if site else ""
        return visit.page("waiting.html", section="runs", site_name=name, refresh_s=REFRESH_S, gateways=gateways)

    def run_page(self, request: Request, run: str) -> Response:
        """Show one run."""
        visit = visit_of(request)
        with self._database.transaction() as connection:
            stored = find_run(connection, run)
            return visit.missing() if stored is None else self._run(connection, stored, visit)

    def csv(self, request: Request, run: str, name: str) -> Response:
        """Give one table of a run for spreadsheets."""
        visit = visit_of(request)
        with self._database.transaction() as connection:
            stored = find_run(connection, run)
            found = None if stored is None else self._tables(connection, stored, visit.language).get(name)
        return visit.missing() if found is None else visit.csv(found, f"{name}-{run[:16]}.csv")

    def gateways_csv(self, request: Request) -> Response:
        """Give how far each gateway has come, for spreadsheets; instants in UTC."""
        visit = visit_of(request)
        with self._database.transaction() as connection:
            found = _gateways(gateway_states(connection), SiteCalendar("UTC"))
        return visit.csv(_gateway_table(found, visit.language), "gateways.csv")

    def _tables(self, connection: Connection, stored: StoredRun, language: Language) -> dict[str, Table]:
        version = site_version(connection, stored.head.site, stored.head.site_version)
        statements = numbers_of_run(connection, stored.head.run)
        rules = _rules_of(version)
        tables = RunTables(version.site, rules, stored.document, language, statements).all()
        found = provisional_of(connection, stored.head)
        if found:
            touched = self._touched(connection, stored)
            told = partial(local_time, calendar=version.site.calendar)
            tables["provisional"] = provisional_table(found, len(touched), language, told)
        changed = changes_since(connection, stored.head.run)
        if changed.entries:
            entries = list_changes(connection, stored.head.run, after=None, most=CHANGES_SHOWN)
            told = partial(local_time, calendar=version.site.calendar)
            tables["changed"] = changes_table(entries, changed, language, told)
        return tables

    def _touched(self, connection: Connection, stored: StoredRun) -> frozenset[str]:
        """Give the lines that rest on something nobody has approved."""
        lines, pools = stored.document.get("lines", ()), stored.document["pools"]
        found = provisional_of(connection, stored.head)
        return frozenset(lines[place]["id"] for place, _ in touched_lines(lines, pools, found))

    def _run(self, connection: Connection, stored: StoredRun, visit: Visit) -> Response:
        head, language = stored.head, visit.language
        site = site_version(connection, head.site, head.site_version).site
        statements = numbers_of_run(connection, head.run)
        view = RunReader(site, stored.document, language, self._touched(connection, stored)).read(
            booked_at=head.booked_at, statements=statements, state=head.state
        )
        return visit.page(
            "run.html",
            section="runs",
            site=head.site,
            site_name=site.names.of(language),
            view=view,
            tables=self._tables(connection, stored, language),
            shown=("provisional", "changed", *SHOWN),
            provisional_word=provisional_word("mark", language),
            may_review=shipped_policy().may(visit.principal, "pages.review", head.site),
            site_id=site.id,
            chart_span=_chart_span(stored, site.calendar, language),
            gateways=_gateways(gateway_states(connection), site.calendar),
        )


def _chart_span(stored: StoredRun, calendar: SiteCalendar, language: Language) -> str:
    """Give what a chart of the run's period is asked by."""
    period = stored.document["period"]
    first, end = (calendar.local(datetime.fromisoformat(period[side])).date() for side in ("start", "end"))
    return urlencode({"from": first, "to": end, "lang": language})


def _gateway_table(rows: Sequence[GatewayRow], language: Language) -> Table:
    word = words(language)
    names = ("gateway", "last-mark", "contiguous", "held-envelopes", "quarantined")
    cells = (
        [
            words_cell(row.gateway),
            words_cell(row.last_mark),
            *(number_cell(one, 0) for one in (row.contiguous_seq, row.envelopes, row.quarantined)),
        ]
        for row in rows
    )
    return table("gateways", word["gateways"], (word[one] for one in names), cells)


def _rules_of(version: SiteVersion) -> Rules | None:
    """Read the rules of a version; None where they were written for an older program and are refused today."""
    try:
        return rules_from_document(version.rules, site_names(version.site))
    except DocumentError:
        return None


def _gateways(progress: Sequence[GatewayState], calendar: SiteCalendar) -> tuple[GatewayRow, ...]:
    return tuple(
        GatewayRow(
            gateway=row.gateway,
            last_mark="–" if row.newest_mark is None else local_time(row.newest_mark, calendar),
            contiguous_seq=row.contiguous_seq,
            envelopes=row.envelopes,
            quarantined=row.refused,
        )
        for row in progress
    )
