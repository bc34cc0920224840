"""What may be charged at most: a price per kWh, and all tenants together no more than the supplier's invoice.

A run states each check with its numbers, whether it holds or not. One that does not hold stands in the way of approval,
as a case of the balance does; it is never mended by changing an amount.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from math import floor

from allocation_engine.invoices import Invoiced
from allocation_engine.money import minor_digits
from metering.identity import PartyId, PoolId


class Reference(StrEnum):
    """What a cap is a percentage on: a published price, or what the site itself paid per kWh."""

    CATALOGUE = "catalogue"
    PURCHASE = "purchase"


@dataclass(frozen=True, slots=True)
class ResaleCap:
    """A limit on local days `valid_from` <= day < `valid_to`.

    base_micro      the catalogue price [10^-6 currency units per kWh]; None where the purchase price counts
    uplift          at most this part on top: 15 % is 3/20
    permitted_loss  by which part all charges together may exceed the invoice
    pools           whose lines are the price of electricity; None for all
    """

    id: str
    names: tuple[tuple[str, str], ...]
    reference: Reference
    base_micro: int | None
    uplift: Fraction
    permitted_loss: Fraction
    pools: frozenset[PoolId] | None
    valid_from: date
    valid_to: date | None
    source: str

    def counts(self, pool: PoolId) -> bool:
        """Say whether the lines of `pool` are part of the price."""
        return self.pools is None or pool in self.pools


class CheckKind(StrEnum):
    """A tenant's price, or the sum over tenants."""

    PRICE = "price"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class ComplianceCheck:
    """One check with its numbers.

    party           whose price was checked; None for the sum over all tenants
    energy_wh       what they took by their own meters [Wh]
    charged_minor   what they are charged for it, shares of common costs included
    limit_minor     what they may be charged; None where it could not be said, `basis` says why
    basis           how the limit came about, with its source
    """

    cap: str
    kind: CheckKind
    party: PartyId | None
    energy_wh: int
    charged_minor: int
    limit_minor: int | None
    basis: str

    @property
    def holds(self) -> bool:
        """Say whether the limit is known and kept."""
        return self.limit_minor is not None and self.charged_minor <= self.limit_minor


@dataclass(frozen=True, slots=True)
class Charged:
    """What one tenant took by his own meters [Wh] and is charged [minor units] in the pools a cap counts."""

    energy_wh: int
    amount_minor: int


def check_cap(
    cap: ResaleCap, charged: Mapping[PartyId, Charged], bill: Invoiced | None, currency: str
) -> Iterator[ComplianceCheck]:
    """Check the price of every tenant and the sum over all; `charged` leaves out the owner."""
    rate, basis = _limit_rate(cap, bill, currency)
    for party, one in sorted(charged.items()):
        if one.energy_wh <= 0:
            continue  # who took nothing has no price; the sum still counts what he is charged
        limit = None if rate is None else floor(rate * one.energy_wh)
        yield ComplianceCheck(cap.id, CheckKind.PRICE, party, one.energy_wh, one.amount_minor, limit, basis)
    energy_wh, amount_minor = _total(charged.values())
    if bill is None:
        told = "no invoices cover the period"
        yield ComplianceCheck(cap.id, CheckKind.SUM, None, energy_wh, amount_minor, None, told)
    else:
        limit = floor(bill.amount_minor * (1 + cap.permitted_loss))
        told = f"{', '.join(bill.numbers)}: {bill.amount_minor} x (1 + {_percent(cap.permitted_loss)})"
        yield ComplianceCheck(cap.id, CheckKind.SUM, None, energy_wh, amount_minor, limit, told)


def _limit_rate(cap: ResaleCap, bill: Invoiced | None, currency: str) -> tuple[Fraction | None, str]:
    """Give the highest price [minor units per Wh] and how it came about."""
    uplift = f"x (1 + {_percent(cap.uplift)}); {cap.source}"
    if cap.base_micro is not None:
        minor_per_wh = Fraction(cap.base_micro * 10 ** minor_digits(currency), 10**9)
        return minor_per_wh * (1 + cap.uplift), f"{cap.base_micro} micro-{currency} per kWh {uplift}"
    if bill is None or bill.energy_milli <= 0:
        return None, "the purchase price is not known: no invoices cover the period"
    paid = f"{bill.amount_minor} minor units for {bill.energy_milli} Wh ({', '.join(bill.numbers)})"
    return Fraction(bill.amount_minor, bill.energy_milli) * (1 + cap.uplift), f"{paid} {uplift}"


def _total(charged: Iterable[Charged]) -> tuple[int, int]:
    found = list(charged)
    return sum(one.energy_wh for one in found), sum(one.amount_minor for one in found)


def _percent(part: Fraction) -> str:
    percent = part * 100
    return f"{percent} %" if percent.denominator == 1 else f"{percent.numerator}/{percent.denominator} %"
