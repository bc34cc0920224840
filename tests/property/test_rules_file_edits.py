"""Rules files with any edit give faults with their lines or hold; they never raise anything else."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocation_engine import rules_file
from allocation_engine.rules import Rules
from device_profiles.catalogue import Catalogue
from ingest.period_inputs import site_names
from ingest.site_folder import read_site_folder
from metering.errors import DocumentError
from provisioning.site import Site
from provisioning.site_file import read_site

EXAMPLES = Path(__file__).parents[2] / "examples"
SITES = ("park", "campus")
RULE_FILES = ("tariff.toml", "pools.toml")
ALL_FILES = (*RULE_FILES, "site.toml", "leases.toml", "gateways.toml")
EDITED = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.sampled_from(
    ["", "0", "-1", "1e9", "true", '"x"', "[]", "{}", "[[", "]]", "= =", "nan", "inf", '"0.5"', '"-0.50"', '"1/0"',
     "2026-02-30", "1979-05-27T07:32:00Z", '"24:00-00:00"', '"tmax / 0"', '"((("', '"\\ud800"', "'''", "\0", "\ufeff"]
)  # fmt: skip


@cache
def names_of(site: str) -> Any:
    """What the rules of an example may speak of."""
    return site_names(read_site(EXAMPLES / site))


@cache
def text_of(site: str, name: str) -> str:
    """One file of an example."""
    return (EXAMPLES / site / name).read_text(encoding="utf-8")


@contextmanager
def edited(site: str, name: str, text: str) -> Iterator[Path]:
    """The example with one file replaced."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(EXAMPLES / site, Path(folder) / site))
        (copy / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        yield copy


def require_told(read: Callable[[], object], lines: int, name: str) -> bool:
    """Accept rules that hold, or faults that each stand at a line of the edited file or of one beside it."""
    try:
        read()
    except DocumentError as error:
        faults = error.faults
    else:
        return True
    assert faults
    for fault in faults:
        assert fault.line >= 1
        assert fault.problem
        assert fault.mend
        if fault.path.endswith(name):
            assert fault.line <= lines + 1
    return False


@st.composite
def edits(draw: st.DrawFn, text: str) -> str:
    """Edit a text as a hasty person would: drop, double or swap lines, replace what stands after an equals sign."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["drop", "double", "swap", "assign", "assign", "number", "octet", "cut", "rename"]))
        line = lines[at]
        if kind == "drop":
            del lines[at]
        elif kind == "double":
            lines.insert(at, line)
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "assign" and "=" in line:
            lines[at] = line.split("=", 1)[0] + "= " + draw(WORDS)
        elif kind == "number":
            lines[at] = re.sub(r"\d+", lambda _: str(draw(st.integers(-(10**6), 10**12))), line, count=1)
        elif kind == "octet" and line:
            place = draw(st.integers(0, len(line) - 1))
            lines[at] = line[:place] + draw(st.characters(exclude_categories=())) + line[place + 1 :]
        elif kind == "cut":
            lines[at] = line[: draw(st.integers(0, len(line)))]
        elif kind == "rename":
            lines[at] = re.sub(r"[a-z_]+", draw(st.sampled_from(["rule", "nowhere", "x", "from"])), line, count=1)
        lines = lines or [""]
    return "\n".join(lines)


@pytest.mark.parametrize("site", SITES)
def test_the_examples_hold(site: str) -> None:
    assert rules_file.read_rules(EXAMPLES / site, names_of(site)).pools


@EDITED
@given(st.sampled_from(SITES), st.sampled_from(RULE_FILES), st.data())
def test_an_edited_rules_file_gives_faults_with_lines_or_holds(site: str, name: str, data: st.DataObject) -> None:
    text = data.draw(edits(text_of(site, name)))
    with edited(site, name, text) as folder:
        require_told(lambda: rules_file.read_rules(folder, names_of(site)), text.count("\n") + 1, name)


@settings(EDITED, max_examples=40)
@given(st.sampled_from(ALL_FILES), st.data())
def test_an_edited_file_of_a_site_gives_faults_with_lines_or_holds(name: str, data: st.DataObject) -> None:
    text = data.draw(edits(text_of("park", name)))
    with edited("park", name, text) as folder:
        require_told(lambda: read_site_folder(folder, _catalogue()), text.count("\n") + 1, name)


@settings(EDITED, max_examples=40)
@given(st.sampled_from([*RULE_FILES, "weather.csv"]), st.binary(max_size=200))
def test_any_octets_in_place_of_a_rules_file_are_refused_with_a_line(name: str, octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(EXAMPLES / "park", Path(folder) / "park"))
        (copy / name).write_bytes(octets)
        assert not require_told(lambda: rules_file.read_rules(copy, names_of("park")), octets.count(b"\n") + 1, name)


@cache
def _catalogue() -> Catalogue:
    return Catalogue.shipped()


def lines_with_a_key(site: str, name: str) -> list[int]:
    """The lines on which something is assigned."""
    return [number for number, line in enumerate(text_of(site, name).split("\n")) if re.match(r"\w+ = ", line)]


@pytest.mark.parametrize("name", RULE_FILES)
def test_a_key_that_nobody_knows_is_a_fault_on_its_own_line(name: str) -> None:
    for number in lines_with_a_key("park", name)[::3]:
        lines = text_of("park", name).split("\n")
        lines.insert(number + 1, "surprise = 1")
        with edited("park", name, "\n".join(lines)) as folder, pytest.raises(DocumentError) as caught:
            rules_file.read_rules(folder, names_of("park"))
        assert {(Path(fault.path).name, fault.line) for fault in caught.value.faults} == {(name, number + 2)}
        assert "surprise" in caught.value.faults[0].problem


@pytest.mark.parametrize("name", RULE_FILES)
def test_a_value_of_another_kind_is_a_fault_on_its_own_line(name: str) -> None:
    for number in lines_with_a_key("park", name)[::2]:
        lines = text_of("park", name).split("\n")
        lines[number] = lines[number].split("=")[0] + "= 12.5"
        with edited("park", name, "\n".join(lines)) as folder, pytest.raises(DocumentError) as caught:
            rules_file.read_rules(folder, names_of("park"))
        told = caught.value.faults
        # A file or column of that name is told as one that is not there.
        assert number + 1 in [fault.line for fault in told] or "12.5" in str(told[0])


def test_all_faults_of_all_files_are_told_at_once() -> None:
    text = text_of("park", "pools.toml").replace('unit = "C"', "unit = 7").replace('rule = "area"', 'rule = "guess"')
    with edited("park", "pools.toml", text) as folder:
        (folder / "tariff.toml").write_text("format = 99\n", encoding="utf-8")
        with pytest.raises(DocumentError) as caught:
            rules_file.read_rules(folder, names_of("park"))
    assert {Path(fault.path).name for fault in caught.value.faults} == {"tariff.toml", "pools.toml"}
    assert len(caught.value.faults) >= 3


def test_rules_survive_their_stored_form() -> None:
    for site in SITES:
        rules = rules_file.read_rules(EXAMPLES / site, names_of(site))
        again: Rules = rules_file.rules_from_document(rules.document, names_of(site))
        assert again.hash == rules.hash
        assert again.pools == rules.pools


def test_a_reader_that_lets_an_error_through_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(rules_file, "_source", breaks)
    with pytest.raises(KeyError):
        require_told(lambda: rules_file.read_rules(EXAMPLES / "park", names_of("park")), 1, "pools.toml")


def test_a_site_with_its_rules_is_read_whole() -> None:
    site, rules = read_site_folder(EXAMPLES / "park", _catalogue())
    assert isinstance(site, Site)
    assert rules.document.keys() >= {"tariff", "pools", "series"}
