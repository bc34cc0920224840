"""A matrix most of whose rows are 0 throughout: only the others are kept. Hardly any meter counts energy given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.kernels import Int64Array, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """Reads like the matrix it stands for, by row or by (row, slots); row r of it is `kept[places[r]]`.

    kept     shape (kept rows + 1, slots) [Wh]; the last row is 0 throughout
    places   shape (rows,)
    """

    kept: IntArray
    places: Int64Array

    @classmethod
    def of(cls, matrix: IntArray | SparseRows) -> SparseRows:
        """Keep the rows of a whole matrix that are not 0 throughout."""
        if isinstance(matrix, SparseRows):
            return matrix
        rows = np.flatnonzero(matrix.any(axis=1))
        return cls.holding(len(matrix), rows.tolist(), matrix[rows])

    @classmethod
    def holding(cls, count: int, rows: Sequence[int], kept: IntArray) -> SparseRows:
        """Give a matrix of `count` rows that is `kept` in these `rows`, in their order, and 0 elsewhere."""
        places = np.full(count, len(rows), np.int64)
        places[list(rows)] = np.arange(len(rows))
        return cls(np.concatenate([kept, np.zeros((1, kept.shape[1]), kept.dtype)]), places)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and slots of the matrix."""
        return self.places.size, self.kept.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self.kept.dtype

    @property
    def rows(self) -> Int64Array:
        """The rows that are kept, in order: all others are 0 throughout."""
        return np.flatnonzero(self.places < len(self.kept) - 1)

    def any(self) -> bool:
        """Say whether anything in it is not 0."""
        return bool(self.kept.any())

    def __getitem__(self, key: Any) -> Any:
        rows, slots = key if isinstance(key, tuple) else (key, slice(None))
        return self.kept[self.places[rows], slots]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.kept[self.places], dtype)
