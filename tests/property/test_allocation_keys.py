"""Laws of keys, stages and services: nothing is lost at any stage, order means nothing, exact to less than a fen."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allocation_engine.close_period import close_period
from allocation_engine.demand_split import weigh_demand
from allocation_engine.inputs import LettableUnit, NodeKind, Occupancy, ParentSpan, PeriodInputs, TreeNode
from allocation_engine.inputs import fill_vacancies as fill
from allocation_engine.key_steps import parts_by_day
from allocation_engine.keys import DemandMethod, Group
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Run, ShareTrace
from allocation_engine.service_costs import (
    ServiceMethod,
    Services,
    ServicesUnsolvable,
    require_solvable,
    settle_services,
)
from allocation_engine.subjects import Subjects
from metering.identity import NodeId, PartyId, PoolId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

START = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
SLOTS = 192
OWNER = PartyId("owner")
SHARED = ("heating", "lift", "load", "peak", "mean", "own-peak", "contract")
UNITS = 4


@st.composite
def periods(draw: st.DrawFn) -> PeriodInputs:
    """Two days of four units on two floors, with handovers at any slot; some loads are zero throughout."""
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = [*(f"u-{one}" for one in range(UNITS)), *SHARED]
    energy = seed.integers(0, draw(st.sampled_from([2, 5_000, 10**8])), (len(names), SLOTS), np.int64)
    for row in range(UNITS):
        energy[row] *= draw(st.integers(0, 1))
    areas = [draw(st.sampled_from([0, 1, 123_456, 10**8])) for _ in range(UNITS)]
    units = tuple(LettableUnit(UnitId(f"{one}"), area, NodeId(f"u-{one}")) for one, area in enumerate(areas))
    let = [
        Occupancy(unit.id, PartyId(f"t-{draw(st.integers(1, 3))}"), first, first + draw(st.integers(1, SLOTS - first)))
        for unit in units
        if draw(st.booleans())
        for first in [draw(st.integers(0, SLOTS - 1))]
    ]
    return PeriodInputs(
        site=SiteId("park"),
        label="2026-07",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(START, START + SLOTS * timedelta(minutes=15)),
        site_hash=bytes(32),
        owner=OWNER,
        nodes=tuple(TreeNode(NodeId(name), NodeKind.END, (ParentSpan(0, SLOTS, None),), 10_000) for name in names),
        import_wh=energy,
        export_wh=np.zeros_like(energy),
        quality=np.zeros(energy.shape, np.uint8),
        exceptions=(),
        evidence=(),
        units=units,
        occupancies=fill(units, let, OWNER, SLOTS),
    )


def rules_for(inputs: PeriodInputs, *, shuffled: bool = False, services: bool = True) -> Rules:
    """Keys of every kind over two bands; `shuffled` writes the same rules in another order."""
    stages = [
        {"name": "floor", "keys": [{"by": ["coefficient"]}], "groups": {"f-1": ["0", "1"], "f-2": ["2", "3"]}},
        {
            "name": "lease",
            "keys": [
                {"part": "0.6", "by": ["area", "persons"], "times": {"low": "0.5", "high": "1.25"}},
                {"part": "0.4", "by": ["equal"], "degree_days": {"series": "tmax", "above": "26"}},
            ],
        },
    ]
    heating = [{"part": "0.7", "by": ["energy"]}, {"part": "0.3", "by": ["area"]}]
    methods = zip(SHARED[3:], ("coincident", "average-and-excess", "non-coincident", "contracted"), strict=True)
    demands = [{"id": name, "rule": "demand", "method": method} for name, method in methods]
    demands[-1]["contracted"] = "persons"
    pools: list[dict[str, Any]] = [
        {"id": "heating", "rule": "keys", "keys": heating},
        {"id": "lift", "rule": "keys", "stages": stages, "grain": "day"},
        {"id": "load", "rule": "keys", "keys": [{"by": ["load"], "rated": "persons"}], "fallback": "equal"},
        *demands,
    ]
    for pool in pools:
        pool |= {"class": "must", "path": [pool["id"]], "units": "all", "measure": "import", "from": "2026-01-01"}
        pool |= {"names": {"zh": "池", "en": "pool"}}
        pool.setdefault("grain", "period")
        pool.setdefault("fallback", "owner")
    numbers = [
        {"name": "persons", "values": {"0": "3", "1": "1.5", "2": "7", "3": "0.000001"}},
        {"name": "coefficient", "values": {"f-1": "0.1", "f-2": "0.3"}},
    ]
    numbers = [{**one, "unit": "1", "source": "made up"} for one in numbers]
    content: dict[str, Any] = {"format": 1, "series": [_SERIES], "unit_numbers": numbers, "pools": pools}
    if services:
        usage = [
            {"pool": "heating", "by": {"load": "0.25", "peak": "0.125"}},
            {"pool": "load", "by": {"heating": "0.5", "peak": "0.3"}},
        ]
        content["services"] = {"method": "reciprocal", "order": ["heating", "load", "peak"], "usage": usage}
    if shuffled:
        for table in (pools, heating, numbers):
            table.reverse()
        stages[0]["groups"] = dict(reversed(list(stages[0]["groups"].items())))  # type: ignore[attr-defined]
    season = {"months": list(range(1, 13)), "low": ["22:00-07:00"], "high": ["07:00-22:00"]}
    version = {"id": "v-1", "from": "2026-01-01", "rates": {"low": "0.289113", "high": "1.0847"}, "seasons": [season]}
    document = {
        "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
        "pools": content,
        "series": {"tmax": [["2026-07-01", "31.5"], ["2026-07-02", "26.5"]]},
    }
    names = SiteNames(
        nodes=frozenset(node.id for node in inputs.nodes),
        units={unit.id: unit.node for unit in inputs.units},
        parties=frozenset({OWNER}),
        owner=OWNER,
        currency="CNY",
    )
    return rules_from_document(document, names)


_SERIES = {"name": "tmax", "unit": "C", "file": "-", "column": "-", "source": "made up", "missing_day": "refuse"}


def lines_of(run: Run) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Amount and energy by line."""
    return {line.id: (line.amount_minor, line.band_energy_wh) for line in run.lines}


@given(periods())
@settings(deadline=None, max_examples=40)
def test_every_pool_is_conserved_in_money_and_in_every_band(inputs: PeriodInputs) -> None:
    run = close_period(inputs, rules_for(inputs))
    for pool in run.pools:
        lines = [line for line in run.lines if line.pool == pool.id]
        assert sum(line.amount_minor for line in lines) == pool.cost_minor
        for band, energy_wh in enumerate(pool.band_energy_wh):
            assert sum(line.band_energy_wh[band] for line in lines) == energy_wh


@given(periods())
@settings(deadline=None, max_examples=25)
def test_services_move_cost_between_pools_and_lose_none(inputs: PeriodInputs) -> None:
    served, alone = (close_period(inputs, rules_for(inputs, services=one)) for one in (True, False))
    assert sum(pool.cost_minor for pool in served.pools) == sum(pool.cost_minor for pool in alone.pools)
    assert [one.method for one in served.service_methods] == list(ServiceMethod)
    for outcome in served.service_methods:
        assert outcome.refused is None
        assert sum(amount for _, amount in outcome.pools) == sum(amount for _, amount in outcome.parties)
    charged: dict[PartyId, int] = defaultdict(int)
    for line in served.lines:
        if line.pool in ("heating", "load", "peak"):
            charged[line.party] += line.amount_minor
    assert dict(served.service_methods[-1].parties) == charged


@given(periods(), st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_the_order_in_which_facts_and_rules_are_written_means_nothing(inputs: PeriodInputs, seed: int) -> None:
    shuffler = random.Random(seed)
    order = shuffler.sample(range(len(inputs.nodes)), len(inputs.nodes))
    other = replace(
        inputs,
        nodes=tuple(inputs.nodes[index] for index in order),
        import_wh=inputs.import_wh[order],
        export_wh=inputs.export_wh[order],
        quality=inputs.quality[order],
        units=tuple(shuffler.sample(inputs.units, len(inputs.units))),
        occupancies=tuple(shuffler.sample(inputs.occupancies, len(inputs.occupancies))),
    )
    first, second = close_period(inputs, rules_for(inputs)), close_period(other, rules_for(other, shuffled=True))
    assert lines_of(first) == lines_of(second)


@given(periods())
@settings(deadline=None, max_examples=40)
def test_every_share_is_its_exact_part_to_less_than_a_fen(inputs: PeriodInputs) -> None:
    run = close_period(inputs, rules_for(inputs))
    for line in run.lines:
        assert isinstance(line.trace, ShareTrace)
        parts = parts_by_day(line.trace.keys)
        if not parts:
            continue
        pool = next(one for one in run.pools if one.id == line.pool)
        if None in parts:
            exact = pool.cost_minor * parts[None]
        else:
            nano = sum((one.cost_nano * parts.get(one.day, Fraction(0)) for one in pool.days), Fraction(0))
            exact = pool.cost_minor * nano / pool.cost_nano if pool.cost_nano else Fraction(0)
        assert abs(line.amount_minor - exact) < 1


@given(periods())
@settings(deadline=None, max_examples=25)
def test_what_reaches_a_floor_is_what_its_lines_add_up_to(inputs: PeriodInputs) -> None:
    """Floors have coefficients 1 and 3, so a quarter and three quarters, within the rounding of their lines."""
    run = close_period(inputs, rules_for(inputs))
    pool = next(one for one in run.pools if one.id == "lift")
    lines = [line for line in run.lines if line.pool == "lift"]
    assume(all(line.unit is not None for line in lines))
    for units, part in ((("0", "1"), Fraction(1, 4)), (("2", "3"), Fraction(3, 4))):
        floor = [line.amount_minor for line in lines if line.unit in units]
        assert abs(sum(floor) - pool.cost_minor * part) < len(floor)


def heating_by_hand(inputs: PeriodInputs) -> dict[str, Fraction]:
    """The exact parts of the heating pool, computed slot by slot without any of the engine's code."""
    energy: dict[str, int] = defaultdict(int)
    area: dict[str, int] = defaultdict(int)
    areas = {unit.id: unit.area_cm2 for unit in inputs.units}
    for one in inputs.occupancies:
        row = [node.id for node in inputs.nodes].index(NodeId(f"u-{one.unit}"))
        energy[f"{one.unit}/{one.party}"] += sum(int(wh) for wh in inputs.import_wh[row, one.first : one.end])
        area[f"{one.unit}/{one.party}"] += areas[one.unit] * (one.end - one.first)
    parts: dict[str, Fraction] = defaultdict(Fraction)
    for part, weights in ((Fraction(7, 10), energy), (Fraction(3, 10), area)):
        total = sum(weights.values())
        for share, weight in weights.items():
            parts[share] += part * Fraction(weight, total) if total else 0
        if not total:
            parts["residual/owner"] += part
    return parts


@given(periods())
@settings(deadline=None, max_examples=40)
def test_a_mixed_key_agrees_with_a_slow_second_engine(inputs: PeriodInputs) -> None:
    run = close_period(inputs, rules_for(inputs, services=False))
    pool = next(one for one in run.pools if one.id == "heating")
    exact = heating_by_hand(inputs)
    for line in run.lines:
        if line.pool == "heating":
            assert abs(line.amount_minor - pool.cost_minor * exact[line.id.removeprefix("heating/")]) < 1


@given(periods(), st.sampled_from([one for one in DemandMethod if one is not DemandMethod.CONTRACTED]))
@settings(deadline=None, max_examples=40)
def test_parts_of_demand_add_up_and_more_load_never_weighs_less(inputs: PeriodInputs, method: DemandMethod) -> None:
    rules = rules_for(inputs)
    spans = [(date(2026, 7, 1), 0, SLOTS)]
    groups = [Group(unit.id, (unit.id,), None) for unit in inputs.units]
    subjects = Subjects.of_groups(groups, inputs, spans, [[unit.id for unit in inputs.units]])
    weighed = []
    for times in (1, 3):
        energy = inputs.import_wh.copy()
        energy[0] *= times
        priced = PricedPeriod.of(replace(inputs, import_wh=energy), rules.tariff)
        found = weigh_demand(method, subjects, priced, spans, peak_of=(NodeId("lift"),), contracted=None)
        assert sum(one.parts[0] for one in found) == 1
        assert all((one.weights >= 0).all() for one in found)
        weighed.append([Fraction(int(one.weights[0, 0]), int(one.totals[0, 0]) or 1) for one in found])
    assert all(less <= more for less, more in zip(*weighed, strict=True))


@st.composite
def services(draw: st.DrawFn) -> Services:
    """Up to five services that use any of each other in tenths."""
    names = [PoolId(f"s-{one}") for one in range(draw(st.integers(1, 5)))]
    usage: dict[PoolId, dict[PoolId, Fraction]] = {}
    for name in names:
        left = 10
        usage[name] = {}
        for other in names:
            tenths = draw(st.integers(0, left)) if other != name else 0
            left -= tenths
            if tenths:
                usage[name][other] = Fraction(tenths, 10)
    return Services(draw(st.sampled_from(list(ServiceMethod))), tuple(draw(st.permutations(names))), usage)


@given(services(), st.lists(st.integers(-(10**9), 10**12), min_size=5, max_size=5))
@settings(deadline=None, max_examples=200)
def test_services_are_settled_to_the_fen_or_refused_beforehand(one: Services, costs: list[int]) -> None:
    own = dict(zip(one.order, costs, strict=False))
    try:
        require_solvable(one.method, one)
    except ServicesUnsolvable:
        return
    settled = settle_services(one.method, one, own)
    assert sum(cost.cost_minor for cost in settled.values()) == sum(own.values())
    assert all(cost.adds_up for cost in settled.values())


@given(services(), st.lists(st.integers(0, 10**9), min_size=5, max_size=5))
@settings(deadline=None, max_examples=60)
def test_the_reciprocal_result_is_what_passing_on_for_ever_comes_to(one: Services, costs: list[int]) -> None:
    own = dict(zip(one.order, costs, strict=False))
    assume(all(one.to_users(pool) > Fraction(1, 20) for pool in one.order))
    held = {pool: float(cost) for pool, cost in own.items()}
    borne = dict.fromkeys(own, 0.0)
    for _ in range(600):
        passed = dict.fromkeys(own, 0.0)
        for pool, amount in held.items():
            borne[pool] += amount * float(one.to_users(pool))
            for user, part in one.usage[pool].items():
                passed[user] += amount * float(part)
        held = passed
    settled = settle_services(ServiceMethod.RECIPROCAL, one, own)
    assert all(abs(settled[pool].cost_minor - borne[pool]) < 1.5 for pool in own)


@given(services())
@settings(deadline=None, max_examples=60)
def test_the_order_of_services_matters_to_step_down_alone(one: Services) -> None:
    own = {pool: 1000 + 7 * place for place, pool in enumerate(sorted(one.order))}
    for method in (ServiceMethod.DIRECT, ServiceMethod.RECIPROCAL):
        try:
            first = settle_services(method, one, own)
        except ServicesUnsolvable:
            continue
        turned = Services(one.method, tuple(reversed(one.order)), one.usage)
        assert settle_services(method, turned, own) == first
