"""Every remark the engine can make has its Chinese, with its numbers and ids kept."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from types import ModuleType

import pytest

from allocation_engine import (
    balance,
    caps,
    close_period,
    compliance,
    fixed_charges,
    formula_split,
    intervals,
    legal_default,
    rule_check,
    shares,
    stages,
    supply_charges,
    tiers,
)
from allocation_engine.rule_check import Finding
from ingest.console.words import Language
from ingest.engine_words import engine_word
from ingest.run_words import finding_lines, open_lines
from metering.errors import BooksError
from tests.golden.test_golden_periods import CASES, read_case

CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAMPLE = "x1"
SPEAKING: dict[ModuleType, tuple[str, ...]] = {
    balance: ("_case_text",),
    caps: ("check_cap",),
    close_period: ("_warnings",),
    compliance: ("check_warnings",),
    fixed_charges: ("_months",),
    formula_split: ("_split_spread",),
    intervals: ("_basis",),
    legal_default: ("rule_in_force", "rule_warnings"),
    rule_check: ("check_records", "_not_reached", "_pool_findings", "_series_findings", "_energy_findings"),
    shares: ("_split_by_area",),
    stages: ("_part",),
    supply_charges: ("_power_factor_steps",),
    tiers: ("steps",),
}
"""The functions whose texts reach a reader: each of them is looked through for sentences."""
WORD = re.compile("[a-z]{2}")


def remarks(function: ast.FunctionDef) -> Iterator[str]:
    """Give the texts with a blank that a function makes, `x1` standing for each number and id; raised ones not."""
    raised = {id(part) for node in ast.walk(function) if isinstance(node, ast.Raise) for part in ast.walk(node)}
    raised |= {id(function.body[0].value)} if isinstance(function.body[0], ast.Expr) else set()
    inner = {id(p) for n in ast.walk(function) if isinstance(n, ast.JoinedStr) for p in ast.walk(n) if p is not n}
    for node in ast.walk(function):
        if id(node) in raised or id(node) in inner:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else SAMPLE for one in node.values)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != ast.get_docstring(function)
        ):
            yield node.value


def said() -> Iterator[tuple[str, str]]:
    """Give every remark with the place it is made at."""
    for module, names in SPEAKING.items():
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.FunctionDef) and node.name in names:
                for text in remarks(node):
                    if " " in text.strip() and WORD.search(text) and not text.startswith((" ", ";", ",")):
                        yield f"{module.__name__.partition('.')[2]}.{node.name}", text


SAID = sorted(set(said()))


def test_the_places_where_the_engine_speaks_are_found() -> None:
    assert len(SAID) >= 30
    assert {place.partition(".")[0] for place, _ in SAID} >= {"rule_check", "compliance", "caps", "legal_default"}


@pytest.mark.parametrize(("place", "text"), SAID, ids=lambda one: str(one)[:60])
def test_every_remark_has_its_chinese(place: str, text: str) -> None:
    chinese = engine_word(text, Language.ZH)
    assert CHINESE.search(chinese), f"{place}: {text!r} has no phrase in ingest/engine_words.py"
    assert chinese.count(SAMPLE) == text.count(SAMPLE), (text, chinese)
    assert engine_word(text, Language.EN) == text


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_what_golden_periods_say_has_its_chinese(folder: object) -> None:
    case = read_case(folder)  # type: ignore[arg-type]
    try:
        run = close_period.close_period(case.inputs, case.rules)
    except BooksError:
        return  # a period that is refused has no run
    told = [*run.warnings, *(one.text for one in run.cases), *(one.basis for one in run.checks)]
    told += [pool.fallback for pool in run.pools if pool.fallback]
    told += [exception.basis for _, exception in case.inputs.exceptions]
    for text in told:
        assert CHINESE.search(engine_word(text, Language.ZH)), text


def test_numbers_and_names_stay_as_they_are() -> None:
    told = "cap resale: 3 of 12 prices are above the limit or cannot be checked"
    assert engine_word(told, Language.ZH) == "上限 resale：12 个电价中有 3 个超限或无法核对"
    told = "1234 minor units for 5678 Wh (E-1, E-2) x (1 + 10 %); Zhejiang: at most 10 % (recalled)"
    assert (
        engine_word(told, Language.ZH)
        == "5678 Wh 计 1234 分（E-1, E-2）×（1 + 10 %）；Zhejiang: at most 10 % (recalled)"
    )


def test_remarks_are_nested_and_joined() -> None:
    told = "the purchase price is not known: no invoices cover the period"
    assert engine_word(told, Language.ZH) == "购电均价未知：没有账单覆盖本账期"
    told = "all weights of area were 0; fallback: owner; all weights of energy were 0; fallback: equal"
    assert CHINESE.search(engine_word(told, Language.ZH))
    assert engine_word("m-1 read 5 Wh, m-2 declared 7 Wh, multiplier 40 then 60", Language.ZH) == (
        "m-1 读得 5 Wh，m-2 登记 7 Wh，倍率 40，其后 60"
    )


def test_what_is_no_phrase_is_shown_as_it_is() -> None:
    for text in ("", "Resolution of the park assembly 2025-11, item 4", "{node}", "a; b"):
        assert engine_word(text, Language.ZH) in (text, "a；b")


def test_findings_are_told_in_both_languages_under_the_subject_that_leaves_them_out() -> None:
    finding = Finding(
        "unit", "b202", "it has no area, so the rule passes it by", "measure it and enter area_m2 in site.toml"
    )
    assert list(finding_lines((finding,), Language.EN))[1] == (
        "  unit/b202: it has no area, so the rule passes it by (measure it and enter area_m2 in site.toml)"
    )
    chinese = "\n".join(finding_lines((finding,), Language.ZH))
    assert "unit/b202: 没有面积，规则会漏掉它 (量出面积，在 site.toml 填写 area_m2)" in chinese


@pytest.mark.parametrize(
    ("subject", "english", "chinese"),
    [
        ("case main", "loss of main is outside its band", "main 的损耗超出允许范围"),
        ("check resale/price/t-01", "price of t-01 is above cap resale", "t-01 的电价超出上限 resale"),
        ("check resale/sum/all", "all charges together are above cap resale", "收费合计超出上限 resale"),
    ],
)
def test_an_open_finding_says_what_it_is_and_what_a_reason_is_given_for(
    subject: str, english: str, chinese: str
) -> None:
    (told,) = open_lines((subject,), Language.EN)
    assert told.startswith(f"  {subject}: ")
    assert english in told
    (told,) = open_lines((subject,), Language.ZH)
    assert told.startswith(f"  {subject}: ")
    assert chinese in told
    assert "尚缺原因说明" in told
