"""The routes of the pages about sites: all of them, and one with its flows, its balance and its map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from allocation_engine.run_state import RunState
from ingest.console.answers import HERE, OWN, content_policy
from ingest.console.flows import drawing
from ingest.console.rendering import kwh_short, percent
from ingest.console.site_map import site_map
from ingest.console.site_view import SiteBalance, curve_href, hung_meters, places_table
from ingest.console.tables import number_cell, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.site_words import site_words
from ingest.store.database import Connection, Database
from ingest.store.runs import LIST_MAX, RunHead, StoredRun, find_run, list_runs
from ingest.store.sites import newest_version, site_version
from metering.identity import NodeId, SiteId
from provisioning.site import Site

_COUNTS = {state: rank for rank, state in enumerate((RunState.PUBLISHED, RunState.APPROVED, RunState.CHECKED))}
"""Of several runs of a period the one that has come furthest is shown."""


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A site as a page shows it: as it is now, and the run of the period that was chosen."""

    site: Site
    runs: tuple[RunHead, ...]
    stored: StoredRun | None
    balance: SiteBalance | None


@dataclass(frozen=True, slots=True)
class SitePages:
    """The handlers, over one store. `map_tiles`: address of a tile server with {z}, {x}, {y}; empty: none is asked."""

    database: Database
    map_tiles: str = ""

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/sites", self.overview, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/sites.csv", self.overview_csv, methods=["GET"])
        router.add_api_route("/sites/{site}", self.page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/sites/{site}/balance.csv", self.balance_csv, methods=["GET"])
        router.add_api_route("/sites/{site}/places.csv", self.places_csv, methods=["GET"])
        return router

    def overview(self, request: Request) -> Response:
        """Show every site this reader may see."""
        visit = visit_of(request)
        return visit.page("sites.html", section="sites", word=site_words(visit.language), cards=self._cards(visit))

    def overview_csv(self, request: Request) -> Response:
        """Give the list for spreadsheets."""
        visit = visit_of(request)
        word, cards = site_words(visit.language), self._cards(visit)
        rows = (
            [
                words_cell(one["id"]),
                words_cell(one["name"]),
                words_cell(one["period"]),
                number_cell(one["net_wh"], 3),
                number_cell(one["loss_wh"], 3),
                number_cell(one["outside"], 0),
                number_cell(one["meters"], 0),
            ]
            for one in cards
        )
        names = ("id", "site", "period", "net", "loss-kwh", "outside", "meters")
        return visit.csv(table("sites", word["sites"], (word[name] for name in names), rows), "sites.csv")

    def page(self, request: Request, site: str, period: str = "", below: str = "") -> Response:
        """Show one site: of the newest period, or of the one asked for; whole, or below one node."""
        visit = visit_of(request)
        with self.database.transaction() as connection:
            found = _site_file(connection, visit, SiteId(site), period)
        if found is None:
            return visit.missing()
        word, language = site_words(visit.language), visit.language
        chosen = _node(found.site, below)
        outlines = tuple((node.names.of(language), node.outline) for node in found.site.nodes if node.outline)
        meters = hung_meters(found.site, found.balance, language)
        balance = found.balance
        answer = visit.page(
            "site.html",
            section="sites",
            site=found.site.id,
            word=word,
            found=found,
            period="" if found.stored is None else found.stored.head.period,
            periods=[(one.period, one.period) for one in found.runs],
            tiles=() if balance is None else tuple(balance.tiles()),
            picture=None if balance is None else drawing(balance.branches(chosen), word["more"]),
            crumbs=self._crumbs(visit, found, chosen),
            node_href=lambda node: visit.here(below=node),
            curve_href=lambda node: curve_href(found.site.id, node),
            balance=None if balance is None else balance.table(),
            balance_links=() if balance is None else [curve_href(found.site.id, node) for node in balance.nodes()],
            csv=f"/sites/{quote(site)}/balance.csv?{urlencode({'period': period})}",
            site_map=site_map(outlines, meters, self.map_tiles),
            has_tiles=bool(self.map_tiles),
        )
        return self._with_tiles(answer)

    def balance_csv(self, request: Request, site: str, period: str = "") -> Response:
        """Give the balance of a period for spreadsheets."""
        visit = visit_of(request)
        with self.database.transaction() as connection:
            found = _site_file(connection, visit, SiteId(site), period)
        if found is None or found.balance is None or found.stored is None:
            return visit.missing()
        return visit.csv(found.balance.table(), f"balance-{site}-{found.stored.head.period}.csv")

    def places_csv(self, request: Request, site: str) -> Response:
        """Give the places of the meters for spreadsheets and other maps."""
        visit = visit_of(request)
        with self.database.transaction() as connection:
            newest = newest_version(connection, SiteId(site))
        if newest is None:
            return visit.missing()
        return visit.csv(places_table(newest.site, visit.language), f"places-{site}.csv")

    def _cards(self, visit: Visit) -> Sequence[dict[str, Any]]:
        with self.database.transaction() as connection:
            found = [_site_file(connection, visit, site, "") for site, _ in visit.sites]
        return [self._card(one, visit) for one in found if one is not None]

    def _card(self, found: SiteFile, visit: Visit) -> dict[str, Any]:
        balance = found.balance
        net, lost, outside = (0, 0, 0) if balance is None else (balance.net, balance.lost, balance.outside)
        return {
            "id": found.site.id,
            "name": found.site.names.of(visit.language),
            "period": "" if found.stored is None else found.stored.head.period,
            "net_wh": None if found.stored is None else net,
            "loss_wh": None if found.stored is None else lost,
            "energy": kwh_short(net),
            "loss": percent(lost, net),
            "outside": outside,
            "meters": sum(1 for meter in found.site.meters if meter.span.end is None),
            "units": len(found.site.units),
        }

    def _crumbs(self, visit: Visit, found: SiteFile, chosen: NodeId | None) -> list[tuple[str, str]]:
        word = site_words(visit.language)
        crumbs = [(word["sites"], "/sites")]
        if chosen is not None and found.balance is not None:
            crumbs.append((word["whole-tree"], visit.here(below="")))
            crumbs += [(name, visit.here(below=node)) for node, name in found.balance.above(chosen)]
        return crumbs

    def _with_tiles(self, answer: HTMLResponse) -> HTMLResponse:
        """Let the page show pictures of the tile server, where one is named, and nothing else of it."""
        if self.map_tiles:
            parts = urlsplit(self.map_tiles)
            sources = OWN.replace("img-src 'self'", f"img-src 'self' {parts.scheme}://{parts.netloc}")
            answer.headers["Content-Security-Policy"] = content_policy(sources, HERE)
        return answer


def _site_file(connection: Connection, visit: Visit, site: SiteId, period: str) -> SiteFile | None:
    newest = newest_version(connection, site)
    if newest is None:
        return None
    runs = _furthest(list_runs(connection, site=site, period=None, most=LIST_MAX))
    chosen = next((one for one in runs if period in ("", one.period)), None)
    stored = None if chosen is None else find_run(connection, chosen.run, lines=False)
    if stored is None:
        return SiteFile(newest.site, runs, None, None)
    made_with = site_version(connection, site, stored.head.site_version).site
    return SiteFile(newest.site, runs, stored, SiteBalance(made_with, stored.document, visit.language))


def _furthest(runs: tuple[RunHead, ...]) -> tuple[RunHead, ...]:
    """Give one run of each period, the newest period first: the one that has come furthest of those not replaced."""
    best: dict[str, RunHead] = {}
    for one in runs:
        if one.state is RunState.SUPERSEDED:
            continue
        known = best.get(one.period)
        if known is None or _COUNTS.get(one.state, len(_COUNTS)) < _COUNTS.get(known.state, len(_COUNTS)):
            best[one.period] = one
    return tuple(sorted(best.values(), key=lambda one: one.period, reverse=True))


def _node(site: Site, below: str) -> NodeId | None:
    return NodeId(below) if any(node.id == below for node in site.nodes) else None
