"""How much loss each watt-hour carries, at every node and in every slot of a tree. The mathematics of `loss.py`.

Theory of operation. A node v draws `intake`, its children draw `below` in sum, and of what came in

    loss(v) = net(v) - sum of net(children),      net = import - export

is gone. Children carry it in proportion to what they drew in the same slot, on top of what v carries of the losses
above it; the part that flows whether or not anybody draws (no-load loss) is set apart first:

    carried(v) + loss(v)  =  factor(v) x below(v)  +  no-load part(v)  +  rest(v)
    carried(v)            =  factor(above v) x intake(v)
    no-load part(v)       =  (1 + factor(above v)) x no-load(v)

Where every node only draws, 1 + factor is the product of intake/below along the path from the top: energy at the top
per watt-hour at the end. Pro rata by slot is the Shapley value of a feeder whose loss grows with the square of its
load (ADR 0051). Factors are integers of 2^-40, cut down once for all children alike; `rest` is what the cut leaves
over, less than the energy below times 2^-40, or everything where nothing was drawn below. So each node balances
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.errors import OutOfRange
from allocation_engine.inputs import Int64Array
from allocation_engine.kernels import BoolArray, IntArray, gross_up
from allocation_engine.sparse_rows import SparseRows
from allocation_engine.tree import TOP, TreeSpan

FACTOR_BITS = 40
ONE = 1 << FACTOR_BITS
"""Loss is counted in quanta of 2^-40 Wh; a factor is quanta per Wh."""
BELOW_BITS = 42
"""All children of a node together draw less than 2^42 Wh in a slot; the kernel's digits rely on it."""
REST_UNITS = (FACTOR_BITS, FACTOR_BITS // 2, 0)


@dataclass(frozen=True, slots=True, eq=False)
class LossFactors:
    """Factors and losses of one tree span.

    gross     shape (places, slots) [quanta per Wh], what each Wh drawn by a child of the place carries
    loss_wh   shape (places, slots) [Wh], of each node alone; 0 where it is unknown
    rest      shape (3, slots) [Wh, 2^-20 Wh, 2^-40 Wh], what no child carries, over all nodes
    """

    span: TreeSpan
    gross: Int64Array
    loss_wh: Int64Array
    rest: Int64Array

    def carried_above(self, place: int) -> Int64Array:
        """What each Wh that this place's node draws carries [quanta per Wh]; 0 at the top."""
        above = self.span.upper[place]
        return self.gross[above] if above >= 0 else np.zeros(self.gross.shape[1], np.int64)


def find_loss_factors(
    span: TreeSpan,
    import_wh: IntArray,
    export_wh: IntArray | SparseRows | None,
    no_load_wh_day: Int64Array,
    threads: int | None = None,
) -> LossFactors:
    """Share the loss of every node among its children, from the top down.

    import_wh, export_wh   shape (rows, slots of the period) [Wh], negative where unknown; None: nothing was given back
    no_load_wh_day         shape (rows,) [Wh per day of 96 slots]
    Raises                 OutOfRange beyond 2^42 Wh below one node in one slot
    """
    below_wh, is_unknown = span.fold(import_wh, threads)
    return loss_factors_over(span, import_wh, export_wh, below_wh, is_unknown, no_load_wh_day, threads)


def loss_factors_over(
    span: TreeSpan,
    import_wh: IntArray,
    export_wh: IntArray | SparseRows | None,
    below_wh: Int64Array,
    is_unknown: BoolArray,
    no_load_wh_day: Int64Array,
    threads: int | None = None,
) -> LossFactors:
    """Like `find_loss_factors`, for children that were folded before."""
    if below_wh.max(initial=0) >> BELOW_BITS:
        raise OutOfRange(f"more than 2^{BELOW_BITS} Wh below one node in one slot")
    at_node = import_wh[span.inner, span.first : span.end]
    intake_wh = np.maximum(at_node, 0, dtype=np.int64)
    is_unknown = is_unknown | (at_node < 0)
    loss_wh = intake_wh - below_wh
    if export_wh is not None:
        _count_given(span, SparseRows.of(export_wh), loss_wh, is_unknown)
    np.copyto(loss_wh, 0, where=is_unknown)
    gross = np.empty_like(loss_wh)
    rests: list[Int64Array] = []
    no_load = no_load_wh_day[span.inner]
    for low, high in zip(span.levels[:-1], span.levels[1:], strict=True):
        places = np.arange(low, high)

        def task(first: int, end: int, places: Int64Array = places) -> None:
            rest = np.zeros((len(REST_UNITS), gross.shape[1]), np.int64)
            flows = (intake_wh, loss_wh, below_wh, is_unknown, no_load)
            gross_up(places, span.upper, *flows, span.first, first, end, gross, rest)
            rests.append(rest)

        in_blocks(task, places.size, gross.shape[1], threads)
    total = np.zeros((len(REST_UNITS), span.end - span.first), np.int64)
    for rest in rests:
        total += rest
    return LossFactors(span, gross, loss_wh, total)


def _count_given(span: TreeSpan, export_wh: SparseRows, loss_wh: Int64Array, is_unknown: BoolArray) -> None:
    """Take what nodes gave back off their loss, and what their children gave back onto it; only few rows give any."""
    rows = export_wh.rows
    given = export_wh[rows, span.first : span.end]
    place_of_row = np.full(export_wh.shape[0], TOP)
    place_of_row[span.inner] = np.arange(span.inner.size)
    for sign, places in ((-1, place_of_row[rows]), (1, span.place_above[rows])):
        inside = places != TOP
        np.add.at(loss_wh, places[inside], sign * np.maximum(given[inside], 0))
        np.logical_or.at(is_unknown, places[inside], given[inside] < 0)
