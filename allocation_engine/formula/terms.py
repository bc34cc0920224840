"""The tree of a formula. Positions count characters from 1 and take no part in equality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal constant, with the symbol of its unit; "" where none was written."""

    number: Fraction
    unit: str = ""
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Input:
    """A named input, by the name it has in rules."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class MeterOf:
    """The energy of a node, by slot: a virtual meter is made of these."""

    node: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Operation:
    """`+ - * /` of two terms; its position is that of the sign."""

    operator: str
    left: Term
    right: Term
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Negative:
    """A term with its sign turned."""

    term: Term
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`min`, `max` or `clamp` of terms."""

    function: str
    terms: tuple[Term, ...]
    position: int = field(default=0, compare=False)


Term = Number | Input | MeterOf | Operation | Negative | Call


@dataclass(frozen=True, slots=True)
class Sentence:
    """A whole formula: its term, what the writer calls the result ("" for nothing), and the text it came from."""

    term: Term
    title: str = ""
    text: str = field(default="", compare=False)


def parts_of(term: Term) -> tuple[Term, ...]:
    """Give the terms right below a term."""
    match term:
        case Operation(_, left, right):
            return left, right
        case Negative(inner):
            return (inner,)
        case Call(_, terms):
            return terms
        case _:
            return ()


def walk(term: Term) -> Iterator[Term]:
    """Give a term and all terms below it, itself first."""
    yield term
    for part in parts_of(term):
        yield from walk(part)


def names_in(term: Term) -> frozenset[str]:
    """Give the names of all inputs a term mentions."""
    return frozenset(one.name for one in walk(term) if isinstance(one, Input))


def depth_of(term: Term) -> int:
    """Give how deep a tree is; 1 for a single number or input."""
    return 1 + max(map(depth_of, parts_of(term)), default=0)
