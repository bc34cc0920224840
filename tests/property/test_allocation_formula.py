"""Formulas against an oracle that never parses: the tree is drawn first, then written, then read back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine.formula import COST, PLAIN, FormulaInvalid, FormulaUndefined, parse_formula

INPUTS = {"a": Fraction(3), "b": Fraction(-7, 2), "tmax": Fraction(0)}


@dataclass(frozen=True)
class Written:
    """A formula as text, and what it must give; None where it divides by zero."""

    text: str
    result: Fraction | None


def join(operator: str, left: Written, right: Written) -> Written:
    """Two formulas under one operator, with and without brackets where binding allows it."""
    text = f"({left.text}) {operator} ({right.text})"
    if operator in ("min", "max"):
        text = f"{operator}({left.text}, {right.text})"
    if left.result is None or right.result is None or (operator == "/" and right.result == 0):
        return Written(text, None)
    a, b = left.result, right.result
    match operator:
        case "+":
            return Written(text, a + b)
        case "-":
            return Written(text, a - b)
        case "*":
            return Written(text, a * b)
        case "/":
            return Written(text, a / b)
        case "min":
            return Written(text, min(a, b))
        case _:
            return Written(text, max(a, b))


def decimal(whole: int, tenths: int) -> Written:
    """A constant."""
    return Written(f"{whole}.{tenths}", Fraction(f"{whole}.{tenths}"))


leaves = st.one_of(
    st.builds(decimal, st.integers(0, 99), st.integers(0, 9)),
    st.sampled_from([Written(name, number) for name, number in INPUTS.items()]),
)
formulas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(join, st.sampled_from(["+", "-", "*", "/", "min", "max"]), inner, inner),
        st.builds(lambda one: Written(f"-({one.text})", None if one.result is None else -one.result), inner),
    ),
    max_leaves=8,
)


@given(formulas)
@settings(deadline=None)
def test_what_is_written_is_what_is_computed(written: Written) -> None:
    formula = parse_formula(written.text, dict.fromkeys(INPUTS, PLAIN), PLAIN)
    try:
        assert formula.evaluate(INPUTS) == written.result
    except FormulaUndefined:
        assert written.result is None


@given(st.text("ab0123456789.+-*/(), mintax_#\"'\n", max_size=40))
@settings(deadline=None)
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    names, position = read_or_refused(text)
    assert names <= set(INPUTS)
    assert 1 <= position <= len(text) + 1


def read_or_refused(text: str) -> tuple[frozenset[str], int]:
    """The inputs of a text that parses, or the position at which it is refused."""
    try:
        return parse_formula(text, dict.fromkeys(INPUTS, PLAIN), PLAIN).inputs, 1
    except FormulaInvalid as refused:
        return frozenset(), refused.position


@given(formulas, st.fractions(min_value=0, max_value=1000, max_denominator=100))
@settings(deadline=None)
def test_a_formula_that_is_a_cost_grows_in_proportion_to_the_cost(written: Written, factor: Fraction) -> None:
    # The dimension check admits only formulas of degree 1 in the cost: doubling the cost doubles what is passed on.
    dimensions = dict.fromkeys(INPUTS, PLAIN) | {"main_delta": COST}
    formula = parse_formula(f"main_delta * ({written.text})", dimensions, COST)
    if written.result is not None:
        once = formula.evaluate(INPUTS | {"main_delta": Fraction(1)})
        assert formula.evaluate(INPUTS | {"main_delta": factor}) == factor * once
