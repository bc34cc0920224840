"""TOML with the line of each key."""

from __future__ import annotations

from pathlib import Path

import pytest

from metering.errors import DocumentError, Fault, MeteringError
from metering.toml_source import TomlSource

TEXT = '''# a comment
title = "x"

[site]
id = "park"   # [not a header]
text = """
[not.a.header]
key = 1
"""
after = 2

[[meters]]
id = "m-1"
[[meters]]
id = "m-2"
"quoted key" = 1
[meters.ratio]
ct = 20

[[meters.marks]]
at = 1
[names]
zh.short = "a"
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 2),
        (("site",), 4),
        (("site", "id"), 5),
        (("site", "text"), 6),
        (("site", "after"), 10),
        (("meters", 0, "id"), 13),
        (("meters", 1), 14),
        (("meters", 1, "id"), 15),
        (("meters", 1, "quoted key"), 16),
        (("meters", 1, "ratio", "ct"), 18),
        (("meters", 1, "marks", 0, "at"), 21),
        (("names", "zh", "short"), 23),
    ],
)
def test_every_key_knows_its_line(place: tuple[str | int, ...], line: int) -> None:
    assert TomlSource.parse(TEXT, "t.toml").line(*place) == line


def test_a_missing_key_is_placed_at_its_table() -> None:
    source = TomlSource.parse(TEXT, "t.toml")
    assert source.line("meters", 1, "serial") == 14
    assert source.line("nothing", "here") == 1
    fault = source.fault("meters", 1, "serial", problem="no serial", mend="add it")
    assert str(fault) == "t.toml:14: no serial (add it)"


def test_broken_syntax_names_the_line() -> None:
    with pytest.raises(DocumentError, match=r"t\.toml:2: not TOML"):
        TomlSource.parse("a = 1\nb = = 2\n", "t.toml")


def test_an_unclosed_string_names_the_end() -> None:
    with pytest.raises(DocumentError, match="not TOML"):
        TomlSource.parse('a = "', "t.toml")


def test_a_file_that_is_missing_or_no_text_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        TomlSource.read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DocumentError, match="UTF-8"):
        TomlSource.read(tmp_path / "bytes.toml")
    (tmp_path / "good.toml").write_text("a = 1", encoding="utf-8")
    assert TomlSource.read(tmp_path / "good.toml").content == {"a": 1}


def test_a_document_error_carries_every_fault() -> None:
    faults = tuple(Fault(path="a.toml", line=n, problem="p", mend="m") for n in (1, 2))
    error = DocumentError(faults)
    assert isinstance(error, MeteringError)
    assert str(error).splitlines() == ["a.toml:1: p (m)", "a.toml:2: p (m)"]
    assert len({*faults, faults[0]}) == 2
    assert repr(faults[0]) == "Fault(a.toml:1: p (m))"
    assert faults[0] != "a.toml:1: p (m)"
