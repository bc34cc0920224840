"""Exact division: the small cases a person can check, and the ends of the range."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from allocation_engine import apportion as apportion_module
from allocation_engine.apportion import WEIGHT_BITS, apportion, divide_rows, integer_weights, round_together, roundest
from allocation_engine.errors import AllWeightsZero, NotConserved, OutOfRange


def amounts(amount: int, weights: dict[str, int]) -> list[int]:
    """The parts in order of id."""
    parts = apportion(amount, weights).parts
    return [parts[one].amount for one in sorted(parts)]


@pytest.mark.parametrize(
    ("above", "upto", "found"),
    [(0, 5, 4), (4, 5, 5), (5, 5, None), (6, 5, None), (-1, 5, 0), (7, 9, 8), (1000, 1100, 1024), (40, 47, 44)],
)
def test_the_roundest_number_between_two(above: int, upto: int, found: int | None) -> None:
    assert roundest(above, upto) == found
    if found is not None:
        assert zeros(found) == max(zeros(one) for one in range(above + 1, upto + 1))


def zeros(number: int) -> int:
    """How many zero bits a number ends with."""
    return (number & -number).bit_length() if number else 64


def weight_behind(remainder: int, amount: int, total: int) -> int:
    """Work a weight out of its remainder: what anybody can who knows amount and total."""
    return remainder * pow(amount, -1, total) % total


def test_the_cut_that_all_are_told_is_nobodys_weight() -> None:
    weights = [997 + 89 * number * number for number in range(12)]
    total, amount = sum(weights), 1_000_003
    divided = divide_rows(amount, np.array(weights, np.int64))
    assert weight_behind(divided.cut_remainder, amount, total) in weights, "a remainder tells a weight"
    cut, last = divided.cut
    assert last is None
    assert weight_behind(cut, amount, total) not in weights
    assert [row for row, one in enumerate(divided.remainders.tolist()) if one >= cut] == sorted(divided.raised.tolist())


def test_equal_remainders_are_told_apart_by_id() -> None:
    assert divide_rows(100, np.array([1, 1, 1], np.int64)).cut == (1, 0)
    assert divide_rows(99, np.array([1, 1, 1], np.int64)).cut == (0, None)


def test_the_odd_units_go_to_the_largest_remainders() -> None:
    # 100 x 1/7 = 14.29, 100 x 2/7 = 28.57, 100 x 4/7 = 57.14: the odd unit goes to the second.
    assert amounts(100, {"a": 1, "b": 2, "c": 4}) == [14, 29, 57]


def test_ties_go_to_the_smaller_id_whatever_the_order_of_input() -> None:
    assert amounts(2, {"a": 1, "b": 1, "c": 1}) == [1, 1, 0]
    assert amounts(2, {"c": 1, "b": 1, "a": 1}) == [1, 1, 0]


def test_a_credit_mirrors_a_charge() -> None:
    weights = {"a": 1, "b": 2, "c": 4}
    assert amounts(-100, weights) == [-one for one in amounts(100, weights)]


def test_one_unit_over_ten_thousand_goes_to_the_first() -> None:
    parts = apportion(1, {f"t-{i:05d}": 1 for i in range(10_000)}).parts
    assert parts["t-00000"].amount == 1
    assert sum(part.amount for part in parts.values()) == 1


def test_nobody_without_weight_gets_an_odd_unit() -> None:
    assert amounts(99, {"a": 0, "b": 1, "c": 0, "d": 1}) == [0, 50, 0, 49]


def test_each_part_says_how_it_came_about() -> None:
    result = apportion(100, {"a": 1, "b": 2, "c": 4})
    assert (result.total_weight, result.extra_count, result.cut_remainder, result.cut_id) == (7, 1, 4, "b")
    assert [(p.weight, p.remainder, p.extra) for p in result.parts.values()] == [
        (1, 2, False),
        (2, 4, True),
        (4, 1, False),
    ]
    for part in result.parts.values():
        assert 100 * part.weight == (part.amount - part.extra) * result.total_weight + part.remainder


def test_nothing_to_divide_needs_no_weight() -> None:
    assert amounts(0, {"a": 0, "b": 0}) == [0, 0]
    assert apportion(0, {}).parts == {}


def test_something_to_divide_by_no_weight_is_refused() -> None:
    with pytest.raises(AllWeightsZero, match="all weights are 0"):
        apportion(1, {"a": 0})


@pytest.mark.parametrize(
    ("amount", "weights"), [(2**62, {"a": 1}), (1, {"a": 2**61, "b": 2**61}), (1, {"a": -1, "b": 2})]
)
def test_what_does_not_fit_is_refused_before_it_can_wrap_around(amount: int, weights: dict[str, int]) -> None:
    with pytest.raises(OutOfRange):
        apportion(amount, weights)


def test_a_kernel_that_loses_a_unit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(amount: int, weights: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full(weights.size, amount + 1, np.int64), np.zeros(weights.size, np.int64)

    monkeypatch.setattr(apportion_module, "split_amount", forgetful)
    with pytest.raises(NotConserved):
        apportion(100, {"a": 1, "b": 2})


def test_fractions_become_the_smallest_integers_in_proportion() -> None:
    assert integer_weights({"a": Fraction(1, 2), "b": Fraction(1, 3), "c": Fraction(0)}) == {"a": 3, "b": 2, "c": 0}


def test_no_weights_at_all_stay_zero() -> None:
    assert integer_weights({"a": Fraction(0), "b": Fraction(0)}) == {"a": 0, "b": 0}
    assert integer_weights({}) == {}


def test_fractions_too_fine_for_62_bits_are_cut_alike() -> None:
    fine = {f"t-{i}": Fraction(i + 1, 10**9 + 7 + i) for i in range(20)}
    weights = integer_weights(fine)
    total, exact_total = sum(weights.values()), sum(fine.values())
    assert 2 ** (WEIGHT_BITS - 2) < total < 2**WEIGHT_BITS
    for one, weight in weights.items():
        assert abs(Fraction(weight, total) - fine[one] / exact_total) < Fraction(1, 2**55)


def test_parts_of_any_sign_round_to_a_whole_sum() -> None:
    rounded = round_together({"a": Fraction(-1, 2), "b": Fraction(5, 2), "c": Fraction(1)})
    assert rounded == {"a": 0, "b": 2, "c": 1}
    assert sum(rounded.values()) == 3


def test_parts_that_are_not_whole_together_are_a_fault_of_the_engine() -> None:
    with pytest.raises(NotConserved):
        round_together({"a": Fraction(1, 3)})
