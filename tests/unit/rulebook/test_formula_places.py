"""A fault's character leads to the block that somebody has to look at."""

from __future__ import annotations

import pytest

from allocation_engine.formula.syntax import parse_formula
from ingest.rulebook.formula_places import block_at, walk_paths
from tests.doubles.formula_site import VOCABULARY

TEXT = "main_delta * (floor_area / total_area) * max(tmax - 26, 0) / 10"


@pytest.mark.parametrize(
    ("sought", "path"),
    [
        ("main_delta", "0.0.0"),
        ("* (floor", "0.0"),
        ("/ total", "0.0.1"),
        ("total_area", "0.0.1.1"),
        ("max", "0.1"),
        ("- 26", "0.1.0"),
        ("26", "0.1.0.1"),
        ("/ 10", ""),
        ("10", "1"),
    ],
)
def test_a_character_leads_to_its_block(sought: str, path: str) -> None:
    assert block_at(parse_formula(TEXT, VOCABULARY), TEXT.index(sought) + 1) == path


def test_between_blocks_there_is_none() -> None:
    assert block_at(parse_formula(TEXT, VOCABULARY), TEXT.index("(") + 1) is None
    assert block_at(None, 1) is None


def test_blocks_are_walked_as_they_are_read() -> None:
    sentence = parse_formula("a + b * -c", VOCABULARY)
    assert [term.position for _, term in walk_paths(sentence.term)] == [1, 3, 5, 7, 9, 10]
