"""The words of the pages about rules, in both languages. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from allocation_engine.formula.faults import FormulaFault, Slip
from ingest.console.words import Language
from ingest.rulebook.pool_form import FieldFault
from ingest.rulebook_composer_words import COMPOSER
from ingest.rulebook_page_words import PAGES

_Pair = tuple[str, str]
_ALL = COMPOSER | PAGES

_KEYS: dict[str, _Pair] = {
    "class": ("类别", "Class"),
    "rule": ("办法", "Method"),
    "reading": ("读法", "Reading"),
    "formula": ("公式", "Formula"),
    "path": ("计量点", "Metered at"),
    "measure": ("计量", "Measure"),
    "names": ("名称", "Name"),
    "units": ("单元", "Units"),
    "unit": ("单位", "Unit"),
    "floors": ("楼层", "Floors"),
    "grain": ("粒度", "Grain"),
    "times": ("时段系数", "Time-of-day coefficients"),
    "rated": ("额定功率表", "Rated power"),
    "clamp": ("转嫁下限与上限", "Passed on from, to"),
    "residual": ("余额承担方", "Residual borne by"),
    "fallback": ("权重全为 0 时", "Where all weights are 0"),
    "below_zero": ("权重低于 0 时", "A weight below 0"),
    "agreement": ("依据", "Rests on"),
    "from": ("自", "From"),
    "to": ("至（不含）", "Until"),
    "review_by": ("复审期限", "Review by"),
    "tariff": ("电价", "Tariff"),
    "deduct": ("扣除", "Taken off"),
    "charge": ("供电收费", "Supply charge"),
    "source": ("来源", "Source"),
    "missing": ("缺数时", "Where one is missing"),
    "missing_day": ("缺日时", "Where a day is missing"),
    "file": ("文件", "File"),
    "column": ("列", "Column"),
    "versions": ("版次", "Versions"),
    "area_cm2": ("面积 cm²", "Area cm²"),
    "party": ("承租方", "Party"),
    "span": ("期间", "Span"),
    "keys": ("分摊键", "Keys"),
    "stages": ("分摊级", "Stages"),
    "name": ("代号", "Id"),
    "id": ("代号", "Id"),
}
_FIELD_FAULTS: dict[str, _Pair] = {
    "needed": ("这里要填", "this is needed"),
    "bad-id": (
        "“{id}”不能作代号：只用小写字母、数字和连字符",
        "{id!r} is no id: lower-case letters, digits and hyphens",
    ),
    "choose-one": ("至少选一个", "choose at least one"),
    "bad-day": ("“{day}”不是日期，请写成 2026-08-01", "{day!r} is no date; write 2026-08-01"),
    "bad-number": ("“{number}”不是数字", "{number!r} is no number"),
    "bad-blocks": ("积木没有读懂，请看文字", "the blocks could not be read; look at the text"),
    "bad-floor": ("第 {row} 行“{line}”：写成 a-1: a101, a102", "row {row}, {line!r}: write a-1: a101, a102"),
    "to-before-from": ("结束日要晚于开始日", "the end has to be after the start"),
    "bad-instant": ("“{at}”不是时刻，请写成 2026-08-01T14:00", "{at!r} is no time; write 2026-08-01T14:00"),
    "not-on-mark": ("要落在整刻，如 14:00、14:15", "it has to be on a quarter hour, as 14:00 or 14:15"),
    "after-all": ("要晚于 {day}", "it has to come after {day}"),
    "before-lease": ("此刻 {unit} 的租约 {lease} 还没有开始", "lease {lease} of {unit} has not begun then"),
    "unknown-unit": ("第 {row} 行：没有单元“{unit}”", "row {row}: there is no unit {unit!r}"),
    "bad-line": ("第 {row} 行“{line}”：写成 单元, 数", "row {row}, {line!r}: write unit, number"),
    "no-columns": (
        "首行要有 day 和数的列名，现在是“{columns}”",
        "the first line has to name day and a column of numbers; it is {columns!r}",
    ),
    "bad-csv-day": ("“{day}”不是日期", "{day!r} is no date"),
    "bad-csv-number": ("{day} 的“{number}”不是数字", "{number!r} of {day} is no number"),
    "twice": ("{day} 出现两次", "{day} stands there twice"),
    "known-name": ("已有“{id}”", "there is {id!r} already"),
    "needs-formula": ("先写出公式", "write the formula first"),
    "taken": ("已有费用池用“{id}”，换一个代号", "there is a pool {id!r} already; choose another id"),
}
_MENDS: dict[Slip, _Pair] = {
    Slip.NEEDS_TIMES: ("在下方“时段系数”为每个时段填一个数", "fill in the time-of-day coefficients below"),
    Slip.NEEDS_RATED: ("在下方“额定功率表”选一张表", "choose a table under “Rated power” below"),
    Slip.NO_FLOORS: ("在下方选“先按楼层，再按面积”，或改用“单元面积”", "choose “floors first” below, or use unit_area"),
    Slip.MAY_BE_NEGATIVE: (
        "勾选下方“权重低于 0 时按 0 计”，或用“最大(0, …)”包住",
        "tick “a weight below 0 counts as 0” below, or wrap it in max(0, ...)",
    ),
    Slip.MAY_ALL_BE_ZERO: ("在下方选定“权重全为 0 时由谁承担”", "say below who pays where all weights are 0"),
    Slip.VARIES_BY_DAY: ("在下方把“多久算一次”改为按日", "choose “day by day” below"),
    Slip.VARIES_TOO_FINELY: (
        "在下方改为“按权重分完”，或只用按日不变的量",
        "choose “divides all by weight” below, or what holds for a day",
    ),
    Slip.NO_NUMBER: ("在“系数”页补上这些单元的数", "add them under Coefficients"),
    Slip.RATED_NO_POWER: ("选一张单位为 kW 的表", "choose a table in kW"),
}


def rules_words(language: Language) -> Mapping[str, str]:
    """Give every word about rules in one language."""
    place = _place(language)
    return {key: pair[place] for key, pair in _ALL.items()}


def key_word(key: str, language: Language) -> str:
    """Say what an item of a part is; a unit or a day is given as it is."""
    pair = _KEYS.get(key)
    return key if pair is None else pair[_place(language)]


def field_fault(fault: FieldFault, language: Language) -> str:
    """Say what is wrong with a field."""
    return _FIELD_FAULTS[fault.key][_place(language)].format(**fault.told)


def formula_mend(fault: FormulaFault, language: Language) -> str:
    """Say how to mend a fault of a formula, in the words of the form where it is mended there."""
    pair = _MENDS.get(fault.slip)
    return fault.mend(language) if pair is None else pair[_place(language)]


def composer_words(language: Language) -> dict[str, str]:
    """Give the words that the composer's script shows."""
    return {key[3:]: pair[_place(language)] for key, pair in COMPOSER.items() if key.startswith("js-")}


def _place(language: Language) -> int:
    return 0 if language is Language.ZH else 1
