"""Formulas against an oracle that never parses: the tree is drawn first, then written in every way, then read back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine.formula.blocks import BlocksInvalid, from_blocks, to_blocks
from allocation_engine.formula.dimensions import UNITS
from allocation_engine.formula.faults import LANGUAGES, FormulaInvalid, FormulaUndefined
from allocation_engine.formula.products import Frame, Products, constant, fractions_of
from allocation_engine.formula.program import Program
from allocation_engine.formula.proven import check_formula
from allocation_engine.formula.ranges import Range, largest, smallest
from allocation_engine.formula.syntax import parse_formula
from allocation_engine.formula.terms import Call, Input, MeterOf, Negative, Number, Operation, Sentence, Term
from allocation_engine.formula.text import write_formula
from allocation_engine.formula.verdict import check_rule_text
from tests.doubles.formula_site import VOCABULARY, setting

INPUTS = {"a": Fraction(3), "b": Fraction(-7, 2), "tmax": Fraction(0)}
ONE_CELL = Frame(1, np.zeros(1, np.int64))


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
numbers = st.builds(
    lambda digits, scale, unit: Number(Fraction(digits, 10**scale), unit),
    st.integers(-(10**6), 10**6),
    st.integers(0, 4),
    st.sampled_from(["", *UNITS]),
)
names = st.sampled_from([*VOCABULARY.chinese, "contract", "parking", "unheard_of"])
terms: st.SearchStrategy[Term] = st.recursive(
    st.one_of(numbers, st.builds(Input, names), st.builds(MeterOf, st.sampled_from(["chiller", "u-a", "n.1"]))),
    lambda inner: st.one_of(
        st.builds(Operation, st.sampled_from("+-*/"), inner, inner),
        st.builds(Negative, inner),
        st.builds(Call, st.sampled_from(["min", "max"]), st.lists(inner, min_size=2, max_size=4).map(tuple)),
        st.builds(lambda x, low, high: Call("clamp", (x, low, high)), inner, inner, inner),
    ),
    max_leaves=12,
)
titles = st.sampled_from(["", "大堂空调费", "lobby fee"])


def give(one: Input | MeterOf) -> Products:
    """What the inputs of drawn texts are."""
    assert isinstance(one, Input)
    return constant(INPUTS[one.name])


def run(text: str) -> Fraction:
    """Read a text and run it for a single cell."""
    ((result,),) = fractions_of(Program((), parse_formula(text, VOCABULARY).term).run(give, ONE_CELL), ONE_CELL, 1)
    return result


@given(formulas)
@settings(deadline=None)
def test_what_is_written_is_what_is_computed(written: Written) -> None:
    try:
        assert run(written.text) == written.result
    except FormulaUndefined:
        assert written.result is None


@given(terms, titles)
@settings(deadline=None, max_examples=300)
def test_every_tree_reads_back_from_both_languages_and_from_blocks(term: Term, title: str) -> None:
    sentence = Sentence(term, title)
    for language in LANGUAGES:
        assert parse_formula(write_formula(sentence, VOCABULARY, language), VOCABULARY) == sentence
    assert from_blocks(to_blocks(sentence)) == sentence


@given(terms)
@settings(deadline=None, max_examples=300)
def test_what_is_accepted_is_accepted_again_as_it_was_understood(term: Term) -> None:
    where = setting()
    verdict = check_rule_text(write_formula(Sentence(term), VOCABULARY, "zh"), where)
    if verdict.formula is not None:
        for language in LANGUAGES:
            text = write_formula(verdict.formula.sentence, VOCABULARY, language)
            again = check_formula(parse_formula(text, VOCABULARY), where)
            assert again.sentence.term == verdict.formula.sentence.term
            assert again.typed.dimension == verdict.formula.typed.dimension


@given(st.text("ab0123456789.+-*/(), mintax_#\"'\n×÷（）=总面积℃C%", max_size=40))
@settings(deadline=None)
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    where = setting()
    verdict = check_rule_text(text, where)
    assert (verdict.formula is None) == (verdict.invalid is not None)
    for fault in () if verdict.invalid is None else verdict.invalid.faults:
        assert 1 <= fault.position <= len(text) + 1
        assert all(fault.problem(language) and fault.mend(language) for language in LANGUAGES)


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))
contents = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["op", "of", "number", "unit", "input", "meter", "title", "x"]), inner),
    ),
    max_leaves=12,
)


@given(contents)
@settings(deadline=None)
def test_no_content_does_anything_but_be_blocks_or_be_refused(content: object) -> None:
    with suppress(BlocksInvalid):
        sentence = from_blocks(content)
        assert from_blocks(to_blocks(sentence)) == sentence


@given(formulas, st.fractions(min_value=0, max_value=1000, max_denominator=100))
@settings(deadline=None)
def test_a_formula_that_is_a_cost_grows_in_proportion_to_the_cost(written: Written, factor: Fraction) -> None:
    # The dimension check admits only formulas of degree 1 in the cost: doubling the cost doubles what is passed on.
    term = parse_formula(f"main_delta * ({written.text})", VOCABULARY).term

    def part(cost: Fraction) -> Fraction:
        feed = lambda one: constant(cost) if one == Input("main_delta") else give(one)  # noqa: E731
        ((result,),) = fractions_of(Program((), term).run(feed, ONE_CELL), ONE_CELL, 1)
        return result

    if written.result is not None:
        assert part(factor) == factor * part(Fraction(1))


bounds = st.one_of(st.none(), st.fractions(-5, 5, max_denominator=4))


@st.composite
def ranges_with_a_member(draw: st.DrawFn) -> tuple[Range, Fraction]:
    """Bounds, and a number that lies between them."""
    number = draw(st.fractions(-5, 5, max_denominator=4))
    low, high = draw(bounds), draw(bounds)
    low = None if low is None else min(low, number)
    high = None if high is None else max(high, number)
    return Range(low, high, number != 0 and draw(st.booleans())), number


def holds(bounds: Range, number: Fraction) -> bool:
    """Say whether a number is where the proof says it is."""
    inside = (bounds.low is None or bounds.low <= number) and (bounds.high is None or number <= bounds.high)
    return inside and (number != 0 or bounds.may_be_zero) and (number > 0 or not bounds.is_positive)


@given(ranges_with_a_member(), ranges_with_a_member())
@settings(deadline=None, max_examples=500)
def test_bounds_hold_whatever_is_computed_from_what_lies_within(
    one: tuple[Range, Fraction], two: tuple[Range, Fraction]
) -> None:
    (left, a), (right, b) = one, two
    assert holds(left, a)
    assert holds(left + right, a + b)
    assert holds(left - right, a - b)
    assert holds(left * right, a * b)
    assert holds(-left, -a)
    assert holds(smallest([left, right]), min(a, b))
    assert holds(largest([left, right]), max(a, b))
    if b:
        # Where it may be 0 the formula is refused, and the bounds are not looked at.
        assert right.may_be_zero or holds(left / right, a / b)


def test_a_refused_formula_is_refused_with_all_it_got_wrong() -> None:
    with pytest.raises(FormulaInvalid) as caught:
        check_formula(parse_formula("unit_aera * (tmaks - 26)", VOCABULARY), setting())
    faults = caught.value.faults
    assert [(one.position, one.mend("en")) for one in faults] == [
        (1, "did you mean 'unit_area'?"),
        (14, "did you mean 'tmax'?"),
    ]
