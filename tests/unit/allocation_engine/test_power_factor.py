"""Power factors in whole hundredths, and the shipped table of adjustments at every boundary."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from math import isqrt
from pathlib import Path

import pytest

from allocation_engine.power_factor import AdjustmentTable, power_factor_hundredths
from allocation_engine.rule_table import RuleTable
from allocation_engine.tables_file import Tables, read_adjustment
from metering.errors import Fault
from metering.toml_source import TomlSource


def table(standard: str) -> AdjustmentTable:
    """The shipped table of one standard."""
    faults: list[Fault] = []
    owner = RuleTable(TomlSource("-", {"table": "power-factor-1983"}, {}), (), {"table": "power-factor-1983"}, faults)
    opened = Tables(Path("/nowhere"), {}, faults).open(owner, "table")
    assert opened is not None
    found = read_adjustment(opened, standard, date(2026, 1, 1))
    assert faults == []
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("active", "reactive", "hundredths"),
    [
        (100, 0, 100),
        (0, 100, 0),
        (0, 0, 100),
        (3, 4, 60),
        (4, 3, 80),
        (1, 1, 71),
        (74_660, 46_270, 85),
        (199, 20, 99),
        # 0.995 exactly is no ratio of whole numbers; just above and below it rounds up and down.
        (995, isqrt(1000**2 - 995**2) - 1, 100),
        (995, isqrt(1000**2 - 995**2) + 2, 99),
    ],
)
def test_power_factors_round_half_up_to_hundredths(active: int, reactive: int, hundredths: int) -> None:
    assert power_factor_hundredths(active, reactive) == hundredths


def test_the_power_factor_is_the_same_in_any_unit() -> None:
    assert {power_factor_hundredths(74_660 * 10**n, 46_270 * 10**n) for n in range(12)} == {85}


def test_every_hundredth_is_met_by_some_load() -> None:
    # cos = h/100 with P = h and Q = sqrt(100^2 - h^2), scaled up so that the root is close enough.
    scale = 10**6
    for hundredth in range(101):
        reactive = isqrt((100 * scale) ** 2 - (hundredth * scale) ** 2)
        assert power_factor_hundredths(hundredth * scale, reactive) == hundredth


@pytest.mark.parametrize(
    ("standard", "hundredths", "percent"),
    [
        ("0.90", 100, "-0.75"),
        ("0.90", 95, "-0.75"),
        ("0.90", 94, "-0.60"),
        ("0.90", 91, "-0.15"),
        ("0.90", 90, "0"),
        ("0.90", 89, "0.5"),
        ("0.90", 70, "10"),
        ("0.90", 69, "11"),
        ("0.90", 65, "15"),
        ("0.90", 64, "17"),
        ("0.90", 60, "25"),
        ("0.85", 94, "-1.10"),
        ("0.85", 93, "-0.95"),
        ("0.85", 91, "-0.65"),
        ("0.85", 90, "-0.5"),
        ("0.85", 86, "-0.1"),
        ("0.85", 85, "0"),
        ("0.85", 84, "0.5"),
        ("0.85", 65, "10"),
        ("0.85", 64, "11"),
        ("0.85", 60, "15"),
        ("0.85", 59, "17"),
        ("0.80", 100, "-1.30"),
        ("0.80", 92, "-1.30"),
        ("0.80", 91, "-1.15"),
        ("0.80", 90, "-1.0"),
        ("0.80", 81, "-0.1"),
        ("0.80", 80, "0"),
        ("0.80", 79, "0.5"),
        ("0.80", 60, "10"),
        ("0.80", 55, "15"),
        ("0.80", 54, "17"),
    ],
)
def test_the_shipped_table_says_what_the_circular_says(standard: str, hundredths: int, percent: str) -> None:
    assert table(standard).percent(hundredths) == Fraction(percent)


@pytest.mark.parametrize("standard", ["0.90", "0.85", "0.80"])
def test_a_better_power_factor_never_costs_more(standard: str) -> None:
    percents = [table(standard).percent(hundredth) for hundredth in range(101)]
    assert percents == sorted(percents, reverse=True)


def test_a_power_factor_above_one_is_no_power_factor() -> None:
    with pytest.raises(ValueError, match="101/100"):
        table("0.90").percent(101)


def test_the_source_says_that_it_is_recalled() -> None:
    assert "recalled" in table("0.90").source
