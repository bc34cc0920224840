"""Slots laid over bands: energy of nodes, sums by group, exact prices, occupants in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from allocation_engine.errors import InputsInvalid
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.pools import Measure
from allocation_engine.pricing import PricedPeriod, spread
from allocation_engine.rules import Rules
from metering.identity import NodeId, UnitId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT

A, B = NodeId("a"), NodeId("b")


@pytest.fixture
def priced(make_inputs: Callable[..., PeriodInputs], make_rules: Callable[..., Rules]) -> PricedPeriod:
    """Two nodes over eight slots; the first hour is low, the second high."""
    inputs = make_inputs(
        energy={"a": [1, 2, 3, 4, 5, 6, 7, 8], "b": 10},
        export={"b": 4},
        units={"x": (1, "a")},
        let=[("x", "t-2", 0, 2), ("x", "t-1", 4, 8)],
        quality={("b", 1): SlotQuality.ESTIMATED},
    )
    pool = {"id": "p", "class": "must", "rule": "area", "path": ["a"], "units": "all", "grain": "period"}
    hours = {"low": ["00:00-01:00"], "high": ["01:00-24:00"]}
    return PricedPeriod.of(inputs, make_rules(inputs, pool, rates={"low": "0.3", "high": "1.1"}, hours=hours).tariff)


def test_energy_of_nodes_adds_up_and_deducted_nodes_are_taken_off(priced: PricedPeriod) -> None:
    assert priced.energy([A, B], [], Measure.IMPORT).tolist() == [11, 12, 13, 14, 15, 16, 17, 18]
    assert priced.energy([B], [A], Measure.IMPORT).tolist() == [9, 8, 7, 6, 5, 4, 3, 2]


def test_net_energy_takes_export_off(priced: PricedPeriod) -> None:
    assert priced.energy([B], [], Measure.NET).tolist() == [6] * 8
    assert priced.energy([A], [B], Measure.NET).tolist() == [-5, -4, -3, -2, -1, 0, 1, 2]


def test_a_measure_knows_its_registers() -> None:
    assert Measure.IMPORT.registers == (ENERGY_IMPORT,)
    assert Measure.NET.registers == (ENERGY_IMPORT, ENERGY_EXPORT)


def test_an_unknown_node_is_refused(priced: PricedPeriod) -> None:
    with pytest.raises(InputsInvalid, match="no node 'c'"):
        priced.energy([NodeId("c")], [], Measure.IMPORT)


def test_groups_and_bands_are_summed_apart(priced: PricedPeriod) -> None:
    energy_wh = priced.energy([A], [], Measure.IMPORT)
    groups = spread([(0, 0, 3), (1, 5, 8)], 8)
    assert groups.tolist() == [0, 0, 0, -1, -1, 1, 1, 1]
    assert priced.by_band(energy_wh, groups, 2) == [(6, 0), (0, 21)]


def test_cost_is_an_exact_integer_of_nano_yuan(priced: PricedPeriod) -> None:
    assert [(band.name, band.rate_micro) for band in priced.bands] == [("low", 300_000), ("high", 1_100_000)]
    assert priced.cost_nano((6, 21)) == 6 * 300_000 + 21 * 1_100_000
    assert priced.cost_nano((10**15, 10**15)) == 1_400_000 * 10**15


def test_quality_is_given_per_node(priced: PricedPeriod) -> None:
    assert priced.quality([B, A]).tolist() == [[0, 3, 0, 0, 0, 0, 0, 0], [0] * 8]


def test_occupants_come_sorted_with_their_spans(priced: PricedPeriod) -> None:
    spans = {party: [(one.first, one.end) for one in ones] for party, ones in priced.occupants(UnitId("x")).items()}
    assert list(spans.items()) == [("owner", [(2, 4)]), ("t-1", [(4, 8)]), ("t-2", [(0, 2)])]
