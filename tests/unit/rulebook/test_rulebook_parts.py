"""Parts of books: each can be read, put, taken out; two people's changes meet only where they touch the same one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.rulebook.parts import (
    Books,
    Change,
    PartMoved,
    PartUnknown,
    apply,
    changed_parts,
    part_names,
    put_part,
    read_part,
    rebased,
)
from tests.doubles.park_books import read_park

LIFT = "pool/lift-and-fire-pump"


@pytest.fixture(scope="module")
def books() -> Books:
    """The example park as documents."""
    site, rules, _, _ = read_park()
    return Books(json.loads(json.dumps(site.to_document())), json.loads(json.dumps(rules.document)))


def text(books: Books) -> str:
    """Books as one text, in whose order of keys nothing hides."""
    return json.dumps([books.site, books.rules], ensure_ascii=False)


def with_pool(books: Books, **keys: Any) -> Change:
    """A change of one pool."""
    before = read_part(books, LIFT)
    return Change(LIFT, before, {**before, **keys})


def test_every_part_reads_back_and_putting_it_again_changes_nothing(books: Books) -> None:
    names = list(part_names(books))
    assert {name.partition("/")[0] for name in names} == {"tariff", "pool", "series", "unit", "party", "lease"}
    for name in names:
        part = read_part(books, name)
        assert part is not None
        assert text(put_part(books, name, part)) == text(books)


def test_a_part_that_is_taken_out_and_put_back_is_there_again(books: Books) -> None:
    for name in part_names(books):
        if name == "tariff":
            continue
        without = put_part(books, name, None)
        assert read_part(without, name) is None
        assert read_part(put_part(without, name, read_part(books, name)), name) == read_part(books, name)


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("definition/night-share", {"name": "night-share", "formula": "times"}),
        ("numbers/persons", {"table": {"name": "persons", "unit": "persons"}, "rows": [["2026-07-01", "a101", "3"]]}),
        ("numbers/rated", {"table": {"name": "rated", "unit": "kW", "values": {"a101": "3"}}}),
        ("series/tmin", {"table": {"name": "tmin", "unit": "C"}, "rows": [["2026-07-01", "21.5"]]}),
        ("loss", {"method": "per-slot"}),
    ],
)
def test_new_parts_of_every_kind_come_and_go_without_a_trace(books: Books, part: str, content: Any) -> None:
    assert read_part(books, part) is None
    there = put_part(books, part, content)
    assert read_part(there, part) == content
    assert [one.part for one in changed_parts(books, there)] == [part]
    assert text(put_part(there, part, None)) == text(books)


@pytest.mark.parametrize("name", ["", "pool", "pool/", "tariff/x", "loss/x", "node/main", "__class__/x"])
def test_names_that_no_part_can_have_are_refused(books: Books, name: str) -> None:
    with pytest.raises(PartUnknown):
        read_part(books, name)
    with pytest.raises(PartUnknown):
        put_part(books, name, {})


def test_two_changes_of_different_parts_meet_in_peace(books: Books) -> None:
    mine = with_pool(books, review_by="2028-01-01")
    theirs = put_part(books, "pool/lobby-ac", {**read_part(books, "pool/lobby-ac"), "review_by": "2030-01-01"})
    both = apply(theirs, [mine])
    assert read_part(both, LIFT)["review_by"] == "2028-01-01"
    assert read_part(both, "pool/lobby-ac")["review_by"] == "2030-01-01"


def test_what_somebody_else_released_meanwhile_is_not_overwritten(books: Books) -> None:
    mine = with_pool(books, review_by="2028-01-01")
    theirs = apply(books, [with_pool(books, review_by="2030-01-01")])
    with pytest.raises(PartMoved) as caught:
        apply(theirs, [mine])
    assert caught.value.parts == (LIFT,)
    taken_over = rebased(theirs, [mine])
    assert read_part(apply(theirs, taken_over), LIFT)["review_by"] == "2028-01-01"
    assert taken_over[0].before["review_by"] == "2030-01-01"


def test_a_change_that_somebody_else_made_too_is_no_change_any_more(books: Books) -> None:
    mine = with_pool(books, review_by="2028-01-01")
    same = apply(books, [mine])
    assert text(apply(same, [mine])) == text(same)
    assert rebased(same, [mine]) == ()


def test_a_change_reads_back_from_its_document(books: Books) -> None:
    mine = with_pool(books, review_by="2028-01-01")
    assert Change.from_document(json.loads(json.dumps(mine.to_document()))) == mine
