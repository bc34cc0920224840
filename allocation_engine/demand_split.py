"""What stands for the demand of each taker, when a demand charge is shared: four methods, on quarter-hour means.

The mean power of a quarter hour is its energy x 4, so energies of slots are weighed; the factor cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.drivers import Weighing, energy_by_cell, weigh
from allocation_engine.inputs import Int64Array
from allocation_engine.kernels import add_rows, peak_rows
from allocation_engine.keys import DemandMethod, Driver, Key
from allocation_engine.layers import ONE, IntegerArray, Span, add_up, roomy
from allocation_engine.pricing import PricedPeriod
from allocation_engine.subjects import Subjects
from allocation_engine.unit_numbers import UnitNumbers
from allocation_engine.weighing import RowSpans
from allocation_engine.whole_weights import whole_weights
from metering.identity import NodeId


def weigh_demand(
    method: DemandMethod,
    subjects: Subjects,
    priced: PricedPeriod,
    spans: Sequence[Span],
    *,
    peak_of: Sequence[NodeId],
    contracted: UnitNumbers | None,
) -> list[Weighing]:
    """Weigh parties in units by their demand in the slots of each span.

    peak_of      whose peak and load factor count; empty for the sum of the parties' own loads
    contracted   by unit, for the contracted method only
    Raises       PeriodNotReady, SeriesIncomplete, InputsInvalid
    """
    if method is DemandMethod.CONTRACTED:
        if contracted is None:
            raise TypeError("contracted demand needs a table of contracts")
        return [weigh(Key(ONE, (Driver.EQUAL,), (contracted,)), subjects, priced, spans)]
    rows, entries = subjects.metered(priced.inputs, {})
    together = _together(peak_of, entries, priced)
    if method is DemandMethod.COINCIDENT:
        peaks = [first + _at_peak(together[first:end]) for _, first, end in spans]
        at_peaks = np.zeros(priced.inputs.slot_count, np.int64)
        at_peaks[np.concatenate(peaks)] = 1
        loads = energy_by_cell(priced, entries, rows, len(subjects.ids), spans, at_peaks)
        text = tuple(f"demand at the peak of {one.size} quarter hours" for one in peaks)
        return [_weighing((ONE,) * len(spans), text, loads, subjects)]
    sums, peaks_wh = _sums_and_peaks(priced, entries, rows, len(subjects.ids), spans)
    if method is DemandMethod.NON_COINCIDENT:
        return [_weighing((ONE,) * len(spans), ("own peak",) * len(spans), peaks_wh, subjects)]
    lengths = np.array([end - first for _, first, end in spans], np.int64)
    factors = [load_factor(together[first:end]) for _, first, end in spans]
    mean, excess = "mean demand, for the load factor", "own peak above the mean, for the rest"
    return [
        _weighing(tuple(factors), (mean,) * len(spans), sums, subjects),
        _weighing(tuple(ONE - one for one in factors), (excess,) * len(spans), peaks_wh * lengths - sums, subjects),
    ]


def load_factor(together: Int64Array) -> Fraction:
    """Give mean / peak of a load; 1 where there is none."""
    peak = int(together.max())
    return Fraction(int(together.sum()), together.size * peak) if peak else ONE


def _at_peak(together: Int64Array) -> Int64Array:
    return np.flatnonzero(together == together.max())


def _together(peak_of: Sequence[NodeId], entries: RowSpans, priced: PricedPeriod) -> Int64Array:
    """Add up whose peak counts, slot by slot [Wh]."""
    energy_wh, slot_count = priced.inputs.import_wh, priced.inputs.slot_count
    if peak_of:
        rows = [priced.inputs.row(node) for node in peak_of]
        return np.asarray(energy_wh[rows].sum(axis=0, dtype=np.int64))
    sums = np.zeros(slot_count, np.int64)

    def task(first: int, end: int) -> None:
        add_rows(energy_wh, entries.rows, entries.starts, entries.ends, first, end, sums)

    in_blocks(task, slot_count, entries.rows.size)
    return sums


def _sums_and_peaks(
    priced: PricedPeriod, entries: RowSpans, rows: Int64Array, row_count: int, spans: Sequence[Span]
) -> tuple[Int64Array, Int64Array]:
    """Give the energy and the largest slot of each row and span [Wh]; a party may stay in its unit twice."""
    edges = np.array([(first, end) for _, first, end in spans], np.int64)
    sums, peaks = (np.zeros((entries.rows.size, len(spans)), np.int64) for _ in range(2))

    def task(first: int, end: int) -> None:
        places = entries.rows, entries.starts, entries.ends
        peak_rows(priced.inputs.import_wh, *places, edges, first, end, sums, peaks)

    in_blocks(task, entries.rows.size, priced.inputs.slot_count)
    peak_by_row = np.zeros((row_count, len(spans)), np.int64)
    np.maximum.at(peak_by_row, rows, peaks)
    return add_up(sums, rows, row_count), peak_by_row


def _weighing(parts: tuple[Fraction, ...], by: tuple[str, ...], weights: IntegerArray, subjects: Subjects) -> Weighing:
    whole, totals = whole_weights(roomy(weights), None, subjects.outer, 1)
    return Weighing(parts, by, whole, totals)
