"""Adds up what a formula gives over the slots in which each party held its unit: weights by party and grain span."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.formula.exact_arrays import (
    BITS,
    LIMIT,
    Ints,
    Vector,
    common_bottoms,
    common_multiple,
    narrow,
    peak,
    plus,
    times,
    whole,
)
from allocation_engine.formula.products import Frame, Product, Products

BLOCK_CELLS = 1 << 19
"""Cells in work at a time: what a processor's cache holds."""
_DIGIT_BITS_MIN = 8
_SHORT = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Holdings:
    """Who holds which row when: one entry for each stretch of slots within one grain span.

    takers, rows, spans   numbers of the party, of its unit, and of the grain span
    firsts, ends          slots first <= slot < end
    """

    takers: Ints
    rows: Ints
    spans: Ints
    firsts: Ints
    ends: Ints
    taker_count: int
    span_count: int

    @classmethod
    def of(cls, stays: Ints, row_of_taker: Ints, edges: Sequence[int]) -> Holdings:
        """Cut (taker, first, end) of each stay, shape (stays, 3), at the `edges` of the grain spans."""
        takers, firsts, ends = stays.T
        rows = row_of_taker[takers]
        marks = np.array(edges, np.int64)
        lowest = np.searchsorted(marks, firsts, "right") - 1
        counts = np.searchsorted(marks, ends, "left") - lowest
        source = np.repeat(np.arange(takers.size), counts)
        spans = lowest[source] + np.arange(source.size) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(
            takers=takers[source],
            rows=rows[source],
            spans=spans,
            firsts=np.maximum(firsts[source], marks[spans]),
            ends=np.minimum(ends[source], marks[spans + 1]),
            taker_count=int(row_of_taker.size),
            span_count=marks.size - 1,
        )

    def slots(self) -> Ints:
        """Count the slots each taker holds in each span; shape (takers, spans)."""
        held = np.zeros((self.taker_count, self.span_count), np.int64)
        np.add.at(held, (self.takers, self.spans), self.ends - self.firsts)
        return held


Evaluate = Callable[[int, int], tuple[Products, Frame]]
"""Evaluates for the rows first <= row < end."""


def weigh_held(evaluate: Evaluate, row_count: int, holdings: Holdings, day_of_slot: Ints, *, has_cells: bool) -> Ints:
    """Add up over held slots; gives whole weights in one proportion, shape (takers, spans).

    has_cells   whether cells by slot are computed: then a few rows at a time
    """
    slot_count = day_of_slot.size
    block = max(BLOCK_CELLS // slot_count, 1) if has_cells else max(row_count, 1)
    starts = list(range(0, row_count, block))
    by_row = np.argsort(holdings.rows, kind="stable")
    edges = np.searchsorted(holdings.rows[by_row], [*starts, row_count])
    days = np.flatnonzero(np.diff(day_of_slot, prepend=-1))
    sums: list[Vector | None] = [None] * len(starts)

    def task(lowest: int, highest: int) -> None:
        for place in range(lowest, highest):
            first, end = starts[place], min(starts[place] + block, row_count)
            mine = by_row[edges[place] : edges[place + 1]]
            products, frame = evaluate(first, end)
            sums[place] = _sums(products, frame, holdings, mine, first, days)

    in_blocks(task, len(starts), block * slot_count)
    found = [one for one in sums if one is not None]
    common = common_multiple(np.concatenate([one.bottoms for one in found]))
    entries = np.concatenate([times(one.tops, whole([common]) // one.bottoms) for one in found])
    weights = np.zeros((holdings.taker_count, holdings.span_count), object)
    if holdings.takers.size * peak(entries) < LIMIT:
        weights, entries = weights.astype(np.int64), narrow(entries)
    np.add.at(weights, (holdings.takers[by_row], holdings.spans[by_row]), entries)
    return weights


def _sums(products: Products, frame: Frame, holdings: Holdings, mine: Ints, first: int, days: Ints) -> Vector:
    """Add up for the holdings `mine`, whose rows begin at `first`."""
    if not products or not mine.size:
        return Vector(np.zeros(mine.size, np.int64), np.ones(mine.size, np.int64))
    firsts, ends = holdings.firsts[mine], holdings.ends[mine]
    cuts = np.unique(np.concatenate([days, firsts, ends, [frame.day_of_slot.size]]))
    rows = holdings.rows[mine] - first
    places = np.searchsorted(cuts, firsts), np.searchsorted(cuts, ends)
    parts = [_product_sums(one, frame, cuts, rows, places) for one in products]
    bottoms = common_bottoms(one.bottoms for one in parts)
    return Vector(reduce(plus, (times(one.tops, bottoms // one.bottoms) for one in parts)), bottoms)


def _product_sums(product: Product, frame: Frame, cuts: Ints, rows: Ints, places: tuple[Ints, Ints]) -> Vector:
    columns, below = product.columns.over_one()
    columns = frame.widen(columns, frame.day_of_slot.size)
    if columns.size == 1:
        columns = np.broadcast_to(columns, frame.day_of_slot.size)
    between = _between(product.cells, columns, frame, cuts)
    reached = _running(between)
    at_row = rows if between.shape[0] > 1 else np.zeros_like(rows)
    held = reached[at_row, places[1]] - reached[at_row, places[0]]
    factor = product.rows.at(rows)
    bottoms = times(np.broadcast_to(factor.bottoms, rows.shape), whole([below]))
    return Vector(times(np.broadcast_to(factor.tops, rows.shape), held), bottoms)


def _between(cells: Ints | None, columns: Ints, frame: Frame, cuts: Ints) -> Ints:
    """Add up between each cut and the next; shape (rows or 1, cuts - 1)."""
    starts = cuts[:-1]
    if cells is None or cells.shape[1] < columns.size:
        alone = np.zeros((1, starts.size), np.int64)
        for part, shift in _digits(columns, (columns.size).bit_length()):
            alone = plus(alone, _shifted(np.add.reduceat(part, starts)[None, :], shift))
        if cells is None:
            return alone
        return times(alone, cells if cells.shape[1] == 1 else cells[:, frame.day_of_slot[starts]])
    total: Ints = np.zeros((cells.shape[0], starts.size), np.int64)
    for part, shift in _digits(columns, (peak(cells) * columns.size).bit_length()):
        if cells.dtype == object or part.dtype == object:
            weighted = cells.astype(object) * part
            added = np.add.reduceat(weighted, starts, axis=1)
        else:
            # Factors are few and small as a rule: then 32 bits hold the products, and half the memory moves.
            is_short = cells.dtype == np.int32 and peak(cells) * peak(part) < _SHORT
            weighted = cells if (part == 1).all() else cells * (part.astype(np.int32) if is_short else part)
            added = np.add.reduceat(weighted, starts, axis=1, dtype=np.int64)
        total = _shifted(added, shift) if not shift else plus(total, _shifted(added, shift))
    return total


def _digits(columns: Ints, taken: int) -> Iterator[tuple[Ints, int]]:
    """Cut factors into digits small enough for 64-bit sums where `taken` bits are needed beside them."""
    room = BITS - taken
    if peak(columns).bit_length() <= room or room < _DIGIT_BITS_MIN:
        yield (columns if peak(columns).bit_length() <= room else columns.astype(object)), 0
        return
    mask, rest, shift = (1 << room) - 1, columns.astype(object), 0
    sign = np.where(rest < 0, -1, 1)
    rest = rest * sign
    while rest.any():
        yield ((rest & mask) * sign).astype(np.int64), shift
        rest, shift = rest >> room, shift + room


def _shifted(numbers: Ints, shift: int) -> Ints:
    return times(numbers, whole([1 << shift])) if shift else numbers


def _running(between: Ints) -> Ints:
    """Add up from the first cut to each."""
    if between.dtype != object and peak(between) * between.shape[1] >= LIMIT:
        between = between.astype(object)
    reached = np.zeros((between.shape[0], between.shape[1] + 1), between.dtype)
    np.cumsum(between, axis=1, out=reached[:, 1:])
    return reached
