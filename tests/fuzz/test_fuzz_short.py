"""The short form of `make fuzz`: some hundred changed cases for every target; and the net is known to hold."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.fuzz.checks import MENDS
from tests.fuzz.report import BEGIN, END, table
from tests.fuzz.run import Found, fuzz
from tests.fuzz.targets import Case, Target, mended, targets

CASES = 400
TARGETS = targets()
SIGNED = ("receipt", "order", "installation-event", "voucher", "order-file", "grant", "bundle", "package")
SIGNED += ("certificate-request", "certificates", "key-handover")
"""Targets whose cases are signed only when they are tried."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_case_is_taken_or_refused_with_our_error(name: str) -> None:
    found = fuzz(TARGETS[name], random.Random(f"short {name}"), cases=CASES)
    assert found.finds == []
    assert found.cases >= CASES


@pytest.mark.parametrize("name", TARGETS)
def test_the_unchanged_cases_are_taken(name: str) -> None:
    """Otherwise fuzzing would only ever see the first check."""
    target = TARGETS[name]
    nothing_changed = replace(target, seeds=target.seeds[:40])
    for seed in nothing_changed.seeds:
        octets = target.mend(random.Random(0), seed.octets) if name in SIGNED else seed.octets
        target.attempt(replace(seed, octets=octets))


@pytest.mark.parametrize("protocol", MENDS)
def test_a_frame_that_is_right_stays_right_when_its_check_is_made_right(protocol: str) -> None:
    target = TARGETS[str(protocol)]
    taken = 0
    for seed in target.seeds[:20]:
        if target.mend(random.Random(1), seed.octets) == seed.octets:
            taken += 1
    assert taken >= min(len(target.seeds), 20) // 2


def test_an_error_that_is_not_ours_is_a_find() -> None:
    def attempt(case: Case) -> object:
        return case.octets[7]

    found = fuzz(Target("planted", (Case(bytes(8)),), attempt), random.Random(1), cases=200)
    assert found.finds[0].startswith("IndexError at test_fuzz_short.py")
    assert "octets " in found.finds[0]


def test_new_endings_are_kept_and_old_ones_are_not() -> None:
    found = fuzz(Target("same", (Case(b"abc"),), lambda _case: None), random.Random(1), cases=50)
    assert (found.kept, found.endings["accepted"]) == (0, 50)


def test_most_changed_cases_pass_the_check() -> None:
    target = Target("x", (Case(b"a"),), lambda _case: None, lambda _draw, octets: octets + b"!")
    draw = random.Random(1)
    assert sum(mended(draw, target, b"a") == b"a!" for _ in range(100)) > 60


def test_the_page_tells_what_was_tried() -> None:
    found = Found("mbus", cases=1234, kept=5)
    found.endings["accepted"] = 7
    found.endings["CrcError"] = 3
    assert "| mbus | 1,234 | 5 | 7 | 0 |" in table([found], 7, 600, "abc", "1.0")
    assert BEGIN != END
