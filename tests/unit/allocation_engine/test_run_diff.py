"""Differences of two runs: each kind of change alone, several at once, rounding, and what cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from allocation_engine import run_diff
from allocation_engine.close_period import close_period
from allocation_engine.correction import correction_of, party_deltas
from allocation_engine.errors import InputsInvalid, NotConserved
from allocation_engine.facts import Facts
from allocation_engine.inputs import PeriodInputs
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.run_diff import Cause, RunDiff, RunsNotComparable, diff_facts
from allocation_engine.what_if import Scope, shadow, totals, what_if
from metering.errors import DocumentError
from metering.identity import NodeId, PartyId, PoolId

UNITS = {"a": (600_000, "n-a"), "b": (300_000, "n-b"), "c": (100_000, None)}
LET = [("a", "t-01", 0, 8), ("b", "t-02", 0, 8), ("c", "t-03", 0, 8)]
ENERGY = {"main": 5_000, "branch": 5_000, "lift": 1_000, "n-a": 2_000, "n-b": 1_500}
PARENTS = {"branch": "main", "lift": "main", "n-a": "main", "n-b": "main"}
OWN = {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": ["a", "b"]}
LIFT = {"id": "lift", "class": "must", "rule": "area", "path": ["lift"], "units": "all", "grain": "period"}
Build = Callable[..., Facts]


@pytest.fixture
def build(make_inputs: Callable[..., PeriodInputs], make_rules: Callable[..., Rules]) -> Build:
    """Builds facts; every part may be given otherwise."""

    def build_facts(
        *,
        energy: Mapping[str, Any] = ENERGY,
        parents: Mapping[str, str] = PARENTS,
        let: Any = LET,
        units: Any = UNITS,
        pools: tuple[Mapping[str, Any], ...] = (OWN, LIFT),
        rates: Mapping[str, str] | None = None,
    ) -> Facts:
        inputs = make_inputs(energy=energy, parents=parents, units=units, let=let)
        names = SiteNames(
            nodes=frozenset(node.id for node in inputs.nodes),
            units={unit.id: unit.node for unit in inputs.units},
            parties=frozenset({one.party for one in inputs.occupancies} | {inputs.owner}),
            owner=inputs.owner,
            currency="CNY",
        )
        return Facts(inputs, make_rules(inputs, *pools, rates=rates), names)

    return build_facts


def causes(diff: RunDiff) -> set[str]:
    """The causes that occur in a difference."""
    return {cause for line in diff.lines for cause, _ in line.causes}


def require_telescoped(diff: RunDiff) -> None:
    """Causes add up to lines, lines to parties."""
    for line in diff.lines:
        assert sum(delta for _, delta in line.causes) == line.delta_minor != 0
    by_party: dict[str, int] = {}
    for line in diff.lines:
        by_party[line.party] = by_party.get(line.party, 0) + line.delta_minor
    assert by_party == {one.party: one.delta_minor for one in diff.parties if one.party in by_party}
    assert sum(diff.by_cause.values()) == sum(one.delta_minor for one in diff.parties)


def test_equal_facts_do_not_differ(build: Build) -> None:
    diff = diff_facts(build(), build())
    assert (diff.lines, diff.changes, diff.before) == ((), (), diff.after)
    assert [one.delta_minor for one in diff.parties] == [0, 0, 0]


def test_another_reading_is_the_cause_where_its_energy_counts(build: Build) -> None:
    diff = diff_facts(build(), build(energy=ENERGY | {"n-a": [2_000] * 7 + [42_000]}))
    assert [(line.id, line.causes) for line in diff.lines] == [("own-use/a/t-01", (("reading", 2_000),))]
    assert [(one.cause, one.subject, one.told) for one in diff.changes] == [
        (Cause.READING, "n-a", "1 slots have another energy or quality")
    ]


def test_a_meter_that_moves_in_the_tree_is_topology_and_moves_no_money_by_itself(build: Build) -> None:
    diff = diff_facts(build(), build(parents=PARENTS | {"n-a": "branch"}))
    assert ({change.cause for change in diff.changes}, diff.lines) == ({Cause.TOPOLOGY}, ())


def test_another_tenant_is_a_lease_and_moves_the_money(build: Build) -> None:
    diff = diff_facts(build(), build(let=[*LET[:2], ("c", "t-04", 0, 8)]))
    assert [(line.id, line.causes) for line in diff.lines] == [
        ("lift/c/t-03", (("lease", -40),)),
        ("lift/c/t-04", (("lease", 40),)),
    ]


def test_another_price_is_the_tariff(build: Build) -> None:
    diff = diff_facts(build(), build(rates={"flat": "0.60"}))
    assert causes(diff) == {"tariff"}
    assert {(one.cause, one.subject) for one in diff.changes} == {(Cause.TARIFF, "tariff")}
    require_telescoped(diff)


def test_another_key_is_the_rule(build: Build) -> None:
    diff = diff_facts(build(), build(pools=(OWN, LIFT | {"units": ["a", "b"]})))
    assert causes(diff) == {"rule"}
    assert [(one.party, one.delta_minor) for one in diff.parties] == [("t-01", 27), ("t-02", 13), ("t-03", -40)]
    require_telescoped(diff)


def test_an_odd_fen_that_changes_hands_is_rounding(build: Build) -> None:
    """b and c swap parts of their areas with d; a's exact third stays, but the odd fen goes by remainder to another."""
    before = dict.fromkeys(("a", "b", "c"), (100000, None))
    let = [(one, f"t-{one}", 0, 8) for one in before]
    energy = {"lift": [100 * 20, 0, 0, 0, 0, 0, 0, 0]}
    pool = (LIFT,)
    old = build(energy=energy, parents={}, units=before, let=let, pools=pool)
    after = before | {"b": (80_000, None), "c": (120_000, None)}
    diff = diff_facts(old, build(energy=energy, parents={}, units=after, let=let, pools=pool))
    told = {line.unit: line.causes for line in diff.lines}
    assert told["a"] == (("rounding", -1),)
    assert {cause for unit in ("b", "c") for cause, _ in told[unit]} == {"lease"}


def test_several_changes_are_told_apart_and_add_up(build: Build) -> None:
    after = build(
        energy=ENERGY | {"lift": 3_000},
        parents=PARENTS | {"n-b": "branch"},
        let=[("a", "t-01", 0, 4), ("a", "t-09", 4, 8), *LET[1:]],
        rates={"flat": "0.70"},
        pools=(OWN, LIFT | {"units": ["a", "b"]}),
    )
    diff = diff_facts(build(), after)
    assert {change.cause for change in diff.changes} >= set(Cause) - {Cause.ROUNDING, Cause.ENGINE}
    assert causes(diff) >= {"reading", "lease", "tariff", "rule"}
    require_telescoped(diff)
    back = diff_facts(after, build())
    assert [(line.id, line.delta_minor) for line in back.lines] == [(line.id, -line.delta_minor) for line in diff.lines]


def test_steps_that_cannot_stand_alone_are_taken_together_and_named_both(build: Build) -> None:
    """The tree loses the lift while a pool still charges it: only with the new pools does it close."""
    energy = {node: wh for node, wh in ENERGY.items() if node != "lift"}
    parents = {node: up for node, up in PARENTS.items() if node != "lift"}
    diff = diff_facts(build(), build(energy=energy, parents=parents, pools=(OWN,)))
    assert causes(diff) == {"topology+rule"}
    assert sum(diff.by_cause.values()) == -400
    require_telescoped(diff)


def test_a_rules_all_units_follow_the_units_in_the_step_of_the_leases(build: Build) -> None:
    """A fourth unit joins the lift's "all units" when it joins the site, not when some price changes later."""
    units = UNITS | {"d": (100_000, None)}
    after = build(units=units, let=[*LET, ("d", "t-04", 0, 8)], rates={"flat": "0.60"})
    diff = diff_facts(build(), after)
    told = {line.id: dict(line.causes) for line in diff.lines}
    assert told["lift/d/t-04"]["lease"] > 0
    require_telescoped(diff)


def test_runs_of_other_periods_sites_or_currencies_are_not_compared(build: Build) -> None:
    facts = build()
    with pytest.raises(RunsNotComparable, match="are not the same site and period"):
        diff_facts(facts, replace(facts, inputs=replace(facts.inputs, site="other")))
    document = facts.rules.document
    dollars = {**document, "tariff": {**document["tariff"], "currency": "USD"}}
    foreign = replace(facts, names=replace(facts.names, currency="USD")).with_rules(dollars)
    with pytest.raises(RunsNotComparable, match="CNY and USD cannot be compared"):
        diff_facts(facts, foreign)


def test_a_difference_as_a_document_holds_integers_and_text_only(build: Build) -> None:
    document = diff_facts(build(), build(rates={"flat": "0.60"})).to_document()
    assert [party["delta_minor"] for party in document["parties"]] == sorted(
        (party["delta_minor"] for party in document["parties"]), reverse=True
    )
    assert document["lines"][0]["causes"] == [["tariff", document["lines"][0]["delta_minor"]]]


def test_a_cause_that_loses_a_fen_stops_the_difference(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = run_diff._merged
    monkeypatch.setattr(run_diff, "_merged", lambda parts: tuple((cause, delta - 1) for cause, delta in merged(parts)))
    with pytest.raises(NotConserved, match="do not add up to its difference"):
        diff_facts(build(), build(rates={"flat": "0.60"}))


# What-if and shadows


def test_a_change_may_be_tried_on_one_pool_only(build: Build) -> None:
    draft = build(pools=(OWN | {"units": ["a"]}, LIFT | {"units": ["a", "b"]}))
    diff = what_if(build(), draft, Scope(pools=frozenset({PoolId("lift")})))
    assert {line.pool for line in diff.lines} == {"lift"}
    assert {line.pool for line in what_if(build(), draft).lines} == {"lift", "own-use"}


def test_a_scope_that_names_no_pool_is_refused(build: Build) -> None:
    with pytest.raises(InputsInvalid, match="no pool roof in either version"):
        build().with_pools_of(build(), frozenset({PoolId("roof")}))


def test_a_change_may_be_looked_at_below_one_node_only(build: Build) -> None:
    diff = what_if(build(), build(rates={"flat": "0.60"}), Scope(nodes=frozenset({NodeId("n-a")})))
    assert {line.unit for line in diff.lines} == {"a"}
    assert [one.party for one in diff.parties] == ["t-01"]
    whole = what_if(build(), build(rates={"flat": "0.60"}), Scope(nodes=frozenset({NodeId("main")})))
    assert {line.unit for line in whole.lines} == {"a", "b"}, "c has no meter anywhere"


def test_a_shadow_adds_months_up_and_a_refusing_month_stops_no_other(build: Build) -> None:
    draft = build(rates={"flat": "0.60"})
    lapsed = build(pools=(OWN, LIFT | {"to": "2026-07-01"}))
    shadows = tuple(shadow([(build(), draft), (build(), lapsed), (build(), draft)]))
    assert [one.diff is None for one in shadows] == [False, True, False]
    assert "pool lift holds from 2026-01-01 to 2026-07-01" in shadows[1].refusal
    assert [one.subject for one in shadows[1].findings] == ["pool/lift"]
    one_month = {one.party: one.delta_minor for one in what_if(build(), draft).parties}
    assert {one.party: one.delta_minor for one in totals(shadows)} == {
        party: 2 * delta for party, delta in one_month.items()
    }
    assert shadows[1].to_document()["diff"] is None


def test_prices_that_do_not_fit_the_pools_are_refused(build: Build) -> None:
    facts = build()
    broken = replace(facts, rules=replace(facts.rules, document={**facts.rules.document, "tariff": {"format": 1}}))
    with pytest.raises(DocumentError):
        facts.with_prices_of(broken)


# Corrections


def test_delta_lines_add_up_and_carry_their_causes(build: Build) -> None:
    before, after = build(), build(energy=ENERGY | {"lift": 3_000}, rates={"flat": "0.70"})
    booked, new = (close_period(one.inputs, one.rules).to_document() for one in (before, after))
    lines = correction_of(booked, new, diff_facts(before, after))
    assert sum(line.delta_minor for line in lines) == sum(
        line["amount_minor"] * sign for sign, document in ((1, new), (-1, booked)) for line in document["lines"]
    )
    assert {cause for line in lines for cause, _ in line.causes} <= {"reading", "tariff"}
    assert list(party_deltas(lines)) == [PartyId("t-01"), PartyId("t-02"), PartyId("t-03")]
    assert sum(party_deltas(lines).values()) == sum(line.delta_minor for line in lines)


def test_what_nothing_explains_came_from_the_engine(build: Build) -> None:
    before, after = build(), build(rates={"flat": "0.60"})
    booked, new = (close_period(one.inputs, one.rules).to_document() for one in (before, after))
    assert {cause for line in correction_of(booked, new, None) for cause, _ in line.causes} == {"engine"}


def test_a_lost_fen_stops_the_correction(build: Build) -> None:
    before, after = build(), build(rates={"flat": "0.60"})
    booked, new = (close_period(one.inputs, one.rules).to_document() for one in (before, after))
    new["lines"][0]["amount_minor"] += 1
    with pytest.raises(NotConserved, match="the delta lines of own-use do not add up"):
        correction_of(booked, new, diff_facts(before, after))


def test_a_line_that_comes_and_one_that_goes_are_both_delta_lines(build: Build) -> None:
    before, after = build(), build(let=[*LET[:2], ("c", "t-04", 0, 8)])
    booked, new = (close_period(one.inputs, one.rules).to_document() for one in (before, after))
    lines = correction_of(booked, new, diff_facts(before, after))
    assert [(line.id, line.before_minor, line.after_minor) for line in lines] == [
        ("lift/c/t-03", 40, 0),
        ("lift/c/t-04", 0, 40),
    ]


def test_a_draft_tried_on_one_pool_keeps_its_prices(build: Build) -> None:
    draft = build(rates={"flat": "0.60"}, pools=(OWN, LIFT | {"units": ["a", "b"]}))
    diff = what_if(build(), draft, Scope(pools=frozenset({PoolId("own-use")})))
    assert causes(diff) == {"tariff"}
    assert {line.unit for line in diff.lines} == {"a", "b", "c"}, "the lift is still shared by all, at the new price"


def test_a_scope_below_a_node_that_is_not_there_is_refused(build: Build) -> None:
    with pytest.raises(InputsInvalid, match="no node roof in the tree"):
        what_if(build(), build(), Scope(nodes=frozenset({NodeId("roof")})))
