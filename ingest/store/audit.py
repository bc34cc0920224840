"""The audit log in the database: only ever added to, in the transaction of the act. Functions take an open transaction.

    record(connection, caller.act(now, Verb.GATEWAY_REVOKED, "gateway/gw-a", before=..., after=..., reason=...))

Record last in a transaction: the log is written by one at a time, until the transaction ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.audit_log import FIRST, SALT_OCTETS, Act, Entry, Verb, chained, json_text
from ingest.caller import Caller, present
from ingest.store.database import Connection, load_queries

__all__ = [
    "Act",
    "Asked",
    "Verb",
    "asked_entries",
    "entries",
    "head",
    "note",
    "record",
    "touching",
    "whole_texts",
    "withdraw",
]

PAGE = 5000
"""Entries read at once."""


def record(connection: Connection, act: Act) -> Entry:
    """Add an act to the log; it stands there exactly if what was done stands. Raises ActInvalid."""
    queries = load_queries("audit")
    connection.execute(queries["lock_audit"])
    number, previous = head(connection)
    entry = chained(act, number + 1, previous, secrets.token_bytes(SALT_OCTETS))
    connection.execute(
        queries["add_entry"],
        {
            "number": entry.number,
            "at": entry.at,
            "who": entry.who,
            "verb": entry.verb,
            "subject": entry.subject,
            "touches": list(entry.touches),
            "content_hash": entry.content_hash,
            "previous": entry.previous,
            "digest": entry.digest,
            "content": entry.content,
            "salt": entry.salt,
        },
    )
    return entry


def note(
    connection: Connection,
    verb: Verb,
    subject: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    touches: tuple[str, ...] = (),
) -> Entry:
    """Record an act of whoever acts here (`caller.acting`), as of the database's clock; last in a transaction."""
    row = connection.execute(load_queries("audit")["audit_now"]).fetchone()
    assert row is not None
    act = present().act(row[0], verb, subject, before=before, after=after, reason=reason, touches=touches)
    return record(connection, act)


def head(connection: Connection) -> tuple[int, bytes]:
    """Give number and digest of the newest entry; 0 and zeros of an empty log."""
    row = connection.execute(load_queries("audit")["audit_head"]).fetchone()
    return (0, FIRST) if row is None else (row[0], bytes(row[1]))


def entries(connection: Connection) -> Iterator[Entry]:
    """Give the whole log in order, a page at a time."""
    after = 0
    while True:
        rows = connection.execute(load_queries("audit")["audit_page"], {"after": after, "most": PAGE}).fetchall()
        yield from map(_from_row, rows)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def touching(
    connection: Connection,
    subjects: Iterable[str] | None = None,
    *,
    who: str | None = None,
    verb: str | None = None,
    most: int = 1000,
) -> tuple[Entry, ...]:
    """Give the newest entries, newest first: of any of `subjects` (None: of all), of one person, of one kind."""
    wanted = {
        "subjects": None if subjects is None else list(subjects),
        "who": who,
        "verb": verb,
        "most": most,
    }
    return tuple(map(_from_row, connection.execute(load_queries("audit")["entries_touching"], wanted)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the log is asked for: by whom, of what kind, about what, from when until before when; None: any."""

    who: str | None = None
    verb: str | None = None
    subject: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def asked_entries(
    connection: Connection, asked: Asked, *, before: int | None = None, most: int = 1000
) -> tuple[Entry, ...]:
    """Give the newest entries that are asked for, newest first, of those before the entry `before`."""
    wanted = {
        "who": asked.who,
        "verb": asked.verb,
        "subject": asked.subject,
        "start": asked.start,
        "end": asked.end,
        "before": before,
        "most": most,
    }
    return tuple(map(_from_row, connection.execute(load_queries("audit")["entries_asked"], wanted)))


def withdraw(connection: Connection, text: str, caller: Caller, at: datetime, reason: str) -> Entry | None:
    """Take out the content of every entry in which `text` is the whole of a text, and record that; None: it is nowhere.

    Where it is only part of what somebody wrote, a person has to look: `ingest.store.erasure` tells such places.
    """
    found = [
        number for (number,) in connection.execute(load_queries("audit")["withdraw_content"], {"text": json_text(text)})
    ]
    if not found:
        return None
    after = {"entries": sorted(found)}
    return record(connection, caller.act(at, Verb.CONTENT_WITHDRAWN, "audit/content", after=after, reason=reason))


def whole_texts(connection: Connection, text: str) -> int:
    """Count the entries whose content `withdraw` would take out."""
    row = connection.execute(load_queries("audit")["count_whole_texts"], {"text": json_text(text)}).fetchone()
    assert row is not None
    return int(row[0])


def _from_row(row: tuple[Any, ...]) -> Entry:
    number, at, who, verb, subject, touches, hashed, previous, digest, content, salt = row
    return Entry(
        number,
        at,
        who,
        verb,
        subject,
        tuple(touches),
        bytes(hashed),
        bytes(previous),
        bytes(digest),
        content,
        None if salt is None else bytes(salt),
    )
