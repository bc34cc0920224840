"""Laws of shared losses: nothing is made or lost at any node in any slot, and physics asks for sharing by slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine.errors import OutOfRange
from allocation_engine.kernels import GROSS_BITS
from allocation_engine.loss_factors import FACTOR_BITS, ONE, REST_UNITS, LossFactors, find_loss_factors
from allocation_engine.tree import TOP, TreeSpan, span_of

SLOTS = 5


@dataclass(frozen=True)
class Flows:
    """A tree with the energy of every row and slot [Wh], negative where unknown, and no-load losses [Wh per day]."""

    parents: list[int]
    import_wh: list[list[int]]
    export_wh: list[list[int]]
    no_load: list[int]

    @property
    def span(self) -> TreeSpan:
        """The tree."""
        return span_of(np.array(self.parents, np.int64), 0, SLOTS)

    def factors(self, threads: int | None = None) -> LossFactors:
        """What the engine finds."""
        arrays = (np.array(one, np.int64) for one in (self.import_wh, self.export_wh, self.no_load))
        return find_loss_factors(self.span, *arrays, threads=threads)

    def no_load_of(self, row: int, slot: int) -> int:
        """Whole watt-hours of no-load loss of a node in one slot."""
        return (slot + 1) * self.no_load[row] // 96 - slot * self.no_load[row] // 96

    def children(self, row: int) -> list[int]:
        """The rows below a row."""
        return [one for one, parent in enumerate(self.parents) if parent == row]

    def is_known(self, row: int, slot: int) -> bool:
        """Whether a node's loss is known."""
        return all(
            energy[one][slot] >= 0 for one in (row, *self.children(row)) for energy in (self.import_wh, self.export_wh)
        )

    def loss(self, row: int, slot: int) -> int:
        """What is gone at a node; 0 where that is not known."""
        if not self.is_known(row, slot):
            return 0
        nets = [self.import_wh[one][slot] - self.export_wh[one][slot] for one in (row, *self.children(row))]
        return nets[0] - sum(nets[1:])


energies = st.one_of(st.integers(0, 1000), st.integers(0, 10**11), st.just(0), st.just(-1))


@st.composite
def flows(draw: st.DrawFn, energy: st.SearchStrategy[int] = energies, export_max: int = 10**6) -> Flows:
    """Up to nine nodes with any energies, whether they make sense or not."""
    count = draw(st.integers(2, 9))
    parents = [TOP, *(draw(st.integers(TOP, row - 1)) for row in range(1, count))]
    row = st.lists(energy, min_size=SLOTS, max_size=SLOTS)
    exports = st.lists(st.integers(0, export_max), min_size=SLOTS, max_size=SLOTS)
    return Flows(
        parents,
        [draw(row) for _ in parents],
        [draw(exports) if draw(st.booleans()) else [0] * SLOTS for _ in parents],
        [draw(st.sampled_from([0, 0, 1000, 10**8])) for _ in parents],
    )


@given(flows())
@settings(deadline=None, max_examples=300)
def test_every_node_passes_on_in_every_slot_what_it_carries_and_loses(case: Flows) -> None:
    found, span = case.factors(), case.span
    rests = [0] * SLOTS
    for place, row in enumerate(span.inner.tolist()):
        above = found.carried_above(place)
        for slot in range(SLOTS):
            drawn = max(case.import_wh[row][slot], 0)
            below = sum(max(case.import_wh[one][slot], 0) for one in case.children(row))
            no_load = (ONE + int(above[slot])) * case.no_load_of(row, slot)
            comes = int(above[slot]) * drawn + ONE * case.loss(row, slot)
            rest = comes - no_load - int(found.gross[place, slot]) * below
            rests[slot] += rest
            carried = drawn - case.no_load_of(row, slot)
            whole = (int(above[slot]) >> FACTOR_BITS) * carried + case.loss(row, slot) - case.no_load_of(row, slot)
            if case.is_known(row, slot) and below and max(abs(carried), abs(whole)) <= below << GROSS_BITS:
                assert 0 <= rest < below
    for slot in range(SLOTS):
        assert rests[slot] == sum(int(part[slot]) << bits for part, bits in zip(found.rest, REST_UNITS, strict=True))


@given(flows())
@settings(deadline=None)
def test_losses_are_those_of_the_balance(case: Flows) -> None:
    found, span = case.factors(), case.span
    for place, row in enumerate(span.inner.tolist()):
        assert found.loss_wh[place].tolist() == [case.loss(row, slot) for slot in range(SLOTS)]


@given(flows(energy=st.integers(1000, 3000), export_max=0))
@settings(deadline=None)
def test_with_draws_only_the_factor_is_the_product_of_ratios_down_the_path(case: Flows) -> None:
    case = Flows(case.parents, case.import_wh, case.export_wh, [0] * len(case.parents))
    found, span = case.factors(), case.span
    for slot in range(SLOTS):
        products: dict[int, Fraction] = {}
        for place, row in enumerate(span.inner.tolist()):
            below = sum(case.import_wh[one][slot] for one in case.children(row))
            above = products.get(case.parents[row], Fraction(1))
            products[row] = above * Fraction(case.import_wh[row][slot], below)
            # Each cut of 2^-40 grows by the ratios below it, at most 3 a level.
            bound = Fraction(len(case.parents) * 3 ** len(case.parents), ONE)
            assert abs(Fraction(int(found.gross[place, slot]), ONE) - (products[row] - 1)) <= bound


@given(flows(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_nodes_changes_no_factor(case: Flows, shuffler: object) -> None:
    order = list(range(len(case.parents)))
    shuffler.shuffle(order)  # type: ignore[attr-defined]
    place = {old: new for new, old in enumerate(order)}
    parents = [TOP if case.parents[old] == TOP else place[case.parents[old]] for old in order]
    listed = ([part[old] for old in order] for part in (case.import_wh, case.export_wh, case.no_load))
    moved = Flows(parents, *listed)
    plain, shuffled = case.factors(), moved.factors()
    by_row = {int(row): plain.gross[number].tolist() for number, row in enumerate(case.span.inner)}
    for number, row in enumerate(moved.span.inner):
        assert shuffled.gross[number].tolist() == by_row[order[int(row)]]
    assert np.array_equal(plain.rest, shuffled.rest)


def test_the_number_of_threads_changes_no_factor() -> None:
    draw = np.random.default_rng(3)
    parents = np.array([TOP, *[0] * 40, *(1 + np.arange(4000) % 40)], np.int64)
    span = span_of(parents, 0, 200)
    energy = draw.integers(0, 10**6, (parents.size, 200))
    no_load = draw.integers(0, 10**5, parents.size)
    alone, many = (find_loss_factors(span, energy, energy // 7, no_load, threads) for threads in (1, 5))
    assert np.array_equal(alone.gross, many.gross)
    assert np.array_equal(alone.rest, many.rest)


def shapley(loads: Sequence[int], k: Fraction) -> list[Fraction]:
    """Shapley values of the game v(S) = k x (sum of the loads in S)^2, by its definition over all coalitions."""
    count = len(loads)
    values = []
    for player in range(count):
        others = [one for one in range(count) if one != player]
        value = Fraction(0)
        for size in range(count):
            weight = Fraction(factorial(size) * factorial(count - size - 1), factorial(count))
            for coalition in combinations(others, size):
                without = sum(loads[one] for one in coalition)
                value += weight * k * ((without + loads[player]) ** 2 - without**2)
        values.append(value)
    return values


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6).filter(any), st.integers(1, 10))
@settings(deadline=None, max_examples=60)
def test_with_loss_by_the_square_of_load_each_carries_its_shapley_value(loads: list[int], per_mille: int) -> None:
    # The loss at full load is that many per mille; it is whole watt-hours, so k is what makes it so.
    loss = sum(loads) * per_mille // 1000
    k = Fraction(loss, sum(loads) ** 2)
    case = Flows(
        [TOP, *[0] * len(loads)],
        [[sum(loads) + loss] * SLOTS, *([load] * SLOTS for load in loads)],
        [[0] * SLOTS for _ in range(len(loads) + 1)],
        [0] * (len(loads) + 1),
    )
    factor = int(case.factors().gross[0, 0])
    for load, fair in zip(loads, shapley(loads, k), strict=True):
        assert 0 <= fair - Fraction(factor * load, ONE) < Fraction(load + 1, ONE)


def test_more_energy_than_the_digits_hold_is_refused() -> None:
    parents = np.array([TOP, *[0] * 50], np.int64)
    energy = np.full((51, 2), 10**11)
    with pytest.raises(OutOfRange, match="below one node"):
        find_loss_factors(span_of(parents, 0, 2), energy, None, np.zeros(51, np.int64))
