"""The table reader: typed results, faults instead of guesses, every key accounted for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from device_profiles.checked_table import CheckedTable, Faults
from metering.errors import DocumentError
from metering.toml_source import TomlSource

TEXT = """\
name = "SDM630"
count = 4
wide = true
bauds = [9600, 2400]
pattern = "FF ff"
patterns = ["00", "zz", 7]

[link]
parity = "E"

[[rows]]
at = 1
[[rows]]
at = 2
"""


@pytest.fixture
def faults() -> Faults:
    """The mistakes of the document above."""
    return Faults(TomlSource.parse(TEXT, "t.toml"))


@pytest.fixture
def table(faults: Faults) -> CheckedTable:
    """Its root."""
    return CheckedTable(faults.source.content, (), faults)


def test_right_keys_are_read_without_a_fault(table: CheckedTable, faults: Faults) -> None:
    assert table.text("name") == "SDM630"
    assert table.integer("count", 1, 9) == 4
    assert table.boolean("wide") is True
    assert table.integers("bauds", 300, 9600) == [9600, 2400]
    assert table.hexadecimal("pattern") == b"\xff\xff"
    assert table.table("link").choice("parity", ("N", "E")) == "E"
    assert [row.integer("at", 0, 9) for row in table.tables("rows")] == [1, 2]
    assert "name" in table
    assert "maker" not in table
    faults.raise_if_any()


def test_a_left_out_key_takes_its_default_or_is_a_fault(table: CheckedTable, faults: Faults) -> None:
    assert table.text("maker", "unknown") == "unknown"
    assert table.boolean("signed", False) is False
    assert table.integer("index", 0, 9, 0) == 0
    assert table.hexadecimals("none") == []
    assert faults.found == []
    assert table.text("maker") == ""
    assert [str(fault) for fault in faults.found] == ["t.toml:1: 'maker' is missing (give a text)"]


WRONG: list[tuple[Callable[[CheckedTable], object], object, str]] = [
    (lambda table: table.text("count"), "", "t.toml:2: 'count' is not a text"),
    (lambda table: table.integer("wide", 0, 1), 0, "t.toml:3: 'wide' is not an integer"),
    (lambda table: table.boolean("count"), False, "t.toml:2: 'count' is not true or false"),
    (lambda table: table.integer("count", 5, 9), 5, "t.toml:2: 4 is not within 5 to 9"),
    (lambda table: table.integers("bauds", 300, 4800), [], "t.toml:4: not only integers from 300 to 4800"),
    (lambda table: table.integers("patterns", 0, 9), [], "t.toml:6: not only integers"),
    (lambda table: table.choice("name", ("a", "b")), "a", "t.toml:1: 'SDM630' is not known here (use one of a, b)"),
    (lambda table: table.hexadecimal("name"), b"", "t.toml:1: 'SDM630' is not hex"),
    (lambda table: table.hexadecimals("patterns"), [b"\0", b"", b""], "t.toml:6: 'zz' is not hex"),
    (lambda table: table.tables("bauds"), [], "t.toml:4: bauds must be tables"),
    (lambda table: table.tables("columns"), [], "t.toml:1: no columns"),
    (lambda table: table.table("link").integer("parity", 0, 1), 0, "t.toml:9: 'parity' is not an integer"),
    (lambda table: table.tables("rows")[1].integer("at", 0, 1), 0, "t.toml:14: 2 is not within 0 to 1"),
]


@pytest.mark.parametrize(("read", "stand_in", "fault"), WRONG, ids=[row[2] for row in WRONG])
def test_a_wrong_key_is_a_fault_and_gives_a_harmless_stand_in(
    table: CheckedTable, faults: Faults, read: Callable[[CheckedTable], object], stand_in: object, fault: str
) -> None:
    assert read(table) == stand_in
    assert str(faults.found[0]).startswith(fault)
    with pytest.raises(DocumentError):
        faults.raise_if_any()


def test_a_key_that_nobody_reads_is_a_fault(table: CheckedTable, faults: Faults) -> None:
    link = table.table("link")
    link.text("baud", "")
    link.done()
    assert [str(fault) for fault in faults.found] == ["t.toml:9: unknown key 'parity' (known here: baud)"]


def test_faults_come_in_line_order(table: CheckedTable, faults: Faults) -> None:
    table.table("link").fault("parity", "later", "mend")
    table.fault("name", "first", "mend")
    with pytest.raises(DocumentError) as caught:
        faults.raise_if_any()
    assert [fault.line for fault in caught.value.faults] == [1, 9]


def test_keys_are_listed_in_the_asked_order(table: CheckedTable) -> None:
    assert table.keys_in(("wide", "maker", "name")) == ("wide", "name")
    assert table.all_keys()[:2] == ("name", "count")
    assert table.raw("count") == 4
