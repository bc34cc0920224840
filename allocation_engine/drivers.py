"""From keys to weights: whole numbers per grain span, exact, for everybody who takes part in a stage.

    weight = sum over cells of (area) x (numbers of the day) x (degree-days) x sum over bands of coefficient x quantity

A cell is a day, or a whole grain span where nothing changes daily; the quantity is energy, or occupied slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import lcm
from operator import mul

import numpy as np

from allocation_engine.apportion import integer_weights
from allocation_engine.errors import InputsInvalid, PeriodNotReady
from allocation_engine.inputs import Int64Array
from allocation_engine.keys import Driver, Key
from allocation_engine.pricing import PricedPeriod, spread
from allocation_engine.splits import NONE, ONE, Span
from metering.identity import NodeId, UnitId


@dataclass(frozen=True, slots=True)
class Taker:
    """Who takes part in one stage: a group of units, or a party in one unit.

    subject  what tables of numbers call it: the group, or the unit
    node     what meters it as a whole; None where the meters of its units add up
    spans    slots [first, end) in which it takes part
    """

    id: str
    subject: str
    units: tuple[UnitId, ...]
    node: NodeId | None
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Weighing:
    """A part of the cost, and the weights it is divided by; `by` says in words what they are."""

    part: Fraction
    by: str
    weights: dict[str, int]
    total: int

    @classmethod
    def of(cls, part: Fraction, by: str, weights: Mapping[str, Fraction]) -> Weighing:
        """Weigh in whole numbers of the proportion of `weights`."""
        whole = integer_weights(weights)
        return cls(part, by, whole, sum(whole.values()))


def weigh(key: Key, takers: Sequence[Taker], priced: PricedPeriod, spans: Sequence[Span]) -> list[Weighing]:
    """Weigh `takers` by `key`, once per grain span; raises PeriodNotReady, SeriesIncomplete, InputsInvalid."""
    placed = [
        (place, cell)
        for cell in (priced.inputs.day_spans() if key.is_daily else spans)
        for place, (_, first, end) in enumerate(spans)
        if first <= cell[1] < end
    ]
    cells, span_of_cell = [cell for _, cell in placed], [place for place, _ in placed]
    meters = dict(key.meters)
    if key.measures:
        require_one_medium(takers, priced, meters)
    coefficients = _coefficients(key, priced)
    weights = [dict.fromkeys((taker.id for taker in takers), NONE) for _ in spans]
    for taker in takers:
        steady = _area(taker, priced) if Driver.AREA in key.drivers else 1
        cell_of_slot = _cells_held(taker, cells, priced.inputs.slot_count)
        by_band = priced.by_band(_quantity(key, taker, priced), cell_of_slot, len(cells), key.times_of)
        for cell, quantities in enumerate(by_band):
            counted = sum(map(mul, coefficients, quantities))
            if counted:
                weights[span_of_cell[cell]][taker.id] += _of_day(key, taker, cells[cell][0]) * (steady * counted)
    return [Weighing.of(key.part, key.text, one) for one in weights]


def metered_nodes(taker: Taker, priced: PricedPeriod, meters: Mapping[UnitId, NodeId]) -> tuple[NodeId, ...]:
    """Give the nodes that meter a taker: those of `meters`, else its units' own; raises PeriodNotReady without any."""
    if taker.node is not None:
        return (taker.node,)
    nodes = []
    for unit in taker.units:
        node = meters.get(unit) or priced.inputs.unit(unit).node
        if node is None:
            raise PeriodNotReady((f"unit {unit} has no meter of its own, and the key counts its energy",))
        nodes.append(node)
    return tuple(nodes)


def import_of(nodes: Sequence[NodeId], priced: PricedPeriod) -> Int64Array:
    """Add up what `nodes` took, by slot [Wh, or base units of their medium]."""
    rows = [priced.inputs.row(node) for node in nodes]
    return np.asarray(priced.inputs.import_wh[rows].sum(axis=0, dtype=np.int64))


def require_one_medium(takers: Sequence[Taker], priced: PricedPeriod, meters: Mapping[UnitId, NodeId]) -> None:
    """Refuse to weigh litres against kilowatt-hours."""
    nodes = {node for taker in takers for node in metered_nodes(taker, priced, meters)}
    media = {priced.inputs.nodes[priced.inputs.row(node)].medium for node in nodes}
    if len(media) > 1:
        raise InputsInvalid(f"a key counts {' and '.join(sorted(media))} together; weigh them in pools of their own")


def _quantity(key: Key, taker: Taker, priced: PricedPeriod) -> Int64Array:
    if key.measures:
        return import_of(metered_nodes(taker, priced, dict(key.meters)), priced)
    return np.ones(priced.inputs.slot_count, np.int64)


def _area(taker: Taker, priced: PricedPeriod) -> int:
    return sum(priced.inputs.unit(unit).area_cm2 for unit in taker.units)


def _of_day(key: Key, taker: Taker, day: date) -> Fraction:
    factor = ONE
    for numbers in key.numbers:
        factor *= numbers.on(taker.subject, day)
    if key.rated is not None:
        rated_kw = key.rated.on(taker.subject, day)
        if not rated_kw:
            raise PeriodNotReady((f"{key.rated.name} of {taker.subject} is 0 on {day}: it has no load rate",))
        factor /= rated_kw
    return factor if key.degree_days is None else factor * key.degree_days.on(day)


def _coefficients(key: Key, priced: PricedPeriod) -> list[int]:
    """Give the coefficient of each band in whole numbers of one proportion; other tariffs' bands have none."""
    times = dict(key.times)
    if not times:
        return [1] * len(priced.bands)
    missing = {band.name for band in priced.bands if band.tariff == key.times_of} - set(times)
    if missing:
        raise PeriodNotReady((f"no time coefficient for the hours of {', '.join(sorted(missing))}",))
    scale = lcm(*(coefficient.denominator for coefficient in times.values()))
    return [int(times[band.name] * scale) if band.tariff == key.times_of else 0 for band in priced.bands]


def _cells_held(taker: Taker, cells: Sequence[Span], slot_count: int) -> Int64Array:
    """Give the cell of each slot in which the taker takes part, -1 elsewhere."""
    held = spread([(0, first, end) for first, end in taker.spans], slot_count)
    cell_of_slot = spread([(i, first, end) for i, (_, first, end) in enumerate(cells)], slot_count)
    return np.where(held == 0, cell_of_slot, -1)
