"""Charges by capacity, maximum demand and power factor: what is billed, and what the steps say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction

import numpy as np
import pytest

from allocation_engine.costs import CostStep, amount_step
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import PeriodInputs
from allocation_engine.invoices import Invoice, invoiced
from allocation_engine.months import month_spans
from allocation_engine.power_factor import AdjustmentRange, AdjustmentTable
from allocation_engine.supply_charges import (
    CapacityTerms,
    ChargedCost,
    ChargeTerms,
    ContractedDemand,
    DemandTerms,
    IntensityDiscount,
    PowerFactorTerms,
    SupplyCharge,
    charge_supply,
)
from metering.identity import NodeId

MakeInputs = Callable[..., PeriodInputs]
MAIN = NodeId("main")
NAMES = (("en", "Charge"), ("zh", "电费"))
CONTRACT = ContractedDemand(500_000, Fraction(105, 100), Fraction(2))
TABLE = AdjustmentTable("0.90", "a table", (AdjustmentRange(0, 100, Fraction(-1), Fraction(1, 2)),))


@pytest.fixture
def july(make_inputs: MakeInputs) -> PeriodInputs:
    """The main meter over all of July: 100 kW, and 620 kW in the slots 1000 and 2000."""
    inputs = make_inputs(energy={"main": 25_000}, slots=2976)
    taken = inputs.import_wh.copy()
    taken[0, [1000, 2000]] = 155_000
    return replace(inputs, import_wh=taken)


def charge(terms: ChargeTerms, charge_id: str = "basic", **changes: object) -> SupplyCharge:
    """A charge at the main meter."""
    fields = {"valid_from": date(2026, 1, 1), "valid_to": None, "source": "a price list", **changes}
    return SupplyCharge(charge_id, NAMES, MAIN, terms=terms, **fields)  # type: ignore[arg-type]


def cost(inputs: PeriodInputs, *charges: SupplyCharge, invoices: tuple[Invoice, ...] = ()) -> dict[str, ChargedCost]:
    """What charges cost, with energy worth 44,796.00."""
    return charge_supply(charges, invoices, inputs, currency="CNY", energy_nano={MAIN: 44_796 * 10**9})


def quantities(found: ChargedCost) -> list[tuple[int, tuple[int, int]]]:
    """Quantity and part of each step."""
    return [(step.quantity_milli, step.part) for step in found.steps]


def test_capacity_costs_its_rate_whether_used_or_not(july: PeriodInputs) -> None:
    found = cost(july, charge(CapacityTerms(23_000_000, 1_250_000)))["basic"]
    assert found.cost_nano == 28_750 * 10**9
    assert found.steps[0].what == "capacity 2026-07"


def test_a_part_of_a_month_costs_that_part(make_inputs: MakeInputs) -> None:
    days = make_inputs(energy={"main": 1}, slots=96 * 3)
    found = cost(days, charge(CapacityTerms(31_000_000, 1000)))["basic"]
    assert quantities(found) == [(1000, (3, 31))]
    assert found.cost_nano == 3 * 10**9


def test_a_part_of_a_month_costs_that_part_of_its_demand(make_inputs: MakeInputs) -> None:
    days = make_inputs(energy={"main": 1000}, slots=96 * 3)
    found = cost(days, charge(DemandTerms(31_000_000, 0, ContractedDemand(2000, Fraction(1), Fraction(3)), None)))[
        "basic"
    ]
    assert quantities(found) == [(4000, (3, 31)), (2000, (6, 31))]


def test_each_month_has_its_own_demand_and_version_of_the_price(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(energy={"main": 1000}, slots=192, start=datetime(2026, 7, 30, 16, 0, tzinfo=UTC))
    taken = inputs.import_wh.copy()
    taken[0, 100] = 2000
    old = charge(DemandTerms(10_000_000, 0, None, None), valid_to=date(2026, 8, 1))
    new = charge(DemandTerms(20_000_000, 0, None, None), valid_from=date(2026, 8, 1))
    found = cost(replace(inputs, import_wh=taken), old, new)["basic"]
    assert [(step.what, step.quantity_milli, step.rate_micro) for step in found.steps] == [
        ("maximum demand 2026-07", 4000, 10_000_000),
        ("maximum demand 2026-08", 8000, 20_000_000),
    ]


def test_a_month_without_a_version_of_the_price_is_refused(july: PeriodInputs) -> None:
    with pytest.raises(PeriodNotReady, match="charge basic has no version that holds on 2026-07-01"):
        cost(july, charge(CapacityTerms(1, 1), valid_from=date(2026, 8, 1)))


def test_the_first_of_equal_peaks_is_named(july: PeriodInputs) -> None:
    (step,) = cost(july, charge(DemandTerms(40_000_000, 0, None, None)))["basic"].steps
    assert (step.quantity_milli, step.note) == (620_000, "620000 W in the quarter hour from 2026-07-11T10:00+08:00")


@pytest.mark.parametrize(
    ("peak_w", "billed"),
    [
        (100_000, [500_000]),
        (500_000, [500_000]),
        (524_996, [500_000]),
        (525_000, [500_000]),
        (525_004, [525_004, 4]),
        (620_000, [620_000, 95_000]),
    ],
)
def test_a_contract_is_paid_until_its_tolerance_and_what_lies_above_counts_twice(
    july: PeriodInputs, peak_w: int, billed: list[int]
) -> None:
    taken = np.minimum(july.import_wh, 0)
    taken[0, 7] = peak_w // 4
    found = cost(replace(july, import_wh=taken), charge(DemandTerms(40_000_000, 0, CONTRACT, None)))["basic"]
    assert [step.quantity_milli for step in found.steps] == billed


def test_a_minimum_demand_is_paid_at_least(july: PeriodInputs) -> None:
    found = cost(july, charge(DemandTerms(40_000_000, 700_000, None, None)))["basic"]
    assert quantities(found) == [(700_000, (1, 1))]


@pytest.mark.parametrize(("capacity_va", "part"), [(280_000, (9, 10)), (290_000, (1, 1))])
def test_well_used_capacity_lowers_the_rate(july: PeriodInputs, capacity_va: int, part: tuple[int, int]) -> None:
    # 74,660 kWh are 266 kWh per kVA of 280 kVA, and 257 of 290; the bound is 260.
    discount = IntensityDiscount(capacity_va, Fraction(260), Fraction(9, 10))
    found = cost(july, charge(DemandTerms(40_000_000, 0, None, discount)))["basic"]
    assert quantities(found) == [(620_000, part)]


def invoice(**changes: object) -> Invoice:
    """The supplier's invoice of July."""
    fields: dict[str, object] = {
        "number": "E-7",
        "tariff": "main",
        "first": date(2026, 7, 1),
        "end": date(2026, 8, 1),
        "energy_milli": 74_660_000,
        "reactive_varh": 46_270_000,
        "amount_minor": 100,
        "source": "paper",
    }
    return Invoice(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_power_factor_moves_energy_and_basic_charge_but_no_levies(july: PeriodInputs) -> None:
    basic = charge(CapacityTerms(10_000_000, 1_000_000))
    adjustment = charge(PowerFactorTerms(TABLE, ("basic",), 30_000), "adjustment")
    found = cost(july, adjustment, basic, invoices=(invoice(),))["adjustment"]
    # 0.85: -1 + 15 x 0.5 = 6.5 %
    assert quantities(found) == [(42_556_200, (13, 200)), (10_000_000, (13, 200))]
    assert found.cost_nano == (42_556_200 + 10_000_000) * 10**6 * 13 // 200


@pytest.mark.parametrize("invoices", [(), (invoice(reactive_varh=None),), (invoice(end=date(2026, 7, 31)),)])
def test_a_power_factor_needs_the_invoice_of_the_whole_period(
    july: PeriodInputs, invoices: tuple[Invoice, ...]
) -> None:
    with pytest.raises(PeriodNotReady, match="adjustment needs the reactive energy of the period"):
        cost(july, charge(PowerFactorTerms(TABLE, (), 0), "adjustment"), invoices=invoices)


def test_invoices_that_follow_one_another_cover_a_period(july: PeriodInputs) -> None:
    parts = (
        invoice(number="E-2", first=date(2026, 7, 16), amount_minor=7),
        invoice(number="E-1", end=date(2026, 7, 16)),
    )
    found = invoiced(parts, "main", july.calendar, july.period)
    assert found is not None
    assert (found.numbers, found.amount_minor, found.energy_milli) == (("E-1", "E-2"), 107, 149_320_000)


@pytest.mark.parametrize(
    "parts",
    [
        (invoice(end=date(2026, 7, 15)), invoice(first=date(2026, 7, 16))),
        (invoice(end=date(2026, 7, 17)), invoice(first=date(2026, 7, 16))),
        (invoice(end=date(2026, 8, 2)),),
        (invoice(tariff="water"),),
    ],
)
def test_invoices_with_a_hole_an_overlap_or_a_day_too_many_cover_nothing(
    july: PeriodInputs, parts: tuple[Invoice, ...]
) -> None:
    assert invoiced(parts, "main", july.calendar, july.period) is None


def test_months_of_a_period_know_which_part_of_them_is_occupied(july: PeriodInputs) -> None:
    (month,) = month_spans(july.calendar, july.period)
    assert (month.label, month.part, month.covered([(0, 744), (2900, 5000)])) == ("2026-07", 1, Fraction(820, 2976))


def test_months_with_a_change_of_clocks_have_their_own_slots(make_inputs: MakeInputs) -> None:
    berlin = type(make_inputs(energy={"main": 1}).calendar)("Europe/Berlin")
    spans = month_spans(berlin, berlin.period("2026-03-31--2026-04-01"))
    assert [(span.first, span.end, span.month_slots) for span in spans] == [(0, 96, 31 * 96 - 4), (96, 192, 30 * 96)]


def test_a_step_reads_back_what_it_wrote() -> None:
    step = CostStep("demand", 620_000, "kW", 40_000_000, (13, 31), "a note")
    assert CostStep.from_wire(step.to_wire()) == step


@pytest.mark.parametrize(("nano", "quantity"), [(5, 9), (-5, -9), (4, 8), (0, 0)])
def test_a_step_is_rounded_half_away_from_zero(nano: int, quantity: int) -> None:
    assert CostStep("", quantity, "", 1, (1, 2), "").cost_nano == nano


@pytest.mark.parametrize(("currency", "minor", "milli"), [("CNY", 123, 1230), ("JPY", 123, 123_000)])
def test_an_amount_of_any_currency_is_a_quantity(currency: str, minor: int, milli: int) -> None:
    assert amount_step("", minor, currency, Fraction(1), "").quantity_milli == milli
