"""Arrays of exact numbers: integers of 64 bits while they fit, Python's own beyond that; and vectors of fractions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.formula.faults import FormulaUndefined

Ints = npt.NDArray[Any]
"""Whole numbers: int32, int64, or Python integers (dtype object)."""
BITS = 62
LIMIT = 1 << BITS


def peak(numbers: Ints) -> int:
    """Give the largest magnitude."""
    if not numbers.size:
        return 0
    return max(int(numbers.max()), -int(numbers.min()))


def times(one: Ints, two: Ints) -> Ints:
    """Multiply exactly, with broadcasting."""
    if peak(one) * peak(two) < LIMIT:
        return np.asarray(_wide(one) * _wide(two))
    return np.asarray(one.astype(object) * two.astype(object))


def plus(one: Ints, two: Ints) -> Ints:
    """Add exactly, with broadcasting."""
    if peak(one) + peak(two) < LIMIT:
        return np.asarray(_wide(one) + _wide(two))
    return np.asarray(one.astype(object) + two.astype(object))


def whole(numbers: Iterable[int]) -> Ints:
    """Make an array of whole numbers, as narrow as they allow."""
    known = list(numbers)
    fits = max(map(abs, known), default=0) < LIMIT
    array = np.array(known, np.int64 if fits else object)
    return array.reshape(len(known))


def narrow(numbers: Ints) -> Ints:
    """Go back to 64 bits where that is enough."""
    return numbers.astype(np.int64) if numbers.dtype == object and peak(numbers) < LIMIT else numbers


def _wide(numbers: Ints) -> Ints:
    if numbers.dtype == object:
        return narrow(numbers)
    return numbers if numbers.dtype == np.int64 else numbers.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """Fractions `tops` / `bottoms` along one axis; a single one stands for all places. Bottoms are above 0."""

    tops: Ints
    bottoms: Ints

    @classmethod
    def of(cls, numbers: Iterable[Fraction]) -> Vector:
        """Take fractions."""
        known = list(numbers)
        return cls(whole(one.numerator for one in known), whole(one.denominator for one in known))

    @classmethod
    def integers(cls, numbers: Ints) -> Vector:
        """Take whole numbers."""
        return cls(numbers, whole([1] * numbers.size))

    @property
    def size(self) -> int:
        """How many places there are."""
        return int(self.tops.size)

    def at(self, places: Ints) -> Vector:
        """Give the numbers at `places`; a single one stays single."""
        return self if self.size == 1 else Vector(self.tops[places], self.bottoms[places])

    def times(self, other: Vector) -> Vector:
        """Multiply place by place."""
        if self is ONE or other is ONE:
            return other if self is ONE else self
        tops, bottoms = times(self.tops, other.tops), times(self.bottoms, other.bottoms)
        shared = np.gcd(tops, bottoms)
        return Vector(narrow(tops // shared), narrow(bottoms // shared))

    def turned_over(self) -> Vector:
        """Give 1 divided by each; raises FormulaUndefined for 0."""
        if not self.tops.all():
            raise FormulaUndefined("a formula divides by 0; what it divides by must stay above 0")
        turn = np.where(self.tops < 0, -1, 1)
        return Vector(self.bottoms * turn, self.tops * turn)

    def over_one(self) -> tuple[Ints, int]:
        """Bring all to one denominator: whole numbers, and what they are to be divided by."""
        common = common_multiple(self.bottoms)
        return (self.tops if common == 1 else times(self.tops, whole([common]) // self.bottoms)), common


ONE = Vector(np.ones(1, np.int64), np.ones(1, np.int64))


def common_multiple(numbers: Ints) -> int:
    """Give the smallest number that all divide."""
    return lcm(*(int(one) for one in np.unique(numbers)))


def common_bottoms(vectors: Iterable[Ints]) -> Ints:
    """Give, place by place, the smallest number that all bottoms divide."""
    return reduce(_lcm, vectors, ONE.bottoms)


def _lcm(one: Ints, two: Ints) -> Ints:
    return times(one, two // np.gcd(_wide(one), _wide(two)))
