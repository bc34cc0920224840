"""Proves, before a rule is saved, that it divides a cost and loses none of it; tells the proof in sentences.

Pass-through conserves because what is passed on is held between nothing and the clamp and somebody bears the rest.
Spreading conserves because parts are weights divided by their sum: no weight may be negative, and not all may be 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from allocation_engine.formula.check import Remark, Typed, shown_range, shown_term, type_term
from allocation_engine.formula.dimensions import MONEY, PLAIN, Dimension
from allocation_engine.formula.faults import Choice, FormulaFault, FormulaInvalid, Slip, fault_at
from allocation_engine.formula.ranges import Range, largest
from allocation_engine.formula.setting import Definition, Pace, Reading, Setting, Space
from allocation_engine.formula.terms import Call, Input, MeterOf, Number, Sentence, Term, names_in, walk
from allocation_engine.unit_numbers import UnitNumbers
from metering.identity import NodeId

STEPS_MAX = 2 * 10**9
"""Numbers computed for single units and slots in a month: some seconds, and a bound on what a rule can ask for."""
SLOTS_A_MONTH = 31 * 96
DEFINITIONS_MAX = 64
_ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was proven to conserve where it stands. Two are equal when they compute the same.

    sentence      with the units understood written in
    definitions   that it rests on, in an order in which each uses only earlier ones
    term          what a weight or the part passed on is, negatives dealt with
    proof         why it conserves: sentences in English and Chinese
    has_cells     whether a definition or the term varies by unit and by slot
    """

    setting: Setting = field(compare=False)
    sentence: Sentence
    definitions: tuple[tuple[str, Term], ...]
    term: Term
    typed: Typed
    proof: tuple[Choice, ...]
    has_cells: bool = False

    @classmethod
    def stand_in(cls, setting: Setting) -> Formula:
        """Give a formula that is 0, so that what stands beside a wrong one can still be checked; nothing runs it."""
        zero = Number(_ZERO)
        typed = Typed(zero, None, Space.NONE, Pace.NONE, Range.only(_ZERO))
        return cls(setting, Sentence(zero), (), zero, typed, ())

    @property
    def text(self) -> str:
        """As it was written."""
        return self.sentence.text

    @property
    def inputs(self) -> frozenset[str]:
        """Names of all inputs that it, or a definition that it uses, mentions."""
        terms = (self.sentence.term, *(term for _, term in self.definitions))
        return frozenset(name for term in terms for name in names_in(term)) - {name for name, _ in self.definitions}

    @property
    def nodes(self) -> frozenset[NodeId]:
        """Nodes whose energy it counts by name."""
        terms = (self.sentence.term, *(term for _, term in self.definitions))
        return frozenset(NodeId(one.node) for term in terms for one in walk(term) if isinstance(one, MeterOf))

    @property
    def tables(self) -> tuple[UnitNumbers, ...]:
        """Tables of numbers that it rests on."""
        known = self.setting.sources.numbers
        rated = () if self.setting.rated is None or "load" not in self.inputs else (self.setting.rated,)
        return (*(known[name] for name in sorted(self.inputs & set(known))), *rated)

    @property
    def speaks_of_floors(self) -> bool:
        """Say whether floors come first, and units share what a floor gets by area."""
        return self.typed.space is Space.FLOOR or (self.typed.space is Space.NONE and self._is_passed_on)

    @property
    def _is_passed_on(self) -> bool:
        return self.setting.reading is Reading.PASS_THROUGH


def check_formula(sentence: Sentence, setting: Setting) -> Formula:
    """Type a formula and prove that it conserves; raises FormulaInvalid with every mistake that was found."""
    known: dict[str, Typed] = {}
    remarks: list[Remark] = []
    definitions = [setting.sources.definitions[name] for name in order_of(sentence.term, setting.sources.definitions)]
    broken: dict[str, FormulaFault] = {}
    for one in definitions:
        typed, faults, told = type_term(one.sentence.term, setting, known, None)
        if faults:
            broken[one.name] = _with_reason(faults[0], broken)
        else:
            known[one.name] = typed
            remarks += told
    wanted = MONEY if setting.reading is Reading.PASS_THROUGH else None
    typed, faults, told = type_term(sentence.term, setting, known, wanted)
    faults = [_with_reason(one, broken) for one in faults]
    steps = sum(one.cell_steps for one in (*known.values(), typed))
    faults = faults or list(_faults(typed, setting, told, known, steps))
    if faults:
        raise FormulaInvalid(sentence.text, tuple(faults))
    return Formula(
        setting=setting,
        sentence=replace(sentence, term=typed.term),
        definitions=tuple((one.name, known[one.name].term) for one in definitions),
        term=Call("max", (typed.term, Number(_ZERO))) if typed.range.may_be_negative else typed.term,
        typed=typed,
        proof=tuple(_proof(typed, setting, [*remarks, *told])),
        has_cells=any(one.has_cells for one in (*known.values(), typed)),
    )


def order_of(term: Term, definitions: Mapping[str, Definition]) -> list[str]:
    """Give the definitions a term rests on, each after those it uses itself. There is no cycle among them."""
    found: list[str] = []

    def visit(one: Term) -> None:
        for name in sorted(names_in(one) & set(definitions)):
            if name not in found:
                visit(definitions[name].sentence.term)
                found.append(name)

    visit(term)
    return found


def cycle_in(definitions: Mapping[str, Definition]) -> tuple[str, FormulaFault] | None:
    """Find a definition that rests on itself: its name, and the fault with the way round and where each step stands."""
    done: set[str] = set()
    for start in sorted(definitions):
        path: list[tuple[str, int]] = []
        found = _cycle_from(start, definitions, path, done)
        if found:
            names = [name for name, _ in path]
            circle = path[names.index(found) :]
            steps = [f"{name} (character {position})" for name, position in circle]
            told = " -> ".join([*steps, found])
            return circle[0][0], fault_at(Slip.CYCLE, circle[0][1], path=told)
    return None


def _cycle_from(
    name: str, definitions: Mapping[str, Definition], path: list[tuple[str, int]], done: set[str]
) -> str | None:
    if name in done or name not in definitions:
        return None
    if name in {one for one, _ in path}:
        return name
    for one in walk(definitions[name].sentence.term):
        if isinstance(one, Input):
            path.append((name, one.position))
            found = _cycle_from(one.name, definitions, path, done)
            if found:
                return found
            path.pop()
    done.add(name)
    return None


def _with_reason(fault: FormulaFault, broken: Mapping[str, FormulaFault]) -> FormulaFault:
    """Say of a definition that does not fit why it does not."""
    inner = broken.get(str(dict(fault.fields).get("name")))
    if fault.slip is not Slip.BROKEN_DEFINITION or inner is None:
        return fault
    why, mend = (Choice((say("en"), say("zh"))) for say in (inner.problem, inner.mend))
    return fault_at(fault.slip, fault.position, **dict(fault.fields) | {"why": why, "mend": mend})


def _faults(
    typed: Typed, setting: Setting, remarks: Sequence[Remark], known: Mapping[str, Typed], steps: int
) -> Iterator[FormulaFault]:
    if typed.is_point:
        yield fault_at(Slip.POINT_RESULT, 1)
        return
    if typed.range.high is not None and typed.range.high <= 0:
        slip = Slip.ALWAYS_ZERO if typed.range.low == 0 else Slip.NEVER_POSITIVE
        yield fault_at(slip, 1, range=shown_range(typed))
        return
    if setting.reading is Reading.PASS_THROUGH:
        yield from _passed_on_faults(typed, setting, known)
    else:
        yield from _weight_faults(typed, setting, remarks, known)
    work = (steps + typed.has_cells) * len(setting.units) * SLOTS_A_MONTH
    if work > STEPS_MAX:
        yield fault_at(Slip.TOO_MUCH_WORK, 1, count=work, most=STEPS_MAX)


def _passed_on_faults(typed: Typed, setting: Setting, known: Mapping[str, Typed]) -> Iterator[FormulaFault]:
    most = Pace.DAY if setting.is_daily else Pace.NONE
    for one in walk(typed.term):
        pace = _pace_of(one, setting, known)
        if pace > most:
            slip = Slip.VARIES_TOO_FINELY if pace > Pace.DAY else Slip.VARIES_BY_DAY
            yield fault_at(slip, one.position, what=shown_term(one, setting.sources.vocabulary))
            return
    if typed.space is not Space.UNIT and not setting.floors:
        yield fault_at(Slip.NO_FLOORS, 1, name=Choice(("what is passed on", "转出部分")))


def _pace_of(term: Term, setting: Setting, known: Mapping[str, Typed]) -> Pace:
    """Say how often an input may change; what is made of inputs is not asked."""
    if isinstance(term, MeterOf):
        return Pace.SLOT
    if not isinstance(term, Input):
        return Pace.NONE
    meaning = known.get(term.name) or setting.meaning(term.name, term.position)
    return Pace.NONE if meaning is None or isinstance(meaning, FormulaFault) else meaning.pace


def _may_be_negative(one: Input, known: Mapping[str, Typed]) -> bool:
    return one.name in known and known[one.name].range.may_be_negative


def _weight_faults(
    typed: Typed, setting: Setting, remarks: Sequence[Remark], known: Mapping[str, Typed]
) -> Iterator[FormulaFault]:
    bounds = typed.range
    if bounds.may_be_negative and not setting.clips:
        lowered = [one.typed.term for one in remarks if not one.is_divisor]
        lowered += [one for one in walk(typed.term) if isinstance(one, Input) and _may_be_negative(one, known)]
        where = lowered[0] if lowered else typed.term
        what = shown_term(where, setting.sources.vocabulary)
        yield fault_at(Slip.MAY_BE_NEGATIVE, where.position or 1, what=what, range=shown_range(typed))
    if not bounds.is_positive and not setting.falls_back:
        told = shown_range(replace(typed, range=largest([bounds, Range.only(_ZERO)])))
        yield fault_at(Slip.MAY_ALL_BE_ZERO, 1, range=told)


def _proof(typed: Typed, setting: Setting, remarks: Sequence[Remark]) -> Iterator[Choice]:
    passed_on = setting.reading is Reading.PASS_THROUGH
    for one in dict.fromkeys(remarks):
        (what_en, what_zh), (range_en, range_zh) = (
            shown_term(one.typed.term, setting.sources.vocabulary),
            shown_range(one.typed),
        )
        if one.is_divisor:
            yield Choice((f"{what_en} is never 0 ({range_en}).", f"{what_zh} 不会为 0（{range_zh}）。"))
        elif typed.range.may_be_negative:
            then = ("nothing is passed on", "不转出") if passed_on else ("the weight counts as 0", "权重按 0 计")
            yield Choice(
                (
                    f"{what_en} may be below 0 ({range_en}); where the result is, {then[0]}.",
                    f"{what_zh} 可能小于 0（{range_zh}）；结果小于 0 时{then[1]}。",
                )
            )
    yield from _passed_on_proof() if passed_on else _weight_proof(typed)


def _passed_on_proof() -> Iterator[Choice]:
    yield Choice(
        (
            "The result is money and only main_delta is money, so it is a part of the cost and grows with it.",
            "结果是金额，而只有总表差值是金额，所以它是费用的一部分并随之增减。",
        )
    )
    yield Choice(
        (
            "What is passed on is held between nothing and the clamp and the residual bearer pays the rest: "
            "the lines add up to the cost.",
            "转出部分限制在零与上限之间，其余由约定的承担方支付：各行之和等于费用。",
        )
    )


def _weight_proof(typed: Typed) -> Iterator[Choice]:
    dimension = typed.dimension or PLAIN
    (range_en, range_zh), unit_zh = shown_range(typed), _unit(dimension, "zh")
    yield Choice(
        (
            f"A weight is the formula{_unit(dimension, 'en')} ({range_en}), added up over the quarter hours in which "
            "a party held the unit.",
            f"权重是公式的结果{unit_zh}（{range_zh}），按各方占用单元的每一刻钟累加。",
        )
    )
    if typed.space is Space.FLOOR:
        yield Choice(
            ("What a floor weighs reaches its units by area.", "楼层的权重按面积落到该层各单元。"),
        )
    if not typed.range.may_be_negative:
        yield Choice(("No weight can be negative.", "权重不会为负。"))
    if typed.range.is_positive:
        yield Choice(("Every weight is above 0, so somebody pays.", "每个权重都大于 0，所以总有人承担。"))
    else:
        yield Choice(("Where all weights are 0, the fallback pays.", "所有权重都为 0 时，由约定的兜底方承担。"))
    yield Choice(
        (
            "Each part is a weight divided by the sum of all weights: the lines add up to the cost.",
            "每份是权重除以权重之和：各行之和等于费用。",
        )
    )


def _unit(dimension: Dimension, language: str) -> str:
    if dimension == PLAIN:
        return ""
    shown = dimension.shown(language)
    return f" [{shown}]" if language == "en" else f"［{shown}］"
