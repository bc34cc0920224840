"""Reading one table: each kind of key, and the stand-ins that let the reading go on after a mistake."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

import pytest

from allocation_engine.rule_table import RuleTable, nearest
from metering.errors import Fault
from metering.toml_source import TomlSource


class Colour(StrEnum):
    """A closed set."""

    RED = "red"
    BLUE = "blue"


def table(text: str) -> tuple[RuleTable, list[Fault]]:
    """A reader over some TOML, and the faults it collects."""
    faults: list[Fault] = []
    source = TomlSource.parse(text, "rules.toml")
    return RuleTable(source, (), source.content, faults), faults


def test_keys_are_read_by_kind() -> None:
    reader, faults = table(
        """
        name = "lift"
        id = "lift-1"
        colour = "blue"
        from = 2026-07-01
        to = "2026-08-01"
        nodes = ["a", "b"]
        names = { en = "Lift", zh = "电梯" }
        """
    )
    assert reader.text("name") == "lift"
    assert reader.identifier("id") == "lift-1"
    assert reader.choice("colour", Colour) is Colour.BLUE
    assert reader.day("from") == date(2026, 7, 1)
    assert reader.optional_day("to") == date(2026, 8, 1)
    assert reader.ids("nodes", "node", {"a", "b", "c"}) == ("a", "b")
    assert reader.names("names") == (("en", "Lift"), ("zh", "电梯"))
    reader.close()
    assert faults == []


def test_optional_keys_may_be_absent() -> None:
    reader, faults = table("")
    assert (reader.optional_day("to"), reader.optional_text("agreement")) == (None, None)
    reader.close()
    assert faults == []


@pytest.mark.parametrize(
    ("text", "read", "stand_in", "told"),
    [
        ("", lambda t: t.text("k"), "", "k is missing"),
        ("k = 1", lambda t: t.text("k"), "", "k must be a text, not 1"),
        ('k = "  "', lambda t: t.text("k"), "", "k must be a text"),
        ('k = "Big"', lambda t: t.identifier("k"), "-", "'Big' is not an identifier"),
        ('k = "green"', lambda t: t.choice("k", Colour), Colour.RED, "k is 'green'"),
        ("", lambda t: t.choice("k", Colour), Colour.RED, "k is missing"),
        ("k = 2026-07-01T00:00:00", lambda t: t.day("k"), date.min, "k is datetime.datetime"),
        ('k = "31.12."', lambda t: t.day("k"), date.min, "k is '31.12.'"),
        ('k = "a"', lambda t: t.ids("k", "node", {"a"}), (), "k is 'a'"),
        ('k = ["a", "x"]', lambda t: t.ids("k", "node", {"a"}), ("a",), "unknown node 'x'"),
        ('k = "x"', lambda t: t.one_id("k", "unit", {"a"}), "x", "unknown unit 'x'"),
        ('k = { en = "Lift" }', lambda t: t.names("k"), (), "k is {'en': 'Lift'}"),
        ('k = { en = "Lift", zh = "梯", de = "Lift" }', lambda t: t.names("k"), (), "k is {"),
    ],
)
def test_a_mistake_is_kept_and_a_stand_in_given(text: str, read: object, stand_in: object, told: str) -> None:
    reader, faults = table(text)
    assert read(reader) == stand_in  # type: ignore[operator]
    assert len(faults) == 1
    assert faults[0].problem.startswith(told)


def test_a_key_nobody_asked_for_is_a_mistake_with_a_hint() -> None:
    reader, faults = table('grian = "day"')
    reader.has("grain")
    reader.close()
    assert [(fault.problem, fault.mend) for fault in faults] == [("unknown key 'grian'", "did you mean 'grain'?")]


def test_tables_of_an_array_are_given_in_turn_and_closed() -> None:
    reader, faults = table("[[pools]]\nid = 'a'\n[[pools]]\nid = 'b'\nextra = 1\n")
    assert [one.text("id") for one in reader.tables("pools")] == ["a", "b"]
    assert [(fault.line, fault.problem) for fault in faults] == [(5, "unknown key 'extra'")]


@pytest.mark.parametrize("text", ["", "pools = []", "[pools]\nid = 'a'"])
def test_an_array_of_tables_must_hold_at_least_one(text: str) -> None:
    reader, faults = table(text)
    assert list(reader.tables("pools")) == []
    assert faults[0].problem == "pools must be an array of tables"


def test_what_is_no_table_is_told_once_and_read_as_empty() -> None:
    faults: list[Fault] = []
    source = TomlSource.parse("pools = 5", "rules.toml")
    reader = RuleTable(source, ("pools",), 5, faults)
    assert reader.keys == ()
    assert [fault.problem for fault in faults] == ["this must be a table"]


def test_an_inner_table_is_read_at_its_own_lines() -> None:
    reader, faults = table("[rates]\nflat = 5\n")
    assert reader.table("rates").text("flat") == ""
    assert faults[0].line == 2


@pytest.mark.parametrize(
    ("word", "hint"),
    [("lft", "did you mean 'lift'?"), ("zzz", "known: lift, pump"), ("", "known: lift, pump")],
)
def test_the_nearest_known_word_is_offered(word: str, hint: str) -> None:
    assert nearest(word, {"lift", "pump"}) == hint


def test_where_nothing_is_known_that_is_said() -> None:
    assert nearest("lift", set()) == "known: none"
