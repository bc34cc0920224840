"""Envelopes over HTTP, for gateways behind proxies that let nothing else through; and what is in quarantine."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from ingest.api.admission import Admission, Admitted
from ingest.api.problems import Problem, not_found
from ingest.caller import acting
from ingest.envelope_door import MESSAGES_MAX, EnvelopeDoor, split_messages
from ingest.ports import StoreUnreachable
from ingest.quarantine_desk import NotInQuarantine, QuarantineDesk
from ingest.store.quarantine import Kept
from metering.envelope import ENVELOPE_OCTETS_MAX

BODY_OCTETS_MAX = 4 * ENVELOPE_OCTETS_MAX
SEQUENCE = "application/cbor-seq"
ONE = "application/cose"
LISTED_MAX = 500


async def _body(request: Request) -> bytes:
    """Read the body, no further than it may reach; its type is looked at first."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in (ONE, SEQUENCE):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{kind or 'nothing'} is not taken here",
            f"send one envelope as {ONE}, or several one after the other as {SEQUENCE}",
        )
    octets = bytearray()
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > BODY_OCTETS_MAX:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a call has at most {BODY_OCTETS_MAX} octets",
                "send fewer at once",
            )
    return bytes(octets)


class EnvelopeRoutes:
    """The handlers: no token for envelopes, which are signed; the admin token to try quarantined ones again."""

    def __init__(self, door: EnvelopeDoor, desk: QuarantineDesk) -> None:
        self._door = door
        self._desk = desk

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1", tags=["envelopes"])
        router.add_api_route("/envelopes", self.send, methods=["POST"])
        router.add_api_route("/quarantine", self.list, methods=["GET"])
        router.add_api_route("/quarantine/{number}", self.show, methods=["GET"])
        router.add_api_route(
            "/quarantine/{number}/replay", self.replay, methods=["POST"], dependencies=[Depends(admin)]
        )
        return router

    def send(self, request: Request, octets: bytes = Depends(_body)) -> Response:
        """Take envelopes, and answer a receipt for each chain."""
        address = request.client.host if request.client else ""
        if wait_s := self._door.allowance.wait_s(address):
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too much came from this address that no registered key has signed",
                "enrol the gateway first, then send again",
                headers={"Retry-After": str(wait_s)},
            )
        messages = split_messages(octets)
        if not 0 < len(messages) <= MESSAGES_MAX:
            problem = f"{len(messages)} envelopes came in one call"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, problem, f"send 1 to {MESSAGES_MAX} at once")
        try:
            answer = self._door.take(messages, address)
        except StoreUnreachable as error:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "nothing was taken: the database does not answer",
                "send the same again",
                headers={"Retry-After": "5"},
            ) from error
        if not answer.receipts:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"nothing was accepted: {answer.refused[0]}",
                "it is kept in quarantine; mend the cause, then send again",
                reason=answer.refused[0].partition(":")[0],
            )
        return Response(
            b"".join(answer.receipts),
            media_type=ONE if len(answer.receipts) == 1 else SEQUENCE,
            headers={"Metertree-Refused": str(len(answer.refused)), "Cache-Control": "no-store"},
        )

    def list(self, reason: str | None = None, most: int = 100) -> dict[str, Any]:
        """List the newest messages in quarantine."""
        return {"quarantine": [_told(one) for one in self._desk.list(max(1, min(most, LISTED_MAX)), reason)]}

    def show(self, number: int) -> dict[str, Any]:
        """Give one."""
        try:
            return _told(self._desk.show(number))
        except NotInQuarantine as error:
            raise not_found(f"message {number} in quarantine", "list those there are: GET /v1/quarantine") from error

    def replay(self, number: int, caller: Admitted) -> dict[str, Any]:
        """Try one again through the same door."""
        try:
            with acting(caller):
                done = self._desk.replay(number)
        except NotInQuarantine as error:
            raise not_found(f"message {number} in quarantine", "list those there are: GET /v1/quarantine") from error
        return {"number": number, "outcome": done.outcome, "reason": done.reason, "detail": done.detail}


def _told(one: Kept) -> dict[str, Any]:
    return {
        "number": one.number,
        "reason": one.reason,
        "detail": one.detail,
        "proven": one.proven,
        "topic": one.topic,
        "gateway": one.gateway,
        "epoch": one.epoch,
        "seq": one.seq,
        "octets": len(one.octets),
        "times": one.times,
        "first_received_at": one.first_received_at.isoformat(),
        "last_received_at": one.last_received_at.isoformat(),
    }
