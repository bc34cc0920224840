"""What docs/comparison.md, docs/comparison-edge.md and docs/acceptance.md claim is shown by tests that are there."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from edge_agent.cli import main as gateway_command

ROOT = Path(__file__).parents[2]
COMPARISON = ROOT / "docs" / "comparison.md"
EDGE = ROOT / "docs" / "comparison-edge.md"
ACCEPTANCE = ROOT / "docs" / "acceptance.md"
NAMED = re.compile(r"`(tests/[\w./-]+(?:::\w+)*)`")
MARKS = {"●", "◐", "○"}
PEERS = MARKS | {"–", "◐$"}
EDGE_ROWS = {
    *("Protocols", "Register batching", "Device profile", "Decode options", "Discovery, identification", "Scheduling"),
    *("Dead meter", "Ports in parallel", "Offline store", "Power loss", "Signing, provenance", "Timestamps"),
    *("Clock drift", "Remote configuration", "Update of the program", "Provisioning", "Local face", "Metrics"),
    *("Simulator", "Published limits"),
}
REPLAYS = ("Chengdu", "Shenzhen", "Suzhou", "Rent-free", "Hangzhou")


def rows(path: Path) -> Iterator[list[str]]:
    """The rows of every table of a page, cell by cell, without heads."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not set(line) <= set("| -"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def compared() -> dict[str, list[str]]:
    """Rows of capabilities by id."""
    return {row[0]: row for row in rows(COMPARISON) if len(row) == 10 and re.fullmatch(r"[MTAB]\d+", row[0])}


def grounds() -> dict[str, list[str]]:
    """What our cells rest on, by id."""
    return {row[0]: row for row in rows(COMPARISON) if len(row) == 3 and re.fullmatch(r"[MTAB]\d+", row[0])}


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Names of the tests in a file, in classes as well."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def is_there(named: str) -> bool:
    """Say whether `tests/golden/<folder>` holds a case, or `tests/...py::test_x` is a test, or a file holds any."""
    path, *names = named.split("::")
    if named.endswith(".py"):
        return (ROOT / path).is_file() and any(one.startswith("test_") for one in defined_in(ROOT / path))
    if not names:
        return path.startswith("tests/golden/") and any((ROOT / path).glob("*.toml"))
    return (ROOT / path).is_file() and names[-1].startswith("test_") and names[-1] in defined_in(ROOT / path)


@pytest.mark.parametrize("page", [COMPARISON, EDGE, ACCEPTANCE], ids=lambda page: page.name)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert len(named) > 40
    assert [one for one in named if not is_there(one)] == []


def edge_rows() -> dict[str, list[str]]:
    """Rows of the gateway's comparison by what they compare."""
    return {row[0]: row for row in rows(EDGE) if len(row) == 4 and row[0]}


def test_every_row_of_the_gateway_is_shown_by_a_test_or_a_command() -> None:
    compared_rows = edge_rows()
    assert set(compared_rows) >= EDGE_ROWS
    for name, (_, ours, shown, others) in compared_rows.items():
        assert ours[0] in MARKS, name
        assert others, name
        assert NAMED.search(shown) or re.search(r"`(make|metertree-gateway) [\w-]+", shown), name


def test_every_command_that_the_gateway_s_comparison_names_is_there() -> None:
    shown = " ".join(row[2] for row in edge_rows().values())
    help_text = io.StringIO()
    with contextlib.redirect_stdout(help_text), pytest.raises(SystemExit):
        gateway_command(["--help"])
    for command in re.findall(r"`metertree-gateway ([\w-]+)", shown):
        assert re.search(rf"^    {command}\b", help_text.getvalue(), re.M), command
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)`", shown):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_names_of_nothing_are_seen() -> None:
    assert is_there("tests/golden/rollover")
    assert is_there("tests/architecture/test_promises.py::test_names_of_nothing_are_seen")
    for nothing in ("tests/golden/nowhere", "tests/unit", "tests/no.py::test_x", f"{Path(__file__).name}::test_x"):
        assert not is_there(nothing)
    assert not is_there("tests/architecture/test_promises.py::test_that_nobody_wrote")
    assert not is_there("tests/architecture/test_promises.py::is_there")


@pytest.mark.parametrize("row", compared().values(), ids=lambda row: row[0])
def test_a_cell_of_ours_is_shown_by_tests_or_says_that_there_is_nothing(row: list[str]) -> None:
    ours, peers = row[2], row[3:9]
    assert ours in MARKS
    assert set(peers) <= PEERS
    _, told, shown_by = grounds()[row[0]]
    assert told, "each cell says what it means"
    assert bool(NAMED.findall(shown_by)) is (ours != "○")
    assert NAMED.sub("", shown_by).strip(", ") == "", "nothing but names of tests"
    if ours != "●":
        assert re.search(r"planned|not finished|not planned", told), "what is missing is said"


def test_the_comparison_covers_what_it_says_it_does() -> None:
    ids = list(compared())
    wanted = [("M", 14), ("T", 8), ("A", 12), ("B", 15)]
    assert ids == [f"{letter}{number}" for letter, count in wanted for number in range(1, count + 1)]
    assert list(grounds()) == ids
    for chapter in COMPARISON.read_text(encoding="utf-8").split("\n## ")[1:5]:
        counts = [int(one) for one in re.search(r"(\d+) of (\d+) ●, (\d+) ◐, (\d+) ○", chapter).groups()]  # type: ignore[union-attr]
        letter = re.search(r"^\| ([MTAB])1 ", chapter, re.M).group(1)  # type: ignore[union-attr]
        marks = [row[2] for name, row in compared().items() if name.startswith(letter)]
        assert counts == [marks.count("●"), len(marks), marks.count("◐"), marks.count("○")]


def accepted() -> dict[str, list[str]]:
    """Rows of the acceptance page by id, case or replay."""
    return {row[0]: row for row in rows(ACCEPTANCE) if len(row) == 5 and row[2] in ("shown", "part", "open")}


@pytest.mark.parametrize("row", accepted().values(), ids=lambda row: row[0])
def test_what_is_called_shown_is_shown(row: list[str]) -> None:
    _, seen, state, shown_by, remark = row
    assert seen
    assert bool(NAMED.findall(shown_by)) is (state != "open")
    assert remark or state == "shown", "what is missing is said"


def test_no_requirement_case_or_replay_is_left_out() -> None:
    requirements = {f"S0-{number}" for number in (*range(10, 24), 51, 54, 55)}
    cases = {str(number) for number in range(1, 11)}
    found = set(accepted())
    assert requirements | cases <= found
    rest = found - requirements - cases
    assert {name.split(" ")[0].rstrip(",") for name in rest} == set(REPLAYS)
