"""Exact units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.quantity import QuantityNotExact, Shown, Unit


@pytest.mark.parametrize(
    ("mantissa", "exponent", "unit", "base"),
    [
        (1234567, -2, Unit.KWH, 12_345_670),
        (-5, 0, Unit.KWH, -5000),
        (123456, -3, Unit.M3, 123_456_000),
        (1, 0, Unit.HEAT_KWH, 3600),
        (1, -6, Unit.GJ, 1),
        (2303, -1, Unit.V, 230_300),
        (5, 1, Unit.WH, 50),
    ],
)
def test_a_shown_value_converts_exactly_to_base_units(mantissa: int, exponent: int, unit: Unit, base: int) -> None:
    assert Shown(mantissa, exponent, unit).to_base() == base


def test_a_value_finer_than_the_base_unit_is_refused_not_rounded() -> None:
    with pytest.raises(QuantityNotExact, match="whole number of Wh"):
        Shown(12345, -4, Unit.KWH).to_base()


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (Shown(1234567, -2, Unit.KWH), "12345.67 kWh"),
        (Shown(7, -2, Unit.KWH), "0.07 kWh"),
        (Shown(-7, -2, Unit.KWH), "-0.07 kWh"),
        (Shown(0, -1, Unit.M3), "0.0 m3"),
        (Shown(3, 1, Unit.WH), "30 Wh"),
    ],
)
def test_a_value_prints_as_the_display_shows_it(shown: Shown, text: str) -> None:
    assert str(shown) == text


@pytest.mark.parametrize("unit", list(Unit))
def test_every_unit_is_found_by_its_symbol(unit: Unit) -> None:
    assert Unit.from_symbol(unit.symbol) is unit


def test_an_unknown_unit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(MeteringError, match="kWh"):
        Unit.from_symbol("horse power")


@given(st.integers(-(10**12), 10**12), st.integers(-2, 3))
def test_printing_loses_no_digit(mantissa: int, exponent: int) -> None:
    digits = str(Shown(mantissa, exponent, Unit.KWH)).removesuffix(" kWh").replace(".", "")
    assert int(digits) == mantissa * 10 ** max(exponent, 0)
