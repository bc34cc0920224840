"""Tiered prices: where a customer stands, month by month and over the year."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import CountedBefore, PeriodInputs
from allocation_engine.metered import price_changes
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import MeteredTrace, Run
from allocation_engine.tiered import Customer, customers_before
from allocation_engine.tiers import TierLimits, Tiers, TierSpan
from metering.identity import PartyId, PoolId, UnitId

MakeInputs = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
YEAR = Tiers(TierSpan.YEAR, TierLimits.WHOLE, (2_760_000, 4_800_000), (0, 50_000, 300_000))
MONTH = {"span": "month", "limits": "whole", "steps": [{"upto": "1", "add": "0"}, {"add": "0.10"}]}
YEARLY = {**MONTH, "span": "year"}
WHOLE = Fraction(1)


@pytest.mark.parametrize(
    ("before", "amount", "split"),
    [
        (0, 1_000_000, (1_000_000, 0, 0)),
        (2_500_000, 744_000, (260_000, 484_000, 0)),
        (2_760_000, 1, (0, 1, 0)),
        (2_759_999, 1, (1, 0, 0)),
        (0, 5_000_000, (2_760_000, 2_040_000, 200_000)),
        (5_000_000, 7, (0, 0, 7)),
        (0, 0, (0, 0, 0)),
        (100, -300, (-300, 0, 0)),
        (2_760_100, -300, (-200, -100, 0)),
    ],
)
def test_energy_falls_into_the_step_it_reaches(before: int, amount: int, split: tuple[int, ...]) -> None:
    assert YEAR.split(before, amount, WHOLE) == split


def test_limits_shrink_with_the_part_of_the_month() -> None:
    assert YEAR.split(0, 2_000_000, Fraction(1, 2)) == (1_380_000, 620_000, 0)


def test_limits_of_nothing_put_all_into_the_last_step() -> None:
    assert YEAR.split(0, 5, Fraction(0)) == (0, 0, 5)


@pytest.fixture
def flat(make_inputs: MakeInputs) -> PeriodInputs:
    """Unit a takes 1 kWh in each of 8 slots of 1 July; t-1 for the first half, t-2 for the rest."""
    return make_inputs(energy={"u-a": 1000}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 4), ("a", "t-2", 4, 8)])


def tiered(rules: Rules, inputs: PeriodInputs, tiers: Mapping[str, Any] | None, **changes: Any) -> Rules:
    """The same rules with tiers in the first tariff version, and other changes of the tariff file."""
    document = {**rules.document, "tariff": {**rules.document["tariff"], **changes}}
    versions = [dict(version) for version in document["tariff"]["versions"]]
    if tiers is not None:
        versions[0]["tiers"] = tiers
    document["tariff"]["versions"] = versions
    return rules_from_document(document, site_names(inputs))


def site_names(inputs: PeriodInputs) -> SiteNames:
    """What the rules may speak of."""
    return SiteNames(
        nodes=frozenset(node.id for node in inputs.nodes),
        units={unit.id: unit.node for unit in inputs.units},
        parties=frozenset({one.party for one in inputs.occupancies} | {inputs.owner}),
        owner=inputs.owner,
        currency="CNY",
    )


def costs(run: Run) -> dict[str, int]:
    """Amounts by party."""
    return {line.party: line.amount_minor for line in run.lines}


def before(party: str, amount: int, since: date = date(2026, 1, 1), pool: str = "own-use") -> CountedBefore:
    """What a party of unit a took before."""
    return CountedBefore(PoolId(pool), UnitId("a"), PartyId(party), since, amount)


def test_tiers_count_for_each_occupant_of_a_unit(
    flat: PeriodInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    run = close_period(flat, tiered(make_rules(flat, own_use_pool), flat, MONTH))
    # Each takes 4 kWh at 0.50, of which 3 kWh cost 0.10 more.
    assert costs(run) == {"t-1": 230, "t-2": 230}


def test_a_shared_pool_is_one_customer_at_the_average_price(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    inputs = make_inputs(energy={"lift": 1000}, units={"a": (300, None), "b": (100, None)})
    pool = {"id": "lift", "class": "must", "rule": "area", "path": ["lift"], "units": "all", "grain": "day"}
    run = close_period(inputs, tiered(make_rules(inputs, pool), inputs, MONTH))
    assert [pool.cost_minor for pool in run.pools] == [400 + 70]
    assert [line.amount_minor for line in run.lines] == [353, 117]
    assert [step.quantity_milli for step in run.pools[0].steps] == [7000]


def test_limits_count_by_occupied_time_where_the_tariff_says_so(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(
        energy={"u-a": 10}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 744), ("a", "t-2", 744, 2976)], slots=2976
    )
    tiers = {**MONTH, "limits": "occupied", "steps": [{"upto": "4", "add": "0"}, {"add": "1"}]}
    run = close_period(inputs, tiered(make_rules(inputs, own_use_pool), inputs, tiers))
    # t-1: 7.44 kWh, 1 kWh free of the quarter of the month; t-2: 22.32 kWh, 3 kWh.
    assert costs(run) == {"t-1": 372 + 644, "t-2": 1116 + 1932}


def test_tiers_of_the_year_go_on_where_the_year_stands(
    flat: PeriodInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    rules = tiered(make_rules(flat, own_use_pool), flat, YEARLY)
    known = replace(flat, counted_before=(before("t-1", 5000), before("t-2", 500)))
    run = close_period(known, rules)
    assert costs(run) == {"t-1": 240, "t-2": 235}
    trace = run.lines[0].trace
    assert isinstance(trace, MeteredTrace)
    assert [(piece.since, piece.before, piece.amount) for piece in trace.tiers] == [(date(2026, 1, 1), 5000, 4000)]


def test_where_nobody_knows_how_the_year_stands_the_period_is_refused(
    flat: PeriodInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    rules = tiered(make_rules(flat, own_use_pool), flat, YEARLY)
    assert customers_before(flat, rules) == {
        Customer(PoolId("own-use"), UnitId("a"), PartyId("t-1")): (date(2026, 1, 1),),
        Customer(PoolId("own-use"), UnitId("a"), PartyId("t-2")): (date(2026, 1, 1),),
    }
    with pytest.raises(PeriodNotReady, match="own-use/a/t-1: what was taken from 2026-01-01 to 2026-07-01 is not"):
        close_period(flat, rules)


def test_a_period_that_begins_with_the_month_needs_nothing_from_before(
    flat: PeriodInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    assert customers_before(flat, tiered(make_rules(flat, own_use_pool), flat, MONTH)) == {}


def test_occupied_limits_need_whole_months(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    late = make_inputs(
        energy={"u-a": 1000},
        units={"a": (100, "u-a")},
        let=[("a", "t-1", 0, 8)],
        start=datetime(2026, 7, 4, 16, 0, tzinfo=UTC),
    )
    known = replace(late, counted_before=(before("t-1", 0, date(2026, 7, 1)),))
    rules = tiered(make_rules(late, own_use_pool), late, {**MONTH, "limits": "occupied"})
    with pytest.raises(PeriodNotReady, match="limits by occupied time need whole months"):
        close_period(known, rules)


def test_a_new_price_in_the_month_goes_on_counting(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"u-a": 10}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 192)], slots=192)
    rules = make_rules(inputs, own_use_pool)
    (version,) = rules.document["tariff"]["versions"]
    first = {**version, "to": "2026-07-02", "tiers": {**MONTH, "steps": [{"upto": "1", "add": "0"}, {"add": "1"}]}}
    second = {
        **version,
        "id": "v-2",
        "from": "2026-07-02",
        "tiers": {**MONTH, "steps": [{"upto": "1.5", "add": "0"}, {"add": "2"}]},
    }
    run = close_period(inputs, tiered(rules, inputs, None, versions=[first, second]))
    # 0.96 kWh on the 1st in the first step; on the 2nd another 0.54 until 1.5 kWh, then 0.42 kWh at 2.00 more.
    assert costs(run) == {"t-1": 96 + 84}
    assert price_changes(rules_main(rules, inputs, first, second), inputs) == {0, 96}


def rules_main(rules: Rules, inputs: PeriodInputs, *versions: Mapping[str, Any]) -> Any:
    """The main tariff with these versions."""
    return tiered(rules, inputs, None, versions=list(versions)).tariff


def test_a_month_by_itself_is_where_tiers_begin_anew(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(
        energy={"u-a": 100},
        units={"a": (100, "u-a")},
        let=[("a", "t-1", 0, 192)],
        slots=192,
        start=datetime(2026, 7, 30, 16, 0, tzinfo=UTC),
    )
    known = replace(inputs, counted_before=(before("t-1", 10_000, date(2026, 7, 1)),))
    rules = tiered(make_rules(inputs, own_use_pool), inputs, MONTH)
    # 9.6 kWh on 31 July, all beyond the first; 9.6 kWh on 1 August, of which 1 kWh is in the first step.
    assert costs(close_period(known, rules)) == {"t-1": 960 + 96 + 86}
    assert price_changes(rules.tariff, inputs) == {0, 96}


def two_versions(rules: Rules, *, first: Mapping[str, Any] | None, second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Versions until and from 2 July, with these tiers."""
    (version,) = rules.document["tariff"]["versions"]
    early = {**version, "to": "2026-07-02", **({} if first is None else {"tiers": first})}
    return [early, {**version, "id": "v-2", "from": "2026-07-02", "tiers": second}]


def test_tiers_that_begin_inside_the_period_count_what_was_taken_in_it_before(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"u-a": 10}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 192)], slots=192)
    rules = make_rules(inputs, own_use_pool)
    versions = two_versions(rules, first=None, second=MONTH)
    run = close_period(inputs, tiered(rules, inputs, None, versions=versions))
    # 0.96 kWh on the 1st and 0.04 on the 2nd fill the first step; 0.92 kWh cost 0.10 more.
    assert costs(run) == {"t-1": 96 + 9}


def test_a_new_price_inside_the_year_goes_on_from_what_the_year_holds(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"u-a": 10}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 192)], slots=192)
    rules = make_rules(inputs, own_use_pool)
    versions = two_versions(rules, first=YEARLY, second={**YEARLY, "steps": [{"upto": "3", "add": "0"}, {"add": "1"}]})
    known = replace(inputs, counted_before=(before("t-1", 1500),))
    run = close_period(known, tiered(rules, inputs, None, versions=versions))
    # The 1st: 0.96 kWh at 0.10 more. The 2nd goes on at 2.46 kWh: 0.54 kWh free, 0.42 kWh at 1.00 more.
    assert costs(run) == {"t-1": round(96 + 9.6 + 42)}
    trace = run.lines[0].trace
    assert isinstance(trace, MeteredTrace)
    assert [(piece.before, piece.amount, piece.first, piece.end) for piece in trace.tiers] == [
        (1500, 960, 0, 96),
        (2460, 960, 96, 192),
    ]
