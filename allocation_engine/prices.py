"""All prices and facts about prices of a site: tariffs, supply charges, taxes, caps, invoices and openings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from allocation_engine.caps import ResaleCap
from allocation_engine.invoices import Invoice
from allocation_engine.supply_charges import SupplyCharge
from allocation_engine.tariff import Tariff
from allocation_engine.taxes import Tax
from metering.identity import PartyId, UnitId


@dataclass(frozen=True, slots=True)
class Opening:
    """What a party took in a unit, as older books say, from the turn of the year until local `day` [base units].

    For tiers by year, where the readings of the year do not reach back to its first day.
    """

    unit: UnitId
    party: PartyId
    tariff: str
    day: date
    amount: int
    source: str


@dataclass(frozen=True, slots=True)
class Prices:
    """Everything `tariff.toml` and `invoices.toml` say; the first tariff is the main one."""

    tariffs: tuple[Tariff, ...]
    charges: tuple[SupplyCharge, ...]
    taxes: tuple[Tax, ...]
    caps: tuple[ResaleCap, ...]
    invoices: tuple[Invoice, ...]
    openings: tuple[Opening, ...]

    @property
    def main(self) -> Tariff:
        """The tariff of the site's electricity supply."""
        return self.tariffs[0]

    def tariff(self, tariff_id: str) -> Tariff:
        """Give a tariff by its id; the reader has checked that it exists."""
        return next(tariff for tariff in self.tariffs if tariff.id == tariff_id)
