"""Taking out whom data are about: names of parties, names of engineers. What is hashed or signed stays as it is.

Statements, runs and lines name a party by its id alone; its names stand in the documents of the site only. They are
written over there, in every version, and the hash under which a version is known to runs and statements is kept beside
it, so what was provable stays so. Every erasure is noted, in a form that a restored older database can be held against.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from ingest.audit_log import Verb
from ingest.caller import present
from ingest.store.audit import note, whole_texts, withdraw
from ingest.store.database import Connection, Database, load_queries
from ingest.store.erasure_log import ENGINEER, PARTY, Erasure, list_erasures, names_of_erased, note_erasure
from ingest.store.sites import SiteUnknown, newest_version
from metering.errors import BooksError
from metering.identity import PartyId, SiteId
from provisioning.document import to_document
from provisioning.site import Site

SALT_OCTETS = 16
_OF_ENGINEERS = {
    ("install_orders", "engineer"),
    *(("hand_readings", column) for column in ("reader", "entered_by", "decided_by")),
    ("photos", "put_by"),
}
"""Where an engineer is named and is taken out."""
AUDITED = ("audit_log", "content")


class ErasureRefused(BooksError):
    """What is to be taken out is needed still, or not there; the text says which and until when."""


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure would do.

    texts        what would go, as it is written
    records      how many records it would be taken out of
    statements   how many statements name the id and stay as they are; `newest` of them issued then
    mentions     (table, column, rows) where the same text stands and would stay: reasons that people wrote, for example
    """

    kind: str
    site: str | None
    subject: str
    texts: tuple[str, ...]
    records: int
    statements: int
    newest: datetime | None
    mentions: tuple[tuple[str, str, int], ...]


def plan_party(connection: Connection, site: SiteId, party: PartyId, now: datetime) -> ErasurePlan:
    """Say what erasing a party's names would do; raises SiteUnknown, or ErasureRefused while it has a lease."""
    version = newest_version(connection, site)
    if version is None:
        raise SiteUnknown(site)
    _require_no_lease(version.site, party, now)
    documents = [document for _, document, _ in _documents(connection, site)]
    named = [one for document in documents for one in document["parties"] if one["id"] == party]
    if not named:
        raise ErasureRefused(f"site {site} has no party {party!r}; list them with: metertree site show DIR")
    pseudonym = _party_names(party)
    texts = sorted({text for one in named for text in one["names"].values()} - set(pseudonym.values()))
    if not texts:
        raise ErasureRefused(f"the names of {party} in site {site} are erased already")
    row = connection.execute(load_queries("erasure")["statements_of_party"], {"site": site, "party": party}).fetchone()
    assert row is not None
    records = sum(one["names"] != pseudonym for one in named)
    left = _mentions(connection, texts, {("site_versions", "document")})
    return ErasurePlan(PARTY, site, party, tuple(texts), records, row[0], row[1], left)


def plan_engineer(connection: Connection, engineer: str, now: datetime) -> ErasurePlan:
    """Say what erasing an engineer's name would do; raises ErasureRefused while an order waits for him."""
    row = connection.execute(
        load_queries("erasure")["orders_of_engineer"], {"engineer": engineer, "now": now}
    ).fetchone()
    assert row is not None
    orders, waiting, _ = row
    if not orders:
        told = f"no install order names {engineer!r}, and no reading does"
        raise ErasureRefused(f"{told}; names are compared letter by letter")
    if waiting:
        raise ErasureRefused(f"{waiting} install orders wait for {engineer!r}: let them lapse, or be used, first")
    left = _mentions(connection, [engineer], _OF_ENGINEERS)
    withdrawn = whole_texts(connection, engineer)
    left = tuple(
        (table, column, rows - withdrawn * ((table, column) == AUDITED))
        for table, column, rows in left
        if (table, column) != AUDITED or rows > withdrawn
    )
    return ErasurePlan(ENGINEER, None, engineer, (engineer,), orders, 0, None, left)


def erase(connection: Connection, plan: ErasurePlan, reason: str, now: datetime) -> Erasure:
    """Do it, and note it; call inside the transaction that made the plan."""
    if plan.kind == PARTY:
        assert plan.site is not None
        subject = plan.subject
        _blank_party(connection, SiteId(plan.site), PartyId(plan.subject))
    else:
        subject = _hidden(plan.subject, secrets.token_bytes(SALT_OCTETS))
        _blank_engineer(connection, plan.subject, subject)
        withdraw(connection, plan.subject, present(), now, reason)
    done = note_erasure(connection, plan.kind, plan.site, subject, reason, now)
    after = {"kind": plan.kind, "subject": subject, "records": plan.records}
    touches = () if plan.site is None else (f"site/{plan.site}",)
    note(connection, Verb.PERSON_ERASED, f"erasure/{done.erasure}", after=after, reason=reason, touches=touches)
    return done


def erase_again(
    connection: Connection, known: Iterable[tuple[str, str | None, str, str, datetime]]
) -> tuple[Erasure, ...]:
    """Take out of an older database what was taken out since (kind, site, subject, reason, when); give the new."""
    done = {(one.kind, one.site, one.subject) for one in list_erasures(connection)}
    new = []
    for kind, site, subject, reason, erased_at in known:
        if (kind, site, subject) in done:
            continue
        done.add((kind, site, subject))
        if kind == PARTY:
            _blank_party(connection, SiteId(site or ""), PartyId(subject))
        else:
            for (engineer,) in connection.execute(load_queries("erasure")["engineers"]).fetchall():
                if _hidden(engineer, bytes.fromhex(subject.partition(":")[0])) == subject:
                    _blank_engineer(connection, engineer, subject)
                    withdraw(connection, engineer, present(), erased_at, reason)
        new.append(note_erasure(connection, kind, site, subject, reason, erased_at))
    return tuple(new)


def sweep_out(database: Database) -> None:
    """Free what was written over, so that it is gone from the files of the database too."""
    with database.alone() as connection:
        connection.execute(load_queries("erasure")["sweep_out"])


def _require_no_lease(site: Site, party: PartyId, now: datetime) -> None:
    for lease in site.leases:
        if lease.party == party and (lease.span.end is None or lease.span.end > now):
            until = "it has no end" if lease.span.end is None else f"it ends {lease.span.end:%Y-%m-%d %H:%M} UTC"
            raise ErasureRefused(
                f"lease {lease.id} of {party} is in force ({until}): as long as somebody owes, bills need the name"
            )


def _documents(connection: Connection, site: SiteId) -> list[tuple[int, dict[str, Any], bytes | None]]:
    rows = connection.execute(load_queries("erasure")["site_documents"], {"site": site})
    return [(version, document, None if known is None else bytes(known)) for version, document, known in rows]


def _blank_party(connection: Connection, site: SiteId, party: PartyId) -> None:
    for version, document, known in _documents(connection, site):
        original = known or Site.from_document(document).hash
        for one in document["parties"]:
            if one["id"] == party:
                one["names"] = _party_names(party)
        row = {"site": site, "version": version, "document": Jsonb(document), "site_hash": original}
        connection.execute(load_queries("erasure")["put_document"], row)
    connection.execute(load_queries("erasure")["blank_disputes"], {"site": site, "party": party})
    connection.execute(load_queries("erasure")["drop_party_photos"], {"by": f"tenant/{site}/{party}"})


def _blank_engineer(connection: Connection, engineer: str, subject: str) -> None:
    pseudonym = f"erased {subject[-8:]}"
    connection.execute(load_queries("erasure")["put_engineer"], {"engineer": engineer, "pseudonym": pseudonym})


def _party_names(party: PartyId) -> dict[str, str]:
    names: dict[str, str] = to_document(names_of_erased(party))
    return names


def _hidden(name: str, salt: bytes) -> str:
    return f"{salt.hex()}:{hashlib.sha256(salt + name.encode()).hexdigest()}"


def _mentions(
    connection: Connection, texts: Iterable[str], but: set[tuple[str, str]]
) -> tuple[tuple[str, str, int], ...]:
    """Count the rows of each column in which any of `texts` is written out."""
    found: dict[tuple[str, str], int] = {}
    for text in texts:
        statements = connection.execute(load_queries("erasure")["mentions"], {"text": text}).fetchall()
        for table, column, statement in statements:
            row = connection.execute(statement.encode()).fetchone()
            if row is not None and row[0] and (table, column) not in but:
                found[table, column] = found.get((table, column), 0) + row[0]
    return tuple((table, column, rows) for (table, column), rows in sorted(found.items()))
