"""Formulas that people write: parsed, checked for units when saved, evaluated exactly. Nothing is ever `eval`ed.

Grammar (all operators bind as usual, from the left)

    sum     = product { ("+" | "-") product }
    product = factor { ("*" | "/") factor }
    factor  = number | input | ("min" | "max") "(" sum "," sum ")" | "(" sum ")" | "-" factor

Numbers are decimal and exact, results are fractions. Every input carries a dimension; sums need equal ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from metering.errors import BooksError, MeteringError

NESTING_MAX = 32
LENGTH_MAX = 500
_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/(),]))")


class FormulaInvalid(MeteringError):
    """A formula cannot be read or does not fit its inputs; `position` counts characters from 1."""

    def __init__(self, text: str, position: int, problem: str) -> None:
        super().__init__(f"{problem} at character {position} of {text!r}")
        self.position = position
        self.problem = problem


class FormulaUndefined(BooksError):
    """A formula has no result for the inputs at hand: it divides by zero."""


class Dimension(NamedTuple):
    """Powers of cost and of area that a quantity carries; temperatures and plain numbers carry none."""

    cost: int = 0
    area: int = 0

    def __str__(self) -> str:
        parts = [f"{name}^{power}" for name, power in zip(self._fields, self, strict=True) if power]
        return " ".join(parts) or "a plain number"


PLAIN = Dimension()
COST = Dimension(cost=1)
AREA = Dimension(area=1)


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal constant."""

    number: Fraction


@dataclass(frozen=True, slots=True)
class Input:
    """A named input."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`+ - * / min max` of two terms."""

    operator: str
    left: Term
    right: Term


Term = Number | Input | Operation


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula with the text it came from."""

    text: str
    term: Term

    def evaluate(self, inputs: Mapping[str, Fraction]) -> Fraction:
        """Give the exact result; raises FormulaUndefined on division by zero."""
        try:
            return _evaluate(self.term, inputs)
        except ZeroDivisionError as error:
            raise FormulaUndefined(f"{self.text!r} divides by zero for {_shown(inputs)}") from error

    @property
    def inputs(self) -> frozenset[str]:
        """Names of all inputs it mentions."""
        return frozenset(_names(self.term))


def parse_formula(text: str, inputs: Mapping[str, Dimension], result: Dimension) -> Formula:
    """Read `text`; raises FormulaInvalid with the position of an unknown input, a slip or units that do not fit."""
    if len(text) > LENGTH_MAX:
        raise FormulaInvalid(text[:20] + "...", LENGTH_MAX, f"a formula has at most {LENGTH_MAX} characters; it ends")
    return _Parser(text, inputs).parse(result)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


class _Sized(NamedTuple):
    term: Term
    dimension: Dimension


class _Parser:
    """Recursive descent over the tokens of one formula, finding dimensions on the way."""

    def __init__(self, text: str, inputs: Mapping[str, Dimension]) -> None:
        self._text = text
        self._inputs = inputs
        self._tokens = list(self._scan())
        self._next = 0
        self._depth = 0

    def parse(self, result: Dimension) -> Formula:
        """Read the whole text as one sum of dimension `result`."""
        sized = self._sum()
        if self._peek().kind != "end":
            raise self._fault(self._peek(), f"{self._peek().text!r} was not expected")
        if sized.dimension != result:
            raise self._fault(_Token("", "", 1), f"the result is {sized.dimension} but must be {result}; formula")
        return Formula(self._text, sized.term)

    def _scan(self) -> Iterator[_Token]:
        position = 0
        while self._text[position:].strip():
            match = _TOKEN.match(self._text, position)
            if match is None or match.lastgroup is None:
                stray = len(self._text[:position]) + len(self._text[position:]) - len(self._text[position:].lstrip())
                raise FormulaInvalid(self._text, stray + 1, f"{self._text[stray]!r} is not part of a formula")
            yield _Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup) + 1)
            position = match.end()
        yield _Token("end", "end", len(self._text) + 1)

    def _sum(self) -> _Sized:
        left = self._product()
        while self._peek().text in ("+", "-"):
            left = self._alike(self._take(), left, self._product())
        return left

    def _product(self) -> _Sized:
        left = self._factor()
        while self._peek().text in ("*", "/"):
            operator = self._take().text
            right = self._factor()
            sign = 1 if operator == "*" else -1
            powers = (a + sign * b for a, b in zip(left.dimension, right.dimension, strict=True))
            left = _Sized(Operation(operator, left.term, right.term), Dimension(*powers))
        return left

    def _factor(self) -> _Sized:
        self._depth += 1
        token = self._take()
        if self._depth > NESTING_MAX:
            raise self._fault(token, f"nested deeper than {NESTING_MAX}")
        match token:
            case _Token("number", text):
                sized = _Sized(Number(Fraction(text)), PLAIN)
            case _Token("word", "min" | "max"):
                self._expect("(")
                left = self._sum()
                self._expect(",")
                sized = self._alike(token, left, self._sum())
                self._expect(")")
            case _Token("word", name):
                if name not in self._inputs:
                    known = ", ".join(sorted(self._inputs))
                    raise self._fault(token, f"unknown input {name!r} (known: {known})")
                sized = _Sized(Input(name), self._inputs[name])
            case _Token("sign", "("):
                sized = self._sum()
                self._expect(")")
            case _Token("sign", "-"):
                inner = self._factor()
                sized = _Sized(Operation("*", Number(Fraction(-1)), inner.term), inner.dimension)
            case _:
                raise self._fault(token, f"a number or an input was expected, not {token.text!r},")
        self._depth -= 1
        return sized

    def _alike(self, operator: _Token, left: _Sized, right: _Sized) -> _Sized:
        if left.dimension != right.dimension:
            problem = f"{operator.text!r} needs equal units, not {left.dimension} and {right.dimension},"
            raise self._fault(operator, problem)
        return _Sized(Operation(operator.text, left.term, right.term), left.dimension)

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            raise self._fault(token, f"{text!r} was expected, not {token.text!r},")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _fault(self, token: _Token, problem: str) -> FormulaInvalid:
        return FormulaInvalid(self._text, token.position, problem)


def _evaluate(term: Term, inputs: Mapping[str, Fraction]) -> Fraction:
    match term:
        case Number(number):
            return number
        case Input(name):
            return inputs[name]
        case Operation(operator, left, right):
            a, b = _evaluate(left, inputs), _evaluate(right, inputs)
            match operator:
                case "+":
                    return a + b
                case "-":
                    return a - b
                case "*":
                    return a * b
                case "/":
                    return a / b
                case "min":
                    return min(a, b)
                case _:
                    return max(a, b)


def _names(term: Term) -> Iterator[str]:
    match term:
        case Input(name):
            yield name
        case Operation(_, left, right):
            yield from _names(left)
            yield from _names(right)


def _shown(inputs: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{name} = {number}" for name, number in sorted(inputs.items()))
