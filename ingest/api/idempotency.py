"""The one place where a POST of `/v1` with an `Idempotency-Key` is done once, however often it comes.

The first request holds the key; what comes meanwhile is answered 409, what comes after it gets the answer that was kept
(24 hours), and another request under the same key 422. An answer is kept before it is sent, so a caller who lost it can
ask for it. A request that was refused or failed changed nothing: its key is free again. An answer that must not be
stored (it holds a token or a claim) is not kept: who asks again is told 409 that it was done.

While it is being answered the key is held by a lease that is renewed. A process that is killed loses it after a minute;
then the same request is done anew. Whether the first had been committed by then nobody knows, which is why acts are
safe to repeat by themselves too (a run by its content, a charge by its invoice).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import psycopg
from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.access.principal import Principal
from ingest.api.problems import Problem, problem_response
from ingest.store.database import Connection, Database, DatabaseUnreachable
from ingest.store.idempotency import (
    LEASE_S,
    Held,
    KeptAnswer,
    KeyedRequest,
    Known,
    answer_key,
    claim_key,
    free_key,
    renew_key,
)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
"""Header of an answer that was kept."""
BODY_OCTETS_MAX = 16 << 20
"""Longest body that is looked at under a key: a photo and then some."""
ANSWER_OCTETS_MAX = 8 << 20
"""Longest answer that is kept; a longer one is sent and its key freed, since only trials answer at such length."""
_KEY = re.compile(r'"([\x21\x23-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')
_KEPT_HEADERS = ("content-type", "location", "content-language", "metertree-statement")
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Idempotency:
    """ASGI middleware; who asks is known by the time it is reached."""

    def __init__(self, app: ASGIApp, database: Database, lease_s: float = LEASE_S) -> None:
        self._app = app
        self._database = database
        self._lease_s = lease_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" else []
        is_asked = given and scope["method"] == "POST" and scope["path"].startswith("/v1/")
        who = _who(scope) if is_asked else None
        if who is None:  # of a stranger nothing is kept: he is refused, or proves himself by what he sends
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive)
            request = KeyedRequest(who, _key(given), _request_hash(scope, body))
            found = await self._stored(lambda connection: claim_key(connection, request, lease_s=self._lease_s))
            answer = None if isinstance(found, Held) else _known(found)
        except Problem as problem:
            await problem_response(problem, scope["path"])(scope, receive, send)
            return
        except (DatabaseUnreachable, psycopg.OperationalError):
            away = Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer", "try again", reason="database-away"
            )
            await problem_response(away, scope["path"])(scope, receive, send)
            return
        if isinstance(found, Held):
            await self._answer(request, found, body, scope, send)
        elif answer is not None:
            await answer(scope, receive, send)

    async def _answer(self, request: KeyedRequest, held: Held, body: bytes, scope: Scope, send: Send) -> None:
        """Let the application answer, keep the answer, and send it; free the key unless something was done."""
        taken = _Taken()
        done = asyncio.Event()
        renewing = asyncio.create_task(self._renew(request, held, done))
        kept: KeptAnswer | None = None
        try:
            await self._app(scope, _replayed(body), taken.send)
            kept = taken.answer()
        finally:
            done.set()
            await renewing
            await self._settle(request, held, kept)
        for message in taken.messages:
            await send(message)

    async def _settle(self, request: KeyedRequest, held: Held, kept: KeptAnswer | None) -> None:
        try:
            if kept is None:
                await self._stored(lambda connection: free_key(connection, request, held))
            else:
                await self._stored(lambda connection: answer_key(connection, request, held, kept))
        except (DatabaseUnreachable, psycopg.OperationalError) as error:
            # What was done is done: the caller gets his answer; who asks again waits for the lease to end.
            _log.warning("api.answer_not_kept owner=%s: %s", request.owner, error)

    async def _renew(self, request: KeyedRequest, held: Held, done: asyncio.Event) -> None:
        while True:
            try:
                await asyncio.wait_for(done.wait(), self._lease_s / 3)
            except TimeoutError:
                try:
                    await self._stored(lambda connection: renew_key(connection, request, held, lease_s=self._lease_s))
                except (DatabaseUnreachable, psycopg.OperationalError) as error:
                    _log.warning("api.key_not_renewed owner=%s: %s", request.owner, error)
            else:
                return

    async def _stored(self, act: Callable[[Connection], _T]) -> _T:
        def work() -> _T:
            with self._database.transaction() as connection:
                return act(connection)

        return await run_sync(work)


class _Taken:
    """What the application sent, held back until it is kept."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        """Take a message."""
        self.messages.append(message)

    def answer(self) -> KeptAnswer | None:
        """Give what to keep; None of what changed nothing or is too long."""
        start = self.messages[0]
        body = b"".join(one.get("body", b"") for one in self.messages if one["type"] == "http.response.body")
        if start["status"] >= HTTPStatus.BAD_REQUEST or len(body) > ANSWER_OCTETS_MAX:
            return None
        head = Headers(raw=start["headers"])
        headers = [(name, head[name]) for name in _KEPT_HEADERS if name in head]
        return KeptAnswer(start["status"], headers, None if "no-store" in head.get("cache-control", "") else body)


def _who(scope: Scope) -> str | None:
    """Name who asks; None for strangers."""
    principal = scope.get("state", {}).get("principal")
    return f"{principal.kind}/{principal.name}" if isinstance(principal, Principal) and principal.is_known else None


def _key(given: list[str]) -> str:
    found = _KEY.fullmatch(given[0].strip()) if len(given) == 1 else None
    if found is None:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"{HEADER} is not one text of 1 to 255 printable ASCII characters",
            "draw a UUID for each act and send it with every try of that act",
            reason="idempotency-key-invalid",
        )
    return found[1] or found[2]


async def _read(receive: Receive) -> bytes:
    octets = bytearray()
    while True:
        message = await receive()
        octets += message.get("body", b"")
        if len(octets) > BODY_OCTETS_MAX:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a request with {HEADER} has at most {BODY_OCTETS_MAX} octets",
                "send less at once, or without the header",
            )
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(octets)


def _replayed(body: bytes) -> Receive:
    left = [body]

    async def receive() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return {"type": "http.disconnect"}

    return receive


def _request_hash(scope: Scope, body: bytes) -> bytes:
    named = json.dumps([scope["method"], scope["path"], scope["query_string"].decode("latin-1")]).encode()
    return hashlib.sha256(named + b"\0" + body).digest()


def _known(known: Known) -> Response:
    """Answer a request whose key stands already; raises Problem."""
    if not known.is_same:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"this {HEADER} came with another request before",
            "draw a new key for each act",
            reason="idempotency-key-reused",
        )
    if known.answer is None:
        raise Problem(
            HTTPStatus.CONFLICT,
            "the first request with this key is still being answered",
            "ask again with the same key in a moment",
            reason="idempotency-key-in-flight",
            headers={"Retry-After": "1"},
        )
    if known.answer.body is None:
        raise Problem(
            HTTPStatus.CONFLICT,
            "this was done, and its answer held a secret that is kept nowhere",
            "undo it and do it again with a new key",
            reason="idempotency-answer-not-kept",
        )
    headers = dict(known.answer.headers) | {REPLAYED: "true"}
    return Response(known.answer.body, known.answer.status, headers)
