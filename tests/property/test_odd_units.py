"""The odd minor units are proven: what all lines show by one cut, and adds up to the cost, is the honest division."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allocation_engine.apportion import apportion, divide_rows
from allocation_engine.run import ANY_LINE

COSTS = st.integers(1, 2_000)
WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12), min_size=2, max_size=6)


def shown(cost: int, weights: dict[str, int], total: int, cut: tuple[int, str]) -> dict[str, int]:
    """What each line must be, by its weight and the cut that all are told: the verifier's arithmetic."""
    amounts = {}
    for one, weight in weights.items():
        floor, remainder = divmod(cost * weight, total)
        amounts[one] = floor + (cut[1] != "" and (-remainder, one) <= (-cut[0], cut[1]))
    return amounts


@settings(max_examples=300, deadline=None)
@given(COSTS, WEIGHTS, st.data())
def test_any_one_cut_by_which_all_lines_make_the_cost_gives_the_honest_amounts(
    cost: int, weights: dict[str, int], data: st.DataObject
) -> None:
    total = sum(weights.values())
    assume(total > 0)
    honest = apportion(cost, weights)
    remainders = sorted({cost * weight % total for weight in weights.values()})
    near = sorted({max(0, one + step) for one, step in product(remainders, (-1, 0, 1))})
    cut = data.draw(st.tuples(st.sampled_from(near), st.sampled_from(["", "0", *weights, "z"])))
    amounts = shown(cost, weights, total, cut)
    right = {one: part.amount for one, part in honest.parts.items()}
    if sum(amounts.values()) == cost:
        assert amounts == right
    assert shown(cost, weights, total, (honest.cut_remainder, honest.cut_id)) == right


@settings(max_examples=300, deadline=None)
@given(COSTS, WEIGHTS, st.integers(1, 9), st.data())
def test_a_total_weight_that_is_too_large_is_paid_by_the_centre(
    cost: int, weights: dict[str, int], more: int, data: st.DataObject
) -> None:
    total = sum(weights.values())
    assume(total > 0)
    cut = data.draw(st.tuples(st.integers(0, total + more), st.sampled_from(["", "0", *weights, "z"])))
    amounts = shown(cost, weights, total + more, cut)
    honest = apportion(cost, weights).parts
    # Nobody ever pays more than a minor unit above his exact share, and what all pay never needs to be the cost.
    assert all(amounts[one] * total <= cost * weights[one] + total for one in weights)
    assert all(amounts[one] <= honest[one].amount + 1 for one in weights)


@settings(max_examples=300, deadline=None)
@given(COSTS, WEIGHTS)
def test_the_cut_that_is_told_gives_the_honest_amounts(cost: int, weights: dict[str, int]) -> None:
    total, ids = sum(weights.values()), sorted(weights)
    assume(total > 0)
    divided = divide_rows(cost, np.array([weights[one] for one in ids], np.int64))
    remainder, last = divided.cut
    cut_id = "" if not divided.raised.size else ANY_LINE if last is None else ids[last]
    assert (
        list(shown(cost, dict(sorted(weights.items())), total, (remainder, cut_id)).values())
        == divided.amounts.tolist()
    )
