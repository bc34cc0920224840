"""Versions of sites: each import that changes something adds one; none is ever edited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from ingest.store.database import Connection, load_queries
from ingest.store.erasure_log import refuse_erased
from ingest.store.settled import forget_settled_days
from metering.envelope import encode
from metering.errors import BooksError
from metering.identity import SiteId
from provisioning.site import Site


class SiteUnknown(BooksError):
    """No site of this id has been imported."""

    def __init__(self, site: str) -> None:
        super().__init__(f"site {site!r} is not imported; start with: metertree site import DIR")
        self.site = site


@dataclass(frozen=True, slots=True)
class SiteVersion:
    """One imported version of a site with the rules (tariff, pools, series) that came with it.

    hash   SHA-256 over both documents: the same import twice gives one version
    rules  their plain form, as `allocation_engine.rules_file` reads it back
    """

    site: Site
    version: int
    hash: bytes
    rules: dict[str, Any]
    imported_at: datetime


def import_site(
    connection: Connection, site: Site, rules: dict[str, Any], *, imported_at: datetime
) -> tuple[SiteVersion, bool]:
    """Store a site as its newest version and say whether anything was new; call inside a transaction.

    If it wires meters otherwise than the version before, everything settled is dropped and settled again from readings.
    """
    queries = load_queries("sites")
    document = site.to_document()
    digest = hashlib.sha256(encode([document, rules])).digest()
    lock_site(connection, site.id)
    newest = newest_version(connection, site.id)
    if newest is not None and newest.hash == digest:
        return newest, False
    refuse_erased(connection, site)
    version = SiteVersion(site, 1 if newest is None else newest.version + 1, digest, rules, imported_at)
    connection.execute(
        queries["add_version"],
        {
            "site": site.id,
            "version": version.version,
            "hash": digest,
            "document": Jsonb(document),
            "rules": Jsonb(rules),
            "imported_at": imported_at,
        },
    )
    if newest is None or _wiring(newest.site) != _wiring(site):
        forget_settled_days(connection, site.id)
        connection.execute(queries["mark_read_days_unsettled"], {"meters": [meter.id for meter in site.meters]})
    return version, True


def _wiring(site: Site) -> tuple[Any, ...]:
    """Give the parts of a site that settled days depend on."""
    return (site.calendar, site.meters, site.exchanges)


def lock_site(connection: Connection, site: SiteId) -> None:
    """Let no other import, settlement or run of this site go on until the transaction ends."""
    connection.execute(load_queries("sites")["lock_site"], {"site": site})


def newest_version(connection: Connection, site: SiteId) -> SiteVersion | None:
    """Give the version of a site that is in force, or None if it was never imported."""
    row = connection.execute(load_queries("sites")["newest_version"], {"site": site}).fetchone()
    return None if row is None else _from_row(row)


def require_site(connection: Connection, site: SiteId) -> SiteVersion:
    """Give the version of a site that is in force; raises SiteUnknown."""
    found = newest_version(connection, site)
    if found is None:
        raise SiteUnknown(site)
    return found


def newest_versions(connection: Connection) -> tuple[SiteVersion, ...]:
    """Give the version in force of every site, by site id."""
    return tuple(_from_row(row) for row in connection.execute(load_queries("sites")["newest_versions"]))


def site_ids(connection: Connection) -> tuple[SiteId, ...]:
    """Give the id of every site, those with the longest description first; reads no description."""
    return tuple(SiteId(site) for (site,) in connection.execute(load_queries("sites")["site_ids"]))


def site_version(connection: Connection, site: SiteId, version: int) -> SiteVersion:
    """Give one version of a site; raises SiteUnknown."""
    row = connection.execute(load_queries("sites")["version"], {"site": site, "version": version}).fetchone()
    if row is None:
        raise SiteUnknown(site)
    return _from_row(row)


def _from_row(row: tuple[Any, ...]) -> SiteVersion:
    _, version, digest, document, rules, imported_at, site_hash = row
    site = Site.from_document(document, known_hash=None if site_hash is None else bytes(site_hash))
    return SiteVersion(site, version, bytes(digest), rules or {}, imported_at)
