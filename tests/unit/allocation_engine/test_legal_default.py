"""What a division rests on: the agreement while it holds, the law without one; what is about to end or overdue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest

from allocation_engine.agreements import AgreementTerms, LegalDefault
from allocation_engine.close_period import close_period
from allocation_engine.inputs import PeriodInputs
from allocation_engine.keys import DemandMethod, Driver, Key, Stage
from allocation_engine.legal_default import rule_in_force, rule_warnings, units_of
from allocation_engine.pools import (
    AreaRule,
    DemandRule,
    DirectRule,
    Fallback,
    Grain,
    KeyedRule,
    Pool,
    PoolClass,
    Rule,
)
from allocation_engine.rules import Rules
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from metering.identity import UnitId

CLAUSE = LegalDefault("clause-1", (("en", "by floor area"), ("zh", "按面积")), "some code, article 1")
A, B = UnitId("a"), UnitId("b")
FIRST = date(2026, 7, 1)
DAYS = [FIRST + timedelta(days=place) for place in range(31)]


def persons(review_by: date | None) -> UnitNumbers:
    """Persons that always hold."""
    days = {unit: ((date.min, Fraction(1)),) for unit in ("a", "b")}
    return UnitNumbers("persons", "1", "gate", MissingNumber.PREVIOUS, review_by, is_metered=False, days=days)


def keyed(review_by: date | None = None) -> KeyedRule:
    """Equal parts, by persons."""
    key = Key(Fraction(1), (Driver.LOAD,), (persons(review_by),), rated=persons(review_by))
    return KeyedRule((A, B), (Stage("lease", (key,), ()),), Grain.PERIOD, None, None)


DEMAND = DemandRule((B,), DemandMethod.COINCIDENT, (), None, Grain.PERIOD, None)


@pytest.fixture
def inputs(make_inputs: Callable[..., PeriodInputs]) -> PeriodInputs:
    """Two units of 30 and 10 m2 with meters."""
    return make_inputs(
        energy={"lobby": 100, "u-a": 10, "u-b": 10},
        units={"a": (300_000, "u-a"), "b": (100_000, "u-b")},
        let=[("a", "t-1", 0, 8), ("b", "t-2", 0, 8)],
    )


@pytest.fixture
def rules(inputs: PeriodInputs, make_rules: Callable[..., Rules], formula_pool: dict[str, Any]) -> Rules:
    """The lobby by formula, as agreed."""
    return make_rules(inputs, {**formula_pool, "floors": {"f-1": ["a"], "f-2": ["b"]}}, tmax={"2026-07-01": "31"})


@pytest.fixture
def pool(rules: Rules) -> Pool:
    """The lobby, its agreement good for 2026."""
    return replace(rules.pools[0], terms=AgreementTerms(date(2026, 1, 1), date(2027, 1, 1), CLAUSE))


@pytest.mark.parametrize("day", [date(2026, 1, 1), FIRST, date(2026, 12, 31)])
def test_an_agreement_holds_from_its_first_day_to_the_day_before_its_end(pool: Pool, day: date) -> None:
    assert rule_in_force(pool, day) == (pool, "resolution 4")


@pytest.mark.parametrize("day", [date(2025, 12, 31), date(2027, 1, 1)])
def test_outside_the_agreement_floor_area_holds_by_the_clause(pool: Pool, day: date) -> None:
    held, ground = rule_in_force(pool, day)
    assert held.rule == AreaRule((A, B), Grain.PERIOD, Fallback.OWNER)
    assert ground == f"'resolution 4' does not hold on {day}: by floor area (some code, article 1)"


def test_without_any_agreement_floor_area_holds_always(pool: Pool) -> None:
    held, ground = rule_in_force(replace(pool, agreement=None, terms=AgreementTerms(None, None, CLAUSE)), FIRST)
    assert isinstance(held.rule, AreaRule)
    assert ground == "no agreement: by floor area (some code, article 1)"


def test_an_agreement_without_a_word_on_its_end_holds(pool: Pool) -> None:
    open_ended = replace(pool, terms=None)
    assert rule_in_force(open_ended, FIRST) == (open_ended, "resolution 4")
    no_default = replace(pool, terms=AgreementTerms(None, None, None))
    assert rule_in_force(no_default, FIRST) == (no_default, "resolution 4")


def test_a_must_pool_rests_on_no_agreement(pool: Pool) -> None:
    must = replace(pool, pool_class=PoolClass.MUST, agreement=None)
    assert rule_in_force(must, date(2030, 1, 1)) == (must, "")


@pytest.mark.parametrize(
    ("rule", "units"),
    [(keyed(), (A, B)), (DEMAND, (B,)), (AreaRule((A,), Grain.DAY, None), (A,)), (DirectRule(A), ())],
)
def test_the_default_keeps_the_circle_of_those_who_pay(rule: Rule, units: tuple[UnitId, ...]) -> None:
    assert units_of(rule) == units


def test_a_lapsed_formula_needs_no_temperature_any_more(inputs: PeriodInputs, rules: Rules, pool: Pool) -> None:
    lapsed = replace(pool, terms=AgreementTerms(None, FIRST, CLAUSE))
    run = close_period(inputs, replace(rules, pools=(lapsed,), series=()))
    assert {line.party: line.amount_minor for line in run.lines} == {"t-1": 30, "t-2": 10}
    assert run.pools[0].ground.endswith("by floor area (some code, article 1)")
    assert run.pools[0].days == ()
    assert run.warnings == ("pool lobby: 'resolution 4' does not hold on 2026-07-01; the legal default does",)


@pytest.mark.parametrize(
    ("end", "warning"),
    [
        (date(2026, 8, 1), []),
        (date(2026, 7, 31), ["pool lobby: 'resolution 4' ends on 2026-07-31; the legal default follows"]),
        (FIRST, ["pool lobby: 'resolution 4' does not hold on 2026-07-01; the legal default does"]),
    ],
)
def test_an_agreement_that_ends_is_told_before_and_after(pool: Pool, end: date, warning: list[str]) -> None:
    assert list(rule_warnings(replace(pool, terms=AgreementTerms(None, end, CLAUSE)), DAYS)) == warning


@pytest.mark.parametrize(("review_by", "count"), [(None, 0), (date(2026, 8, 1), 0), (date(2026, 7, 31), 2)])
def test_numbers_past_their_review_are_told(pool: Pool, review_by: date | None, count: int) -> None:
    told = list(rule_warnings(replace(pool, rule=keyed(review_by)), DAYS))
    assert told == [f"pool lobby: persons was due for review by {review_by}"] * count
