"""The routes of the pages about gateways and alerts: the fleet, one gateway, what an operator must know of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from ingest.alert_rules import Alert, Scope, Severity
from ingest.alert_words import condition_word, instant_words, span_words
from ingest.console.fleet_tables import (
    alert_parts,
    alert_tone,
    alerts_table,
    calendar_for,
    calendar_of,
    clock_words,
    condition_tone,
    fleet_table,
    gateway_tables,
    seen_words,
    site_name,
)
from ingest.console.visit import Visit, visit_of
from ingest.console.words import Language
from ingest.fleet import NOT_WELL, STATES, WELL, GatewayStanding, choose, worst_first
from ingest.fleet_desk import Fleet, FleetDesk
from ingest.fleet_words import fleet_words
from ingest.store.alerts import LISTED_MAX, Wanted, list_alerts
from ingest.store.database import Database
from ingest.store.fleet import site_faces
from metering.identity import GatewayId
from metering.interval import SiteCalendar

PAGE = 100
"""Gateways on a page."""
CLOSED_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the fleet is asked for."""

    language: Language
    state: str | None
    text: str

    def href(self, path: str = "/fleet", **changes: Any) -> str:
        """Give the address of a page with this filter, but for some changes."""
        parts = {"lang": self.language, "state": self.state, "text": self.text, **changes}
        return f"{path}?{urlencode({name: part for name, part in parts.items() if part})}"


class FleetPages:
    """The handlers, over one store."""

    def __init__(self, database: Database, desk: FleetDesk) -> None:
        self._database = database
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/fleet", self.fleet, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/fleet.csv", self.fleet_csv, methods=["GET"])
        router.add_api_route("/fleet/{gateway}", self.gateway, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/fleet/{gateway}/{name}.csv", self.gateway_csv, methods=["GET"])
        router.add_api_route("/alerts", self.alerts, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/alerts.csv", self.alerts_csv, methods=["GET"])
        return router

    def fleet(
        self,
        request: Request,
        state: str | None = None,
        text: str = "",
        page: int = Query(1, ge=1, le=1_000_000),
    ) -> Response:
        """Show every gateway, the worst first."""
        visit = visit_of(request)
        asked = Filter(visit.language, state or None, text[:200])
        fleet = self._desk.read()
        found = worst_first(choose(fleet.gateways, state=asked.state, text=asked.text))
        pages = max(1, -(-len(found) // PAGE))
        number = min(page, pages)
        return self._page(
            visit,
            "fleet.html",
            asked=asked,
            chips=_chips(fleet, asked),
            rows=[_row(one, fleet, asked.language) for one in found[(number - 1) * PAGE : number * PAGE]],
            tiles=_fleet_tiles(fleet, asked.language),
            csv=asked.href("/fleet.csv"),
            page=number,
            pages=pages,
            earlier=asked.href(page=number - 1) if number > 1 else "",
            later=asked.href(page=number + 1) if number < pages else "",
        )

    def fleet_csv(self, request: Request, state: str | None = None, text: str = "") -> Response:
        """Give every gateway of a filter for spreadsheets."""
        visit, fleet = visit_of(request), self._desk.read()
        found = worst_first(choose(fleet.gateways, state=state or None, text=text[:200]))
        return visit.csv(fleet_table(found, fleet, visit.language), "fleet.csv")

    def gateway(self, request: Request, gateway: str) -> Response:
        """Show one gateway."""
        visit = visit_of(request)
        language = visit.language
        found = self._desk.gateway(GatewayId(gateway))
        if found is None:
            return visit.missing()
        fleet, file = found
        calendar = calendar_of(fleet, file.standing.site)
        return self._page(
            visit,
            "gateway.html",
            row=_row(file.standing, fleet, language),
            site_name=site_name(fleet, file.standing.site, language),
            tiles=_gateway_tiles(file.standing, fleet, language),
            alerts=[_alert(one, calendar, language) | {"gateways": ()} for one in file.alerts if one.is_open],
            tables=gateway_tables(file, fleet, language),
            zone=calendar.zone,
        )

    def gateway_csv(self, request: Request, gateway: str, name: str) -> Response:
        """Give one table of a gateway for spreadsheets."""
        visit = visit_of(request)
        found = self._desk.gateway(GatewayId(gateway))
        tables = [] if found is None else gateway_tables(found[1], found[0], visit.language)
        asked = next((one for one in tables if one.key == name), None)
        return visit.missing() if asked is None else visit.csv(asked, f"{name}-{gateway}.csv")

    def alerts(self, request: Request) -> Response:
        """Show what is open, and what closed last."""
        visit = visit_of(request)
        found, calendars = self._alerts()
        is_open = sorted((one for one in found if one.is_open), key=_urgency)
        closed = [one for one in found if not one.is_open][:CLOSED_SHOWN]
        return self._page(
            visit,
            "alerts.html",
            section="alerts",
            alerts=[_alert(one, calendar_for(one, calendars), visit.language) for one in is_open],
            closed=alerts_table(closed, calendars, visit.language),
        )

    def alerts_csv(self, request: Request) -> Response:
        """Give the newest alerts for spreadsheets; instants in UTC."""
        visit = visit_of(request)
        found, calendars = self._alerts()
        return visit.csv(alerts_table(found, calendars, visit.language), "alerts.csv")

    def _alerts(self) -> tuple[Sequence[Alert], Mapping[str, SiteCalendar]]:
        with self._database.transaction() as connection:
            faces = site_faces(connection)
            return list_alerts(connection, Wanted(most=LISTED_MAX)), {
                str(site): face.calendar for site, face in faces.items()
            }

    def _page(self, visit: Visit, template: str, section: str = "gateways", **content: Any) -> HTMLResponse:
        return visit.page(template, section=section, word=fleet_words(visit.language), **content)


def _row(one: GatewayStanding, fleet: Fleet, language: Language) -> dict[str, Any]:
    """Give what a page shows of a gateway."""
    word, days = fleet_words(language), fleet.certificate_days(one.gateway)
    calendar = calendar_of(fleet, one.site)
    conditions = [str(each) for each in one.conditions] or [WELL]
    return {
        "gateway": one.gateway,
        "site": one.site,
        "site_name": site_name(fleet, one.site, language),
        "states": [(condition_tone(each), condition_word(each, language)) for each in conditions],
        "seen": seen_words(one, language),
        "seen_at": instant_words(one.received_at, calendar),
        "lag": span_words(one.lag, language),
        "last_mark": instant_words(one.newest.newest_mark, calendar),
        "missing": f"{'' if one.counts_end else '≤ '}{one.missing}",
        "waiting": f"{'' if one.counts_end else '≥ '}{one.waiting}",
        "clock": clock_words(one, language),
        "refused": one.refused,
        "epoch": one.newest.epoch,
        "key": one.newest.key_id.hex(),
        "certificate": "–" if days is None else word["days"].format(days=days),
    }


def _chips(fleet: Fleet, asked: Filter) -> list[dict[str, Any]]:
    """Give the states there are, with how many gateways are in each, as links."""
    counts = Counter(str(each) for one in fleet.gateways for each in (one.conditions or (WELL,)))
    counts[NOT_WELL] = sum(1 for one in fleet.gateways if one.conditions)
    shown = [state for state in (WELL, NOT_WELL, *STATES[:-1]) if counts[state] or state == asked.state]
    all_of = {"href": asked.href(state=None), "text": fleet_words(asked.language)["all"], "count": len(fleet.gateways)}
    return [
        {**all_of, "is_chosen": asked.state is None},
        *(
            {
                "href": asked.href(state=state),
                "text": condition_word(state, asked.language) if state in (*STATES, NOT_WELL) else state,
                "count": counts[state],
                "is_chosen": state == asked.state,
            }
            for state in shown
        ),
    ]


def _fleet_tiles(fleet: Fleet, language: Language) -> list[dict[str, Any]]:
    word = fleet_words(language)
    unwell = sum(1 for one in fleet.gateways if one.conditions)
    figures = (
        ("count", len(fleet.gateways)),
        ("well-count", len(fleet.gateways) - unwell),
        ("not-well-count", unwell),
        ("missing", sum(one.missing for one in fleet.gateways)),
        ("waiting", sum(one.waiting for one in fleet.gateways)),
        ("quarantine", sum(one.refused for one in fleet.gateways)),
    )
    return [{"label": word[name], "figure": f"{count:,}", "note": ""} for name, count in figures]


def _gateway_tiles(one: GatewayStanding, fleet: Fleet, language: Language) -> list[dict[str, Any]]:
    word, row = fleet_words(language), _row(one, fleet, language)
    figures = (
        ("seen", row["seen"], row["seen_at"]),
        ("lag", row["lag"], row["last_mark"]),
        ("missing", row["missing"], ""),
        ("waiting", row["waiting"], ""),
        ("clock", row["clock"], ""),
        ("quarantine", row["refused"], ""),
    )
    return [{"label": word[name], "figure": figure, "note": note} for name, figure, note in figures]


def _urgency(one: Alert) -> tuple[bool, bool, int]:
    """Order: what nobody has acknowledged first, of that what is critical, of that what is newest."""
    return one.acknowledged_by is not None, one.severity is not Severity.CRITICAL, -one.alert


def _alert(one: Alert, calendar: SiteCalendar, language: Language) -> dict[str, Any]:
    """Give what a page shows of an open alert."""
    word = fleet_words(language)
    return {
        **alert_parts(one, calendar, language),
        "number": one.alert,
        "tone": alert_tone(one),
        "gateways": [one.cause.subject] if one.cause.scope is Scope.GATEWAY else one.detail.get("gateways", ()),
        "times": word["opened-again"].format(times=one.times) if one.times > 1 else "",
        "by": one.acknowledged_by or "",
        "note": one.note,
    }
