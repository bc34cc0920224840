"""Taxes on what is charged: shown where prices include them, added where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from allocation_engine.errors import PeriodNotReady
from allocation_engine.money import divide
from metering.identity import PartyId, PoolId


@dataclass(frozen=True, slots=True)
class Tax:
    """One rate of one tax on local days `valid_from` <= day < `valid_to`.

    percent    of the price without the tax
    included   True: prices include it and it is shown; False: it is added as a line of its own
    pools      what is taxed; None for all pools
    """

    id: str
    names: tuple[tuple[str, str], ...]
    percent: Fraction
    included: bool
    pools: frozenset[PoolId] | None
    valid_from: date
    valid_to: date | None
    source: str

    def taxes(self, pool: PoolId) -> bool:
        """Say whether the lines of `pool` are taxed."""
        return self.pools is None or pool in self.pools


@dataclass(frozen=True, slots=True)
class TaxShown:
    """The tax that a party's charges contain [minor units]: gross = net + tax."""

    tax: str
    names: tuple[tuple[str, str], ...]
    party: PartyId
    percent: tuple[int, int]
    gross_minor: int
    tax_minor: int


def show_tax(tax: Tax, party: PartyId, gross_minor: int) -> TaxShown:
    """Take the tax out of `gross_minor`, rounded half away from zero, once per party and tax."""
    percent = (tax.percent.numerator, tax.percent.denominator)
    return TaxShown(tax.id, tax.names, party, percent, gross_minor, contained(gross_minor, tax.percent))


def contained(gross_minor: int, percent: Fraction) -> int:
    """Give the tax of `percent` of the net that `gross_minor` contains [minor units]."""
    part = percent / (100 + percent)
    return divide(gross_minor * part.numerator, part.denominator)


def taxes_in_force(taxes: Sequence[Tax], days: Iterable[date]) -> tuple[Tax, ...]:
    """Give the version of each tax that holds on all of `days`; raises PeriodNotReady where none does."""
    wanted = list(days)
    held = tuple(
        tax for tax in taxes if tax.valid_from <= wanted[0] and (tax.valid_to is None or wanted[-1] < tax.valid_to)
    )
    missing = sorted({tax.id for tax in taxes} - {tax.id for tax in held})
    if missing:
        reasons = tuple(
            f"tax {one} has no rate that holds for all of {wanted[0]} to {wanted[-1]}; close shorter periods"
            for one in missing
        )
        raise PeriodNotReady(reasons)
    return held
