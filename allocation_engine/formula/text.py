"""Writes formulas, in English or Chinese, so that reading them gives the same tree again."""

from __future__ import annotations

from fractions import Fraction

from allocation_engine.formula.dimensions import IN_CHINESE
from allocation_engine.formula.terms import Call, Input, MeterOf, Negative, Number, Operation, Sentence, Term
from allocation_engine.formula.vocabulary import FUNCTIONS, Vocabulary

_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}
_FACTOR = 3
_CHINESE_SIGNS = {"*": "×", "/": "÷"}


def write_formula(sentence: Sentence, vocabulary: Vocabulary, language: str) -> str:
    """Write a whole formula in `language` (`zh` or `en`)."""
    text = write_term(sentence.term, vocabulary, language)
    return f"{sentence.title} = {text}" if sentence.title else text


def write_term(term: Term, vocabulary: Vocabulary, language: str) -> str:
    """Write a term with as few brackets as its tree needs."""
    return _Writer(vocabulary, language).write(term)


def decimal_text(number: Fraction) -> str:
    """Write a number that came from decimal text as decimal text again."""
    scale = 0
    while 10**scale % number.denominator:
        scale += 1
    digits = str(abs(number.numerator) * (10**scale // number.denominator)).rjust(scale + 1, "0")
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return f"-{text}" if number < 0 else text


class _Writer:
    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        self._vocabulary = vocabulary
        self._language = language

    def write(self, term: Term) -> str:
        """Write one term."""
        match term:
            case Number(number, unit):
                return decimal_text(number) + self._unit(unit)
            case Input(name):
                return self._vocabulary.word(name, self._language)
            case MeterOf(node):
                return f'{self._function("meter")}("{node}")'
            case Call(function, terms):
                return f"{self._function(function)}({', '.join(map(self.write, terms))})"
            case Negative(inner):
                # A minus right before a number belongs to the number.
                bare = isinstance(inner, Number) and inner.number >= 0
                return f"-({self.write(inner)})" if bare else f"-{self._within(inner, _FACTOR)}"
            case Operation(operator, left, right):
                binds = _BINDS[operator]
                sign = _CHINESE_SIGNS.get(operator, operator) if self._language == "zh" else operator
                return f"{self._within(left, binds)} {sign} {self._within(right, binds + 1)}"

    def _within(self, term: Term, binds: int) -> str:
        text = self.write(term)
        return f"({text})" if isinstance(term, Operation) and _BINDS[term.operator] < binds else text

    def _unit(self, unit: str) -> str:
        if self._language == "zh" and unit in IN_CHINESE:
            return IN_CHINESE[unit]
        return unit if unit in ("", "%") else f" {unit}"

    def _function(self, name: str) -> str:
        return FUNCTIONS[name] if self._language == "zh" else name
