"""Keys at work: what drives a weight, how stages pass a cost on, what happens where nobody has a weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.demand_split import load_factor, weigh_demand
from allocation_engine.drivers import weigh
from allocation_engine.errors import AllWeightsZero, InputsInvalid, PeriodNotReady, SeriesIncomplete
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.key_steps import KeyStep, parts_by_day
from allocation_engine.keys import DegreeDays, DemandMethod, Driver, EstimateLimit, Group, Key, Stage
from allocation_engine.layers import Span
from allocation_engine.media import Medium
from allocation_engine.pools import DemandRule, Fallback, Grain, KeyedRule, Pool
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules
from allocation_engine.run import LineKind, Run, ShareTrace
from allocation_engine.series import DailySeries, MissingDay
from allocation_engine.stages import estimated_area, split_by_keys
from allocation_engine.subjects import Subjects
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from metering.identity import NodeId, UnitId

Make = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
ONE = Fraction(1)
DAY = date(2026, 7, 1)
A, B = UnitId("a"), UnitId("b")


def table(values: Mapping[str, str], *, is_metered: bool = False) -> UnitNumbers:
    """Numbers that always hold."""
    days = {subject: ((date.min, Fraction(number)),) for subject, number in values.items()}
    return UnitNumbers("numbers", "1", "made up", MissingNumber.PREVIOUS, None, is_metered, days)


def key(*drivers: Driver, part: str = "1", **factors: Any) -> Key:
    """A key with these drivers."""
    return Key(Fraction(part), drivers or (Driver.EQUAL,), **factors)


def keyed(*stages: Stage, grain: Grain = Grain.PERIOD, fallback: Fallback | None = None) -> KeyedRule:
    """A rule over units a and b."""
    return KeyedRule((A, B), stages, grain, fallback, None)


def lease(*keys: Key) -> Stage:
    """The last stage."""
    return Stage("lease", keys, ())


@pytest.fixture
def inputs(make_inputs: Make) -> PeriodInputs:
    """Two days, two units of 30 and 10 m2; b changes hands after the first day."""
    day = [*([10] * 96), *([20] * 96)]
    return make_inputs(
        energy={"lift": 100, "u-a": day, "u-b": 10, "bldg": 40},
        units={"a": (300_000, "u-a"), "b": (100_000, "u-b")},
        let=[("a", "t-1", 0, 192), ("b", "t-2", 0, 96)],
        slots=192,
    )


@pytest.fixture
def run_of(make_rules: MakeRules, area_pool: dict[str, Any]) -> Callable[..., Run]:
    """Closes a period with pool `lift` under a rule."""

    def close(inputs: PeriodInputs, rule: KeyedRule | DemandRule, **rates: Any) -> Run:
        rules = make_rules(inputs, area_pool, **rates)
        pool = replace(rules.pools[0], rule=rule)
        return close_period(inputs, replace(rules, pools=(pool,)))

    return close


def amounts(run: Run) -> dict[str, int]:
    """Amount by unit (or residual) and party."""
    return {line.id.removeprefix("lift/"): line.amount_minor for line in run.lines}


def weights(
    inputs: PeriodInputs, rules: Rules, one: Key, units: Sequence[str] = ("a", "b"), *, by_day: bool = False
) -> list[dict[str, int]]:
    """Weights of whole units, whoever holds them."""
    priced = PricedPeriod.of(inputs, rules.tariff)
    spans = inputs.day_spans() if by_day else [(DAY, 0, inputs.slot_count)]
    found = weigh(one, whole_units(inputs, units, spans), priced, spans)
    assert found.totals.tolist() == [found.weights.sum(axis=0).tolist()]
    return [dict(zip(units, column, strict=True)) for column in found.weights.T.tolist()]


def whole_units(inputs: PeriodInputs, units: Sequence[str], spans: Sequence[Span]) -> Subjects:
    """Units for the whole period, whoever holds them."""
    groups = [Group(unit, (UnitId(unit),), None) for unit in units]
    return Subjects.of_groups(groups, inputs, spans, [[UnitId(unit) for unit in units]])


@pytest.fixture
def rules(inputs: PeriodInputs, make_rules: MakeRules, area_pool: dict[str, Any]) -> Rules:
    """Rules with two bands: night until 07:00."""
    hours = {"night": ["00:00-07:00"], "day": ["07:00-24:00"]}
    return make_rules(inputs, area_pool, rates={"night": "0.30", "day": "1.00"}, hours=hours)


# ---- drivers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (key(Driver.AREA), {"a": 3, "b": 1}),
        (key(), {"a": 1, "b": 1}),
        (key(Driver.ENERGY), {"a": 3, "b": 2}),
        (key(Driver.AREA, Driver.ENERGY), {"a": 9, "b": 2}),
        (key(numbers=(table({"a": "0.25", "b": "0.5"}),)), {"a": 1, "b": 2}),
        (key(numbers=(table({"a": "2", "b": "3"}), table({"a": "5", "b": "7"}))), {"a": 10, "b": 21}),
        (key(Driver.LOAD, rated=table({"a": "3", "b": "1"})), {"a": 1, "b": 2}),
        (key(times=(("day", ONE), ("night", Fraction(0)))), {"a": 1, "b": 1}),
        (key(Driver.AREA, numbers=(table({"a": "0", "b": "1"}),)), {"a": 0, "b": 1}),
    ],
)
def test_a_weight_is_the_product_of_its_factors(
    inputs: PeriodInputs, rules: Rules, one: Key, expected: dict[str, int]
) -> None:
    assert weights(inputs, rules, one) == [expected]


def test_a_weight_of_each_day_counts_only_that_day(inputs: PeriodInputs, rules: Rules) -> None:
    assert weights(inputs, rules, key(Driver.ENERGY), by_day=True) == [{"a": 1, "b": 1}, {"a": 2, "b": 1}]


def test_hours_count_by_the_bands_of_the_tariff(
    make_inputs: Make, make_rules: MakeRules, area_pool: dict[str, Any]
) -> None:
    night = [*([10] * 28), *([0] * 68)]
    inputs = make_inputs(
        energy={"lift": 1, "u-a": night, "u-b": 10}, units={"a": (1, "u-a"), "b": (1, "u-b")}, slots=96
    )
    hours = {"night": ["00:00-07:00"], "day": ["07:00-24:00"]}
    rules = make_rules(inputs, area_pool, rates={"night": "0.30", "day": "1.00"}, hours=hours)
    twice = key(Driver.ENERGY, times=(("day", Fraction(1)), ("night", Fraction(2))))
    # a: 28 x 10 x 2; b: 28 x 10 x 2 + 68 x 10
    assert weights(inputs, rules, twice) == [{"a": 14, "b": 31}]


def test_hours_without_a_coefficient_are_refused(inputs: PeriodInputs, rules: Rules) -> None:
    with pytest.raises(PeriodNotReady, match="no time coefficient for the hours of night"):
        weights(inputs, rules, key(times=(("day", ONE),)))


def temperatures(*numbers: str) -> DailySeries:
    """Temperatures of the first days of July."""
    days = tuple((date(2026, 7, place), Fraction(number)) for place, number in enumerate(numbers, 1))
    return DailySeries("tmax", "C", "made up", MissingDay.REFUSE, days)


@pytest.mark.parametrize(("base", "is_above", "expected"), [("26", True, [5, 0]), ("30", False, [0, 5])])
def test_a_day_weighs_by_its_degrees_on_one_side_of_the_base(
    inputs: PeriodInputs, rules: Rules, base: str, is_above: bool, expected: list[int]
) -> None:
    degree_days = DegreeDays(temperatures("31", "25"), Fraction(base), is_above)
    assert [degree_days.on(date(2026, 7, day)) for day in (1, 2)] == expected
    one = key(degree_days=degree_days, numbers=(table({"a": "1", "b": "3"}),))
    found = weights(inputs, rules, one, by_day=True)
    assert [sum(part.values()) > 0 for part in found] == [degrees > 0 for degrees in expected]


def test_a_day_without_a_temperature_is_refused(inputs: PeriodInputs, rules: Rules) -> None:
    with pytest.raises(SeriesIncomplete, match="2026-07-02"):
        weights(inputs, rules, key(degree_days=DegreeDays(temperatures("31"), Fraction(26), is_above=True)))


def test_numbers_change_on_their_day(inputs: PeriodInputs, rules: Rules) -> None:
    days = {"a": ((DAY, ONE),), "b": ((DAY, ONE), (date(2026, 7, 2), Fraction(5)))}
    persons = UnitNumbers("persons", "1", "gate", MissingNumber.PREVIOUS, None, is_metered=False, days=days)
    assert weights(inputs, rules, key(numbers=(persons,))) == [{"a": 1, "b": 3}]


def test_a_unit_without_a_meter_cannot_be_weighed_by_energy(
    make_inputs: Make, make_rules: MakeRules, area_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"lift": 1}, units={"a": (1, None)})
    with pytest.raises(PeriodNotReady, match="unit a has no meter of its own"):
        weights(inputs, make_rules(inputs, area_pool), key(Driver.ENERGY), units=("a",))


def test_litres_are_not_weighed_against_kilowatt_hours(inputs: PeriodInputs, rules: Rules) -> None:
    nodes = tuple(replace(one, medium=Medium.WATER) if one.id == "u-b" else one for one in inputs.nodes)
    with pytest.raises(InputsInvalid, match="electricity and water together"):
        weights(replace(inputs, nodes=nodes), rules, key(Driver.ENERGY))


def test_a_rated_power_of_nothing_has_no_load_rate(inputs: PeriodInputs, rules: Rules) -> None:
    with pytest.raises(PeriodNotReady, match="it has no load rate"):
        weights(inputs, rules, key(Driver.LOAD, rated=table({"a": "1", "b": "0"})))


def test_a_key_may_name_other_meters_than_the_units_own(inputs: PeriodInputs, rules: Rules) -> None:
    one = key(Driver.ENERGY, meters=((B, NodeId("bldg")),))
    assert weights(inputs, rules, one) == [{"a": 3, "b": 8}]


# ---- stages ----------------------------------------------------------------------------------------------------------


def test_a_party_pays_for_the_slots_in_which_it_held_the_unit(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    run = run_of(inputs, keyed(lease(key(Driver.AREA))))
    assert amounts(run) == {"a/t-1": 720, "b/t-2": 120, "b/owner": 120}


def test_parts_of_a_cost_go_by_keys_of_their_own(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    run = run_of(inputs, keyed(lease(key(Driver.AREA, part="0.5"), key(Driver.ENERGY, part="0.5"))))
    assert amounts(run) == {"a/t-1": 648, "b/t-2": 156, "b/owner": 156}


def test_what_reaches_a_floor_stays_on_it(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    groups = Group("f-1", (A,), None), Group("f-2", (B,), None)
    floors = Stage("floor", (key(numbers=(table({"f-1": "1", "f-2": "3"}),)),), groups)
    run = run_of(inputs, keyed(floors, lease(key(Driver.AREA))))
    assert amounts(run) == {"a/t-1": 240, "b/t-2": 360, "b/owner": 360}


def test_a_group_may_have_a_meter_of_its_own(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    groups = Group("f-1", (A,), None), Group("f-2", (B,), NodeId("bldg"))
    run = run_of(inputs, keyed(Stage("floor", (key(Driver.ENERGY),), groups), lease(key())))
    assert amounts(run)["a/t-1"] == round(960 * 15 / 55)


def test_a_group_that_nothing_reaches_needs_no_weights_inside(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    groups = Group("f-1", (A,), None), Group("f-2", (B,), None)
    floors = Stage("floor", (key(numbers=(table({"f-1": "1", "f-2": "0"}),)),), groups)
    nobody = lease(key(numbers=(table({"a": "1", "b": "0"}),)))
    run = run_of(inputs, keyed(floors, nobody))
    assert amounts(run) == {"a/t-1": 960, "b/t-2": 0, "b/owner": 0}
    (empty,) = [line for line in run.lines if line.party == "t-2"]
    assert isinstance(empty.trace, ShareTrace)
    assert [(step.taker, step.weight) for step in empty.trace.keys] == [("f-2", 0)]


def test_each_day_may_be_divided_by_its_own_weights(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    run = run_of(inputs, keyed(lease(key(Driver.ENERGY)), grain=Grain.DAY))
    assert amounts(run) == {"a/t-1": 240 + 320, "b/t-2": 240, "b/owner": 160}
    assert [one.cost_nano for one in run.pools[0].days] == [4_800_000_000, 4_800_000_000]


ZERO = table({"a": "0", "b": "0"})


def test_nobody_with_a_weight_refuses_the_run(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    with pytest.raises(AllWeightsZero, match="pool lift: all weights of equal x numbers are 0 on 2026-07-01"):
        run_of(inputs, keyed(lease(key(numbers=(ZERO,)))))


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        (Fallback.OWNER, {"a/t-1": 360, "b/t-2": 60, "b/owner": 60, "residual/owner": 480}),
        (Fallback.EQUAL, {"a/t-1": 600, "b/t-2": 180, "b/owner": 180}),
    ],
)
def test_a_fallback_takes_only_the_part_that_nobody_has_a_weight_for(
    inputs: PeriodInputs, run_of: Callable[..., Run], fallback: Fallback, expected: dict[str, int]
) -> None:
    rule = keyed(lease(key(Driver.AREA, part="0.5"), key(numbers=(ZERO,), part="0.5")), fallback=fallback)
    run = run_of(inputs, rule)
    assert amounts(run) == expected
    assert run.pools[0].fallback == f"all weights of equal x numbers were 0; fallback: {fallback}"
    assert {line.kind for line in run.lines if line.unit is None} <= {LineKind.RESIDUAL}


def test_every_line_can_be_divided_again_by_its_steps(inputs: PeriodInputs, run_of: Callable[..., Run]) -> None:
    groups = Group("f-1", (A,), None), Group("f-2", (B,), None)
    floors = Stage("floor", (key(Driver.AREA, part="0.3"), key(Driver.ENERGY, part="0.7")), groups)
    run = run_of(inputs, keyed(floors, lease(key(Driver.ENERGY))))
    for line in run.lines:
        assert isinstance(line.trace, ShareTrace)
        assert parts_by_day(line.trace.keys) == {None: Fraction(line.trace.weight, line.trace.total_weight)}
        assert [KeyStep.from_wire(step.to_wire()) for step in line.trace.keys] == list(line.trace.keys)


def test_steps_of_a_fallback_cannot_be_divided_again() -> None:
    step = KeyStep(DAY, "lease", "a/t-1", "equal", (1, 1), 0, 0)
    assert parts_by_day([step]) is None
    assert KeyStep.from_wire(step.to_wire()) == step


def test_only_keyed_pools_are_split_by_keys(inputs: PeriodInputs, rules: Rules) -> None:
    pool: Pool = rules.pools[0]
    with pytest.raises(TypeError, match="lift is not shared by keys"):
        split_by_keys(pool, PricedPeriod.of(inputs, rules.tariff), inputs.day_spans(), [1, 1])


# ---- estimates -------------------------------------------------------------------------------------------------------


def estimated(inputs: PeriodInputs, node: str, slots: int) -> PeriodInputs:
    """The same with the first slots of a node estimated."""
    quality = inputs.quality.copy()
    quality[inputs.row(NodeId(node)), :slots] = SlotQuality.ESTIMATED
    return replace(inputs, quality=quality)


@pytest.mark.parametrize(
    ("node", "slots", "slots_max", "part"),
    [("u-a", 1, "0", "3/4"), ("u-b", 1, "0", "1/4"), ("u-a", 48, "0.25", "0"), ("u-a", 49, "0.25", "3/4")],
)
def test_a_unit_counts_as_estimated_once_too_many_of_its_slots_are(
    inputs: PeriodInputs, rules: Rules, node: str, slots: int, slots_max: str, part: str
) -> None:
    priced = PricedPeriod.of(estimated(inputs, node, slots), rules.tariff)
    assert estimated_area((A, B), priced, Fraction(slots_max), {}) == Fraction(part)


def test_the_meters_of_a_key_decide_what_is_estimated(inputs: PeriodInputs, rules: Rules) -> None:
    priced = PricedPeriod.of(estimated(inputs, "bldg", 1), rules.tariff)
    assert estimated_area((A, B), priced, Fraction(0), {A: NodeId("bldg")}) == Fraction(3, 4)


def test_a_site_without_area_has_no_estimated_area(
    make_inputs: Make, make_rules: MakeRules, area_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"lift": 1}, units={"a": (0, None)})
    priced = PricedPeriod.of(inputs, make_rules(inputs, area_pool).tariff)
    assert estimated_area((A,), priced, Fraction(0), {}) == 0


@pytest.mark.parametrize(("node", "first"), [("u-b", 672), ("u-a", 720)])
def test_too_much_estimated_area_leaves_the_fixed_key_alone(
    inputs: PeriodInputs, run_of: Callable[..., Run], node: str, first: int
) -> None:
    limit = EstimateLimit(Fraction(1, 4), Fraction(0), "section 9a (2)")
    mixed = keyed(lease(key(Driver.ENERGY, part="0.7"), key(Driver.AREA, part="0.3")))
    run = run_of(estimated(inputs, node, 5), replace(mixed, estimates=limit))
    energy_and_area = round(960 * (Fraction(7, 10) * Fraction(15, 25) + Fraction(3, 10) * Fraction(3, 4)))
    assert amounts(run)["a/t-1"] == (energy_and_area if node == "u-b" else first)
    told = "75.0 % of the area is estimated, more than 25.0 %: only area counts (section 9a (2))"
    assert run.pools[0].fallback == (None if node == "u-b" else told)


def test_too_much_estimated_area_without_a_fixed_key_refuses_the_run(
    inputs: PeriodInputs, run_of: Callable[..., Run]
) -> None:
    limit = EstimateLimit(Fraction(1, 4), Fraction(0), "section 9a (2)")
    with pytest.raises(PeriodNotReady, match="stage lease has no fixed key"):
        run_of(estimated(inputs, "u-a", 5), replace(keyed(lease(key(Driver.ENERGY))), estimates=limit))


# ---- demand ----------------------------------------------------------------------------------------------------------


def demand(
    inputs: PeriodInputs, rules: Rules, method: DemandMethod, *peak_of: str, contracted: UnitNumbers | None = None
) -> list[tuple[Fraction, dict[str, int]]]:
    """Parts and weights of units a and b."""
    priced = PricedPeriod.of(inputs, rules.tariff)
    spans = [(DAY, 0, inputs.slot_count)]
    nodes, subjects = tuple(map(NodeId, peak_of)), whole_units(inputs, ("a", "b"), spans)
    found = weigh_demand(method, subjects, priced, spans, peak_of=nodes, contracted=contracted)
    return [(one.parts[0], dict(zip("ab", one.weights[:, 0].tolist(), strict=True))) for one in found]


@pytest.fixture
def peaky(make_inputs: Make) -> PeriodInputs:
    """Four slots: a peaks early, b late, the site in between and at the end."""
    energy = {"lift": 1, "main": [5, 90, 10, 90], "u-a": [40, 20, 0, 20], "u-b": [0, 10, 30, 40]}
    return make_inputs(energy=energy, units={"a": (1, "u-a"), "b": (1, "u-b")}, slots=4, let=[("a", "t-1", 0, 2)])


@pytest.fixture
def flat(peaky: PeriodInputs, make_rules: MakeRules, area_pool: dict[str, Any]) -> Rules:
    """One price."""
    return make_rules(peaky, area_pool)


def test_coincident_demand_is_that_at_the_peak_of_all(peaky: PeriodInputs, flat: Rules) -> None:
    assert demand(peaky, flat, DemandMethod.COINCIDENT) == [(ONE, {"a": 1, "b": 2})]


def test_slots_that_tie_for_the_peak_all_count(peaky: PeriodInputs, flat: Rules) -> None:
    # main has two peaks: a 20 + 20, b 10 + 40
    assert demand(peaky, flat, DemandMethod.COINCIDENT, "main") == [(ONE, {"a": 4, "b": 5})]


def test_non_coincident_demand_is_ones_own_peak(peaky: PeriodInputs, flat: Rules) -> None:
    assert demand(peaky, flat, DemandMethod.NON_COINCIDENT) == [(ONE, {"a": 1, "b": 1})]


def test_average_and_excess_takes_the_load_factor_of_all(peaky: PeriodInputs, flat: Rules) -> None:
    # mean of all 40, peak 60: 2/3; sums 80 and 80; peaks above the mean 4 x 40 - 80 each
    assert demand(peaky, flat, DemandMethod.AVERAGE_AND_EXCESS) == [
        (Fraction(2, 3), {"a": 1, "b": 1}),
        (Fraction(1, 3), {"a": 1, "b": 1}),
    ]
    assert demand(peaky, flat, DemandMethod.AVERAGE_AND_EXCESS, "main")[0][0] == Fraction(195, 360)


def test_contracted_demand_is_what_the_contract_says(peaky: PeriodInputs, flat: Rules) -> None:
    contract = table({"a": "630", "b": "315"})
    assert demand(peaky, flat, DemandMethod.CONTRACTED, contracted=contract) == [(ONE, {"a": 2, "b": 1})]
    with pytest.raises(TypeError, match="needs a table of contracts"):
        demand(peaky, flat, DemandMethod.CONTRACTED)


def test_a_peak_is_charged_to_who_held_the_unit_then(peaky: PeriodInputs, run_of: Callable[..., Run]) -> None:
    rule = DemandRule((A, B), DemandMethod.COINCIDENT, (NodeId("main"),), None, Grain.PERIOD, None)
    run = run_of(peaky, rule, rates={"flat": "1000"})
    assert amounts(run) == {
        "a/t-1": round(400 * 20 / 90),
        "a/owner": round(400 * 20 / 90),
        "b/owner": round(400 * 50 / 90),
    }
    told = [step.by for line in run.lines if isinstance(line.trace, ShareTrace) for step in line.trace.keys]
    assert set(told) == {"demand at the peak of 2 quarter hours"}


@pytest.mark.parametrize("method", [DemandMethod.COINCIDENT, DemandMethod.NON_COINCIDENT])
def test_no_demand_at_all_is_refused_or_falls_back(
    make_inputs: Make, run_of: Callable[..., Run], method: DemandMethod
) -> None:
    inputs = make_inputs(energy={"lift": 1000, "u-a": 0, "u-b": 0}, units={"a": (1, "u-a"), "b": (1, "u-b")})
    rule = DemandRule((A, B), method, (), None, Grain.PERIOD, None)
    with pytest.raises(AllWeightsZero):
        run_of(inputs, rule)
    assert amounts(run_of(inputs, replace(rule, fallback=Fallback.OWNER)))["residual/owner"] == 400


def test_a_load_without_any_has_a_load_factor_of_one(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"u-a": 0, "u-b": [0, 0, 0, 8, 0, 0, 0, 0]})
    assert [load_factor(row) for row in inputs.import_wh] == [1, Fraction(1, 8)]
