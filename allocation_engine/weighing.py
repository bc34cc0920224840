"""Energy, and energy times a factor, by price band, over any spans of any rows: the sums every weight is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.inputs import Int64Array
from allocation_engine.kernels import DAY_SLOTS, DIGIT, IntArray, weigh_rows

DIGIT_BITS = 20
ROW_BITS = 42
"""A span of a row holds less than 2^42 Wh, so that its sum with 20-bit digits of a factor stays below 2^62."""


@dataclass(frozen=True, slots=True, eq=False)
class BandPattern:
    """The bands of a span of slots, as few different days of 96 slots.

    of_block   shape (blocks,), the pattern of each 96 slots
    places     shape (patterns x 96,), the band of each slot of each pattern
    count      number of bands
    """

    of_block: Int64Array
    places: Int64Array
    count: int

    @classmethod
    def of(cls, band_of_slot: Int64Array, count: int) -> BandPattern:
        """Find the patterns; a last block that is not whole is filled up, and what stands there is never used."""
        padded = np.zeros(-(-band_of_slot.size // DAY_SLOTS) * DAY_SLOTS, np.int64)
        padded[: band_of_slot.size] = band_of_slot
        patterns, of_block = np.unique(padded.reshape(-1, DAY_SLOTS), axis=0, return_inverse=True)
        return cls(of_block.reshape(-1).astype(np.int64), patterns.ravel(), count)


@dataclass(frozen=True, slots=True, eq=False)
class RowSpans:
    """Slots `starts` <= slot < `ends` of `rows`, each with the group of its factor; one entry a span."""

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
    energy_wh: IntArray, spans: RowSpans, factors: Int64Array, bands: BandPattern, threads: int | None = None
) -> Int64Array:
    """Add up energy, and energy x each factor, by band. The caller sees to it that no sum reaches 2^63.

    energy_wh   shape (rows, slots) [Wh]; negative where unknown, and then left out
    factors     shape (groups, factors, slots)
    Returns     shape (spans, 1 + factors, bands)
    """
    sums = np.empty((spans.rows.size, 1 + factors.shape[1], bands.count), np.int64)

    def task(first: int, end: int) -> None:
        places = (spans.rows, spans.groups, spans.starts, spans.ends)
        weigh_rows(energy_wh, *places, factors, bands.of_block, bands.places, first, end, sums)

    in_blocks(task, spans.rows.size, energy_wh.shape[1], threads)
    return sums


def weigh_exactly(
    energy_wh: IntArray, spans: RowSpans, factors: Int64Array, bands: BandPattern
) -> tuple[Int64Array, list[list[int]]]:
    """Add up energy, and energy x factor, by band, whatever the size of the factors (below 2^62).

    energy_wh   as in `weigh`; a span holds less than 2^42 Wh
    factors     shape (groups, slots)
    Returns     energy, shape (spans, bands) [Wh]; and for each span and band the sum of energy x factor
    """
    largest = int(energy_wh.max(initial=0)) * energy_wh.shape[1]
    shifts: tuple[int, ...]
    if int(np.abs(factors).max(initial=0)) * max(largest, 1) < 2**62:
        digits, shifts = factors[:, None, :], (0,)
    else:
        digits = np.stack([factors >> 2 * DIGIT_BITS, factors >> DIGIT_BITS & DIGIT, factors & DIGIT], axis=1)
        shifts = (2 * DIGIT_BITS, DIGIT_BITS, 0)
    sums = weigh(energy_wh, spans, np.ascontiguousarray(digits), bands)
    weighted = [
        [sum(int(one) << shift for one, shift in zip(band, shifts, strict=True)) for band in span.T]
        for span in sums[:, 1:]
    ]
    return sums[:, 0], weighted
