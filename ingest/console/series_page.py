"""The routes of a metering point's page: its chart, the ways to another span, grain or node, the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from device_profiles.catalogue import Catalogue
from device_profiles.profile import ChannelKind
from ingest.console.series_view import Navigation, SeriesView, fitting, page_view, span_of, with_chart
from ingest.console.visit import Visit, visit_of
from ingest.series.reader import Question, SeriesRefused, find_site, node_quantities, read_series, read_span
from ingest.series.registers import Quantity
from ingest.series.sums import Per
from ingest.series_words import series_words
from ingest.store.database import Connection, Database
from ingest.store.hand_readings import HandReading, list_hand_readings
from ingest.store.series import newest_settled_day
from metering.errors import MeteringError
from metering.identity import NodeId, SiteId
from metering.obis import Obis
from provisioning.site import NodeKind, Site

LOOKS = 200
"""Readings of people that are marked, of each meter."""
POINTS = 900
"""About one for each pixel of the broad picture."""
DEFAULT_DAY = date(2026, 1, 1)
"""Where the page begins when nothing is settled yet."""


@dataclass(frozen=True, slots=True)
class SeriesPages:
    """The handlers, over one store."""

    database: Database
    catalogue: Catalogue

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/series", self.first, methods=["GET"])
        router.add_api_route("/series/{site}", self.first, methods=["GET"])
        router.add_api_route("/series/{site}/{node}", self.page, methods=["GET"], response_class=HTMLResponse)
        return router

    def first(self, request: Request, site: str | None = None) -> Response:
        """Lead to the main meter."""
        visit = visit_of(request)
        try:
            with self.database.transaction() as connection:
                found = find_site(connection, None if site is None else SiteId(site))
        except MeteringError as error:
            return self._plain(error, visit)
        mains = [node.id for node in found.nodes if node.kind is NodeKind.MAIN] or [node.id for node in found.nodes]
        return RedirectResponse(
            f"/series/{quote(found.id)}/{quote(mains[0])}?lang={visit.language}", HTTPStatus.SEE_OTHER
        )

    def page(
        self,
        request: Request,
        site: str,
        node: str,
        obis: str | None = None,
        start: Annotated[str | None, Query(alias="from")] = None,
        end: Annotated[str | None, Query(alias="to")] = None,
        per: Per | None = None,
    ) -> Response:
        """Show one node."""
        visit = visit_of(request)
        language = visit.language
        with self.database.transaction() as connection:
            try:
                found = find_site(connection, SiteId(site))
                known = node_quantities(self.catalogue, found, NodeId(node))
                first, last = self._days(connection, found, NodeId(node), start, end)
            except MeteringError as error:
                return self._plain(error, visit)
            chosen = obis or (str(known[0].obis) if known else "")
            grain = _grain(known, chosen, per or fitting(first, last))
            ways = Navigation(found, NodeId(node), language, chosen, first, last, grain)
            view = self._view(connection, ways, known)
        return visit.page(
            "series.html",
            section="sites",
            word=series_words(language),
            site=found.id,
            site_name=found.names.of(language),
            view=view,
            switch_href=ways.href(lang=language.other),
        )

    def _days(
        self, connection: Connection, site: Site, node: NodeId, start: str | None, end: str | None
    ) -> tuple[date, date]:
        """Read the span in whole days; the month of the newest settled day if none is given."""
        if start is None or end is None:
            return span_of("month", newest_settled_day(connection, site.id, node) or DEFAULT_DAY)
        span = read_span(start, end, site.calendar)
        days = site.calendar.days(span)
        return days[0], days[-1] + timedelta(days=1)

    def _view(self, connection: Connection, ways: Navigation, known: tuple[Quantity, ...]) -> SeriesView:
        page = page_view(ways, known)
        if not known:
            return page
        try:
            question = Question(
                node=ways.node,
                start=str(ways.first),
                end=str(ways.end),
                site=ways.site.id,
                obis=Obis.parse(ways.obis),
                per=ways.per,
                most=POINTS,
            )
            series = read_series(connection, self.catalogue, question)
            return with_chart(page, series, ways, _looks(connection, ways))
        except SeriesRefused as error:
            problem, mend = error.told(ways.language)
            return replace(page, problem=problem, mend=mend)
        except MeteringError as error:
            return replace(page, problem=str(error))

    def _plain(self, error: MeteringError, visit: Visit) -> Response:
        return visit.missing(": ".join(error.told(visit.language)) if isinstance(error, SeriesRefused) else str(error))


def _looks(connection: Connection, ways: Navigation) -> Iterator[HandReading]:
    """Give what people read at the node of the quantity shown."""
    for meter in ways.site.meters_at(ways.node):
        for one in list_hand_readings(connection, site=ways.site.id, meter=meter.id, most=LOOKS):
            if str(one.obis) == ways.obis:
                yield one


def _grain(known: tuple[Quantity, ...], obis: str, per: Per) -> Per:
    is_gauge = any(str(one.obis) == obis and one.kind is ChannelKind.GAUGE for one in known)
    return Per.SLOT if is_gauge else per
