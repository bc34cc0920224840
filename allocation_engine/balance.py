"""The closed-loop check of the tree: what a node measured against what its children measured, slot by slot.

Loss is net(node) - sum of net(children), with net = import - export. Its band is COVERAGE standard errors wide, each
meter's error taken as its class limit and independent of the others. Outside the band something is wrong with a meter,
a ratio or the tree, and a case says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from allocation_engine.inputs import Int64Array, PeriodInputs, UInt8Array
from allocation_engine.intervals import SlotQuality
from allocation_engine.kernels import UNKNOWN, BoolArray
from allocation_engine.money import show_kwh
from allocation_engine.run import Case, NodeBalance
from allocation_engine.tree import tree_spans
from metering.identity import NodeId

COVERAGE = 2
"""Width of the band in standard errors (about 95 %)."""
BAND_WH_MIN = 1000
"""A band is at least this wide [Wh]: one step of 0.01 kWh behind ratios of 100 is no case."""


def balance_tree(inputs: PeriodInputs) -> tuple[NodeBalance, ...]:
    """Balance every node of the tree over the period; nodes in order of id.

    A slot in which the node or one of its children is not known is left out of the node's loss.
    """
    below = _children(inputs)
    squares = _error_squares(inputs)
    order = sorted(range(len(inputs.nodes)), key=lambda row: inputs.nodes[row].id)
    return tuple(_balance(inputs, row, below.get(row), squares[row]) for row in order)


def cases_of(balance: Sequence[NodeBalance]) -> tuple[Case, ...]:
    """Give a case for every node whose loss lies outside its band."""
    return tuple(
        Case(one.node, one.loss_wh, one.band_wh, _case_text(one.node, one.loss_wh, one.band_wh))
        for one in balance
        if one.loss_wh is not None and one.band_wh is not None and abs(one.loss_wh) > one.band_wh
    )


def count_qualities(quality: UInt8Array) -> tuple[tuple[str, int], ...]:
    """Count slots by quality, in words, leaving out what does not occur."""
    counts = np.bincount(quality.ravel(), minlength=len(SlotQuality))
    return tuple((one.name.lower(), int(counts[one])) for one in SlotQuality if counts[one])


@dataclass(frozen=True, slots=True, eq=False)
class _Children:
    """What the children of one node drew less what they gave back, slot by slot [Wh]; and where one is not known."""

    net_wh: Int64Array
    is_unknown: BoolArray


def _children(inputs: PeriodInputs) -> dict[int, _Children]:
    """Add up the children of every node that has any, by row."""
    unknown = inputs.quality >= SlotQuality.MISSING
    found: dict[int, _Children] = {}
    for span in tree_spans(inputs.nodes, inputs.slot_count):
        for sign, energy_wh in ((1, inputs.import_wh), (-1, np.asarray(inputs.export_wh))):
            sums, is_unknown = span.fold(np.where(unknown, UNKNOWN, energy_wh) if unknown.any() else energy_wh)
            for place, row in enumerate(span.inner.tolist()):
                if row not in found:
                    found[row] = _Children(np.zeros(inputs.slot_count, np.int64), unknown[row].copy())
                found[row].net_wh[span.first : span.end] += sign * sums[place]
                found[row].is_unknown[span.first : span.end] |= is_unknown[place]
    return found


def _error_squares(inputs: PeriodInputs) -> list[int]:
    """Give the squared class errors of every node and its children [(10^-6 Wh)^2], each for as long as it was one.

    Too large for 64 bits, hence plain integers.
    """
    rows = {node.id: row for row, node in enumerate(inputs.nodes)}
    through_wh = inputs.import_wh + np.asarray(inputs.export_wh, np.int64)
    squares = [0] * len(inputs.nodes)
    for row, node in enumerate(inputs.nodes):
        squares[row] += (node.accuracy_ppm * int(through_wh[row].sum())) ** 2
        for span in node.parents:
            if span.parent is not None:
                energy_wh = int(through_wh[row, span.first : span.end].sum())
                squares[rows[span.parent]] += (node.accuracy_ppm * energy_wh) ** 2
    return squares


def _balance(inputs: PeriodInputs, row: int, below: _Children | None, squares: int) -> NodeBalance:
    net_wh = inputs.import_wh[row] - inputs.export_wh[row]
    balance = NodeBalance(
        node=inputs.nodes[row].id,
        import_wh=int(inputs.import_wh[row].sum()),
        export_wh=int(inputs.export_wh[row].sum()),
        net_wh=int(net_wh.sum()),
        children_wh=None,
        loss_wh=None,
        band_wh=None,
        day_loss_wh=(),
        slots_by_quality=count_qualities(inputs.quality[row]),
    )
    if below is None:
        return balance
    loss_wh = np.where(below.is_unknown, 0, net_wh - below.net_wh)
    return replace(
        balance,
        children_wh=int(below.net_wh.sum()),
        loss_wh=int(loss_wh.sum()),
        band_wh=max(COVERAGE * isqrt(squares) // 10**6, BAND_WH_MIN),
        day_loss_wh=_by_day(inputs, loss_wh),
    )


def _by_day(inputs: PeriodInputs, loss_wh: Int64Array) -> tuple[int, ...]:
    return tuple(int(loss_wh[first:end].sum()) for _, first, end in inputs.day_spans())


def _case_text(node: NodeId, loss_wh: int, band_wh: int) -> str:
    return (
        f"{node}: {show_kwh(loss_wh)} kWh are unaccounted for and accuracy explains {show_kwh(band_wh)} kWh; "
        "look for a missing meter, a wrong ratio or a wrong parent"
    )
