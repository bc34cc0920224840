"""A period closed twice: what each fen of the difference comes from, and what is booked of it.

`change.toml` is a period as in `period.toml`; each `[[change]]` lays other facts or rules over it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.correction import correction_of, party_deltas
from allocation_engine.facts import Facts
from allocation_engine.money import show_minor
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run_diff import diff_facts
from allocation_engine.what_if import what_if
from metering.identity import NodeId, PartyId, UnitId
from tests.golden.test_golden_trees import OWNER, TreeCase

FILES = sorted(Path(__file__).parent.glob("*/change.toml"))
BESIDE = ("loss", "unit_numbers", "services", "series")


@dataclass(frozen=True)
class ChangeCase(TreeCase):
    """A period whose rules may also say how losses, services and numbers go."""

    @property
    def names(self) -> SiteNames:
        """What the rules may speak of."""
        units = {UnitId(name): unit.get("node") for name, unit in self.facts["units"].items()}
        parties = frozenset({OWNER} | {PartyId(lease[1]) for lease in self.facts["leases"]})
        return SiteNames(frozenset(map(NodeId, self.facts["nodes"])), units, parties, OWNER, self.facts["currency"])

    @property
    def rules(self) -> Rules:
        """The rules of the case."""
        common = {"names": {"zh": "池", "en": "pool"}, "from": "2026-01-01"}
        pools = [self._pool({**common, **pool}) for pool in self.facts["pools"]]
        document = {
            "tariff": {"format": 1, "currency": self.facts["currency"], **self.facts["tariff"]},
            "pools": {"format": 1, "pools": pools, **{key: self.facts[key] for key in BESIDE if key in self.facts}},
            "series": {name: [*rows.items()] for name, rows in self.facts.get("days", {}).items()},
        }
        return rules_from_document(document, self.names)

    @property
    def both(self) -> Facts:
        """Facts and rules together."""
        return Facts(self.inputs, self.rules, self.names)

    def laid_over(self, other: Mapping[str, Any]) -> ChangeCase:
        """The case with other facts laid over its own: tables are merged, all else is replaced."""
        return ChangeCase(merged(self.facts, other))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another."""
    both = dict(under)
    for key, one in over.items():
        is_table = isinstance(one, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], one) if is_table else one
    return both


def changes() -> pytest.MarkDecorator:
    """Run a test with every change of every case."""
    found = []
    for path in FILES:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        for number, change in enumerate(facts["change"], 1):
            found.append(pytest.param(ChangeCase(facts), change, id=f"{path.parent.name}-{number}"))
    return pytest.mark.parametrize(("case", "change"), found)


def money(amount_minor: int) -> str:
    """An amount as people write it."""
    return show_minor(amount_minor, "CNY")


@changes()
def test_each_fen_of_a_difference_has_its_cause(case: ChangeCase, change: Mapping[str, Any]) -> None:
    diff, wanted = diff_facts(case.both, case.laid_over(change["with"]).both), change["expect"]
    found = {
        line.id: [money(line.before_minor), money(line.after_minor), {cause: money(fen) for cause, fen in line.causes}]
        for line in diff.lines
    }
    assert found == wanted["lines"]
    assert [[str(one.cause), one.subject] for one in diff.changes] == wanted["changes"]
    assert {cause: money(fen) for cause, fen in diff.by_cause.items()} == wanted["by_cause"]
    shown = [[one.party, *map(money, (one.before_minor, one.after_minor, one.delta_minor))] for one in diff.parties]
    assert shown == wanted["parties"]


@changes()
def test_asking_beforehand_gives_the_difference_that_follows(case: ChangeCase, change: Mapping[str, Any]) -> None:
    """What-if is the same question about the same facts; it stores nothing, so the facts are as before."""
    before, draft = case.both, case.laid_over(change["with"]).both
    first = close_period(before.inputs, before.rules)
    assert what_if(before, draft) == diff_facts(before, draft)
    assert close_period(before.inputs, before.rules) == first


@changes()
def test_a_correction_books_delta_lines_and_leaves_the_published_run_alone(
    case: ChangeCase, change: Mapping[str, Any]
) -> None:
    before, after = case.both, case.laid_over(change["with"]).both
    booked, new = (close_period(one.inputs, one.rules).to_document() for one in (before, after))
    published = close_period(before.inputs, before.rules).to_document()
    lines = correction_of(booked, new, diff_facts(before, after))
    assert {one.id: [money(one.before_minor), money(one.after_minor)] for one in lines} == {
        one: [before, after] for one, (before, after, _) in change["expect"]["lines"].items() if before != after
    }
    if "deltas" in change["expect"]:
        assert {party: money(fen) for party, fen in party_deltas(lines).items()} == change["expect"]["deltas"]
    assert booked == published


def test_every_change_says_why_it_is_there() -> None:
    for path in FILES:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        assert len(facts["why"].split()) > 25, path
        assert all(len(change["why"].split()) > 8 for change in facts["change"]), path
