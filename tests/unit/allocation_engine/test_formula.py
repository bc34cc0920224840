"""Formulas: read exactly, refused with a position, checked for units, never executed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from allocation_engine.formula import (
    AREA,
    COST,
    LENGTH_MAX,
    NESTING_MAX,
    PLAIN,
    FormulaInvalid,
    FormulaUndefined,
    parse_formula,
)

INPUTS = {"main_delta": COST, "floor_area": AREA, "total_area": AREA, "tmax": PLAIN}
LOBBY = "main_delta * (floor_area / total_area) * (tmax - 26) / 10"


def plain(text: str, **inputs: object) -> Fraction:
    """The result of a formula over plain numbers."""
    numbers = {name: Fraction(number) for name, number in inputs.items()}  # type: ignore[arg-type]
    return parse_formula(text, dict.fromkeys(numbers, PLAIN), PLAIN).evaluate(numbers)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("24 / 4 / 3", 2),
        ("-2 * -3", 6),
        ("--2", 2),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("min(3, 2) + max(1, 5)", 7),
        ("1 / 3 * 3", 1),
        ("  7\n", 7),
    ],
)
def test_arithmetic_is_exact_and_binds_as_usual(text: str, result: Fraction | int) -> None:
    assert plain(text) == result


@pytest.mark.parametrize(
    ("tmax", "part"), [("24", "-1/5"), ("26", "0"), ("31", "1/2"), ("36", "1"), ("40", "7/5"), ("31.5", "11/20")]
)
def test_the_customers_formula_runs_verbatim(tmax: str, part: str) -> None:
    formula = parse_formula(LOBBY, INPUTS, COST)
    numbers = {"main_delta": Fraction(1), "floor_area": Fraction(1), "total_area": Fraction(1), "tmax": Fraction(tmax)}
    assert formula.evaluate(numbers) == Fraction(part)


def test_a_formula_knows_its_inputs_and_keeps_its_text() -> None:
    formula = parse_formula(LOBBY, INPUTS, COST)
    assert formula.inputs == {"main_delta", "floor_area", "total_area", "tmax"}
    assert formula.text == LOBBY


@pytest.mark.parametrize(
    ("text", "position", "told"),
    [
        ("main_delta * humidity", 14, "unknown input 'humidity'"),
        ("main_delta * (tmax - 26", 24, "')' was expected"),
        ("main_delta * * 2", 14, "a number or an input was expected"),
        ("main_delta ; drop", 12, "';' is not part of a formula"),
        ("main_delta 2", 12, "'2' was not expected"),
        ("main_delta * 2 )", 16, "')' was not expected"),
        ("", 1, "a number or an input was expected"),
        ("min(tmax)", 9, "',' was expected"),
        ("__import__(1)", 1, "unknown input '__import__'"),
        ("open('x')", 6, "is not part of a formula"),
        ("main_delta ** 2", 13, "a number or an input was expected"),
    ],
)
def test_a_slip_is_shown_with_its_position(text: str, position: int, told: str) -> None:
    with pytest.raises(FormulaInvalid, match="character") as caught:
        parse_formula(text, INPUTS, COST)
    assert caught.value.position == position
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("main_delta * floor_area", "cost^1 area^1 but must be cost^1"),
        ("floor_area / total_area", "a plain number but must be cost^1"),
        ("main_delta * main_delta", "cost^2 but must be cost^1"),
        ("main_delta + tmax", "'+' needs equal units, not cost^1 and a plain number"),
        ("main_delta * (floor_area - 26) / total_area", "'-' needs equal units, not area^1 and a plain number"),
        ("max(main_delta, 26)", "'max' needs equal units"),
    ],
)
def test_units_that_do_not_fit_are_refused_when_saved(text: str, told: str) -> None:
    with pytest.raises(FormulaInvalid, match="character") as caught:
        parse_formula(text, INPUTS, COST)
    assert told in str(caught.value)


def test_dividing_by_zero_has_no_result_and_shows_the_inputs() -> None:
    formula = parse_formula("main_delta / (tmax - 26)", INPUTS, COST)
    with pytest.raises(FormulaUndefined, match="divides by zero for main_delta = 1, tmax = 26"):
        formula.evaluate({"main_delta": Fraction(1), "tmax": Fraction(26)})


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(FormulaInvalid, match="at most"):
        parse_formula("1+" * LENGTH_MAX + "1", {}, PLAIN)
    with pytest.raises(FormulaInvalid, match="nested deeper"):
        parse_formula("(" * (NESTING_MAX + 1) + "1" + ")" * (NESTING_MAX + 1), {}, PLAIN)
    assert plain("(" * (NESTING_MAX - 1) + "1" + ")" * (NESTING_MAX - 1)) == 1
