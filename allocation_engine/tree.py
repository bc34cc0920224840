"""The dated tree as arrays: one `TreeSpan` for each stretch of slots in which no node changes its parent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.errors import InputsInvalid
from allocation_engine.inputs import Int64Array, TreeNode
from allocation_engine.kernels import BoolArray, IntArray, fold_rows
from metering.identity import NodeId

TOP = -1
OUTSIDE = -2


@dataclass(frozen=True, slots=True, eq=False)
class TreeSpan:
    """The tree in slots `first` <= slot < `end`. Rows number all nodes, places number those that have children.

    parents   shape (rows,): row of each node's parent; TOP, or OUTSIDE while it is not part of the tree
    inner     shape (places,): rows that have children, every parent before its children
    levels    shape (levels + 1,): places levels[i] to levels[i + 1] are equally deep
    upper     shape (places,): the place above each place; TOP at the top
    order     rows that have a parent, by the place above them
    offsets   shape (places + 1,): the children of place p are order[offsets[p]:offsets[p + 1]]
    """

    first: int
    end: int
    parents: Int64Array
    inner: Int64Array
    levels: Int64Array
    upper: Int64Array
    order: Int64Array
    offsets: Int64Array

    @property
    def place_above(self) -> Int64Array:
        """For each row, the place of its parent; TOP for rows without."""
        above = np.full(self.parents.size, TOP, np.int64)
        above[self.order] = np.repeat(np.arange(self.inner.size), np.diff(self.offsets))
        return above

    def parts(self, cells_max: int) -> Iterator[TreeSpan]:
        """Cut the span into pieces of time, of so many places x slots at most, or of single slots."""
        slots = max(cells_max // max(self.inner.size, 1), 1)
        for first in range(self.first, self.end, slots):
            yield replace(self, first=first, end=min(first + slots, self.end))

    def children(self, row: int) -> Int64Array:
        """Give the rows that hang below `row`."""
        places = np.flatnonzero(self.inner == row)
        return self.order[self.offsets[places[0]] : self.offsets[places[0] + 1]] if places.size else self.order[:0]

    def fold(self, energy_wh: IntArray, threads: int | None = None) -> tuple[Int64Array, BoolArray]:
        """Add up the children of every place, slot by slot.

        energy_wh   shape (rows, slots of the period) [Wh], negative where unknown
        Returns     shape (places, slots of the span) [Wh], and where some child is unknown
        """
        sums, unknown, _ = self.fold_weighted(energy_wh, np.zeros(len(energy_wh), np.int64), threads)
        return sums, unknown

    def fold_weighted(
        self, energy_wh: IntArray, coefficients: Int64Array, threads: int | None = None
    ) -> tuple[Int64Array, BoolArray, Int64Array]:
        """Like `fold`, and in the same pass add up energy x coefficient of all rows that have a parent.

        coefficients   shape (rows,); with any energy they must stay far inside 63 bits, the caller sees to it
        Returns        as `fold`, and shape (slots of the span,)
        """
        shape = (self.inner.size, self.end - self.first)
        sums, signs = np.empty(shape, np.int64), np.empty(shape, energy_wh.dtype)
        weighted: list[Int64Array] = []

        def task(first: int, end: int) -> None:
            own = np.zeros(shape[1], np.int64)
            fold_rows(energy_wh, self.first, self.order, self.offsets, coefficients, first, end, sums, signs, own)
            weighted.append(own)

        in_blocks(task, self.inner.size, self.order.size // max(self.inner.size, 1) * shape[1], threads)
        return sums, signs < 0, np.sum(weighted, axis=0, dtype=np.int64)


def tree_spans(
    nodes: Sequence[TreeNode], slot_count: int, sealed: Collection[NodeId] = frozenset()
) -> tuple[TreeSpan, ...]:
    """Give the tree of a period, span by span.

    sealed    nodes whose children are left out: what is below them is their own affair
    Raises    InputsInvalid where nodes hang below each other in a ring
    """
    rows = {node.id: row for row, node in enumerate(nodes)}
    edges = {0, slot_count}.union(*({span.first, span.end} for node in nodes for span in node.parents))
    spans = []
    for first, end in pairwise(sorted(edges)):
        parents = np.full(len(nodes), OUTSIDE, np.int64)
        for row, node in enumerate(nodes):
            for span in node.parents:
                if span.first <= first < span.end and span.parent not in sealed:
                    parents[row] = TOP if span.parent is None else rows[span.parent]
        spans.append(span_of(parents, first, end, nodes))
    return tuple(spans)


def parents_of(nodes: Iterable[TreeNode]) -> dict[NodeId, frozenset[NodeId]]:
    """Give everything each node ever hung below."""
    return {node.id: frozenset(span.parent for span in node.parents if span.parent is not None) for node in nodes}


def nodes_above(node: NodeId, parents: Mapping[NodeId, Collection[NodeId]]) -> set[NodeId]:
    """Give all nodes that `node` ever was below, near and far; `parents` as `parents_of` gives them."""
    found: set[NodeId] = set()
    open_nodes = [node]
    while open_nodes:
        for parent in parents.get(open_nodes.pop(), ()):
            if parent not in found:
                found.add(parent)
                open_nodes.append(parent)
    return found


def span_of(parents: Int64Array, first: int, end: int, nodes: Sequence[TreeNode] = ()) -> TreeSpan:
    """Put one standing tree, given by the row of each node's parent, in order; raises InputsInvalid for a ring."""
    has_parent, parent = parents >= 0, np.maximum(parents, 0)
    depth = np.where(parents == TOP, 0, -1)
    outside = parents == OUTSIDE
    grows = True
    while grows:
        above = np.where(has_parent, depth[parent], -1)
        next_depth = np.where(has_parent & (above >= 0), above + 1, depth)
        next_outside = outside | (has_parent & outside[parent])
        grows = not (np.array_equal(next_depth, depth) and np.array_equal(next_outside, outside))
        depth, outside = next_depth, next_outside
    lost = np.flatnonzero((depth < 0) & ~outside)
    if lost.size:
        named = ", ".join(nodes[row].id if nodes else str(row) for row in lost[:5])
        raise InputsInvalid(f"nodes hang below each other in a ring: {named}")
    below = np.flatnonzero(has_parent & (depth >= 0))
    inner = np.unique(parents[below])
    inner = inner[np.argsort(depth[inner], kind="stable")]
    places = np.full(parents.size, TOP, np.int64)
    places[inner] = np.arange(inner.size)
    order = below[np.argsort(places[parents[below]], kind="stable")]
    return TreeSpan(
        first=first,
        end=end,
        parents=parents,
        inner=inner,
        levels=np.searchsorted(depth[inner], np.arange(int(depth[inner].max(initial=-1)) + 2)),
        upper=np.where(has_parent[inner], places[parent[inner]], TOP),
        order=order,
        offsets=np.searchsorted(places[parents[order]], np.arange(inner.size + 1)),
    )
