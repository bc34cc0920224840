"""Laws of exact division, whatever is divided."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allocation_engine.apportion import apportion, integer_weights, round_together

amounts = st.integers(-(10**14), 10**14)
ids = st.text("abcdefgh-0123", min_size=1, max_size=5)
# Small weights make ties, which large random ones never do.
weights_of_any_size = st.one_of(st.integers(0, 10**15), st.integers(0, 2))
pools = st.dictionaries(ids, weights_of_any_size, min_size=1, max_size=20).filter(lambda weights: any(weights.values()))


@given(amounts, pools)
@settings(deadline=None)
def test_parts_add_up_to_the_amount(amount: int, weights: dict[str, int]) -> None:
    assert sum(part.amount for part in apportion(amount, weights).parts.values()) == amount


@given(amounts, pools)
@settings(deadline=None)
def test_every_part_is_less_than_one_minor_unit_off(amount: int, weights: dict[str, int]) -> None:
    total = sum(weights.values())
    for one, part in apportion(amount, weights).parts.items():
        assert abs(part.amount - Fraction(amount * weights[one], total)) < 1


@given(amounts, pools, st.randoms())
@settings(deadline=None)
def test_the_order_of_parties_changes_nothing(amount: int, weights: dict[str, int], shuffler: object) -> None:
    listed = list(weights.items())
    shuffler.shuffle(listed)  # type: ignore[attr-defined]
    assert apportion(amount, dict(listed)).parts == apportion(amount, weights).parts


@given(amounts, pools, st.integers(2, 1000))
@settings(deadline=None)
def test_scaling_all_weights_changes_no_amount(amount: int, weights: dict[str, int], factor: int) -> None:
    scaled = {one: weight * factor for one, weight in weights.items()}
    plain = {one: part.amount for one, part in apportion(amount, weights).parts.items()}
    assert {one: part.amount for one, part in apportion(amount, scaled).parts.items()} == plain


@given(amounts, pools)
@settings(deadline=None)
def test_more_weight_never_means_a_smaller_charge(amount: int, weights: dict[str, int]) -> None:
    parts = sorted(apportion(abs(amount), weights).parts.values(), key=lambda part: part.weight)
    for lighter, heavier in itertools.pairwise(parts):
        assert lighter.weight == heavier.weight or lighter.amount <= heavier.amount


@given(amounts, pools)
@settings(deadline=None)
def test_a_credit_is_the_mirror_of_a_charge(amount: int, weights: dict[str, int]) -> None:
    charge, credit = apportion(amount, weights).parts, apportion(-amount, weights).parts
    assert {one: -part.amount for one, part in charge.items()} == {one: part.amount for one, part in credit.items()}


fractions = st.fractions(min_value=0, max_value=10**6, max_denominator=10**4)


@given(st.dictionaries(ids, fractions, min_size=1, max_size=8))
@settings(deadline=None)
def test_integer_weights_keep_proportions(weights: dict[str, Fraction]) -> None:
    whole = integer_weights(weights)
    total, exact_total = sum(whole.values()), sum(weights.values())
    assume(exact_total)
    for one, weight in weights.items():
        assert abs(Fraction(whole[one], total) - weight / exact_total) <= Fraction(len(weights), 2**59)


@given(st.lists(st.fractions(min_value=-1000, max_value=1000, max_denominator=500), min_size=1, max_size=10))
@settings(deadline=None)
def test_rounding_together_keeps_the_sum_and_moves_each_by_less_than_one(parts: list[Fraction]) -> None:
    rest = -sum(parts) % 1
    exact = {f"p-{i}": part for i, part in enumerate([*parts, rest])}
    rounded = round_together(exact)
    assert sum(rounded.values()) == sum(exact.values())
    assert all(abs(rounded[one] - exact[one]) < 1 for one in exact)
