"""Numbers from outside: which one holds on a day, and what is done when there is none."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from allocation_engine.errors import SeriesIncomplete
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers

FIRST, SECOND, THIRD = date(2026, 7, 1), date(2026, 7, 10), date(2026, 7, 20)


def numbers(missing: MissingNumber) -> UnitNumbers:
    """Persons in one unit, counted on two days."""
    days = {"a": ((FIRST, Fraction(3)), (SECOND, Fraction(5)))}
    return UnitNumbers("persons", "persons", "gate", missing, None, is_metered=False, days=days)


@pytest.mark.parametrize("missing", list(MissingNumber))
def test_a_day_with_a_number_has_that_number(missing: MissingNumber) -> None:
    assert [numbers(missing).on("a", day) for day in (FIRST, SECOND)] == [3, 5]


@pytest.mark.parametrize(("day", "number"), [(date(2026, 7, 9), 3), (date(2026, 7, 11), 5), (THIRD, 5)])
def test_the_last_number_may_hold_until_the_next(day: date, number: int) -> None:
    assert numbers(MissingNumber.PREVIOUS).on("a", day) == number


@pytest.mark.parametrize("day", [date(2026, 6, 30), date(2026, 7, 9), THIRD])
def test_a_day_without_a_number_may_count_none(day: date) -> None:
    assert numbers(MissingNumber.ZERO).on("a", day) == 0


@pytest.mark.parametrize(
    ("missing", "day"),
    [(MissingNumber.REFUSE, THIRD), (MissingNumber.REFUSE, date(2026, 6, 30)), (MissingNumber.PREVIOUS, date.min)],
)
def test_a_day_without_a_number_is_refused_by_name(missing: MissingNumber, day: date) -> None:
    with pytest.raises(SeriesIncomplete, match=f"persons has no number for a on {day}"):
        numbers(missing).on("a", day)


def test_an_unknown_unit_has_no_number() -> None:
    with pytest.raises(SeriesIncomplete, match="no number for b"):
        numbers(MissingNumber.PREVIOUS).on("b", FIRST)
    assert numbers(MissingNumber.ZERO).on("b", FIRST) == 0


def test_units_without_any_number_are_named_in_order() -> None:
    assert numbers(MissingNumber.REFUSE).without(("c", "a", "b")) == ["b", "c"]
