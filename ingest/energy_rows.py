"""Matrices of energy that are filled piece by piece: in 32 bits while they fit, and by rows where most are 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.inputs import Int64Array
from allocation_engine.kernels import IntArray
from allocation_engine.sparse_rows import SparseRows
from ingest.store.wired_days import WiredDays

_INT32 = np.iinfo(np.int32)


class RowFiller:
    """A matrix of zeros that numbers are put into; `rows` has 64 bits from the first number on that needs them."""

    def __init__(self, count: int, slot_count: int) -> None:
        self.rows: IntArray = np.zeros((count, slot_count), np.int32)

    def put(self, row: int, first: int, numbers: npt.NDArray[Any]) -> None:
        """Put numbers into slots of a row, from `first` on."""
        if self.rows.dtype == np.int32 and not _INT32.min <= numbers.min() <= numbers.max() <= _INT32.max:
            self.rows = self.rows.astype(np.int64)
        self.rows[row, first : first + numbers.size] = numbers

    def put_days(self, row: int, days: WiredDays, firsts: Int64Array, lengths: Int64Array) -> None:
        """Put days as they came over the wire into slots of a row; raises ArrayDamaged."""
        if not days.lay(firsts, lengths, self.rows[row]):
            self.rows = self.rows.astype(np.int64)
            days.lay(firsts, lengths, self.rows[row])


def sparse_rows(count: int, slot_count: int, kept: Mapping[int, Int64Array]) -> SparseRows:
    """Give a matrix of `count` rows that are 0 but for those that are kept."""
    rows = sorted(kept)
    numbers: IntArray = np.zeros((len(rows), slot_count), np.int64)
    for place, row in enumerate(rows):
        numbers[place] = kept[row]
    return SparseRows.holding(count, rows, numbers)
