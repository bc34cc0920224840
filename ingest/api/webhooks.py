"""`/v1/webhook-endpoints`: where events are delivered to, by the Standard Webhooks specification."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ingest.api.admission import Admission, Asking
from ingest.api.problems import Problem, not_found
from ingest.event_kinds import EventKind
from ingest.store.webhooks import LISTED_MAX
from ingest.webhooks.desk import OVERLAP_MAX_H, EndpointDesk, EndpointRefused, EndpointUnknown, Wish
from ingest.webhooks.documents import delivery_document, endpoint_document, shown_document
from ingest.webhooks.guard import URL_MAX, UrlRefused
from ingest.webhooks.ladder import Fate
from ingest.webhooks.signing import Algorithm
from metering.identity import SiteId

PATH = "/v1/webhook-endpoints"
_ONCE = {"Cache-Control": "no-store"}
_NUMBER_MAX = 2**63 - 1


class EndpointRequest(BaseModel):
    """What an endpoint shall be. Without `kinds` or `sites`: all that you may be told of."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=URL_MAX, examples=["https://billing.example/hooks/metertree"])
    kinds: list[EventKind] | None = Field(None, min_length=1, max_length=len(EventKind))
    sites: list[str] | None = Field(None, min_length=1, max_length=1000)
    description: str = Field("", max_length=200)

    @property
    def wish(self) -> Wish:
        """As the desk wants it."""
        kinds = None if self.kinds is None else tuple(dict.fromkeys(self.kinds))
        sites = None if self.sites is None else tuple(SiteId(one) for one in dict.fromkeys(self.sites))
        return Wish(self.url, kinds, sites, self.description)


class NewEndpointRequest(EndpointRequest):
    """An endpoint that is added, and how deliveries to it are signed."""

    signing: Algorithm = Algorithm.ED25519


class TurnRequest(BaseModel):
    """Turns an endpoint on or off; what happens while it is off is delivered once it is on again."""

    model_config = ConfigDict(extra="forbid")

    on: bool
    reason: str = Field("", max_length=2000)


class RotateRequest(BaseModel):
    """Gives an endpoint a new secret; the one before signs beside it for `overlap_h` hours."""

    model_config = ConfigDict(extra="forbid")

    signing: Algorithm | None = None
    overlap_h: int = Field(24, ge=0, le=OVERLAP_MAX_H)


class ReplayRequest(BaseModel):
    """Sends one event again, or all told since an instant, or of these the dead letters only."""

    model_config = ConfigDict(extra="forbid")

    event: str | None = Field(None, pattern=r"^evt_[0-9a-f]{32}$")
    since: AwareDatetime | None = None
    only_dead: bool = False


class WebhookRoutes:
    """The handlers, over one desk."""

    def __init__(self, desk: EndpointDesk) -> None:
        self._desk = desk

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards those that change anything."""
        router = APIRouter(prefix=PATH, tags=["webhooks"])
        guard = [Depends(admin)]
        router.add_api_route("", self.list, methods=["GET"])
        router.add_api_route("", self.add, methods=["POST"], dependencies=guard, status_code=HTTPStatus.CREATED)
        router.add_api_route("/{endpoint}", self.read, methods=["GET"])
        router.add_api_route("/{endpoint}", self.change, methods=["PUT"], dependencies=guard)
        router.add_api_route(
            "/{endpoint}", self.remove, methods=["DELETE"], dependencies=guard, status_code=HTTPStatus.NO_CONTENT
        )
        router.add_api_route("/{endpoint}/turn", self.turn, methods=["POST"], dependencies=guard)
        router.add_api_route("/{endpoint}/rotate", self.rotate, methods=["POST"], dependencies=guard)
        router.add_api_route(
            "/{endpoint}/test", self.test, methods=["POST"], dependencies=guard, status_code=HTTPStatus.ACCEPTED
        )
        router.add_api_route(
            "/{endpoint}/replay", self.replay, methods=["POST"], dependencies=guard, status_code=HTTPStatus.ACCEPTED
        )
        router.add_api_route("/{endpoint}/deliveries", self.deliveries, methods=["GET"])
        return router

    def list(self, who: Asking) -> dict[str, Any]:
        """List your endpoints with how they do; an administrator's answer holds those of all."""
        return {"endpoints": [endpoint_document(one) for one in self._desk.list(who)]}

    def add(self, request: NewEndpointRequest, who: Asking, response: Response) -> dict[str, Any]:
        """Add an endpoint. `secret` is shown this once: keep it to verify what is delivered.

        With `ed25519` it is a public key (`whpk_`), which is no secret; with `hmac-sha256` a shared one (`whsec_`).
        """
        response.headers.update(_ONCE)
        try:
            shown = self._desk.add(request.wish, request.signing, who)
        except UrlRefused as refused:
            raise _bad_url(refused) from refused
        except EndpointRefused as refused:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(refused)) from refused
        response.headers["Location"] = f"{PATH}/{shown.endpoint.endpoint}"
        return shown_document(shown)

    def read(self, endpoint: str, who: Asking) -> dict[str, Any]:
        """Give an endpoint with the standing of its secrets."""
        try:
            return shown_document(self._desk.read(endpoint, who))
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown

    def change(self, endpoint: str, request: EndpointRequest, who: Asking) -> dict[str, Any]:
        """Give an endpoint another URL, or let it get other events from now on."""
        try:
            return shown_document(self._desk.change(endpoint, request.wish, who))
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown
        except UrlRefused as refused:
            raise _bad_url(refused) from refused
        except EndpointRefused as refused:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(refused)) from refused

    def remove(self, endpoint: str, who: Asking) -> None:
        """Remove an endpoint for good; what waits for it is dropped."""
        try:
            self._desk.turn(endpoint, "removed", who)
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown

    def turn(self, endpoint: str, request: TurnRequest, who: Asking) -> dict[str, Any]:
        """Turn an endpoint on or off. Turned on, all that waits is tried at once, in no promised order."""
        try:
            shown = self._desk.turn(endpoint, "on" if request.on else "off", who, request.reason)
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown
        assert shown is not None
        return shown_document(shown)

    def rotate(self, endpoint: str, request: RotateRequest, who: Asking, response: Response) -> dict[str, Any]:
        """Make a new secret, shown this once. Until `ends_at` of the one before, deliveries carry both signatures."""
        response.headers.update(_ONCE)
        try:
            shown = self._desk.rotate(endpoint, who, algorithm=request.signing, overlap_h=request.overlap_h)
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown
        return shown_document(shown)

    def test(self, endpoint: str, who: Asking) -> dict[str, Any]:
        """Have a `webhook.test` delivered to this endpoint; what came of it stands in its deliveries."""
        try:
            return {"event": self._desk.test(endpoint, who), "deliveries": 1}
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown

    def replay(self, endpoint: str, request: ReplayRequest, who: Asking) -> dict[str, Any]:
        """Send events to this endpoint again, under the ids they had; says how many deliveries begin anew."""
        since: datetime | None = request.since
        try:
            count = self._desk.replay(endpoint, who, event=request.event, since=since, only_dead=request.only_dead)
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown
        except EndpointRefused as refused:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(refused)) from refused
        return {"deliveries": count}

    def deliveries(
        self,
        endpoint: str,
        who: Asking,
        state: Annotated[Fate | None, Query(description="dead: the dead letters")] = None,
        before: int | None = Query(None, ge=1, le=_NUMBER_MAX, description="`next` of the last answer"),
        limit: int = Query(100, ge=1, le=LISTED_MAX),
    ) -> dict[str, Any]:
        """List deliveries to an endpoint with every try, of the newest events first; pass `next` on as `before`."""
        try:
            found = self._desk.deliveries(endpoint, who, state=state, before=before, most=limit)
        except EndpointUnknown as unknown:
            raise _unknown(endpoint) from unknown
        more = found[-1].number if len(found) == limit else None
        return {"deliveries": [delivery_document(one) for one in found], "next": more}


def _unknown(endpoint: str) -> Problem:
    return not_found(f"webhook endpoint {endpoint}", f"GET {PATH} lists yours")


def _bad_url(refused: UrlRefused) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(refused), "give a public https address", reason="url-refused")
