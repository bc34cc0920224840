"""Must and negotiated pools: a common cost, split by exact weights within each grain span, rounded once.

The cost of each span (a day, or the whole period) is divided into exact parts that add up to 1, the residual included.
A line's weight is the sum over spans of cost x part; the pool's cost, rounded once, is apportioned by these weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from fractions import Fraction

from allocation_engine.apportion import Apportionment, apportion, integer_weights, round_together
from allocation_engine.errors import AllWeightsZero, PeriodNotReady
from allocation_engine.legal_default import rule_in_force
from allocation_engine.money import to_minor
from allocation_engine.pool_cost import cost_of
from allocation_engine.pools import AreaRule, DemandRule, Fallback, Grain, KeyedRule, PassThroughRule, Pool, Rule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules
from allocation_engine.run import DayShare, Line, LineKind, PoolResult, ShareTrace
from allocation_engine.service_costs import ServiceCost
from allocation_engine.splits import NONE, ONE, Parts, Share, Span, Split, shares_of
from allocation_engine.stages import split_by_keys
from metering.identity import PoolId


def split_shared(
    pool: Pool, priced: PricedPeriod, rules: Rules, service: ServiceCost | None = None
) -> tuple[PoolResult, tuple[Line, ...]]:
    """Split a pool by area, formula, keys or demand; raises AllWeightsZero, PeriodNotReady, SeriesIncomplete.

    service   what it costs its own users, where pools serve each other; else None
    """
    pool, ground = rule_in_force(pool, priced.inputs.day_spans()[0][0])
    rule = pool.rule
    if not isinstance(rule, AreaRule | PassThroughRule | KeyedRule | DemandRule):
        raise TypeError(f"{pool.id} is no shared pool")
    spans = _grain_spans(rule, priced)
    cost = cost_of(pool, priced, spans)
    by_band, costs_nano = cost.by_band, cost.costs_nano
    _require_one_sign(pool, costs_nano)
    # A service may have no cost of its own and still pass on what it received: its one span then weighs 1.
    weighed = costs_nano if service is None else [1]
    match rule:
        case AreaRule():
            split = _split_by_area(pool.id, rule, priced, spans, weighed)
        case PassThroughRule():
            split = _split_by_formula(rule, priced, rules, spans)
        case _:
            split = split_by_keys(pool, priced, spans, weighed)
    cost_minor = to_minor(sum(costs_nano), priced.currency) if service is None else service.cost_minor
    weights = {one: _dot(split, one, [abs(cost) for cost in weighed]) for one in split.shares}
    parts = apportion(cost_minor, integer_weights(weights))
    energy = [
        round_together({one: _dot(split, one, column) for one in split.shares}) for column in zip(*by_band, strict=True)
    ]
    lines = tuple(_line(pool, split, one, parts, [band[one] for band in energy]) for one in _ordered(split))
    result = PoolResult(
        id=pool.id,
        names=pool.names,
        pool_class=pool.pool_class,
        path=cost.path,
        deduct=pool.deduct,
        band_energy_wh=tuple(sum(column) for column in zip(*by_band, strict=True)),
        cost_nano=sum(costs_nano),
        cost_minor=cost_minor,
        charged_minor=sum(line.amount_minor for line in lines if line.kind is LineKind.SHARE),
        days=_days(spans, costs_nano, split) if isinstance(rule, PassThroughRule) or _is_keyed_daily(rule) else (),
        fallback=split.fallback,
        steps=cost.steps,
        tariff=pool.tariff,
        charge=pool.charge,
        ground=ground,
        service=service,
    )
    return result, lines


def _is_keyed_daily(rule: Rule) -> bool:
    """Say whether the cost of each day must be stated for somebody to divide again by the keys of that day."""
    return isinstance(rule, KeyedRule | DemandRule) and rule.grain is Grain.DAY


def _grain_spans(rule: AreaRule | PassThroughRule | KeyedRule | DemandRule, priced: PricedPeriod) -> list[Span]:
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
    shares = shares_of(priced, rule.units, spans)
    owner = Share(priced.inputs.owner, None, 0, ())
    parts: list[Parts] = []
    fell_back = 0
    for cell, cost_nano in enumerate(costs_nano):
        part = _by_area(shares.values(), cell)
        if part is None:
            fell_back += 1
            if rule.fallback is Fallback.EQUAL and any(share.slots[cell] for share in shares.values()):
                part = _by_slots(shares, cell)
            elif rule.fallback is None and cost_nano:
                raise AllWeightsZero(f"pool {pool}: all weights are 0 on {spans[cell][0]} and it has no fallback")
            else:
                part = {owner.id: ONE}
        parts.append(part)
    if any(owner.id in part for part in parts):
        shares[owner.id] = owner
    note = (
        f"all weights were 0 in {fell_back} spans; fallback: {rule.fallback}" if fell_back and rule.fallback else None
    )
    return Split(shares, parts, [() for _ in spans], note)


def _split_by_formula(rule: PassThroughRule, priced: PricedPeriod, rules: Rules, spans: Sequence[Span]) -> Split:
    inputs = priced.inputs
    floors = [shares_of(priced, units, spans) for _, units in rule.floors]
    areas = [Fraction(sum(inputs.unit(unit).area_cm2 for unit in units)) for _, units in rule.floors]
    residual = Share(rule.residual, None, 0, ())
    names = sorted(rule.formula.inputs & {one.name for one in rules.series})
    parts: list[Parts] = []
    driven: list[tuple[tuple[str, str, date], ...]] = []
    for cell, (day, _, _) in enumerate(spans):
        numbers = {name: rules.series_named(name).on(day) for name in names}
        given = {name: one.number for name, one in numbers.items()} | {
            "main_delta": ONE,
            "total_area": sum(areas, NONE),
        }
        wanted = [max(rule.formula.evaluate(given | {"floor_area": area}), NONE) for area in areas]
        scale = min(ONE, rule.passed_on_max / sum(wanted)) if any(wanted) else ONE
        part: Parts = {}
        for shares, wish in zip(floors, wanted, strict=True):
            part |= {one: wish * scale * inner for one, inner in (_by_area(shares.values(), cell) or {}).items()}
        parts.append(part | {residual.id: ONE - sum(part.values(), NONE)})
        driven.append(tuple((name, _decimal(one.number), one.observed_on) for name, one in numbers.items()))
    everyone = {one: share for shares in floors for one, share in shares.items()} | {residual.id: residual}
    return Split(everyone, parts, driven, None)


def _by_area(shares: Collection[Share], cell: int) -> Parts | None:
    total = sum(share.area_cm2 * share.slots[cell] for share in shares)
    if total == 0:
        return None
    return {share.id: Fraction(share.area_cm2 * share.slots[cell], total) for share in shares}


def _by_slots(shares: Mapping[str, Share], cell: int) -> Parts:
    total = sum(share.slots[cell] for share in shares.values())
    return {one: Fraction(share.slots[cell], total) for one, share in shares.items()}


def _dot(split: Split, one: str, amounts: Sequence[int]) -> Fraction:
    return sum(
        (part[one] * amount for part, amount in zip(split.parts, amounts, strict=True) if one in part), Fraction(0)
    )


def _ordered(split: Split) -> list[str]:
    return sorted(split.shares, key=lambda one: (split.shares[one].unit is None, one))


def _line(pool: Pool, split: Split, one: str, parts: Apportionment, band_energy_wh: Sequence[int]) -> Line:
    share, part = split.shares[one], parts.parts[one]
    trace = ShareTrace(
        line_id=share.id,
        weight=part.weight,
        total_weight=parts.total_weight,
        remainder=part.remainder,
        extra=part.extra,
        extra_count=parts.extra_count,
        cut_remainder=parts.cut_remainder,
        cut_id=parts.cut_id,
        area_cm2=share.area_cm2,
        slots=sum(share.slots),
        keys=split.steps.get(one, ()),
    )
    kind = LineKind.RESIDUAL if share.unit is None else LineKind.SHARE
    return Line(pool.id, share.party, share.unit, kind, tuple(band_energy_wh), part.amount, trace)


def _days(spans: Sequence[Span], costs_nano: Sequence[int], split: Split) -> tuple[DayShare, ...]:
    days = []
    for (day, _, _), cost_nano, part, inputs in zip(spans, costs_nano, split.parts, split.inputs, strict=True):
        passed_on = sum((part[one] for one in part if split.shares[one].unit is not None), NONE)
        days.append(DayShare(day, cost_nano, inputs, (passed_on.numerator, passed_on.denominator)))
    return tuple(days)


def _decimal(number: Fraction) -> str:
    """Write a number that came from decimal text as decimal text again."""
    scale = 0
    while 10**scale % number.denominator:
        scale += 1
    digits = str(abs(number.numerator) * (10**scale // number.denominator)).rjust(scale + 1, "0")
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return f"-{text}" if number < 0 else text
