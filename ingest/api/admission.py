"""Who asks: the bearer of a token, whoever a session stands for, or nobody.

Tokens are compared by their hashes, in constant time or by an index that holds hashes only, and are never logged. What
somebody may and sees is the policy's (ingest/access); who is asked for at every call is the door's (door.py).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Protocol

from fastapi import Depends, Request

from ingest.access.principal import (
    Kind,
    Principal,
    admin_principal,
    open_reader,
    site_scope,
    stranger,
)
from ingest.api.problems import Problem
from ingest.api.viewing import HEADER, Viewing
from ingest.caller import ADMIN, STRANGER, Caller
from ingest.config import is_loopback
from ingest.store import clients
from ingest.store.clients import KnownClient
from ingest.store.database import Database
from ingest.store.operators import TOKEN_PREFIX, posted_operator
from metering.clock import Clock, SystemClock

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="metertree"'}
DEVICE = "Metertree-Device"
"""Header in which a program says on what device it runs; without it, what the user agent says."""
DEVICE_CHARACTERS_MAX = 200
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers by which a proxy shows: whoever comes through one is not on this machine."""
READS = frozenset({"GET", "HEAD"})


class Resolver(Protocol):
    """Finds out who asks by something else than the tokens below: a session cookie, say."""

    def __call__(self, request: Request) -> Principal | None:
        """Give who it is; None where the request carries nothing of the kind. May ask the database."""


class Admission:
    """Finds out who asks, and is the FastAPI dependency of routes that take somebody known (`Depends(admin)`).

    Without a database there are no operators. open_reads: whoever is on this machine and shows nothing may read.
    """

    def __init__(
        self,
        token: str,
        database: Database | None = None,
        *,
        clock: Clock | None = None,
        open_reads: bool = False,
        resolvers: Sequence[Resolver] = (),
    ) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._database = database
        self._clock = clock or SystemClock()
        self._viewing = None if database is None else Viewing(database, self._clock)
        self._open_reads = open_reads
        self._resolvers = tuple(resolvers)

    def __call__(self, request: Request) -> None:
        """Raise Problem 401 unless somebody known asks; what he may was asked at the door."""
        who = getattr(request.state, "principal", None)
        if who is None:
            who = request.state.principal = self.principal(request)
        if not who.is_known:
            raise nobody(request.method)
        request.state.caller = who.caller

    def principal(self, request: Request) -> Principal:
        """Find out who asks; raises Problem 401 for a token that does not count."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and given:
            return self._bearer(request, given)
        for resolve in self._resolvers:
            found = resolve(request)
            if found is not None:
                return found
        caller = visitor(request, STRANGER)
        return open_reader(caller) if self._open_reads and is_on_this_machine(request) else stranger(caller)

    def _bearer(self, request: Request, given: str) -> Principal:
        digest = hashlib.sha256(given.encode()).digest()
        if hmac.compare_digest(digest, self._digest):
            return admin_principal(visitor(request, ADMIN))
        found = self._operator(request, given, digest) or self._client(request, given)
        if found is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "the token is neither the admin token of this service nor that of an operator or a client",
                "read the first from the file that --admin-token-file names, or have one made: "
                "metertree operator add NAME, metertree client add NAME",
                headers=CHALLENGE,
            )
        return found

    def _operator(self, request: Request, given: str, digest: bytes) -> Principal | None:
        if self._database is None or not given.startswith(TOKEN_PREFIX):
            return None
        with self._database.transaction() as connection:
            found = posted_operator(connection, digest)
        if found is None:
            return None
        name, post = found
        caller = visitor(request, name, in_person=True)
        who = Principal(name, frozenset(post.roles), site_scope(post.sites), Kind.OPERATOR, caller)
        wanted = request.headers.get(HEADER)
        return who if wanted is None or self._viewing is None else self._viewing.through(who, wanted)

    def _client(self, request: Request, given: str) -> Principal | None:
        finders = {clients.KEY_PREFIX: clients.client_of_key, clients.TOKEN_PREFIX: clients.client_of_token}
        finder = finders.get(given[: len(clients.KEY_PREFIX)])
        if self._database is None or finder is None:
            return None
        with self._database.transaction() as connection:
            found = finder(connection, given, self._clock.now())
        return None if found is None else client_principal(request, found)


def client_principal(request: Request, found: KnownClient) -> Principal:
    """Give a client as the policy knows it; its name is no operator's."""
    name = f"client/{found.name}"
    caller = visitor(request, name)
    return Principal(name, found.roles, site_scope(found.sites), Kind.CLIENT, caller, scopes=found.scopes)


def nobody(method: str) -> Problem:
    """Say that a call takes a token, and none was shown."""
    what = "reads what is not for everybody" if method in READS else "changes the books"
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        f"this call {what} and carries no token",
        "send the header Authorization: Bearer <your operator's token, a client's key, or the admin token>",
        headers=CHALLENGE,
    )


def is_on_this_machine(request: Request) -> bool:
    """Say whether a call comes from this machine, through no proxy, and to a name of this machine.

    The last keeps a page from elsewhere from reading here by a name of its own that leads to 127.0.0.1. HTTP/1.0 is
    what nginx speaks unless told otherwise, and it says nothing then of whom it asks for; no browser speaks it.
    """
    if any(name in request.headers for name in FORWARDED) or request.scope.get("http_version") == "1.0":
        return False
    return is_loopback(request.client.host if request.client else "") and is_loopback(request.url.hostname or "")


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


def asking(request: Request) -> Principal:
    """Give who asks, as the door found out."""
    found = getattr(request.state, "principal", None)
    if not isinstance(found, Principal):
        raise Problem(HTTPStatus.UNAUTHORIZED, "nobody looked at who calls")
    return found


async def _admitted(request: Request) -> Caller:
    """Without waiting for a thread, as the framework has plain functions do."""
    return admitted(request)


async def _asking(request: Request) -> Principal:
    return asking(request)


Admitted = Annotated[Caller, Depends(_admitted)]
"""Parameter of a guarded handler: who calls."""
Asking = Annotated[Principal, Depends(_asking)]
"""Parameter of any handler or page: who asks, for `Policy.may`, `sees` and `mask`."""
