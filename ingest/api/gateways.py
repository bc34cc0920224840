"""Gateways: install orders, enrolments, and how each of them stands."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ingest.api.admission import Admission
from ingest.api.claim_gate import ClaimGate
from ingest.api.problems import Problem, not_found
from ingest.fleet import NOT_WELL, STATES, choose
from ingest.fleet_desk import FleetDesk, gateway_document, standing_document
from ingest.store.database import Database
from ingest.store.gateways import add_order, enrol
from ingest.store.sites import require_site
from metering.clock import Clock
from metering.identity import GatewayId, SiteId, check_identifier
from provisioning.enrolment import Claim, Refused, open_bundle, open_order

BUNDLE_OCTETS_MAX = 4096
"""A bundle is some 250 octets; whatever is larger is none."""
_REFUSED = {"claim-unknown": HTTPStatus.FORBIDDEN, "gateway-mismatch": HTTPStatus.FORBIDDEN}


class OrderRequest(BaseModel):
    """Asks for an install order: leave for one gateway to enrol once until `expires_at`."""

    model_config = ConfigDict(extra="forbid")

    site: str
    gateway: str
    engineer: str = Field(min_length=1, max_length=200)
    expires_at: AwareDatetime


async def _bundle_octets(request: Request) -> bytes:
    """Read the body, no further than a bundle can reach."""
    octets = b""
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > BUNDLE_OCTETS_MAX:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a bundle has at most {BUNDLE_OCTETS_MAX} octets")
    return octets


class GatewayRoutes:
    """The handlers, over one store. `centre_key` is the raw public key of this centre."""

    def __init__(self, database: Database, clock: Clock, centre_key: bytes, fleet: FleetDesk | None = None) -> None:
        self._database = database
        self._clock = clock
        self._centre_key = centre_key
        self._fleet = fleet or FleetDesk(database, clock)

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards install orders. An enrolment is authorised by its claim and signature."""
        router = APIRouter(prefix="/v1", tags=["gateways"])
        guard = [Depends(admin)]
        router.add_api_route("/install-orders", self.order, methods=["POST"], dependencies=guard, status_code=201)
        gate = [Depends(ClaimGate(self._clock))]
        router.add_api_route("/enrolments", self.enrol, methods=["POST"], dependencies=gate, status_code=201)
        router.add_api_route("/gateways", self.list, methods=["GET"])
        router.add_api_route("/gateways/{gateway}", self.read, methods=["GET"])
        return router

    def order(self, request: OrderRequest, response: Response) -> dict[str, Any]:
        """Open an install order. Its claim is in this answer and nowhere else."""
        site, gateway = SiteId(check_identifier(request.site)), GatewayId(check_identifier(request.gateway))
        now = self._clock.now()
        if request.expires_at <= now:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "expires_at has passed already", "give a later instant")
        claim = Claim.fresh()
        with self._database.transaction() as connection:
            described = require_site(connection, site).site
            if gateway not in {one.id for one in described.gateways}:
                raise not_found(
                    f"gateway {gateway} in site {site}", "add it to gateways.toml and import the site again"
                )
            order = open_order(
                site=site,
                gateway=gateway,
                engineer=request.engineer,
                ordered_at=now,
                expires_at=request.expires_at,
                claim=claim,
            )
            add_order(connection, order)
        response.headers["Cache-Control"] = "no-store"
        return {
            "order": order.order,
            "site": site,
            "gateway": gateway,
            "claim": claim.text,
            "expires_at": order.expires_at.isoformat(),
        }

    def enrol(self, response: Response, octets: bytes = Depends(_bundle_octets)) -> dict[str, Any]:
        """Take a signed enrolment bundle; 201 when its key was registered now, 200 when the same bundle was before."""
        bundle = open_bundle(octets)
        with self._database.transaction() as connection:
            outcome = enrol(connection, bundle, self._clock.now())
        if isinstance(outcome, Refused):
            status = _REFUSED.get(outcome.reason, HTTPStatus.CONFLICT)
            raise Problem(status, f"the enrolment is refused: {outcome.reason}", outcome.mend, reason=outcome.reason)
        response.status_code = HTTPStatus.OK if outcome.again else HTTPStatus.CREATED
        return {
            "gateway": bundle.gateway,
            "epoch": bundle.epoch,
            "key_id": bundle.key_id.hex(),
            "centre_public_key": self._centre_key.hex(),
        }

    def list(
        self,
        site: str | None = None,
        state: str | None = Query(None, description=f"one of {', '.join((*STATES, NOT_WELL))}"),
        text: str = Query("", max_length=200, description="part of a gateway's or site's id"),
        after: str | None = Query(None, max_length=64, description="id of the last gateway of the page before"),
        limit: int | None = Query(None, ge=1, le=10_000, description="gateways of a page; all without it"),
    ) -> dict[str, Any]:
        """List the enrolled gateways by id: what has arrived from each, what is missing, and what is not well.

        `next` is what to give as `after` for the next page; null on the last one.
        """
        if state not in (None, NOT_WELL, *STATES):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"a gateway is never in the state {state!r}",
                f"give one of {', '.join((*STATES, NOT_WELL))}",
            )
        fleet = self._fleet.read()
        found = [
            one for one in choose(fleet.gateways, site=site, state=state, text=text) if one.gateway > (after or "")
        ]
        page = found if limit is None else found[:limit]
        return {
            "gateways": [standing_document(one, fleet) for one in page],
            "next": page[-1].gateway if len(page) < len(found) else None,
        }

    def read(self, gateway: str) -> dict[str, Any]:
        """Give one gateway with its epochs, gaps, events and quarantine."""
        found = self._fleet.gateway(GatewayId(gateway))
        if found is None:
            raise not_found(f"gateway {gateway}", "enrol it first, or list those there are: GET /v1/gateways")
        fleet, file = found
        return gateway_document(file, fleet)
