"""However many parties, units and nodes there are, lists of them are gone through a fixed number of times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from allocation_engine.balance import balance_tree
from allocation_engine.caps import Reference, ResaleCap
from allocation_engine.close_period import close_period
from allocation_engine.compliance import check_caps, shown_taxes
from allocation_engine.fixed_charges import add_tax, split_fixed
from allocation_engine.inputs import CountedBefore, Occupancy, PeriodInputs, fill_vacancies
from allocation_engine.metered import evidence_needed
from allocation_engine.pools import MinimumRule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.readiness import require_ready
from allocation_engine.rules import Rules
from allocation_engine.run import Run
from allocation_engine.taxes import Tax
from metering.identity import PartyId, PoolId, UnitId

MakeInputs = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
SIZES = (3, 30)


class Counted(tuple[Any, ...]):
    """A tuple that counts how often it is gone through, by all of its copies together."""

    passes: list[int] = []  # noqa: RUF012

    def __iter__(self) -> Iterator[Any]:
        self.passes.append(1)
        return super().__iter__()


def passes(task: Callable[[], object]) -> int:
    """How often counted tuples are gone through while something is done."""
    Counted.passes.clear()
    task()
    return len(Counted.passes)


def estate(make_inputs: MakeInputs, make_rules: MakeRules, size: int) -> tuple[PeriodInputs, Rules]:
    """So many units, each with a meter and a tenant of its own."""
    units = [f"u-{one:02}" for one in range(size)]
    inputs = make_inputs(
        energy={"main": 10 * size, **{f"n-{unit}": 10 for unit in units}},
        parents={f"n-{unit}": "main" for unit in units},
        units={unit: (100, f"n-{unit}") for unit in units},
        let=[(unit, f"t-{unit}", 0, 6) for unit in units],
    )
    own_use = {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": "all"}
    return inputs, make_rules(inputs, own_use)


def assert_passes_do_not_grow(count: Callable[[int], int]) -> None:
    """Ten times the size, the same number of passes, and some."""
    small, large = map(count, SIZES)
    assert large == small


def test_building_a_period(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    def count(size: int) -> int:
        inputs, _ = estate(make_inputs, make_rules, size)
        names = ("nodes", "units", "occupancies")
        counted = {name: Counted(getattr(inputs, name)) for name in names}
        before = Counted(CountedBefore(PoolId("p"), unit.id, None, date(2026, 6, 1), 1) for unit in inputs.units)
        return passes(lambda: replace(inputs, **counted, counted_before=before))

    assert_passes_do_not_grow(count)


def test_asking_a_period_for_its_parts(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    inputs, _ = estate(make_inputs, make_rules, 30)
    names = ("nodes", "units", "occupancies", "counted_before")
    inputs = replace(inputs, **{name: Counted(getattr(inputs, name)) for name in names})

    def ask() -> None:
        assert inputs.row(inputs.nodes[5].id) == 5
        assert inputs.unit(inputs.units[5].id) is inputs.units[5]
        assert len(inputs.occupancies_of(inputs.units[5].id)) == 2
        assert inputs.counted(PoolId("p"), None, None, date(2026, 1, 1)) is None

    assert passes(ask) == 0


def test_filling_vacancies(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    def count(size: int) -> int:
        inputs, _ = estate(make_inputs, make_rules, size)
        let = Counted(Occupancy(unit.id, PartyId("t"), 2, 5) for unit in inputs.units)
        return passes(lambda: fill_vacancies(Counted(inputs.units), let, inputs.owner, 8))

    assert_passes_do_not_grow(count)


@pytest.mark.parametrize("task", [require_ready, evidence_needed, close_period, lambda inputs, _: balance_tree(inputs)])
def test_whatever_is_done_with_a_whole_period(
    make_inputs: MakeInputs, make_rules: MakeRules, task: Callable[[PeriodInputs, Rules], object]
) -> None:
    def count(size: int) -> int:
        inputs, rules = estate(make_inputs, make_rules, size)
        counted = {name: Counted(getattr(inputs, name)) for name in ("nodes", "units", "occupancies")}
        inputs = replace(inputs, **counted)
        return passes(lambda: task(inputs, rules))

    assert_passes_do_not_grow(count)


def test_sorting_lines_out_by_party(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    def count(size: int) -> int:
        run: Run = close_period(*estate(make_inputs, make_rules, size))

        def ask() -> None:
            counted = replace(run, lines=Counted(run.lines))
            assert sum(counted.total_minor(party) for party in counted.parties) == counted.pools[0].cost_minor

        return passes(ask)

    assert_passes_do_not_grow(count)


def test_taxes_and_caps(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    since = date(2026, 1, 1)
    vat = Tax("vat", (), Fraction(13), True, None, since, None, "law")
    cap = ResaleCap("cap", (), Reference.CATALOGUE, 500_000, Fraction(0), Fraction(0), None, since, None, "law")

    def count(size: int) -> int:
        inputs, rules = estate(make_inputs, make_rules, size)
        prices = replace(rules.prices, taxes=(vat,), caps=(cap,))
        priced, run = PricedPeriod.of(inputs, *prices.tariffs), close_period(inputs, rules)
        lines = Counted(run.lines)
        rule = MinimumRule(PoolId("own-use"), tuple(UnitId(unit.id) for unit in inputs.units), 10**10)
        pool = replace(rules.pools[0], id=PoolId("minimum"), rule=rule)
        tenants = size + 1
        assert len(list(shown_taxes(prices, inputs, lines))) == tenants
        assert len(list(check_caps(prices, inputs, run.pools, lines))) == tenants
        assert len(add_tax(replace(vat, included=False), priced, lines)[1]) == tenants
        assert len(split_fixed(pool, priced, lines)[1]) == 2 * size
        return sum(
            passes(task)
            for task in (
                lambda: list(shown_taxes(prices, inputs, lines)),
                lambda: list(check_caps(prices, inputs, run.pools, lines)),
                lambda: add_tax(vat, priced, lines),
                lambda: split_fixed(pool, priced, lines),
            )
        )

    assert_passes_do_not_grow(count)
