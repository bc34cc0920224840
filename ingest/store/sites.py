"""Versions of sites: each import that changes something adds one; none is ever edited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from ingest.audit_log import Verb
from ingest.store.audit import note
from ingest.store.bindings import active_bindings
from ingest.store.database import Connection, load_queries
from ingest.store.erasure_log import refuse_erased
from ingest.store.run_changes import note_forgotten
from ingest.store.settled import forget_settled_days
from metering.envelope import encode
from metering.errors import BooksError
from metering.identity import NodeId, SiteId
from provisioning.site import Site


class SiteUnknown(BooksError):
    """No site of this id has been imported."""

    def __init__(self, site: str) -> None:
        super().__init__(f"site {site!r} is not imported; start with: metertree site import DIR")
        self.site = site


class BindingsContradicted(BooksError):
    """A site that is imported has meters otherwise than they were bound at the site."""


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
    connection: Connection, site: Site, rules: dict[str, Any], *, imported_at: datetime, by_events: bool = False
) -> tuple[SiteVersion, bool]:
    """Store a site as its newest version and say whether anything was new; call inside a transaction.

    Where it wires meters otherwise than the version before, what was settled is dropped and settled again from
    readings; runs that were computed from it are told.
    by_events   it is what installation events made of the version before
    Raises PersonErased if it brings back a name that was erased, BindingsContradicted where it has meters otherwise
    than they were bound at the site.
    """
    queries = load_queries("sites")
    document = site.to_document()
    digest = hashlib.sha256(encode([document, rules])).digest()
    lock_site(connection, site.id)
    newest = newest_version(connection, site.id)
    if newest is not None and newest.hash == digest:
        return newest, False
    refuse_erased(connection, site)
    if not by_events:
        refuse_unbound(connection, site)
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
    rewired = None if newest is None else _rewired(newest.site, site)
    if newest is not None:
        note_forgotten(connection, site.id, newest.site.calendar, rewired)
    forget_settled_days(connection, site.id, rewired)
    nodes = None if rewired is None else frozenset(rewired)
    meters = [meter.id for meter in site.meters if nodes is None or meter.node in nodes]
    if meters:
        connection.execute(queries["mark_read_days_unsettled"], {"meters": meters})
    note(
        connection,
        Verb.SITE_PUT,
        f"site/{site.id}",
        before=None if newest is None else {"version": newest.version, "hash": newest.hash.hex()},
        after={"version": version.version, "hash": digest.hex()},
    )
    return version, True


def refuse_unbound(connection: Connection, site: Site) -> None:
    """Raise BindingsContradicted unless every bound meter is in `site` as it was bound: who was there knows better."""
    bound = active_bindings(connection, site.id)
    if not bound:
        return
    meters = {meter.id: meter for meter in site.meters}
    wrong = [
        f"{meter}: bound as {serial} at {node} by {binding}"
        for meter, (binding, serial, node, _) in sorted(bound.items())
        if meter not in meters or (meters[meter].serial, meters[meter].node) != (serial, node)
    ]
    if wrong:
        mend = f"take them over: metertree-provision meters --site {site.id}, or have them corrected at the site"
        raise BindingsContradicted(f"{len(wrong)} meters are not as they were bound ({'; '.join(wrong[:5])}): {mend}")


def _rewired(before: Site, after: Site) -> list[NodeId] | None:
    """Give the nodes whose settled days depend on something that is no longer what it was; None: all of them."""
    if before.calendar != after.calendar:
        return None
    wirings = [_wirings(site) for site in (before, after)]
    old, new = wirings
    return sorted(node for node in old.keys() | new.keys() if old.get(node) != new.get(node))


def _wirings(site: Site) -> dict[NodeId, tuple[Any, ...]]:
    """Give what the settled days of each node depend on, besides the calendar."""
    exchanges: dict[NodeId, list[Any]] = {}
    for exchange in site.exchanges:
        exchanges.setdefault(exchange.node, []).append(exchange)
    nodes = {meter.node for meter in site.meters} | exchanges.keys()
    return {
        node: (tuple(replace(meter, place=None) for meter in site.meters_at(node)), exchanges.get(node))
        for node in nodes
    }


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


def newest_numbers(connection: Connection, site: SiteId | None = None) -> dict[SiteId, int]:
    """Give the number of the version in force, of one site or of all, by site id; reads no description."""
    rows = connection.execute(load_queries("sites")["newest_numbers"], {"site": site})
    return {SiteId(found): int(version) for found, version in rows}


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
