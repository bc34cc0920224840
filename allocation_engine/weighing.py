"""Energy, and energy times two factors, by price band, over any spans of any rows: the sums weights are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.errors import OutOfRange
from allocation_engine.inputs import Int64Array
from allocation_engine.kernels import IntArray, weigh_rows

ROW_BITS = 42
"""No row holds 2^42 Wh in one period: that would be 6 GW without a pause."""
FACTOR_BITS_MAX = 62
SUM_BITS = 62


@dataclass(frozen=True, slots=True, eq=False)
class BandRuns:
    """The bands of a span of slots: band `bands[i]` from slot `edges[i]` to `edges[i + 1]`; `count` bands in all."""

    edges: Int64Array
    bands: Int64Array
    count: int

    @classmethod
    def of(cls, band_of_slot: Int64Array, count: int) -> BandRuns:
        """Find the runs of slots of one band."""
        starts = np.flatnonzero(np.diff(band_of_slot, prepend=-1))
        return cls(np.append(starts, band_of_slot.size), band_of_slot[starts], count)


@dataclass(frozen=True, slots=True, eq=False)
class RowSpans:
    """Slots `starts` <= slot < `ends` of `rows`, each with the group of its factors; one entry a span."""

    rows: Int64Array
    groups: Int64Array
    starts: Int64Array
    ends: Int64Array

    @classmethod
    def of(cls, spans: Sequence[tuple[int, int, int, int]]) -> RowSpans:
        """Take (row, group, start, end) of each span."""
        columns = np.array(spans, np.int64).reshape(-1, 4).T
        return cls(*(np.ascontiguousarray(column) for column in columns))


def weigh(
    energy_wh: IntArray,
    spans: RowSpans,
    ones: Int64Array,
    others: Int64Array,
    runs: BandRuns,
    threads: int | None = None,
) -> Int64Array:
    """Add up energy, and energy x each of two factors, by band. The caller sees to it that no sum reaches 2^63.

    energy_wh      shape (rows, slots) [Wh]; negative where unknown, and then left out
    ones, others   shape (groups, slots), the factors; a single row of `others` is everybody's
    Returns        shape (spans, 3, bands)
    """
    sums = np.empty((spans.rows.size, 3, runs.count), np.int64)

    def task(first: int, end: int) -> None:
        places = (spans.rows, spans.groups, spans.starts, spans.ends)
        weigh_rows(energy_wh, *places, ones, others, runs.edges, runs.bands, first, end, sums)

    in_blocks(task, spans.rows.size, energy_wh.shape[1], threads)
    return sums


def weigh_exactly(
    energy_wh: IntArray, spans: RowSpans, factors: Int64Array, runs: BandRuns
) -> tuple[Int64Array, list[list[int]]]:
    """Add up energy, and energy x factor, by band, with as many digits as the factors have.

    energy_wh   as in `weigh`
    factors     shape (groups, slots), below 2^62
    Returns     energy, shape (spans, bands) [Wh]; and for each span and band the sum of energy x factor
    Raises      OutOfRange where a row holds 2^42 Wh
    """
    row_bits = int(np.maximum(energy_wh, 0).sum(axis=1, dtype=np.int64).max(initial=0)).bit_length()
    if row_bits > ROW_BITS:
        raise OutOfRange(f"more than 2^{ROW_BITS} Wh at one node in one period")
    digit_bits = SUM_BITS - max(row_bits, 1)
    energy = np.zeros((spans.rows.size, runs.count), np.int64)
    weighted = np.zeros(energy.shape, object)
    for shift in range(0, FACTOR_BITS_MAX, 2 * digit_bits):
        ones, others = (_digit(factors, shift + step, digit_bits) for step in (0, digit_bits))
        sums = weigh(energy_wh, spans, ones, others, runs)
        energy = sums[:, 0]
        for step, column in zip((0, digit_bits), (1, 2), strict=True):
            weighted += sums[:, column].astype(object) * 2 ** (shift + step)
    return energy, weighted.tolist()


def _digit(factors: Int64Array, shift: int, bits: int) -> Int64Array:
    """Give `bits` bits of the factors from `shift` on; the last digit keeps the sign."""
    if shift >= FACTOR_BITS_MAX:
        return np.zeros_like(factors)
    shifted: Int64Array = factors >> shift
    return shifted if shift + bits >= FACTOR_BITS_MAX else shifted & ((1 << bits) - 1)
