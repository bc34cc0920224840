"""Sessions of operators who signed in on the console. Functions take an open transaction.

What the cookie holds is 256 random bits, of which the SHA-256 is kept: who reads the database cannot sign in with it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.audit_log import Verb
from ingest.caller import Caller
from ingest.store.audit import record
from ingest.store.database import Connection, load_queries
from ingest.store.operators import Post

IDLE = timedelta(minutes=30)
"""A desk that was left is signed out after so long."""
LONGEST = timedelta(hours=12)
"""A working day: nobody stays signed in from one to the next."""
CODE_WAIT = timedelta(minutes=5)
"""How long after the password the second factor may come."""
SEEN_EVERY = timedelta(minutes=1)
"""A call is noted at most so often; every one would write."""
KEPT = timedelta(days=30)
TOKEN_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Session:
    """One browser in which an operator is signed in.

    started_at   when he signed in
    seen_at      newest call, to the minute
    awaits_code  the password was right, and the second factor is still to be shown: nobody is signed in yet
    viewing_as   role through whose eyes he looks; None: his own
    post         what he may, as of now
    """

    session: int
    operator: str
    started_at: datetime
    seen_at: datetime
    awaits_code: bool
    viewing_as: str | None
    post: Post


@dataclass(frozen=True, slots=True)
class Device:
    """One session as its operator sees it in a list: where it was started and on what."""

    session: int
    started_at: datetime
    seen_at: datetime
    address: str
    device: str


def start_session(connection: Connection, caller: Caller, now: datetime, *, awaits_code: bool) -> str:
    """Start a session of an operator and give what its cookie holds, which is kept nowhere."""
    queries = load_queries("sessions")
    connection.execute(queries["delete_old_sessions"], {"before": now - KEPT})
    token = secrets.token_urlsafe(TOKEN_OCTETS)
    row = {"operator": caller.name, "token_hash": _digest(token), "at": now, "awaits_code": awaits_code}
    connection.execute(queries["add_session"], row | {"address": caller.where, "device": caller.device})
    if not awaits_code:
        record(connection, caller.act(now, Verb.SIGNED_IN, f"operator/{caller.name}"))
    return token


def session_of(connection: Connection, token: str, now: datetime) -> Session | None:
    """Give the session whose cookie holds `token`, if it counts at `now`, and note that it was seen."""
    queries = load_queries("sessions")
    wanted = {"token_hash": _digest(token), **_limits(now), "code_after": now - CODE_WAIT}
    row = connection.execute(queries["session_of_token"], wanted).fetchone()
    if row is None:
        return None
    session, operator, started_at, seen_at, awaits_code, viewing_as, roles, sites = row
    post = Post(tuple(roles), None if sites is None else tuple(sites))
    found = Session(session, operator, started_at, seen_at, awaits_code, viewing_as, post)
    if now - found.seen_at >= SEEN_EVERY:
        connection.execute(queries["see_session"], {"session": found.session, "at": now})
    return found


def sessions_of(connection: Connection, operator: str, now: datetime) -> tuple[Device, ...]:
    """List where an operator is signed in, the newest call first."""
    wanted = {"operator": operator, **_limits(now)}
    return tuple(Device(*row) for row in connection.execute(load_queries("sessions")["sessions_of_operator"], wanted))


def end_session(connection: Connection, session: int, operator: str, now: datetime) -> bool:
    """End one session of an operator; False where he has none such."""
    row = {"session": session, "operator": operator, "at": now}
    return connection.execute(load_queries("sessions")["end_session"], row).fetchone() is not None


def end_sessions(connection: Connection, operator: str, now: datetime, *, but: int | None = None) -> int:
    """End all sessions of an operator but one; gives how many there were, signed in or about to."""
    row = {"operator": operator, "kept": but, "at": now}
    return len(connection.execute(load_queries("sessions")["end_other_sessions"], row).fetchall())


def end_from_elsewhere(
    connection: Connection, operator: str, caller: Caller, now: datetime, *, but: int | None = None
) -> int:
    """End all sessions of an operator but one, and say so in the log."""
    count = end_sessions(connection, operator, now, but=but)
    if count:
        record(connection, caller.act(now, Verb.SESSIONS_ENDED, f"operator/{operator}", after={"ended": count}))
    return count


def end_one(connection: Connection, session: int, caller: Caller, now: datetime) -> bool:
    """End one session of the caller, from another, and say so in the log; False where he has none such."""
    ended = end_session(connection, session, caller.name, now)
    if ended:
        record(connection, caller.act(now, Verb.SESSIONS_ENDED, f"operator/{caller.name}", after={"ended": 1}))
    return ended


def view_as(connection: Connection, session: int, role: str | None) -> None:
    """Let the operator of a session look through the eyes of a role; None: through his own again."""
    connection.execute(load_queries("sessions")["view_as"], {"session": session, "role": role})


def _limits(now: datetime) -> dict[str, datetime]:
    return {"started_after": now - LONGEST, "seen_after": now - IDLE}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
