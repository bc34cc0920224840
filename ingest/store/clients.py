"""Programs that use the API, their keys and short-lived tokens. Functions take an open transaction.

A key is `mtk_` with eight signs by which it is known and 160 random bits; it is shown once, and its SHA-256 is kept. It
serves as it is, or is changed for an access token (`mta_`, OAuth 2 client credentials). What a key may is what the
roles of its client may, no more than its scopes name, until it ends. A token ends with its key.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ingest.access.policy_file import shipped_policy
from ingest.audit_log import Verb
from ingest.caller import Caller
from ingest.store.audit import record
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import check_identifier

KEY_PREFIX, TOKEN_PREFIX = "mtk_", "mta_"
"""By them, programs that look for secrets in published text find one."""
SECRET_OCTETS = 20
NAME_SIGNS = 8
TOKEN_S = 900
CLIENT_ROLES = ("auditor", "billing", "finance", "leasing")
"""What a program can be: nothing that takes a person."""
USED_EVERY = timedelta(hours=1)
"""How exactly it is known when a key was last used: a note at every call would cost more than the call."""


class ClientRefused(BooksError):
    """A client or a key of one cannot be made or ended."""


@dataclass(frozen=True, slots=True)
class Client:
    """A program; `sites` None: all; `removed_at` None while it counts."""

    name: str
    added_at: datetime
    added_by: str
    removed_at: datetime | None
    roles: tuple[str, ...]
    sites: tuple[str, ...] | None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Client:
        """Read a row of `clients`."""
        name, added_at, added_by, removed_at, roles, sites = row
        return cls(name, added_at, added_by, removed_at, tuple(roles), None if sites is None else tuple(sites))


@dataclass(frozen=True, slots=True)
class Key:
    """A key by its shown part; `scopes` None: all its client may; `used_at` to the hour."""

    key: str
    client: str
    scopes: tuple[str, ...] | None
    made_at: datetime
    made_by: str
    ends_at: datetime | None
    used_at: datetime | None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Key:
        """Read a row of `client_keys`."""
        key, client, scopes, *rest = row
        return cls(key, client, None if scopes is None else tuple(scopes), *rest)

    def counts(self, now: datetime) -> bool:
        """Say whether it has not ended."""
        return self.ends_at is None or self.ends_at > now


@dataclass(frozen=True, slots=True)
class KnownClient:
    """A client that has shown a key or token: what it may, at which sites, limited to which scopes."""

    key: str
    name: str
    roles: frozenset[str]
    sites: tuple[str, ...] | None
    scopes: frozenset[str] | None


def add_client(
    connection: Connection, name: str, roles: Sequence[str], sites: Sequence[str] | None, caller: Caller, now: datetime
) -> None:
    """Add a client, which has no key yet; raises IdentifierInvalid or ClientRefused."""
    check_identifier(name)
    for role in roles or ("",):
        if role not in CLIENT_ROLES:
            raise ClientRefused(f"{role!r} is no role of a program; take one of {', '.join(CLIENT_ROLES)}")
    for site in sites or ():
        check_identifier(site)
    if _find(connection, name) is not None:
        raise ClientRefused(f"there is a client {name} already; names are never given again: take another")
    row = {"client": name, "roles": sorted(set(roles)), "sites": None if sites is None else list(sites)}
    connection.execute(load_queries("clients")["add_client"], {**row, "at": now, "by": caller.name})
    after: dict[str, Any] = {"standing": "in force", "roles": row["roles"]}
    after |= {} if sites is None else {"sites": list(sites)}
    record(connection, caller.act(now, Verb.CLIENT_ADDED, f"client/{name}", after=after))


def remove_client(connection: Connection, name: str, caller: Caller, now: datetime, reason: str = "") -> None:
    """Let nothing of a client count any more, from its next call on; raises ClientRefused."""
    _require(connection, name)
    connection.execute(load_queries("clients")["end_keys"], {"client": name, "key": None, "at": now})
    connection.execute(load_queries("clients")["remove_client"], {"client": name, "at": now})
    after = {"standing": "removed"}
    record(connection, caller.act(now, Verb.CLIENT_REMOVED, f"client/{name}", after=after, reason=reason))


def make_key(
    connection: Connection,
    client: str,
    caller: Caller,
    now: datetime,
    *,
    scopes: Sequence[str] | None = None,
    ends_at: datetime | None = None,
) -> str:
    """Make a key and give it, which is kept nowhere; raises ClientRefused."""
    known = _require(connection, client)
    may = frozenset[str]().union(*(shipped_policy().roles[role].permissions for role in known.roles))
    for scope in scopes or ():
        if scope not in may:
            raise ClientRefused(f"{client} may not {scope!r}, so no key of it can; it may: {', '.join(sorted(may))}")
    if ends_at is not None and ends_at <= now:
        raise ClientRefused("the key would have ended already: give a later instant")
    shown = KEY_PREFIX + _random(NAME_SIGNS * 5 // 8)
    key = f"{shown}_{_random(SECRET_OCTETS)}"
    row: dict[str, Any] = {"key": shown, "client": client, "secret_hash": _hash(key), "at": now, "by": caller.name}
    row |= {"scopes": None if scopes is None else sorted(set(scopes)), "ends_at": ends_at}
    connection.execute(load_queries("clients")["make_key"], row)
    after: dict[str, Any] = {"key": shown} | ({} if scopes is None else {"scopes": row["scopes"]})
    after |= {} if ends_at is None else {"ends_at": ends_at.isoformat()}
    record(connection, caller.act(now, Verb.KEY_MADE, f"client/{client}", after=after))
    return key


def end_keys(connection: Connection, client: str, key: str | None, at: datetime, caller: Caller, now: datetime) -> int:
    """Let a key (None: all keys) of a client end at an instant, unless it ends before; gives how many do."""
    _require(connection, client)
    wanted = {"client": client, "key": key, "at": at}
    ended = [name for (name,) in connection.execute(load_queries("clients")["end_keys"], wanted)]
    if ended:
        after = {"keys": sorted(ended), "ends_at": at.isoformat()}
        record(connection, caller.act(now, Verb.KEY_ENDED, f"client/{client}", after=after))
    return len(ended)


def rotate_key(
    connection: Connection,
    client: str,
    overlap: timedelta,
    caller: Caller,
    now: datetime,
    ends_at: datetime | None = None,
) -> str:
    """Give a new key with the scopes of the newest one; those before count for `overlap` more. Raises ClientRefused."""
    known = [one for one in keys(connection, client) if one.counts(now)]
    if not known:
        raise ClientRefused(f"client {client} has no key in force; make one: metertree client key {client}")
    end_keys(connection, client, None, now + overlap, caller, now)
    return make_key(connection, client, caller, now, scopes=known[-1].scopes, ends_at=ends_at)


def clients(connection: Connection) -> tuple[Client, ...]:
    """List all there ever were, by name."""
    return tuple(Client.from_row(row) for row in connection.execute(load_queries("clients")["clients"]))


def keys(connection: Connection, client: str | None = None) -> tuple[Key, ...]:
    """List keys, of one client if asked, the oldest first; also those that ended."""
    return tuple(Key.from_row(row) for row in connection.execute(load_queries("clients")["keys"], {"client": client}))


def client_of_key(connection: Connection, key: str, now: datetime) -> KnownClient | None:
    """Give the client whose key this is, if it counts; its use is noted."""
    wanted = {"secret_hash": _hash(key), "now": now}
    return _known(connection, connection.execute(load_queries("clients")["client_of_key"], wanted).fetchone(), now)


def client_of_token(connection: Connection, token: str, now: datetime) -> KnownClient | None:
    """Give the client whose access token this is, if it and its key count."""
    wanted = {"token_hash": _hash(token), "now": now}
    return _known(connection, connection.execute(load_queries("clients")["client_of_token"], wanted).fetchone(), now)


def give_token(connection: Connection, known: KnownClient, scopes: frozenset[str] | None, now: datetime) -> str:
    """Give an access token for TOKEN_S seconds; `scopes` are of those its key has."""
    connection.execute(load_queries("clients")["forget_tokens"], {"now": now})
    token = TOKEN_PREFIX + _random(SECRET_OCTETS)
    row: dict[str, Any] = {"token_hash": _hash(token), "key": known.key, "now": now}
    row |= {"scopes": None if scopes is None else sorted(scopes), "ends_at": now + timedelta(seconds=TOKEN_S)}
    connection.execute(load_queries("clients")["give_token"], row)
    return token


def _known(connection: Connection, row: Sequence[Any] | None, now: datetime) -> KnownClient | None:
    if row is None:
        return None
    key, client, roles, sites, scopes, used_at = row
    if used_at is None or now - used_at >= USED_EVERY:
        connection.execute(load_queries("clients")["note_use"], {"key": key, "now": now})
    limit = None if scopes is None else frozenset(scopes)
    return KnownClient(key, client, frozenset(roles), None if sites is None else tuple(sites), limit)


def _find(connection: Connection, name: str) -> Client | None:
    return next((one for one in clients(connection) if one.name == name), None)


def _require(connection: Connection, name: str) -> Client:
    found = _find(connection, name)
    if found is None:
        raise ClientRefused(f"there is no client {name!r}; list them with: metertree client list")
    if found.removed_at is not None:
        raise ClientRefused(f"client {name} was removed {found.removed_at:%Y-%m-%d %H:%M} UTC; add another")
    return found


def _random(octets: int) -> str:
    return base64.b32encode(secrets.token_bytes(octets)).decode().lower().rstrip("=")


def _hash(secret: str) -> bytes:
    # Not a password: 160 random bits need no slow hash.
    return hashlib.sha256(secret.encode()).digest()
