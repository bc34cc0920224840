"""Dividing an amount by weights so that the parts add up to it: largest remainder, ties by stable id.

Every part is less than one minor unit away from its exact share. A negative amount is divided by its magnitude, so that
a credit is the mirror of a charge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor, gcd, lcm

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.errors import AllWeightsZero, NotConserved, OutOfRange
from allocation_engine.kernels import MAGNITUDE_BITS, Int64Array, split_amount

WEIGHT_BITS = 61
"""Sums of integer weights stay below 2^61; finer fractions are cut there, once, for everybody alike."""
_HALF_BITS = 31


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a divided amount: |amount| x weight = floor x total + remainder, plus 1 if `extra`."""

    amount: int
    weight: int
    remainder: int
    extra: bool


@dataclass(frozen=True, slots=True)
class Apportionment:
    """All parts by id, and what decided who got the odd units.

    extra_count    how many parts got 1 more than their floor
    cut_remainder  the smallest remainder among those; 0 if there are none
    cut_id         the last id among those, by remainder and then by id; "" if there are none
    """

    amount: int
    total_weight: int
    extra_count: int
    cut_remainder: int
    cut_id: str
    parts: dict[str, Part]


def apportion(amount: int, weights: Mapping[str, int]) -> Apportionment:
    """Divide `amount` by integer `weights` (none negative) given by stable id.

    Raises      AllWeightsZero if there is something to divide and no weight; OutOfRange beyond 62 bits
    Invariant   the parts add up to `amount`; their order in `weights` changes nothing
    """
    ids = sorted(weights)
    _require_range(amount, sum(weights.values()), min(weights.values(), default=0))
    divided = divide_rows(amount, np.array([weights[one] for one in ids], np.int64))
    raised = set(divided.raised.tolist())
    columns = zip(divided.amounts.tolist(), divided.remainders.tolist(), strict=True)
    parts = {
        one: Part(part, weights[one], remainder, row in raised)
        for row, (one, (part, remainder)) in enumerate(zip(ids, columns, strict=True))
    }
    cut_id = ids[divided.raised[-1]] if raised else ""
    return Apportionment(amount, divided.total_weight, len(raised), divided.cut_remainder, cut_id, parts)


@dataclass(frozen=True, slots=True, eq=False)
class Divided:
    """An amount divided by weights, row by row: |amount| x weight = floor x total + remainder.

    amounts      shape (rows,), parts that add up to `amount`
    remainders   shape (rows,)
    raised       rows that got 1 more than their floor, the last of them by remainder and then by row last
    """

    amount: int
    total_weight: int
    weights: Int64Array
    amounts: Int64Array
    remainders: Int64Array
    raised: Int64Array

    @property
    def cut(self) -> tuple[int, int | None]:
        """From which remainder on rows got 1 more, and the last of them where ids told equal remainders apart.

        Everybody is told, so it is nobody's remainder where that can be: with cost and total weight, a remainder is as
        good as the weight.
        """
        if not self.raised.size:
            return 0, None
        others = np.delete(self.remainders, self.raised)
        cut = roundest(int(others.max(initial=-1)), self.cut_remainder)
        return (self.cut_remainder, int(self.raised[-1])) if cut is None else (cut, None)

    @property
    def cut_remainder(self) -> int:
        """The smallest remainder that got 1 more; 0 if none did."""
        return int(self.remainders[self.raised[-1]]) if self.raised.size else 0


def roundest(above: int, upto: int) -> int | None:
    """Give the number in (`above`, `upto`] with the most zero bits at its end; None if there is none. -1 <= above."""
    if above >= upto:
        return None
    if above < 0:
        return 0
    bits = (above ^ upto).bit_length() - 1
    return upto >> bits << bits


def divide_rows(amount: int, weights: Int64Array) -> Divided:
    """Divide `amount` as `apportion` does, by the weights of rows that stand in order of their ids.

    weights    shape (rows,), none negative
    Raises     as `apportion`
    """
    total = (int((weights >> _HALF_BITS).sum()) << _HALF_BITS) + int((weights & ((1 << _HALF_BITS) - 1)).sum())
    _require_range(amount, total, int(weights.min(initial=0)))
    if total == 0:
        if amount:
            raise AllWeightsZero(f"{amount} minor units to divide and all weights are 0")
        nothing = np.zeros(weights.size, np.int64)
        return Divided(0, 0, weights, nothing, nothing, nothing[:0])
    quotients, remainders, raised = _divide(abs(amount), weights, total)
    quotients[raised] += 1
    if int(quotients.sum()) != abs(amount):
        raise NotConserved(f"{amount} was divided into parts that add up to something else")
    return Divided(amount, total, weights, quotients if amount >= 0 else -quotients, remainders, raised)


def _require_range(amount: int, total: int, least: int) -> None:
    if abs(amount) >= 2**MAGNITUDE_BITS or total >= 2**MAGNITUDE_BITS or least < 0:
        raise OutOfRange(f"cannot divide {amount} by weights that add up to {total}, exactly and in 62 bits")


def apportion_rows(amount: int, weights: Int64Array) -> Int64Array:
    """Give the amounts of `divide_rows` alone."""
    return divide_rows(amount, weights).amounts


def _divide(amount: int, weights: Int64Array, total: int) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Give floors, remainders, and the places of the parts that get 1 more: largest remainder, then smaller place."""
    quotients, remainders = np.empty_like(weights), np.empty_like(weights)

    def split(first: int, end: int) -> None:
        quotients[first:end], remainders[first:end] = split_amount(amount, weights[first:end], total)

    in_blocks(split, weights.size, MAGNITUDE_BITS)
    odd = amount - int(quotients.sum())
    if odd == 0:
        return quotients, remainders, np.zeros(0, np.int64)
    if not 0 < odd < weights.size:
        raise NotConserved(f"floors of {amount} leave {odd} over, for {weights.size} parts")
    cut = np.partition(remainders, weights.size - odd)[weights.size - odd]
    above = np.flatnonzero(remainders > cut)
    return quotients, remainders, np.concatenate([above, np.flatnonzero(remainders == cut)[: odd - above.size]])


def integer_weights(weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Turn exact weights into integers in the same proportion.

    They are exact as long as their sum stays below 2^61; beyond that all are cut at that bit, so a part moves by less
    than 2^-60 of the amount.
    """
    scale = lcm(*(weight.denominator for weight in weights.values()))
    scaled = {one: weight.numerator * (scale // weight.denominator) for one, weight in weights.items()}
    shared = gcd(*scaled.values()) or 1
    excess = max((sum(scaled.values()) // shared).bit_length() - WEIGHT_BITS, 0)
    return {one: weight // shared >> excess for one, weight in scaled.items()}


def round_together(exact: Mapping[str, Fraction]) -> dict[str, int]:
    """Round fractions of any sign whose sum is whole to integers with the same sum, each by less than 1."""
    total = sum(exact.values(), Fraction(0))
    if total.denominator != 1:
        raise NotConserved(f"parts add up to {total}, which is not whole")
    floors = {one: floor(part) for one, part in exact.items()}
    odd = total.numerator - sum(floors.values())
    ranked = sorted(exact, key=lambda one: (floors[one] - exact[one], one))
    return {one: floors[one] + (one in set(ranked[:odd])) for one in exact}


def round_parts(parts: Mapping[str, int], unit: int, total: int) -> dict[str, int]:
    """Round parts, given in 1/`unit`, to whole numbers that add up to `total`; ties go to the smaller id.

    Raises   NotConserved unless the parts are within half a unit of `total`
    """
    floors = {one: part // unit for one, part in parts.items()}
    odd = total - sum(floors.values())
    if abs(sum(parts.values()) - total * unit) * 2 > unit or not 0 <= odd <= len(parts):
        raise NotConserved(f"parts add up to {sum(parts.values())} / {unit}, which does not round to {total}")
    ranked = sorted(parts, key=lambda one: (floors[one] * unit - parts[one], one))
    raised = set(ranked[:odd])
    return {one: floors[one] + (one in raised) for one in parts}
