"""Finds out what a formula means where it stands: units, how it varies, and between which bounds it lies.

Bare numbers take their unit from what they stand beside; the tree that comes out has the units understood written in.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from allocation_engine.formula.dimensions import PLAIN, TEMPERATURE, UNITS, Dimension
from allocation_engine.formula.faults import Choice, FormulaFault, Slip, fault_at
from allocation_engine.formula.ranges import ANY, NOT_NEGATIVE, Range, largest, smallest
from allocation_engine.formula.setting import Meaning, Pace, Setting, Space
from allocation_engine.formula.terms import (
    Call,
    Input,
    MeterOf,
    Negative,
    Number,
    Operation,
    Term,
    parts_of,
    walk,
)
from allocation_engine.formula.text import decimal_text, write_term
from allocation_engine.formula.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Typed:
    """A term with what it is; `dimension` None for what fits anything: 0, or a term that is wrong itself.

    cell_steps   how often something is computed for each unit and slot by itself
    """

    term: Term
    dimension: Dimension | None
    space: Space
    pace: Pace
    range: Range
    is_point: bool = False
    cell_steps: int = 0

    @property
    def unit_scale(self) -> Fraction:
        """How many base units the unit has in which its numbers are shown."""
        return self.dimension.scale if self.dimension else Fraction(1)

    @property
    def has_cells(self) -> bool:
        """Say whether it varies by unit and by slot."""
        return self.space > Space.NONE and self.pace is Pace.SLOT


@dataclass(frozen=True, slots=True)
class Remark:
    """Something the proof rests on: a divisor that is never 0, or a difference that may be negative."""

    is_divisor: bool
    typed: Typed


def type_term(
    term: Term, setting: Setting, known: Mapping[str, Typed], wanted: Dimension | None
) -> tuple[Typed, list[FormulaFault], list[Remark]]:
    """Type a term, giving the kelvin left over to the one bare number that can take them.

    known    the definitions it may use, typed
    wanted   the dimension it must have; None for any, preferably without a temperature
    """
    plain = _Typing(setting, known, None)
    first = plain.visit(term)
    faults = list(plain.faults)
    if not faults and _fits(first, wanted):
        return first, faults, plain.remarks
    solved, without_kelvin = [], first
    for number in _bare_factors(term):
        typing = _Typing(setting, known, number.position)
        typed = typing.visit(term)
        if not typing.faults and _fits(typed, wanted):
            solved.append((number, typed, typing))
        elif not typing.faults and _fits(typed, None):
            without_kelvin = typed
    if len(solved) == 1:
        _, typed, typing = solved[0]
        return typed, [], typing.remarks
    if len(solved) > 1 and (wanted is not None or faults):
        numbers = sorted((number.position, decimal_text(number.number)) for number, _, _ in solved)
        told = {"numbers": ", ".join(text for _, text in numbers), "example": f"{numbers[0][1]} K"}
        return first, [fault_at(Slip.WHICH_DEGREES, numbers[0][0], **told)], plain.remarks
    if not faults and wanted is not None and first.dimension not in (wanted, None):
        faults.append(fault_at(Slip.RESULT, 1, found=without_kelvin.dimension, wanted=wanted))
    return first, faults, plain.remarks


def _fits(typed: Typed, wanted: Dimension | None) -> bool:
    if wanted is None:
        return typed.dimension is None or not typed.dimension.power_of("temperature") or typed.is_point
    return typed.dimension in (wanted, None)


def _bare_factors(term: Term) -> Iterator[Number]:
    """Give the numbers without a unit that multiply or divide."""
    for one in walk(term):
        if isinstance(one, Operation) and one.operator in "*/":
            for part in parts_of(one):
                if isinstance(part, Number) and not part.unit and part.number:
                    yield part


class _Typing:
    """One walk over a tree; `degrees` is the position of the bare number that is taken to be in K."""

    def __init__(self, setting: Setting, known: Mapping[str, Typed], degrees: int | None) -> None:
        self._setting = setting
        self._known = known
        self._degrees = degrees
        self._vocabulary = setting.sources.vocabulary
        self.faults: list[FormulaFault] = []
        self.remarks: list[Remark] = []

    def visit(self, term: Term) -> Typed:
        """Give a term with what it is."""
        match term:
            case Number():
                return self._number(term)
            case Input():
                return self._input(term)
            case MeterOf(node, position):
                if node not in self._setting.sources.nodes:
                    self._unknown(Slip.UNKNOWN_NODE, position, node, self._setting.sources.nodes)
                    return _wrong(term)
                return Typed(term, UNITS["Wh"].dimension, Space.NONE, Pace.SLOT, NOT_NEGATIVE)
            case Negative(inner, position):
                typed = self.visit(inner)
                if typed.is_point:
                    self._refuse(Slip.POINT_MULTIPLIED, position, sign="-")
                return replace(typed, term=replace(term, term=typed.term), range=-typed.range, is_point=False)
            case Call(function, terms, position):
                return self._call(function, [self.visit(one) for one in terms], position)
            case Operation(operator, left, right, position):
                one, two = self.visit(left), self.visit(right)
                if operator in "+-":
                    return self._sum(operator, one, two, position)
                return self._product(operator, one, two, position)

    def _number(self, term: Number) -> Typed:
        symbol = "K" if term.position == self._degrees and not term.unit else term.unit
        unit = UNITS[symbol] if symbol else None
        number = term.number * (unit.scale if unit else 1)
        dimension = unit.dimension if unit else PLAIN if number else None
        is_point = unit is not None and unit.is_point
        return Typed(replace(term, unit=symbol), dimension, Space.NONE, Pace.NONE, Range.only(number), is_point)

    def _input(self, term: Input) -> Typed:
        if term.name in self._known:
            return replace(self._known[term.name], term=term, cell_steps=0)
        if term.name in self._setting.sources.definitions:
            self._refuse(Slip.BROKEN_DEFINITION, term.position, name=term.name)
            return _wrong(term)
        meaning = self._setting.meaning(term.name, term.position)
        if isinstance(meaning, Meaning):
            return Typed(term, meaning.dimension, meaning.space, meaning.pace, meaning.range, meaning.is_point)
        if meaning is None:
            self._unknown(Slip.UNKNOWN_INPUT, term.position, term.name, self._vocabulary.inputs)
        else:
            self.faults.append(meaning)
        return _wrong(term)

    def _sum(self, operator: str, one: Typed, two: Typed, position: int) -> Typed:
        left, right = one, two
        if operator == "+" and (one.is_point or two.is_point):
            # Beside a point, a bare number that is added is a difference: tmax + 2 is two kelvin more.
            left, right = (_in_unit(typed, "K") if _is_bare(typed.term) else typed for typed in (one, two))
        elif one.is_point or two.is_point:
            # What a bare number is taken from, or is taken from it, is a point itself: tmax - 26.
            left, right = (_in_unit(typed, "C") if _is_bare(typed.term) else typed for typed in (one, two))
        left, right = self._alike([left, right], operator, position)
        if left.is_point and right.is_point and operator == "+":
            self._refuse(Slip.POINTS_ADDED, position)
        is_point = left.is_point != right.is_point
        if right.is_point and not left.is_point and operator == "-" and left.dimension is not None:
            self._refuse(Slip.POINT_MULTIPLIED, position, sign="-")
        bounds = left.range + right.range if operator == "+" else left.range - right.range
        term = Operation(operator, left.term, right.term, position)
        typed = _joined(term, [left, right], _dimension([left, right]), bounds, is_point=is_point)
        if operator == "-" and bounds.may_be_negative:
            self.remarks.append(Remark(False, typed))
        return typed

    def _product(self, operator: str, one: Typed, two: Typed, position: int) -> Typed:
        if one.is_point or two.is_point:
            self._refuse(Slip.POINT_MULTIPLIED, position, sign=operator)
        dimension = None
        if one.dimension is not None and two.dimension is not None:
            dimension = one.dimension.times(two.dimension, 1 if operator == "*" else -1)
        if operator == "/":
            self._require_divisor(two, position)
        bounds = one.range * two.range if operator == "*" else one.range / two.range
        typed = _joined(Operation(operator, one.term, two.term, position), [one, two], dimension, bounds)
        squared = one.has_cells and two.has_cells
        return replace(typed, cell_steps=typed.cell_steps + squared)

    def _call(self, function: str, terms: list[Typed], position: int) -> Typed:
        if any(one.is_point for one in terms):
            terms = [_in_unit(one, "C") if _is_bare(one.term) else one for one in terms]
            if any(not one.is_point and one.dimension is not None for one in terms):
                self._refuse(Slip.POINT_MULTIPLIED, position, sign=function)
        terms = self._alike(terms, function, position)
        ranges = [one.range for one in terms]
        if function == "clamp":
            low, high = ranges[1].high, ranges[2].low
            if low is None or high is None or low > high:
                self._refuse(Slip.LIMITS_CROSS, position)
            bounds = smallest([largest(ranges[:2]), ranges[2]])
        else:
            bounds = smallest(ranges) if function == "min" else largest(ranges)
        term = Call(function, tuple(one.term for one in terms), position)
        is_point = any(one.is_point for one in terms)
        typed = _joined(term, terms, _dimension(terms), bounds, is_point=is_point)
        return replace(typed, cell_steps=typed.cell_steps + typed.has_cells * len(terms))

    def _alike(self, terms: list[Typed], sign: str, position: int) -> list[Typed]:
        """Bring terms to one unit: beside a temperature difference, a bare number is in K."""
        if any(one.dimension == TEMPERATURE for one in terms):
            terms = [_in_unit(one, "K") if _is_bare(one.term) and one.dimension else one for one in terms]
        wanted = _dimension(terms)
        for one in terms:
            if one.dimension is not None and one.dimension != wanted:
                self._refuse(Slip.UNLIKE, position, sign=sign, left=wanted, right=one.dimension)
                return [replace(typed, dimension=None) for typed in terms]
        return terms

    def _require_divisor(self, divisor: Typed, position: int) -> None:
        what = shown_term(divisor.term, self._vocabulary)
        if divisor.pace is Pace.SLOT:
            self._refuse(Slip.DIVIDES_BY_SLOTS, position, what=what)
        elif divisor.range.may_be_zero and not _is_wrong(divisor):
            self._refuse(Slip.MAY_DIVIDE_BY_ZERO, position, what=what, range=shown_range(divisor))
        elif not isinstance(divisor.term, Number):
            self.remarks.append(Remark(True, divisor))

    def _unknown(self, slip: Slip, position: int, name: str, known: Collection[str]) -> None:
        close = difflib.get_close_matches(name, sorted(known), n=1)
        listed = ", ".join(sorted(known)[:12]) or "-"
        told = Choice((f"known: {listed}", f"可用：{listed}"))
        if close:
            told = Choice((f"did you mean {close[0]!r}?", f"是否指“{close[0]}”？"))
        self._refuse(slip, position, name=name, nearest=told)

    def _refuse(self, slip: Slip, position: int, **fields: object) -> None:
        self.faults.append(fault_at(slip, position, **fields))


def shown_term(term: Term, vocabulary: Vocabulary) -> Choice:
    """Write a term in both languages."""
    return Choice((write_term(term, vocabulary, "en"), write_term(term, vocabulary, "zh")))


def shown_range(typed: Typed) -> Choice:
    """Write the bounds of a term in both languages, in the unit people know."""
    return Choice((typed.range.shown(typed.unit_scale, "en"), typed.range.shown(typed.unit_scale, "zh")))


def _is_bare(term: Term) -> bool:
    return isinstance(term, Number) and not term.unit


def _in_unit(typed: Typed, symbol: str) -> Typed:
    term = typed.term
    if not isinstance(term, Number) or (not term.number and symbol == "K"):
        return typed
    unit = UNITS[symbol]
    return replace(typed, term=replace(term, unit=symbol), dimension=unit.dimension, is_point=unit.is_point)


def _dimension(terms: list[Typed]) -> Dimension | None:
    return next((one.dimension for one in terms if one.dimension is not None), None)


def _joined(
    term: Term, parts: list[Typed], dimension: Dimension | None, bounds: Range, *, is_point: bool = False
) -> Typed:
    space, pace = max(one.space for one in parts), max(one.pace for one in parts)
    return Typed(term, dimension, space, pace, bounds, is_point, sum(one.cell_steps for one in parts))


def _wrong(term: Term) -> Typed:
    return Typed(term, None, Space.NONE, Pace.NONE, ANY)


def _is_wrong(typed: Typed) -> bool:
    return typed.dimension is None and typed.range == ANY
