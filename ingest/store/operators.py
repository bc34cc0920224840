"""Operators: people who may write under their own name. Functions take an open transaction.

A token is 160 random bits, shown once; its SHA-256 is kept. Names are never given to another person: they stand in the
audit log.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from ingest.audit_log import Verb
from ingest.caller import ADMIN, SERVICE, Caller
from ingest.store.audit import record
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import check_identifier

TOKEN_OCTETS = 20
TOKEN_PREFIX = "mtop-"
"""By it, programs that look for secrets in published text find one."""
_RESERVED = frozenset({ADMIN, SERVICE.name})


class OperatorRefused(BooksError):
    """An operator cannot be added, renewed or removed."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator; `added_at` is when the token he has was made, `removed_at` None while it counts."""

    name: str
    added_at: datetime
    added_by: str
    removed_at: datetime | None


def add_operator(connection: Connection, name: str, caller: Caller, now: datetime) -> str:
    """Add an operator and give his token, which is kept nowhere; raises IdentifierInvalid or OperatorRefused."""
    check_identifier(name)
    if name in _RESERVED:
        raise OperatorRefused(f"{name!r} stands for nobody in person: take another name")
    known = _find(connection, name)
    if known is not None:
        mend = "to give the same person a new token: metertree operator renew " + name
        raise OperatorRefused(f"there is an operator {name} {_standing(known)}; take another name, or {mend}")
    return _give(connection, "add_operator", name, Verb.OPERATOR_ADDED, None, caller, now)


def renew_operator(connection: Connection, name: str, caller: Caller, now: datetime) -> str:
    """Give an operator a new token in place of the old, also if he was removed; raises OperatorRefused."""
    before = _require(connection, name)
    standing = {"standing": _standing(before)}
    return _give(connection, "renew_operator", name, Verb.OPERATOR_RENEWED, standing, caller, now)


def remove_operator(connection: Connection, name: str, caller: Caller, now: datetime, reason: str = "") -> None:
    """Let an operator's token count no more, from his next call on; raises OperatorRefused."""
    before = _require(connection, name)
    if before.removed_at is not None:
        raise OperatorRefused(f"operator {name} is removed already, since {before.removed_at:%Y-%m-%d %H:%M} UTC")
    connection.execute(load_queries("operators")["remove_operator"], {"operator": name, "at": now})
    standing = {"standing": _standing(before)}
    record(
        connection,
        caller.act(
            now,
            Verb.OPERATOR_REMOVED,
            f"operator/{name}",
            before=standing,
            after={"standing": "removed"},
            reason=reason,
        ),
    )


def operator_of(connection: Connection, token_hash: bytes) -> str | None:
    """Name the operator whose token has this SHA-256, if it counts."""
    row = connection.execute(load_queries("operators")["operator_of_token"], {"token_hash": token_hash}).fetchone()
    return None if row is None else str(row[0])


def operators(connection: Connection) -> tuple[Operator, ...]:
    """List all there ever were, by name."""
    return tuple(Operator(*row) for row in connection.execute(load_queries("operators")["operators"]))


def _give(
    connection: Connection,
    query: str,
    name: str,
    verb: Verb,
    before: dict[str, str] | None,
    caller: Caller,
    now: datetime,
) -> str:
    token = TOKEN_PREFIX + base64.b32encode(secrets.token_bytes(TOKEN_OCTETS)).decode().lower()
    digest = hashlib.sha256(token.encode()).digest()
    row = {"operator": name, "token_hash": digest, "at": now, "by": caller.name}
    connection.execute(load_queries("operators")[query], row)
    record(connection, caller.act(now, verb, f"operator/{name}", before=before, after={"standing": "in force"}))
    return token


def _find(connection: Connection, name: str) -> Operator | None:
    return next((one for one in operators(connection) if one.name == name), None)


def _require(connection: Connection, name: str) -> Operator:
    found = _find(connection, name)
    if found is None:
        raise OperatorRefused(f"there is no operator {name!r}; list them with: metertree operator list")
    return found


def _standing(one: Operator) -> str:
    return "in force" if one.removed_at is None else f"removed {one.removed_at:%Y-%m-%d %H:%M} UTC"
