"""Daily series from outside, such as the highest temperature of a weather station: every number has its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from fractions import Fraction

from allocation_engine.errors import SeriesIncomplete


class MissingDay(StrEnum):
    """What a rule does on a day for which the series has no number."""

    REFUSE = "refuse"
    PREVIOUS_DAY = "previous-day"


@dataclass(frozen=True, slots=True)
class DayNumber:
    """The number used for `day`, and the day it was observed on: another one if the missing-day rule stepped in."""

    day: date
    observed_on: date
    number: Fraction


@dataclass(frozen=True, slots=True)
class DailySeries:
    """One exact number per local day.

    name     how formulas call it, e.g. `tmax`
    unit     of the numbers, e.g. `C`
    source   who observed it where, in words
    days     in order, as decimal text turned exact
    names    how people call it, by language; empty where nobody said
    bounds   the least and the most it can be, as declared; None for no bound. Proofs rest on them
    """

    name: str
    unit: str
    source: str
    missing_day: MissingDay
    days: tuple[tuple[date, Fraction], ...]
    names: tuple[tuple[str, str], ...] = ()
    bounds: tuple[Fraction | None, Fraction | None] = (None, None)

    def on(self, day: date) -> DayNumber:
        """Give the number for `day`, by the missing-day rule if need be; raises SeriesIncomplete."""
        known = dict(self.days)
        previous = day - timedelta(days=1)
        if day in known:
            return DayNumber(day, day, known[day])
        if self.missing_day is MissingDay.PREVIOUS_DAY and previous in known:
            return DayNumber(day, previous, known[previous])
        raise SeriesIncomplete(
            f"series {self.name} has no number for {day}; its missing-day rule is {self.missing_day}"
        )
