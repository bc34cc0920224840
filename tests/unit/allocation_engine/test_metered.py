"""Exclusive pools: own registers to the slot, rounded per line, provable alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest

from allocation_engine.close_period import close_period
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.metered import (
    evidence_needed,
    is_plain,
    lines_one_by_one,
    metered_units,
    span_marks,
    split_metered,
)
from allocation_engine.party_evidence import PartyEvidence
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules
from allocation_engine.run import MeteredTrace
from metering.identity import NodeId, PartyId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from tests.doubles.loss_site import proven

MakeInputs = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
Pool = Mapping[str, Any]
TWO_BANDS = {"rates": {"low": "0.30", "high": "1.00"}, "hours": {"low": ["00:00-01:00"], "high": ["01:00-24:00"]}}


def test_own_use_goes_to_whoever_had_the_unit_in_each_slot(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: Pool
) -> None:
    inputs = make_inputs(
        energy={"u-a": [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000]},
        units={"a": (100, "u-a")},
        let=[("a", "t-1", 0, 3), ("a", "t-2", 5, 8)],
    )
    run = close_period(inputs, make_rules(inputs, own_use_pool, **TWO_BANDS))
    # low: slots 0-3 at 0.30, high: slots 4-7 at 1.00
    assert [(line.id, line.band_energy_wh, line.amount_minor) for line in run.lines] == [
        ("own-use/a/owner", (4000, 5000), 120 + 500),
        ("own-use/a/t-1", (6000, 0), 180),
        ("own-use/a/t-2", (0, 21000), 2100),
    ]
    assert run.pools[0].cost_minor == 2900


def test_a_tenant_who_comes_back_has_one_line_over_both_spans(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: Pool
) -> None:
    inputs = make_inputs(energy={"u-a": 1000}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 2), ("a", "t-1", 6, 8)])
    run = close_period(inputs, make_rules(inputs, own_use_pool))
    trace = run.lines_of(run.parties[1])[0].trace
    assert isinstance(trace, MeteredTrace)
    assert trace.spans == ((0, 2), (6, 8))
    assert trace.slots_by_quality == (("measured", 4),)


def test_each_line_is_rounded_once_and_the_pool_is_their_sum(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: Pool
) -> None:
    # Both halves cost 0.005 yuan: each rounds up, so the pool costs 2 fen although 10 Wh cost 1 fen.
    inputs = make_inputs(energy={"u-a": [5, 5]}, units={"a": (1, "u-a")}, let=[("a", "t-1", 0, 1)], slots=2)
    run = close_period(inputs, make_rules(inputs, own_use_pool, rates={"flat": "1"}))
    assert [line.amount_minor for line in run.lines] == [1, 1]
    assert run.pools[0].cost_minor == 2
    assert run.pools[0].cost_nano == 10_000_000


def test_a_direct_pool_charges_its_unit_and_deducts_what_is_charged_elsewhere(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: Pool
) -> None:
    inputs = make_inputs(
        energy={"garage": 100, "charger": 40},
        parents={"charger": "garage"},
        units={"a": (1, None), "b": (1, "charger")},
        let=[("a", "t-1", 0, 8)],
    )
    direct = {"id": "garage", "class": "exclusive", "rule": "direct", "path": ["garage"], "unit": "a"}
    pools = ({**direct, "deduct": ["charger"]}, {**own_use_pool, "units": ["b"]})
    run = close_period(inputs, make_rules(inputs, *pools, rates={"flat": "1"}))
    assert [(line.id, sum(line.band_energy_wh), line.amount_minor) for line in run.lines] == [
        ("garage/a/t-1", 480, 48),
        ("own-use/b/owner", 320, 32),
    ]


def test_net_energy_may_be_a_credit(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    inputs = make_inputs(energy={"roof": 100}, export={"roof": 350}, units={"a": (1, None)}, let=[("a", "t-1", 0, 8)])
    pool = {"id": "roof", "class": "exclusive", "rule": "direct", "path": ["roof"], "unit": "a", "measure": "net"}
    run = close_period(inputs, make_rules(inputs, pool, rates={"flat": "1"}))
    assert [line.amount_minor for line in run.lines] == [-200]


def test_a_unit_without_a_meter_cannot_be_in_own_use(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: Pool
) -> None:
    inputs = make_inputs(energy={"main": 1}, units={"a": (1, None)})
    with pytest.raises(PeriodNotReady, match="unit a has no meter of its own"):
        close_period(inputs, make_rules(inputs, own_use_pool))


def test_evidence_is_needed_where_something_changes_and_nowhere_else(
    make_inputs: MakeInputs, make_rules: MakeRules, own_use_pool: Pool
) -> None:
    inputs = make_inputs(
        energy={"u-a": 1, "lift": 1},
        units={"a": (1, "u-a")},
        let=[("a", "t-1", 0, 6)],
        quality={("u-a", 2): SlotQuality.ROLLOVER},
    )
    needed = evidence_needed(inputs, make_rules(inputs, own_use_pool, **TWO_BANDS))
    assert list(needed) == [("u-a", ENERGY_IMPORT)]
    assert needed[NodeId("u-a"), ENERGY_IMPORT] == tuple(inputs.mark(slot) for slot in (0, 2, 3, 4, 6, 8))


def test_net_energy_needs_evidence_of_both_registers(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    inputs = make_inputs(energy={"roof": 100}, units={"a": (1, None)})
    pool = {"id": "roof", "class": "exclusive", "rule": "direct", "path": ["roof"], "unit": "a", "measure": "net"}
    assert list(evidence_needed(inputs, make_rules(inputs, pool))) == [("roof", ENERGY_IMPORT), ("roof", ENERGY_EXPORT)]


def test_marks_of_a_span_are_its_ends_its_changes_and_its_weak_slots(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(
        energy={"u-a": 1}, quality={("u-a", 4): SlotQuality.ESTIMATED, ("u-a", 7): SlotQuality.EXCHANGE}
    )
    assert span_marks(inputs, NodeId("u-a"), (0, 2, 5, 6), 1, 6) == {1, 2, 4, 5, 6}


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("measure", ["import", "net"])
def test_units_priced_all_at_once_have_the_lines_of_units_priced_one_by_one(
    make_inputs: MakeInputs, make_rules: MakeRules, seed: int, measure: str
) -> None:
    draw = Random(seed)
    units = [f"u-{one}" for one in range(draw.randint(1, 5))]

    def amounts() -> list[int]:
        return [draw.choice((0, draw.randint(0, 10**6))) for _ in range(8)]

    let = []
    for unit in units:
        cuts = sorted({0, 8, *(draw.randint(0, 8) for _ in range(3))})
        let += [(unit, f"t-{draw.randint(1, 3)}", *span) for span in pairwise(cuts) if draw.random() < 0.8]
    inputs = make_inputs(
        energy={f"n-{unit}": amounts() for unit in units},
        export={f"n-{unit}": amounts() for unit in units if draw.random() < 0.5},
        units={unit: (100, f"n-{unit}") for unit in units},
        let=let,
        quality={(f"n-{draw.choice(units)}", draw.randrange(8)): SlotQuality(draw.randint(0, 3)) for _ in range(3)},
    )
    inputs = replace(inputs, import_wh=inputs.import_wh.astype(draw.choice([np.int32, np.int64])))
    own_use = {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": "all", "measure": measure}
    rules = make_rules(inputs, own_use, **TWO_BANDS)
    pool, priced = rules.pools[0], PricedPeriod.of(inputs, *rules.prices.tariffs)
    metered = tuple(metered_units(pool, inputs))
    assert is_plain(pool, priced, metered)
    _, lines = split_metered(pool, priced)
    assert lines == tuple(lines_one_by_one(pool, priced, metered))


def test_a_meter_that_counts_for_two_is_proven_at_the_marks_of_both(
    make_inputs: MakeInputs, make_rules: MakeRules
) -> None:
    """The kiosk's meter is taken off the hall's and charged to the kiosk, and both change hands, at different times."""
    bare = make_inputs(
        energy={"hall": 10, "kiosk": 3},
        parents={"kiosk": "hall"},
        units={"h": (100, "hall"), "k": (5, "kiosk")},
        let=[("h", "t-1", 0, 3), ("h", "t-2", 3, 8), ("k", "t-2", 0, 5), ("k", "t-1", 5, 8)],
    )
    hall = {"id": "hall", "class": "exclusive", "rule": "direct", "path": ["hall"], "unit": "h", "deduct": ["kiosk"]}
    own = {"id": "own", "class": "exclusive", "rule": "own-use", "units": ["k"]}
    rules = make_rules(bare, hall, own)
    inputs = proven(bare, rules)
    needed = evidence_needed(inputs, rules)
    at = {"hall": [0, 3, 8], "kiosk": [0, 3, 5, 8]}
    assert {node: list(marks) for (node, _), marks in needed.items()} == {
        node: [inputs.mark(slot) for slot in slots] for node, slots in at.items()
    }
    run = close_period(inputs, rules)
    found = PartyEvidence(run, inputs, rules)
    for party, marks in {"t-1": [0, 3, 5, 8], "t-2": [0, 3, 5, 8], "owner": []}.items():
        points = {point.node: point for point in found.of(run.lines_of(PartyId(party)))}
        readings = points[NodeId("kiosk")].readings if points else ()
        assert [one.mark for one in readings] == [inputs.mark(one) for one in marks]
    assert [(line.id, sum(line.band_energy_wh)) for line in run.lines] == [
        ("hall/h/t-1", 21),
        ("hall/h/t-2", 35),
        ("own/k/t-1", 9),
        ("own/k/t-2", 15),
    ]
