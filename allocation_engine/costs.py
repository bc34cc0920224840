"""Steps of a cost that is more than energy times rate: each a product anybody can multiply again.

    quantity x rate x part, rounded to 10^-9 of a currency unit; the sum of the steps is rounded once to minor units

Quantities are integers in thousandths of the unit the rate is for (W for kW, Wh for kWh, 1000 for one month).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from allocation_engine.money import divide, minor_digits

WHOLE = (1, 1)


@dataclass(frozen=True, slots=True)
class CostStep:
    """One product.

    what            what is charged, in words; `note` says where the quantity comes from
    quantity_milli  [10^-3 `unit`]
    rate_micro      [10^-6 currency units per `unit`]
    part            numerator and denominator of the part that counts: days of a month, percent, conversion
    """

    what: str
    quantity_milli: int
    unit: str
    rate_micro: int
    part: tuple[int, int]
    note: str

    @property
    def cost_nano(self) -> int:
        """The product [10^-9 currency units], rounded half away from zero."""
        return divide(self.quantity_milli * self.rate_micro * self.part[0], self.part[1])

    def to_wire(self) -> list[Any]:
        """Give plain content."""
        return [self.what, self.quantity_milli, self.unit, self.rate_micro, list(self.part), self.note]

    @classmethod
    def from_wire(cls, content: Any) -> CostStep:
        """Read what `to_wire` gave."""
        what, quantity_milli, unit, rate_micro, (numerator, denominator), note = content
        return cls(what, quantity_milli, unit, rate_micro, (numerator, denominator), note)


def steps_nano(steps: Iterable[CostStep]) -> int:
    """Sum of the steps [10^-9 currency units]."""
    return sum(step.cost_nano for step in steps)


def amount_step(what: str, amount_minor: int, currency: str, part: Fraction, note: str) -> CostStep:
    """Give the step that takes `part` of an amount of money."""
    quantity_milli = amount_minor * 1000 // 10 ** minor_digits(currency)
    return CostStep(what, quantity_milli, currency, 10**6, (part.numerator, part.denominator), note)
