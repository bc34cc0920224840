"""Taxes shown and caps checked for a computed run: who is charged what, against what may be charged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from allocation_engine.caps import Charged, CheckKind, ComplianceCheck, ResaleCap, check_cap
from allocation_engine.inputs import PeriodInputs
from allocation_engine.invoices import invoiced
from allocation_engine.media import Medium
from allocation_engine.prices import Prices
from allocation_engine.run import Line, LineKind, PoolResult
from allocation_engine.tariff import MAIN_TARIFF
from allocation_engine.taxes import TaxShown, show_tax, taxes_in_force
from metering.identity import PartyId


def shown_taxes(prices: Prices, inputs: PeriodInputs, lines: Sequence[Line]) -> Iterator[TaxShown]:
    """Take the taxes that prices include out of what each party is charged."""
    for tax in taxes_in_force(prices.taxes, inputs.calendar.days(inputs.period)):
        gross_minor: dict[PartyId, int] = {}
        for line in lines if tax.included else ():
            if tax.taxes(line.pool):
                gross_minor[line.party] = gross_minor.get(line.party, 0) + line.amount_minor
        for party in sorted(gross_minor):
            yield show_tax(tax, party, gross_minor[party])


def check_caps(
    prices: Prices, inputs: PeriodInputs, pools: Sequence[PoolResult], lines: Sequence[Line]
) -> Iterator[ComplianceCheck]:
    """Check every cap that holds on the last day of the period; the owner's own lines are nobody's resale."""
    days = inputs.calendar.days(inputs.period)
    bill = invoiced(prices.invoices, MAIN_TARIFF, inputs.calendar, inputs.period)
    electric = {pool.id for pool in pools if prices.tariff(pool.tariff).medium is Medium.ELECTRICITY}
    for cap in prices.caps:
        if cap.valid_from <= days[-1] and (cap.valid_to is None or days[-1] < cap.valid_to):
            charged = _charged(cap, inputs.owner, [line for line in lines if line.pool in electric])
            yield from check_cap(cap, charged, bill, prices.main.currency)


def _charged(cap: ResaleCap, owner: PartyId, lines: Sequence[Line]) -> dict[PartyId, Charged]:
    charged: dict[PartyId, Charged] = {}
    for line in lines:
        if cap.counts(line.pool) and line.party != owner:
            so_far = charged.get(line.party, Charged(0, 0))
            energy_wh = sum(line.band_energy_wh) if line.kind is LineKind.METERED else 0
            charged[line.party] = Charged(so_far.energy_wh + energy_wh, so_far.amount_minor + line.amount_minor)
    return charged


def check_warnings(checks: Sequence[ComplianceCheck]) -> Iterator[str]:
    """Say of each cap how many prices it does not let pass, naming nobody: warnings stand on every statement."""
    for cap in dict.fromkeys(check.cap for check in checks):
        prices = [check for check in checks if check.cap == cap and check.kind is CheckKind.PRICE]
        failing = sum(not check.holds for check in prices)
        if failing:
            yield f"cap {cap}: {failing} of {len(prices)} prices are above the limit or cannot be checked"
        if any(not check.holds for check in checks if check.cap == cap and check.kind is CheckKind.SUM):
            yield f"cap {cap}: all charges together exceed what the supplier invoiced, or no invoice is known"
