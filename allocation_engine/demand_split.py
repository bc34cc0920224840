"""What stands for the demand of each taker, when a demand charge is shared: four methods, on quarter-hour means.

The mean power of a quarter hour is its energy x 4, so energies of slots are weighed; the factor cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from allocation_engine.drivers import Taker, Weighing, import_of, metered_nodes, require_one_medium, weigh
from allocation_engine.inputs import Int64Array
from allocation_engine.keys import DemandMethod, Driver, Key
from allocation_engine.pricing import PricedPeriod
from allocation_engine.splits import ONE, Span
from allocation_engine.unit_numbers import UnitNumbers
from metering.identity import NodeId


def weigh_demand(
    method: DemandMethod,
    takers: Sequence[Taker],
    priced: PricedPeriod,
    span: Span,
    *,
    peak_of: Sequence[NodeId],
    contracted: UnitNumbers | None,
) -> list[Weighing]:
    """Weigh `takers` by their demand in the slots of `span`.

    peak_of      whose peak and load factor count; empty for the takers' own sum
    contracted   by unit, for the contracted method only
    Raises       PeriodNotReady, SeriesIncomplete, InputsInvalid
    """
    if method is DemandMethod.CONTRACTED:
        if contracted is None:
            raise TypeError("contracted demand needs a table of contracts")
        return weigh(Key(ONE, (Driver.EQUAL,), (contracted,)), takers, priced, [span])
    require_one_medium(takers, priced, {})
    _, first, end = span
    loads = {taker.id: _held(taker, priced)[first:end] for taker in takers}
    together = import_of(peak_of, priced)[first:end] if peak_of else sum_of(list(loads.values()), end - first)
    match method:
        case DemandMethod.COINCIDENT:
            peaks = np.flatnonzero(together == together.max())
            text = f"demand at the peak of {peaks.size} quarter hours"
            return [_weighing(ONE, text, {one: int(load[peaks].sum()) for one, load in loads.items()})]
        case DemandMethod.NON_COINCIDENT:
            return [_weighing(ONE, "own peak", {one: int(load.max()) for one, load in loads.items()})]
        case DemandMethod.AVERAGE_AND_EXCESS:
            return _average_and_excess(loads, together)


def load_factor(together: Int64Array) -> Fraction:
    """Give mean / peak of a load; 1 where there is none."""
    peak = int(together.max())
    return Fraction(int(together.sum()), together.size * peak) if peak else ONE


def sum_of(loads: Sequence[Int64Array], slot_count: int) -> Int64Array:
    """Add up loads, slot by slot."""
    return np.asarray(sum(loads, np.zeros(slot_count, np.int64)))


def _average_and_excess(loads: dict[str, Int64Array], together: Int64Array) -> list[Weighing]:
    average = {one: int(load.sum()) for one, load in loads.items()}
    excess = {one: load.size * int(load.max()) - average[one] for one, load in loads.items()}
    factor = load_factor(together)
    return [
        _weighing(factor, "mean demand, for the load factor", average),
        _weighing(ONE - factor, "own peak above the mean, for the rest", excess),
    ]


def _weighing(part: Fraction, by: str, weights: dict[str, int]) -> Weighing:
    return Weighing.of(part, by, {one: Fraction(weight) for one, weight in weights.items()})


def _held(taker: Taker, priced: PricedPeriod) -> Int64Array:
    """Energy of a taker in the slots it takes part in, 0 elsewhere."""
    load = import_of(metered_nodes(taker, priced, {}), priced)
    held = np.zeros(load.size, np.int64)
    for first, end in taker.spans:
        held[first:end] = load[first:end]
    return held
