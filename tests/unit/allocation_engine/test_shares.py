"""Must and negotiated pools: weights by area and time, the customer's formula, residuals and fallbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.errors import AllWeightsZero, PeriodNotReady, SeriesIncomplete
from allocation_engine.formula.faults import FormulaUndefined
from allocation_engine.inputs import PeriodInputs
from allocation_engine.rules import Rules
from allocation_engine.run import LineKind, Run, ShareTrace

MakeInputs = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
Pool = Mapping[str, Any]
DAY = 96


def amounts(run: Run) -> dict[str, int]:
    """Amount of every line."""
    return {line.id: line.amount_minor for line in run.lines}


def test_a_must_pool_goes_by_area_and_occupied_slots(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(
        energy={"lift": 1000},
        units={"a": (300, None), "b": (100, None)},
        let=[("a", "t-1", 0, 2), ("a", "t-2", 2, 8)],
    )
    run = close_period(inputs, make_rules(inputs, area_pool))
    # 8 kWh at 0.50 are 400 fen; weights: b 100 x 8 = 800 for the owner, a 300 x 2 = 600 and 300 x 6 = 1800, of 3200.
    assert amounts(run) == {"lift/a/t-1": 75, "lift/a/t-2": 225, "lift/b/owner": 100}
    trace = run.lines[0].trace
    assert isinstance(trace, ShareTrace)
    assert (trace.area_cm2, trace.slots, trace.weight, trace.total_weight) == (300, 2, 3, 16)


def test_only_the_units_of_a_pool_share_it(make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool) -> None:
    inputs = make_inputs(energy={"lift": 1000}, units={"a": (300, None), "b": (100, None)}, let=[("b", "t-1", 0, 8)])
    run = close_period(inputs, make_rules(inputs, {**area_pool, "units": ["b"]}))
    assert amounts(run) == {"lift/b/t-1": 400}


def test_with_day_grain_each_days_cost_goes_to_that_days_occupants(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(
        energy={"lift": [1000] * DAY + [3000] * DAY},
        units={"a": (100, None)},
        let=[("a", "t-1", 0, DAY), ("a", "t-2", DAY, 2 * DAY)],
        slots=2 * DAY,
    )
    daily = close_period(inputs, make_rules(inputs, {**area_pool, "grain": "day"}))
    assert amounts(daily) == {"lift/a/t-1": 4800, "lift/a/t-2": 14400}
    at_once = close_period(inputs, make_rules(inputs, area_pool))
    assert amounts(at_once) == {"lift/a/t-1": 9600, "lift/a/t-2": 9600}


def test_energy_by_band_is_shared_like_the_cost_and_adds_up(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(energy={"lift": [7, 5]}, units=dict.fromkeys("abc", (1, None)), slots=2)
    run = close_period(inputs, make_rules(inputs, area_pool))
    assert [line.band_energy_wh for line in run.lines] == [(4,), (4,), (4,)]
    inputs = make_inputs(energy={"lift": [7, 7]}, units=dict.fromkeys("abc", (1, None)), slots=2)
    run = close_period(inputs, make_rules(inputs, area_pool))
    assert [line.band_energy_wh for line in run.lines] == [(5,), (5,), (4,)]


def test_all_weights_zero_without_a_fallback_refuses(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(energy={"lift": 1000}, units={"a": (0, None), "b": (0, None)})
    with pytest.raises(AllWeightsZero, match="pool lift: all weights are 0 on 2026-07-01 and it has no fallback"):
        close_period(inputs, make_rules(inputs, area_pool))


def test_all_weights_zero_goes_to_the_owner_if_declared(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(energy={"lift": 1000}, units={"a": (0, None)}, let=[("a", "t-1", 0, 8)])
    run = close_period(inputs, make_rules(inputs, {**area_pool, "fallback": "owner"}))
    assert amounts(run) == {"lift/a/t-1": 0, "lift/residual/owner": 400}
    assert run.lines[1].kind is LineKind.RESIDUAL
    assert run.pools[0].fallback == "all weights were 0 in 1 spans; fallback: owner"


def test_all_weights_zero_goes_by_occupied_slots_if_equal_is_declared(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(
        energy={"lift": 1000}, units={"a": (0, None), "b": (0, None)}, let=[("a", "t-1", 0, 8), ("b", "t-2", 0, 4)]
    )
    run = close_period(inputs, make_rules(inputs, {**area_pool, "fallback": "equal"}))
    assert amounts(run) == {"lift/a/t-1": 200, "lift/b/owner": 100, "lift/b/t-2": 100}


def test_a_pool_without_cost_charges_nothing_and_needs_no_weight(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(energy={"lift": 0}, units={"a": (0, None)}, let=[("a", "t-1", 0, 8)])
    assert set(amounts(close_period(inputs, make_rules(inputs, area_pool))).values()) == {0}


def test_a_negative_pool_is_shared_as_a_credit(make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool) -> None:
    inputs = make_inputs(
        energy={"lift": 0}, export={"lift": 1000}, units=dict.fromkeys("abc", (1, None)), let=[("a", "t-1", 0, 8)]
    )
    run = close_period(inputs, make_rules(inputs, {**area_pool, "measure": "net"}))
    assert amounts(run) == {"lift/a/t-1": -134, "lift/b/owner": -133, "lift/c/owner": -133}


def test_days_of_both_signs_cannot_be_weighed_by_day(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: Pool
) -> None:
    inputs = make_inputs(
        energy={"lift": [9] * DAY + [0] * DAY},
        export={"lift": [0] * DAY + [9] * DAY},
        units={"a": (1, None)},
        slots=2 * DAY,
    )
    pool = {**area_pool, "measure": "net", "grain": "day"}
    with pytest.raises(PeriodNotReady, match="some days are a cost and some a credit"):
        close_period(inputs, make_rules(inputs, pool))


def lobby(make_inputs: MakeInputs, days: int = 1, **changes: Any) -> PeriodInputs:
    """100.00 yuan a day; floor 1 has units a (60) and b (40), floor 2 has c (100); b is vacant."""
    facts: dict[str, Any] = {
        "energy": {"lobby": [200_000, *[0] * (DAY - 1)] * days},
        "units": {"a": (60, None), "b": (40, None), "c": (100, None)},
        "let": [("a", "t-1", 0, days * DAY), ("c", "t-2", 0, days * DAY)],
        "slots": days * DAY,
    }
    return make_inputs(**{**facts, **changes})


FLOORS = {"floors": {"f-1": ["a", "b"], "f-2": ["c"]}}


@pytest.mark.parametrize(
    ("tmax", "charged"), [("24", 0), ("26", 0), ("26.5", 500), ("31", 5000), ("36", 10000), ("40", 10000)]
)
def test_the_lobby_passes_on_what_the_clamp_allows_and_the_owner_bears_the_rest(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool, tmax: str, charged: int
) -> None:
    inputs = lobby(make_inputs)
    run = close_period(inputs, make_rules(inputs, {**formula_pool, **FLOORS}, tmax={"2026-07-01": tmax}))
    assert amounts(run) == {
        "lobby/a/t-1": charged * 60 // 200,
        "lobby/b/owner": charged * 40 // 200,
        "lobby/c/t-2": charged * 100 // 200,
        "lobby/residual/owner": 10000 - charged,
    }
    assert (run.pools[0].cost_minor, run.pools[0].charged_minor) == (10000, charged)


def test_a_smaller_clamp_passes_on_less(make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool) -> None:
    inputs = lobby(make_inputs)
    pool = {**formula_pool, **FLOORS, "clamp": ["0", "0.8"]}
    run = close_period(inputs, make_rules(inputs, pool, tmax={"2026-07-01": "40"}))
    assert run.pools[0].charged_minor == 8000


def test_each_day_has_its_own_temperature_and_occupants(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    inputs = lobby(
        make_inputs, days=2, let=[("a", "t-1", 0, DAY), ("a", "t-3", DAY, 2 * DAY), ("c", "t-2", 0, 2 * DAY)]
    )
    tmax = {"2026-07-01": "31", "2026-07-02": "36"}
    run = close_period(inputs, make_rules(inputs, {**formula_pool, **FLOORS}, tmax=tmax))
    assert amounts(run) == {
        "lobby/a/t-1": 1500,
        "lobby/a/t-3": 3000,
        "lobby/b/owner": 1000 + 2000,
        "lobby/c/t-2": 2500 + 5000,
        "lobby/residual/owner": 5000,
    }
    assert [(str(one.day), one.inputs[0][1], one.passed_on) for one in run.pools[0].days] == [
        ("2026-07-01", "31", (1, 2)),
        ("2026-07-02", "36", (1, 1)),
    ]


def test_a_handover_inside_a_day_splits_that_day_by_slots(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    inputs = lobby(make_inputs, let=[("a", "t-1", 0, 56), ("a", "t-3", 56, DAY), ("c", "t-2", 0, DAY)])
    run = close_period(inputs, make_rules(inputs, {**formula_pool, **FLOORS}, tmax={"2026-07-01": "36"}))
    assert (amounts(run)["lobby/a/t-1"], amounts(run)["lobby/a/t-3"]) == (1750, 1250)


def test_a_day_without_a_temperature_refuses_the_run(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    inputs = lobby(make_inputs, days=2)
    with pytest.raises(SeriesIncomplete, match="tmax has no number for 2026-07-02; its missing-day rule is refuse"):
        close_period(inputs, make_rules(inputs, {**formula_pool, **FLOORS}, tmax={"2026-07-01": "31"}))


def test_the_previous_day_may_step_in_once_and_is_named(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    inputs = lobby(make_inputs, days=2)
    pool = {**formula_pool, **FLOORS}
    run = close_period(inputs, make_rules(inputs, pool, tmax={"2026-07-01": "31"}, missing_day="previous-day"))
    name, number, observed_on = run.pools[0].days[1].inputs[0]
    assert (name, number, str(observed_on)) == ("tmax", "31", "2026-07-01")
    longer = lobby(make_inputs, days=3)
    with pytest.raises(SeriesIncomplete, match="2026-07-03"):
        close_period(longer, make_rules(longer, pool, tmax={"2026-07-01": "31"}, missing_day="previous-day"))


def test_decimals_of_a_temperature_are_kept_in_the_trace(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    inputs = lobby(make_inputs)
    run = close_period(inputs, make_rules(inputs, {**formula_pool, **FLOORS}, tmax={"2026-07-01": "-3.25"}))
    assert run.pools[0].days[0].inputs[0][1] == "-3.25"


def test_a_formula_that_divides_by_zero_refuses_the_run(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    # That a divisor may be 0 is found when rules are saved; that nothing has an area is a fact of the period.
    inputs = lobby(make_inputs, units=dict.fromkeys("abc", (0, None)))
    with pytest.raises(FormulaUndefined, match="divides by 0"):
        close_period(inputs, make_rules(inputs, {**formula_pool, **FLOORS}, tmax={"2026-07-01": "26"}))


def test_a_floor_without_area_leaves_its_part_to_the_residual_bearer(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    inputs = lobby(make_inputs, units={"a": (0, None), "b": (0, None), "c": (100, None)})
    pool = {**formula_pool, **FLOORS, "formula": "main_delta / 2"}
    run = close_period(inputs, make_rules(inputs, pool, tmax={"2026-07-01": "31"}))
    assert amounts(run)["lobby/c/t-2"] == 5000
    assert amounts(run)["lobby/residual/owner"] == 5000


def test_an_empty_lobby_costs_nothing_whatever_the_weather(
    make_inputs: MakeInputs, make_rules: MakeRules, formula_pool: Pool
) -> None:
    inputs = lobby(make_inputs)
    still = replace(inputs, import_wh=inputs.import_wh * 0)
    run = close_period(still, make_rules(still, {**formula_pool, **FLOORS}, tmax={"2026-07-01": "31"}))
    assert set(amounts(run).values()) == {0}
