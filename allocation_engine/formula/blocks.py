"""Formulas as plain JSON-able or TOML content, for an editor that moves blocks about.

{ number = "26", unit = "C" }     { input = "tmax" }     { meter = "u-a101" }
{ op = "-", of = [ ... , ... ] }  { op = "minus", of = [ ... ] }  { op = "clamp", of = [ ... , ... , ... ] }
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from allocation_engine.formula.dimensions import unit_named
from allocation_engine.formula.syntax import DIGITS_MAX, NESTING_MAX, OPERATIONS_MAX
from allocation_engine.formula.terms import Call, Input, MeterOf, Negative, Number, Operation, Sentence, Term
from allocation_engine.formula.text import decimal_text
from metering.errors import MeteringError

_NUMBER = re.compile(rf"-?[0-9]{{1,{DIGITS_MAX}}}(\.[0-9]{{1,{DIGITS_MAX}}})?\Z")
_NAME = re.compile(r"[^\W\d][\w-]*\Z")
_SIGNS = ("+", "-", "*", "/")
_COUNTS = {"min": (2, 8), "max": (2, 8), "clamp": (3, 3)}
_FORM = 'write { op = "+", of = [...] }, { input = "tmax" }, { meter = "node" } or { number = "26", unit = "C" }'


class BlocksInvalid(MeteringError):
    """Content is no formula in blocks; `path` says which block, e.g. `of[1].of[0]`."""

    def __init__(self, path: str, problem: str, mend: str = _FORM) -> None:
        super().__init__(f"{problem} at {path or 'the outermost block'}; {mend}")
        self.path = path
        self.problem = problem
        self.mend = mend


def to_blocks(sentence: Sentence) -> dict[str, Any]:
    """Give a formula as blocks; the title stands on the outermost."""
    blocks = _block(sentence.term)
    return {"title": sentence.title, **blocks} if sentence.title else blocks


def from_blocks(content: Any) -> Sentence:
    """Read what `to_blocks` gave; raises BlocksInvalid."""
    title = content.get("title", "") if isinstance(content, Mapping) else ""
    if not isinstance(title, str) or "=" in title:
        raise BlocksInvalid("title", f"{title!r} is no title", "a title is a text without =")
    inner = {key: one for key, one in content.items() if key != "title"} if isinstance(content, Mapping) else content
    reader = _Reader()
    return Sentence(reader.term(inner, "", 1), title.strip())


def _block(term: Term) -> dict[str, Any]:
    match term:
        case Number(number, unit):
            return {"number": decimal_text(number), **({"unit": unit} if unit else {})}
        case Input(name):
            return {"input": name}
        case MeterOf(node):
            return {"meter": node}
        case Operation(operator, left, right):
            return {"op": operator, "of": [_block(left), _block(right)]}
        case Negative(inner):
            return {"op": "minus", "of": [_block(inner)]}
        case Call(function, terms):
            return {"op": function, "of": [_block(one) for one in terms]}


class _Reader:
    """Reads blocks, counting them."""

    def __init__(self) -> None:
        self._operations = 0

    def term(self, content: Any, path: str, depth: int) -> Term:
        """Read one block and what it holds."""
        if depth > OPERATIONS_MAX + NESTING_MAX:
            raise BlocksInvalid(path, f"nested deeper than {OPERATIONS_MAX + NESTING_MAX}")
        match content:
            case {"number": str(text), **rest} if _NUMBER.match(text) and set(rest) <= {"unit"}:
                unit = rest.get("unit", "")
                if unit != "" and (not isinstance(unit, str) or unit_named(unit) is None):
                    raise BlocksInvalid(path, f"{unit!r} is no known unit")
                known = unit_named(unit) if unit else None
                return Number(Fraction(text), known.symbol if known else "")
            case {"input": str(name), **rest} if _NAME.match(name) and not rest:
                return Input(name)
            case {"meter": str(node), **rest} if not rest and '"' not in node:
                return MeterOf(node)
            case {"op": str(operator), "of": list(of), **rest} if not rest:
                return self._operation(operator, of, path, depth)
        raise BlocksInvalid(path, "this is no block")

    def _operation(self, operator: str, of: list[Any], path: str, depth: int) -> Term:
        self._operations += 1
        if self._operations > OPERATIONS_MAX:
            raise BlocksInvalid(path, f"more than {OPERATIONS_MAX} operations")
        least, most = (1, 1) if operator == "minus" else _COUNTS.get(operator, (2, 2))
        if operator not in (*_SIGNS, *_COUNTS, "minus"):
            raise BlocksInvalid(path, f"{operator!r} is no operation", "known: + - * / minus min max clamp")
        if not least <= len(of) <= most:
            raise BlocksInvalid(path, f"{operator} has {len(of)} parts", f"it takes {least} to {most}")
        place = f"{path}.of" if path else "of"
        terms = tuple(self.term(one, f"{place}[{number}]", depth + 1) for number, one in enumerate(of))
        if operator == "minus":
            return Negative(terms[0])
        return Operation(operator, terms[0], terms[1]) if operator in _SIGNS else Call(operator, terms)
