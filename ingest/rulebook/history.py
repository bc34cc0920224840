"""Who changed what of a site's books when: versions beside each other, and the audit log beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.audit_log import Verb
from ingest.rulebook.parts import Books, Change, changed_parts
from ingest.store.audit import touching
from ingest.store.database import Connection
from ingest.store.rule_drafts import drafts_of_versions, list_versions
from ingest.store.sites import site_version
from metering.identity import SiteId

SHOWN = 30
"""Versions of which differences are computed: each is read whole."""


@dataclass(frozen=True, slots=True)
class Step:
    """One version and what it changed.

    who      as the audit log names him; "" where it was imported before there was one
    draft    it was released from; None for an import
    changes  against the version before; None for the first
    """

    version: int
    at: datetime
    who: str
    draft: int | None
    changes: tuple[Change, ...] | None

    def of(self, part: str) -> Change | None:
        """Give what it changed of one part."""
        return next((one for one in self.changes or () if one.part == part), None)


def history_of(connection: Connection, site: SiteId, most: int = SHOWN) -> tuple[Step, ...]:
    """Give the newest versions of a site, newest first, each with what it changed."""
    heads = list_versions(connection, site, most + 1)
    acts = touching(connection, [f"site/{site}"], verb=str(Verb.SITE_PUT), most=10 * most)
    who = {(one.told.get("after") or {}).get("version"): one.who for one in acts}
    drafts = drafts_of_versions(connection, site)
    books = {version: _books(connection, site, version) for version, _, _ in heads}
    steps = []
    for place, (version, _, at) in enumerate(heads[:most]):
        before = heads[place + 1][0] if place + 1 < len(heads) else None
        changes = None if before is None else tuple(changed_parts(books[before], books[version]))
        steps.append(Step(version, at, who.get(version, ""), drafts.get(version), changes))
    return tuple(steps)


def _books(connection: Connection, site: SiteId, version: int) -> Books:
    found = site_version(connection, site, version)
    return Books(found.site.to_document(), found.rules)
