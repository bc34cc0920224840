"""Evaluates a formula that was proven: no step is compiled, nothing is looked up twice, all numbers are exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from allocation_engine.formula.dimensions import UNITS
from allocation_engine.formula.products import (
    Frame,
    Products,
    add,
    constant,
    divide,
    largest,
    multiply,
    negate,
    smallest,
)
from allocation_engine.formula.terms import Call, Input, MeterOf, Negative, Number, Operation, Term

Feed = Callable[[Input | MeterOf], Products]
"""Gives what an input is for the rows at hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A formula as it is evaluated: definitions first, each once; then the term."""

    definitions: tuple[tuple[str, Term], ...]
    term: Term

    def run(self, feed: Feed, frame: Frame) -> Products:
        """Evaluate for the rows of `frame`; raises FormulaUndefined on division by 0."""
        known: dict[str, Products] = {}

        def given(one: Input | MeterOf) -> Products:
            name = one.name if isinstance(one, Input) else f'meter("{one.node}")'
            if name not in known:
                known[name] = feed(one)
            return known[name]

        for name, term in self.definitions:
            known[name] = _evaluate(term, given, frame)
        return _evaluate(self.term, given, frame)


def _evaluate(term: Term, given: Feed, frame: Frame) -> Products:
    match term:
        case Number(number, unit):
            return constant(number * (UNITS[unit].scale if unit else Fraction(1)))
        case Input() | MeterOf():
            return given(term)
        case Negative(inner):
            return negate(_evaluate(inner, given, frame))
        case Call(function, terms):
            filled = [_evaluate(one, given, frame) for one in terms]
            if function == "clamp":
                return smallest([largest(filled[:2], frame), filled[2]], frame)
            return smallest(filled, frame) if function == "min" else largest(filled, frame)
        case Operation(operator, left, right):
            one, two = _evaluate(left, given, frame), _evaluate(right, given, frame)
            match operator:
                case "+":
                    return add(one, two, frame)
                case "-":
                    return add(one, negate(two), frame)
                case "*":
                    return multiply(one, two, frame)
                case _:
                    return divide(one, two, frame)
