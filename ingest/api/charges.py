"""`/v1/charges`: what confirmed statements make billable, and billing's word that it took one over."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ingest.api.admission import Admission, Admitted, Asking
from ingest.api.problems import Problem, not_found
from ingest.billing.forms import instant
from ingest.store.acknowledgements import (
    BillableCharge,
    ChargeAcknowledged,
    ChargeUnknown,
    WantedCharges,
    acknowledge_charge,
    lines_of_charge,
    list_charges,
    require_charge,
)
from ingest.store.database import Connection, Database
from metering.clock import Clock

PATH = "/v1/charges"
LIMIT, LIMIT_MAX = 100, 1000
PLACE_MAX = 2**62
_FIND = f"GET {PATH} lists them"
Name = Annotated[str | None, Query(max_length=200)]


class AcknowledgementRequest(BaseModel):
    """Says under which invoice billing took the charge over."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    invoice: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["INV-2026-000123"])


async def _wanted(
    site: Name = None,
    period: Name = None,
    party: Name = None,
    statement: Name = None,
    acknowledged: bool | None = None,
) -> WantedCharges:
    return WantedCharges(None, site, period, party, statement, acknowledged)


class ChargeRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards the one that writes."""
        router = APIRouter(prefix=PATH, tags=["billing"])
        guard = [Depends(admin)]
        router.add_api_route("", self.list, methods=["GET"])
        router.add_api_route("/{charge}", self.read, methods=["GET"])
        path = "/{charge}/acknowledgements"
        router.add_api_route(path, self.acknowledge, methods=["POST"], dependencies=guard, status_code=201)
        return router

    def list(
        self,
        who: Asking,
        wanted: Annotated[WantedCharges, Depends(_wanted)],
        after: Annotated[int, Query(ge=0, le=PLACE_MAX, description="`next` of the page before")] = 0,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
    ) -> dict[str, Any]:
        """List charges in the order in which they were made; `next` is null on the last page.

        To collect what is due, ask for acknowledged=false from the beginning, take each charge over, acknowledge it,
        and begin anew: what was made meanwhile comes with the next round, whenever it was committed.
        """
        sites = None if who.sites is None else tuple(sorted(who.sites))
        with self._database.transaction() as connection:
            found = list_charges(connection, replace(wanted, sites=sites), after, limit + 1)
        following = found[limit - 1].place if len(found) > limit else None
        return {"charges": [_document(one) for one in found[:limit]], "next": following}

    def read(self, charge: str) -> dict[str, Any]:
        """Give one charge with its lines."""
        with self._database.transaction() as connection:
            return _whole(connection, _require(connection, charge))

    def acknowledge(
        self, charge: str, request: AcknowledgementRequest, response: Response, caller: Admitted
    ) -> dict[str, Any]:
        """Note the invoice of a charge, once: 201 the first time, 200 for the same invoice again, 409 for another."""
        with self._database.transaction() as connection:
            try:
                done, is_new = acknowledge_charge(connection, charge, request.invoice, caller, self._clock.now())
            except ChargeUnknown as error:
                raise not_found(f"charge {charge}", _FIND) from error
            except ChargeAcknowledged as error:
                raise Problem(
                    HTTPStatus.CONFLICT,
                    str(error),
                    "do not collect it again; void the second invoice",
                    reason="charge-acknowledged",
                ) from error
            response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
            return _whole(connection, done)


def _require(connection: Connection, charge: str) -> BillableCharge:
    try:
        return require_charge(connection, charge)
    except ChargeUnknown as error:
        raise not_found(f"charge {charge}", _FIND) from error


def _whole(connection: Connection, charge: BillableCharge) -> dict[str, Any]:
    names = ("line", "stated_minor", "before_minor", "amount_minor")
    lines = lines_of_charge(connection, charge.charge)
    return {**_document(charge), "lines": [dict(zip(names, line, strict=True)) for line in lines]}


def _document(charge: BillableCharge) -> dict[str, Any]:
    return {
        "charge": charge.charge,
        "statement": charge.statement,
        "site": charge.site,
        "period": charge.period,
        "party": charge.party,
        "amount_minor": charge.amount_minor,
        "currency": charge.currency,
        "created_at": instant(charge.created_at),
        "invoice": charge.invoice,
        "acknowledged_at": None if charge.acknowledged_at is None else instant(charge.acknowledged_at),
        "href": f"{PATH}/{charge.charge}",
    }
