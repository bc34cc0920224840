"""Numbers from outside that a key may count: persons, rated or contracted power, agreed shares, readings by hand.

One number per unit or group of units, each from a day on; where they come from is part of the rule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction

from allocation_engine.errors import SeriesIncomplete


class MissingNumber(StrEnum):
    """What a key does on a day that has no number of its own: refuse, let the last one hold, or count none."""

    REFUSE = "refuse"
    PREVIOUS = "previous"
    ZERO = "zero"


@dataclass(frozen=True, slots=True, eq=False)
class UnitNumbers:
    """One table of numbers, none negative.

    unit        of the numbers, e.g. `persons` or `kVA`
    source      who gave them, when, in words
    review_by   from this local day on, a run warns that they are overdue for review; None for never
    is_metered  whether they were measured: a law may limit which part of a cost is shared by what is measured
    days        by unit or group: the days from which numbers hold, in order, and the numbers
    names       how people call them, by language; empty where nobody said
    """

    name: str
    unit: str
    source: str
    missing: MissingNumber
    review_by: date | None
    is_metered: bool
    days: Mapping[str, tuple[tuple[date, Fraction], ...]]
    names: tuple[tuple[str, str], ...] = ()

    def on(self, subject: str, day: date) -> Fraction:
        """Give the number of a unit or group on local `day`; raises SeriesIncomplete where the missing rule refuses."""
        known = self.days.get(subject, ())
        place = bisect_right(known, day, key=lambda one: one[0])
        if place and (known[place - 1][0] == day or self.missing is MissingNumber.PREVIOUS):
            return known[place - 1][1]
        if self.missing is MissingNumber.ZERO:
            return Fraction(0)
        raise SeriesIncomplete(f"{self.name} has no number for {subject} on {day}; its missing rule is {self.missing}")

    def without(self, subjects: Collection[str]) -> list[str]:
        """Name the units or groups that it has no number for at all."""
        return [one for one in sorted(subjects) if one not in self.days]
