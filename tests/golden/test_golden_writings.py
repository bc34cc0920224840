"""One formula in three writings: English text, Chinese text, blocks. Each reads back as the same tree."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.formula.blocks import from_blocks, to_blocks
from allocation_engine.formula.syntax import parse_formula
from allocation_engine.formula.text import write_formula
from tests.doubles.formula_site import VOCABULARY

CASE = tomllib.loads((Path(__file__).parent / "formula-in-three-writings" / "writings.toml").read_text("utf-8"))
FORMULAS = pytest.mark.parametrize("formula", CASE["formula"], ids=lambda formula: formula["en"])


@FORMULAS
def test_three_writings_are_one_tree(formula: dict[str, Any]) -> None:
    trees = [parse_formula(formula[one], VOCABULARY).term for one in ("en", "zh", "as_agreed")]
    assert trees == [from_blocks(formula["blocks"]).term] * 3


@FORMULAS
def test_each_writing_is_printed_as_it_was_read(formula: dict[str, Any]) -> None:
    sentence = parse_formula(formula["en"], VOCABULARY)
    assert [write_formula(sentence, VOCABULARY, language) for language in ("en", "zh")] == [
        formula["en"],
        formula["zh"],
    ]
    assert to_blocks(sentence) == formula["blocks"]


def test_the_writings_say_why_they_are_there() -> None:
    assert len(CASE["why"].split()) > 25
