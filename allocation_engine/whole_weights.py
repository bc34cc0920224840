"""Weights in the smallest whole numbers of their proportion: what `integer_weights` does, for many columns at once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import numpy as np

from allocation_engine.apportion import WEIGHT_BITS
from allocation_engine.inputs import Int64Array
from allocation_engine.layers import IntegerArray
from allocation_engine.row_sums import RowSums, largest_unit


def whole_weights(
    weights: IntegerArray, divisors: IntegerArray | None, group_of: Int64Array, group_count: int
) -> tuple[Int64Array, Int64Array]:
    """Reduce the weights of each group and column to whole numbers without a common factor, and add them up.

    Sums of 2^61 and more are cut there, for everybody in the group alike.

    weights    shape (rows, columns), none negative; sums of columns below 2^62, or dtype object
    divisors   shape (rows,), above 0: what the weights of each row must yet be divided by; None for nothing
    group_of   shape (rows,); rows of group -1 weigh nothing
    Returns    weights, and their totals of shape (groups, columns)
    """
    whole = np.zeros(weights.shape, np.int64)
    totals = np.zeros((group_count, weights.shape[1]), np.int64)
    order = np.argsort(group_of, kind="stable")
    order = order[np.searchsorted(group_of[order], 0) :]
    if not order.size:
        return whole, totals
    counted, groups = weights[order], group_of[order]
    if divisors is not None and np.unique(divisors[order]).size > 1:
        counted = _divided(counted, divisors[order], groups)
    else:
        counted = _reduced(counted, groups)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    whole[order] = counted
    totals[groups[starts]] = np.add.reduceat(whole[order], starts, axis=0)
    return whole, totals


def _reduced(weights: IntegerArray, groups: Int64Array) -> Int64Array:
    """Divide integers by what they have in common in their group, and cut them; rows stand in order of groups."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    places = np.repeat(np.arange(starts.size), np.diff(starts, append=groups.size))
    shared = np.gcd.reduceat(weights, starts, axis=0)
    if (shared > 1).any():
        weights = weights // np.where(shared == 0, 1, shared)[places]
    excess = _excess(np.add.reduceat(weights, starts, axis=0).tolist())
    if excess.any():
        weights = weights >> excess.astype(weights.dtype)[places]
    return weights.astype(np.int64)


def _divided(weights: IntegerArray, divisors: IntegerArray, groups: Int64Array) -> Int64Array:
    """Do the same for weights / divisors; rows stand in order of groups.

    Weights of one group and divisor are a *class*: what all have in common, and their sum, is found class by class.
    """
    different, kinds = np.unique(divisors, return_inverse=True)
    order = np.argsort(groups * different.size + kinds, kind="stable")
    keys = (groups * different.size + kinds)[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    shared, sums = (step.reduceat(weights[order], starts, axis=0) for step in (np.gcd, np.add))
    listed = different[kinds[order][starts]].tolist()
    class_groups = groups[order][starts]
    found = np.empty(weights.shape, np.int64)
    for group in np.unique(groups).tolist():
        first, end = np.searchsorted(class_groups, (group, group + 1)).tolist()
        rows = np.flatnonzero(groups == group)
        own = listed[first:end]
        classes = np.searchsorted(different[kinds[order][starts[first:end]]], divisors[rows])
        factors = [[Fraction(1, divisor)] for divisor in own]
        for column in range(weights.shape[1]):
            unit = largest_unit(
                [Fraction(one, by) for one, by in zip(shared[first:end, column].tolist(), own, strict=True)]
            )
            together = lcm(*own)
            total = sum(one * (together // by) for one, by in zip(sums[first:end, column].tolist(), own, strict=True))
            found[rows, column] = _scaled(weights[rows, column], classes, factors, unit, Fraction(total, together))
    return found


def _scaled(
    weights: IntegerArray, classes: Int64Array, factors: Sequence[Sequence[Fraction]], unit: Fraction, total: Fraction
) -> Int64Array:
    """Give weights x factors in multiples of their largest common unit, cut where their sum is too long."""
    if not unit:
        return np.zeros(weights.size, np.int64)
    excess = max(int(total / unit).bit_length() - WEIGHT_BITS, 0)
    scale = 1 / (unit * (1 << excess))
    if weights.dtype == object:
        tops, bottoms = (
            np.array(one, object)[classes]
            for one in zip(*((scale * own).as_integer_ratio() for (own,) in factors), strict=True)
        )
        return np.asarray((weights * tops // bottoms).astype(np.int64))
    sums = RowSums(weights[:, np.newaxis], classes[:, np.newaxis], np.zeros(1, np.int64), factors)
    return sums.floors(scale) if excess else sums.multiples(scale)


def _excess(sums: Sequence[Sequence[int]]) -> Int64Array:
    return np.array([[max(one.bit_length() - WEIGHT_BITS, 0) for one in row] for row in sums], np.int64)
