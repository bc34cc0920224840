"""Facts and rules of one period together: what a run comes from, and what may be exchanged to see what it changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.errors import InputsInvalid
from allocation_engine.inputs import PeriodInputs
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.sparse_rows import SparseRows
from metering.identity import PoolId

AnyRows = npt.NDArray[Any] | SparseRows
PRICE_PARTS = ("tariff", "invoices", "tables")
"""Parts of a rules document that say what energy costs; the rest says who pays it."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What a run comes from. `names` are the ids its rules may speak of."""

    inputs: PeriodInputs
    rules: Rules
    names: SiteNames

    def with_readings_of(self, other: Facts) -> Facts:
        """Take the energy of `other` for every node both have."""
        theirs = other.inputs
        inputs = replace(
            self.inputs,
            import_wh=self._laid_over(other, theirs.import_wh, self.inputs.import_wh),
            export_wh=self._laid_over(other, theirs.export_wh, self.inputs.export_wh),
            quality=self._laid_over(other, theirs.quality, self.inputs.quality),
            exceptions=theirs.exceptions,
            counted_before=theirs.counted_before,
        )
        return replace(self, inputs=inputs)

    def with_tree_of(self, other: Facts) -> Facts:
        """Take the metering tree of `other` with its energy; raises DocumentError where the rules speak of another."""
        theirs = other.inputs
        inputs = replace(
            self.inputs,
            nodes=theirs.nodes,
            import_wh=theirs.import_wh,
            export_wh=theirs.export_wh,
            quality=theirs.quality,
        )
        names = replace(self.names, nodes=other.names.nodes)
        return replace(self, inputs=inputs, names=names).with_rules(self.rules.document)

    def with_leases_of(self, other: Facts) -> Facts:
        """Take units, occupancies and owner of `other`, and "all units" anew; raises DocumentError as the tree does."""
        theirs = other.inputs
        inputs = replace(self.inputs, units=theirs.units, occupancies=theirs.occupancies, owner=theirs.owner)
        names = replace(self.names, units=other.names.units, parties=other.names.parties, owner=other.names.owner)
        return replace(self, inputs=inputs, names=names).with_rules(self.rules.document)

    def with_prices_of(self, other: Facts) -> Facts:
        """Take tariff, invoices and tables of `other`; raises DocumentError where pools and prices do not fit."""
        document = {key: part for key, part in self.rules.document.items() if key not in PRICE_PARTS}
        document |= {key: part for key, part in other.rules.document.items() if key in PRICE_PARTS}
        return self.with_rules(document)

    def with_pools_of(self, other: Facts, only: Collection[PoolId] | None = None) -> Facts:
        """Take pools and series of `other`, of all pools or `only` some, so that a change is tried where it is wanted.

        Raises DocumentError where the mixture does not fit, InputsInvalid for a pool that neither has.
        """
        own, theirs = self.rules.document, other.rules.document
        prices = {key: part for key, part in own.items() if key in PRICE_PARTS}
        document = prices | {key: part for key, part in theirs.items() if key not in PRICE_PARTS}
        if only is not None:
            strangers = sorted(set(only) - {pool["id"] for one in (own, theirs) for pool in one["pools"]["pools"]})
            if strangers:
                raise InputsInvalid(f"no pool {', '.join(strangers)} in either version of the rules")
            document["pools"] = {**theirs["pools"], "pools": _mixed_pools(own, theirs, only)}
        return self.with_rules(document)

    def with_rules(self, document: dict[str, Any]) -> Facts:
        """Take the rules of a document over the same ids; raises DocumentError."""
        return replace(self, rules=rules_from_document(document, self.names))

    def _laid_over(self, other: Facts, theirs: AnyRows, own: AnyRows) -> npt.NDArray[Any]:
        rows = {node.id: row for row, node in enumerate(other.inputs.nodes)}
        laid = np.array(own, np.promote_types(own.dtype, theirs.dtype))
        for row, node in enumerate(self.inputs.nodes):
            if node.id in rows:
                laid[row] = theirs[rows[node.id]]
        return laid

    def differing_nodes(self, other: Facts) -> Iterator[tuple[str, int]]:
        """Give each node both have whose energy or quality differs, with the number of slots."""
        rows = {node.id: row for row, node in enumerate(other.inputs.nodes)}
        for row, node in enumerate(self.inputs.nodes):
            if node.id in rows:
                differs = np.zeros(self.inputs.slot_count, np.bool_)
                for name in ("import_wh", "export_wh", "quality"):
                    differs |= getattr(self.inputs, name)[row] != getattr(other.inputs, name)[rows[node.id]]
                if differs.any():
                    yield node.id, int(differs.sum())


def _mixed_pools(own: dict[str, Any], theirs: dict[str, Any], only: Collection[PoolId]) -> list[Any]:
    """Give the pools in `only` as `theirs` has them and the rest as they are, in the order they are written."""
    kept = [pool for pool in own["pools"]["pools"] if pool["id"] not in only]
    return [*kept, *(pool for pool in theirs["pools"]["pools"] if pool["id"] in only)]
