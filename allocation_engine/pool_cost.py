"""What a shared pool costs in each of its spans: energy by band, what tiers add to it, or a supply charge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from allocation_engine.apportion import round_together
from allocation_engine.costs import CostStep, steps_nano
from allocation_engine.pools import Pool
from allocation_engine.pricing import PricedPeriod, spread
from allocation_engine.tiered import Customer, tier_pieces, tier_steps
from metering.identity import NodeId


@dataclass(frozen=True, slots=True)
class PoolCost:
    """Energy [base units] by span and band, and cost [10^-9 currency units] by span; `steps` are part of the cost."""

    path: tuple[NodeId, ...]
    by_band: list[tuple[int, ...]]
    costs_nano: list[int]
    steps: tuple[CostStep, ...]


def cost_of(pool: Pool, priced: PricedPeriod, spans: Sequence[tuple[date, int, int]]) -> PoolCost:
    """Cost a shared pool over `spans` (day, first slot, end slot); raises PeriodNotReady."""
    if pool.charge is not None:
        charged = priced.charges[pool.charge]
        empty = [(0,) * len(priced.bands)] * len(spans)
        return PoolCost((charged.node,), empty, _spread_evenly(charged.cost_nano, spans), charged.steps)
    energy = priced.energy(pool.path, pool.deduct, pool.measure)
    cells = spread([(i, first, end) for i, (_, first, end) in enumerate(spans)], priced.inputs.slot_count)
    by_band = priced.by_band(energy, cells, len(spans), pool.tariff)
    pieces = tier_pieces(priced, pool, Customer(pool.id, None, None), energy, [(0, priced.inputs.slot_count)])
    steps = tier_steps(priced.bands, pool.tariff, pieces)
    added_nano = _spread_by_energy(steps_nano(steps), [sum(one) for one in by_band])
    costs_nano = [priced.cost_nano(one) + added for one, added in zip(by_band, added_nano, strict=True)]
    return PoolCost(pool.path, by_band, costs_nano, steps)


def _spread_by_energy(nano: int, energies: Sequence[int]) -> list[int]:
    """Lay what tiers add over the spans by their energy: every unit of a pool costs the same on average."""
    total = sum(energies)
    if not nano or not total:
        return [nano if span == 0 else 0 for span in range(len(energies))]
    return _whole([Fraction(nano * one, total) for one in energies])


def _spread_evenly(nano: int, spans: Sequence[tuple[date, int, int]]) -> list[int]:
    """Lay a charge over the spans by their slots: a month's charge has no dearer days."""
    total = sum(end - first for _, first, end in spans)
    return _whole([Fraction(nano * (end - first), total) for _, first, end in spans])


def _whole(exact: Sequence[Fraction]) -> list[int]:
    rounded = round_together({f"{place:06d}": part for place, part in enumerate(exact)})
    return [rounded[place] for place in sorted(rounded)]
