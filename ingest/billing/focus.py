"""A published line in the columns of FOCUS (FinOps Open Cost and Usage Specification 1.3), with split costs. Pure.

A shared cost is an *allocated charge*: `ResourceId` is the pool whose cost is split, `AllocatedResourceId` the unit
that gets its part, `AllocatedMethodId` the rule (site and pool), which docs/billing-api.md says how to look up. What
has no place in FOCUS stands in columns that begin with `x_`, as the specification asks. Columns that FOCUS has and we
have nothing for (prices, discounts, regions) are left out or null; no name of anybody is given.
"""

from __future__ import annotations

import json
from decimal import Decimal

from allocation_engine.money import minor_digits
from allocation_engine.run import LineKind
from ingest.billing.columns import NATIVE, Column, Content, Type, feed_id, line_id, quantity, unit_of_quantity
from ingest.store.feed import Entry, Row

_PER = {"Wh": ("kWh", 3), "mL": ("m3", 6), "kJ": ("GJ", 6)}
"""The unit people are billed in, and how many digits our base unit is below it."""
_SPLIT = frozenset({LineKind.SHARE, LineKind.LOSS, LineKind.RESIDUAL})
_MONEY = ("amount_minor", "currency")


def billed_cost(entry: Entry, row: Row) -> Decimal:
    """Give the amount in whole units of the currency, exactly."""
    return Decimal(row[5]).scaleb(-minor_digits(entry.currency))


def consumed(entry: Entry, row: Row) -> Decimal | None:
    """Give the quantity in the unit people are billed in, exactly."""
    amount, unit = quantity(entry, row), unit_of_quantity(entry, row)
    return None if amount is None or unit is None else Decimal(amount).scaleb(-_PER[unit][1])


def consumed_unit(entry: Entry, row: Row) -> str | None:
    """Give that unit."""
    unit = unit_of_quantity(entry, row)
    return None if unit is None else _PER[unit][0]


def is_split(row: Row) -> bool:
    """Say whether a line is a part of a common cost; of a correction its id tells no kind, so it is not said."""
    return row[4] in _SPLIT


def _resource(_: Entry, row: Row) -> Content:
    return row[1] if is_split(row) else row[3]


def _described(_: Entry, row: Row) -> Content:
    return f"{row[1]}, {row[3] or 'residual'}" + ("" if row[4] is None else f" ({row[4]})")


def _tags(entry: Entry) -> Content:
    return json.dumps({"metertree/period": entry.period, "metertree/run": entry.run}, separators=(",", ":"))


def _entry(name: str, seen_with: str, kind: Type = Type.TEXT) -> Column:
    source = next(one for one in NATIVE if one.name == seen_with)
    return Column(name, kind, (seen_with,), source.of_entry, source.of_line)


def _line(name: str, kind: Type, seen_with: tuple[str, ...], of: object) -> Column:
    return Column(name, kind, seen_with, of_line=of)  # type: ignore[arg-type]


FOCUS: tuple[Column, ...] = (
    *(_line(name, Type.DECIMAL, _MONEY, billed_cost) for name in ("BilledCost", "EffectiveCost", "ContractedCost")),
    _line("ListCost", Type.DECIMAL, _MONEY, billed_cost),
    _entry("BillingCurrency", "currency"),
    _entry("BillingAccountId", "site"),
    _entry("BillingPeriodStart", "starts_at", Type.INSTANT),
    _entry("BillingPeriodEnd", "ends_at", Type.INSTANT),
    _entry("ChargePeriodStart", "starts_at", Type.INSTANT),
    _entry("ChargePeriodEnd", "ends_at", Type.INSTANT),
    Column("ChargeCategory", Type.TEXT, ("kind",), of_entry=lambda _: "Usage"),
    Column("ChargeClass", Type.TEXT, ("kind",), of_entry=lambda entry: "Correction" if entry.corrects else None),
    Column("ChargeFrequency", Type.TEXT, ("kind",), of_entry=lambda _: "Usage-Based"),
    _line("ChargeDescription", Type.TEXT, ("pool", "unit", "line_kind"), _described),
    _entry("InvoiceIssuerName", "site"),
    _entry("ServiceProviderName", "site"),
    Column("ServiceCategory", Type.TEXT, ("kind",), of_entry=lambda _: "Other"),
    _entry("ServiceName", "pool"),
    _entry("SubAccountId", "party"),
    _line("ResourceId", Type.TEXT, ("pool", "unit"), _resource),
    _line(
        "ResourceType",
        Type.TEXT,
        ("line_kind",),
        lambda _, row: "Pool" if is_split(row) else "Unit" if row[3] else None,
    ),
    _line("ConsumedQuantity", Type.DECIMAL, ("quantity",), consumed),
    _line("ConsumedUnit", Type.TEXT, ("quantity_unit",), consumed_unit),
    _line(
        "AllocatedMethodId",
        Type.TEXT,
        ("site", "pool", "line_kind"),
        lambda entry, row: f"{entry.site}/{row[1]}" if is_split(row) else None,
    ),
    _line(
        "AllocatedResourceId",
        Type.TEXT,
        ("unit", "line_kind"),
        lambda _, row: (row[3] or row[2]) if is_split(row) else None,
    ),
    Column("Tags", Type.TEXT, ("period", "run"), of_entry=_tags),
    _line("x_FeedId", Type.TEXT, ("id",), feed_id),
    _line("x_LineId", Type.TEXT, ("line",), lambda _, row: line_id(row)),
    _entry("x_LineKind", "line_kind"),
    _entry("x_CorrectsRun", "corrects"),
    _entry("x_PublishedAt", "published_at", Type.INSTANT),
)
"""A line in the words of FOCUS."""
