"""Every finding has words, all words belong to a finding, and none breaks what a signed act may hold."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path

import pytest

import provisioning
from provisioning.finding_words import finding, finding_codes, listed, printable, worst_first
from provisioning.installation import TEXT_LENGTH_MAX, Severity
from provisioning.site import Names

HOME = Path(provisioning.__file__).parent
TABLE = tomllib.loads((HOME / "findings.toml").read_text(encoding="utf-8"))["findings"]
REPO = HOME.parent
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("provisioning", "edge_agent", "ingest")
    for path in (REPO / folder).rglob("*.py")
)


@pytest.mark.parametrize("code", finding_codes())
def test_both_languages_say_the_same_things(code: str) -> None:
    fields = [{name for _, name, _, _ in string.Formatter().parse(TABLE[code][one]) if name} for one in ("zh", "en")]
    assert fields[0] ^ fields[1] <= {"obis", "read", "address"}, "one language leaves something out"
    assert re.search(r"[一-鿿]", TABLE[code]["zh"])
    assert not re.search(r"[一-鿿]", TABLE[code]["en"])
    assert Severity(TABLE[code]["severity"])


@pytest.mark.parametrize("code", finding_codes())
def test_a_finding_can_be_made_of_every_code_and_none_is_left_over(code: str) -> None:
    names = {name for one in ("zh", "en") for _, name, _, _ in string.Formatter().parse(TABLE[code][one]) if name}
    made = finding(code, "m-1", **{name: name for name in names})
    assert made.code == code
    assert len(made.told.zh) <= TEXT_LENGTH_MAX
    assert f'"{code}"' in SOURCES, "no check makes this finding"


def test_a_code_without_words_is_our_own_mistake() -> None:
    with pytest.raises(KeyError):
        finding("never-heard-of", "m-1")


def test_what_people_typed_cannot_break_a_finding() -> None:
    typed = "7\n\x00" + "9" * 2000
    told = finding("display-unreadable", "m-1\t", typed=typed, why=Names(zh="坏", en="bad")).told
    assert told.en.isprintable()
    assert len(told.en) == TEXT_LENGTH_MAX
    assert printable("") == "?"


def test_parts_in_both_languages_are_told_in_each() -> None:
    why = listed((Names(zh="甲", en="a"), Names(zh="乙", en="b")))
    told = finding("display-unreadable", "m-1", typed="x", why=why).told
    assert "甲、乙" in told.zh
    assert "a, b" in told.en


def test_worst_first_keeps_the_order_of_equals() -> None:
    mixed = [finding("serial-unread", name, serial="1") for name in ("b", "a")]
    mixed.append(finding("unit-unknown", "c", unit="u"))
    assert [one.subject for one in worst_first(mixed)] == ["c", "b", "a"]
