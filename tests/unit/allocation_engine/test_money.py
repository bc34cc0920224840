"""Money is rounded once, half away from zero, and rates are exact."""

from __future__ import annotations

import pytest

from allocation_engine.money import (
    CurrencyUnknown,
    RateInvalid,
    minor_digits,
    parse_rate,
    show_kwh,
    show_minor,
    to_minor,
)


@pytest.mark.parametrize(
    ("nano", "fen"),
    [(0, 0), (4_999_999, 0), (5_000_000, 1), (14_999_999, 1), (15_000_000, 2), (-4_999_999, 0), (-5_000_000, -1)],
)
def test_a_fen_is_ten_million_nano_yuan_and_halves_round_away_from_zero(nano: int, fen: int) -> None:
    assert to_minor(nano, "CNY") == fen


def test_a_currency_without_decimals_rounds_to_its_unit() -> None:
    assert to_minor(1_500_000_000, "JPY") == 2
    assert minor_digits("JPY") == 0


def test_an_unknown_currency_is_not_rounded_by_guess() -> None:
    with pytest.raises(CurrencyUnknown, match="XTS"):
        to_minor(1, "XTS")


@pytest.mark.parametrize(
    ("text", "micro"), [("0.6238", 623_800), ("1", 1_000_000), ("0.000001", 1), ("-0.05", -50_000)]
)
def test_a_rate_is_read_exactly(text: str, micro: int) -> None:
    assert parse_rate(text) == micro


@pytest.mark.parametrize("text", ["", "abc", "0.1234567", "NaN", "Infinity", "1e9", "9999999"])
def test_a_rate_that_cannot_be_exact_is_refused(text: str) -> None:
    with pytest.raises(RateInvalid):
        parse_rate(text)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(123456, "CNY", "1234.56"), (5, "CNY", "0.05"), (-5, "CNY", "-0.05"), (0, "CNY", "0.00"), (-1200, "JPY", "-1200")],
)
def test_amounts_are_written_with_their_decimals(minor: int, currency: str, text: str) -> None:
    assert show_minor(minor, currency) == text


def test_energy_is_written_in_kilowatt_hours_to_the_watt_hour() -> None:
    assert [show_kwh(wh) for wh in (1_234_567, 5, -1_050, 0)] == ["1234.567", "0.005", "-1.050", "0.000"]
