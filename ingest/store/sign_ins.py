"""By what operators sign in: links to begin with, passwords, second factors. Functions take an open transaction."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.audit_log import Verb
from ingest.caller import Caller
from ingest.passwords import hash_password, new_recovery_codes, recovery_digest, recovery_hashes
from ingest.store.audit import record
from ingest.store.database import Connection, load_queries
from ingest.store.operators import OperatorRefused, operators
from ingest.store.sessions import end_sessions

LINK_OCTETS = 20
LINK_LASTS = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SignIn:
    """By what an operator signs in.

    code_secret      of one-time codes; None: no second factor
    code_step        step of the newest code used
    recovery_hashes  of the recovery codes that are left
    """

    operator: str
    password_hash: str
    password_at: datetime
    code_secret: bytes | None
    code_since: datetime | None
    code_step: int
    recovery_hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetUp:
    """How far an operator is: with a password since, with a second factor since, with a link that is open until."""

    password_at: datetime | None
    code_since: datetime | None
    link_until: datetime | None


@dataclass(frozen=True, slots=True)
class SignInLink:
    """The link of an operator that still counts."""

    operator: str
    expires_at: datetime


def sign_in_of(connection: Connection, operator: str) -> SignIn | None:
    """Give by what an operator signs in; None for who has no password, was removed, or does not exist."""
    return _sign_in(connection, "sign_in_of", operator)


def hold_sign_in(connection: Connection, operator: str) -> SignIn | None:
    """Give the same, and let nobody change it until the transaction ends."""
    return _sign_in(connection, "hold_sign_in", operator)


def _sign_in(connection: Connection, query: str, operator: str) -> SignIn | None:
    row = connection.execute(load_queries("sign_ins")[query], {"operator": operator}).fetchone()
    if row is None:
        return None
    name, hashed, password_at, secret, since, step, recovery = row
    kept = None if secret is None else bytes(secret)
    return SignIn(name, hashed, password_at, kept, since, step, tuple(bytes(one) for one in recovery))


def set_ups(connection: Connection, now: datetime) -> Mapping[str, SetUp]:
    """Give how far every operator is."""
    rows = connection.execute(load_queries("sign_ins")["sign_ins_set_up"], {"at": now})
    return {name: SetUp(*rest) for name, *rest in rows}


# Links


def make_link(connection: Connection, operator: str, caller: Caller, now: datetime) -> str:
    """Make the link by which an operator chooses a password, in place of any before; raises OperatorRefused."""
    known = next((one for one in operators(connection) if one.name == operator), None)
    if known is None or known.removed_at is not None:
        raise OperatorRefused(f"there is no operator {operator!r} in force; list them with: metertree operator list")
    queries = load_queries("sign_ins")
    token = base64.b32encode(secrets.token_bytes(LINK_OCTETS)).decode().lower()
    connection.execute(queries["end_links"], {"operator": operator, "at": now})
    row = {"token_hash": _digest(token), "operator": operator, "at": now, "by": caller.name}
    connection.execute(queries["add_link"], row | {"expires_at": now + LINK_LASTS})
    after = {"expires_at": f"{now + LINK_LASTS:%Y-%m-%dT%H:%MZ}"}
    record(connection, caller.act(now, Verb.SIGN_IN_LINK_MADE, f"operator/{operator}", after=after))
    return token


def link_of(connection: Connection, token: str, now: datetime) -> SignInLink | None:
    """Give the link of a token, if it still counts."""
    wanted = {"token_hash": _digest(token), "at": now}
    row = connection.execute(load_queries("sign_ins")["operator_of_link"], wanted).fetchone()
    return None if row is None else SignInLink(*row)


def use_link(connection: Connection, token: str, now: datetime) -> str | None:
    """Use a link up and give its operator; None where it does not count, or somebody was faster."""
    wanted = {"token_hash": _digest(token), "at": now}
    row = connection.execute(load_queries("sign_ins")["end_link"], wanted).fetchone()
    return None if row is None else str(row[0])


# Passwords


def set_password(
    connection: Connection, operator: str, password: str, caller: Caller, now: datetime, *, kept: int | None = None
) -> None:
    """Give an operator a password, and end all his sessions but `kept`; it was looked at before (require_good)."""
    row = {"operator": operator, "password_hash": hash_password(password), "at": now}
    connection.execute(load_queries("sign_ins")["set_password"], row)
    end_sessions(connection, operator, now, but=kept)
    record(connection, caller.act(now, Verb.PASSWORD_CHOSEN, f"operator/{operator}"))


def renew_hash(connection: Connection, known: SignIn, password: str) -> None:
    """Hash a password again at today's costs, now that it is at hand."""
    row = {"operator": known.operator, "before": known.password_hash, "password_hash": hash_password(password)}
    connection.execute(load_queries("sign_ins")["renew_hash"], row)


# Second factors


def set_code(
    connection: Connection, operator: str, secret: bytes, step: int, caller: Caller, now: datetime
) -> Sequence[str]:
    """Set up one-time codes, the first of which (of `step`) was shown; gives the recovery codes, kept nowhere."""
    codes = new_recovery_codes()
    row = {"operator": operator, "secret": secret, "at": now, "step": step, "recovery_hashes": recovery_hashes(codes)}
    connection.execute(load_queries("sign_ins")["set_code"], row)
    record(connection, caller.act(now, Verb.SECOND_FACTOR_SET, f"operator/{operator}"))
    return codes


def drop_code(connection: Connection, operator: str, caller: Caller, now: datetime, reason: str = "") -> bool:
    """Take away the second factor, because its operator wants it or lost it; False where there was none."""
    dropped = connection.execute(load_queries("sign_ins")["drop_code"], {"operator": operator}).fetchone() is not None
    if dropped:
        record(connection, caller.act(now, Verb.SECOND_FACTOR_DROPPED, f"operator/{operator}", reason=reason))
    return dropped


def use_code(connection: Connection, operator: str, step: int) -> bool:
    """Use a code up; False where it, or a later one, was used before."""
    row = {"operator": operator, "step": step}
    return connection.execute(load_queries("sign_ins")["use_code"], row).fetchone() is not None


def use_recovery(connection: Connection, operator: str, code: str) -> int | None:
    """Use a recovery code up and give how many are left; None where it is none of his."""
    row = {"operator": operator, "digest": recovery_digest(code)}
    found = connection.execute(load_queries("sign_ins")["use_recovery"], row).fetchone()
    return None if found is None else int(found[0])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
