"""The rules of a site in force: prices, pools and series, with the document they were read from.

The document is the content of the files as plain JSON-able values; `rules_file.rules_from_document` reads it with the
same code that reads the files, so a stored version means exactly what its file meant.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from allocation_engine.formula.setting import NO_SOURCES, Sources
from allocation_engine.loss_rule import LossRule
from allocation_engine.pools import Pool
from allocation_engine.prices import Prices
from allocation_engine.series import DailySeries
from allocation_engine.service_costs import Services
from allocation_engine.tariff import Tariff
from metering.envelope import encode
from metering.identity import NodeId, PartyId, UnitId


@dataclass(frozen=True, slots=True)
class SiteNames:
    """What rules may speak of: the ids a site has. `units` maps each lettable unit to its own node, or None."""

    nodes: frozenset[NodeId]
    units: dict[UnitId, NodeId | None]
    parties: frozenset[PartyId]
    owner: PartyId
    currency: str


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Prices, pools and series of a site; two are equal when their documents are.

    services   the pools that serve each other; None where none do
    loss       that losses are shared; None where they stay in no pool
    formulas   what formulas may speak of
    """

    prices: Prices
    pools: tuple[Pool, ...]
    series: tuple[DailySeries, ...]
    document: dict[str, Any]
    services: Services | None = None
    loss: LossRule | None = None
    formulas: Sources = NO_SOURCES

    @property
    def tariff(self) -> Tariff:
        """The tariff of the site's electricity supply."""
        return self.prices.main

    @property
    def hash(self) -> bytes:
        """SHA-256 of the canonical form of the document: the version of the rules."""
        return hashlib.sha256(encode(self.document)).digest()

    def series_named(self, name: str) -> DailySeries:
        """Give a series by the name formulas use; the reader has checked that it exists."""
        return next(one for one in self.series if one.name == name)
