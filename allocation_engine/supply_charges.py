"""What a supplier charges beside energy: by capacity, by maximum demand (基本电费), by power factor (力调电费).

Each charge is the cost of a pool; how it is shared is the pool's rule. Every charge is a list of steps that anybody can
multiply again. Months count by the part of them that the period covers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

import numpy as np

from allocation_engine.costs import CostStep, amount_step, steps_nano
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import PeriodInputs
from allocation_engine.invoices import Invoice, invoiced
from allocation_engine.money import to_minor
from allocation_engine.months import MonthSpan, month_spans
from allocation_engine.power_factor import AdjustmentTable, power_factor_hundredths
from metering.identity import NodeId

WH_PER_SLOT_TO_W = 4
"""A quarter hour of 1 Wh is a mean power of 4 W. Demand is the mean over fixed quarter hours, not over sliding ones."""


@dataclass(frozen=True, slots=True)
class CapacityTerms:
    """By the capacity of transformers: rate x kVA, used or not. [10^-6 currency units per kVA and month; VA]"""

    rate_micro: int
    capacity_va: int


@dataclass(frozen=True, slots=True)
class ContractedDemand:
    """A contracted maximum demand: it is paid if not exceeded by more than the tolerance.

    demand_w         contracted [W]
    tolerance        demand up to this multiple of the contract costs no more than the contract: 1.05
    excess_factor    what lies above counts this often: 2
    """

    demand_w: int
    tolerance: Fraction
    excess_factor: Fraction


@dataclass(frozen=True, slots=True)
class IntensityDiscount:
    """A lower rate for who uses his capacity well: from `wh_per_va` a month on, `factor` of the rate."""

    capacity_va: int
    wh_per_va: Fraction
    factor: Fraction


@dataclass(frozen=True, slots=True)
class DemandTerms:
    """By the largest mean power of a quarter hour in the month. [10^-6 currency units per kW and month]

    minimum_w   demand that is paid at least [W]; 0 for none
    """

    rate_micro: int
    minimum_w: int
    contract: ContractedDemand | None
    discount: IntensityDiscount | None


@dataclass(frozen=True, slots=True)
class PowerFactorTerms:
    """By the power factor of the period: a percentage of energy and of the charges in `on`.

    levy_micro   part of each kWh's rate that is a levy and is not adjusted [10^-6 currency units per kWh]
    """

    table: AdjustmentTable
    on: tuple[str, ...]
    levy_micro: int


ChargeTerms = CapacityTerms | DemandTerms | PowerFactorTerms


@dataclass(frozen=True, slots=True)
class SupplyCharge:
    """One dated version of a charge at the supply point `node`; local days `valid_from` <= day < `valid_to`."""

    id: str
    names: tuple[tuple[str, str], ...]
    node: NodeId
    valid_from: date
    valid_to: date | None
    source: str
    terms: ChargeTerms

    def holds(self, day: date) -> bool:
        """Say whether this version holds on local `day`."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True, slots=True)
class ChargedCost:
    """What a charge costs in a period, step by step."""

    id: str
    node: NodeId
    steps: tuple[CostStep, ...]

    @property
    def cost_nano(self) -> int:
        """The whole charge [10^-9 currency units]."""
        return steps_nano(self.steps)


def charge_supply(
    charges: Sequence[SupplyCharge],
    invoices: Sequence[Invoice],
    inputs: PeriodInputs,
    *,
    currency: str,
    energy_nano: dict[NodeId, int],
) -> dict[str, ChargedCost]:
    """Compute every charge of a period.

    energy_nano   what the energy of each supply point costs [10^-9 currency units], for the power factor
    Raises        PeriodNotReady where a charge does not hold, or the invoice a power factor needs is missing
    """
    costs: dict[str, ChargedCost] = {}
    months = month_spans(inputs.calendar, inputs.period)
    for is_adjustment in (False, True):
        for charge_id in sorted({charge.id for charge in charges}):
            held = [_version(charges, charge_id, inputs, month) for month in months]
            if isinstance(held[0].terms, PowerFactorTerms) is not is_adjustment:
                continue
            if is_adjustment:
                steps = tuple(_adjustment(held[0], invoices, inputs, currency, energy_nano, costs))
            else:
                parts = zip(held, months, strict=True)
                steps = tuple(step for one, month in parts for step in _month(one, inputs, month))
            costs[charge_id] = ChargedCost(charge_id, held[0].node, steps)
    return costs


def _version(charges: Sequence[SupplyCharge], charge_id: str, inputs: PeriodInputs, month: MonthSpan) -> SupplyCharge:
    """Give the version of a charge for a month: the one that holds on the first of its days in the period."""
    day = inputs.calendar.local(inputs.mark(month.first)).date()
    for charge in charges:
        if charge.id == charge_id and charge.holds(day):
            return charge
    raise PeriodNotReady((f"charge {charge_id} has no version that holds on {day}",))


def _month(charge: SupplyCharge, inputs: PeriodInputs, month: MonthSpan) -> Iterator[CostStep]:
    part = (month.part.numerator, month.part.denominator)
    match charge.terms:
        case CapacityTerms(rate_micro, capacity_va):
            yield CostStep(f"capacity {month.label}", capacity_va, "kVA", rate_micro, part, charge.source)
        case DemandTerms() as terms:
            yield from _demand(charge, terms, inputs, month)


def _demand(charge: SupplyCharge, terms: DemandTerms, inputs: PeriodInputs, month: MonthSpan) -> Iterator[CostStep]:
    slots_wh = inputs.import_wh[inputs.row(charge.node), month.first : month.end]
    peak = int(np.argmax(slots_wh))  # the first of equal peaks
    peak_w = int(slots_wh[peak]) * WH_PER_SLOT_TO_W
    at = inputs.calendar.local(inputs.mark(month.first + peak)).isoformat(timespec="minutes")
    part, discount = _discounted(terms, int(slots_wh.sum()), month)
    billed_w, excess_w = max(peak_w, terms.minimum_w), 0
    note = f"{peak_w} W in the quarter hour from {at}{discount}"
    if terms.contract is not None:
        allowed_w = int(terms.contract.demand_w * terms.contract.tolerance)
        billed_w = max(terms.contract.demand_w if peak_w <= allowed_w else peak_w, terms.minimum_w)
        excess_w = max(peak_w - allowed_w, 0)
        note += f"; {terms.contract.demand_w} W contracted"
    yield _priced(f"maximum demand {month.label}", billed_w, terms, part, note)
    if terms.contract is not None and excess_w:
        more = part * (terms.contract.excess_factor - 1)
        yield _priced(f"excess demand {month.label}", excess_w, terms, more, f"above {allowed_w} W")


def _priced(what: str, demand_w: int, terms: DemandTerms, part: Fraction, note: str) -> CostStep:
    return CostStep(what, demand_w, "kW", terms.rate_micro, (part.numerator, part.denominator), note)


def _discounted(terms: DemandTerms, energy_wh: int, month: MonthSpan) -> tuple[Fraction, str]:
    """Give the part of the rate that counts: less where the capacity was used well. Parts of months count as parts."""
    discount = terms.discount
    if discount is None or energy_wh < discount.wh_per_va * discount.capacity_va * month.part:
        return month.part, ""
    return month.part * discount.factor, f"; rate x {discount.factor} from {discount.wh_per_va} kWh per kVA on"


def _adjustment(
    charge: SupplyCharge,
    invoices: Sequence[Invoice],
    inputs: PeriodInputs,
    currency: str,
    energy_nano: dict[NodeId, int],
    costs: dict[str, ChargedCost],
) -> Iterator[CostStep]:
    terms = charge.terms
    if not isinstance(terms, PowerFactorTerms):
        raise TypeError(f"{charge.id} is no power factor charge")
    bill = invoiced(invoices, "main", inputs.calendar, inputs.period)
    if bill is None or bill.reactive_varh is None:
        reason = f"charge {charge.id} needs the reactive energy of the period; enter the supplier's invoice"
        raise PeriodNotReady((reason,))
    hundredths = power_factor_hundredths(bill.energy_milli, bill.reactive_varh)
    part = terms.table.percent(hundredths) / 100
    shown = f"{hundredths // 100}.{hundredths % 100:02d} against {terms.table.standard}"
    counted = f"{bill.energy_milli} Wh and {bill.reactive_varh} varh of {', '.join(bill.numbers)}"
    note = f"power factor {shown}: {counted}"
    energy_wh = int(inputs.import_wh[inputs.row(charge.node)].sum())
    adjusted_minor = to_minor(energy_nano[charge.node] - energy_wh * terms.levy_micro, currency)
    yield amount_step("energy, adjusted", adjusted_minor, currency, part, note)
    for one in terms.on:
        yield amount_step(f"{one}, adjusted", to_minor(costs[one].cost_nano, currency), currency, part, note)
