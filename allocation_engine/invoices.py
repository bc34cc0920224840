"""What the supplier asked of the site: invoices, as facts with a number and a source.

They say what purchase prices and resale caps refer to, and they carry the reactive energy behind the power factor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from metering.interval import Interval, SiteCalendar


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice of the supply that `tariff` prices, for local days `first` <= day < `end`.

    energy_milli    [10^-3 billing units of the tariff]: Wh, litres
    reactive_varh   reactive energy, both directions added in absolute value [varh]; None where it states none
    amount_minor    what is to be paid, taxes included [minor units]
    """

    number: str
    tariff: str
    first: date
    end: date
    energy_milli: int
    reactive_varh: int | None
    amount_minor: int
    source: str


@dataclass(frozen=True, slots=True)
class Invoiced:
    """The invoices of one supply that together cover a period exactly, added up."""

    numbers: tuple[str, ...]
    energy_milli: int
    reactive_varh: int | None
    amount_minor: int


def invoiced(invoices: Iterable[Invoice], tariff: str, calendar: SiteCalendar, period: Interval) -> Invoiced | None:
    """Add up the invoices of a supply over a period; None unless they cover it day by day, no more and no less."""
    days = calendar.days(period)
    first, end = days[0], days[-1] + timedelta(days=1)
    inside = sorted(
        (one for one in invoices if one.tariff == tariff and first <= one.first and one.end <= end),
        key=lambda one: one.first,
    )
    reached = first
    for one in inside:
        if one.first != reached:
            return None
        reached = one.end
    if reached != end:
        return None
    reactive = [one.reactive_varh for one in inside]
    return Invoiced(
        numbers=tuple(one.number for one in inside),
        energy_milli=sum(one.energy_milli for one in inside),
        reactive_varh=None if None in reactive else sum(one for one in reactive if one is not None),
        amount_minor=sum(one.amount_minor for one in inside),
    )
