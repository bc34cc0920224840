"""Installation events as they came, with what became of each; orders' papers, grants. All take an open transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.store.database import Connection, load_queries
from metering.identity import GatewayId, MeterId, NodeId, SiteId
from provisioning.installation import InstallationEvent
from provisioning.installation_events import event_digest, parse_event

APPLIED, HELD = "applied", "held"
HISTORY_MAX = 5000
"""A site with 400 meters has some thousand acts in ten years."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with what became of it: applied, as `site_version`; or held, for a reason."""

    event: InstallationEvent
    octets: bytes
    received_at: datetime
    state: str
    reason: str
    site_version: int | None


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An install order as a list shows it; the claim is nowhere."""

    order: str
    site: SiteId
    gateway: GatewayId
    engineer: str
    ordered_at: datetime
    expires_at: datetime
    burned_at: datetime | None
    has_file: bool


def tail(connection: Connection, gateway: GatewayId, epoch: int) -> tuple[int, bytes] | None:
    """Give number and digest of the newest event of a chain, or None if there is none."""
    row = connection.execute(_query("event_tail"), {"gateway": gateway, "epoch": epoch}).fetchone()
    return None if row is None else (row[0], bytes(row[1]))


def known(connection: Connection, event: str) -> tuple[bytes, str, str] | None:
    """Give digest, state and reason of an event that has arrived before."""
    row = connection.execute(_query("event_digest"), {"event": event}).fetchone()
    return None if row is None else (bytes(row[0]), row[1], row[2])


def add_event(
    connection: Connection,
    event: InstallationEvent,
    octets: bytes,
    *,
    touched: tuple[Collection[MeterId], Collection[NodeId]],
    received_at: datetime,
    reason: str,
    site_version: int,
) -> None:
    """Keep an event; held with a `reason`, applied without one. `touched` are the meters and nodes it speaks of."""
    meters, nodes = touched
    connection.execute(
        _query("add_event"),
        {
            "event": event.id,
            "gateway": event.gateway,
            "epoch": event.epoch,
            "number": event.number,
            "site": event.site,
            "kind": str(event.body.kind),
            "digest": event_digest(octets),
            "octets": octets,
            "done_at": event.at,
            "done_by": event.by,
            "device": event.device,
            "meters": sorted(meters),
            "nodes": sorted(nodes),
            "received_at": received_at,
            "state": HELD if reason else APPLIED,
            "reason": reason,
            "site_version": None if reason else site_version,
        },
    )


def apply_held(connection: Connection, event: str, site_version: int) -> None:
    """Say that an event that was held fits the site now."""
    row = {"event": event, "state": APPLIED, "reason": "", "site_version": site_version}
    connection.execute(_query("settle_event"), row)


def put_version(connection: Connection, events: Iterable[str], site_version: int) -> None:
    """Say which version of the site these events made."""
    connection.execute(_query("site_version_of_events"), {"events": list(events), "site_version": site_version})


def held_events(connection: Connection, site: SiteId) -> tuple[tuple[InstallationEvent, bytes], ...]:
    """Give the events of a site that wait until it fits them, in the order they came."""
    rows = connection.execute(_query("held_events"), {"site": site}).fetchall()
    return tuple((parse_event(bytes(octets)), bytes(octets)) for _, octets in rows)


def history(
    connection: Connection,
    *,
    site: str | None = None,
    gateway: str | None = None,
    meter: str | None = None,
    node: str | None = None,
) -> tuple[StoredEvent, ...]:
    """Give the events of a site, gateway, meter or node, the oldest first."""
    wanted = {"site": site, "gateway": gateway, "meter": meter, "node": node, "most": HISTORY_MAX}
    return tuple(map(_from_row, connection.execute(_query("history"), wanted)))


def read_before(connection: Connection, meters: Collection[MeterId]) -> frozenset[MeterId]:
    """Give those of `meters` of which any reading is kept."""
    if not meters:
        return frozenset()
    rows = connection.execute(_query("read_before"), {"meters": list(meters)})
    return frozenset(MeterId(meter) for (meter,) in rows)


def keep_order_file(
    connection: Connection, order: str, order_file: bytes, voucher_hash: bytes, planned: Collection[MeterId]
) -> None:
    """Keep what the engineer takes along; `planned` are the meters of its plan."""
    row = {"order": order, "order_file": order_file, "voucher_hash": voucher_hash, "planned": sorted(planned)}
    connection.execute(_query("keep_order_file"), row)


def order_papers(connection: Connection, order: str) -> tuple[bytes | None, bytes | None] | None:
    """Give order file and voucher digest of an order, None each if it is from before there were any."""
    row = connection.execute(_query("order_papers"), {"order": order}).fetchone()
    return None if row is None else (_octets(row[0]), _octets(row[1]))


def newest_order_file(connection: Connection, site: SiteId, gateway: GatewayId) -> bytes | None:
    """Give the newest order file of a gateway."""
    row = connection.execute(_query("newest_order_file"), {"site": site, "gateway": gateway}).fetchone()
    return None if row is None else _octets(row[0])


def newest_plan(connection: Connection, site: SiteId, gateway: GatewayId) -> tuple[frozenset[MeterId], bytes | None]:
    """Give the meters of the newest plan of a gateway, and the digest of its voucher."""
    row = connection.execute(_query("newest_plan"), {"site": site, "gateway": gateway}).fetchone()
    return (frozenset(), None) if row is None else (frozenset(map(MeterId, row[0])), _octets(row[1]))


def orders(connection: Connection, site: str | None, gateway: str | None) -> tuple[OrderLine, ...]:
    """List install orders, the newest first."""
    rows = connection.execute(_query("orders"), {"site": site, "gateway": gateway})
    return tuple(OrderLine(order, SiteId(one), GatewayId(name), *rest) for order, one, name, *rest in rows)


def sent_to(connection: Connection, gateway: GatewayId, by: datetime) -> str | None:
    """Name the engineer of the order by which a gateway was enrolled last until `by`, if there was one."""
    row = connection.execute(_query("sent_to"), {"gateway": gateway, "by": by}).fetchone()
    return None if row is None else str(row[0])


def belongs_to(connection: Connection, gateway: GatewayId, site: SiteId) -> bool:
    """Say whether a gateway is or was enrolled for a site."""
    row = connection.execute(_query("belongs_to"), {"gateway": gateway, "site": site}).fetchone()
    return row is not None and bool(row[0])


def add_grant(connection: Connection, gateway: GatewayId, epoch: int, octets: bytes, granted_at: datetime) -> None:
    """Keep the centre's answer to an enrolment."""
    row = {"gateway": gateway, "epoch": epoch, "octets": octets, "granted_at": granted_at}
    connection.execute(_query("add_grant"), row)


def grant_of(connection: Connection, gateway: GatewayId, epoch: int) -> bytes | None:
    """Give the centre's answer to the enrolment of an epoch."""
    row = connection.execute(_query("grant"), {"gateway": gateway, "epoch": epoch}).fetchone()
    return None if row is None else _octets(row[0])


def _from_row(row: tuple[Any, ...]) -> StoredEvent:
    _, _, _, _, _, octets, received_at, state, reason, site_version = row
    return StoredEvent(parse_event(bytes(octets)), bytes(octets), received_at, state, reason, site_version)


def _octets(column: Any) -> bytes | None:
    return None if column is None else bytes(column)


def _query(name: str) -> bytes:
    return load_queries("installation")[name]
