"""Bindings and other acts that money rests on, each with who approved it. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ingest.store.database import Connection, load_queries
from metering.identity import GatewayId, MeterId, NodeId, SiteId, UnitId
from metering.interval import Interval
from provisioning.installation import EventKind, InstallationEvent
from provisioning.installation_events import parse_event
from provisioning.site import Span

LIST_MAX = 5000


class BindingState(StrEnum):
    """Where a binding stands."""

    HELD = "held"
    """It does not fit the site as it is; nothing was changed."""
    PENDING = "pending"
    """It stands in the site, and waits for a second person."""
    APPROVED = "approved"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    """It was corrected by another."""


@dataclass(frozen=True, slots=True)
class BoundAct:
    """What an act binds from `begins_at` on: a meter with its serial to a node; a node without meter that changed."""

    binding: str
    site: SiteId
    kind: EventKind
    meter: MeterId | None
    serial: str | None
    node: NodeId
    unit: UnitId | None
    begins_at: datetime
    done_by: str


@dataclass(frozen=True, slots=True)
class StoredBinding:
    """A binding with where it stands, who decided about it and why, and the event that made it."""

    act: BoundAct
    ends_at: datetime | None
    state: BindingState
    decided_by: str | None
    decided_at: datetime | None
    decision: str
    event: InstallationEvent
    octets: bytes
    gateway: GatewayId
    received_at: datetime
    held_because: str


@dataclass(frozen=True, slots=True)
class Unapproved:
    """Something a period rests on that nobody approved; `state` is that of its binding, or `unbound` without one."""

    binding: str | None
    kind: str
    meter: MeterId | None
    node: NodeId
    unit: UnitId | None
    state: str
    begins_at: datetime | None
    ends_at: datetime | None
    done_by: str | None


def add_binding(connection: Connection, act: BoundAct, state: BindingState) -> None:
    """Keep a new binding; the database refuses a second active one of its meter, serial or node."""
    connection.execute(
        _query("add_binding"),
        {
            "binding": act.binding,
            "site": act.site,
            "kind": str(act.kind),
            "meter": act.meter,
            "serial": act.serial,
            "node": act.node,
            "unit": act.unit,
            "begins_at": act.begins_at,
            "done_by": act.done_by,
            "state": str(state),
        },
    )


def supersede(connection: Connection, act: BoundAct) -> None:
    """Let what an act corrects count no more: the same meter bound before, or the same move of a node."""
    row = {
        "site": act.site,
        "meter": act.meter,
        "node": act.node,
        "kind": str(act.kind),
        "begins_at": act.begins_at,
        "binding": act.binding,
    }
    if act.meter is None:
        connection.execute(_query("supersede_move"), row)
    else:
        connection.execute(_query("supersede_meter"), row)
        connection.execute(_query("supersede_refused"), row)


def end_binding(connection: Connection, site: SiteId, meter: MeterId, at: datetime) -> None:
    """Let the binding of a meter end, if it has one."""
    connection.execute(_query("end_binding"), {"site": site, "meter": meter, "ends_at": at})


def activate(connection: Connection, act: BoundAct) -> None:
    """Let a binding that was held wait for its approval now, as what it is at the site it fits."""
    row = {"binding": act.binding, "serial": act.serial, "node": act.node, "begins_at": act.begins_at}
    connection.execute(_query("activate"), row)


def undecided_origin(connection: Connection, site: SiteId, meter: MeterId) -> str | None:
    """Give the exchange or change of ratio by which a meter came, while nobody has approved it."""
    row = connection.execute(_query("undecided_origin"), {"site": site, "meter": meter}).fetchone()
    return None if row is None else str(row[0])


def decide(connection: Connection, binding: str, state: BindingState, *, by: str, at: datetime, decision: str) -> None:
    """Keep what a person decided about a binding."""
    row = {"binding": binding, "state": str(state), "decided_by": by, "decided_at": at, "decision": decision}
    connection.execute(_query("decide"), row)


def bindings(
    connection: Connection, *, site: str | None = None, state: str | None = None, meter: str | None = None
) -> tuple[StoredBinding, ...]:
    """List bindings by when they begin."""
    wanted = {"site": site, "state": state, "meter": meter, "most": LIST_MAX}
    return tuple(map(_from_row, connection.execute(_query("bindings"), wanted)))


def binding_held(connection: Connection, binding: str) -> StoredBinding | None:
    """Give one binding, and keep others from deciding about it until the transaction ends."""
    row = connection.execute(_query("binding"), {"binding": binding}).fetchone()
    return None if row is None else _from_row(row)


def site_of(connection: Connection, binding: str) -> SiteId | None:
    """Give the site of a binding, or None if there is no such binding."""
    row = connection.execute(_query("site_of_binding"), {"binding": binding}).fetchone()
    return None if row is None else SiteId(row[0])


def bound_meters(connection: Connection, site: SiteId) -> frozenset[MeterId]:
    """Give every meter of a site that was bound, approved or not."""
    return frozenset(MeterId(meter) for (meter,) in connection.execute(_query("bound_meters"), {"site": site}))


def refused_meters(connection: Connection, site: SiteId) -> dict[MeterId, datetime]:
    """Give the meters that stand in a site by a binding that was refused, and since when."""
    rows = connection.execute(_query("refused_meters"), {"site": site})
    return {MeterId(meter): begins_at for meter, begins_at in rows}


def approved_spans(connection: Connection, site: SiteId) -> dict[MeterId, list[Span]]:
    """Give when each meter of a site is bound with approval."""
    found: dict[MeterId, list[Span]] = {}
    for meter, begins_at, ends_at in connection.execute(_query("approved_spans"), {"site": site}):
        found.setdefault(MeterId(meter), []).append(Span(begins_at, ends_at))
    return found


def active_bindings(connection: Connection, site: SiteId) -> dict[MeterId, tuple[str, str, NodeId, datetime]]:
    """Give binding, serial, node and beginning of every meter of a site that is bound now."""
    rows = connection.execute(_query("active_bindings"), {"site": site})
    return {MeterId(meter): (binding, serial, NodeId(node), at) for binding, meter, serial, node, at in rows}


def other_sites(connection: Connection, site: SiteId, serials: Collection[str]) -> dict[str, str]:
    """Give at which other site a serial is bound now."""
    rows = connection.execute(_query("other_sites_of_serial"), {"site": site, "serials": list(serials)})
    return {serial: other for serial, other, _ in rows}


def unapproved(connection: Connection, site: SiteId, period: Interval) -> tuple[Unapproved, ...]:
    """Give what a period of a site rests on that was done at the site and that nobody has approved."""
    wanted = {"site": site, "first": period.start, "last": period.end}
    return tuple(Unapproved(*row) for row in connection.execute(_query("provisional"), wanted))


def bound_since(connection: Connection, site: SiteId, version: int, period: Interval) -> tuple[str, ...]:
    """Give what was bound in a period of a site after a version of it."""
    wanted = {"site": site, "version": version, "first": period.start, "last": period.end}
    return tuple(binding for (binding,) in connection.execute(_query("bound_since"), wanted))


def _from_row(row: tuple[Any, ...]) -> StoredBinding:
    binding, site, kind, meter, serial, node, unit, begins_at, ends_at, done_by = row[:10]
    state, decided_by, decided_at, decision, octets, gateway, received_at, held_because = row[10:]
    act = BoundAct(binding, SiteId(site), EventKind(kind), meter, serial, NodeId(node), unit, begins_at, done_by)
    return StoredBinding(
        act,
        ends_at,
        BindingState(state),
        decided_by,
        decided_at,
        decision,
        parse_event(bytes(octets)),
        bytes(octets),
        GatewayId(gateway),
        received_at,
        held_because,
    )


def _query(name: str) -> bytes:
    return load_queries("bindings")[name]
