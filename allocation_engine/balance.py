"""The closed-loop check of the tree: what a node measured against what its children measured, slot by slot.

Loss is net(node) - sum of net(children), with net = import - export. Its band is COVERAGE standard errors wide, each
meter's error taken as its class limit and independent of the others. Outside the band something is wrong with a meter,
a ratio or the tree, and a case says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np

from allocation_engine.inputs import Int64Array, PeriodInputs, TreeNode, UInt8Array
from allocation_engine.intervals import SlotQuality
from allocation_engine.money import show_kwh
from allocation_engine.run import Case, NodeBalance
from metering.identity import NodeId

COVERAGE = 2
"""Width of the band in standard errors (about 95 %)."""
BAND_WH_MIN = 1000
"""A band is at least this wide [Wh]: one step of 0.01 kWh behind ratios of 100 is no case."""


def balance_tree(inputs: PeriodInputs) -> tuple[NodeBalance, ...]:
    """Balance every node of the tree over the period; nodes in order of id."""
    net_wh = inputs.import_wh - inputs.export_wh
    return tuple(_balance(inputs, net_wh, node) for node in sorted(inputs.nodes, key=lambda node: node.id))


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


def _balance(inputs: PeriodInputs, net_wh: Int64Array, node: TreeNode) -> NodeBalance:
    row = inputs.row(node.id)
    below_wh = np.zeros(inputs.slot_count, np.int64)
    squares = _error_square(inputs, node, 0, inputs.slot_count)
    has_children = False
    for child in inputs.nodes:
        for span in child.parents:
            if span.parent == node.id:
                has_children = True
                below_wh[span.first : span.end] += net_wh[inputs.row(child.id), span.first : span.end]
                squares += _error_square(inputs, child, span.first, span.end)
    loss_wh = net_wh[row] - below_wh
    return NodeBalance(
        node=node.id,
        import_wh=int(inputs.import_wh[row].sum()),
        export_wh=int(inputs.export_wh[row].sum()),
        net_wh=int(net_wh[row].sum()),
        children_wh=int(below_wh.sum()) if has_children else None,
        loss_wh=int(loss_wh.sum()) if has_children else None,
        band_wh=max(COVERAGE * isqrt(squares) // 10**6, BAND_WH_MIN) if has_children else None,
        day_loss_wh=_by_day(inputs, loss_wh) if has_children else (),
        slots_by_quality=count_qualities(inputs.quality[row]),
    )


def _error_square(inputs: PeriodInputs, node: TreeNode, first: int, end: int) -> int:
    """Square of the class error of `node` over some slots [(10^-6 Wh)^2]; too large for 64 bits, hence plain int."""
    row = inputs.row(node.id)
    through_wh = int(inputs.import_wh[row, first:end].sum()) + int(inputs.export_wh[row, first:end].sum())
    return (node.accuracy_ppm * through_wh) ** 2


def _by_day(inputs: PeriodInputs, loss_wh: Int64Array) -> tuple[int, ...]:
    return tuple(int(loss_wh[first:end].sum()) for _, first, end in inputs.day_spans())


def _case_text(node: NodeId, loss_wh: int, band_wh: int) -> str:
    return (
        f"{node}: {show_kwh(loss_wh)} kWh are unaccounted for and accuracy explains {show_kwh(band_wh)} kWh; "
        "look for a missing meter, a wrong ratio or a wrong parent"
    )
