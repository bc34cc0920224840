"""Tiered prices (阶梯): what a kilowatt-hour costs more, or less, the further a customer is into his month or year.

A tier adds to the rate of whatever band the energy falls into, as Chinese tiers do; a plain block tariff is a tariff of
one band with tiers. Where a customer stands is his energy since the month or year began, so the steps of one customer
add up over the periods of a year to what one bill for the year would say. A common pool is one customer and its
surcharge part of its cost: the average price, which needs no order of parties and adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from allocation_engine.costs import CostStep

_ENDLESS: int = 2**63


class TierSpan(StrEnum):
    """After which time tiers start anew."""

    MONTH = "month"
    YEAR = "year"

    def first_day(self, day: date) -> date:
        """Give the day on which the span that holds `day` began."""
        return day.replace(day=1) if self is TierSpan.MONTH else day.replace(month=1, day=1)


class TierLimits(StrEnum):
    """Whether limits shrink for who occupies a unit for a part of a month only."""

    WHOLE = "whole"
    OCCUPIED = "occupied"


@dataclass(frozen=True, slots=True)
class Tiers:
    """Steps of rising limits.

    span      after which time counting starts anew
    limits    OCCUPIED: limits count by occupied slots of the month; only for tiers by month
    upto      upper limit of each step but the last [base units of the medium], rising
    adds      what each step adds to the rate [10^-6 currency units per billing unit]; one more than `upto`
    """

    span: TierSpan
    limits: TierLimits
    upto: tuple[int, ...]
    adds: tuple[int, ...]

    def split(self, before: int, amount: int, part: Fraction) -> tuple[int, ...]:
        """Split `amount`, which follows after `before`, over the steps [base units]; limits count `part`.

        Invariant   the split adds up to `amount`, and that of two amounts in turn to that of their sum
        """
        limits = [limit * part.numerator // part.denominator for limit in self.upto]
        reached, left = (_below(limits, amount_so_far) for amount_so_far in (before + amount, before))
        return tuple(now - earlier for now, earlier in zip(reached, left, strict=True))


@dataclass(frozen=True, slots=True)
class TierPiece:
    """One customer's amount within one tariff version and one span of its tiers [base units].

    first, end   the slots of the period it lies in; only those the customer occupied count
    since        day on which the span began
    before       counted since then, before this piece
    part         numerator and denominator of the part of the limits that holds
    """

    version: str
    tiers: Tiers
    first: int
    end: int
    since: date
    before: int
    amount: int
    part: tuple[int, int]

    def steps(self, per: str, base_units: Fraction) -> Iterator[CostStep]:
        """Give the steps of the surcharge, leaving out what adds nothing."""
        conversion = Fraction(1000) / base_units
        amounts = self.tiers.split(self.before, self.amount, Fraction(*self.part))
        for number, (amount, add) in enumerate(zip(amounts, self.tiers.adds, strict=True), 1):
            if amount and add:
                what = f"tier {number} of {self.version}"
                note = f"{self.before} counted since {self.since} before this"
                part = (conversion.numerator, conversion.denominator)
                yield CostStep(what, amount, per, add, part, note)


def _below(limits: Sequence[int], reached: int) -> list[int]:
    """Give how much of `reached` lies in each step; what was given back (below 0) lies in the first."""
    spans = enumerate(pairwise([0, *limits, _ENDLESS]))
    return [min(reached, high) - low if reached > low or step == 0 else 0 for step, (low, high) in spans]
