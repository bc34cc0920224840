"""A matrix of mostly empty rows reads as if all of it were there, and keeps only what is not 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.sparse_rows import SparseRows

Matrix = np.ndarray[tuple[int, int], np.dtype[np.int64]]


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    """Small matrices in which many rows are 0."""
    rows, slots = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    empty = st.just([0] * slots)
    filled = st.lists(st.integers(0, 3), min_size=slots, max_size=slots)
    whole = draw(st.lists(st.one_of(empty, filled), min_size=rows, max_size=rows))
    return np.array(whole, draw(st.sampled_from([np.int32, np.int64])))


@given(matrix=matrices(), data=st.data())
def test_it_reads_like_the_matrix_it_stands_for(matrix: Matrix, data: st.DataObject) -> None:
    sparse = SparseRows.of(matrix)
    row = data.draw(st.integers(-len(matrix), len(matrix) - 1))
    first, end = sorted(data.draw(st.tuples(*[st.integers(0, matrix.shape[1])] * 2)))
    order = data.draw(st.permutations(range(len(matrix))))
    assert (sparse.shape, sparse.dtype, sparse.any()) == (matrix.shape, matrix.dtype, bool(matrix.any()))
    assert np.array_equal(np.asarray(sparse), matrix)
    assert np.array_equal(sparse[row], matrix[row])
    assert np.array_equal(sparse[row, first:end], matrix[row, first:end])
    assert np.array_equal(sparse[:, first:end], matrix[:, first:end])
    assert np.array_equal(sparse[order], matrix[order])
    assert np.array_equal(sparse[::-1], matrix[::-1])


@given(matrix=matrices())
def test_only_rows_that_are_not_0_are_kept(matrix: Matrix) -> None:
    sparse = SparseRows.of(matrix)
    assert sparse.rows.tolist() == [row for row, slots in enumerate(matrix) if slots.any()]
    assert len(sparse.kept) == len(sparse.rows) + 1


def test_rows_are_laid_where_they_are_said_to_be() -> None:
    sparse = SparseRows.holding(4, [2, 0], np.array([[1, 2], [3, 4]]))
    assert np.asarray(sparse).tolist() == [[3, 4], [0, 0], [1, 2], [0, 0]]
    assert sparse.rows.tolist() == [0, 2]


def test_what_is_sparse_already_is_taken_as_it_is() -> None:
    sparse = SparseRows.holding(3, [], np.zeros((0, 5), np.int32))
    assert SparseRows.of(sparse) is sparse
    assert not sparse.any()
    assert np.asarray(sparse, np.int64).dtype == np.int64


def test_a_row_that_is_not_there_is_an_error() -> None:
    with pytest.raises(IndexError):
        SparseRows.holding(3, [], np.zeros((0, 5), np.int64))[3]
