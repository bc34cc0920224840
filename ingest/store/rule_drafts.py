"""Drafts of a site's rules in the database. Functions take an open transaction; each change is recorded with it.

Whoever saves, hands in or ends a draft says which revision he had before him: what somebody else saved meanwhile is
told to him and never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from ingest.audit_log import Verb
from ingest.rulebook.parts import Change
from ingest.store.audit import note as record_note
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import SiteId

LISTED_MAX = 200
VERSIONS_MAX = 100
CHANGE_KEPT = 4_000
"""Characters of a change in the audit log."""


class DraftState(StrEnum):
    """Where a draft is on its way."""

    OPEN = "open"
    HANDED_IN = "handed-in"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"

    @property
    def is_over(self) -> bool:
        """Say whether nothing can be done with it any more."""
        return self in (DraftState.RELEASED, DraftState.WITHDRAWN)


class DraftUnknown(BooksError):
    """There is no draft of that number at the site."""


class DraftMoved(BooksError):
    """Somebody else saved or ended a draft since it was opened; carries who and when."""

    def __init__(self, by: str, at: datetime, state: DraftState) -> None:
        super().__init__(f"{by} saved it meanwhile, at {at:%Y-%m-%d %H:%M} UTC; it is {state}: open it again")
        self.by = by
        self.at = at
        self.state = state


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A draft as it stands.

    base_version  the version of the site that its changes are written against
    authors       everybody who saved a revision, in lower case
    note          what whoever saved it last says about it
    """

    draft: int
    site: SiteId
    title: str
    base_version: int
    state: DraftState
    revision: int
    changes: tuple[Change, ...]
    authors: tuple[str, ...]
    begun_at: datetime
    saved_by: str
    saved_at: datetime
    note: str
    ended_by: str | None
    ended_at: datetime | None
    released_version: int | None

    @property
    def subject(self) -> str:
        """Under which the audit log has it."""
        return f"rule-draft/{self.draft}"


@dataclass(frozen=True, slots=True)
class Written:
    """What is to be saved of a draft."""

    title: str
    base_version: int
    changes: Sequence[Change]
    note: str = ""

    def row(self, by: str, at: datetime) -> dict[str, Any]:
        """Give the columns."""
        changes = Jsonb([one.to_document() for one in self.changes])
        return {
            "title": self.title,
            "base": self.base_version,
            "changes": changes,
            "note": self.note,
            "by": by,
            "at": at,
        }


def begin_draft(connection: Connection, site: SiteId, written: Written, by: str, at: datetime) -> StoredDraft:
    """Store a new draft."""
    row = connection.execute(load_queries("rule_drafts")["add_draft"], {"site": site, **written.row(by, at)}).fetchone()
    assert row is not None
    stored = require_draft(connection, site, int(row[0]))
    _record(connection, stored, Verb.RULES_DRAFTED, None)
    return stored


def save_draft(connection: Connection, draft: StoredDraft, written: Written, by: str, at: datetime) -> StoredDraft:
    """Store another revision of a draft as somebody has it before him; it is open again. Raises DraftMoved."""
    wanted = {"draft": draft.draft, "revision": draft.revision, **written.row(by, at)}
    return _step(connection, draft, "save_draft", wanted, Verb.RULES_DRAFTED)


def hand_in(connection: Connection, draft: StoredDraft) -> StoredDraft:
    """Say that a draft may be released; raises DraftMoved."""
    wanted = {"draft": draft.draft, "revision": draft.revision}
    return _step(connection, draft, "hand_in_draft", wanted, Verb.RULES_HANDED_IN)


def end_draft(
    connection: Connection, draft: StoredDraft, version: int | None, by: str, at: datetime, reason: str = ""
) -> StoredDraft:
    """Say that a draft was released as `version`, or with None that it was withdrawn; raises DraftMoved."""
    state = DraftState.WITHDRAWN if version is None else DraftState.RELEASED
    verb = Verb.RULES_WITHDRAWN if version is None else Verb.RULES_RELEASED
    wanted = {"draft": draft.draft, "revision": draft.revision, "state": state, "version": version, "by": by, "at": at}
    return _step(connection, draft, "end_draft", wanted, verb, reason)


def require_draft(connection: Connection, site: SiteId, draft: int) -> StoredDraft:
    """Give a draft of a site; raises DraftUnknown."""
    row = connection.execute(load_queries("rule_drafts")["draft"], {"draft": draft}).fetchone()
    found = None if row is None else _from_row(row)
    if found is None or found.site != site:
        raise DraftUnknown(f"site {site} has no draft {draft}")
    return found


def list_drafts(connection: Connection, site: SiteId, most: int = LISTED_MAX) -> tuple[StoredDraft, ...]:
    """List the drafts of a site, those that wait first, newest first."""
    rows = connection.execute(load_queries("rule_drafts")["drafts"], {"site": site, "most": most})
    return tuple(map(_from_row, rows))


def drafts_of_versions(connection: Connection, site: SiteId) -> dict[int, int]:
    """Give the draft that each version was released from, by version."""
    rows = connection.execute(load_queries("rule_drafts")["drafts_of_versions"], {"site": site})
    return {int(version): int(draft) for version, draft in rows}


def list_versions(
    connection: Connection, site: SiteId, most: int = VERSIONS_MAX
) -> tuple[tuple[int, bytes, datetime], ...]:
    """List the versions of a site with hash and time of import, newest first; reads no description."""
    rows = connection.execute(load_queries("rule_drafts")["versions"], {"site": site, "most": most})
    return tuple((int(version), bytes(digest), at) for version, digest, at in rows)


def _step(
    connection: Connection, draft: StoredDraft, query: str, wanted: dict[str, Any], verb: Verb, reason: str = ""
) -> StoredDraft:
    done = connection.execute(load_queries("rule_drafts")[query], wanted).fetchone()
    now = require_draft(connection, draft.site, draft.draft)
    if done is None:
        raise DraftMoved(now.ended_by or now.saved_by, now.ended_at or now.saved_at, now.state)
    _record(connection, now, verb, draft, reason)
    return now


def _record(connection: Connection, now: StoredDraft, verb: Verb, before: StoredDraft | None, reason: str = "") -> None:
    told = [None if one is None else _told(one) for one in (before, now)]
    touches = (f"site/{now.site}",)
    record_note(connection, verb, now.subject, before=told[0], after=told[1], reason=reason, touches=touches)


def _told(draft: StoredDraft) -> dict[str, Any]:
    """Give what the log keeps of a revision: what it wanted of each part, cut where it is a table of thousands."""
    return {
        "title": draft.title,
        "state": str(draft.state),
        "revision": draft.revision,
        "base_version": draft.base_version,
        "parts": [one.part for one in draft.changes],
        "after": [json.dumps(one.after, ensure_ascii=False, sort_keys=True)[:CHANGE_KEPT] for one in draft.changes],
        "version": draft.released_version,
    }


def _from_row(row: tuple[Any, ...]) -> StoredDraft:
    draft, site, title, base, state, revision, changes, authors, begun_at, by, at, note, ended_by, ended_at, out = row
    return StoredDraft(
        draft,
        SiteId(site),
        title,
        base,
        DraftState(state),
        revision,
        tuple(map(Change.from_document, changes)),
        tuple(authors),
        begun_at,
        by,
        at,
        note,
        ended_by,
        ended_at,
        out,
    )
