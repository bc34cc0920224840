"""The exact twins of the kernels, and that kernels and twins never differ.

The twins are written for plainness: Python's unlimited integers and fractions, no numpy, no compiled code.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine.apportion import apportion
from allocation_engine.kernels import group_energy, split_amount

LARGEST = 2**62 - 1


def exact_split(amount: int, weights: Sequence[int], total: int) -> tuple[list[int], list[int]]:
    """Twin of `split_amount`."""
    return [amount * weight // total for weight in weights], [amount * weight % total for weight in weights]


def exact_groups(
    energy_wh: Sequence[int], groups: Sequence[int], bands: Sequence[int], group_count: int, band_count: int
) -> list[list[int]]:
    """Twin of `group_energy`."""
    sums = [[0] * band_count for _ in range(group_count)]
    for one, group, band in zip(energy_wh, groups, bands, strict=True):
        if group >= 0:
            sums[group][band] += one
    return sums


def exact_apportionment(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Twin of `apportion`: largest remainder by fractions, ties by id, a negative amount by its magnitude."""
    total = sum(weights.values())
    if total == 0:
        return dict.fromkeys(weights, 0)
    shares = {one: Fraction(abs(amount) * weight, total) for one, weight in weights.items()}
    floors = {one: floor(share) for one, share in shares.items()}
    odd = abs(amount) - sum(floors.values())
    ranked = sorted(shares, key=lambda one: (floors[one] - shares[one], one))
    sign = -1 if amount < 0 else 1
    return {one: sign * (floors[one] + (one in ranked[:odd])) for one in weights}


amounts = st.one_of(st.integers(0, LARGEST), st.integers(0, 100), st.sampled_from([0, 1, LARGEST]))


@st.composite
def weight_lists(draw: st.DrawFn) -> list[int]:
    """Weights whose sum is at least 1 and below 2^62."""
    count = draw(st.integers(1, 12))
    most = LARGEST // count
    weights = draw(st.lists(st.one_of(st.integers(0, most), st.integers(0, 3)), min_size=count, max_size=count))
    return weights if any(weights) else [*weights[1:], 1]


@given(amounts, weight_lists())
@settings(deadline=None)
def test_splitting_an_amount_agrees_with_its_twin(amount: int, weights: list[int]) -> None:
    total = sum(weights)
    quotients, remainders = split_amount(amount, np.array(weights, np.int64), total)
    assert (quotients.tolist(), remainders.tolist()) == exact_split(amount, weights, total)


@pytest.mark.parametrize("amount", [0, 1, 2**31, 2**61, LARGEST])
@pytest.mark.parametrize("total", [1, 3, 2**31 + 1, LARGEST])
def test_splitting_agrees_at_the_ends_of_the_range(amount: int, total: int) -> None:
    weights = [0, 1, total // 2, total - 1, total]
    quotients, remainders = split_amount(amount, np.array(weights, np.int64), total)
    assert (quotients.tolist(), remainders.tolist()) == exact_split(amount, weights, total)


@given(
    st.lists(st.tuples(st.integers(-(10**11), 10**11), st.integers(-1, 3), st.integers(0, 4)), max_size=200),
)
@settings(deadline=None)
def test_grouping_energy_agrees_with_its_twin(slots: list[tuple[int, int, int]]) -> None:
    columns = [[slot[axis] for slot in slots] for axis in range(3)]
    arrays = [np.array(column, np.int64) for column in columns]
    assert group_energy(*arrays, 4, 5).tolist() == exact_groups(*columns, 4, 5)


@given(
    st.integers(-LARGEST, LARGEST),
    st.dictionaries(st.text("abcd", min_size=1, max_size=3), st.integers(0, 2**40), min_size=1, max_size=12),
)
@settings(deadline=None)
def test_apportioning_agrees_with_its_twin(amount: int, weights: dict[str, int]) -> None:
    if not any(weights.values()):
        weights["a"] = 1
    parts = apportion(amount, weights).parts
    assert {one: part.amount for one, part in parts.items()} == exact_apportionment(amount, weights)


def test_two_thousand_seeded_pools_of_fifty_tenants_agree() -> None:
    draw = random.Random(20260701)
    for _ in range(2_000):
        weights = {f"t-{i:02d}": draw.choice([0, 1, draw.randrange(10**7)]) for i in range(50)}
        amount = draw.randrange(-(10**8), 10**8)
        parts = apportion(amount, weights).parts
        assert {one: part.amount for one, part in parts.items()} == exact_apportionment(amount, weights)
