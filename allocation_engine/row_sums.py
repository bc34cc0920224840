"""Sums of weight x fraction for every row, compared exactly and computed no further than a comparison needs.

    sum of a row = sum over columns of  weight x factor of the row's group

Written out, such sums have thousands of digits: every grain span brings a denominator of its own. Yet what is asked is
only where they lie between integers, and which of two is larger. So factors are cut some places after the point, a
kernel adds up from below and from above, and only rows for which the two disagree are added up in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm
from typing import NamedTuple, TypeVar

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.errors import NotConserved
from allocation_engine.kernels import Int64Array, mix_rows
from allocation_engine.layers import NONE, IntegerArray, Layer, whole_array

Made = TypeVar("Made")
DIGIT_BITS, DIGIT_OCTETS = 24, 3
GUARD_BITS = 40
"""Places after the point that are right in any case: one row in 2^40 needs adding up in full by chance."""
MANTISSA_BITS = 192
FRACTION_BITS = 48
RESIDUE_BITS = 31
FIRST_ROWS = 8
"""So many rows are added up in full to find what all sums may be multiples of."""


class Ratio(NamedTuple):
    """A fraction that nobody reduced: with very long numbers that takes longer than all the rest."""

    numerator: int
    denominator: int


def multiple_of(unit: Fraction, bits: int) -> Ratio:
    """Give 1 / (unit x 2^bits): a sum x this is how many units it has, cut at that bit."""
    return Ratio(unit.denominator, unit.numerator << bits)


def largest_unit(fractions: Sequence[Fraction]) -> Fraction:
    """Give the largest fraction that all are whole multiples of; 0 where all are 0."""
    found = [one for one in fractions if one]
    # In pairs: a multiple that grows by one short denominator after the other is handled in its whole length each time.
    multiples = [one.denominator for one in found] or [1]
    while len(multiples) > 1:
        multiples = [lcm(*multiples[place : place + 2]) for place in range(0, len(multiples), 2)]
    return Fraction(gcd(*(one.numerator for one in found)), multiples[0])


@dataclass(frozen=True, eq=False)
class RowSums:
    """The sums of the rows of `weights`.

    weights   shape (rows, columns), none negative; int64, or Python's integers
    groups    shape (rows, layers): the group of each row in each layer of columns
    layers    shape (columns,): the layer of each column
    factors   by group and column
    """

    weights: IntegerArray
    groups: Int64Array
    layers: Int64Array
    factors: Sequence[Sequence[Fraction]]
    _found: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)

    @classmethod
    def of(cls, layers: Sequence[Layer], amounts: Sequence[int]) -> RowSums:
        """Add up, for every taker, what it has of `amounts`: one a span."""
        count = max(len(layer.worth) for layer in layers)
        factors: list[list[Fraction]] = [[] for _ in range(count)]
        for layer in layers:
            for group, worth in enumerate(layer.worth):
                factors[group] += [one * amount for one, amount in zip(worth, amounts, strict=True)]
            for group in range(len(layer.worth), count):
                factors[group] += [NONE] * len(amounts)
        weights = [layer.weights for layer in layers]
        return cls(
            weights=np.hstack(weights) if len(weights) > 1 else weights[0],
            groups=np.ascontiguousarray(np.stack([layer.group_of for layer in layers], axis=1)),
            layers=np.repeat(np.arange(len(layers)), len(amounts)),
            factors=factors,
        )

    def exact(self, row: int) -> Fraction:
        """Add up one row in full."""
        kind = int(self._kinds[1][row])
        return Fraction(self._numerator(kind, row), self._denominators[kind][1])

    @cached_property
    def unit(self) -> Fraction:
        """The largest fraction that all sums are whole multiples of; 0 where all are 0."""
        found = []
        for kind, (numerators, denominator) in enumerate(self._denominators):
            shared = gcd(*numerators)
            if shared:
                rows = np.flatnonzero(self._kinds[1] == kind)
                inner = self._shared(rows, [one // shared for one in numerators])
                found.append(Fraction(inner * shared, denominator))
        return largest_unit(found)

    def floors(self, scale: Fraction | Ratio) -> Int64Array:
        """Give the floor of each sum x `scale`; all are below 2^62."""
        floors, _ = self._bounded(scale)
        return floors

    def multiples(self, scale: Fraction | Ratio) -> Int64Array:
        """Give each sum x `scale` where all of them are known to be whole; all are below 2^62."""
        if self.weights.dtype == object:
            return self.floors(scale)
        whole, _ = self._mixed(scale)
        return np.asarray(whole[1])

    def rounded(self, total: int, ids: Sequence[str], rest: Fraction | None) -> tuple[Int64Array, int]:
        """Round all sums, each by less than 1, so that with `rest` they add up to `total`; ties to the smaller id.

        ids       of the rows, and of the rest as the last
        Returns   the rounded sums, and the rounded rest
        """
        floors, fractions = self._bounded(Fraction(1))
        last = NONE if rest is None else rest
        rest_floor = last.numerator // last.denominator
        odd = total - sum(floors.tolist()) - rest_floor
        count = floors.size + (rest is not None)
        if not 0 <= odd <= count:
            raise NotConserved(f"sums of rows leave {odd} over, for {count} rows")
        if odd == 0:
            return floors, rest_floor
        if rest is not None:
            at = int((last - rest_floor) * (1 << FRACTION_BITS))
            fractions = np.append(fractions, [[at], [at + 1]], axis=1)
        raised = self._largest(fractions, odd, ids, last - rest_floor)
        floors = floors.copy()
        floors[raised[raised < floors.size]] += 1
        return floors, rest_floor + int((raised >= floors.size).any())

    def _largest(self, fractions: Int64Array, odd: int, ids: Sequence[str], rest: Fraction) -> Int64Array:
        """Give the `odd` places with the largest fractions, which lie between two bounds."""
        at = fractions.shape[1] - odd
        least, most = (int(np.partition(bound, at)[at]) for bound in fractions)
        surely = np.flatnonzero(fractions[0] > most)
        open_places = np.flatnonzero((fractions[0] <= most) & (fractions[1] >= least))
        rows = open_places[open_places < self.weights.shape[0]]
        lacking = dict(self._by_row(rows, lambda found: -(found % 1)))
        if rows.size < open_places.size:
            lacking[self.weights.shape[0]] = -rest
        ranked = sorted(lacking, key=lambda place: (lacking[place], ids[place]))
        return np.concatenate([surely, np.array(ranked[: odd - surely.size], np.int64)])

    def _bounded(self, scale: Fraction | Ratio) -> tuple[Int64Array, Int64Array]:
        """Give the floor of each sum x scale, and bounds of what is left over [2^-48]."""
        if self.weights.dtype == object:
            whole, fraction = (np.zeros((2, self.weights.shape[0]), np.int64) for _ in range(2))
            unsure = np.arange(self.weights.shape[0])
        else:
            whole, fraction = self._mixed(scale)
            unsure = np.flatnonzero(whole[0] != whole[1])

        def cut(found: Fraction) -> tuple[int, int]:
            denominator = found.denominator * scale.denominator
            floor, left = divmod(found.numerator * scale.numerator, denominator)
            return floor, (left << FRACTION_BITS) // denominator

        for row, (floor, left) in self._by_row(unsure, cut):
            whole[0, row], fraction[0, row], fraction[1, row] = floor, left, left + 1
        return whole[0], fraction

    def _by_row(self, rows: Int64Array, made: Callable[[Fraction], Made]) -> Iterator[tuple[int, Made]]:
        """Add up some rows in full and give what is made of each; of rows that are alike only once."""
        known: dict[tuple[int, ...], Made] = {}
        for row, kind, weights in zip(
            rows.tolist(), self._kinds[1][rows].tolist(), self.weights[rows].tolist(), strict=True
        ):
            pattern = (kind, *weights)
            if pattern not in known:
                known[pattern] = made(self.exact(row))
            yield row, known[pattern]

    def _mixed(self, scale: Fraction | Ratio) -> tuple[Int64Array, Int64Array]:
        """Give a lower and an upper bound of each sum x scale: floors, and bounds of what is left over [2^-48]."""
        whole, fraction = (np.zeros((2, self.weights.shape[0]), np.int64) for _ in range(2))
        largest = int(self.weights.max(initial=0)) * self.weights.shape[1]
        places = -(-(GUARD_BITS + largest.bit_length()) // DIGIT_BITS)
        factors, slack = _cut(self.factors, scale, places)
        weights = np.ascontiguousarray(self.weights)

        def task(first: int, end: int) -> None:
            mix_rows(weights, self.groups, self.layers, factors, slack, places, first, end, whole, fraction)

        in_blocks(task, self.weights.shape[0], self.weights.shape[1] * factors.shape[2])
        fraction[1] += 1
        return whole, fraction

    @cached_property
    def _kinds(self) -> tuple[Int64Array, Int64Array]:
        """The different rows of groups, and which of them each row has."""
        if self.groups.shape[1] == 1:
            groups, kinds = np.unique(self.groups[:, 0], return_inverse=True)
            return groups[:, np.newaxis], kinds
        groups, kinds = np.unique(self.groups, axis=0, return_inverse=True)
        return groups, kinds.reshape(-1)

    @cached_property
    def _denominators(self) -> list[tuple[list[int], int]]:
        """By kind of row: its factors as numerators of one denominator."""
        found = []
        for groups in self._kinds[0].tolist():
            factors = [self.factors[groups[layer]][at] for at, layer in enumerate(self.layers.tolist())]
            denominator = lcm(*(one.denominator for one in factors))
            found.append(([one.numerator * (denominator // one.denominator) for one in factors], denominator))
        return found

    def _numerator(self, kind: int, row: int) -> int:
        """Add up one row over the denominator of its kind; rows in one proportion are added up once."""
        weights = self.weights[row].tolist()
        shared = gcd(*weights) or 1
        pattern = kind, tuple(one // shared for one in weights)
        if pattern not in self._found:
            self._found[pattern] = _dot(pattern[1], self._denominators[kind][0])
        return self._found[pattern] * shared

    def _shared(self, rows: Int64Array, numerators: Sequence[int]) -> int:
        """Give the greatest common divisor of the sums of some rows over `numerators`, which have none in common."""
        weights = self.weights[rows][self.weights[rows].any(axis=1)]
        shared = 0
        for row in weights[:FIRST_ROWS].tolist():
            shared = gcd(shared, _dot(row, numerators))
            if 0 < shared.bit_length() <= RESIDUE_BITS:
                break
        if shared == 1:
            return 1
        if 0 < shared.bit_length() <= RESIDUE_BITS:
            left = whole_array([one % shared for one in numerators])
            residues = ((weights % shared) * left % shared).sum(axis=1) % shared
            return gcd(shared, int(np.gcd.reduce(residues)))
        # So large a divisor means that rows are multiples of a few others: whoever stays all month has one proportion.
        multiples = np.gcd.reduce(weights, axis=1)
        patterns: dict[tuple[int, ...], int] = {}
        for multiple, row in zip(multiples.tolist(), (weights // multiples[:, np.newaxis]).tolist(), strict=True):
            patterns[tuple(row)] = gcd(patterns.get(tuple(row), 0), multiple)
        return gcd(*(multiple * _dot(row, numerators) for row, multiple in patterns.items()))


def _dot(weights: Sequence[int], numerators: Sequence[int]) -> int:
    return sum(one * by for one, by in zip(weights, numerators, strict=True))


def _cut(factors: Sequence[Sequence[Fraction]], scale: Fraction | Ratio, places: int) -> tuple[Int64Array, Int64Array]:
    """Cut factors x scale `places` digits after the point, and say how much may be missing in the last place."""
    shift = MANTISSA_BITS - scale.numerator.bit_length() + scale.denominator.bit_length()
    mantissa, lost = divmod(scale.numerator << max(shift, 0), scale.denominator << max(-shift, 0))
    up, down = max(DIGIT_BITS * places - shift, 0), max(shift - DIGIT_BITS * places, 0)
    least, most = mantissa << up, mantissa + (lost > 0) << up
    lows, slack = [], []
    for row in factors:
        for one in row:
            numerator, denominator = one.numerator, one.denominator << down
            low, high = (least, most) if numerator >= 0 else (most, least)
            lows.append(numerator * low // denominator)
            slack.append(-(-numerator * high // denominator) - lows[-1])
    digits = max(max(abs(low).bit_length() for low in lows) // DIGIT_BITS + 1, places + 1)
    octets = b"".join([low.to_bytes(DIGIT_OCTETS * digits, "little", signed=True) for low in lows])
    by_octet = np.frombuffer(octets, np.uint8).reshape(-1, digits, DIGIT_OCTETS).astype(np.int64)
    cut = by_octet @ np.array([1, 1 << 8, 1 << 16], np.int64)
    cut[:, -1] -= cut[:, -1] >> DIGIT_BITS - 1 << DIGIT_BITS
    shape = len(factors), len(factors[0])
    return cut.reshape(*shape, digits), np.array(slack, np.int64).reshape(shape)
