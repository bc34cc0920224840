"""Amounts that vary by row and column, as sums of products: (row factor) x (column factor) x (matrix of integers).

What varies only by unit or only by time never fills a matrix, and a sum over slots is taken term by term. Columns are
all alike (1), days, or slots; rows are units or floors. All numbers are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

import numpy as np

from allocation_engine.formula.exact_arrays import (
    ONE,
    Ints,
    Vector,
    common_bottoms,
    narrow,
    plus,
    times,
    whole,
)
from allocation_engine.formula.faults import FormulaUndefined

PRODUCTS_MAX = 8
"""A sum of more products than this is added up in one matrix."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """rows[r] x columns[c] x cells[r, c]; `cells` None where that is 1 everywhere."""

    rows: Vector = ONE
    columns: Vector = ONE
    cells: Ints | None = None


Products = tuple[Product, ...]
"""Their sum; empty for 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The axes: how many rows, and the day of each slot."""

    row_count: int
    day_of_slot: Ints

    def widen(self, numbers: Ints, count: int) -> Ints:
        """Lay columns of days over slots where `count` of them are needed."""
        return numbers if numbers.shape[-1] in (1, count) else numbers[..., self.day_of_slot]

    def widen_vector(self, vector: Vector, count: int) -> Vector:
        """Do the same with fractions."""
        return vector if vector.size in (1, count) else vector.at(self.day_of_slot)


def constant(number: Fraction) -> Products:
    """Give a number that is everywhere the same."""
    return (Product(Vector.of([number])),) if number else ()


def add(one: Products, two: Products, frame: Frame) -> Products:
    """Add."""
    both = (*one, *two)
    return both if len(both) <= PRODUCTS_MAX else _combined([both], frame, lambda filled: filled[0])


def negate(one: Products) -> Products:
    """Turn the sign."""
    return tuple(Product(Vector(-each.rows.tops, each.rows.bottoms), each.columns, each.cells) for each in one)


def multiply(one: Products, two: Products, frame: Frame) -> Products:
    """Multiply each with each."""
    if len(one) * len(two) > PRODUCTS_MAX:
        one, two = (_combined([each], frame, lambda filled: filled[0]) for each in (one, two))
    return tuple(_product(left, right, frame) for left in one for right in two)


def divide(one: Products, two: Products, frame: Frame) -> Products:
    """Divide; raises FormulaUndefined by 0."""
    if len(two) != 1 or two[0].cells is not None:
        two = _combined([two], frame, lambda filled: filled[0])
    if not two:
        raise FormulaUndefined("a formula divides by 0; what it divides by must stay above 0")
    (divisor,) = two
    cells, rows = None, divisor.rows.turned_over()
    if divisor.cells is not None:
        # 1 / cell = (common / cell) / common, row by row.
        if not divisor.cells.all():
            raise FormulaUndefined("a formula divides by 0 for some unit and day")
        common = whole(int(np.lcm.reduce(row.astype(object))) for row in divisor.cells)
        cells = narrow(common.astype(object)[:, None] // divisor.cells)
        rows = rows.times(Vector(whole([1] * common.size), common))
    return multiply(one, (Product(rows, divisor.columns.turned_over(), cells),), frame)


def smallest(terms: Sequence[Products], frame: Frame) -> Products:
    """Take the smallest, cell by cell."""
    return _combined(terms, frame, lambda filled: reduce(np.minimum, filled))


def largest(terms: Sequence[Products], frame: Frame) -> Products:
    """Take the largest, cell by cell."""
    return _combined(terms, frame, lambda filled: reduce(np.maximum, filled))


def _product(one: Product, two: Product, frame: Frame) -> Product:
    count = max(one.columns.size, two.columns.size)
    columns = [frame.widen_vector(each.columns, count) for each in (one, two)]
    cells = one.cells if two.cells is None else two.cells
    if one.cells is not None and two.cells is not None:
        width = max(one.cells.shape[1], two.cells.shape[1])
        cells = times(frame.widen(one.cells, width), frame.widen(two.cells, width))
    return Product(one.rows.times(two.rows), columns[0].times(columns[1]), cells)


def _combined(terms: Sequence[Products], frame: Frame, combine: Callable[[list[Ints]], Ints]) -> Products:
    """Fill a matrix for each of some sums, over one denominator by row and one by column, and combine them."""
    products = [one for each in terms for one in each]
    if not products:
        return ()
    count = max(max(one.columns.size, 1 if one.cells is None else one.cells.shape[1]) for one in products)
    below_rows = common_bottoms(one.rows.bottoms for one in products)
    below_columns = common_bottoms(frame.widen(one.columns.bottoms, count) for one in products)
    filled = [_filled(each, frame, count, below_rows, below_columns) for each in terms]
    cells = narrow(np.asarray(combine(filled)))
    if not cells.any():
        return ()
    if cells.shape[0] == 1:
        return (Product(Vector(ONE.tops, below_rows), _reduced(cells[0], below_columns)),)
    if cells.shape[1] == 1:
        return (Product(_reduced(cells[:, 0], below_rows), Vector(ONE.tops, below_columns)),)
    rows, columns = (Vector(np.ones(below.size, np.int64), below) for below in (below_rows, below_columns))
    return (Product(rows, columns, cells),)


def _filled(terms: Products, frame: Frame, count: int, below_rows: Ints, below_columns: Ints) -> Ints:
    total: Ints = np.zeros((1, 1), np.int64)
    for one in terms:
        rows = times(one.rows.tops, below_rows // one.rows.bottoms)
        columns = times(frame.widen(one.columns.tops, count), below_columns // frame.widen(one.columns.bottoms, count))
        cells = times(rows[:, None], columns[None, :])
        if one.cells is not None:
            cells = times(cells, frame.widen(one.cells, count))
        total = plus(total, cells)
    return total


def _reduced(tops: Ints, bottoms: Ints) -> Vector:
    shared = np.gcd(tops, bottoms)
    return Vector(narrow(tops // shared), narrow(bottoms // shared))


def fractions_of(terms: Products, frame: Frame, count: int) -> list[list[Fraction]]:
    """Write out every cell of a sum with `count` columns, row by row; for few rows."""
    (one,) = _combined([terms], frame, lambda filled: filled[0]) or (_ZERO,)
    columns = frame.widen_vector(one.columns, count)
    cells = np.ones((1, 1), np.int64) if one.cells is None else frame.widen(one.cells, count)
    numbers = []
    for row in range(frame.row_count):
        at_row, inner = _at(one.rows, row), cells[row if cells.shape[0] > 1 else 0]
        numbers.append(
            [at_row * _at(columns, place) * int(inner[place if inner.size > 1 else 0]) for place in range(count)]
        )
    return numbers


_ZERO = Product(Vector(np.zeros(1, np.int64), np.ones(1, np.int64)))


def _at(vector: Vector, place: int) -> Fraction:
    at = place if vector.size > 1 else 0
    return Fraction(int(vector.tops[at]), int(vector.bottoms[at]))
