"""Sums of rows against fractions added up one by one: floors, the largest common unit, and who gets the odd ones."""

from __future__ import annotations

import random
from fractions import Fraction
from math import gcd, lcm

import numpy as np
import pytest

from allocation_engine.apportion import round_together
from allocation_engine.errors import NotConserved
from allocation_engine.layers import Layer
from allocation_engine.row_sums import RowSums, largest_unit

KINDS = ("random", "alike", "in proportion", "zeros", "tiny", "huge", "python integers")


def drawn_layers(seed: int, kind: str) -> tuple[list[Layer], list[int]]:
    """Draw layers of some rows and spans with groups, and amounts of either sign."""
    chance = random.Random(seed)
    rows, spans = chance.randint(1, 30), chance.choice([1, 2, 7, 31])
    layers = []
    for _ in range(chance.randint(1, 3)):
        count = chance.randint(1, 4)
        top = {"tiny": 3, "huge": (1 << 62) - 1}.get(kind, chance.choice([9, 10**6, 10**15]))
        weights = [[chance.randint(0, top) for _ in range(spans)] for _ in range(rows)]
        if kind in ("alike", "in proportion"):
            weights = [[one * (1 if kind == "alike" else row + 1) for one in weights[0]] for row in range(rows)]
        if kind == "zeros":
            weights = [
                [one * chance.randint(0, 1) for one in row] if chance.random() < 0.3 else [0] * spans for row in weights
            ]
        if kind == "python integers":
            weights = [[one**7 for one in row] for row in weights]
        worth = [
            [Fraction(chance.randint(0, 99), chance.randint(1, 10**9)) for _ in range(spans)] for _ in range(count)
        ]
        groups = np.array([chance.randrange(count) for _ in range(rows)])
        layers.append(Layer(np.array(weights, object if kind == "python integers" else np.int64), worth, groups))
    return layers, [chance.choice([0, 1, chance.randint(-(10**9), 10**9)]) for _ in range(spans)]


def by_hand(layers: list[Layer], amounts: list[int]) -> list[Fraction]:
    """Every sum, term by term."""
    rows = layers[0].weights.shape[0]
    return [
        sum(
            (
                int(weight) * layer.worth[int(layer.group_of[row])][span] * amounts[span]
                for layer in layers
                for span, weight in enumerate(layer.weights[row])
            ),
            Fraction(0),
        )
        for row in range(rows)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(25))
def test_floors_of_scaled_sums_are_those_of_fractions(kind: str, seed: int) -> None:
    layers, amounts = drawn_layers(seed, kind)
    exact = by_hand(layers, amounts)
    sums = RowSums.of(layers, amounts)
    assert [sums.exact(row) for row in range(len(exact))] == exact
    largest = max(map(abs, exact)) or Fraction(1)
    for bits in (1, 40, 61):
        scale = Fraction((1 << bits) - 1) / largest / 2
        assert sums.floors(scale).tolist() == [one * scale // 1 for one in exact]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(25))
def test_the_largest_unit_divides_every_sum_and_nothing_larger_does(kind: str, seed: int) -> None:
    layers, amounts = drawn_layers(seed, kind)
    exact = [one for one in by_hand(layers, [abs(one) for one in amounts]) if one]
    unit = RowSums.of(layers, [abs(one) for one in amounts]).unit
    assert unit == largest_unit(exact)
    multiples = [one / unit for one in exact]
    assert all(one.denominator == 1 for one in multiples)
    assert gcd(*(one.numerator for one in multiples)) in (0, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(25))
def test_rounding_together_gives_the_odd_ones_as_fractions_would(kind: str, seed: int) -> None:
    layers, amounts = drawn_layers(seed, kind)
    exact = by_hand(layers, amounts)
    size = max(sum(map(abs, exact), Fraction(0)), Fraction(1))
    amounts = [one if size < 1 << 50 else int(one / size) for one in amounts]
    exact = by_hand(layers, amounts)
    chance = random.Random(seed)
    total = round(sum(exact, Fraction(0))) + chance.randint(0, 2)
    rest = total - sum(exact, Fraction(0))
    ids = [f"{chance.randrange(10**6):06d}-{row}" for row in range(len(exact))] + ["500000-rest"]
    expected = round_together(dict(zip(ids, [*exact, rest], strict=True)))
    rounded, last = RowSums.of(layers, amounts).rounded(total, ids, rest)
    assert [*rounded.tolist(), last] == [expected[one] for one in ids]


def test_rows_that_come_to_nothing_do_not_hide_what_the_others_share() -> None:
    weights = np.array([[1, 0]] * 20 + [[0, 6], [0, 9]])
    layer = Layer.between_all(weights, [20, 15])
    assert RowSums.of([layer], [0, 5]).unit == 1
    assert RowSums.of([layer], [0, 15]).unit == 3
    assert RowSums.of([layer], [0, 0]).unit == 0


def test_equal_fractions_go_by_id() -> None:
    thirds = Layer.between_all(np.array([[1], [1], [1]]), [3])
    rounded, rest = RowSums.of([thirds], [5]).rounded(5, ["c", "a", "b"], None)
    assert (rounded.tolist(), rest) == ([1, 2, 2], 0)
    rounded, rest = RowSums.of([thirds], [4]).rounded(5, ["c", "d", "e", "b"], Fraction(1))
    assert (rounded.tolist(), rest) == ([2, 1, 1], 1)


def test_what_does_not_add_up_is_refused() -> None:
    with pytest.raises(NotConserved, match="leave 7 over, for 3 rows"):
        RowSums.of([Layer.between_all(np.array([[1], [1], [1]]), [3])], [3]).rounded(10, ["a", "b", "c"], None)


def test_a_unit_of_fractions() -> None:
    assert largest_unit([Fraction(3, 4), Fraction(9, 10), Fraction(0)]) == Fraction(3, lcm(4, 10))
    assert largest_unit([Fraction(0)]) == 0
