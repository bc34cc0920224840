"""Gateways: how each of them stands."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Query

from ingest.api.problems import Problem, not_found
from ingest.fleet import NOT_WELL, STATES, choose
from ingest.fleet_desk import FleetDesk, gateway_document, standing_document
from metering.identity import GatewayId


class GatewayRoutes:
    """The handlers, over what is known of the fleet."""

    def __init__(self, fleet: FleetDesk) -> None:
        self._fleet = fleet

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1", tags=["gateways"])
        router.add_api_route("/gateways", self.list, methods=["GET"])
        router.add_api_route("/gateways/{gateway}", self.read, methods=["GET"])
        return router

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
