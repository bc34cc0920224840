"""Decides which rule a pool is divided by: the agreed one, or floor area by the clause that holds without agreement.

A key changes only at the start of a period: what holds on its first day holds for all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from allocation_engine.pools import (
    AreaRule,
    DemandRule,
    Fallback,
    Grain,
    KeyedRule,
    PassThroughRule,
    Pool,
    PoolClass,
    Rule,
    SpreadingRule,
)
from allocation_engine.unit_numbers import UnitNumbers
from metering.identity import UnitId


def rule_in_force(pool: Pool, first_day: date) -> tuple[Pool, str]:
    """Give `pool` with the rule of a period that begins on `first_day`, and what that rule rests on, in words."""
    if pool.pool_class is not PoolClass.NEGOTIATED or pool.terms is None:
        return pool, pool.agreement or ""
    default = pool.terms.default
    if default is None or (pool.agreement is not None and pool.terms.holds(first_day)):
        return pool, pool.agreement or ""
    why = "no agreement" if pool.agreement is None else f"{pool.agreement!r} does not hold on {first_day}"
    by_area = AreaRule(units_of(pool.rule), Grain.PERIOD, Fallback.OWNER)
    return replace(pool, rule=by_area), f"{why}: {default.text}"


def units_of(rule: Rule) -> tuple[UnitId, ...]:
    """Give the units whose occupants may be charged by a shared rule."""
    match rule:
        case AreaRule() | KeyedRule() | DemandRule() | SpreadingRule():
            return rule.units
        case PassThroughRule():
            return tuple(sorted(unit for _, units in rule.floors for unit in units))
        case _:
            return ()


def rule_warnings(pool: Pool, days: Sequence[date]) -> Iterator[str]:
    """Say what of a pool is about to end, has ended or is overdue on the local `days` of a period."""
    terms = pool.terms
    if terms is not None and pool.agreement is not None:
        if not terms.holds(days[0]):
            yield f"pool {pool.id}: {pool.agreement!r} does not hold on {days[0]}; the legal default does"
        elif not terms.holds(days[-1]):
            yield f"pool {pool.id}: {pool.agreement!r} ends on {terms.valid_to}; the legal default follows"
    for numbers in _numbers(pool.rule):
        if numbers.review_by is not None and numbers.review_by <= days[-1]:
            yield f"pool {pool.id}: {numbers.name} was due for review by {numbers.review_by}"


def _numbers(rule: Rule) -> Iterator[UnitNumbers]:
    """Give the tables of numbers a rule rests on."""
    match rule:
        case KeyedRule(stages=stages):
            for key in (key for stage in stages for key in stage.keys):
                yield from (*key.numbers, *([] if key.rated is None else [key.rated]))
        case PassThroughRule(formula=formula) | SpreadingRule(formula=formula):
            yield from formula.tables
