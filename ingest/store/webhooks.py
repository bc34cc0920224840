"""Endpoints, their secrets and deliveries in the database. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from ingest.alert_findings import FailingEndpoint
from ingest.event_kinds import EventKind
from ingest.store.database import Connection, load_queries
from ingest.webhooks.ladder import Answer, Fate, Health, Verdict
from ingest.webhooks.signing import Algorithm, Secret, SecretBox
from metering.identity import SiteId

LEASE = timedelta(minutes=2)
"""Longer than any try: what was claimed by a program that was killed is claimed again after it."""
LISTED_MAX = 500


@dataclass(frozen=True, slots=True)
class Wants:
    """Which events an endpoint gets; None: of every kind, of every site and of the centre."""

    kinds: tuple[EventKind, ...] | None = None
    sites: tuple[SiteId, ...] | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """As the queries take them."""
        kinds = None if self.kinds is None else [str(one) for one in self.kinds]
        return {"kinds": kinds, "sites": None if self.sites is None else list(self.sites)}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events go.

    owner         who added it: `client/<name>`, `operator/<name>`, `admin/admin`, or `local/<account>`
    state         on, off, gone, failing
    waiting, dead deliveries that are on their way, and that failed for good
    """

    endpoint: str
    owner: str
    url: str
    wants: Wants
    description: str
    state: str
    added_at: datetime
    state_at: datetime
    health: Health
    paused_until: datetime | None
    delivered_at: datetime | None
    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret as it is kept: sealed; `public_key` None for HMAC, `ends_at` None for the newest."""

    number: int
    algorithm: Algorithm
    sealed: bytes
    public_key: str | None
    made_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to try; `attempt` counts from 1."""

    endpoint: str
    event: str
    attempt: int
    url: str
    owner: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery with what became of it; each of `tries` has `at`, `status`, `fault`, `took_ms`."""

    endpoint: str
    event: str
    kind: EventKind
    subject: str
    number: int
    state: Fate
    made_at: datetime
    attempt: int
    next_at: datetime
    delivered_at: datetime | None
    tries: Sequence[dict[str, Any]]


def add_endpoint(
    connection: Connection, endpoint: str, *, owner: str, url: str, wants: Wants, description: str, now: datetime
) -> None:
    """Add an endpoint, which is on."""
    row = {"endpoint": endpoint, "owner": owner, "url": url, "description": description, "now": now}
    connection.execute(load_queries("webhooks")["add_endpoint"], row | wants.columns)


def endpoints(connection: Connection, *, endpoint: str | None = None, owner: str | None = None) -> tuple[Endpoint, ...]:
    """List endpoints that were not removed, all or those of one owner."""
    rows = connection.execute(load_queries("webhooks")["endpoints"], {"endpoint": endpoint, "owner": owner})
    return tuple(map(_endpoint, rows))


def change_endpoint(connection: Connection, endpoint: str, *, url: str, wants: Wants, description: str) -> None:
    """Give an endpoint another URL, or other wants."""
    row = {"endpoint": endpoint, "url": url, "description": description}
    connection.execute(load_queries("webhooks")["change_endpoint"], row | wants.columns)


def turn_endpoint(connection: Connection, endpoint: str, state: str, now: datetime) -> None:
    """Turn an endpoint on or off; turned on, all that waits is tried at once, removed, nothing is tried any more."""
    queries, row = load_queries("webhooks"), {"endpoint": endpoint, "state": state, "now": now}
    connection.execute(queries["turn_endpoint"], row)
    if state == "on":
        connection.execute(queries["hasten_deliveries"], row)
    if state == "removed":
        connection.execute(queries["drop_waiting"], row)


def add_secret(connection: Connection, box: SecretBox, endpoint: str, secret: Secret, now: datetime) -> int:
    """Give an endpoint a newer secret, sealed; give its number."""
    number = 1 + max((one.number for one in secrets_of(connection, endpoint)), default=0)
    row = {
        "endpoint": endpoint,
        "number": number,
        "algorithm": str(secret.algorithm),
        "sealed": box.seal(secret, endpoint, number),
        "public_key": secret.public_key,
        "now": now,
    }
    connection.execute(load_queries("webhooks")["add_secret"], row)
    return number


def end_secrets(connection: Connection, endpoint: str, ends_at: datetime) -> None:
    """Let every secret there is end at an instant, or earlier where it does already."""
    connection.execute(load_queries("webhooks")["end_secrets"], {"endpoint": endpoint, "ends_at": ends_at})


def secrets_of(connection: Connection, endpoint: str) -> tuple[StoredSecret, ...]:
    """List all secrets an endpoint ever had, the newest first."""
    rows = connection.execute(load_queries("webhooks")["secrets"], {"endpoint": endpoint})
    return tuple(
        StoredSecret(number, Algorithm(algorithm), bytes(sealed), *rest) for number, algorithm, sealed, *rest in rows
    )


def signing_secrets(connection: Connection, box: SecretBox, endpoint: str, now: datetime) -> tuple[Secret, ...]:
    """Open those secrets of an endpoint that sign now, the newest first; raises SealBroken."""
    return tuple(
        box.open(one.sealed, one.algorithm, endpoint, one.number)
        for one in secrets_of(connection, endpoint)
        if one.ends_at is None or one.ends_at > now
    )


def claim_delivery(connection: Connection, now: datetime, at_once: int) -> Claimed | None:
    """Take the delivery that has been due longest, and keep others from it for LEASE; None: nothing is due.

    at_once   tries that one endpoint may have in hand at the same time
    """
    row = connection.execute(
        load_queries("webhooks")["claim_delivery"], {"now": now, "until": now + LEASE, "at_once": at_once}
    ).fetchone()
    return None if row is None else Claimed(*row)


def health_of(connection: Connection, endpoint: str) -> tuple[str, Health]:
    """Give state and health of an endpoint, and keep them still until the transaction ends."""
    row = connection.execute(load_queries("webhooks")["hold_endpoint"], {"endpoint": endpoint}).fetchone()
    assert row is not None, "no endpoint is ever deleted"
    return row[0], Health(row[1], row[2])


def settle_delivery(connection: Connection, claimed: Claimed, answer: Answer, verdict: Verdict, now: datetime) -> bool:
    """Write down what came of a try; say whether it counts: not, if the delivery was sent anew meanwhile."""
    tried = {"at": now.isoformat(), "status": answer.status, "fault": answer.fault, "took_ms": answer.took_ms}
    row = {
        "endpoint": claimed.endpoint,
        "event": claimed.event,
        "attempt": claimed.attempt,
        "state": str(verdict.fate),
        "next_at": verdict.next_at,
        "now": now,
        "tried": Jsonb([tried]),
    }
    return connection.execute(load_queries("webhooks")["settle_delivery"], row).fetchone() is not None


def note_health(connection: Connection, endpoint: str, verdict: Verdict, now: datetime) -> None:
    """Write down how an endpoint has done."""
    row = {
        "endpoint": endpoint,
        "failures": verdict.health.failures,
        "failing_since": verdict.health.failing_since,
        "paused_until": verdict.paused_until,
        "now": now,
    }
    connection.execute(load_queries("webhooks")["note_health"], row)


def deliveries(
    connection: Connection, endpoint: str, *, state: Fate | None, before: int | None, most: int
) -> tuple[Delivery, ...]:
    """List deliveries to an endpoint, of the newest events first; `before` is a number of an event."""
    wanted = {"endpoint": endpoint, "state": state, "before": before, "most": most}
    return tuple(_delivery(row) for row in connection.execute(load_queries("webhooks")["deliveries"], wanted))


def replay_one(connection: Connection, endpoint: Endpoint, event: str, now: datetime) -> bool:
    """Send one event to an endpoint, again or for the first time; False: there is none that it gets."""
    row = {"endpoint": endpoint.endpoint, "event": event, "now": now} | endpoint.wants.columns
    return connection.execute(load_queries("webhooks")["replay_one"], row).fetchone() is not None


def replay_since(connection: Connection, endpoint: Endpoint, since: datetime, now: datetime, *, only_dead: bool) -> int:
    """Send all events told since an instant to an endpoint again, or its dead letters only; give how many."""
    row = {"endpoint": endpoint.endpoint, "since": since, "now": now, "only_dead": only_dead} | endpoint.wants.columns
    return connection.execute(load_queries("webhooks")["replay_since"], row).rowcount


def owner_posts(connection: Connection, kind: str, name: str) -> tuple[tuple[str, ...], tuple[str, ...] | None] | None:
    """Give roles and sites (None: all) of an operator or client; None once he was removed."""
    row = connection.execute(load_queries("webhooks")["owner"], {"kind": kind, "name": name}).fetchone()
    return None if row is None else (tuple(row[0]), None if row[1] is None else tuple(row[1]))


def failing_endpoints(connection: Connection, before: datetime) -> tuple[FailingEndpoint, ...]:
    """List endpoints turned off by their answers, failing since before an instant, or with dead letters."""
    rows = connection.execute(load_queries("webhooks")["failing_endpoints"], {"before": before})
    return tuple(FailingEndpoint(*row) for row in rows)


def _endpoint(row: Sequence[Any]) -> Endpoint:
    endpoint, owner, url, kinds, sites, description, state, added_at, state_at, failures, since, *rest = row
    wants = Wants(
        None if kinds is None else tuple(map(EventKind, kinds)), None if sites is None else tuple(map(SiteId, sites))
    )
    health = Health(failures, since)
    return Endpoint(endpoint, owner, url, wants, description, state, added_at, state_at, health, *rest)


def _delivery(row: Sequence[Any]) -> Delivery:
    endpoint, event, kind, subject, number, state, *rest = row
    return Delivery(endpoint, event, EventKind(kind), subject, number, Fate(state), *rest)
