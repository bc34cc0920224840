"""Reads formulas. Nothing is ever `eval`ed; Chinese and English writing give the same tree.

Grammar (all operators bind as usual, from the left)

    formula = [ title "=" ] sum
    sum     = product { ("+" | "-") product }
    product = factor { ("*" | "/") factor }
    factor  = ["-"] number [unit] | input | function "(" sum { "," sum } ")" | meter "(" "\"" node "\"" ")"
            | "(" sum ")" | "-" factor

A title is kept and means nothing. Full-width signs, × and ÷ are the same as ( ) , + - * / =.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from allocation_engine.formula.dimensions import UNITS, unit_named
from allocation_engine.formula.faults import Choice, FormulaFault, FormulaInvalid, Slip, fault_at
from allocation_engine.formula.terms import (
    Call,
    Input,
    MeterOf,
    Negative,
    Number,
    Operation,
    Sentence,
    Term,
    walk,
)
from allocation_engine.formula.vocabulary import FUNCTION_OF, Vocabulary

NESTING_MAX = 32
LENGTH_MAX = 1_000
OPERATIONS_MAX = 100
DIGITS_MAX = 12
"""Of a number before the point, and after it: what tables of numbers hold too."""
_TERMS = {"min": (2, 8), "max": (2, 8), "clamp": (3, 3)}
_SAME = str.maketrans("（）［］，、＋－−–×＊∗·÷／＝“”％０１２３４５６７８９．", '()[],,+---****//=""%0123456789.')
_TITLE = re.compile(r'\s*([^\W\d][^=*/()+",]*?)\s*=')
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<word>[^\W\d]\w*)|(?P<unit>°C|℃|%|㎡)"
    r'|"(?P<quoted>[^"]*)"|(?P<sign>[-+*/(),]))'
)
_END = Choice(("the end", "公式结尾"))


def parse_formula(text: str, vocabulary: Vocabulary) -> Sentence:
    """Read a formula; raises FormulaInvalid with the position of the first slip.

    Names that `vocabulary` does not hold stay as they were written: what they could mean is for the check to say.
    """
    if len(text) > LENGTH_MAX:
        fault = fault_at(Slip.TOO_LONG, LENGTH_MAX, most=LENGTH_MAX, count=len(text))
        raise FormulaInvalid(text[:20] + "...", (fault,))
    same = text.translate(_SAME)
    found = _TITLE.match(same)
    start = found.end() if found else 0
    parser = _Parser(text, same, start, vocabulary)
    term = parser.parse()
    count = sum(isinstance(one, Operation | Call | Negative) for one in walk(term))
    if count > OPERATIONS_MAX:
        raise FormulaInvalid(text[:20] + "...", (fault_at(Slip.TOO_MANY, 1, most=OPERATIONS_MAX, count=count),))
    return Sentence(term, text[found.start(1) : found.end(1)] if found else "", text)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int

    @property
    def shown(self) -> object:
        """As messages write it."""
        return _END if self.kind == "end" else repr(self.text)


class _Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str, same: str, start: int, vocabulary: Vocabulary) -> None:
        self._text = text
        self._same = same
        self._vocabulary = vocabulary
        self._tokens = list(self._scan(start))
        self._next = 0
        self._depth = 0

    def parse(self) -> Term:
        """Read everything as one sum."""
        term = self._sum()
        token = self._peek()
        if token.kind != "end":
            raise self._refuse(fault_at(Slip.UNEXPECTED, token.position, found=token.shown))
        return term

    def _scan(self, start: int) -> Iterator[_Token]:
        position = start
        while self._same[position:].strip():
            match = _TOKEN.match(self._same, position)
            if match is None or match.lastgroup is None:
                rest = self._same[position:]
                stray = position + len(rest) - len(rest.lstrip())
                raise self._refuse(fault_at(Slip.STRAY, stray + 1, sign=self._text[stray]))
            yield _Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup) + 1)
            position = match.end()
        yield _Token("end", "", len(self._text) + 1)

    def _sum(self) -> Term:
        left = self._product()
        while self._peek().text in ("+", "-"):
            sign = self._take()
            left = Operation(sign.text, left, self._product(), sign.position)
        return left

    def _product(self) -> Term:
        left = self._factor()
        while self._peek().text in ("*", "/"):
            sign = self._take()
            left = Operation(sign.text, left, self._factor(), sign.position)
        return left

    def _factor(self) -> Term:
        token = self._take()
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self._refuse(fault_at(Slip.TOO_DEEP, token.position, most=NESTING_MAX))
        term = self._after(token)
        self._depth -= 1
        return term

    def _after(self, token: _Token) -> Term:
        match token:
            case _Token("number", _):
                return self._number(token, 1)
            case _Token("word", "meter" | "电表"):
                return self._meter(token)
            case _Token("word", word) if word in FUNCTION_OF:
                return self._call(token, FUNCTION_OF[word])
            case _Token("word", word):
                return Input(self._vocabulary.inputs.get(word, word), token.position)
            case _Token("sign", "("):
                term = self._sum()
                self._expect(")")
                return term
            case _Token("sign", "-") if self._peek().kind == "number":
                return self._number(self._take(), -1)
            case _Token("sign", "-"):
                return Negative(self._factor(), token.position)
        raise self._refuse(fault_at(Slip.TERM_EXPECTED, token.position, found=token.shown))

    def _number(self, token: _Token, sign: int) -> Number:
        if any(len(digits) > DIGITS_MAX for digits in token.text.split(".")):
            raise self._refuse(fault_at(Slip.TOO_LONG, token.position, most=DIGITS_MAX, count=len(token.text)))
        symbol = self._peek()
        unit = ""
        if symbol.kind in ("word", "unit"):
            self._take()
            known = unit_named(symbol.text)
            if known is None:
                told = ", ".join(UNITS)
                raise self._refuse(fault_at(Slip.UNKNOWN_UNIT, symbol.position, unit=symbol.text, known=told))
            unit = known.symbol
        return Number(sign * Fraction(token.text), unit, token.position)

    def _meter(self, token: _Token) -> MeterOf:
        self._expect("(")
        node = self._take()
        if node.kind != "quoted":
            raise self._refuse(fault_at(Slip.SIGN_EXPECTED, node.position, sign='"node"', found=node.shown))
        self._expect(")")
        return MeterOf(node.text, token.position)

    def _call(self, token: _Token, function: str) -> Call:
        self._expect("(")
        terms = [self._sum()]
        while self._peek().text == "," and self._peek().kind == "sign":
            self._take()
            terms.append(self._sum())
        least, most = _TERMS[function]
        if self._peek().text == ")" and not least <= len(terms) <= most:
            wanted = least if least == most else f"{least}-{most}"
            count = len(terms)
            raise self._refuse(
                fault_at(Slip.ARGUMENTS, token.position, function=token.text, wanted=wanted, count=count)
            )
        self._expect(")")
        return Call(function, tuple(terms), token.position)

    def _expect(self, sign: str) -> None:
        token = self._take()
        if token.text != sign or token.kind != "sign":
            raise self._refuse(fault_at(Slip.SIGN_EXPECTED, token.position, sign=sign, found=token.shown))

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _refuse(self, fault: FormulaFault) -> FormulaInvalid:
        return FormulaInvalid(self._text, (fault,))
