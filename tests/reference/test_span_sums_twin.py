"""Energy by band over spans of rows, and slots by quality, added up one slot at a time."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest

from allocation_engine.inputs import SLOT_WH_MAX
from allocation_engine.intervals import SlotQuality
from allocation_engine.span_sums import count_qualities, count_rows, sum_cells, sum_spans
from allocation_engine.weighing import BandRuns, RowSpans


@pytest.mark.parametrize("seed", range(60))
def test_energy_by_band_is_the_sum_of_the_slots_of_the_band(seed: int) -> None:
    draw = Random(seed)
    rows, slots, bands = draw.randint(1, 5), draw.randint(1, 40), draw.randint(1, 4)
    kind, most = draw.choice([(np.int32, 2**31 - 1), (np.int64, SLOT_WH_MAX)])
    energy = np.array(
        [[draw.choice((0, most, draw.randint(0, most))) for _ in range(slots)] for _ in range(rows)], kind
    )
    band_of_slot = np.array([draw.randrange(bands) for _ in range(slots)])
    spans = []
    for _ in range(draw.randint(1, 8)):
        first, end = sorted(draw.randint(0, slots) for _ in range(2))
        spans.append((draw.randrange(rows), 0, first, end))
    sums = sum_spans(energy, RowSpans.of(spans), BandRuns.of(band_of_slot, bands), draw.randint(1, 3))
    wanted = [
        [
            sum(int(energy[row, slot]) for slot in range(first, end) if band_of_slot[slot] == band)
            for band in range(bands)
        ]
        for row, _, first, end in spans
    ]
    assert sums.tolist() == wanted


@pytest.mark.parametrize("seed", range(20))
def test_cells_are_the_sums_between_edges(seed: int) -> None:
    draw = Random(seed)
    rows, slots = draw.randint(1, 4), draw.randint(2, 30)
    energy = np.array([[draw.randint(0, 2**31 - 1) for _ in range(slots)] for _ in range(rows)], np.int32)
    edges = np.array(sorted({0, slots, *draw.sample(range(1, slots), draw.randint(0, slots - 1))}))
    wanted = [[sum(map(int, row[first:end])) for first, end in itertools.pairwise(edges)] for row in energy]
    assert sum_cells(energy, edges).tolist() == wanted


def test_rows_are_counted_alike_whether_plain_or_not() -> None:
    draw = np.random.default_rng(7)
    quality = draw.choice(np.array(list(SlotQuality), np.uint8), (50, 12))
    quality[::3] = SlotQuality.MEASURED
    assert count_rows(quality) == [count_qualities(row) for row in quality]
    for row, counts in zip(quality, count_rows(quality), strict=True):
        assert dict(counts) == {one.name.lower(): int((row == one).sum()) for one in SlotQuality if one in row}
