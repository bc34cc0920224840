"""Power factor and the percentage it moves a bill by (力调电费): whole hundredths and a table, no roots, no floats."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

HUNDREDTHS = 100


@dataclass(frozen=True, slots=True)
class AdjustmentRange:
    """Power factors of `first` to `last` hundredths: percent = at_last + (last - hundredth) x step."""

    first: int
    last: int
    at_last: Fraction
    step: Fraction


@dataclass(frozen=True, slots=True)
class AdjustmentTable:
    """The ranges of one standard, which together hold each of 0 to 100 hundredths once.

    standard   the power factor a customer is held to, as the table names it: `0.90`
    source     which rule the numbers come from
    """

    standard: str
    source: str
    ranges: tuple[AdjustmentRange, ...]

    def percent(self, hundredths: int) -> Fraction:
        """By how many percent the bill rises (+) or falls (-) at `hundredths`."""
        for one in self.ranges:
            if one.first <= hundredths <= one.last:
                return one.at_last + (one.last - hundredths) * one.step
        raise ValueError(f"a power factor is 0 to 1, not {hundredths}/100")


def power_factor_hundredths(active_wh: int, reactive_varh: int) -> int:
    """Give P / sqrt(P^2 + Q^2) rounded half up to hundredths, by comparing squares of whole numbers.

    active_wh, reactive_varh   of the whole month; both directions of reactive energy added in absolute value
    Returns                    0 to 100; 100 where nothing flowed, which moves no bill
    """
    square, apparent = active_wh**2, active_wh**2 + reactive_varh**2
    if apparent == 0:
        return HUNDREDTHS
    return max(
        hundredth
        for hundredth in range(HUNDREDTHS + 1)
        # cos >= (2h - 1) / 200, squared
        if hundredth == 0 or square * 4 * HUNDREDTHS**2 >= (2 * hundredth - 1) ** 2 * apparent
    )
