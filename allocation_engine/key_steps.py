"""How a share came about from keys, step by step: plain numbers that anybody can divide again.

A part of a span's cost is the product over stages of the sum over the stage's keys of  part x weight / total.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

FORMULA = "formula"
"""What the stage is called where a formula gives the weights; `by` is its text then."""


@dataclass(frozen=True, slots=True)
class KeyStep:
    """One key of one stage for one share.

    day      of the grain span; None where the whole period is one span
    stage    its name
    taker    who was weighed: the group the unit lies in, or the share itself
    by       the factors, in words
    part     numerator and denominator of the part of the stage's amount that the key divides
    weight   of `total`; both 0 where nobody had a weight and the fallback stepped in
    """

    day: date | None
    stage: str
    taker: str
    by: str
    part: tuple[int, int]
    weight: int
    total: int

    def to_wire(self) -> list[Any]:
        """Give plain content."""
        day = None if self.day is None else self.day.isoformat()
        return [day, self.stage, self.taker, self.by, list(self.part), self.weight, self.total]

    @classmethod
    def from_wire(cls, content: Any) -> KeyStep:
        """Read what `to_wire` gave."""
        day, stage, taker, by, (numerator, denominator), weight, total = content
        return cls(
            None if day is None else date.fromisoformat(day), stage, taker, by, (numerator, denominator), weight, total
        )


def parts_by_day(steps: Sequence[KeyStep]) -> dict[date | None, Fraction] | None:
    """Divide again: the part of each grain span's cost that these steps give; None where a fallback stepped in."""
    stages: dict[date | None, dict[str, Fraction]] = {}
    for step in steps:
        if not step.total:
            return None
        sums = stages.setdefault(step.day, {})
        sums[step.stage] = sums.get(step.stage, Fraction(0)) + Fraction(*step.part) * Fraction(step.weight, step.total)
    return {day: _product(sums.values()) for day, sums in stages.items()}


def _product(factors: Iterable[Fraction]) -> Fraction:
    product = Fraction(1)
    for factor in factors:
        product *= factor
    return product
