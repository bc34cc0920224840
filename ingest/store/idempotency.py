"""Requests that carried an Idempotency-Key, with their answers, for 24 hours. Functions take an open transaction."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from ingest.store.database import Connection, load_queries

KEPT_HOURS = 24
LEASE_S = 60.0
"""How long an unanswered key is held by a process that says nothing more of itself: then it is taken for dead."""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request as the key names it. owner: who asks."""

    owner: str
    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """The key is ours until answered: `begun_at` tells this try from others."""

    begun_at: datetime


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What the first request was answered; `body` None where it held a secret."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Known:
    """The key stands already, by this request or another, answered or not yet."""

    is_same: bool
    answer: KeptAnswer | None


def claim_key(connection: Connection, request: KeyedRequest, *, lease_s: float = LEASE_S) -> Held | Known:
    """Hold the key for this request, or tell what is known of it."""
    queries = load_queries("idempotency")
    connection.execute(queries["drop_old_keys"], {"hours": KEPT_HOURS})
    place = {"owner": request.owner, "key": request.key}
    asked = {"request_hash": request.request_hash, "lease_s": lease_s}
    held = connection.execute(queries["claim_key"], place | asked).fetchone()
    if held is not None:
        return Held(held[0])
    row = connection.execute(queries["known_key"], place).fetchone()
    if row is None:  # it was freed meanwhile: the caller comes again
        return Known(is_same=True, answer=None)
    request_hash, is_answered, status, headers, body = row
    answer = KeptAnswer(status, headers, None if body is None else zlib.decompress(body)) if is_answered else None
    return Known(bytes(request_hash) == request.request_hash, answer)


def renew_key(connection: Connection, request: KeyedRequest, held: Held, *, lease_s: float = LEASE_S) -> None:
    """Say that the request is still being answered."""
    connection.execute(load_queries("idempotency")["renew_key"], _place(request, held) | {"lease_s": lease_s})


def answer_key(connection: Connection, request: KeyedRequest, held: Held, answer: KeptAnswer) -> None:
    """Keep the answer."""
    body = None if answer.body is None else zlib.compress(answer.body)
    kept = {"status": answer.status, "headers": Jsonb(answer.headers), "body": body}
    connection.execute(load_queries("idempotency")["answer_key"], _place(request, held) | kept)


def free_key(connection: Connection, request: KeyedRequest, held: Held) -> None:
    """Forget a request that changed nothing: it may come again."""
    connection.execute(load_queries("idempotency")["free_key"], _place(request, held))


def _place(request: KeyedRequest, held: Held) -> dict[str, object]:
    return {"owner": request.owner, "key": request.key, "begun_at": held.begun_at}
