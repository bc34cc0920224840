"""Every error planted in the engine turns its named test red, and the test is green without it.

Money errors that no golden case need catch, because the engine refuses to go on, do so under `python -O` as well.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted.errors import PLANTED, REFUSES, STOPPED, Planted
from tests.planted.named import NoSuchTest, named_test

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.error)
def test_a_planted_error_turns_its_named_test_red(planted: Planted) -> None:
    check = named_test(planted.caught_by)
    check()
    with pytest.MonkeyPatch.context() as patch:
        planted.plant(patch)
        with pytest.raises(REFUSES if planted.stopped else AssertionError):
            check()
    check()


def test_the_engine_refuses_without_asserts_as_well() -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-m", "tests.planted.without_asserts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["asserts"] is False
    assert found["refused"] == {one.error: REFUSES.__name__ for one in STOPPED}


def test_the_engine_relies_on_no_assert_statement() -> None:
    asserts = [
        f"{path.name}:{node.lineno}"
        for path in sorted((ROOT / "allocation_engine").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


def test_a_test_that_is_not_there_is_told() -> None:
    with pytest.raises(NoSuchTest, match="has no test_nothing"):
        named_test("tests/planted/test_planted_errors.py::test_nothing")
    with pytest.raises(NoSuchTest, match="no case nowhere"):
        named_test(f"{PLANTED[0].caught_by.partition('[')[0]}[nowhere]")


def test_the_page_on_reliability_lists_them_all() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    page = page.partition("## Planted errors")[2].partition("\n## ")[0]
    listed = [line.strip("| ").split(" | ") for line in page.splitlines() if "| `tests/" in line]
    assert [(one[0], one[1].strip("`"), "yes" in one[2:]) for one in listed] == [
        (one.error, one.caught_by, one.stopped) for one in PLANTED
    ]
    assert f"{len(PLANTED)} errors" in page
    assert f"{len(STOPPED)} of them" in page


def test_errors_have_names_of_their_own() -> None:
    assert len({one.error for one in PLANTED}) == len({one.plant for one in PLANTED}) == len(PLANTED)
