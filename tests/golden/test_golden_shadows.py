"""A draft of the rules, asked of periods that are over: who would have paid what, and which records it would miss.

`shadow.toml` is a period as in `period.toml`, repeated on each day of `months`, with a `[draft]` laid over its rules.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.facts import Facts
from allocation_engine.rule_check import RecordsMissed, check_rules, require_complete
from allocation_engine.what_if import shadow, totals
from tests.golden.test_golden_changes import ChangeCase, money

FILES = sorted(Path(__file__).parent.glob("*/shadow.toml"))
FOLDERS = pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)


def read_case(path: Path) -> dict[str, Any]:
    """Read one case."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def months(facts: dict[str, Any]) -> list[tuple[Facts, Facts]]:
    """Facts in force and under the draft, month by month."""
    length = facts["end"] - facts["start"]
    found = []
    for first in map(date.fromisoformat, facts["months"]):
        case = ChangeCase({**facts, "start": first, "end": first + length})
        found.append((case.both, case.laid_over(facts["draft"]).both))
    return found


@FOLDERS
def test_the_checker_names_every_record_that_would_be_missed(path: Path) -> None:
    facts = read_case(path)
    found = {one for in_force, draft in months(facts) for one in check_rules(in_force, draft)}
    assert [[one.subject, one.problem, one.mend] for one in sorted(found)] == facts["expect"]["findings"]


@FOLDERS
def test_a_release_waits_until_each_is_mended_or_left_out_by_name(path: Path) -> None:
    facts = read_case(path)
    findings = tuple(sorted({one for in_force, draft in months(facts) for one in check_rules(in_force, draft)}))
    named = {subject for subject, _, _ in facts["expect"]["findings"]}
    require_complete(findings, named)
    for subject in named:
        with pytest.raises(RecordsMissed) as caught:
            require_complete(findings, named - {subject})
        assert [one.subject for one in caught.value.findings] == [subject]


@pytest.mark.parametrize(
    "path", [one for one in FILES if "months" in read_case(one)["expect"]], ids=lambda path: path.parent.name
)
def test_a_shadow_shows_every_month_and_their_sum(path: Path) -> None:
    facts = read_case(path)
    shadows = list(shadow(months(facts)))
    for first, one in zip(facts["months"], shadows, strict=True):
        wanted = facts["expect"]["months"][first]
        if one.diff is None:
            assert one.refusal == wanted
            continue
        parties = one.diff.parties
        assert [
            [party.party, *map(money, (party.before_minor, party.after_minor, party.delta_minor))] for party in parties
        ] == wanted
    sums = {one.party: [money(one.before_minor), money(one.after_minor)] for one in totals(shadows)}
    assert sums == facts["expect"]["totals"]


@FOLDERS
def test_every_shadow_says_why_it_is_there(path: Path) -> None:
    assert len(read_case(path)["why"].split()) > 25
