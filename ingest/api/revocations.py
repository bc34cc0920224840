"""`/v1/gateways/{gateway}/revoke`: let a gateway's key count no more, at once and for good."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ingest.api.admission import Admission, Admitted
from ingest.store.database import Database
from ingest.store.revocations import Revocation, revocations, revoke
from metering.clock import Clock
from metering.identity import GatewayId, check_identifier

EPOCH_MAX = 2**31 - 1


class RevocationRequest(BaseModel):
    """Says why a gateway's key is to count no more, and of which epoch; of all without one."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=2000, examples=["stolen from the cabinet"])
    epoch: int | None = Field(None, ge=1, le=EPOCH_MAX)


class RevocationRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes. The admin token is enough: a key that leaked does not wait for a second person."""
        router = APIRouter(prefix="/v1/gateways", tags=["gateways"])
        router.add_api_route("/{gateway}/revoke", self.revoke, methods=["POST"], dependencies=[Depends(admin)])
        router.add_api_route("/{gateway}/revocations", self.list, methods=["GET"])
        return router

    def revoke(self, gateway: str, request: RevocationRequest, caller: Admitted) -> dict[str, Any]:
        """Revoke. Once this is answered, nothing more that was signed with the key enters the books."""
        name = GatewayId(check_identifier(gateway))
        with self._database.transaction() as connection:
            done = revoke(connection, name, request.epoch, caller, request.reason, self._clock.now())
            known = revocations(connection, name)
        return {"gateway": name, "revoked": [one.epoch for one in done], "revocations": [_told(one) for one in known]}

    def list(self, gateway: str) -> dict[str, Any]:
        """List what of a gateway is revoked, by whom and why."""
        name = GatewayId(check_identifier(gateway))
        with self._database.transaction() as connection:
            known = revocations(connection, name)
        return {"gateway": name, "revocations": [_told(one) for one in known]}


def _told(one: Revocation) -> dict[str, Any]:
    return {"epoch": one.epoch, "at": one.revoked_at.isoformat(), "by": one.revoked_by, "reason": one.reason}
