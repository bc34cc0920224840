"""Weights reduced by group and column at once, against fractions turned to whole numbers one dictionary at a time."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from allocation_engine.apportion import WEIGHT_BITS, integer_weights
from allocation_engine.whole_weights import whole_weights

KINDS = ("small", "zeros", "long", "multiples", "beyond 64 bits")


def drawn(seed: int, kind: str) -> tuple[list[list[int]], list[int], list[int], int]:
    """Draw weights, divisors and groups of some rows; group -1 is nobody's."""
    chance = random.Random(seed)
    rows, columns, count = chance.randint(1, 40), chance.choice([1, 3, 31]), chance.randint(1, 5)
    top = {"small": 50, "zeros": 1, "long": (1 << 62) // 40 - 1, "multiples": 10**6}.get(kind, 10**40)
    shared = chance.randint(2, 10**6) if kind == "multiples" else 1
    weights = [[chance.randint(0, top) * shared for _ in range(columns)] for _ in range(rows)]
    divisors = [chance.choice([1, 2, 7, 250, chance.randint(1, 10**6)]) for _ in range(rows)]
    return weights, divisors, [chance.randint(-1, count - 1) for _ in range(rows)], count


@pytest.mark.parametrize("is_divided", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(30))
def test_each_group_and_column_is_reduced_as_if_it_stood_alone(seed: int, kind: str, is_divided: bool) -> None:
    weights, divisors, groups, count = drawn(seed, kind)
    array = np.array(weights, object if kind == "beyond 64 bits" else np.int64)
    by = np.array(divisors) if is_divided else None
    found, totals = whole_weights(array, by, np.array(groups), count)
    assert found.dtype == totals.dtype == np.int64
    for column in range(array.shape[1]):
        for group in range(-1, count):
            rows = [row for row, one in enumerate(groups) if one == group]
            exact = {str(row): Fraction(weights[row][column], divisors[row] if is_divided else 1) for row in rows}
            expected = integer_weights(exact) if rows and group >= 0 else dict.fromkeys(exact, 0)
            assert {str(row): int(found[row, column]) for row in rows} == expected
            if group >= 0:
                assert int(totals[group, column]) == sum(expected.values()) < 1 << WEIGHT_BITS


def test_nobody_at_all_weighs_nothing() -> None:
    found, totals = whole_weights(np.zeros((0, 2), np.int64), None, np.zeros(0, np.int64), 1)
    assert (found.shape, totals.tolist()) == ((0, 2), [[0, 0]])


def test_columns_of_one_group_are_cut_by_their_own_length() -> None:
    long = (1 << 61) - 1
    array = np.array([[long, 2], [1, 3], [long, 1], [3, 1]])
    found, _ = whole_weights(array, None, np.array([0, 0, 1, 1]), 2)
    assert found[:, 1].tolist() == [2, 3, 1, 1]
    assert found[:, 0].tolist() == [long >> 1, 0, long >> 1, 1]
