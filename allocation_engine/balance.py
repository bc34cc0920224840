"""The closed-loop check of the tree: what a node measured against what its children measured, slot by slot.

Loss is net(node) - sum of net(children), with net = import - export. Its band is COVERAGE standard errors wide, each
meter's error taken as its class limit and independent of the others. Outside the band something is wrong with a meter,
a ratio or the tree, and a case says so.

Where everything is known, sums of days say all; only nodes with an unknown slot are gone through slot by slot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from allocation_engine.inputs import Int64Array, PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.money import show_kwh
from allocation_engine.pools import Pool
from allocation_engine.run import Case, NodeBalance
from allocation_engine.span_sums import count_rows, sum_cells
from allocation_engine.sparse_rows import SparseRows
from allocation_engine.tree import TreeSpan, nodes_above, parents_of, tree_spans
from metering.identity import NodeId

COVERAGE = 2
"""Width of the band in standard errors (about 95 %)."""
BAND_WH_MIN = 1000
"""A band is at least this wide [Wh]: one step of 0.01 kWh behind ratios of 100 is no case."""


def balance_tree(inputs: PeriodInputs) -> tuple[NodeBalance, ...]:
    """Balance every node of the tree over the period; nodes in order of id.

    A slot in which the node or one of its children is not known is left out of the node's loss.
    """
    cells = _Cells.of(inputs)
    squares = _error_squares(inputs, cells)
    below = cells.below()
    losses = dict(cells.losses(below))
    taken, given, children = (sums.sum(axis=1).tolist() for sums in (cells.taken, cells.given, below))
    found = (
        NodeBalance(
            node=node.id,
            import_wh=taken[row],
            export_wh=given[row],
            net_wh=taken[row] - given[row],
            children_wh=children[row] if row in losses else None,
            loss_wh=sum(losses[row]) if row in losses else None,
            band_wh=max(COVERAGE * isqrt(squares[row]) // 10**6, BAND_WH_MIN) if row in losses else None,
            day_loss_wh=losses.get(row, ()),
            slots_by_quality=counts,
        )
        for row, (node, counts) in enumerate(zip(inputs.nodes, count_rows(inputs.quality), strict=True))
    )
    return tuple(sorted(found, key=lambda one: one.node))


def cases_of(balance: Sequence[NodeBalance], loads: Collection[NodeId] = frozenset()) -> tuple[Case, ...]:
    """Give a case for every node whose loss lies outside its band.

    loads   nodes with a load of their own: there, only children that measured more than the node did are a case
    """
    return tuple(
        Case(one.node, one.loss_wh, one.band_wh, _case_text(one.node, one.loss_wh, one.band_wh))
        for one in balance
        if one.loss_wh is not None and one.band_wh is not None
        if -one.loss_wh > one.band_wh or (one.loss_wh > one.band_wh and one.node not in loads)
    )


def charged_loads(inputs: PeriodInputs, pools: Iterable[Pool]) -> frozenset[NodeId]:
    """Name the nodes of which a pool charges what is left when nodes below are taken off: that is a load, no loss."""
    parents = parents_of(inputs.nodes)
    return frozenset(
        node for pool in pools for taken in pool.deduct for node in nodes_above(taken, parents).intersection(pool.path)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Energy of every row by cell: slots of one day in one standing tree [Wh].

    edges   shape (cells + 1,): cell c is the slots edges[c] to edges[c + 1]
    taken, given   shape (rows, cells), import and export
    """

    inputs: PeriodInputs
    spans: tuple[TreeSpan, ...]
    edges: Int64Array
    taken: Int64Array
    given: Int64Array

    @classmethod
    def of(cls, inputs: PeriodInputs) -> _Cells:
        """Add up every row once."""
        spans, export = tree_spans(inputs.nodes, inputs.slot_count), SparseRows.of(inputs.export_wh)
        days = [first for _, first, _ in inputs.day_spans()]
        edges = np.array(sorted({*days, *(span.first for span in spans), inputs.slot_count}))
        given = sum_cells(export.kept, edges)[export.places]
        return cls(inputs, spans, edges, sum_cells(inputs.import_wh, edges), given)

    def between(self, first: int, end: int) -> slice:
        """Give the cells of slots `first` to `end`, both of them edges."""
        first_cell, end_cell = np.searchsorted(self.edges, [first, end]).tolist()
        return slice(first_cell, end_cell)

    def below(self) -> Int64Array:
        """Add up the known net energy of the children of every row, by cell."""
        known = self.taken - self.given
        for row in self._unknown():
            known[row] = np.add.reduceat(_known_net(self.inputs, row, slice(None)), self.edges[:-1])
        sums = np.zeros_like(known)
        for span in self.spans:
            if span.inner.size:
                part = self.between(span.first, span.end)
                sums[span.inner, part] = np.add.reduceat(known[span.order, part], span.offsets[:-1], axis=0)
        return sums

    def losses(self, below: Int64Array) -> Iterable[tuple[int, tuple[int, ...]]]:
        """Give the loss of each local day of every row that has children."""
        inner = np.unique(np.concatenate([span.inner for span in self.spans]))
        loss_wh = self.taken[inner] - self.given[inner] - below[inner]
        unknown = self._unknown()
        above = [span.parents[list(unknown)] for span in self.spans]
        for row in {*unknown, *np.concatenate(above).tolist()}:
            place = np.searchsorted(inner, row)
            if place < inner.size and inner[place] == row:
                loss_wh[place] = np.add.reduceat(_known_loss(self.inputs, self.spans, row), self.edges[:-1])
        days = np.searchsorted(self.edges, [first for _, first, _ in self.inputs.day_spans()])
        return zip(inner.tolist(), map(tuple, np.add.reduceat(loss_wh, days, axis=1).tolist()), strict=True)

    def _unknown(self) -> list[int]:
        """Give the rows with slots that are not known."""
        return np.flatnonzero(self.inputs.quality.max(axis=1) >= SlotQuality.MISSING).tolist()


def _known_net(inputs: PeriodInputs, row: int, slots: slice) -> Int64Array:
    """Give what a row drew less what it gave back [Wh], 0 where it is not known."""
    net_wh = inputs.import_wh[row, slots].astype(np.int64) - inputs.export_wh[row, slots]
    return np.where(inputs.quality[row, slots] >= SlotQuality.MISSING, 0, net_wh)


def _known_loss(inputs: PeriodInputs, spans: Sequence[TreeSpan], row: int) -> Int64Array:
    """Give the loss of a row slot by slot [Wh], 0 where it or one of its children is not known."""
    loss_wh = _known_net(inputs, row, slice(None))
    unknown = inputs.quality[row] >= SlotQuality.MISSING
    for span in spans:
        slots = slice(span.first, span.end)
        for child in span.children(row).tolist():
            loss_wh[slots] -= _known_net(inputs, child, slots)
            unknown[slots] |= inputs.quality[child, slots] >= SlotQuality.MISSING
    return np.where(unknown, 0, loss_wh)


def _error_squares(inputs: PeriodInputs, cells: _Cells) -> list[int]:
    """Give the squared class errors of every node and its children [(10^-6 Wh)^2], each for as long as it was one.

    A meter errs once, however many spans it hung below one parent. Too large for 64 bits, hence plain integers.
    """
    through_wh = cells.taken + cells.given
    squares = [
        (node.accuracy_ppm * energy_wh) ** 2
        for node, energy_wh in zip(inputs.nodes, through_wh.sum(axis=1).tolist(), strict=True)
    ]
    for row, node in enumerate(inputs.nodes):
        below: dict[NodeId, int] = {}
        for span in node.parents:
            if span.parent is not None:
                energy_wh = int(through_wh[row, cells.between(span.first, span.end)].sum())
                below[span.parent] = below.get(span.parent, 0) + energy_wh
        for parent, energy_wh in below.items():
            squares[inputs.row(parent)] += (node.accuracy_ppm * energy_wh) ** 2
    return squares


def _case_text(node: NodeId, loss_wh: int, band_wh: int) -> str:
    return (
        f"{node}: {show_kwh(loss_wh)} kWh are unaccounted for and accuracy explains {show_kwh(band_wh)} kWh; "
        "look for a missing meter, a wrong ratio or a wrong parent"
    )
