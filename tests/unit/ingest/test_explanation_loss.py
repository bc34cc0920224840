"""A line of losses, step by step, in both languages."""

from __future__ import annotations

import pytest

from allocation_engine.statement_content import StatementContent
from ingest.explanation import Explanation, choose_line
from tests.doubles.loss_site import LOSS, TWO_BANDS, site_inputs, site_rules, statement_of

NO_LOAD = {"node": "main", "kwh_per_day": "9.6", "key": "area", "source": "nameplate"}


@pytest.fixture
def content() -> StatementContent:
    """The statement of t-1."""
    inputs = site_inputs()
    rules = site_rules(inputs, loss={**LOSS, "no_load": [NO_LOAD]}, prices=TWO_BANDS)
    return statement_of("t-1", inputs, rules)


def told(content: StatementContent, language: str) -> list[str]:
    """The texts of the steps."""
    line = choose_line(content, "loss/u-a1/t-1")
    return [step.text for step in Explanation(content, language, all_spans=False).steps(line)]


def test_a_line_of_losses_is_told_band_by_band(content: StatementContent) -> None:
    texts = told(content, "en")
    assert texts[0] == "This line is a share of losses on the way."
    assert texts[1] == ("low: drew 2.000 kWh; carried 0.205 kWh, slot by slot, and 0.04 kWh no-load x 0.30 CNY/kWh")
    assert texts[2].startswith("high: drew 2.000 kWh; carried 0.205 kWh")
    assert texts[-1].endswith("= 0.32 CNY")


def test_both_languages_give_the_same_numbers(content: StatementContent) -> None:
    def digits(texts: list[str]) -> list[str]:
        return ["".join(one for one in text if one.isdigit() or one == ".").strip(".") for text in texts]

    assert digits(told(content, "zh")) == digits(told(content, "en"))
