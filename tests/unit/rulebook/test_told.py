"""Changes are told item by item in the reader's language; what is overdue for review is named."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ingest.console.words import Language
from ingest.rulebook.parts import Books, Change
from ingest.rulebook.pool_form import FieldFault
from ingest.rulebook.told import Item, formula_text, items, name_of, overdue
from ingest.rulebook_composer_words import COMPOSER
from ingest.rulebook_page_words import PAGES
from ingest.rulebook_words import composer_words, field_fault, key_word, rules_words
from tests.doubles.formula_site import VOCABULARY

BLOCKS = {"op": "*", "of": [{"input": "unit_area"}, {"number": "2"}]}


def told(before: Any, after: Any, language: str = "en") -> list[Item]:
    """What differs."""
    return items(Change("pool/x", before, after), VOCABULARY, language)


def test_only_what_differs_is_told() -> None:
    before = {"id": "x", "formula": "unit_area", "times": {"peak": "1"}, "units": ["a", "b"]}
    after = {**before, "formula": "unit_area * 2", "review_by": "2027-01-01"}
    assert told(before, after) == [
        Item("formula", "unit_area", "unit_area * 2"),
        Item("review_by", "", "2027-01-01"),
    ]
    assert told(None, {"names": {"zh": "甲", "en": "A"}}, "zh") == [Item("names", "", "甲")]
    assert told({"units": ["a", "b"], "is": True}, None)[0] == Item("units", "a, b", "")


def test_numbers_are_told_one_by_one() -> None:
    before = {"table": {"name": "rated", "values": {"a": "1", "b": "2"}}}
    after = {
        "table": {"name": "rated", "file": "rated.csv"},
        "rows": [["0001-01-01", "a", "1"], ["2026-09-01", "b", "3"]],
    }
    assert told(before, after) == [
        Item("file", "", "rated.csv"),
        Item("2026-09-01 b", "", "3"),
        Item("b", "2", ""),
    ]


def test_tables_within_a_part_are_told_line_by_line() -> None:
    versions = [{"id": "v1", "rates": {"peak": "1"}}, {"id": "v2", "rates": {"peak": "2"}}]
    assert told({}, {"versions": versions}) == [Item("versions", "", "id: v1; rates: peak: 1\nid: v2; rates: peak: 2")]


@pytest.mark.parametrize(
    ("formula", "zh"),
    [
        (BLOCKS, "单元面积 × 2"),
        ("unit_area * 2", "单元面积 × 2"),
        ("unit_area *", "unit_area *"),
        ({"op": "?"}, "{'op': '?'}"),
    ],
)
def test_a_formula_is_told_in_the_readers_language_and_as_it_stands_where_it_does_not_read(
    formula: Any, zh: str
) -> None:
    assert formula_text(formula, VOCABULARY, "zh") == zh


def test_a_part_is_called_by_its_name() -> None:
    assert name_of("pool/x", {"names": {"zh": "甲", "en": "A"}}, "zh") == "甲"
    assert name_of("numbers/rated", {"table": {"name": "rated"}}, "zh") == "rated"
    assert name_of("tariff", None, "en") == ""


def test_what_is_overdue_is_named_the_longest_first() -> None:
    pools: dict[str, Any] = {
        "pools": [
            {"id": "late", "review_by": "2026-05-01"},
            {"id": "due", "review_by": "2026-08-01"},
            {"id": "fine", "review_by": "2026-08-02"},
            {"id": "never"},
        ],
        "unit_numbers": [{"name": "persons", "review_by": "2026-01-01"}],
        "loss": {"review_by": "2026-07-01"},
    }
    found = overdue(Books({}, {"pools": pools}), date(2026, 8, 1))
    assert [one.part for one in found] == ["numbers/persons", "pool/late", "loss", "pool/due"]


def test_every_word_stands_in_both_languages_and_once() -> None:
    assert not COMPOSER.keys() & PAGES.keys()
    for zh, en in (COMPOSER | PAGES).values():
        assert zh
        assert en
        assert zh.count("{") == en.count("{")
    assert rules_words(Language.ZH).keys() == rules_words(Language.EN).keys()
    assert composer_words(Language.ZH)["hole"] == "放一块积木"
    assert key_word("2026-09-01 b", Language.ZH) == "2026-09-01 b"


def test_a_wrong_field_is_told_in_both_languages() -> None:
    fault = FieldFault("floors", "bad-floor", {"row": "2", "line": "a-2"})
    assert field_fault(fault, Language.ZH).startswith("第 2 行“a-2”")
    assert field_fault(fault, Language.EN).startswith("row 2, 'a-2'")
