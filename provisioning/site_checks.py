"""Does what was written about a site fit together, at every instant? Each check gives the faults of one rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any, TypeVar

from metering.errors import Fault
from metering.identity import NodeId
from metering.interval import floor_to_mark
from provisioning.site import Lease, Meter, Node, NodeKind, PartyKind, Span
from provisioning.site_draft import Entry, SiteDraft, Table
from provisioning.toml_table import near

T = TypeVar("T")
D = TypeVar("D", Lease, Meter)

_ON_MARK = "write a quarter hour (:00, :15, :30, :45), because costs are split in slots of 15 minutes"


def site_faults(draft: SiteDraft) -> Iterator[Fault]:
    """Give every fault of the tree, the units, the leases and the exchanges."""
    for check in (_references, _tree, _placement_order, _cycles, _units, _leases, _owner, _metering_points, _exchanges):
        yield from check(draft)


def grouped(entries: Iterable[Entry[T]], key: Callable[[T], Hashable]) -> Iterator[list[Entry[T]]]:
    """Give the entries that share a key, in written order."""
    groups: dict[Hashable, list[Entry[T]]] = defaultdict(list)
    for entry in entries:
        groups[key(entry.item)].append(entry)
    yield from groups.values()


def meeting(group: Iterable[Entry[D]]) -> Iterator[tuple[Entry[D], Entry[D]]]:
    """Give each two entries of a group whose spans overlap."""
    return ((first, second) for first, second in combinations(group, 2) if first.item.span.overlaps(second.item.span))


def _references(draft: SiteDraft) -> Iterator[Fault]:
    """Every id that is named must have been written somewhere, be it in an entry with other mistakes."""
    named: tuple[tuple[Table[Any], str, Table[Any]], ...] = (
        (draft.units, "building", draft.nodes),
        (draft.units, "node", draft.nodes),
        (draft.ports, "gateway", draft.gateways),
        (draft.meters, "port", draft.ports),
        (draft.meters, "node", draft.nodes),
        (draft.exchanges, "node", draft.nodes),
        (draft.exchanges, "old", draft.meters),
        (draft.exchanges, "new", draft.meters),
        (draft.leases, "unit", draft.units),
        (draft.leases, "party", draft.parties),
    )
    for table, key, target in named:
        for entry in table:
            yield from _unknown(entry, key, getattr(entry.item, key), target)
    for node in draft.nodes:
        for placement in node.item.placements:
            yield from _unknown(node, _parent_key(node), placement.parent, draft.nodes)


def _unknown(entry: Entry[Any], key: str, name: str, target: Table[Any]) -> Iterator[Fault]:
    if name not in target.written:
        yield entry.fault(key, f"{key} {name!r} is not among the {target.name}", near(name, target.written))


def _parent_key(entry: Entry[Node]) -> str:
    """Say by which of its two keys the parent of a node was written."""
    return "parents" if (*entry.place, "parents") in entry.source.lines else "parent"


def _tree(draft: SiteDraft) -> Iterator[Fault]:
    nodes = {entry.item.id: entry.item for entry in draft.nodes}
    if not draft.nodes.written:
        yield draft.header.fault("", "the site has no nodes", "write at least one [[nodes]] of kind main")
    elif not any(node.kind is NodeKind.MAIN for node in nodes.values()) and len(nodes) == len(draft.nodes.written):
        yield draft.header.fault("nodes", "no node is of kind main", 'give the node at the supply kind = "main"')
    for entry in draft.nodes:
        node = entry.item
        if node.kind is NodeKind.MAIN and node.placements:
            yield entry.fault(
                _parent_key(entry), f"main node {node.id} has a parent", "leave the parent out, or change the kind"
            )
        if node.kind is not NodeKind.MAIN and not node.placements:
            yield entry.fault("", f"node {node.id} has no parent", 'write parent = "..."; only main nodes have none')
        for placement in node.placements:
            parent = nodes.get(placement.parent)
            if parent is not None and parent.kind in (NodeKind.END, NodeKind.GENERATION):
                mend = f"make {parent.id} a branch, or hang {node.id} below another node"
                yield entry.fault(_parent_key(entry), f"parent {parent.id} is of kind {parent.kind}", mend)


def _placement_order(draft: SiteDraft) -> Iterator[Fault]:
    """The parents of a node follow one another without gap or overlap, and change at a mark."""
    for entry in draft.nodes:
        for earlier, later in pairwise(entry.item.placements):
            if earlier.span.end is None or earlier.span.end != later.span.start:
                mend = "let each parent's `from` be the `to` of the one before"
                yield entry.fault("parents", f"the parents of {entry.item.id} do not follow one another", mend)
        for placement in entry.item.placements:
            if not _on_marks(placement.span):
                yield entry.fault("parents", "a parent changes between two marks", _ON_MARK)


def _cycles(draft: SiteDraft) -> Iterator[Fault]:
    """At every instant at which the tree changes, each way up must end."""
    nodes = {entry.item.id: entry.item for entry in draft.nodes}
    starts = {placement.span.start for node in nodes.values() for placement in node.placements}
    instants = [None, *sorted(start for start in starts if start is not None)]
    for entry in draft.nodes:
        for instant in instants:
            way = _way_up(nodes, entry.item.id, instant)
            if way[-1] == entry.item.id and len(way) > 1:
                mend = "give one of them a parent nearer to the main node"
                yield entry.fault(_parent_key(entry), f"the tree runs in a circle: {' -> '.join(way)}", mend)
                break


def _way_up(nodes: dict[NodeId, Node], node: NodeId, instant: datetime | None) -> list[NodeId]:
    """List the nodes from `node` up to one without parent, or up to the first that comes again."""
    way = [node]
    while way[-1] in nodes:
        above = _parent_at(nodes[way[-1]], instant)
        if above is None:
            break
        way.append(above)
        if above in way[:-1]:
            break
    return way


def _parent_at(node: Node, instant: datetime | None) -> NodeId | None:
    """Give the parent at `instant`; None means the time before the first change."""
    if instant is not None:
        return node.parent_at(instant)
    first = node.placements[:1]
    return first[0].parent if first and first[0].span.start is None else None


def _units(draft: SiteDraft) -> Iterator[Fault]:
    nodes = {entry.item.id: entry.item for entry in draft.nodes}
    for unit in draft.units_without_area:
        leases = [entry.item.id for entry in draft.leases if entry.item.unit == unit.item]
        spoiled = f"; lease {', '.join(leases)} cannot share a cost by area" if leases else ""
        yield unit.fault("", f"unit {unit.item} has no area{spoiled}", 'write area_m2 = "120.50"')
    for entry in draft.units:
        building = nodes.get(entry.item.building)
        if building is not None and building.kind not in (NodeKind.MAIN, NodeKind.BRANCH):
            yield entry.fault("building", f"building {building.id} is of kind {building.kind}", "name a branch node")
    for group in grouped(draft.units, lambda unit: unit.node):
        for entry in group[1:]:
            problem = f"units {group[0].item.id} and {entry.item.id} share node {entry.item.node}"
            yield entry.fault("node", problem, "each unit needs a metering point of its own")


def _leases(draft: SiteDraft) -> Iterator[Fault]:
    for entry in draft.leases:
        if not _on_marks(entry.item.span):
            key = "from" if not _is_mark(entry.item.span.start) else "to"
            yield entry.fault(key, f"lease {entry.item.id} begins or ends between two marks", _ON_MARK)
    for group in grouped(draft.leases, lambda lease: lease.unit):
        for first, second in meeting(group):
            line = first.source.line(*first.place)
            problem = f"lease {second.item.id} overlaps lease {first.item.id} (line {line}) on unit {first.item.unit}"
            yield second.fault("", problem, "let one end (`to`) when the other begins (`from`)")


def _owner(draft: SiteDraft) -> Iterator[Fault]:
    owners = [entry for entry in draft.parties if entry.item.kind is PartyKind.OWNER]
    if not owners and len(draft.parties.entries) == len(draft.parties.written):
        mend = 'write one [[parties]] with kind = "owner"; vacancy and residuals are his'
        yield draft.contracts.fault("parties", "the site has no owner", mend)
    for entry in owners[1:]:
        problem = f"{entry.item.id} is a second owner beside {owners[0].item.id}"
        yield entry.fault("kind", problem, "name one owner; vacancy and residuals are his")


def _metering_points(draft: SiteDraft) -> Iterator[Fault]:
    """Each node has meters, one at a time, and whoever follows another has declared so."""
    metered = {entry.item.node for entry in draft.meters}
    if len(draft.meters.entries) == len(draft.meters.written) and draft.bindings is None:
        for node in draft.nodes:
            if node.item.id not in metered:
                mend = f'write a [[meters]] with node = "{node.item.id}"'
                yield node.fault("", f"node {node.item.id} has no meter", mend)
    declared = {(entry.item.old, entry.item.new) for entry in draft.exchanges}
    for group in grouped(draft.meters, lambda meter: meter.node):
        for first, second in meeting(group):
            line = first.source.line(*first.place)
            problem = f"meters {first.item.id} (line {line}) and {second.item.id} are at node {first.item.node} at once"
            yield second.fault("node", problem, "let one end (`to`) when the other begins (`from`)")
        for first in group:
            for second in group:
                joined = first.item.span.end is not None and first.item.span.end == second.item.span.start
                if joined and (first.item.id, second.item.id) not in declared:
                    problem = f"meter {second.item.id} follows {first.item.id} and no exchange says their readings"
                    yield second.fault("from", problem, "write an [[exchanges]] with final and initial reading")


def _exchanges(draft: SiteDraft) -> Iterator[Fault]:
    meters = {entry.item.id: entry.item for entry in draft.meters}
    for entry in draft.exchanges:
        old, new = meters.get(entry.item.old), meters.get(entry.item.new)
        for key, meter in (("old", old), ("new", new)):
            if meter is not None and meter.node != entry.item.node:
                problem = f"meter {meter.id} is at node {meter.node}, not at {entry.item.node}"
                yield entry.fault(key, problem, "name the meters of one node")
        if old is not None and old.span.end != entry.item.at:
            yield entry.fault("at", f"meter {old.id} does not end at this instant", f"give {old.id} the same `to`")
        if new is not None and new.span.start != entry.item.at:
            yield entry.fault("at", f"meter {new.id} does not start at this instant", f"give {new.id} the same `from`")
    for group in grouped(draft.exchanges, lambda exchange: (exchange.old, exchange.new, exchange.obis)):
        for entry in group[1:]:
            line = group[0].source.line(*group[0].place)
            yield entry.fault("", f"this exchange stands already in line {line}", "remove one of them")


def _on_marks(span: Span) -> bool:
    return _is_mark(span.start) and _is_mark(span.end)


def _is_mark(instant: datetime | None) -> bool:
    return instant is None or instant == floor_to_mark(instant)
