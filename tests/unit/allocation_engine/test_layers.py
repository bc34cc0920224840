"""Layers: who takes part, with which part of each grain span, and what is left over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from fractions import Fraction

import numpy as np
import pytest

from allocation_engine.inputs import PeriodInputs
from allocation_engine.layers import SUM_BITS, Layer, Split, Takers, group_sums, rest_of, roomy, times, whole_array
from metering.identity import PartyId, UnitId

Make = Callable[..., PeriodInputs]
HALVES = [(date(2026, 7, 1), 0, 4), (date(2026, 7, 1), 4, 8)]


@pytest.fixture
def inputs(make_inputs: Make) -> PeriodInputs:
    """Three units of which one changes hands twice, back to the first tenant."""
    let = [("a", "t-1", 0, 2), ("a", "t-2", 2, 5), ("a", "t-1", 5, 8), ("a-1", "t-1", 0, 8)]
    return make_inputs(energy={"n": 1}, units={"a": (100, None), "a-1": (30, None), "b": (7, None)}, let=let)


def test_takers_are_parties_in_units_in_order_of_their_ids(inputs: PeriodInputs) -> None:
    takers = Takers.of(inputs, [UnitId("b"), UnitId("a"), UnitId("a-1")], HALVES)
    assert takers.ids == ("a-1/t-1", "a/t-1", "a/t-2", "b/owner")
    assert takers.ids == tuple(sorted(takers.ids))
    assert takers.units == ("a-1", "a", "a", "b")
    assert takers.parties == ("t-1", "t-1", "t-2", "owner")
    assert takers.area_cm2.tolist() == [30, 100, 100, 7]
    assert takers.slots.tolist() == [[4, 4], [2, 3], [2, 1], [4, 4]]
    assert takers.stays.tolist() == [[0, 0, 8], [1, 0, 2], [1, 5, 8], [2, 2, 5], [3, 0, 8]]


def test_only_the_units_asked_for_have_takers(inputs: PeriodInputs) -> None:
    assert Takers.of(inputs, [UnitId("b")], HALVES).ids == ("b/owner",)
    assert Takers.of(inputs, [], HALVES).slots.shape == (0, 2)


def test_one_layer_between_all_deals_out_whole_spans_or_nothing() -> None:
    layer = Layer.between_all(np.array([[1, 0], [2, 0]]), [3, 0])
    assert layer.worth == [[Fraction(1, 3), 0]]
    assert layer.dealt() == [1, 0]
    assert rest_of([layer], 2) == (0, 1)


def test_groups_have_a_worth_of_their_own_and_the_rest_is_left() -> None:
    layer = Layer(np.array([[5], [15], [4]]), [[Fraction(3, 10) / 20], [Fraction(1, 2) / 4]], np.array([0, 0, 1]))
    assert layer.dealt() == [Fraction(4, 5)]
    assert rest_of([layer, Layer.between_all(np.array([[0], [1], [4]]), [50])], 1) == (Fraction(1, 10),)


def test_layers_of_integers_beyond_64_bits_are_exact() -> None:
    huge = 3**80
    layer = Layer.between_all(np.array([[huge], [2 * huge]], object), [3 * huge])
    assert layer.dealt() == [1]
    assert group_sums(layer.weights, np.array([1, 1]), 2).tolist() == [[0], [3 * huge]]


def test_products_and_arrays_leave_64_bits_before_they_overflow() -> None:
    assert whole_array([1, 2]).dtype == np.int64
    assert whole_array([2**61, 2**61]).dtype == object
    small, large = whole_array([3, 4]), whole_array([1 << 40, 1 << 40])
    assert times(small, small).dtype == np.int64
    assert times(large, large).tolist() == [1 << 80, 1 << 80]
    edge = 1 << (SUM_BITS // 2)
    assert times(whole_array([edge]), whole_array([edge])).dtype == object
    assert times(whole_array([edge - 1]), whole_array([edge])).dtype == np.int64


def test_columns_that_could_add_up_to_more_than_62_bits_are_kept_exactly() -> None:
    edge = 1 << (SUM_BITS - 1)
    assert roomy(np.array([[edge - 1, 1], [edge, 2]])).dtype == np.int64
    grown = roomy(np.array([[edge, 1], [edge, 2]]))
    assert (grown.dtype, grown.sum(axis=0).tolist()) == (object, [2 * edge, 3])
    assert roomy(np.full((9, 1), edge)).sum() == 9 * edge
    # A row of factors multiplies every row, and does not make a column longer.
    days = np.array([[1 << 20, 1]])
    assert times(np.full((8, 2), 1 << 38), days).dtype == np.int64
    assert times(np.full((32, 2), 1 << 38), days).dtype == object


def test_a_split_names_the_line_of_its_rest(inputs: PeriodInputs) -> None:
    split = Split(Takers.of(inputs, [], HALVES), (), rest_of([], 2), PartyId("owner"))
    assert (split.bearer_id, split.rest, split.steps(0)) == ("residual/owner", (1, 1), ())
