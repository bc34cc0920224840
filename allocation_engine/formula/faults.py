"""Everything that can be wrong with a formula, with what to do about it, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from allocation_engine.formula.dimensions import Dimension
from metering.errors import BooksError, MeteringError

LANGUAGES = ("en", "zh")


class Slip(StrEnum):
    """The kinds of mistakes."""

    STRAY = "stray"
    TOO_LONG = "too-long"
    TOO_DEEP = "too-deep"
    TOO_MANY = "too-many"
    TERM_EXPECTED = "term-expected"
    SIGN_EXPECTED = "sign-expected"
    UNEXPECTED = "unexpected"
    ARGUMENTS = "arguments"
    UNKNOWN_UNIT = "unknown-unit"
    UNKNOWN_INPUT = "unknown-input"
    UNKNOWN_NODE = "unknown-node"
    NEEDS_TIMES = "needs-times"
    NEEDS_RATED = "needs-rated"
    RATED_NO_POWER = "rated-no-power"
    NO_METER = "no-meter"
    NO_NUMBER = "no-number"
    UNLIKE = "unlike"
    POINTS_ADDED = "points-added"
    POINT_MULTIPLIED = "point-multiplied"
    POINT_RESULT = "point-result"
    RESULT = "result"
    WHICH_DEGREES = "which-degrees"
    LIMITS_CROSS = "limits-cross"
    MAY_DIVIDE_BY_ZERO = "may-divide-by-zero"
    DIVIDES_BY_SLOTS = "divides-by-slots"
    VARIES_TOO_FINELY = "varies-too-finely"
    VARIES_BY_DAY = "varies-by-day"
    MAY_BE_NEGATIVE = "may-be-negative"
    MAY_ALL_BE_ZERO = "may-all-be-zero"
    ALWAYS_ZERO = "always-zero"
    NEVER_POSITIVE = "never-positive"
    NO_FLOORS = "no-floors"
    TOO_MUCH_WORK = "too-much-work"
    CYCLE = "cycle"
    BROKEN_DEFINITION = "broken-definition"


_TEXT: Mapping[Slip, tuple[str, str, str, str]] = {
    Slip.STRAY: (
        "{sign!r} is not part of a formula",
        "only numbers, named inputs, + - * / min max clamp and brackets are known",
        "“{sign}”不是公式的一部分",
        "只认识数字、输入名、+ - × ÷、最小、最大、限幅和括号",
    ),
    Slip.TOO_LONG: (
        "a formula has at most {most} characters, this one has {count}",
        "name a part of it under [[definitions]]",
        "公式最多 {most} 个字符，这里有 {count} 个",
        "把一部分写到 [[definitions]] 里并取名",
    ),
    Slip.TOO_DEEP: (
        "nested deeper than {most}",
        "name a part of it under [[definitions]]",
        "嵌套超过 {most} 层",
        "把一部分写到 [[definitions]] 里并取名",
    ),
    Slip.TOO_MANY: (
        "a formula has at most {most} operations, this one has {count}",
        "name a part of it under [[definitions]]",
        "公式最多 {most} 次运算，这里有 {count} 次",
        "把一部分写到 [[definitions]] 里并取名",
    ),
    Slip.TERM_EXPECTED: (
        "a number or an input was expected, not {found}",
        "write a number, a name or a bracket here",
        "这里应是数字或输入名，而不是{found}",
        "在此写数字、名称或括号",
    ),
    Slip.SIGN_EXPECTED: (
        "{sign!r} was expected, not {found}",
        "write {sign!r} here",
        "这里应是“{sign}”，而不是{found}",
        "在此写“{sign}”",
    ),
    Slip.UNEXPECTED: (
        "{found} was not expected",
        "join it with + - * or /, or take it out",
        "多出了{found}",
        "用 + - × ÷ 连接，或删去",
    ),
    Slip.ARGUMENTS: (
        "{function} takes {wanted} terms, not {count}",
        "separate the terms by commas",
        "{function} 需要 {wanted} 项，而不是 {count} 项",
        "各项用逗号分开",
    ),
    Slip.UNKNOWN_UNIT: (
        "{unit!r} is no known unit",
        "known: {known}",
        "不认识单位“{unit}”",
        "可用：{known}",
    ),
    Slip.UNKNOWN_INPUT: (
        "unknown input {name!r}",
        "{nearest}",
        "没有名为“{name}”的输入",
        "{nearest}",
    ),
    Slip.UNKNOWN_NODE: (
        "unknown node {name!r}",
        "{nearest}",
        "没有名为“{name}”的表计节点",
        "{nearest}",
    ),
    Slip.NEEDS_TIMES: (
        "{name} needs the coefficients of the tariff's bands",
        'write times = {{ peak = "1.5", ... }} in the pool',
        "{name} 需要各时段的系数",
        '在该池写 times = {{ peak = "1.5", ... }}',
    ),
    Slip.NEEDS_RATED: (
        "{name} needs the rated power of each unit",
        'name a table: rated = "..." in the pool',
        "{name} 需要各单元的额定功率",
        '在该池写 rated = "..."，指向一张表',
    ),
    Slip.RATED_NO_POWER: (
        "{name} needs a rated power, and {table} is in {unit}",
        'give a table with unit = "kW"',
        "{name} 需要额定功率，而 {table} 的单位是 {unit}",
        '用 unit = "kW" 的表',
    ),
    Slip.NO_METER: (
        "{name} counts the units' own meters, and {units} has none",
        "count what is known of each unit, such as area",
        "{name} 按单元自己的表计量，而 {units} 没有表",
        "改用每个单元都有的量，例如面积",
    ),
    Slip.NO_NUMBER: (
        "{name} has no number for {subjects}",
        'add them, or say missing = "zero" there',
        "{name} 缺 {subjects} 的数字",
        '补上，或在表里写 missing = "zero"',
    ),
    Slip.UNLIKE: (
        "{sign!r} needs equal units, not {left} and {right}",
        "make both sides {left}, or write the unit beside the number",
        "“{sign}”两边单位要相同，而这里是 {left} 与 {right}",
        "两边都用 {left}，或在数字后写上单位",
    ),
    Slip.POINTS_ADDED: (
        "two temperatures cannot be added",
        "add a difference in K, or take one from the other",
        "两个温度不能相加",
        "加上以 K 计的温差，或相减",
    ),
    Slip.POINT_MULTIPLIED: (
        "a temperature in C is a point on a scale: {sign!r} means nothing for it",
        "take a base from it first: (tmax - 26)",
        "摄氏温度是标尺上的一点，对它用“{sign}”没有意义",
        "先减去基准：(tmax - 26)",
    ),
    Slip.POINT_RESULT: (
        "the result is a temperature, and nothing can be divided by that",
        "take a base from it first: tmax - 26",
        "结果是一个温度，无法据此分摊",
        "先减去基准：tmax - 26",
    ),
    Slip.RESULT: (
        "the result is {found} but must be {wanted}",
        "it must say which part of main_delta is passed on: multiply by main_delta and by plain numbers",
        "结果是 {found}，而应是 {wanted}",
        "应说明 main_delta 的多大一部分转给租户：乘以 main_delta 和纯数",
    ),
    Slip.WHICH_DEGREES: (
        "K is left over in the result, and {numbers} could each be meant in K",
        "write the unit: {example}",
        "结果里多出 K，而 {numbers} 都可能以 K 计",
        "写上单位：{example}",
    ),
    Slip.LIMITS_CROSS: (
        "the lower limit of clamp may be above the upper one",
        "write the smaller limit first: clamp(x, 0, 1)",
        "限幅的下限可能高于上限",
        "先写较小的：限幅(x, 0, 1)",
    ),
    Slip.MAY_DIVIDE_BY_ZERO: (
        "this divides by {what}, which may be 0 ({range})",
        "divide by max(..., a number above 0), or declare a range that leaves 0 out",
        "这里除以 {what}，而它可能为 0（{range}）",
        "改为除以 最大(..., 正数)，或声明不含 0 的范围",
    ),
    Slip.DIVIDES_BY_SLOTS: (
        "this divides by {what}, which changes every quarter hour: exact sums have no common denominator",
        "divide by what holds for a day or by tariff band",
        "这里除以 {what}，而它每刻钟都变，精确求和没有公分母",
        "除以按日或按时段不变的量",
    ),
    Slip.VARIES_TOO_FINELY: (
        "{what} changes within a day, and what is passed on is one part a day",
        'use reading = "spreading", or what holds for a day',
        "{what} 在一天之内变化，而转出的部分每天只有一个",
        '改用 reading = "spreading"，或按日不变的量',
    ),
    Slip.VARIES_BY_DAY: (
        "{what} changes daily, and the grain is the period",
        'use grain = "day"',
        "{what} 每天变化，而粒度是整个账期",
        '改用 grain = "day"',
    ),
    Slip.MAY_BE_NEGATIVE: (
        "a weight may be negative ({range}): {what} may be below 0",
        'say what that means: below_zero = "zero", or write max(0, ...)',
        "权重可能为负（{range}）：{what} 可能小于 0",
        '说明如何处理：below_zero = "zero"，或写 最大(0, ...)',
    ),
    Slip.MAY_ALL_BE_ZERO: (
        "all weights may be 0 at once ({range}), and nothing says who pays then",
        'name it: fallback = "owner" or "equal"',
        "所有权重可能同时为 0（{range}），而没有说明那时由谁承担",
        '写明：fallback = "owner" 或 "equal"',
    ),
    Slip.ALWAYS_ZERO: (
        "this is always 0: nothing would reach anybody",
        "take out the factor that is 0",
        "结果恒为 0：分不到任何人",
        "去掉为 0 的因子",
    ),
    Slip.NEVER_POSITIVE: (
        "this is never above 0 ({range}): nothing would reach anybody",
        "turn the sign round",
        "结果从不大于 0（{range}）：分不到任何人",
        "把符号反过来",
    ),
    Slip.NO_FLOORS: (
        "{name} speaks of floors, and the pool names none",
        'write floors = {{ f-1 = ["..."], ... }}, or use unit_area',
        "{name} 说的是楼层，而该池没有列出楼层",
        '写 floors = {{ f-1 = ["..."], ... }}，或用 unit_area',
    ),
    Slip.TOO_MUCH_WORK: (
        "this would cost {count} steps a month, more than {most}",
        "leave out min, max or clamp of what changes by unit and quarter hour, or divide the pool",
        "这样每月要算 {count} 步，超过 {most}",
        "不要对按单元又按刻变化的量取最小、最大或限幅，或拆分该池",
    ),
    Slip.CYCLE: (
        "it rests on itself: {path}",
        "take one of them out of the circle",
        "定义绕了一圈：{path}",
        "从环里去掉一个",
    ),
    Slip.BROKEN_DEFINITION: (
        "{name} does not fit here: {why}",
        "mend its definition: {mend}",
        "{name} 用在这里不对：{why}",
        "改它的定义：{mend}",
    ),
}


@dataclass(frozen=True, slots=True)
class FormulaFault:
    """One mistake: what kind, at which character (from 1), and the particulars of the message."""

    slip: Slip
    position: int
    fields: tuple[tuple[str, object], ...] = ()

    def problem(self, language: str) -> str:
        """Say what is wrong."""
        return self._say(0, language)

    def mend(self, language: str) -> str:
        """Say how to mend it."""
        return self._say(1, language)

    def _say(self, place: int, language: str) -> str:
        template = _TEXT[self.slip][place + 2 * LANGUAGES.index(language)]
        return template.format(**{name: _shown(one, language) for name, one in self.fields})


class FormulaInvalid(MeteringError):
    """A formula cannot be read, or does not fit what it speaks of. Carries every mistake that was found."""

    def __init__(self, text: str, faults: tuple[FormulaFault, ...]) -> None:
        told = (f"{one.problem('en')} at character {one.position}; {one.mend('en')}" for one in faults)
        super().__init__(f"{'; '.join(told)} in {text!r}")
        self.text = text
        self.faults = faults


class FormulaUndefined(BooksError):
    """A formula has no result for the facts of a period: it divides by zero."""


def fault_at(slip: Slip, position: int, **fields: object) -> FormulaFault:
    """Describe a mistake."""
    return FormulaFault(slip, position, tuple(fields.items()))


class Choice(tuple[str, str]):
    """A particular that reads differently by language: English, Chinese."""

    __slots__ = ()


def _shown(one: object, language: str) -> object:
    if isinstance(one, Dimension):
        return one.shown(language)
    if isinstance(one, Choice):
        return one[LANGUAGES.index(language)]
    return one
