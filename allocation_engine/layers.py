"""Who shares a common cost, and with which part of each grain span: integers by taker and span, fractions by span.

A taker is a party in a unit. A layer is one division between all takers; in a span the part of a taker is

    sum over layers of  weight of the taker x worth of one weight in the taker's group

Where one rule divides everything there is one layer with one group, and a weight is worth 1 / total of the span
(`Layer.between_all`). A formula that passes 3/10 on to one floor, which goes by area there, is one layer with a group
for each floor, whose weights are areas and worth 3/10 / (area of the floor). What the layers leave of a span is the
rest, and somebody bears it. No fraction is kept for a taker: there are as many as groups and spans, not as takers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.inputs import Int64Array, PeriodInputs
from allocation_engine.key_steps import KeyStep
from metering.identity import PartyId, UnitId

RESIDUAL = "residual"
NONE = Fraction(0)
ONE = Fraction(1)
SUM_BITS, HALF_BITS = 62, 31
"""Sums of weights that fit this are kept in 64 bits; larger ones as Python's integers."""
Span = tuple[date, int, int]
"""A grain span: its first local day, and its slots first <= slot < end."""
Driven = tuple[tuple[str, str, date], ...]
"""The numbers that drove a span: name, decimal text, and the day each was observed on."""
IntegerArray = npt.NDArray[Any]
"""int64, or dtype object with Python's integers where those would not do."""


@dataclass(frozen=True, slots=True, eq=False)
class Takers:
    """Everybody who held one of some units, by row, in order of their ids.

    ids        stable id within a pool, `unit/party`: ties go to the smaller one
    area_cm2   shape (takers,) [cm2]
    slots      shape (takers, spans), slots of each span in which the party held the unit
    stays      shape (stays, 3): row of the taker, first slot, end; in order of rows
    """

    ids: tuple[str, ...]
    parties: tuple[PartyId, ...]
    units: tuple[UnitId, ...]
    area_cm2: IntegerArray
    slots: Int64Array
    stays: Int64Array

    @classmethod
    def of(cls, inputs: PeriodInputs, units: Sequence[UnitId], spans: Sequence[Span]) -> Takers:
        """Find everybody who held one of `units`."""
        wanted = set(units)
        held: dict[tuple[UnitId, PartyId], list[tuple[int, int]]] = {}
        for one in inputs.occupancies:
            if one.unit in wanted:
                held.setdefault((one.unit, one.party), []).append((one.first, one.end))
        named = {f"{unit}/{party}": (unit, party) for unit, party in held}
        ids = tuple(sorted(named))
        ranked = [named[one] for one in ids]
        stays = [held[one] if len(held[one]) == 1 else sorted(held[one]) for one in ranked]
        columns = np.empty((sum(map(len, stays)), 3), np.int64)
        columns[:, 0] = np.repeat(np.arange(len(ids)), [len(one) for one in stays])
        columns[:, 1:] = np.array([stay for one in stays for stay in one], np.int64).reshape(-1, 2)
        return cls(
            ids=ids,
            parties=tuple(party for _, party in ranked),
            units=tuple(unit for unit, _ in ranked),
            area_cm2=whole_array([inputs.unit(unit).area_cm2 for unit, _ in ranked]),
            slots=slots_of(columns, len(ids), spans),
            stays=columns,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One division between all takers.

    weights    shape (takers, spans), none negative; each group's sum of a span below 2^62, or dtype object
    worth      by group and span: what one weight is of the span's cost
    group_of   shape (takers,): whose worth counts for the taker
    """

    weights: IntegerArray
    worth: Sequence[Sequence[Fraction]]
    group_of: Int64Array

    @classmethod
    def between_all(cls, weights: IntegerArray, totals: Sequence[int]) -> Layer:
        """Divide each whole span by weights that add up to its total; where that is 0 nothing is dealt out."""
        worth = [Fraction(1, total) if total else NONE for total in totals]
        return cls(weights, [worth], np.zeros(weights.shape[0], np.int64))

    def dealt(self) -> list[Fraction]:
        """Give the part of each span that it deals out."""
        sums = group_sums(self.weights, self.group_of, len(self.worth)).tolist()
        parts = [NONE] * self.weights.shape[1]
        for worth, totals in zip(self.worth, sums, strict=True):
            parts = [part + one * total for part, one, total in zip(parts, worth, totals, strict=True)]
        return parts


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The takers of a pool and their parts of each grain span, with what drove them.

    rest       by span: the part that no taker pays; None where nobody has a line for it
    bearer     who bears the rest
    driven     by span; empty where nothing from outside did
    fallback   which fallback stepped in, in words; None where none did
    steps      gives how the parts of a row came about; () where area and slots say it all
    """

    takers: Takers
    layers: tuple[Layer, ...]
    rest: tuple[Fraction, ...] | None
    bearer: PartyId
    driven: tuple[Driven, ...] = ()
    fallback: str | None = None
    steps: Callable[[int], tuple[KeyStep, ...]] = lambda _: ()

    @property
    def bearer_id(self) -> str:
        """Stable id of the line of the rest."""
        return f"{RESIDUAL}/{self.bearer}"


def rest_of(layers: Sequence[Layer], span_count: int) -> tuple[Fraction, ...]:
    """Give the part of each span that `layers` do not deal out."""
    left = [ONE] * span_count
    for layer in layers:
        left = [one - part for one, part in zip(left, layer.dealt(), strict=True)]
    return tuple(left)


def whole_array(numbers: Sequence[int]) -> IntegerArray:
    """Give numbers that are not negative as int64, or as Python's integers where their sum needs more."""
    is_small = sum(numbers) < 1 << SUM_BITS
    return np.array(numbers, np.int64 if is_small else object)


def roomy(numbers: IntegerArray) -> IntegerArray:
    """Give numbers that are not negative as Python's integers where a column may add up to more than 62 bits."""
    if numbers.dtype == object or _column_max(numbers) < 1 << SUM_BITS:
        return numbers
    return numbers.astype(object)


def times(left: IntegerArray, right: IntegerArray) -> IntegerArray:
    """Multiply arrays of numbers that are not negative; in Python's integers where sums may need over 62 bits."""
    if left.dtype != object and right.dtype != object:
        rows = max(left.shape[0], right.shape[0])
        pairs = ((one, other) for one, other in ((left, right), (right, left)) if other.shape[0] == rows)
        if min(int(one.max(initial=0)) * _column_max(other) for one, other in pairs) < 1 << SUM_BITS:
            return np.asarray(left * right)
    return np.asarray(left.astype(object) * right.astype(object))


def _column_max(numbers: Int64Array) -> int:
    """Give a bound of the largest sum of a column, a little above it: two halves of the numbers cannot overflow."""
    halves = ((numbers >> HALF_BITS).sum(axis=0), (numbers & (1 << HALF_BITS) - 1).sum(axis=0))
    high, low = (int(half.max(initial=0)) for half in halves)
    return (high << HALF_BITS) + low


def group_sums(weights: IntegerArray, group_of: Int64Array, count: int) -> IntegerArray:
    """Add up weights by group and span."""
    if count == 1:
        return np.asarray(weights.sum(axis=0, dtype=weights.dtype))[np.newaxis]
    sums = np.zeros((count, weights.shape[1]), weights.dtype)
    np.add.at(sums, group_of, weights)
    return sums


def slots_of(
    stays: Int64Array, row_count: int, spans: Sequence[Span], sums: IntegerArray | None = None
) -> IntegerArray:
    """Count by row and span the slots inside `stays` (row, first slot, end).

    sums   shape (slots + 1,): what the slots before each mark weigh together; None where each weighs 1
    """
    edges = np.array([(first, end) for _, first, end in spans], np.int64).reshape(-1, 2)
    ends = np.minimum(stays[:, 2, np.newaxis], edges[:, 1])
    firsts = np.minimum(np.maximum(stays[:, 1, np.newaxis], edges[:, 0]), ends)
    inside = ends - firsts if sums is None else sums[ends] - sums[firsts]
    return add_up(inside, stays[:, 0], row_count)


def add_up(numbers: IntegerArray, rows: Int64Array, row_count: int) -> IntegerArray:
    """Add up numbers of shape (entries, columns) by the row of each entry; entries stand in order of rows."""
    sums = np.zeros((row_count, numbers.shape[1]), numbers.dtype)
    if rows.size:
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        sums[rows[starts]] = numbers if starts.size == rows.size else np.add.reduceat(numbers, starts, axis=0)
    return sums
