"""Who may write: callers that carry the admin token. The token is compared in constant time and never logged."""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus

from fastapi import Request

from ingest.api.problems import Problem

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="metertree"'}


class AdminToken:
    """A FastAPI dependency that lets only the bearer of the admin token pass."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()

    def __call__(self, request: Request) -> None:
        """Raise Problem 401 unless the request carries the token."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "this call changes the books and carries no token",
                "send the header Authorization: Bearer <admin token>",
                headers=_CHALLENGE,
            )
        if not hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._digest):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "the token is not the admin token of this service",
                "read it from the file that --admin-token-file names",
                headers=_CHALLENGE,
            )
