"""What an act at the site does to the site: a pure step from one version to the next, or the reason why not.

The engineer's gateway and the centre take the same steps, so both know of the same site. What is only planned yields:
an expected meter that nobody has bound yet leaves the place where another was found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from metering.identity import GatewayId, MeterId, NodeId
from metering.interval import floor_to_mark
from metering.obis import Obis
from provisioning.installation import (
    Bind,
    Binding,
    Decommission,
    Exchange,
    InstallationEvent,
    PortChange,
    RatioChange,
    RegisterSeen,
    Reparent,
    Replace,
)
from provisioning.site import Exchange as DeclaredExchange
from provisioning.site import Meter, Node, NodeKind, NotInSite, Placement, Site, SiteInvalid, Span

NOTHING_PLANNED: frozenset[MeterId] = frozenset()


def changed(site: Site, event: InstallationEvent, *, planned: Collection[MeterId] = NOTHING_PLANNED) -> Site:
    """Give the site after `event`; raises SiteInvalid with the mend.

    planned   meters of the site that are expected and were never bound
    """
    if event.site != site.id:
        raise SiteInvalid(f"event {event.id} is of site {event.site}, not of {site.id}: send it to that site's centre")
    try:
        site.gateway(event.gateway)
        match event.body:
            case Bind(binding=binding):
                return _bound(site, event.gateway, binding, planned)
            case Exchange() as body:
                return _exchanged(site, event.gateway, body, planned)
            case Reparent() as body:
                return _reparented(site, body)
            case RatioChange() as body:
                return _other_ratio(site, event.gateway, body)
            case Decommission() as body:
                return _with_meters(site, [_ended(site, event.gateway, body.meter, body.at)])
            case PortChange() as body:
                return _other_port(site, event.gateway, body)
            case Replace():
                return site
    except NotInSite as error:
        raise SiteInvalid(f"{error}: add it to the site's files and import them, or name another") from error


def _bound(site: Site, gateway: GatewayId, binding: Binding, planned: Collection[MeterId]) -> Site:
    """Put the meter at its node; one that was bound under the same id before was bound wrongly."""
    site = _with_node(site, binding.node)
    meter = replace(binding.meter, place=binding.place)
    _check_reachable(site, gateway, meter)
    _check_unit(site, binding)
    before = next((one for one in site.meters if one.id == meter.id), None)
    if before is not None and before.id not in planned:
        meter = _corrected(site, before, meter)
    others = [one for one in site.meters if one.id != meter.id]
    # One that has ended was there, whoever bound it.
    there = (one for one in others if one.node == meter.node and one.span.overlaps(meter.span))
    yielding = {one.id for one in there if one.id in planned}
    _check_alone(meter, (one for one in others if one.id not in planned))
    return replace(site, meters=(*(one for one in others if one.id not in yielding), meter))


def _corrected(site: Site, before: Meter, meter: Meter) -> Meter:
    """Give a meter that was bound before as it is bound now: what it counted until now must not lose its place."""
    if before.span.end is not None:
        raise SiteInvalid(
            f"meter {meter.id} is gone since {before.span.end}: one that comes back gets an id of its own"
        )
    fixed = ("serial", "node", "ct", "pt")
    if all(getattr(before, name) == getattr(meter, name) for name in fixed):
        return replace(meter, span=before.span if _earlier(before.span, meter.span) else meter.span)
    if any(meter.id in (one.old, one.new) for one in site.exchanges):
        mend = "declare another exchange, or correct the site's files"
        raise SiteInvalid(f"meter {meter.id} came by an exchange and cannot be bound to something else: {mend}")
    if _earlier(before.span, meter.span):
        since = "always" if before.span.start is None else str(before.span.start)
        mend = "correct it from then on, or declare an exchange, a change of ratio or a decommissioning"
        raise SiteInvalid(f"meter {meter.id} counts since {since} at {before.node} as {before.serial}: {mend}")
    return meter


def _earlier(one: Span, other: Span) -> bool:
    return one.start is None or (other.start is not None and one.start < other.start)


def _exchanged(site: Site, gateway: GatewayId, body: Exchange, planned: Collection[MeterId]) -> Site:
    at, new = body.new.at, body.new.meter
    old = _ended(site, gateway, body.old, at)
    if old.node != new.node:
        raise SiteInvalid(f"meter {old.id} is at node {old.node}, its successor at {new.node}: name one node")
    closing, opening = _by_register(body.closing), _by_register(body.opening)
    if closing.keys() != opening.keys() or not closing:
        told = ", ".join(str(obis) for obis in sorted(closing.keys() ^ opening.keys())) or "no register"
        mend = "tell each settled register of both, 0 if it never counted"
        raise SiteInvalid(f"the exchange of {old.id} tells {told} of one meter only: {mend}")
    declared = [
        DeclaredExchange(old.node, old.id, new.id, at, closing[obis].shown, opening[obis].shown, obis)
        for obis in sorted(closing)
    ]
    site = _bound(_with_meters(site, [old]), gateway, body.new, planned)
    return replace(site, exchanges=(*site.exchanges, *declared))


def _other_ratio(site: Site, gateway: GatewayId, body: RatioChange) -> Site:
    """A meter has one ratio for its life; with another one it is another meter, whose registers begin where it was."""
    old = _ended(site, gateway, body.meter, body.at)
    if any(one.id == body.new for one in site.meters):
        raise SiteInvalid(f"meter {body.new} is there already: give {old.id} another new id")
    if not body.registers:
        raise SiteInvalid(f"meter {old.id}: tell what each settled register showed at the change of ratio")
    new = replace(old, id=body.new, span=Span(body.at), ct=body.ct, pt=body.pt)
    declared = [
        DeclaredExchange(old.node, old.id, new.id, body.at, one.shown, one.shown, one.obis) for one in body.registers
    ]
    site = _with_meters(site, [old, new])
    return replace(site, exchanges=(*site.exchanges, *declared))


def _reparented(site: Site, body: Reparent) -> Site:
    node, parent, at = site.node(body.node), site.node(body.parent), body.at
    if at != floor_to_mark(at):
        raise SiteInvalid(
            f"{at} is no quarter hour: a node moves at one, because costs are split in slots of 15 minutes"
        )
    if node.kind is NodeKind.MAIN:
        raise SiteInvalid(f"node {node.id} is where the site is supplied and has no parent: move another")
    if parent.kind not in (NodeKind.MAIN, NodeKind.BRANCH):
        raise SiteInvalid(f"parent {parent.id} is of kind {parent.kind}: name a main or a branch node")
    kept = [_cut(one, at) for one in node.placements if one.span.start is None or one.span.start < at]
    later = [one.span.start for one in node.placements if one.span.start is not None and one.span.start > at]
    if later:
        raise SiteInvalid(f"node {node.id} moves again at {later[0]} already: give a later instant")
    moved = replace(node, placements=(*kept, Placement(parent.id, Span(at))))
    site = replace(site, nodes=(*(one for one in site.nodes if one.id != node.id), moved))
    _check_no_circle(site, node.id, at)
    return site


def _other_port(site: Site, gateway: GatewayId, body: PortChange) -> Site:
    port = body.port
    before = next((one for one in site.ports if one.id == port.id), None)
    if port.gateway != gateway or (before is not None and before.gateway != gateway):
        owner = port.gateway if before is None else before.gateway
        raise SiteInvalid(f"port {port.id} is not one of {gateway} but of {owner}: name one of its own")
    return replace(site, ports=(*(one for one in site.ports if one.id != port.id), port))


def _with_node(site: Site, node: Node | None) -> Site:
    if node is None or node in site.nodes:
        return site
    if any(one.id == node.id for one in site.nodes):
        raise SiteInvalid(f"node {node.id} is there already and is another: give the new one an id of its own")
    if node.kind is NodeKind.MAIN or not node.placements:
        raise SiteInvalid(f"node {node.id} hangs below nothing: give its parent")
    for placement in node.placements:
        if site.node(placement.parent).kind not in (NodeKind.MAIN, NodeKind.BRANCH):
            raise SiteInvalid(f"node {node.id} cannot hang below {placement.parent}: name a main or a branch node")
    return replace(site, nodes=(*site.nodes, node))


def _ended(site: Site, gateway: GatewayId, meter: MeterId, at: datetime) -> Meter:
    """Give a meter of this gateway as it is when it ends at `at`."""
    found = site.meter(meter)
    if site.port(found.port).gateway != gateway:
        raise SiteInvalid(f"meter {meter} is read by {site.port(found.port).gateway}: send this from that gateway")
    if found.span.end is not None:
        raise SiteInvalid(f"meter {meter} is gone since {found.span.end} already: name the one that is there")
    if found.span.start is not None and at <= found.span.start:
        raise SiteInvalid(f"meter {meter} was bound at {found.span.start}, not before {at}: give a later instant")
    return replace(found, span=Span(found.span.start, at))


def _with_meters(site: Site, meters: Collection[Meter]) -> Site:
    ids = {meter.id for meter in meters}
    return replace(site, meters=(*(one for one in site.meters if one.id not in ids), *meters))


def _check_reachable(site: Site, gateway: GatewayId, meter: Meter) -> None:
    site.node(meter.node)
    if site.port(meter.port).gateway != gateway:
        raise SiteInvalid(f"port {meter.port} of meter {meter.id} is not one of {gateway}: name one of its own")


def _check_unit(site: Site, binding: Binding) -> None:
    if binding.unit is not None and site.unit(binding.unit).node != binding.meter.node:
        meant = site.unit(binding.unit).node
        problem = f"unit {binding.unit} is metered at node {meant}, not at {binding.meter.node}"
        raise SiteInvalid(f"{problem}: bind the meter to {meant}, or name the unit it really feeds")


def _check_alone(meter: Meter, others: Iterable[Meter]) -> None:
    """No other meter at its node, at its address, or with its serial, at one time."""
    for other in others:
        if not other.span.overlaps(meter.span):
            continue
        if other.node == meter.node:
            mend = "exchange it, or decommission it first"
            raise SiteInvalid(f"node {meter.node} has meter {other.id} already: {mend}")
        if (other.port, other.protocol, other.address) == (meter.port, meter.protocol, meter.address):
            mend = "give each meter of a line an address of its own"
            raise SiteInvalid(f"address {meter.address} on port {meter.port} is that of {other.id}: {mend}")
        if other.serial == meter.serial:
            mend = "read both plates again"
            raise SiteInvalid(f"serial {meter.serial} is that of {other.id} at {other.node}: {mend}")


def _check_no_circle(site: Site, node: NodeId, at: datetime) -> None:
    way = [node]
    while (above := site.node(way[-1]).parent_at(at)) is not None:
        if above in way:
            raise SiteInvalid(f"the tree would run in a circle: {' -> '.join([*way, above])}: name another parent")
        way.append(above)


def _cut(placement: Placement, at: datetime) -> Placement:
    end = placement.span.end
    return Placement(placement.parent, Span(placement.span.start, at if end is None or end > at else end))


def _by_register(registers: tuple[RegisterSeen, ...]) -> dict[Obis, RegisterSeen]:
    return {one.obis: one for one in registers}
