"""The pages of webhooks: where events are sent, how it goes, and what did not arrive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.access.principal import Principal
from ingest.console.endpoint_words import endpoint_words
from ingest.console.forms import Form, FormRead
from ingest.console.rendering import local_time
from ingest.console.settings_parts import Settings, once_page, sites_told
from ingest.console.tables import Table, number_cell, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.console.words import Language
from ingest.event_kinds import KINDS, EventKind
from ingest.store.webhooks import Delivery, Endpoint
from ingest.webhooks.desk import REPLAY_MAX, EndpointDesk, EndpointUnknown, Shown, Wish
from ingest.webhooks.ladder import Fate
from ingest.webhooks.signing import Algorithm
from metering.errors import MeteringError
from metering.identity import SiteId

PATH = "/settings/webhooks"
DELIVERIES = 50
OVERLAPS_H = (0, 1, 24, 72, 168)
_TONES = {"on": "good", "off": "plain", "gone": "bad", "failing": "bad"}
_FATES = {Fate.DELIVERED: "good", Fate.WAITING: "info", Fate.DEAD: "bad"}


class EndpointPages:
    """The handlers, over one desk."""

    def __init__(self, desk: EndpointDesk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(PATH, self.page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH + ".csv", self.csv, methods=["GET"])
        router.add_api_route(PATH + "/new", self.new, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH, self.add, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{endpoint}", self.one, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{endpoint}/turn", self.turn, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{endpoint}/test", self.test, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{endpoint}/rotate", self.rotate, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{endpoint}/again", self.again, methods=["POST"], response_class=HTMLResponse)
        return router

    def page(self, request: Request) -> Response:
        """List the endpoints that this reader may see."""
        visit = visit_of(request)
        rows = [_row(one, visit) for one in self._desk.list(_who(visit))]
        return _page(visit, "endpoints.html", rows=rows)

    def csv(self, request: Request) -> Response:
        """Give the list for spreadsheets."""
        visit = visit_of(request)
        return visit.csv(_table(self._desk.list(_who(visit)), visit), "webhooks.csv")

    def new(self, request: Request) -> Response:
        """Ask where events shall go."""
        return self._new(visit_of(request), Form({}))

    def add(self, request: Request, form: FormRead) -> Response:
        """Add an endpoint and show its secret."""
        visit = visit_of(request)
        kinds = tuple(EventKind(one) for one in form.texts("kind") if one in set(EventKind))
        sites = tuple(map(SiteId, form.texts("site")))
        algorithm = Algorithm.HMAC if form.text("signing") == Algorithm.HMAC else Algorithm.ED25519
        wish = Wish(form.text("url"), kinds or None, sites or None, form.text("description")[:200])
        try:
            made = self._desk.add(wish, algorithm, _who(visit))
        except MeteringError as error:
            return self._new(visit, form, str(error))
        return _secret_page(visit, made)

    def one(self, request: Request, endpoint: str) -> Response:
        """Show one endpoint with what was delivered there."""
        return self._one(visit_of(request), endpoint)

    def turn(self, request: Request, endpoint: str, form: FormRead) -> Response:
        """Turn an endpoint on or off, or remove it."""
        visit, state = visit_of(request), form.text("state")
        if state not in ("on", "off", "removed"):
            return self._one(visit, endpoint)
        try:
            self._desk.turn(endpoint, state, _who(visit), form.text("reason"))
        except EndpointUnknown:
            return visit.missing()
        gone = state == "removed"
        return visit.redirect(PATH if gone else f"{PATH}/{endpoint}", told="removed" if gone else "saved")

    def test(self, request: Request, endpoint: str) -> Response:
        """Send a test there."""
        visit = visit_of(request)
        try:
            self._desk.test(endpoint, _who(visit))
        except EndpointUnknown:
            return visit.missing()
        return visit.redirect(f"{PATH}/{endpoint}", told="tested")

    def rotate(self, request: Request, endpoint: str, form: FormRead) -> Response:
        """Give an endpoint a new secret."""
        visit, hours = visit_of(request), form.number("overlap")
        try:
            overlap_h = hours if hours is not None and hours in OVERLAPS_H else 24
            made = self._desk.rotate(endpoint, _who(visit), algorithm=None, overlap_h=overlap_h)
        except EndpointUnknown:
            return visit.missing()
        return _secret_page(visit, made)

    def again(self, request: Request, endpoint: str, form: FormRead) -> Response:
        """Send one event again, or all that failed for good."""
        visit, event = visit_of(request), form.text("event") or None
        # A minute within the bound: the desk looks at its clock a moment later.
        since = None if event else self._desk.clock.now() - REPLAY_MAX + timedelta(minutes=1)
        try:
            self._desk.replay(endpoint, _who(visit), event=event, since=since, only_dead=event is None)
        except EndpointUnknown:
            return visit.missing()
        except MeteringError as error:
            return self._one(visit, endpoint, str(error))
        return visit.redirect(f"{PATH}/{endpoint}", told="again")

    def _new(self, visit: Visit, form: Form, fault: str = "") -> Response:
        place = 0 if visit.language is Language.ZH else 1
        kinds = [(str(kind), (one.zh, one.en)[place], str(kind)) for kind, one in KINDS.items()]
        word = endpoint_words(visit.language)
        signings = [(str(one), word[f"signing-{one}"], word[f"signing-{one}-note"]) for one in reversed(Algorithm)]
        return _page(
            visit,
            "endpoint_new.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            form=form,
            kinds=[one for one in kinds if one[0] != EventKind.WEBHOOK_TEST],
            signings=signings,
            signing=form.text("signing") or str(Algorithm.ED25519),
            fault=fault,
        )

    def _one(self, visit: Visit, endpoint: str, fault: str = "") -> Response:
        asked = visit.request.query_params.get("state", "")
        state = Fate(asked) if asked in set(Fate) else None
        before = visit.request.query_params.get("before", "")
        number = int(before) if before.isascii() and before.isdigit() and len(before) < 18 else None
        try:
            found = self._desk.read(endpoint, _who(visit)).endpoint
            sent = self._desk.deliveries(endpoint, _who(visit), state=state, before=number, most=DELIVERIES + 1)
        except EndpointUnknown:
            return visit.missing()
        word, path = endpoint_words(visit.language), f"{PATH}/{endpoint}"
        states = [("", Settings(visit).word["any"]), *((str(one), word[f"fate-{one}"]) for one in Fate)]
        return _page(
            visit,
            "endpoint.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            row=_row(found, visit),
            path=path,
            tabs_of=[(text, f"{path}?state={one}" if one else path, one == asked) for one, text in states],
            deliveries=[_delivery(one, visit) for one in sent[:DELIVERIES]],
            older=visit.here(before=str(sent[DELIVERIES - 1].number)) if len(sent) > DELIVERIES else "",
            overlaps=[(hours, Settings(visit).word["hours"].format(count=hours)) for hours in OVERLAPS_H],
            may_change=visit.may_open(PATH + "/new"),
            fault=fault,
        )


def _who(visit: Visit) -> Principal:
    who: Principal = visit.principal
    return who


def _page(visit: Visit, template: str, status: HTTPStatus = HTTPStatus.OK, **content: Any) -> HTMLResponse:
    parts = {"may_change": visit.may_open(PATH + "/new"), **content}
    return Settings(visit, endpoint_words(visit.language)).page(template, status, **parts)


def _secret_page(visit: Visit, made: Shown) -> Response:
    word = endpoint_words(visit.language)
    onward = f"{PATH}/{made.endpoint.endpoint}"
    crumb = Settings(visit).word["webhooks"]
    return once_page(visit, word["webhook-secret"], made.secret or "", onward, crumb, PATH, word["webhook-secret-note"])


def _row(one: Endpoint, visit: Visit) -> dict[str, Any]:
    """Give what a page shows of an endpoint."""
    word = endpoint_words(visit.language)
    return {
        "endpoint": one.endpoint,
        "host": urlsplit(one.url).netloc,
        "url": one.url,
        "description": one.description,
        "owner": one.owner.partition("/")[2],
        "state": one.state,
        "standing": word[f"standing-{one.state}"],
        "tone": _TONES.get(one.state, "plain"),
        "kinds": word["all-kinds"] if one.wants.kinds is None else ", ".join(map(str, one.wants.kinds)),
        "sites": sites_told(visit, one.wants.sites),
        "delivered": "–" if one.delivered_at is None else local_time(one.delivered_at, visit.calendar),
        "waiting": one.waiting,
        "dead": one.dead,
    }


def _delivery(one: Delivery, visit: Visit) -> dict[str, Any]:
    """Give what a page shows of a delivery."""
    word, last = endpoint_words(visit.language), one.tries[-1] if one.tries else {}
    told = " ".join(str(last[name]) for name in ("status", "fault") if last.get(name))
    if one.state is Fate.WAITING and one.tries:
        told = f"{told} · {word['next-try'].format(at=local_time(one.next_at, visit.calendar))}"
    return {
        "event": one.event,
        "kind": str(one.kind),
        "subject": one.subject,
        "at": local_time(one.made_at, visit.calendar),
        "fate": word[f"fate-{one.state}"],
        "tone": _FATES[one.state],
        "told": told,
        "tries": len(one.tries),
    }


def _table(found: Sequence[Endpoint], visit: Visit) -> Table:
    word = {**Settings(visit).word, **endpoint_words(visit.language)}
    columns = [word[name] for name in ("url", "standing", "kinds", "sites", "delivered", "waiting", "dead", "owner")]
    rows = (_row(one, visit) for one in found)
    cells = (
        [
            *(words_cell(row[name]) for name in ("url", "standing", "kinds", "sites", "delivered")),
            number_cell(row["waiting"], 0),
            number_cell(row["dead"], 0),
            words_cell(row["owner"]),
        ]
        for row in rows
    )
    return table("webhooks", word["webhooks"], columns, cells)
