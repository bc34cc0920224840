"""Operators: people who act under their own name, in the roles and at the sites that are theirs. Functions take an open
transaction.

A token is 160 random bits, shown once; its SHA-256 is kept. Names are never given to another person: they stand in the
audit log.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.access.policy_file import shipped_policy
from ingest.access.principal import READER
from ingest.audit_log import Verb
from ingest.caller import ADMIN, SERVICE, Caller
from ingest.store.audit import record
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import check_identifier

TOKEN_OCTETS = 20
TOKEN_PREFIX = "mtop-"
"""By it, programs that look for secrets in published text find one."""
USUAL_ROLES = ("approver", "energy-manager", "field-engineer")
"""What an operator may who is added without a word about it: all that takes a person's name, and no settings."""
_RESERVED = frozenset({ADMIN, SERVICE.name})
_NO_PERSONS = frozenset({READER, "tenant", "billing"})
"""Roles that nobody is given by name."""


class OperatorRefused(BooksError):
    """An operator cannot be added, renewed or removed."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator; `added_at` is when the token he has was made, `removed_at` None while it counts.

    sites   those he may see and change; None: all
    """

    name: str
    added_at: datetime
    added_by: str
    removed_at: datetime | None
    roles: tuple[str, ...] = ()
    sites: tuple[str, ...] | None = None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Operator:
        """Read a row of `operators`."""
        name, added_at, added_by, removed_at, roles, sites = row
        return cls(name, added_at, added_by, removed_at, tuple(roles), None if sites is None else tuple(sites))


@dataclass(frozen=True, slots=True)
class Post:
    """What somebody may: the roles he has, and at which sites (None: all). Cannot be built of roles there are not."""

    roles: tuple[str, ...] = USUAL_ROLES
    sites: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        known = shipped_policy().roles.keys() - _NO_PERSONS
        for role in self.roles:
            if role not in known:
                raise OperatorRefused(f"{role!r} is no role of a person; take one of {', '.join(sorted(known))}")
        if not self.roles:
            raise OperatorRefused(f"an operator has at least one role; take one of {', '.join(sorted(known))}")
        for site in self.sites or ():
            check_identifier(site)
        object.__setattr__(self, "roles", tuple(sorted(set(self.roles))))

    def told(self) -> dict[str, Any]:
        """Give it for the audit log."""
        return {"roles": list(self.roles)} | ({} if self.sites is None else {"sites": list(self.sites)})


def add_operator(connection: Connection, name: str, caller: Caller, now: datetime, post: Post | None = None) -> str:
    """Add an operator and give his token, which is kept nowhere; raises IdentifierInvalid or OperatorRefused."""
    check_identifier(name)
    if name in _RESERVED:
        raise OperatorRefused(f"{name!r} stands for nobody in person: take another name")
    known = _find(connection, name)
    if known is not None:
        mend = "to give the same person a new token: metertree operator renew " + name
        raise OperatorRefused(f"there is an operator {name} {_standing(known)}; take another name, or {mend}")
    return _give(connection, "add_operator", name, Verb.OPERATOR_ADDED, None, caller, now, post or Post())


def renew_operator(connection: Connection, name: str, caller: Caller, now: datetime) -> str:
    """Give an operator a new token in place of the old, also if he was removed; raises OperatorRefused."""
    before = _require(connection, name)
    standing = {"standing": _standing(before)}
    return _give(connection, "renew_operator", name, Verb.OPERATOR_RENEWED, standing, caller, now, _post(before))


def change_operator(
    connection: Connection, name: str, post: Post, caller: Caller, now: datetime, reason: str = ""
) -> None:
    """Give an operator other roles or sites, from his next call on; raises OperatorRefused."""
    before = _require(connection, name)
    row = {"operator": name, "roles": list(post.roles), "sites": None if post.sites is None else list(post.sites)}
    connection.execute(load_queries("operators")["change_operator"], row)
    act = caller.act(
        now,
        Verb.OPERATOR_CHANGED,
        f"operator/{name}",
        before=_post(before).told(),
        after={"standing": _standing(before)} | post.told(),
        reason=reason,
    )
    record(connection, act)


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
    found = posted_operator(connection, token_hash)
    return None if found is None else found[0]


def posted_operator(connection: Connection, token_hash: bytes) -> tuple[str, Post] | None:
    """Give the operator whose token has this SHA-256, if it counts, with what he may."""
    row = connection.execute(load_queries("operators")["operator_of_token"], {"token_hash": token_hash}).fetchone()
    if row is None:
        return None
    name, roles, sites = row
    return str(name), Post(tuple(roles), None if sites is None else tuple(sites))


def operators(connection: Connection) -> tuple[Operator, ...]:
    """List all there ever were, by name."""
    return tuple(Operator.from_row(row) for row in connection.execute(load_queries("operators")["operators"]))


def _give(
    connection: Connection,
    query: str,
    name: str,
    verb: Verb,
    before: dict[str, str] | None,
    caller: Caller,
    now: datetime,
    post: Post,
) -> str:
    token = TOKEN_PREFIX + base64.b32encode(secrets.token_bytes(TOKEN_OCTETS)).decode().lower()
    digest = hashlib.sha256(token.encode()).digest()
    row: dict[str, Any] = {"operator": name, "token_hash": digest, "at": now, "by": caller.name}
    row |= {"roles": list(post.roles), "sites": None if post.sites is None else list(post.sites)}
    connection.execute(load_queries("operators")[query], row)
    after = {"standing": "in force"} | post.told()
    record(connection, caller.act(now, verb, f"operator/{name}", before=before, after=after))
    return token


def _find(connection: Connection, name: str) -> Operator | None:
    return next((one for one in operators(connection) if one.name == name), None)


def _require(connection: Connection, name: str) -> Operator:
    found = _find(connection, name)
    if found is None:
        raise OperatorRefused(f"there is no operator {name!r}; list them with: metertree operator list")
    return found


def _post(one: Operator) -> Post:
    return Post(one.roles, one.sites)


def _standing(one: Operator) -> str:
    return "in force" if one.removed_at is None else f"removed {one.removed_at:%Y-%m-%d %H:%M} UTC"
