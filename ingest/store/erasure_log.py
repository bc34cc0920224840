"""Which erasures were done, and the names that stand where others were: what importing a site looks at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import PartyId
from provisioning.site import Names, NotInSite, Site

PARTY, ENGINEER = "party", "engineer"


class PersonErased(BooksError):
    """Somebody wants to put back in what was taken out."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """One that was done. `subject`: id of the party, or salt and hash of the engineer's name."""

    erasure: int
    kind: str
    site: str | None
    subject: str
    reason: str
    erased_at: datetime


def list_erasures(connection: Connection) -> tuple[Erasure, ...]:
    """List all that were done, oldest first."""
    return tuple(Erasure(*row) for row in connection.execute(load_queries("erasure")["erasures"]))


def note_erasure(
    connection: Connection, kind: str, site: str | None, subject: str, reason: str, erased_at: datetime
) -> Erasure:
    """Write down one that was done."""
    row = {"kind": kind, "site": site, "subject": subject, "reason": reason, "erased_at": erased_at}
    found = connection.execute(load_queries("erasure")["add_erasure"], row).fetchone()
    assert found is not None
    return Erasure(found[0], kind, site, subject, reason, erased_at)


def names_of_erased(party: PartyId) -> Names:
    """Give what stands in place of a party's names."""
    return Names(f"已删除 {party}", f"erased {party}")


def refuse_erased(connection: Connection, site: Site) -> None:
    """Raise PersonErased if a version of a site that is to be imported names a party whose names were erased."""
    for one in list_erasures(connection):
        if one.kind != PARTY or one.site != site.id:
            continue
        party, wanted = PartyId(one.subject), names_of_erased(PartyId(one.subject))
        try:
            names = site.party(party).names
        except NotInSite:
            continue
        if names != wanted:
            raise PersonErased(
                f"the names of party {party} were erased on {one.erased_at:%Y-%m-%d} ({one.reason}); take them out of "
                f'the files of the site as well: zh = "{wanted.zh}", en = "{wanted.en}"'
            )
