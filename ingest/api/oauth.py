"""`POST /v1/oauth/token`: a client changes its key for a short-lived token (OAuth 2 client credentials, RFC 6749).

client_id is the client's name and client_secret one of its keys, in the form or by HTTP Basic. Errors have the form of
RFC 6749, section 5.2, which OAuth libraries read, and not that of the other routes.
"""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs, unquote_plus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from ingest.access.policy_file import shipped_policy
from ingest.api.admission import client_principal
from ingest.api.claim_gate import Buckets
from ingest.store.clients import TOKEN_S, KnownClient, client_of_key, give_token
from ingest.store.database import Database
from metering.clock import Clock
from metering.errors import MeteringError

PATH = "/v1/oauth/token"
BODY_OCTETS_MAX = 8192
_NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM = "application/x-www-form-urlencoded"


class TokenAnswer(BaseModel):
    """A token, for how long, and for which permissions."""

    access_token: str = Field(examples=["mta_..."])
    token_type: str = "Bearer"
    expires_in: int = Field(default=TOKEN_S, description="seconds")
    scope: str = Field(
        examples=["allocations.read charges.acknowledge"], description="permissions, with blanks between"
    )


class TokenError(BaseModel):
    """What is wrong, as RFC 6749, section 5.2, has it."""

    error: str = Field(examples=["invalid_client", "invalid_request", "invalid_scope", "unsupported_grant_type"])
    error_description: str


class TokenRefused(MeteringError):
    """No token: the code of RFC 6749, and why."""

    def __init__(self, error: str, told: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(told)
        self.error = error
        self.status = status


async def _form(request: Request) -> dict[str, str]:
    """Read the form, no further than it may reach; a parameter given twice is refused, as the standard has it."""
    octets = bytearray()
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > BODY_OCTETS_MAX:
            return {"": "too long"}
    try:
        given = parse_qs(octets.decode(), keep_blank_values=True, max_num_fields=32)
    except ValueError:
        return {"": "no form"}
    return {"": "twice"} if any(len(those) > 1 for those in given.values()) else {k: v[0] for k, v in given.items()}


class OAuthRoutes:
    """The handler, over one store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._buckets = Buckets(clock)

    def router(self) -> APIRouter:
        """Give the route."""
        router = APIRouter(tags=["sign-in of programs"])
        body: dict[str, object] = {"required": ["grant_type"], "type": "object"}
        names = ("grant_type", "client_id", "client_secret", "scope")
        body["properties"] = {name: {"type": "string"} for name in names}
        router.add_api_route(
            PATH,
            self.token,
            methods=["POST"],
            response_model=TokenAnswer,
            responses={400: {"model": TokenError}, 401: {"model": TokenError}, 429: {"model": TokenError}},
            openapi_extra={"requestBody": {"required": True, "content": {_FORM: {"schema": body}}}},
        )
        return router

    def token(self, request: Request, form: Annotated[dict[str, str], Depends(_form)]) -> Response:
        """Give a token for 15 minutes. `scope` narrows it to some of the permissions of the key."""
        address = request.client.host if request.client else ""
        if wait_s := self._buckets.wait_s(address):
            told = f"too many refused secrets came from this address; try again in {wait_s} s"
            refused = TokenRefused("temporarily_unavailable", told, HTTPStatus.TOO_MANY_REQUESTS)
            return _problem(refused, {"Retry-After": str(wait_s)})
        try:
            return self._given(request, form)
        except TokenRefused as refused:
            if refused.error == "invalid_client":
                self._buckets.spend(address)
            challenge = {"WWW-Authenticate": 'Basic realm="metertree"'} if refused.status == 401 else {}
            return _problem(refused, challenge)

    def _given(self, request: Request, form: dict[str, str]) -> Response:
        if "" in form:
            raise TokenRefused(
                "invalid_request", f"the body is {form['']}; send a form of at most 8 KiB, each name once"
            )
        grant = form.get("grant_type")
        if grant != "client_credentials":
            known = "invalid_request" if grant is None else "unsupported_grant_type"
            raise TokenRefused(known, "grant_type must be client_credentials")
        name, secret = _credentials(request, form)
        now = self._clock.now()
        with self._database.transaction() as connection:
            found = client_of_key(connection, secret, now)
            if found is None or found.name != name:
                raise TokenRefused(
                    "invalid_client", "no such client, or the key does not count", HTTPStatus.UNAUTHORIZED
                )
            held = _held(request, found)
            wanted = frozenset(form.get("scope", "").split())
            if not wanted <= held:
                beyond = ", ".join(sorted(wanted - held))[:200]
                raise TokenRefused("invalid_scope", f"the key does not have: {beyond}")
            token = give_token(connection, found, wanted or found.scopes, now)
        answer = TokenAnswer(access_token=token, scope=" ".join(sorted(wanted or held)))
        return JSONResponse(answer.model_dump(), headers=_NOT_KEPT)


def _held(request: Request, found: KnownClient) -> frozenset[str]:
    return shipped_policy().permissions_of(client_principal(request, found))


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    if "client_secret" in form:
        raise TokenRefused("invalid_request", "the secret came twice: in the header and in the form")
    try:
        name, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        told = "the header is not HTTP Basic"
        raise TokenRefused("invalid_client", told, HTTPStatus.UNAUTHORIZED) from error
    return unquote_plus(name), unquote_plus(secret)


def _problem(refused: TokenRefused, headers: dict[str, str]) -> Response:
    content = TokenError(error=refused.error, error_description=str(refused)).model_dump()
    return JSONResponse(content, refused.status, headers=_NOT_KEPT | headers)
