"""Energy of many rows at once: by price band over spans of slots, by stretches of slots, and how well it is known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.intervals import SlotQuality
from allocation_engine.kernels import Int64Array, IntArray, UInt8Array, sum_rows
from allocation_engine.weighing import BandRuns, RowSpans

QualityCounts = tuple[tuple[str, int], ...]
"""How many slots of each quality, in words; what does not occur is left out."""


def sum_spans(energy_wh: IntArray, spans: RowSpans, runs: BandRuns, threads: int | None = None) -> Int64Array:
    """Add up energy by band over spans of rows.

    energy_wh   shape (rows, slots) [Wh]; negative where unknown, and then left out
    Returns     shape (spans, bands) [Wh]
    """
    sums = np.zeros((spans.rows.size, runs.count), np.int64)

    def task(first: int, end: int) -> None:
        sum_rows(energy_wh, spans.rows, spans.starts, spans.ends, runs.edges, runs.bands, first, end, sums)

    in_blocks(task, spans.rows.size, energy_wh.shape[1], threads)
    return sums


def sum_cells(energy_wh: IntArray, edges: Int64Array, threads: int | None = None) -> Int64Array:
    """Add up the energy of every row between one edge and the next; shape (rows, edges - 1) [Wh]."""
    rows = np.arange(len(energy_wh))
    none, whole = np.zeros_like(rows), np.full_like(rows, energy_wh.shape[1])
    runs = BandRuns(edges, np.arange(edges.size - 1), edges.size - 1)
    return sum_spans(energy_wh, RowSpans(rows, rows, none, whole), runs, threads)


def count_qualities(quality: UInt8Array) -> QualityCounts:
    """Count slots by quality."""
    counts = np.bincount(quality.ravel(), minlength=len(SlotQuality))
    return tuple((one.name.lower(), int(counts[one])) for one in SlotQuality if counts[one])


def count_measured(spans: Iterable[tuple[int, int]]) -> QualityCounts:
    """Give what `count_spans` gives for a row that is measured throughout."""
    return ((SlotQuality.MEASURED.name.lower(), sum(end - first for first, end in spans)),)


def count_spans(quality: UInt8Array, spans: Iterable[tuple[int, int]]) -> QualityCounts:
    """Count slots first <= slot < end of a row by quality."""
    return count_qualities(np.concatenate([quality[first:end] for first, end in spans]))


def count_rows(quality: UInt8Array) -> list[QualityCounts]:
    """Count the slots of every row by quality; almost all rows are plainly measured, and those share one answer."""
    plain = count_measured([(0, quality.shape[1])])
    counts = [plain] * len(quality)
    for row in np.flatnonzero(quality.max(axis=1, initial=0)).tolist():
        counts[row] = count_qualities(quality[row])
    return counts
