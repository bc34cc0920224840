"""What the top of every tree cost against what the pools charge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allocation_engine.inputs import Int64Array, PeriodInputs
from allocation_engine.media import Medium
from allocation_engine.money import to_minor
from allocation_engine.pricing import PricedPeriod, spread
from allocation_engine.run import PoolResult, Reconciliation


def reconcile(priced: PricedPeriod, pools: Sequence[PoolResult]) -> Reconciliation:
    """Price what came in at the top, each medium by the first tariff of its kind, and add the supplier's charges."""
    inputs = priced.inputs
    supplied: dict[Medium, int] = {}
    for tariff in priced.tariffs.values():
        if tariff.medium not in supplied:
            whole = spread([(0, 0, inputs.slot_count)], inputs.slot_count)
            by_band = priced.by_band(_supply(inputs, tariff.medium), whole, 1, tariff.id)[0]
            supplied[tariff.medium] = to_minor(priced.cost_nano(by_band), priced.currency)
    supply_minor = sum(supplied.values())
    charges_minor = sum(to_minor(charged.cost_nano, priced.currency) for charged in priced.charges.values())
    pooled_minor = sum(pool.cost_minor for pool in pools)
    return Reconciliation(
        supply_wh=int(_supply(inputs, Medium.ELECTRICITY).sum()),
        supply_minor=supply_minor,
        pooled_minor=pooled_minor,
        unshared_minor=supply_minor + charges_minor - pooled_minor,
        charges_minor=charges_minor,
    )


def _supply(inputs: PeriodInputs, medium: Medium) -> Int64Array:
    supply = np.zeros(inputs.slot_count, np.int64)
    for row, node in enumerate(inputs.nodes):
        for span in node.parents:
            if span.parent is None and node.medium is medium:
                supply[span.first : span.end] += inputs.import_wh[row, span.first : span.end]
    return supply
