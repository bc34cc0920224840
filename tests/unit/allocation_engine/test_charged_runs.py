"""Runs with charges: who is taxed on what, whose price is checked, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import CountedBefore, InputsInvalid, PeriodInputs
from allocation_engine.media import Medium
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import LineKind, Run
from metering.identity import PartyId, PoolId, UnitId

MakeInputs = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
NAMES = {"zh": "甲", "en": "a"}
CAPS = {
    "entries": [
        {
            "id": "ours",
            "names": NAMES,
            "from": "2026-01-01",
            "reference": "catalogue",
            "uplift_percent": "0",
            "source": "a notice",
            "standing": "made up",
        }
    ],
    "id": "caps",
    "format": 1,
}
CAP = {"id": "cap", "table": "caps", "entry": "ours", "base": "0.50", "pools": "all", "permitted_loss_percent": "0"}
TAX = {"id": "vat", "names": NAMES, "percent": "10", "included": False, "from": "2026-01-01", "source": "law"}
INVOICE = {"number": "E", "tariff": "main", "from": "2026-07-01", "to": "2026-07-02", "energy": "9", "source": "paper"}


@pytest.fixture
def building(make_inputs: MakeInputs) -> PeriodInputs:
    """t-1 in one unit, the other vacant; a lift."""
    return make_inputs(
        energy={"u-a": 1000, "u-b": 500, "lift": 250},
        units={"a": (100, "u-a"), "b": (300, "u-b")},
        let=[("a", "t-1", 0, 8)],
    )


def with_prices(
    rules: Rules, inputs: PeriodInputs, *, invoices: Mapping[str, Any] | None = None, **tariff: Any
) -> Rules:
    """The same rules with more in the tariff file."""
    names = SiteNames(
        nodes=frozenset(node.id for node in inputs.nodes),
        units={unit.id: unit.node for unit in inputs.units},
        parties=frozenset({one.party for one in inputs.occupancies} | {inputs.owner}),
        owner=inputs.owner,
        currency="CNY",
    )
    document = {**rules.document, "tariff": {**rules.document["tariff"], **tariff}, "tables": {"caps": CAPS}}
    if invoices is not None:
        document["invoices"] = {"format": 1, "invoices": [invoices]}
    return rules_from_document(document, names)


def amounts(run: Run) -> dict[str, int]:
    """Amounts by line."""
    return {line.id: line.amount_minor for line in run.lines}


@pytest.fixture
def plain(
    building: PeriodInputs, make_rules: MakeRules, area_pool: dict[str, Any], own_use_pool: dict[str, Any]
) -> Rules:
    """Own use, and a lift by area."""
    return make_rules(building, own_use_pool, area_pool)


def test_a_tax_is_added_on_the_pools_it_names_only(building: PeriodInputs, plain: Rules) -> None:
    run = close_period(building, with_prices(plain, building, taxes=[{**TAX, "pools": ["own-use"]}]))
    # Own use 4.00 and 2.00; the lift 0.25 and 0.75 stays out.
    assert {one: minor for one, minor in amounts(run).items() if one.startswith("vat")} == {
        "vat/residual/t-1": 40,
        "vat/residual/owner": 20,
    }
    assert run.pools[-1].cost_minor == 60
    assert run.lines[-1].kind is LineKind.CHARGE


def test_a_tax_on_nothing_adds_no_lines(building: PeriodInputs, plain: Rules) -> None:
    taxes = [{**TAX, "pools": ["own-use"]}]
    run = close_period(building, with_prices(plain, building, taxes=taxes))
    untaxed = close_period(building, plain)
    assert set(amounts(run)) - set(amounts(untaxed)) == {"vat/residual/t-1", "vat/residual/owner"}


def test_the_owners_own_lines_are_nobodys_resale(building: PeriodInputs, plain: Rules) -> None:
    invoice = {**INVOICE, "amount": "7.00"}
    run = close_period(building, with_prices(plain, building, caps=[CAP], invoices=invoice))
    # t-1: 4.00 + 0.25 for 8 kWh, at most 4.00. The owner's 2.75 are in no sum.
    assert [(one.party, one.energy_wh, one.charged_minor, one.limit_minor) for one in run.checks] == [
        ("t-1", 8000, 425, 400),
        (None, 8000, 425, 700),
    ]
    assert run.warnings == ("cap cap: 1 of 1 prices are above the limit or cannot be checked",)
    assert not run.approvable


def test_pools_a_cap_does_not_count_are_no_part_of_the_price(building: PeriodInputs, plain: Rules) -> None:
    cap = {**CAP, "pools": ["own-use"]}
    run = close_period(building, with_prices(plain, building, caps=[cap], invoices={**INVOICE, "amount": "7.00"}))
    assert all(one.holds for one in run.checks)
    assert run.approvable


def test_charges_above_the_invoice_are_warned_of(building: PeriodInputs, plain: Rules) -> None:
    cap = {**CAP, "pools": ["own-use"]}
    run = close_period(building, with_prices(plain, building, caps=[cap], invoices={**INVOICE, "amount": "3.99"}))
    assert run.warnings == ("cap cap: all charges together exceed what the supplier invoiced, or no invoice is known",)


def test_a_cap_that_does_not_hold_yet_checks_nothing(building: PeriodInputs, plain: Rules) -> None:
    rules = with_prices(plain, building, caps=[CAP])
    later = replace(rules.prices.caps[0], valid_from=building.calendar.days(building.period)[0].replace(year=2027))
    rules = replace(rules, prices=replace(rules.prices, caps=(later,)))
    assert close_period(building, rules).checks == ()


def test_what_flows_through_a_node_must_be_what_its_pool_counts(building: PeriodInputs, plain: Rules) -> None:
    nodes = tuple(replace(node, medium=Medium.WATER) if node.id == "lift" else node for node in building.nodes)
    with pytest.raises(PeriodNotReady, match="pool lift counts electricity at node lift, which meters water"):
        close_period(replace(building, nodes=nodes), plain)


def test_water_cannot_hang_below_electricity(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(energy={"main": 2, "u-a": 1}, parents={"u-a": "main"})
    wet = tuple(replace(node, medium=Medium.WATER) if node.id == "u-a" else node for node in inputs.nodes)
    with pytest.raises(InputsInvalid, match="node u-a: water hangs below electricity"):
        replace(inputs, nodes=wet)


def test_the_medium_and_what_was_counted_before_are_part_of_the_inputs_hash(building: PeriodInputs) -> None:
    wet = tuple(replace(node, medium=Medium.WATER) if node.id == "lift" else node for node in building.nodes)
    counted = CountedBefore(PoolId("own-use"), UnitId("a"), PartyId("t-1"), date(2026, 1, 1), 1)
    hashes = {building.hash, replace(building, nodes=wet).hash, replace(building, counted_before=(counted,)).hash}
    assert len(hashes) == 3


def test_a_standing_charge_of_a_handed_over_unit_is_divided_by_time(
    make_inputs: MakeInputs, make_rules: MakeRules
) -> None:
    inputs = make_inputs(
        energy={"u-a": 0},
        units={"a": (100, "u-a")},
        let=[("a", "t-1", 0, 744), ("a", "t-2", 744, 2976)],
        slots=2976,
    )
    standing = {"id": "standing", "class": "exclusive", "rule": "standing", "units": "all", "per_month": "10.01"}
    run = close_period(inputs, rules_of_one_pool(make_rules, inputs, standing))
    assert amounts(run) == {"standing/a/t-1": 250, "standing/a/t-2": 751}


def rules_of_one_pool(make_rules: MakeRules, inputs: PeriodInputs, pool: dict[str, Any]) -> Rules:
    """Rules of one pool that measures nothing."""
    own_use = {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": "all"}
    rules = make_rules(inputs, own_use)
    pools = {**rules.document["pools"], "pools": [{**pool, "names": NAMES, "from": "2026-01-01"}]}
    return with_prices(replace(rules, document={**rules.document, "pools": pools}), inputs)


def test_a_minimum_that_is_reached_charges_nothing(building: PeriodInputs, make_rules: MakeRules) -> None:
    own_use = {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": "all"}
    rules = make_rules(building, own_use)
    minimum = {"id": "minimum", "class": "exclusive", "rule": "minimum", "pool": "own-use", "units": "all"}
    # A twelfth of a day of 31 of 600.00 is 1.61 (1.6129); t-1 took 4.00, the owner 2.00.
    pool = {**minimum, "per_month": "600.00", "names": NAMES, "from": "2026-01-01"}
    pools = {**rules.document["pools"], "pools": [*rules.document["pools"]["pools"], pool]}
    run = close_period(building, with_prices(replace(rules, document={**rules.document, "pools": pools}), building))
    assert amounts(run) == {"own-use/a/t-1": 400, "own-use/b/owner": 200}
    assert run.pools[-1].cost_minor == 0
