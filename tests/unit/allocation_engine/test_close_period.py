"""The spine: when a period cannot be closed, and that the same facts always give the same run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from allocation_engine import close_period as spine
from allocation_engine.close_period import close_period
from allocation_engine.errors import NotConserved, PeriodNotReady
from allocation_engine.inputs import ParentSpan, PeriodInputs
from allocation_engine.intervals import Reason, SlotException, SlotQuality
from allocation_engine.rules import Rules
from metering.identity import NodeId

MakeInputs = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
Pool = Mapping[str, Any]


@pytest.fixture
def building(make_inputs: MakeInputs) -> PeriodInputs:
    """A main meter over a unit and a lift."""
    return make_inputs(
        energy={"main": 1000, "u-a": 600, "lift": 399},
        parents={"u-a": "main", "lift": "main"},
        units={"a": (300, "u-a"), "b": (100, None)},
        let=[("a", "t-1", 0, 8)],
    )


@pytest.fixture
def pools(area_pool: Pool, own_use_pool: Pool) -> tuple[Pool, Pool]:
    """A must pool and own use of unit a."""
    return area_pool, {**own_use_pool, "units": ["a"]}


def reasons(inputs: PeriodInputs, rules: Rules) -> tuple[str, ...]:
    """Why the period cannot be closed."""
    with pytest.raises(PeriodNotReady) as caught:
        close_period(inputs, rules)
    return caught.value.reasons


def with_quality(inputs: PeriodInputs, node: str, slot: int, quality: SlotQuality) -> PeriodInputs:
    """The same inputs with one weak slot."""
    weak = inputs.quality.copy()
    weak[inputs.row(NodeId(node)), slot] = quality
    return replace(inputs, quality=weak)


def test_a_run_accounts_for_everything_the_main_meter_cost(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]
) -> None:
    run = close_period(building, make_rules(building, *pools))
    # 8.000 kWh at 0.50 are 4.00; 3.192 kWh of lift are 1.60, 4.800 kWh of unit a 2.40.
    assert [(pool.id, pool.cost_minor) for pool in run.pools] == [("lift", 160), ("own-use", 240)]
    assert run.reconciliation.supply_minor == 400
    assert run.reconciliation.unshared_minor == 0
    assert run.total_minor(run.parties[0]) + run.total_minor(run.parties[1]) == 400
    assert run.approvable


def test_a_held_slot_refuses_the_run_with_node_time_and_reason(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]
) -> None:
    held = with_quality(building, "u-a", 3, SlotQuality.HELD)
    fell = SlotException(
        SlotQuality.HELD,
        Reason.REGISTER_FELL,
        held.mark(3),
        held.mark(4),
        None,
        "m-u-a read 500 Wh, m-u-a read 20 Wh, multiplier 1",
    )
    held = replace(held, exceptions=((NodeId("u-a"), fell),))
    assert reasons(held, make_rules(held, *pools)) == (
        "u-a: 1 slots held from 2026-07-01T00:45+08:00 on "
        "(register-fell: m-u-a read 500 Wh, m-u-a read 20 Wh, multiplier 1)",
    )


def test_a_missing_slot_refuses_the_run_even_where_nobody_is_charged(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]
) -> None:
    missing = with_quality(building, "main", 7, SlotQuality.MISSING)
    (reason,) = reasons(missing, make_rules(missing, *pools))
    assert reason.startswith("main: 1 slots missing from 2026-07-01T01:45+08:00 on (no reason recorded)")


def test_a_node_outside_the_tree_may_be_unknown(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]
) -> None:
    missing = with_quality(building, "lift", 0, SlotQuality.MISSING)
    late = replace(missing.nodes[2], parents=(ParentSpan(1, 8, NodeId("main")),))
    close_period(replace(missing, nodes=(*missing.nodes[:2], late)), make_rules(missing, *pools))


@pytest.mark.parametrize("quality", [SlotQuality.ROLLOVER, SlotQuality.EXCHANGE, SlotQuality.ESTIMATED])
def test_estimated_exchanged_and_rolled_over_slots_count(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool], quality: SlotQuality
) -> None:
    weak = with_quality(building, "u-a", 3, quality)
    run = close_period(weak, make_rules(weak, *pools))
    assert (quality.name.lower(), 1) in run.lines_of(run.parties[1])[-1].trace.slots_by_quality  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("span", "told"),
    [
        ({"from": "2026-07-02"}, "pool lift holds from 2026-07-02, not for all of 2026-07-01 to 2026-07-01"),
        ({"to": "2026-07-01"}, "pool lift holds from 2026-01-01 to 2026-07-01, not for all of"),
    ],
)
def test_a_rule_that_does_not_hold_for_the_whole_period_refuses_the_run(
    building: PeriodInputs, make_rules: MakeRules, area_pool: Pool, span: Mapping[str, str], told: str
) -> None:
    (reason,) = reasons(building, make_rules(building, {**area_pool, **span}))
    assert reason.startswith(told)


def test_a_node_below_a_charged_node_is_not_charged_again(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]
) -> None:
    whole = {**pools[0], "id": "whole", "path": ["main"]}
    assert reasons(building, make_rules(building, pools[1], whole)) == (
        "node u-a of pool own-use lies below main of pool whole; deduct it there",
    )
    run = close_period(building, make_rules(building, pools[1], {**whole, "deduct": ["u-a"]}))
    assert [pool.cost_minor for pool in run.pools] == [240, 160]


def test_every_reason_is_told_at_once(building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]) -> None:
    weak = with_quality(with_quality(building, "u-a", 3, SlotQuality.HELD), "lift", 1, SlotQuality.MISSING)
    assert len(reasons(weak, make_rules(weak, {**pools[0], "to": "2026-07-01"}, pools[1]))) == 3


def test_a_loss_beyond_accuracy_leaves_a_case_to_approve(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(energy={"main": 10**6, "lift": 9 * 10**5}, parents={"lift": "main"}, units={"a": (1, None)})
    run = close_period(inputs, make_rules(inputs, area_pool))
    assert [case.node for case in run.cases] == ["main"]
    assert not run.approvable


def test_an_overdue_review_is_a_warning(building: PeriodInputs, make_rules: MakeRules, area_pool: Pool) -> None:
    due = make_rules(building, {**area_pool, "review_by": "2026-07-01"})
    assert close_period(building, due).warnings == ("pool lift was due for review by 2026-07-01",)
    later = make_rules(building, {**area_pool, "review_by": "2026-07-02"})
    assert close_period(building, later).warnings == ()


def test_the_same_facts_in_another_order_give_the_same_run(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]
) -> None:
    turned = replace(
        building,
        nodes=building.nodes[::-1],
        import_wh=building.import_wh[::-1],
        export_wh=building.export_wh[::-1],
        quality=building.quality[::-1],
        units=building.units[::-1],
        occupancies=building.occupancies[::-1],
    )
    assert close_period(turned, make_rules(turned, *pools)) == close_period(building, make_rules(building, *pools))


def test_the_run_id_changes_with_a_fact_a_rule_and_the_engine(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = make_rules(building, *pools)
    ids = {close_period(building, rules).id}
    ids.add(close_period(with_quality(building, "lift", 0, SlotQuality.ESTIMATED), rules).id)
    ids.add(close_period(building, make_rules(building, *pools, rates={"flat": "0.51"})).id)
    monkeypatch.setattr(spine, "ENGINE_VERSION", "next")
    ids.add(close_period(building, rules).id)
    assert len(ids) == 4


def test_lines_that_do_not_add_up_stop_the_run(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = spine.split_shared

    def careless(*arguments: Any) -> Any:
        result, lines = honest(*arguments)
        return result, (*lines[:-1], replace(lines[-1], amount_minor=lines[-1].amount_minor - 1))

    monkeypatch.setattr(spine, "split_shared", careless)
    with pytest.raises(NotConserved, match="pool lift costs 160 and its lines add up to 159"):
        close_period(building, make_rules(building, *pools))


def test_energy_that_does_not_add_up_stops_the_run(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = spine.split_shared

    def careless(*arguments: Any) -> Any:
        result, lines = honest(*arguments)
        return replace(result, band_energy_wh=(1,)), lines

    monkeypatch.setattr(spine, "split_shared", careless)
    with pytest.raises(NotConserved, match="pool lift has 1 Wh in band 0 and its lines 3192 Wh"):
        close_period(building, make_rules(building, *pools))


def test_a_run_is_a_document_that_json_can_hold(
    building: PeriodInputs, make_rules: MakeRules, pools: tuple[Pool, Pool]
) -> None:
    run = close_period(building, make_rules(building, *pools))
    document = json.loads(json.dumps(run.to_document()))
    assert document["id"] == run.id
    assert document["lines"][0]["id"] == "lift/a/t-1"
    assert document["lines"][0]["kind"] == "share"
    assert document["period"] == {"start": "2026-06-30T16:00:00+00:00", "end": "2026-06-30T18:00:00+00:00"}
    assert document["approvable"] is True


def test_a_period_over_a_clock_change_prices_its_100_slots(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(energy={"lift": 1000}, units={"a": (1, None)}, slots=100)
    berlin = type(inputs.calendar)("Europe/Berlin")
    start = berlin.midnight(datetime(2026, 10, 25).date())
    inputs = replace(inputs, calendar=berlin, period=type(inputs.period)(start, start + timedelta(hours=25)))
    hours = {"rates": {"day": "1", "night": "0"}, "hours": {"day": ["06:00-22:00"], "night": ["22:00-06:00"]}}
    run = close_period(inputs, make_rules(inputs, area_pool, **hours))
    assert [(band.name, wh) for band, wh in zip(run.bands, run.pools[0].band_energy_wh, strict=True)] == [
        ("night", 36_000),
        ("day", 64_000),
    ]
