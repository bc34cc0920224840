"""Who may write: the bearer of the admin token, and operators by name, each with a token of his own.

Tokens are compared by their hashes, in constant time or by an index that holds hashes only, and are never logged.
"""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request

from ingest.api.problems import Problem
from ingest.caller import ADMIN, Caller
from ingest.store.database import Database
from ingest.store.operators import TOKEN_PREFIX, operator_of

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="metertree"'}
DEVICE = "Metertree-Device"
"""Header in which a program says on what device it runs; without it, what the user agent says."""
DEVICE_CHARACTERS_MAX = 200


class Admission:
    """A FastAPI dependency that lets the admin token and operators pass, and keeps who it was (`Admitted`).

    Without a database there are no operators.
    """

    def __init__(self, token: str, database: Database | None = None) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._database = database

    def __call__(self, request: Request) -> None:
        """Raise Problem 401 unless the request carries a token that counts."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "this call changes the books and carries no token",
                "send the header Authorization: Bearer <your operator's token, or the admin token>",
                headers=_CHALLENGE,
            )
        digest = hashlib.sha256(given.encode()).digest()
        name = ADMIN if hmac.compare_digest(digest, self._digest) else self._operator(given, digest)
        if name is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "the token is neither the admin token of this service nor that of an operator",
                "read the first from the file that --admin-token-file names, or have one made: "
                "metertree operator add NAME",
                headers=_CHALLENGE,
            )
        request.state.caller = visitor(request, name, in_person=name != ADMIN)

    def _operator(self, given: str, digest: bytes) -> str | None:
        if self._database is None or not given.startswith(TOKEN_PREFIX):
            return None
        with self._database.transaction() as connection:
            return operator_of(connection, digest)


def visitor(request: Request, name: str, *, in_person: bool = False) -> Caller:
    """Give the caller `name` of a request, as the log will name where he came from; proves nothing."""
    device = request.headers.get(DEVICE) or request.headers.get("User-Agent", "")
    address = request.client.host if request.client else ""
    return Caller(name, address, device[:DEVICE_CHARACTERS_MAX], in_person)


def admitted(request: Request) -> Caller:
    """Give who was let in; a route must be guarded by an Admission for that."""
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise Problem(HTTPStatus.UNAUTHORIZED, "this call changes the books and nobody looked at its token")
    return caller


Admitted = Annotated[Caller, Depends(admitted)]
"""Parameter of a guarded handler: who calls."""
