"""Splits a pool by a formula, in either reading: which part is passed on, or how much everybody weighs.

Pass-through: in each span a floor wants what the formula gives at cost 1; wishes below 0 are nothing, and all are
scaled down alike where they come to more than may be passed on.

Spreading: a weight is the sum of the formula over the slots in which a party held the unit; what a floor weighs reaches
its units by area.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd

import numpy as np

from allocation_engine.errors import AllWeightsZero, PeriodNotReady
from allocation_engine.formula.exact_arrays import Ints, Vector, whole
from allocation_engine.formula.held import Holdings, weigh_held
from allocation_engine.formula.products import Frame, Product, Products, fractions_of, multiply
from allocation_engine.formula.setting import Space
from allocation_engine.formula.text import decimal_text
from allocation_engine.formula_inputs import FormulaInputs, Row
from allocation_engine.key_steps import FORMULA, KeyStep
from allocation_engine.layers import NONE, ONE, Driven, Layer, Span, Split, Takers, group_sums, rest_of, times
from allocation_engine.pool_cost import cost_of
from allocation_engine.pools import Fallback, FormulaRule, Grain, PassThroughRule, Pool, SpreadingRule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.run import DayShare
from metering.identity import UnitId

WEIGHT_BITS = 61
"""Sums of weights stay below 2^61; finer ones are cut there, once, for everybody alike."""


def split_by_formula(pool: Pool, priced: PricedPeriod, spans: Sequence[Span], costs_nano: Sequence[int]) -> Split:
    """Split every span; raises AllWeightsZero, PeriodNotReady, SeriesIncomplete, InputsInvalid, FormulaUndefined."""
    match pool.rule:
        case PassThroughRule() as rule:
            return _split_passed_on(rule, priced, spans)
        case SpreadingRule() as rule:
            return _split_spread(pool, rule, priced, spans, costs_nano)
    raise TypeError(f"{pool.id} is not shared by a formula")


def days_of(pool: Pool, priced: PricedPeriod) -> Iterator[DayShare]:
    """Give the days of a period that is spread as a whole: what each cost, and the numbers its weights rest on."""
    rule = pool.rule
    if not isinstance(rule, SpreadingRule) or rule.grain is Grain.DAY:
        return
    days = priced.inputs.day_spans()
    driven = list(_driven(rule, days))
    if any(driven) or "main_delta" in rule.formula.inputs:
        costs = cost_of(pool, priced, days).costs_nano
        for (day, _, _), cost_nano, numbers in zip(days, costs, driven, strict=True):
            yield DayShare(day, cost_nano, numbers, (1, 1))


def _split_passed_on(rule: PassThroughRule, priced: PricedPeriod, spans: Sequence[Span]) -> Split:
    takers = Takers.of(priced.inputs, [unit for _, units in rule.floors for unit in units], spans)
    floor_of_unit = {unit: floor for floor, (_, units) in enumerate(rule.floors) for unit in units}
    floor_of = np.array([floor_of_unit[unit] for unit in takers.units], np.int64)
    weights = times(takers.area_cm2[:, np.newaxis], takers.slots)
    totals = group_sums(weights, floor_of, len(rule.floors)).tolist()
    inputs = FormulaInputs(rule.formula, priced, _rows(rule, priced), spans, np.arange(len(spans)), None)
    products, frame = inputs.evaluate(0, len(rule.floors))
    wanted = [[max(one, NONE) for one in row] for row in fractions_of(products, frame, len(spans))]
    scales = [
        min(ONE, rule.passed_on_max / sum(column)) if any(column) else ONE for column in zip(*wanted, strict=True)
    ]
    worth = [
        [wish * scale / total if total else NONE for wish, scale, total in zip(row, scales, below, strict=True)]
        for row, below in zip(wanted, totals, strict=True)
    ]
    layer = Layer(weights, worth, floor_of)
    driven = tuple(_driven(rule, spans))
    return Split(takers, (layer,), rest_of([layer], len(spans)), rule.residual, driven=driven)


def _split_spread(
    pool: Pool, rule: SpreadingRule, priced: PricedPeriod, spans: Sequence[Span], costs_nano: Sequence[int]
) -> Split:
    takers = Takers.of(priced.inputs, rule.units, spans)
    weights, totals = _cut_at_bits(_weights(pool, rule, priced, spans, takers))
    fell_back = [place for place, total in enumerate(totals) if not total]
    for place in fell_back:
        if rule.fallback is None and costs_nano[place]:
            day = spans[place][0]
            raise AllWeightsZero(f"pool {pool.id}: all weights of the formula are 0 on {day} and it has no fallback")
        if rule.fallback is Fallback.EQUAL:
            weights[:, place], totals[place] = takers.slots[:, place], int(takers.slots[:, place].sum())
    layer = Layer.between_all(weights, totals)
    rest = rest_of([layer], len(spans))
    note = f"all weights of the formula were 0 in {len(fell_back)} spans; fallback: {rule.fallback or Fallback.OWNER}"

    def steps(row: int) -> tuple[KeyStep, ...]:
        by, is_daily = rule.formula.text, rule.grain is Grain.DAY
        return tuple(
            KeyStep(day if is_daily else None, FORMULA, takers.ids[row], by, (1, 1), int(weights[row, place]), total)
            for place, ((day, _, _), total) in enumerate(zip(spans, totals, strict=True))
        )

    return Split(
        takers,
        (layer,),
        rest if any(rest) else None,
        priced.inputs.owner,
        driven=tuple(_driven(rule, spans)) if rule.grain is Grain.DAY else (),
        fallback=note if fell_back else None,
        steps=steps,
    )


def _weights(pool: Pool, rule: SpreadingRule, priced: PricedPeriod, spans: Sequence[Span], takers: Takers) -> Ints:
    """Give whole weights in one proportion, shape (takers, spans)."""
    rows, days = _rows(rule, priced), priced.inputs.day_spans()
    day_of_slot = np.repeat(np.arange(len(days)), [end - first for _, first, end in days])
    main_delta = None
    if "main_delta" in rule.formula.inputs:
        main_delta = cost_of(pool, priced, days).costs_nano
        if min(main_delta) < 0 < max(main_delta):
            told = (
                f"pool {pool.id}: some days are a cost and some a credit, so main_delta cannot be a factor of weights"
            )
            raise PeriodNotReady((f"{told}; leave it out of the formula",))
    inputs = FormulaInputs(rule.formula, priced, rows, days, day_of_slot, main_delta)
    inputs.prepare()
    by_area = _by_area(rule, rows)
    row_of_unit = {row.unit: place for place, row in enumerate(rows)}
    row_of_taker = np.array([row_of_unit[unit] for unit in takers.units], np.int64)
    holdings = Holdings.of(takers.stays, row_of_taker, [*(first for _, first, _ in spans), spans[-1][2]])

    def evaluate(first: int, end: int) -> tuple[Products, Frame]:
        products, frame = inputs.evaluate(first, end)
        if by_area is not None:
            part = Product(Vector(by_area.tops[first:end], by_area.bottoms[first:end]))
            products = multiply(products, (part,), frame)
        return products, frame

    return weigh_held(evaluate, len(rows), holdings, day_of_slot, has_cells=rule.formula.has_cells)


def _rows(rule: FormulaRule, priced: PricedPeriod) -> list[Row]:
    """Give units with their floors; or floors as a whole, where those are what is passed on to."""
    inputs, setting = priced.inputs, rule.formula.setting
    known = {unit.id: unit for unit in inputs.units}
    areas = {unit: known[unit].area_cm2 for unit in setting.units}
    floor_areas = {floor: sum(areas[unit] for unit in units) for floor, units in setting.floors.items()}
    if isinstance(rule, PassThroughRule) and rule.formula.speaks_of_floors:
        return [Row(None, None, floor, floor_areas[floor], floor_areas[floor]) for floor, _ in rule.floors]
    floor_of: dict[UnitId, str] = {unit: floor for floor, units in setting.floors.items() for unit in units}
    units = [units[0] for _, units in rule.floors] if isinstance(rule, PassThroughRule) else sorted(rule.units)
    floors = [floor_of.get(unit) for unit in units]
    return [
        Row(unit, known[unit].node, floor, areas[unit], 0 if floor is None else floor_areas[floor])
        for unit, floor in zip(units, floors, strict=True)
    ]


def _by_area(rule: SpreadingRule, rows: Sequence[Row]) -> Vector | None:
    """Give the part of its floor's area that each unit has, where floors are what the formula weighs."""
    if rule.formula.typed.space is not Space.FLOOR:
        return None
    bare = sorted({str(row.floor) for row in rows if not row.floor_area_cm2})
    if bare:
        raise PeriodNotReady((f"no area is known on floor {', '.join(bare)}: what it weighs could reach nobody",))
    return Vector(whole(row.area_cm2 for row in rows), whole(row.floor_area_cm2 for row in rows))


def _cut_at_bits(weights: Ints) -> tuple[Ints, list[int]]:
    """Divide each span's weights by what they share, and cut them where their sum needs more than 61 bits."""
    cut = np.zeros(weights.shape, np.int64)
    totals = []
    for place in range(weights.shape[1]):
        column = weights[:, place].tolist()
        shared = gcd(*column) or 1
        excess = max((sum(column) // shared).bit_length() - WEIGHT_BITS, 0)
        cut[:, place] = [one // shared >> excess for one in column]
        totals.append(int(cut[:, place].sum()))
    return cut, totals


def _driven(rule: FormulaRule, spans: Sequence[Span]) -> Iterator[Driven]:
    """Give by span the numbers of the series that the formula rests on."""
    series = rule.formula.setting.sources.series
    names = sorted(rule.formula.inputs & set(series))
    for day, _, _ in spans:
        numbers = [(name, series[name].on(day)) for name in names]
        yield tuple((name, decimal_text(one.number), one.observed_on) for name, one in numbers)
