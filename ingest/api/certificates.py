"""`/v1/certificates` and `/v1/key-handovers`: gateways renew their certificates and change their keys by themselves.

Requests and answers are signed messages (application/cose). No token: a request proves itself by the keys it is of.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from ingest.api.admission import visitor
from ingest.api.problems import Problem
from ingest.caller import Caller
from ingest.certificates_desk import CertificateDesk, CertificateRefused
from metering.envelope import EnvelopeMalformed, SignatureInvalid
from provisioning.authority import AuthorityInvalid, CsrInvalid
from provisioning.renewal import REQUEST_OCTETS_MAX

COSE = "application/cose"
_STATUS = {
    "too-many": HTTPStatus.TOO_MANY_REQUESTS,
    "no-authority": HTTPStatus.NOT_IMPLEMENTED,
    "rolled-over": HTTPStatus.CONFLICT,
    "epoch-over": HTTPStatus.CONFLICT,
    "seq-behind": HTTPStatus.CONFLICT,
}


async def _octets(request: Request) -> bytes:
    """Read the body, no further than a request can reach."""
    octets = b""
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > REQUEST_OCTETS_MAX:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a request has at most {REQUEST_OCTETS_MAX} octets",
                "send one request at a time",
            )
    return octets


class CertificateRoutes:
    """The handlers, over one desk."""

    def __init__(self, desk: CertificateDesk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1", tags=["certificates"])
        router.add_api_route("/certificates/renewals", self.renew, methods=["POST"], response_class=Response)
        router.add_api_route("/certificates/revoked", self.revoked, methods=["GET"], response_class=Response)
        router.add_api_route("/broker-access", self.access, methods=["GET"])
        router.add_api_route("/key-handovers", self.hand_over, methods=["POST"], response_class=Response)
        return router

    def renew(self, request: Request, octets: bytes = Depends(_octets)) -> Response:
        """Renew a gateway's certificate; the same request gets the same certificate."""
        return _signed(self._desk.renew, octets, request)

    def hand_over(self, request: Request, octets: bytes = Depends(_octets)) -> Response:
        """Take a gateway's next signing key; gives the grant of the epoch it begins."""
        return _signed(self._desk.roll_over, octets, request)

    def access(self) -> dict[str, Any]:
        """Say whom the broker is to let in: enrolled and not revoked; and the list of revoked certificates (PEM)."""
        revoked = self._desk.revoked_list().decode("ascii") if self._desk.is_issuing else ""
        return {"gateways": list(self._desk.let_in()), "revoked": revoked}

    def revoked(self) -> Response:
        """Give the list of revoked certificates (PEM), for the broker."""
        try:
            return Response(self._desk.revoked_list(), media_type="application/x-pem-file")
        except CertificateRefused as refused:
            raise _problem(refused) from refused


def _signed(act: Callable[[bytes, Callable[[str], Caller]], bytes], octets: bytes, request: Request) -> Response:
    try:
        answer = act(octets, lambda name: visitor(request, name))
    except CertificateRefused as refused:
        raise _problem(refused) from refused
    except (EnvelopeMalformed, SignatureInvalid, CsrInvalid) as error:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "make the request anew at the gateway", reason="malformed"
        ) from error
    except AuthorityInvalid as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "see to the centre's authority") from error
    return Response(answer, media_type=COSE, headers={"Cache-Control": "no-store"})


def _problem(refused: CertificateRefused) -> Problem:
    status = _STATUS.get(refused.reason, HTTPStatus.FORBIDDEN)
    return Problem(status, f"{refused.what} is refused: {refused.reason}", refused.mend, reason=refused.reason)
