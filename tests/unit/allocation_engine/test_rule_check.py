"""The checker: each kind of record that new rules would miss, its repair, and leaving out by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from allocation_engine.facts import Facts
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.rule_check import (
    Finding,
    RecordsMissed,
    charged_units,
    check_records,
    check_rules,
    require_complete,
    units_of,
)
from allocation_engine.rules import Rules, SiteNames
from metering.identity import UnitId

UNITS = {"a": (600_000, "n-a"), "b": (300_000, "n-b")}
LET = [("a", "t-01", 0, 96), ("b", "t-02", 0, 96)]
Build = Callable[..., Facts]


@pytest.fixture
def build(make_inputs: Callable[..., PeriodInputs], make_rules: Callable[..., Rules]) -> Build:
    """Builds facts of a day with the given pools."""

    def build_facts(*pools: Mapping[str, Any], tmax: Mapping[str, str] | None = None, **parts: Any) -> Facts:
        energy = {"lift": 100, "lobby": 100, "n-a": 100, "n-b": 100}
        inputs = make_inputs(**{"energy": energy, "units": UNITS, "let": LET, "slots": 96, **parts})
        names = SiteNames(
            nodes=frozenset(node.id for node in inputs.nodes),
            units={unit.id: unit.node for unit in inputs.units},
            parties=frozenset({one.party for one in inputs.occupancies} | {inputs.owner}),
            owner=inputs.owner,
            currency="CNY",
        )
        return Facts(inputs, make_rules(inputs, *pools, tmax=tmax), names)

    return build_facts


def subjects(in_force: Facts, draft: Facts) -> list[str]:
    """The subjects of all findings."""
    return [finding.subject for finding in check_rules(in_force, draft)]


def test_rules_that_reach_everything_have_no_findings(
    build: Build, area_pool: dict[str, Any], own_use_pool: dict[str, Any]
) -> None:
    facts = build(area_pool, own_use_pool)
    assert check_rules(facts, facts) == ()
    require_complete((), ())


def test_a_let_unit_that_falls_out_of_every_pool_is_found(build: Build, area_pool: dict[str, Any]) -> None:
    findings = check_rules(build(area_pool), build(area_pool | {"units": ["a"]}))
    assert findings == (
        Finding(
            "unit",
            "b",
            "it is let and was charged by lift; no pool of the new rules names it",
            "list b in a pool",
        ),
    )


def test_a_vacant_unit_that_falls_out_is_nobodys_bill(build: Build, area_pool: dict[str, Any]) -> None:
    vacant = {"let": LET[:1]}
    assert subjects(build(area_pool, **vacant), build(area_pool | {"units": ["a"]}, **vacant)) == []


def test_a_load_that_falls_out_of_every_pool_is_found(
    build: Build, area_pool: dict[str, Any], own_use_pool: dict[str, Any]
) -> None:
    assert subjects(build(area_pool, own_use_pool), build(own_use_pool)) == ["node/lift"]


def test_a_unit_without_area_is_found_under_an_area_rule(build: Build, area_pool: dict[str, Any]) -> None:
    units = {"units": UNITS | {"b": (0, "n-b")}}
    assert subjects(build(area_pool, **units), build(area_pool, **units)) == ["unit/b"]


def test_a_pool_that_ends_inside_the_period_is_found_and_one_that_begins_later_is_not(
    build: Build, area_pool: dict[str, Any]
) -> None:
    in_force = build(area_pool)
    assert subjects(in_force, build(area_pool | {"to": "2026-07-01"})) == ["pool/lift"]
    assert subjects(in_force, build(area_pool | {"from": "2026-08-01"})) == []


def test_a_day_without_a_number_is_found_for_the_formula_that_needs_it(
    build: Build, formula_pool: dict[str, Any]
) -> None:
    pool = formula_pool | {"floors": {"f-1": ["a", "b"]}}
    assert subjects(build(pool), build(pool)) == ["series/tmax/2026-07-01"]
    known = build(pool, tmax={"2026-07-01": "30"})
    assert subjects(known, known) == []


def test_a_node_with_unknown_energy_is_found(build: Build, area_pool: dict[str, Any]) -> None:
    held = build(area_pool, quality={("lift", 5): SlotQuality.HELD, ("lift", 6): SlotQuality.MISSING})
    [finding] = check_rules(held, held)
    assert (finding.subject, finding.problem) == ("node/lift", "2 slots are held or missing")


def test_a_path_to_a_node_the_period_did_not_have_is_found(build: Build, area_pool: dict[str, Any]) -> None:
    draft = build(area_pool)
    without = build(area_pool, energy={"lift": 100, "n-a": 100, "n-b": 100, "lobby": 1, "new": 0})
    tried = Facts(draft.inputs, without.with_rules(_on(without, "new")).rules, draft.names)
    assert "node/new" in subjects(draft, tried)


def _on(facts: Facts, node: str) -> dict[str, Any]:
    """The rules with every pool's path at `node`."""
    pools = [{**pool, "path": [node]} for pool in facts.rules.document["pools"]["pools"]]
    return {**facts.rules.document, "pools": {**facts.rules.document["pools"], "pools": pools}}


def test_units_of_every_rule_are_known(
    build: Build, area_pool: dict[str, Any], own_use_pool: dict[str, Any], formula_pool: dict[str, Any]
) -> None:
    direct = {"id": "lab", "class": "exclusive", "rule": "direct", "unit": "b", "path": ["n-b"]}
    formula = formula_pool | {"floors": {"f-1": ["a"], "f-2": ["b"]}}
    pools = build(area_pool, own_use_pool | {"units": ["a"]}, formula, direct).rules.pools
    assert [units_of(pool) for pool in pools] == [("a", "b"), ("a",), ("a", "b"), ("b",)]
    reached = charged_units(build(area_pool, direct))
    assert reached == {UnitId("a"): frozenset({"lift"}), UnitId("b"): frozenset({"lift", "lab"})}


@pytest.mark.parametrize("empty", [None, ""])
def test_records_lack_what_is_absent_none_or_empty(empty: str | None) -> None:
    records: dict[str, dict[str, Any]] = {
        "one": {"lease": empty},
        "two": {"lease": "l-2"},
        "three": {},
        "four": {"lease": 0},
    }
    found = check_records(records, {"lease": "enter the lease"}, "order")
    assert [one.subject for one in found] == ["order/one", "order/three"]


def test_leaving_out_by_name_needs_the_very_name() -> None:
    findings = check_records({"one": {}, "two": {}}, {"lease": "enter the lease"}, "order")
    with pytest.raises(RecordsMissed) as caught:
        require_complete(findings, {"order/one", "two"})
    assert [one.record for one in caught.value.findings] == ["two"]
    assert "order/two: it has no lease, so the rule passes it by (enter the lease)" in str(caught.value)
    require_complete(findings, {"order/one", "order/two"})
