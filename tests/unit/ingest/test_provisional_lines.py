"""Which lines of a run rest on a node: by their own nodes, by their pool's, or on any."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.console.words import Language
from ingest.provisional import document, touched_lines
from ingest.provisional_words import provisional_lines, provisional_table, provisional_word
from ingest.store.bindings import Unapproved
from metering.identity import MeterId, NodeId, UnitId
from tests.doubles.installer import NOW, later

POOLS: list[dict[str, Any]] = [
    {"id": "own", "path": [], "deduct": []},
    {"id": "lift", "path": ["lift"], "deduct": []},
    {"id": "hall", "path": ["bldg"], "deduct": ["lobby"]},
    {"id": "supply", "path": ["main"], "deduct": [], "charge": "demand"},
    {"id": "served", "path": ["lift"], "deduct": [], "service": {"from": "hall"}},
]


def line(pool: str, **trace: Any) -> dict[str, Any]:
    return {"pool": pool, "trace": trace}


def unapproved(node: str, **parts: Any) -> Unapproved:
    whole: dict[str, Any] = {
        "binding": "gw-a-1-1", "kind": "bind", "meter": MeterId("m-1"), "node": NodeId(node), "unit": UnitId("a1"),
        "state": "pending", "begins_at": NOW, "ends_at": None, "done_by": "eng-1",
    }  # fmt: skip
    return Unapproved(**{**whole, **parts})


def touched(one: dict[str, Any], *nodes: str) -> tuple[str, ...]:
    found = dict(touched_lines([one], POOLS, [unapproved(node) for node in nodes]))
    return found.get(0, ())


@pytest.mark.parametrize(
    ("one", "node", "is_touched"),
    [
        (line("own", nodes=["flat-1"], deduct=[]), "flat-1", True),
        (line("own", nodes=["flat-1"], deduct=["heater"]), "heater", True),
        (line("own", nodes=["flat-1"], deduct=[]), "flat-2", False),
        (line("lift", weight=3, total_weight=9, keys=[]), "lift", True),
        (line("lift", weight=3, total_weight=9, keys=[]), "flat-1", False),
        (line("hall", weight=3, total_weight=9), "bldg", True),
        (line("hall", weight=3, total_weight=9), "lobby", True),
        (line("hall", weight=3, total_weight=9), "lift", False),
        (line("lift", weight=3, total_weight=9, keys=[{"key": "energy"}]), "flat-1", True),
        (line("served", weight=3, total_weight=9), "flat-1", True),
        (line("supply", steps=[], of=[]), "flat-1", True),
        (line("lift", slots=[]), "flat-1", True),
        (line("unknown", weight=1, total_weight=1), "flat-1", True),
    ],
    ids=[
        "own node", "node taken off", "another flat", "pool's node", "not of the pool", "path", "taken off the path",
        "beside the path", "weighed by energy", "service", "supply charge", "loss", "pool that is not told",
    ],
)  # fmt: skip
def test_a_line_is_touched_by_what_it_rests_on(one: dict[str, Any], node: str, is_touched: bool) -> None:
    assert touched(one, node) == ((node,) if is_touched else ())


def test_a_line_names_every_node_that_is_not_approved() -> None:
    assert touched(line("supply", steps=[]), "b", "a") == ("a", "b")
    assert touched(line("own", nodes=["a", "c"]), "b", "a") == ("a",)


def test_nothing_is_touched_where_everything_is_approved() -> None:
    assert list(touched_lines([line("supply", steps=[])], POOLS, [])) == []


def test_an_unapproved_binding_is_told_with_all_it_is_about() -> None:
    told = document(unapproved("a", ends_at=later(2)))
    assert (told["binding"], told["meter"], told["node"], told["unit"]) == ("gw-a-1-1", "m-1", "a", "a1")
    assert (told["begins_at"], told["ends_at"]) == ("2026-07-01T08:00:00+00:00", "2026-07-01T10:00:00+00:00")
    bare = document(unapproved("a", binding=None, unit=None, begins_at=None, done_by=None))
    assert (bare["binding"], bare["begins_at"], bare["done_by"]) == (None, None, None)


@pytest.mark.parametrize(
    ("language", "title", "state"),
    [
        (Language.ZH, "待批准的安装（暂定）", "待批准"),
        (Language.EN, "Installations not approved yet", "waits for approval"),
    ],
)
def test_the_table_speaks_both_languages(language: Language, title: str, state: str) -> None:
    found = [unapproved("lift"), unapproved("u-1", kind="unbound", state="unbound", begins_at=None, done_by=None)]
    shown = provisional_table(found, 12, language)
    assert title in shown.title
    assert "12" in shown.note
    assert state in [cell.text for cell in shown.rows[0]]
    assert len({len(row) for row in shown.rows} | {len(shown.columns)}) == 1
    assert [cell.plain for cell in shown.rows[1]][3:6] == ["a1", "", ""]


def test_a_terminal_is_told_in_a_line_each() -> None:
    found = [unapproved("lift"), unapproved("u-1", binding=None, kind="unbound", state="unbound", meter=None)]
    assert list(provisional_lines(found, Language.ZH)) == [
        "待批准的安装（暂定）",
        "  gw-a-1-1  绑定  m-1  待批准",
        "  –  未绑定  u-1  未绑定",
    ]
    assert list(provisional_lines([], Language.EN)) == []


@pytest.mark.parametrize("key", ["held", "pending", "approved", "refused", "superseded", "unbound", "bind", "reparent"])
def test_every_state_and_kind_has_two_words(key: str) -> None:
    zh, en = (provisional_word(key, language) for language in (Language.ZH, Language.EN))
    assert zh != en
    assert not zh.isascii()


def test_a_word_of_another_version_is_told_as_it_is() -> None:
    assert provisional_word("teleport", Language.ZH) == "teleport"
