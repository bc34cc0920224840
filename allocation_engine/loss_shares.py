"""Charges every leaf of the tree the loss its energy carried, and every unit its share of no-load losses.

The month is gone through in pieces of time (`TreeSpan.parts`): losses and factors of all nodes are there for one piece
only, so memory does not grow with nodes times slots. All sums are of integers, so the cutting changes none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from allocation_engine.inputs import Int64Array
from allocation_engine.kernels import DAY_SLOTS
from allocation_engine.loss_factors import ONE, REST_UNITS, LossFactors, find_loss_factors
from allocation_engine.loss_rule import LossRule, NoLoad, NoLoadKey
from allocation_engine.pricing import PricedPeriod
from allocation_engine.sparse_rows import SparseRows
from allocation_engine.tree import TreeSpan
from allocation_engine.weighing import BandRuns, ExactSums, RowSpans
from metering.identity import NodeId, PartyId, UnitId

CELLS_MAX = 1 << 21
"""Places x slots that are worked on at a time: 16 MiB for each of some ten arrays."""

Payer = tuple[UnitId | None, PartyId]


@dataclass(slots=True)
class Account:
    """What one line has gathered, by band: energy drawn [Wh], and loss carried and no-load part [2^-40 Wh]."""

    drawn_wh: list[int]
    carried: list[int]
    no_load: list[int]


@dataclass(slots=True)
class Accounts:
    """All lines by payer, and the loss they must add up to, by band [Wh]."""

    band_count: int
    bearer: Payer
    lines: dict[Payer, Account] = field(default_factory=dict)
    loss_wh: list[int] = field(default_factory=list)

    def of(self, payer: Payer) -> Account:
        """Give the account of `payer`, opening it on first use."""
        if payer not in self.lines:
            self.lines[payer] = Account(*([0] * self.band_count for _ in range(3)))
        return self.lines[payer]


class Held(NamedTuple):
    """Slots `first` <= slot < `end` of the period in which somebody answers for the energy of a node."""

    payer: Payer
    first: int
    end: int


class SpanShare:
    """Shares the losses of one standing tree into accounts."""

    def __init__(
        self,
        rule: LossRule,
        priced: PricedPeriod,
        payers: Mapping[NodeId, UnitId | None],
        span: TreeSpan,
        accounts: Accounts,
    ) -> None:
        """Prepare to share.

        payers   the nodes at which energy is charged, and to which unit; None where it is a common load
        """
        self._rule, self._inputs, self._payers = rule, priced.inputs, payers
        self._span, self._accounts = span, accounts
        self._band_of_slot, self._band_count = priced.band_of_slot, len(priced.bands)

    def share(self) -> None:
        """Share the whole span."""
        inputs = self._inputs
        leaves = list(self._leaves())
        spans = RowSpans.of([(row, above, held.first, held.end) for row, above, held in leaves])
        carried = ExactSums(inputs.import_wh, spans, self._band_count)
        places = {row: place for place, row in enumerate(self._span.inner.tolist())}
        no_loads = [
            _NoLoadShare.of(one, places[inputs.row(one.node)], self)
            for one in self._rule.no_load
            if inputs.row(one.node) in places
        ]
        for part in self._span.parts(CELLS_MAX):
            factors = self._factors(part)
            runs = BandRuns.of(self._band_of_slot[part.first : part.end], self._band_count)
            self._add_losses(factors)
            carried.add(factors.gross, runs, part.first)
            for one in no_loads:
                one.sums.add((factors.carried_above(one.place) + ONE)[None, :], runs, part.first)
        for (_, _, held), drawn_wh, quanta in zip(leaves, carried.drawn_wh.tolist(), carried.weighted(), strict=True):
            account = self._accounts.of(held.payer)
            account.drawn_wh = sum_by_band(account.drawn_wh, drawn_wh)
            account.carried = sum_by_band(account.carried, quanta)
        for one in no_loads:
            self._add_no_load(one)

    def _factors(self, part: TreeSpan) -> LossFactors:
        inputs = self._inputs
        no_load_wh_day = np.zeros(len(inputs.nodes), np.int64)
        for one in self._rule.no_load:
            no_load_wh_day[inputs.row(one.node)] = one.wh_per_day
        export_wh = SparseRows.of(inputs.export_wh) if inputs.export_wh.any() else None
        return find_loss_factors(part, inputs.import_wh, export_wh, no_load_wh_day)

    def _add_losses(self, factors: LossFactors) -> None:
        accounts, bearer = self._accounts, self._accounts.of(self._accounts.bearer)
        band_of_slot = self._band_of_slot[factors.span.first : factors.span.end]

        def by_band(amounts: Int64Array) -> list[int]:
            return [sum(amounts[band_of_slot == band].tolist()) for band in range(self._band_count)]

        accounts.loss_wh = sum_by_band(accounts.loss_wh, by_band(factors.loss_wh.sum(axis=0)))
        for rest, bits in zip(factors.rest, REST_UNITS, strict=True):
            bearer.carried = sum_by_band(bearer.carried, [amount << bits for amount in by_band(rest)])

    def _leaves(self) -> Iterator[tuple[int, int, Held]]:
        """Give the row of every leaf of the tree, the place above it, and who answers for its energy when."""
        span, nodes = self._span, self._inputs.nodes
        above = span.place_above
        for row in span.order[~np.isin(span.order, span.inner)].tolist():
            for held in self.held(self._payers.get(nodes[row].id)):
                yield row, int(above[row]), held

    def held(self, unit: UnitId | None) -> Iterator[Held]:
        """Say who answers for a unit, or for common energy (None), over which slots of the span."""
        first, end = self._span.first, self._span.end
        if unit is None:
            yield Held(self._accounts.bearer, first, end)
            return
        for one in self._inputs.occupancies_of(unit):
            if one.first < end and first < one.end:
                yield Held((unit, one.party), max(one.first, first), min(one.end, end))

    def _add_no_load(self, share: _NoLoadShare) -> None:
        """Share the no-load part of one node, with what is lost on its way there, among the units below the node."""
        left, *parts = share.sums.weighted()
        total_key = sum(share.keys.values())
        for (unit, held), part in zip(share.pieces, parts, strict=True):
            quanta = [one * share.keys[unit] // total_key for one in part]
            account = self._accounts.of(held.payer)
            account.no_load = sum_by_band(account.no_load, quanta)
            left = [one - taken for one, taken in zip(left, quanta, strict=True)]
        bearer = self._accounts.of(self._accounts.bearer)
        bearer.no_load = sum_by_band(bearer.no_load, left)

    def no_load_sums(self, no_load: NoLoad, pieces: Sequence[Held]) -> ExactSums:
        """Prepare to add up what flows without load: over the whole span, and over each of `pieces`."""
        energy_wh = np.diff(np.arange(self._inputs.slot_count + 1) * no_load.wh_per_day // DAY_SLOTS)[None, :]
        whole = Held(self._accounts.bearer, self._span.first, self._span.end)
        spans = RowSpans.of([(0, 0, held.first, held.end) for held in (whole, *pieces)])
        return ExactSums(energy_wh, spans, self._band_count)

    def keys(self, no_load: NoLoad) -> dict[UnitId, int]:
        """Give area [cm2] or capacity [VA] of each unit that is charged for energy below the node."""
        inputs, top = self._inputs, self._inputs.row(no_load.node)
        capacities = dict(no_load.capacities)
        keys: dict[UnitId, int] = {}
        for node, unit in sorted(self._payers.items()):
            row = inputs.row(node)
            while row >= 0 and row != top:
                row = int(self._span.parents[row])
            if unit is not None and row == top:
                keys[unit] = inputs.unit(unit).area_cm2 if no_load.key is NoLoadKey.AREA else capacities.get(unit, 0)
        return {unit: key for unit, key in keys.items() if key}


class _NoLoadShare(NamedTuple):
    """The no-load part of one node in one standing tree: its place, and by what it goes to whom.

    sums   of all that is shared, and of what is shared while each of `pieces` lasts
    """

    place: int
    keys: dict[UnitId, int]
    pieces: list[tuple[UnitId, Held]]
    sums: ExactSums

    @classmethod
    def of(cls, no_load: NoLoad, place: int, span: SpanShare) -> _NoLoadShare:
        """Prepare to add it up."""
        keys = span.keys(no_load)
        pieces = [(unit, held) for unit in keys for held in span.held(unit)]
        return cls(place, keys, pieces, span.no_load_sums(no_load, [held for _, held in pieces]))


def sum_by_band(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Add up two rows of numbers."""
    return [a + b for a, b in zip(one, other, strict=True)]
