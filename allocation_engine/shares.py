"""Must and negotiated pools: a common cost, split by exact weights within each grain span, rounded once.

The cost of each span (a day, or the whole period) is divided into exact parts that add up to 1, the rest included.
A line's weight is the sum over spans of cost x part; the pool's cost, rounded once, is apportioned by these weights.
`share_out` gives the numbers, as arrays; lines with their traces are made from them when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from allocation_engine.apportion import WEIGHT_BITS, Divided, divide_rows
from allocation_engine.errors import AllWeightsZero, PeriodNotReady
from allocation_engine.formula_split import days_of, split_by_formula
from allocation_engine.inputs import Int64Array
from allocation_engine.layers import NONE, ONE, Layer, Span, Split, Takers, rest_of, times
from allocation_engine.legal_default import rule_in_force
from allocation_engine.money import to_minor
from allocation_engine.pool_cost import PoolCost, cost_of
from allocation_engine.pools import (
    AreaRule,
    DemandRule,
    Fallback,
    FormulaRule,
    Grain,
    KeyedRule,
    PassThroughRule,
    Pool,
    Rule,
    SpreadingRule,
)
from allocation_engine.pricing import PricedPeriod
from allocation_engine.row_sums import RowSums, largest_unit, multiple_of
from allocation_engine.run import ANY_LINE, DayShare, Line, LineKind, PoolResult, ShareTrace
from allocation_engine.service_costs import ServiceCost
from allocation_engine.stages import split_by_keys
from metering.identity import PartyId, PoolId, UnitId


@dataclass(frozen=True, eq=False)
class SharedPool:
    """A pool split to the minor unit. Rows are takers in order of their ids, and the bearer of the rest, if any, last.

    pool         with the rule that holds in the period, which rests on `ground`
    weighed      by span: what the parts of the span weigh beside those of other spans; none negative
    cost_minor   what is divided
    service      what it received from other pools and passed on; None where pools do not serve each other
    """

    pool: Pool
    ground: str
    priced: PricedPeriod
    spans: list[Span]
    cost: PoolCost
    weighed: list[int]
    cost_minor: int
    split: Split
    service: ServiceCost | None

    @property
    def ids(self) -> tuple[str, ...]:
        """Stable ids within the pool, by row."""
        takers = self.split.takers.ids
        return takers if self.split.rest is None else (*takers, self.split.bearer_id)

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """Who pays, by row."""
        takers = self.split.takers.parties
        return takers if self.split.rest is None else (*takers, self.split.bearer)

    @property
    def units(self) -> tuple[UnitId | None, ...]:
        """For which unit, by row; None for the rest."""
        takers = self.split.takers.units
        return takers if self.split.rest is None else (*takers, None)

    @cached_property
    def weights(self) -> Int64Array:
        """Weight of each row: whole numbers in proportion to cost x part over all spans, cut at 2^61."""
        sums = _sums(self.split, self.weighed)
        rest = _rest(self.split, self.weighed)
        unit = largest_unit([sums.unit, *([] if rest is None else [rest])])
        if not unit:
            return np.zeros(len(self.ids), np.int64)
        whole = sum(self.weighed) * unit.denominator // unit.numerator
        excess = max(whole.bit_length() - WEIGHT_BITS, 0)
        scale = multiple_of(unit, excess)
        weights = sums.floors(scale) if excess else sums.multiples(scale)
        if rest is None:
            return weights
        return np.append(weights, rest.numerator * scale.numerator // (rest.denominator * scale.denominator))

    @cached_property
    def divided(self) -> Divided:
        """The cost divided by the weights; rows in order of ids, the rest among them."""
        return divide_rows(self.cost_minor, self.weights[self._ranked])

    @cached_property
    def amounts(self) -> Int64Array:
        """Amount of each row [minor units]."""
        return self._unranked(self.divided.amounts)

    def amounts_of(self, cost_minor: int) -> Int64Array:
        """Give what the amounts would be if the pool cost something else."""
        return self._unranked(divide_rows(cost_minor, self.weights[self._ranked]).amounts)

    def energy(self) -> list[Int64Array]:
        """Energy of each row [Wh], band by band, so that each band adds up."""
        found = []
        for column in zip(*self.cost.by_band, strict=True):
            if not any(column):
                found.append(np.zeros(len(self.ids), np.int64))
                continue
            rest = _rest(self.split, column)
            rounded, last = _sums(self.split, column).rounded(sum(column), self.ids, rest)
            found.append(rounded if rest is None else np.append(rounded, last))
        return found

    def lines(self) -> Iterator[Line]:
        """Make the lines with their traces, the rest last."""
        divided, takers = self.divided, self.split.takers
        cut_remainder, last = divided.cut
        cut_id = "" if not divided.raised.size else ANY_LINE if last is None else self.ids[self._ranked[last]]
        raised = np.zeros(len(self.ids), np.bool_)
        raised[self._ranked[divided.raised]] = True
        columns = self.weights, self._unranked(divided.remainders), raised, self.amounts
        areas, slots = takers.area_cm2.tolist(), takers.slots.sum(axis=1).tolist()
        rows = zip(self.ids, self.parties, self.units, zip(*self.energy(), strict=True), *columns, strict=True)
        for row, (line_id, party, unit, energy, weight, remainder, extra, amount) in enumerate(rows):
            trace = ShareTrace(
                line_id=line_id,
                weight=int(weight),
                total_weight=divided.total_weight,
                remainder=int(remainder),
                extra=bool(extra),
                cut_remainder=cut_remainder,
                cut_id=cut_id,
                area_cm2=0 if unit is None else areas[row],
                slots=0 if unit is None else slots[row],
                keys=() if unit is None else self.split.steps(row),
            )
            kind = LineKind.RESIDUAL if unit is None else LineKind.SHARE
            yield Line(self.pool.id, party, unit, kind, tuple(map(int, energy)), int(amount), trace)

    def result(self) -> PoolResult:
        """Make the pool's account."""
        rule = self.pool.rule
        residual = 0 if self.split.rest is None else int(self.amounts[-1])
        return PoolResult(
            id=self.pool.id,
            names=self.pool.names,
            pool_class=self.pool.pool_class,
            path=self.cost.path,
            deduct=self.pool.deduct,
            band_energy_wh=tuple(sum(column) for column in zip(*self.cost.by_band, strict=True)),
            cost_nano=sum(self.cost.costs_nano),
            cost_minor=self.cost_minor,
            charged_minor=self.cost_minor - residual,
            days=tuple(self._days()) if _has_days(rule) else tuple(days_of(self.pool, self.priced)),
            fallback=self.split.fallback,
            steps=self.cost.steps,
            tariff=self.pool.tariff,
            charge=self.pool.charge,
            ground=self.ground,
            service=self.service,
        )

    def _days(self) -> Iterator[DayShare]:
        count = len(self.spans)
        rest, driven = self.split.rest or (NONE,) * count, self.split.driven or ((),) * count
        for (day, _, _), cost_nano, left, inputs in zip(self.spans, self.cost.costs_nano, rest, driven, strict=True):
            passed_on = ONE - left
            yield DayShare(day, cost_nano, inputs, (passed_on.numerator, passed_on.denominator))

    @cached_property
    def _ranked(self) -> Int64Array:
        """Rows in order of their ids: the rest has its place among them."""
        takers = self.split.takers.ids
        rows = np.arange(len(takers))
        if self.split.rest is None:
            return rows
        return np.insert(rows, bisect_left(takers, self.split.bearer_id), len(takers))

    def _unranked(self, numbers: Int64Array) -> Int64Array:
        back = np.empty_like(numbers)
        back[self._ranked] = numbers
        return back


def split_shared(
    pool: Pool, priced: PricedPeriod, service: ServiceCost | None = None
) -> tuple[PoolResult, tuple[Line, ...]]:
    """Split a pool as `share_out` does and make its account and lines."""
    shared = share_out(pool, priced, service)
    return shared.result(), tuple(shared.lines())


def share_out(pool: Pool, priced: PricedPeriod, service: ServiceCost | None = None) -> SharedPool:
    """Split a pool by area, formula, keys or demand; raises AllWeightsZero, PeriodNotReady, SeriesIncomplete.

    service   what it costs its own users, where pools serve each other; else None
    """
    pool, ground = rule_in_force(pool, priced.inputs.day_spans()[0][0])
    rule = pool.rule
    if not isinstance(rule, AreaRule | FormulaRule | KeyedRule | DemandRule):
        raise TypeError(f"{pool.id} is no shared pool")
    spans = _grain_spans(rule, priced)
    cost = cost_of(pool, priced, spans)
    _require_one_sign(pool, cost.costs_nano)
    # A service may have no cost of its own and still pass on what it received: its one span then weighs 1.
    weighed = cost.costs_nano if service is None else [1]
    match rule:
        case AreaRule():
            split = _split_by_area(pool.id, rule, priced, spans, weighed)
        case PassThroughRule() | SpreadingRule():
            split = split_by_formula(pool, priced, spans, weighed)
        case _:
            split = split_by_keys(pool, priced, spans, weighed)
    cost_minor = to_minor(sum(cost.costs_nano), priced.currency) if service is None else service.cost_minor
    return SharedPool(pool, ground, priced, spans, cost, [abs(one) for one in weighed], cost_minor, split, service)


def _has_days(rule: Rule) -> bool:
    """Say whether the cost of each span must be stated for somebody to divide again by the keys of that day."""
    by_weights = isinstance(rule, KeyedRule | DemandRule | SpreadingRule) and rule.grain is Grain.DAY
    return by_weights or isinstance(rule, PassThroughRule)


def _grain_spans(rule: AreaRule | FormulaRule | KeyedRule | DemandRule, priced: PricedPeriod) -> list[Span]:
    days = priced.inputs.day_spans()
    return days if rule.grain is Grain.DAY else [(days[0][0], 0, priced.inputs.slot_count)]


def _require_one_sign(pool: Pool, costs_nano: Sequence[int]) -> None:
    if min(costs_nano) < 0 < max(costs_nano):
        problem = f"pool {pool.id}: some days are a cost and some a credit, so days cannot be weighed"
        raise PeriodNotReady((f'{problem}; use grain = "period"',))


def _split_by_area(
    pool: PoolId,
    rule: AreaRule,
    priced: PricedPeriod,
    spans: Sequence[Span],
    costs_nano: Sequence[int],
) -> Split:
    takers = Takers.of(priced.inputs, rule.units, spans)
    weights = times(takers.area_cm2[:, np.newaxis], takers.slots)
    totals, slots = (numbers.sum(axis=0).tolist() for numbers in (weights, takers.slots))
    fell_back = [place for place, total in enumerate(totals) if not total]
    for place in fell_back:
        if rule.fallback is None and costs_nano[place]:
            raise AllWeightsZero(f"pool {pool}: all weights are 0 on {spans[place][0]} and it has no fallback")
        if rule.fallback is Fallback.EQUAL:
            weights[:, place], totals[place] = takers.slots[:, place], slots[place]
    layer = Layer.between_all(weights, totals)
    rest = rest_of([layer], len(spans))
    note = f"all weights were 0 in {len(fell_back)} spans; fallback: {rule.fallback}"
    told = note if fell_back and rule.fallback else None
    return Split(takers, (layer,), rest if any(rest) else None, priced.inputs.owner, fallback=told)


def _sums(split: Split, amounts: Sequence[int]) -> RowSums:
    """What each taker has of amounts, one a span."""
    nothing = Layer(
        np.zeros_like(split.takers.slots), [[NONE] * len(amounts)], np.zeros(len(split.takers.ids), np.int64)
    )
    return RowSums.of(split.layers or (nothing,), amounts)


def _rest(split: Split, amounts: Sequence[int]) -> Fraction | None:
    """What the bearer has of amounts, one a span; None where there is no rest."""
    if split.rest is None:
        return None
    return sum((part * amount for part, amount in zip(split.rest, amounts, strict=True)), NONE)
