"""The arrays formulas are evaluated in, against lists of fractions: digits, blocks, denominators, sums over stays."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise
from math import lcm

import numpy as np
import pytest

from allocation_engine.formula import held
from allocation_engine.formula.exact_arrays import LIMIT, ONE, Vector, narrow, plus, times, whole
from allocation_engine.formula.faults import FormulaUndefined
from allocation_engine.formula.held import Holdings, weigh_held
from allocation_engine.formula.products import (
    PRODUCTS_MAX,
    Frame,
    Product,
    Products,
    add,
    constant,
    divide,
    fractions_of,
    largest,
    multiply,
    negate,
    smallest,
)

DAYS, DAY = 3, 4
SLOTS = DAYS * DAY
ROWS = 5
FRAME = Frame(ROWS, np.repeat(np.arange(DAYS), DAY))
Cells = list[list[Fraction]]


def vector(chance: random.Random, count: int, *, size: int = 9, positive: bool = False) -> Vector:
    """Drawn fractions."""
    low = 1 if positive else -size
    return Vector.of(Fraction(chance.randint(low, size), chance.randint(1, 9)) for _ in range(count))


def drawn(chance: random.Random, *, size: int = 9) -> Products:
    """A sum of one to three products of every shape."""
    found = []
    for _ in range(chance.randint(1, 3)):
        width = chance.choice([None, 1, DAYS, SLOTS])
        cells = None
        if width is not None:
            cells = whole(chance.randint(-size, size) for _ in range(ROWS * width)).reshape(ROWS, width)
        columns = vector(chance, chance.choice([1, DAYS, SLOTS]), size=size)
        found.append(Product(vector(chance, chance.choice([1, ROWS]), size=size), columns, cells))
    return tuple(found)


def written_out(products: Products) -> Cells:
    """Every row and slot by itself."""
    cells = [[Fraction(0)] * SLOTS for _ in range(ROWS)]
    for one in products:
        for row in range(ROWS):
            for slot in range(SLOTS):
                number = _at(one.rows, row, ROWS) * _at(one.columns, slot, one.columns.size)
                if one.cells is not None:
                    at = {1: 0, DAYS: slot // DAY, SLOTS: slot}[one.cells.shape[1]]
                    number *= int(one.cells[row, at])
                cells[row][slot] += number
    return cells


def _at(numbers: Vector, place: int, count: int) -> Fraction:
    at = 0 if numbers.size == 1 else place // DAY if count == DAYS else place
    return Fraction(int(numbers.tops[at]), int(numbers.bottoms[at]))


@pytest.mark.parametrize("size", [9, 10**6, 10**17])
@pytest.mark.parametrize("seed", range(6))
def test_sums_products_and_choices_are_those_of_each_cell(seed: int, size: int) -> None:
    chance = random.Random(seed)
    one, two = drawn(chance, size=size), drawn(chance, size=size)
    left, right = written_out(one), written_out(two)
    for found, combine in (
        (add(one, two, FRAME), lambda a, b: a + b),
        (add(one, negate(two), FRAME), lambda a, b: a - b),
        (multiply(one, two, FRAME), lambda a, b: a * b),
        (smallest([one, two], FRAME), min),
        (largest([one, two], FRAME), max),
    ):
        assert written_out(found) == [list(map(combine, *rows)) for rows in zip(left, right, strict=True)]
    assert written_out(negate(one)) == [[-number for number in row] for row in left]
    assert fractions_of(one, FRAME, SLOTS) == left


@pytest.mark.parametrize("seed", range(6))
def test_division_by_rows_columns_and_days_is_exact(seed: int) -> None:
    chance = random.Random(seed)
    one = drawn(chance)
    cells = whole(chance.choice([-7, -2, 1, 3, 10]) for _ in range(ROWS * DAYS)).reshape(ROWS, DAYS)
    for divisor in (
        (Product(vector(chance, ROWS, positive=True), vector(chance, DAYS, positive=True)),),
        (Product(vector(chance, ROWS, positive=True), vector(chance, 1, positive=True), cells),),
        (*constant(Fraction(20)), Product(cells=cells)),
        (*constant(Fraction(20)), Product(columns=vector(chance, SLOTS))),
    ):
        quotient = written_out(divide(one, divisor, FRAME))
        expected = [
            [top / bottom for top, bottom in zip(*rows, strict=True)]
            for rows in zip(written_out(one), written_out(divisor), strict=True)
        ]
        assert quotient == expected


def test_division_by_zero_has_no_result() -> None:
    nothing: Products = ()
    cells = np.array([[1, 0, 2]] * ROWS)
    for divisor in (nothing, (Product(cells=cells),), (Product(columns=Vector.of([Fraction(0)] * DAYS)),)):
        with pytest.raises(FormulaUndefined, match="divides by 0"):
            divide(constant(Fraction(1)), divisor, FRAME)


def test_long_sums_are_gathered_in_one_matrix() -> None:
    total: Products = ()
    for number in range(1, 3 * PRODUCTS_MAX):
        total = add(total, (Product(vector(random.Random(number), ROWS)),), FRAME)
        assert len(total) <= PRODUCTS_MAX
    square = multiply(total, total, FRAME)
    assert len(square) <= PRODUCTS_MAX
    assert written_out(square) == [[number**2 for number in row] for row in written_out(total)]


def stays(chance: random.Random) -> list[tuple[int, int, int, int]]:
    """Drawn (taker, row, first, end): every slot of every row is somebody's; takers come back."""
    found = []
    for row in range(ROWS):
        cuts = sorted({0, SLOTS, *(chance.randrange(SLOTS) for _ in range(3))})
        for place, (first, end) in enumerate(pairwise(cuts)):
            found.append((2 * row + place % 2, row, first, end))
    return sorted(found)


@pytest.mark.parametrize("size", [9, 10**9, 10**17, 10**30])
@pytest.mark.parametrize("edges", [[0, SLOTS], [0, 4, 8, SLOTS], [0, 5, SLOTS]])
@pytest.mark.parametrize("seed", range(4))
def test_sums_over_stays_are_those_of_each_cell(
    monkeypatch: pytest.MonkeyPatch, seed: int, edges: list[int], size: int
) -> None:
    monkeypatch.setattr(held, "BLOCK_CELLS", 2 * SLOTS)
    chance = random.Random(seed)
    products, held_by = drawn(chance, size=size), stays(chance)
    numbers = written_out(products)
    expected = [[Fraction(0)] * (len(edges) - 1) for _ in range(2 * ROWS)]
    for taker, row, first, end in held_by:
        for slot in range(first, end):
            span = next(place for place, edge in enumerate(edges[1:]) if slot < edge)
            expected[taker][span] += numbers[row][slot]
    row_of_taker = np.arange(2 * ROWS) // 2
    holdings = Holdings.of(np.array([(taker, first, end) for taker, _, first, end in held_by]), row_of_taker, edges)

    def evaluate(first: int, end: int) -> tuple[Products, Frame]:
        cut = tuple(
            Product(
                one.rows if one.rows.size == 1 else Vector(one.rows.tops[first:end], one.rows.bottoms[first:end]),
                one.columns,
                None if one.cells is None else one.cells[first:end],
            )
            for one in products
        )
        return cut, Frame(end - first, FRAME.day_of_slot)

    weights = weigh_held(evaluate, ROWS, holdings, FRAME.day_of_slot, has_cells=True)
    assert weights.shape == (len(expected), len(edges) - 1)
    flat = [
        (number, int(found))
        for rows in zip(expected, weights, strict=True)
        for number, found in zip(*rows, strict=True)
    ]
    assert len({found / number for number, found in flat if number}) <= 1
    assert all(not found for number, found in flat if not number)
    assert holdings.slots().sum() == ROWS * SLOTS


@pytest.mark.parametrize("bits", [3, 20, 40, 61, 70])
def test_factors_cut_into_digits_give_the_sums_of_the_whole(bits: int) -> None:
    chance = random.Random(bits)
    cells = np.array([[chance.randint(0, 10**6) for _ in range(SLOTS)] for _ in range(ROWS)], np.int32)
    columns = whole(chance.randint(-(2**bits), 2**bits) for _ in range(SLOTS))
    cuts = np.array([0, 3, 4, 11, SLOTS])
    found = held._between(cells, columns, FRAME, cuts)
    expected = [
        [sum(int(cells[row, slot]) * int(columns[slot]) for slot in range(*pair)) for pair in pairwise(cuts.tolist())]
        for row in range(ROWS)
    ]
    assert [[int(one) for one in row] for row in found] == expected
    pieces = list(held._digits(columns, 40))
    assert [sum(int(part[slot]) << shift for part, shift in pieces) for slot in range(SLOTS)] == columns.tolist()


@pytest.mark.parametrize("bits", [1, 22, 34, 40, 47])
def test_digits_leave_room_for_the_largest_sum(bits: int) -> None:
    # Every cell and every factor as large as it can be: a sum in digits must not reach 63 bits.
    cells = np.full((1, SLOTS), (1 << bits) - 1, np.int64)
    columns = whole([(1 << 61) - 1] * SLOTS)
    found = held._between(cells, columns, FRAME, np.array([0, SLOTS]))
    assert int(found[0, 0]) == SLOTS * ((1 << bits) - 1) * ((1 << 61) - 1)


def test_numbers_grow_out_of_64_bits_and_come_back() -> None:
    large = np.array([LIMIT - 1, -5])
    assert times(large, np.array([2])).tolist() == [2 * (LIMIT - 1), -10]
    twice = plus(large, large)
    assert plus(twice, twice).tolist() == [4 * (LIMIT - 1), -20]
    assert times(np.array([3], np.int32), np.array([2**31 - 1], np.int32)).tolist() == [3 * (2**31 - 1)]
    assert narrow(np.array([5], object)).dtype == np.int64
    assert narrow(np.array([LIMIT], object)).dtype == object
    assert whole([]).dtype == np.int64
    assert times(np.array([], np.int64), large[:0]).size == 0


def test_vectors_are_reduced_and_turned_over() -> None:
    one = Vector.of([Fraction(2, 3), Fraction(-5, 4)])
    assert one.times(ONE) is one
    assert ONE.times(one) is one
    turned = one.turned_over()
    assert list(zip(turned.tops.tolist(), turned.bottoms.tolist(), strict=True)) == [(3, 2), (-4, 5)]
    square = one.times(turned)
    assert (square.tops.tolist(), square.bottoms.tolist()) == ([1, 1], [1, 1])
    tops, common = one.over_one()
    assert (tops.tolist(), common) == ([8, -15], lcm(3, 4))
