"""The table of power factors at its edges, as a sheet that a person can hold beside the supplier's."""

from __future__ import annotations

import tomllib
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from allocation_engine.power_factor import AdjustmentTable, power_factor_hundredths
from allocation_engine.rule_table import RuleTable
from allocation_engine.tables_file import read_adjustment
from metering.toml_source import TomlSource
from tests.golden.test_golden_periods import shipped

CASE = tomllib.loads((Path(__file__).parent / "power-factor-at-each-boundary" / "factors.toml").read_text("utf-8"))


def table_of(standard: str) -> AdjustmentTable:
    """One standard of the shipped table."""
    faults: list[object] = []
    content = shipped(CASE["table"])
    table = read_adjustment(RuleTable(TomlSource("-", content, {}), (), content, faults), standard, date(2026, 7, 1))  # type: ignore[arg-type]
    assert table is not None
    assert not faults
    return table


@pytest.mark.parametrize("row", CASE["rows"], ids=lambda row: f"{row[2]}-from-{row[0]}-kWh")
def test_a_power_factor_moves_the_bill_by_the_table(row: list[str]) -> None:
    active, reactive, shown, moved = row
    hundredths = power_factor_hundredths(int(active) * 1000, int(reactive) * 1000)
    assert f"{hundredths // 100}.{hundredths % 100:02d}" == shown
    found = [Fraction(CASE["bill"]) * table_of(one).percent(hundredths) / 100 for one in CASE["standards"]]
    assert [f"{float(one):.2f}" for one in found] == moved


def test_the_sheet_says_why_it_is_there() -> None:
    assert len(CASE["why"].split()) > 25
