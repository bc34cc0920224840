"""The form of `tariff.toml` beside its tariffs, and of `invoices.toml`: charges, taxes, caps, openings, invoices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from allocation_engine.caps import Reference, ResaleCap
from allocation_engine.invoices import Invoice
from allocation_engine.money import MINOR_DIGITS
from allocation_engine.prices import Opening, Prices
from allocation_engine.rule_table import RuleTable, nearest
from allocation_engine.rules import SiteNames
from allocation_engine.supply_charges import (
    CapacityTerms,
    ChargeTerms,
    ContractedDemand,
    DemandTerms,
    IntensityDiscount,
    PowerFactorTerms,
    SupplyCharge,
)
from allocation_engine.tables_file import Tables, read_adjustment
from allocation_engine.tariff import Tariff
from allocation_engine.tariff_file import read_currency, read_main_tariff, read_other_tariff
from allocation_engine.taxes import Tax
from metering.identity import NodeId, PartyId, PoolId, UnitId

_MICRO = 6
_MILLI = 3


class _Kind(StrEnum):
    CAPACITY = "capacity"
    DEMAND = "demand"
    POWER_FACTOR = "power-factor"


Version = TypeVar("Version", SupplyCharge, Tax, ResaleCap)


def read_prices(root: RuleTable, invoices: RuleTable | None, names: SiteNames, tables: Tables) -> Prices:
    """Read both files; mistakes go to their faults."""
    currency = read_currency(root, names.currency)
    tariffs = [read_main_tariff(root, currency, tables)]
    for table in _tables(root, "tariffs"):
        tariff = read_other_tariff(table, currency, tables)
        if any(tariff.id == other.id for other in tariffs):
            table.fault("id", f"two tariffs are called {tariff.id!r}", "main is the one at the top of the file")
        tariffs.append(tariff)
    return Prices(
        tariffs=tuple(tariffs),
        charges=_charges(root, names, tables),
        taxes=_versions(root, "taxes", _tax),
        caps=_versions(root, "caps", lambda table: _cap(table, tables)),
        invoices=() if invoices is None else tuple(_invoice(one, tariffs) for one in invoices.tables("invoices")),
        openings=tuple(_opening(table, names, tariffs) for table in _tables(root, "openings")),
    )


def check_pools(root: RuleTable, prices: Prices, known: Collection[PoolId]) -> None:
    """Keep a mistake for every tax and cap that counts a pool nobody wrote."""
    for key, versions in (("taxes", prices.taxes), ("caps", prices.caps)):
        for version in versions:
            for pool in sorted((version.pools or frozenset()) - set(known)):
                root.fault(key, f"{version.id} counts pool {pool!r}, which is no pool", nearest(pool, known))
    for tax in prices.taxes:
        if tax.id in known:
            root.fault("taxes", f"a tax and a pool are called {tax.id!r}", "each line must say which it is of")


def _tables(root: RuleTable, key: str) -> Iterator[RuleTable]:
    """Give the tables of an array that may be missing."""
    if root.has(key):
        yield from root.tables(key)


def _versions(root: RuleTable, key: str, read: Callable[[RuleTable], Version | None]) -> tuple[Version, ...]:
    """Read dated versions; two of the same id must not hold on one day."""
    versions: list[Version] = []
    for table in _tables(root, key):
        version = read(table)
        if version is None:
            continue
        if version.valid_to is not None and version.valid_to <= version.valid_from:
            table.fault("to", "the end is not after the start", "`to` is the first day on which it no longer holds")
        for other in versions:
            if other.id == version.id and _overlap(other, version):
                table.fault("from", f"{version.id} has two versions on some day", "end the earlier one with `to`")
        versions.append(version)
    return tuple(versions)


def _overlap(one: Version, other: Version) -> bool:
    return (other.valid_to is None or one.valid_from < other.valid_to) and (
        one.valid_to is None or other.valid_from < one.valid_to
    )


def _charges(root: RuleTable, names: SiteNames, tables: Tables) -> tuple[SupplyCharge, ...]:
    charges = _versions(root, "charges", lambda table: _charge(table, names, tables))
    plain = {charge.id for charge in charges if not isinstance(charge.terms, PowerFactorTerms)}
    for charge in charges:
        for one in charge.terms.on if isinstance(charge.terms, PowerFactorTerms) else ():
            if one not in plain:
                problem = f"charge {charge.id} adjusts {one!r}, which is no charge by capacity or demand"
                root.fault("charges", problem, nearest(one, plain))
    for one in sorted({charge.id for charge in charges}):
        if len({type(charge.terms) for charge in charges if charge.id == one}) > 1:
            root.fault("charges", f"charge {one} changes its kind", "give the other kind another id")
    return charges


def _charge(table: RuleTable, names: SiteNames, tables: Tables) -> SupplyCharge | None:
    kind = table.choice("kind", _Kind)
    valid_from = table.day("from")
    terms = _terms(table, kind, valid_from, tables)
    charge_id, title, source = table.identifier("id"), table.names("names"), table.text("source")
    node = NodeId(table.one_id("node", "node", names.nodes))
    valid_to = table.optional_day("to")
    if terms is None:
        return None
    return SupplyCharge(charge_id, title, node, valid_from, valid_to, source, terms)


def _terms(table: RuleTable, kind: _Kind, day: date, tables: Tables) -> ChargeTerms | None:
    match kind:
        case _Kind.CAPACITY:
            return CapacityTerms(table.scaled("per_kva_month", _MICRO), table.scaled("capacity_kva", _MILLI))
        case _Kind.DEMAND:
            contract = _contract(table.table("contract")) if table.has("contract") else None
            discount = _discount(table.table("intensity")) if table.has("intensity") else None
            minimum_w = table.scaled("minimum_kw", _MILLI) if table.has("minimum_kw") else 0
            return DemandTerms(table.scaled("per_kw_month", _MICRO), minimum_w, contract, discount)
        case _Kind.POWER_FACTOR:
            standard = table.text("standard")
            named = tables.open(table, "table")
            adjustment = None if named is None else read_adjustment(named, standard, day)
            on = tuple(table.raw("on")) if isinstance(table.raw("on"), list) else ()
            levy_micro = table.scaled("levies_per_kwh", _MICRO)
            return None if adjustment is None else PowerFactorTerms(adjustment, tuple(map(str, on)), levy_micro)


def _contract(table: RuleTable) -> ContractedDemand:
    contract = ContractedDemand(
        demand_w=table.scaled("kw", _MILLI),
        tolerance=table.number("tolerance_percent") / 100,
        excess_factor=table.number("excess_factor"),
    )
    if contract.tolerance < 1:
        table.fault("tolerance_percent", "below 100 %", 'write "105": up to 105 % of the contract costs the contract')
    if contract.excess_factor < 1:
        table.fault("excess_factor", "below 1", 'write "2": what lies above counts twice')
    table.close()
    return contract


def _discount(table: RuleTable) -> IntensityDiscount:
    discount = IntensityDiscount(
        capacity_va=table.scaled("capacity_kva", _MILLI),
        wh_per_va=table.number("kwh_per_kva"),
        factor=table.number("rate_percent") / 100,
    )
    if not 0 <= discount.factor <= 1:
        table.fault("rate_percent", "no part of the rate", 'write "90": ninety percent of the rate are paid')
    table.close()
    return discount


def _tax(table: RuleTable) -> Tax:
    included = table.raw("included")
    if type(included) is not bool:
        table.fault("included", f"included is {included!r}", "write true if prices include the tax, else false")
    return Tax(
        id=table.identifier("id"),
        names=table.names("names"),
        percent=_percent(table, "percent"),
        included=included is True,
        pools=_pools(table),
        valid_from=table.day("from"),
        valid_to=table.optional_day("to"),
        source=table.text("source"),
    )


def _cap(table: RuleTable, tables: Tables) -> ResaleCap | None:
    """Read a cap; its percentages come from an entry of a table, with that entry's days and source."""
    named = tables.open(table, "table")
    wanted = table.text("entry")
    entries: dict[str, ResaleCap] = {}
    if named is not None:
        named.identifier("id"), named.has("format")
        entries = {entry.id: entry for entry in (_cap_entry(one) for one in named.tables("entries"))}
        named.close()
        if wanted and wanted not in entries:
            table.fault("entry", f"no entry {wanted!r}", nearest(wanted, entries))
    base_micro = table.scaled("base", _MICRO) if table.has("base") else None
    loss, pools, cap_id = _percent(table, "permitted_loss_percent"), _pools(table), table.identifier("id")
    entry = entries.get(wanted)
    if entry is None:
        return None
    if (entry.reference is Reference.CATALOGUE) is not (base_micro is not None):
        problem = f"entry {wanted} refers to the {entry.reference} price"
        table.fault("base", problem, "give `base`, the catalogue price per kWh, for it and only for it")
    return replace(entry, id=cap_id, base_micro=base_micro, permitted_loss=loss / 100, pools=pools)


def _cap_entry(table: RuleTable) -> ResaleCap:
    source, standing = table.text("source"), table.text("standing")
    return ResaleCap(
        id=table.identifier("id"),
        names=table.names("names"),
        reference=table.choice("reference", Reference),
        base_micro=None,
        uplift=_percent(table, "uplift_percent") / 100,
        permitted_loss=Fraction(0),
        pools=None,
        valid_from=table.day("from"),
        valid_to=table.optional_day("to"),
        source=f"{source} ({standing})",
    )


def _percent(table: RuleTable, key: str) -> Fraction:
    percent = table.number(key)
    if percent < 0:
        table.fault(key, f"{key} is negative", "write a percentage that is not")
    return percent


def _pools(table: RuleTable) -> frozenset[PoolId] | None:
    content = table.raw("pools")
    if content == "all":
        return None
    if isinstance(content, list) and content and all(isinstance(one, str) for one in content):
        return frozenset(map(PoolId, content))
    if content is not None:
        table.fault("pools", f"pools is {content!r}", 'write pools = "all", or list pools')
    return None


def _invoice(table: RuleTable, tariffs: Collection[Tariff]) -> Invoice:
    currency = next(iter(tariffs)).currency
    first, end = table.day("from"), table.day("to")
    if end <= first:
        table.fault("to", "the end is not after the start", "`to` is the first day the invoice no longer covers")
    return Invoice(
        number=table.text("number"),
        tariff=table.one_id("tariff", "tariff", {tariff.id for tariff in tariffs}),
        first=first,
        end=end,
        energy_milli=table.scaled("energy", _MILLI),
        reactive_varh=table.scaled("reactive_kvarh", _MILLI) if table.has("reactive_kvarh") else None,
        amount_minor=table.scaled("amount", MINOR_DIGITS.get(currency, 0)),
        source=table.text("source"),
    )


def _opening(table: RuleTable, names: SiteNames, tariffs: Collection[Tariff]) -> Opening:
    tariff_id = table.one_id("tariff", "tariff", {tariff.id for tariff in tariffs})
    amount = Fraction(0)
    for tariff in tariffs:
        if tariff.id == tariff_id:
            units = tariff.medium.billing_units.get(tariff.per, Fraction(1000))
            amount = table.scaled("amount", _MICRO) * units / 10**_MICRO
    if amount.denominator != 1:
        table.fault("amount", "finer than the medium is counted", "round it to thousandths")
    return Opening(
        unit=UnitId(table.one_id("unit", "unit", names.units)),
        party=PartyId(table.one_id("party", "party", names.parties)),
        tariff=tariff_id,
        day=table.day("day"),
        amount=int(amount),
        source=table.text("source"),
    )
