"""Ratios that plates of instrument transformers bear: which whole number between two readings is a ratio."""

from __future__ import annotations

from fractions import Fraction

_PRIMARY_A = tuple(Fraction(tenths, 10) for tenths in (100, 125, 150, 160, 200, 250, 300, 400, 500, 600, 750, 800))
"""IEC 61869-2, 5.201: rated primary currents and their decimal multiples; 16 and 80 are sold beside them."""
_SECONDARY_A = (1, 5)
_VOLTAGE_RATIOS = (1, 30, 60, 100, 110, 200, 350)
"""3, 6, 10, 11, 20 and 35 kV to 100 V."""
CURRENT_RATIO_MAX = 5_000

CURRENT_RATIOS = tuple(
    sorted(
        {
            ratio.numerator
            for primary in _PRIMARY_A
            for decade in (1, 10, 100, 1000)
            for secondary in _SECONDARY_A
            if (ratio := primary * decade / secondary).denominator == 1 and 2 <= ratio <= CURRENT_RATIO_MAX
        }
    )
)
"""Whole ratios of current transformers to 5 A and to 1 A."""
_USUAL = frozenset(current * voltage for current in (1, *CURRENT_RATIOS) for voltage in _VOLTAGE_RATIOS) - {1}


def is_usual_ratio(ratio: int) -> bool:
    """Say whether CT x PT of plates as they are sold gives `ratio`."""
    return ratio in _USUAL
