"""What a party owes beside energy and shares: standing charges, what is missing to a minimum, taxes that are added.

Each line stands alone, as metered lines do: rounded once, recomputed from its own steps and the party's own lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from operator import itemgetter

from allocation_engine.costs import WHOLE, CostStep, amount_step, steps_nano
from allocation_engine.money import to_minor
from allocation_engine.months import MonthSpan, month_spans
from allocation_engine.pools import MinimumRule, Pool, PoolClass, StandingRule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.run import ChargeTrace, Line, LineKind, PoolResult
from allocation_engine.taxes import Tax
from metering.identity import PartyId, PoolId, UnitId

ONE_MONTH_MILLI = 1000


def split_fixed(pool: Pool, priced: PricedPeriod, earlier: Sequence[Line]) -> tuple[PoolResult, tuple[Line, ...]]:
    """Charge a standing or minimum pool; `earlier` holds the lines of the pools before it."""
    rule = pool.rule
    if isinstance(rule, StandingRule):
        lines = tuple(_standing(pool, rule, priced))
    elif isinstance(rule, MinimumRule):
        lines = tuple(_minimum(pool, rule, priced, earlier))
    else:
        raise TypeError(f"{pool.id} is neither a standing nor a minimum charge")
    return _result(pool.id, pool.names, lines, priced), lines


def add_tax(tax: Tax, priced: PricedPeriod, lines: Sequence[Line]) -> tuple[PoolResult, tuple[Line, ...]]:
    """Charge every party a tax that prices do not include, on the sum of its taxed lines."""
    part = tax.percent / 100
    added = []
    by_party: dict[PartyId, list[Line]] = {}
    for line in lines:
        if tax.taxes(line.pool):
            by_party.setdefault(line.party, []).append(line)
    for party, taxed in sorted(by_party.items(), key=itemgetter(0)):
        net_minor = sum(line.amount_minor for line in taxed)
        step = amount_step(f"{tax.id} on the lines", net_minor, priced.currency, part, tax.source)
        added.append(_line(PoolId(tax.id), party, None, (step,), tuple(line.id for line in taxed), priced))
    return _result(PoolId(tax.id), tax.names, added, priced), tuple(added)


def _standing(pool: Pool, rule: StandingRule, priced: PricedPeriod) -> Iterator[Line]:
    months = month_spans(priced.inputs.calendar, priced.inputs.period)
    for unit, party, spans in _occupants(rule.units, priced):
        steps = tuple(_months(months, rule.per_month_micro, spans, "standing charge"))
        yield _line(pool.id, party, unit, steps, (), priced)


def _minimum(pool: Pool, rule: MinimumRule, priced: PricedPeriod, earlier: Sequence[Line]) -> Iterator[Line]:
    months = month_spans(priced.inputs.calendar, priced.inputs.period)
    by_customer: dict[tuple[UnitId | None, PartyId], list[Line]] = {}
    for line in earlier:
        if line.pool == rule.pool:
            by_customer.setdefault((line.unit, line.party), []).append(line)
    for unit, party, spans in _occupants(rule.units, priced):
        counted = by_customer.get((unit, party), [])
        reached_minor = sum(line.amount_minor for line in counted)
        reached = amount_step(f"charged in {rule.pool}", reached_minor, priced.currency, Fraction(-1), "taken off")
        steps = (reached, *_months(months, rule.per_month_micro, spans, "minimum"))
        if to_minor(steps_nano(steps), priced.currency) > 0:
            yield _line(pool.id, party, unit, steps, tuple(line.id for line in counted), priced)


def _occupants(
    units: Sequence[UnitId], priced: PricedPeriod
) -> Iterator[tuple[UnitId, PartyId, list[tuple[int, int]]]]:
    for unit in sorted(units):
        for party, ones in priced.occupants(unit).items():
            yield unit, party, [(one.first, one.end) for one in ones]


def _months(
    months: Sequence[MonthSpan], per_month_micro: int, spans: Sequence[tuple[int, int]], what: str
) -> Iterator[CostStep]:
    for month in months:
        part = month.covered(spans)
        if part:
            fraction = (part.numerator, part.denominator)
            note = "occupied part of the month" if fraction != WHOLE else "whole month"
            yield CostStep(f"{what} {month.label}", ONE_MONTH_MILLI, "month", per_month_micro, fraction, note)


def _line(
    pool: PoolId,
    party: PartyId,
    unit: UnitId | None,
    steps: tuple[CostStep, ...],
    of: tuple[str, ...],
    priced: PricedPeriod,
) -> Line:
    amount_minor = to_minor(steps_nano(steps), priced.currency)
    no_energy = (0,) * len(priced.bands)
    return Line(pool, party, unit, LineKind.CHARGE, no_energy, amount_minor, ChargeTrace(steps, of))


def _result(
    pool: PoolId, names: tuple[tuple[str, str], ...], lines: Sequence[Line], priced: PricedPeriod
) -> PoolResult:
    cost_minor = sum(line.amount_minor for line in lines)
    return PoolResult(
        id=pool,
        names=names,
        pool_class=PoolClass.EXCLUSIVE,
        path=(),
        deduct=(),
        band_energy_wh=(0,) * len(priced.bands),
        cost_nano=sum(steps_nano(line.trace.steps) for line in lines if isinstance(line.trace, ChargeTrace)),
        cost_minor=cost_minor,
        charged_minor=cost_minor,
        days=(),
        fallback=None,
    )
