"""A line of each kind, told in both languages, word for word; and the words for slots that are not plainly measured."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.proof import prove_line
from allocation_engine.run import LineKind
from allocation_engine.statement_content import StatementContent
from ingest.explanation import Explanation, choose_line
from tests.doubles.loss_site import statement_of
from tests.golden.test_golden_changes import ChangeCase
from tests.golden.test_golden_periods import read_case

HERE = Path(__file__).parent
CASE: dict[str, Any] = tomllib.loads((HERE / "told-in-both-languages" / "told.toml").read_text(encoding="utf-8"))
LINES = pytest.mark.parametrize("told", CASE["line"], ids=lambda told: told["id"])


@cache
def content_of(party: str) -> StatementContent:
    """The statement of one party."""
    case = ChangeCase(CASE)
    return statement_of(party, case.inputs, case.rules)


def steps(told: dict[str, Any], language: str) -> list[str]:
    """The steps of a line, indented by depth."""
    content = content_of(told["party"])
    explanation = Explanation(content, language, all_spans=False)
    return [f"{'  ' * step.depth}{step.text}" for step in explanation.steps(choose_line(content, told["id"]))]


@LINES
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_line_is_told_word_for_word(told: dict[str, Any], language: str) -> None:
    assert steps(told, language) == told[language]


@LINES
def test_what_is_told_is_proven(told: dict[str, Any]) -> None:
    content = content_of(told["party"])
    prove_line(content, choose_line(content, told["id"]))


@LINES
def test_both_languages_tell_the_same_numbers(told: dict[str, Any]) -> None:
    numbers = [
        [sorted(re.findall(r"\d+(?:\.\d+)?", text.replace("15 分钟", "").replace("m2", ""))) for text in told[language]]
        for language in ("en", "zh")
    ]
    assert numbers[0] == numbers[1]


def test_there_is_a_line_of_each_kind() -> None:
    kinds = {choose_line(content_of(told["party"]), told["id"]).kind for told in CASE["line"]}
    assert kinds == set(LineKind)


@pytest.mark.parametrize("slots", CASE["slots"], ids=lambda slots: slots["case"])
def test_slots_that_are_not_plainly_measured_say_basis_and_reason(slots: dict[str, Any]) -> None:
    found = read_case(HERE / slots["case"]).settled["u-a"].exceptions
    assert [[str(one.reason), one.quality.name.lower(), one.energy_wh, one.basis] for one in found] == [
        [reason, quality, wh if wh >= 0 else None, basis] for reason, quality, wh, basis in slots["told"]
    ]


def test_the_words_say_why_they_are_there() -> None:
    assert len(CASE["why"].split()) > 25
