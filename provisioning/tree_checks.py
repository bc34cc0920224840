"""Is the tree of metering points one tree at an instant, and does every binding hang in it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from metering.identity import NodeId
from provisioning.finding_words import finding
from provisioning.installation import Binding, Finding
from provisioning.site import Node, NodeKind

_LEAVES = (NodeKind.END, NodeKind.GENERATION)


def tree_findings(nodes: Iterable[Node], bindings: Iterable[Binding], at: datetime) -> Iterator[Finding]:
    """Say what hangs nowhere, twice or in a circle, and which binding names a node that is not there."""
    listed = tuple(nodes)
    known = {node.id: node for node in listed}
    for node, times in Counter(node.id for node in listed).items():
        if times > 1:
            yield finding("node-twice", node, node=node, times=times)
    for node_id, parents in _parents(listed, at).items():
        yield from _parent_findings(known[node_id], parents, known)
    yield from _cycles({node: parents[0] for node, parents in _parents(listed, at).items() if len(parents) == 1})
    for binding in bindings:
        if binding.meter.node not in known:
            yield finding("binding-node-unknown", binding.meter.id, node=binding.meter.node)


def parents_at(nodes: Iterable[Node], at: datetime) -> dict[NodeId, NodeId]:
    """Give the parent of every node that has just one."""
    return {node: parents[0] for node, parents in _parents(tuple(nodes), at).items() if len(parents) == 1}


def _parents(nodes: tuple[Node, ...], at: datetime) -> dict[NodeId, list[NodeId]]:
    """Give every parent that each node has, once each; a node listed twice may have two."""
    parents: dict[NodeId, list[NodeId]] = {}
    for node in nodes:
        told = parents.setdefault(node.id, [])
        for placement in node.placements:
            if at in placement.span and placement.parent not in told:
                told.append(placement.parent)
    return parents


def _parent_findings(node: Node, parents: list[NodeId], known: dict[NodeId, Node]) -> Iterator[Finding]:
    if len(parents) > 1:
        yield finding("node-double-parent", node.id, node=node.id, parents=", ".join(parents))
    if not parents and node.kind is not NodeKind.MAIN:
        yield finding("node-orphan", node.id, node=node.id)
    if parents and node.kind is NodeKind.MAIN:
        yield finding("node-main-below", node.id, node=node.id, parent=parents[0])
    for parent in parents:
        if parent not in known:
            yield finding("node-parent-unknown", node.id, node=node.id, parent=parent)
        elif known[parent].kind in _LEAVES:
            yield finding("node-below-end", node.id, node=node.id, parent=parent)


def _cycles(parent_of: dict[NodeId, NodeId]) -> Iterator[Finding]:
    """Every way up must end; each circle is told once."""
    done: set[NodeId] = set()
    for start in parent_of:
        way: list[NodeId] = []
        node: NodeId | None = start
        while node is not None and node not in done and node not in way:
            way.append(node)
            node = parent_of.get(node)
        if node in way:
            circle = way[way.index(node) :]
            yield finding("node-cycle", min(circle), nodes=" → ".join((*circle, circle[0])))
        done.update(way)
