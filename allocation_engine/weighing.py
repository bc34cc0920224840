"""Energy, and energy times two factors, by price band, over any spans of any rows: the sums weights are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.errors import OutOfRange
from allocation_engine.inputs import Int64Array
from allocation_engine.kernels import IntArray, sum_rows, weigh_rows

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
    start: int = 0,
) -> Int64Array:
    """Add up energy, and energy x each of two factors, by band. The caller sees to it that no sum reaches 2^63.

    Slots of spans, factors and runs are counted from slot `start` of the energies on.

    energy_wh      shape (rows, start + slots or more) [Wh]; negative where unknown, and then left out
    ones, others   shape (groups, slots), the factors; a single row of `others` is everybody's
    Returns        shape (spans, 3, bands)
    """
    sums = np.empty((spans.rows.size, 3, runs.count), np.int64)

    def task(first: int, end: int) -> None:
        places = (spans.rows, spans.groups, spans.starts, spans.ends)
        weigh_rows(energy_wh, start, *places, ones, others, runs.edges, runs.bands, first, end, sums)

    in_blocks(task, spans.rows.size, ones.shape[1], threads)
    return sums


class ExactSums:
    """Sums of energy, and of energy x factor, by span and band, with as many digits as the factors have.

    They grow part by part of the slots, so that factors need not be there for all of them at once. Factors are cut into
    digits so small that no sum over a whole row reaches 2^62.
    """

    def __init__(self, energy_wh: IntArray, spans: RowSpans, band_count: int) -> None:
        """Begin at 0.

        energy_wh   shape (rows, slots) [Wh]; negative where unknown, and then left out
        Raises      OutOfRange where a row holds 2^42 Wh
        """
        rows = np.unique(spans.rows)
        none, whole, totals = (
            np.zeros_like(rows),
            np.full_like(rows, energy_wh.shape[1]),
            np.zeros((rows.size, 1), np.int64),
        )
        sum_rows(energy_wh, rows, none, whole, np.array([0, energy_wh.shape[1]]), none[:1], 0, rows.size, totals)
        row_bits = int(totals.max(initial=0)).bit_length()
        if row_bits > ROW_BITS:
            raise OutOfRange(f"more than 2^{ROW_BITS} Wh at one node in one period")
        self._energy_wh, self._spans = energy_wh, spans
        self._digit_bits = SUM_BITS - max(row_bits, 1)
        shape = (spans.rows.size, band_count)
        self.drawn_wh = np.zeros(shape, np.int64)
        self._digits = [np.zeros(shape, np.int64) for _ in range(0, FACTOR_BITS_MAX, self._digit_bits)]

    def add(self, factors: Int64Array, runs: BandRuns, start: int = 0) -> None:
        """Add the slots from `start` on.

        factors   shape (groups, slots from `start` on), below 2^62
        runs      bands of those slots, counted from `start`
        """
        spans, bits = self._spans, self._digit_bits
        starts, ends = (np.clip(edges - start, 0, factors.shape[1]) for edges in (spans.starts, spans.ends))
        inside = np.flatnonzero(starts < ends)
        part = RowSpans(spans.rows[inside], spans.groups[inside], starts[inside], ends[inside])
        for number in range(0, len(self._digits), 2):
            ones, others = (_digit(factors, one * bits, bits) for one in (number, number + 1))
            sums = weigh(self._energy_wh, part, ones, others, runs, start=start)
            if number == 0:
                self.drawn_wh[inside] += sums[:, 0]
            for digits, column in zip(self._digits[number : number + 2], (1, 2), strict=False):
                digits[inside] += sums[:, column]

    def weighted(self) -> list[list[int]]:
        """Give the sum of energy x factor of each span and band."""
        total = np.zeros(self.drawn_wh.shape, object)
        for number, digits in enumerate(self._digits):
            total += digits.astype(object) * (1 << number * self._digit_bits)
        found: list[list[int]] = total.tolist()
        return found


def weigh_exactly(
    energy_wh: IntArray, spans: RowSpans, factors: Int64Array, runs: BandRuns
) -> tuple[Int64Array, list[list[int]]]:
    """Add up energy [Wh], and energy x factor, by span and band; raises OutOfRange. See ExactSums."""
    sums = ExactSums(energy_wh, spans, runs.count)
    sums.add(factors, runs)
    return sums.drawn_wh, sums.weighted()


def _digit(factors: Int64Array, shift: int, bits: int) -> Int64Array:
    """Give `bits` bits of the factors from `shift` on; the last digit keeps the sign."""
    if shift >= FACTOR_BITS_MAX:
        return np.zeros_like(factors)
    shifted: Int64Array = factors >> shift
    return shifted if shift + bits >= FACTOR_BITS_MAX else shifted & ((1 << bits) - 1)
