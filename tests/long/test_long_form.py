"""The long form is sound: it finds what is planted, makes it small, repeats itself, and counts what it ran."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allocation_engine import blocks
from tests.long import divisions
from tests.long.divisions import Division, check_piece, dealt_out, draw, law_broken, shrink
from tests.long.run import divide, main, property_tests, run_properties
from tests.planted import errors

ROOT = Path(__file__).parents[2]


def test_a_few_thousand_random_divisions_break_no_law() -> None:
    tally = check_piece(seed=20260801, piece=0, count=2_000)
    assert tally.broken == []
    assert (tally.divisions, tally.chunked) == (2_000, 10)
    assert tally.parts > 10_000
    assert tally.credits > 400
    assert tally.ties > 200


def test_a_piece_follows_from_its_seed_alone() -> None:
    assert check_piece(1, 2, 200) == check_piece(1, 2, 200)
    assert check_piece(1, 2, 200) != check_piece(1, 3, 200)
    assert [draw(random.Random("1/2")) for _ in range(3)] == [draw(random.Random("1/2")) for _ in range(3)]


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (errors.a_fen_is_lost_in_dividing, "refused: "),
        (errors.ties_go_to_the_largest_id, "exactly they are"),
        (errors.each_share_is_rounded_and_the_rest_goes_to_the_largest, "exact"),
    ],
)
def test_a_planted_error_is_found_and_made_small(plant: Callable[[Any], None], told: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        tally = check_piece(20260801, 0, 2_000)
    [broken] = tally.broken
    assert told in broken
    assert broken.count("'u-") <= 12, "a counterexample of a few parties"


def test_a_division_is_made_as_small_as_the_law_it_breaks() -> None:
    large = Division(-12_345, {f"u-{one}": 7 * one for one in range(1, 9)})
    smallest, told = shrink(large, lambda one: "odd" if one.amount and len(one.weights) > 1 else "")
    assert told == "odd"
    assert (smallest.amount, len(smallest.weights), sum(smallest.weights.values())) == (-1, 2, 1)
    assert "-1 by " in str(smallest)


def test_rows_are_dealt_out_and_everything_is_put_back() -> None:
    before = (blocks.CELLS_MIN, blocks.os.cpu_count)
    ranges: list[tuple[int, int]] = []
    with dealt_out(3):
        blocks.in_blocks(lambda first, end: ranges.append((first, end)), 24, 1)
    assert len(ranges) == 12
    assert (blocks.CELLS_MIN, blocks.os.cpu_count) == before


def test_a_law_that_only_threads_break_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(task: Callable[[int, int], None], count: int, cells_each: int, threads: int | None = None) -> None:
        task(0, count if blocks.CELLS_MIN > 1 else max(count - 1, 0))

    monkeypatch.setattr("allocation_engine.apportion.in_blocks", forgetful)
    division = Division(100, {"a": 1, "b": 1})
    assert law_broken(division, random.Random(0), threads=1) == ""
    assert law_broken(division, random.Random(0), threads=2) != ""


def test_two_processes_divide_what_one_would() -> None:
    told: list[str] = []
    tally = divide(600, seed=3, workers=2, tell=told.append)
    assert tally == check_piece(3, 0, 600)
    assert told[-1].strip().startswith("600 of 600")


def test_a_broken_law_ends_with_its_seed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broken = divisions.Tally(broken=["piece 0, division 7"])
    monkeypatch.setattr("tests.long.run.divide", lambda *_: broken)
    assert main(["--seed", "11", "--divisions", "10"]) == 1
    assert "BROKEN, seed 11, piece 0, division 7" in capsys.readouterr().out


def test_property_tests_run_with_more_examples_and_are_counted() -> None:
    tests = ["tests/property/test_allocation_laws.py", "-k", "nobody_outside or one_fen_over"]
    counts = run_properties(tests, times=3, seed=5, workers=1)
    assert counts == {"tests": 2, "failed": 0, "examples": 75, "periods": 75}


def test_a_failing_property_is_told_with_its_example(tmp_path: Path) -> None:
    law = tmp_path / "test_law.py"
    text = (
        "from hypothesis import given, strategies as st\n@given(st.integers())\ndef test_small(n):\n    assert n < 7\n"
    )
    law.write_text(text, encoding="utf-8")
    plugins = ["-p", "tests.long.more_examples", "-p", "no:schemathesis"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "--times", "2", str(law)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "n=7" in done.stdout


def test_every_property_test_of_the_allocation_is_in_the_long_form() -> None:
    named = property_tests()
    assert len(named) >= 9
    assert all((ROOT / one).is_file() for one in named)
