"""Everything a period's result depends on, as plain values. Same inputs, same bytes out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.blocks import in_blocks
from allocation_engine.canonical_parts import list_head
from allocation_engine.errors import InputsInvalid
from allocation_engine.evidence import PointEvidence
from allocation_engine.evidence_octets import evidence_octets
from allocation_engine.intervals import SlotException, SlotQuality
from allocation_engine.kernels import IntArray
from allocation_engine.media import Medium
from allocation_engine.sparse_rows import SparseRows
from metering.envelope import encode, to_ms
from metering.identity import NodeId, PartyId, PoolId, SiteId, UnitId
from metering.interval import SLOT, Interval, SiteCalendar

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]

SLOT_WH_MAX = 10**11
"""Largest energy of one node in one slot [Wh]: 400 GW for 15 minutes. Sums over a year stay far inside 64 bits."""
_FACTS = 13
HASH_ROWS = 256
"""So many rows at a time are widened and hashed: a few megabytes, which stay in the cache."""


class NodeKind(StrEnum):
    """What a metering point is in the tree."""

    MAIN = "main"
    BRANCH = "branch"
    END = "end"
    GENERATION = "generation"


@dataclass(frozen=True, slots=True)
class ParentSpan:
    """The parent of a node in slots `first` <= slot < `end` of the period; None at the top of the tree."""

    first: int
    end: int
    parent: NodeId | None


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One metering point as the period sees it.

    parents       in slot order; outside them the node is not part of the tree
    accuracy_ppm  largest relative error of the metering [10^-6 of the energy]: class 1 is 10,000
    medium        what flows; slots of media other than electricity are in their base units (mL, kJ) in place of Wh
    """

    id: NodeId
    kind: NodeKind
    parents: tuple[ParentSpan, ...]
    accuracy_ppm: int
    medium: Medium = Medium.ELECTRICITY


@dataclass(frozen=True, slots=True)
class LettableUnit:
    """A unit that can be let. `area_cm2` [cm2]; `node` is its own meter, None where it has none."""

    id: UnitId
    area_cm2: int
    node: NodeId | None


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Who answers for a unit in slots `first` <= slot < `end`: a tenant, or the owner while it is vacant."""

    unit: UnitId
    party: PartyId
    first: int
    end: int


@dataclass(frozen=True, slots=True, order=True)
class CountedBefore:
    """What a customer took from local day `since` until the period began [base units], for tiers that count on.

    unit, party   None for a shared pool, which is one customer
    """

    pool: PoolId
    unit: UnitId | None
    party: PartyId | None
    since: date
    amount: int


@dataclass(frozen=True, slots=True, eq=False)
class PeriodInputs:
    """All facts of one period of one site; the rules come beside them.

    label        name of the period, e.g. `2026-07`; part of statement numbers
    site_hash    SHA-256 of the site document the tree, units and leases were taken from
    owner        who answers for vacancy, and for what nobody shares
    nodes        in the order of the first array axis
    import_wh    shape (nodes, slots) [Wh], energy from the grid in each slot, never negative; 32 or 64 bits
    export_wh    shape (nodes, slots) [Wh], energy to the grid in each slot, never negative; 32 or 64 bits; kept as
                 SparseRows, whatever it was given as
    quality      shape (nodes, slots), SlotQuality; the worse of import and export
    exceptions   what settlement recorded, per node
    evidence     readings that prove metered lines (see `evidence_needed`)
    occupancies  every slot of every unit exactly once
    counted_before   where tiers began before the period; see `allocation_engine.tiered.customers_before`
    """

    site: SiteId
    label: str
    calendar: SiteCalendar
    period: Interval
    site_hash: bytes
    owner: PartyId
    nodes: tuple[TreeNode, ...]
    import_wh: IntArray
    export_wh: IntArray | SparseRows
    quality: UInt8Array
    exceptions: tuple[tuple[NodeId, SlotException], ...]
    evidence: tuple[PointEvidence, ...]
    units: tuple[LettableUnit, ...]
    occupancies: tuple[Occupancy, ...]
    counted_before: tuple[CountedBefore, ...] = ()
    _rows: Mapping[NodeId, int] = field(init=False, repr=False)
    _units: Mapping[UnitId, LettableUnit] = field(init=False, repr=False)
    _occupants: Mapping[UnitId, tuple[Occupancy, ...]] = field(init=False, repr=False)
    _counted: Mapping[tuple[PoolId, UnitId | None, PartyId | None, date], int] = field(init=False, repr=False)
    _day_spans: list[tuple[date, int, int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = (len(self.nodes), self.slot_count)
        for name, array in (("import_wh", self.import_wh), ("export_wh", self.export_wh), ("quality", self.quality)):
            if array.shape != shape:
                raise InputsInvalid(f"{name} has shape {array.shape}; {len(self.nodes)} nodes, {self.slot_count} slots")
        _require_energy("import_wh", self.import_wh)
        _require_energy("export_wh", self.export_wh)
        object.__setattr__(self, "export_wh", SparseRows.of(self.export_wh))
        if self.quality.dtype != np.uint8 or self.quality.max(initial=0) > max(SlotQuality):
            raise InputsInvalid("quality must be uint8 and hold only SlotQuality numbers")
        _require_unique("node", [node.id for node in self.nodes])
        _require_unique("unit", [unit.id for unit in self.units])
        _require_tree(self.nodes, self.slot_count)
        occupants = by_unit(self.occupancies)
        _require_full_occupancy(self.units, occupants, self.slot_count)
        # Found once: a site of 40,000 units is asked for each of them, and more than once.
        object.__setattr__(self, "_rows", {node.id: row for row, node in enumerate(self.nodes)})
        object.__setattr__(self, "_units", {unit.id: unit for unit in self.units})
        object.__setattr__(self, "_occupants", occupants)
        counted = {(one.pool, one.unit, one.party, one.since): one.amount for one in reversed(self.counted_before)}
        object.__setattr__(self, "_counted", counted)
        object.__setattr__(self, "_day_spans", [])

    @property
    def slot_count(self) -> int:
        """Number of 15-minute slots in the period."""
        return self.period.slot_count

    def row(self, node: NodeId) -> int:
        """Give the array row of `node`; raises InputsInvalid."""
        row = self._rows.get(node)
        if row is None:
            raise InputsInvalid(f"no node {node!r} in site {self.site}")
        return row

    def unit(self, unit: UnitId) -> LettableUnit:
        """Give the unit called `unit`; raises InputsInvalid."""
        found = self._units.get(unit)
        if found is None:
            raise InputsInvalid(f"no unit {unit!r} in site {self.site}")
        return found

    def occupancies_of(self, unit: UnitId) -> tuple[Occupancy, ...]:
        """Give the occupancies of `unit` in slot order."""
        return self._occupants.get(unit, ())

    def mark(self, index: int) -> datetime:
        """Give the instant at which slot `index` starts; `slot_count` gives the end of the period."""
        return self.period.start + index * SLOT

    def counted(self, pool: PoolId, unit: UnitId | None, party: PartyId | None, since: date) -> int | None:
        """Give what a customer took from local day `since` until the period began; None where nobody knows."""
        return self._counted.get((pool, unit, party, since))

    def day_spans(self) -> list[tuple[date, int, int]]:
        """Give each local day with its slots `first` <= slot < `end` of the period."""
        if not self._day_spans:
            for day in self.calendar.days(self.period):
                whole = self.calendar.day(day)
                self._day_spans.append((day, slot_of(self.period, whole.start), slot_of(self.period, whole.end)))
        return list(self._day_spans)

    @property
    def hash(self) -> bytes:
        """SHA-256 over every fact, in an order that does not depend on how they were listed."""
        order = sorted(range(len(self.nodes)), key=lambda index: self.nodes[index].id)
        before = self.counted_before
        evidence = sorted(self.evidence, key=lambda point: (point.node, point.obis))
        digest = hashlib.sha256(list_head(_FACTS))
        for facts in (
            self.site,
            self.label,
            self.calendar.zone,
            [to_ms(self.period.start), to_ms(self.period.end)],
            self.site_hash,
            self.owner,
            [_node_content(self.nodes[index]) for index in order],
            self._digests(order),
            sorted(encode([node, exception.to_document()]) for node, exception in self.exceptions),
        ):
            digest.update(encode(facts))
        digest.update(list_head(len(evidence)))
        for octets in evidence_octets(evidence):
            digest.update(octets)
        for facts in (
            sorted([unit.id, unit.area_cm2, unit.node or ""] for unit in self.units),
            sorted([one.unit, one.party, one.first, one.end] for one in self.occupancies),
            sorted([one.pool, one.unit or "", one.party or "", one.since.isoformat(), one.amount] for one in before),
        ):
            digest.update(encode(facts))
        return digest.digest()

    def _digests(self, order: Sequence[int]) -> list[bytes]:
        """Hash each matrix, its rows in `order`: energies as 64 bits, least significant octet first."""
        matrices = (self.import_wh, "<i8"), (self.export_wh, "<i8"), (self.quality, "u1")
        digests = [b""] * len(matrices)

        def task(first: int, end: int) -> None:
            for place, (matrix, octets) in enumerate(matrices[first:end], start=first):
                digest = hashlib.sha256()
                for row in range(0, len(order), HASH_ROWS):
                    digest.update(matrix[order[row : row + HASH_ROWS]].astype(octets).data)
                digests[place] = digest.digest()

        in_blocks(task, len(matrices), self.quality.size)
        return digests


def slot_of(period: Interval, instant: datetime) -> int:
    """Give the index of the mark `instant` in `period`, clipped to it; raises InputsInvalid off the quarter hour."""
    offset = min(max(instant, period.start), period.end) - period.start
    if offset % SLOT:
        raise InputsInvalid(f"{instant.isoformat()} is not on a quarter hour; move it to :00, :15, :30 or :45")
    return offset // SLOT


def by_unit(occupancies: Iterable[Occupancy]) -> dict[UnitId, tuple[Occupancy, ...]]:
    """Sort occupancies by unit, those of each in slot order."""
    found: dict[UnitId, list[Occupancy]] = {}
    for one in occupancies:
        found.setdefault(one.unit, []).append(one)
    return {unit: tuple(sorted(ones, key=lambda one: one.first)) for unit, ones in found.items()}


def fill_vacancies(
    units: Iterable[LettableUnit], let: Iterable[Occupancy], owner: PartyId, slot_count: int
) -> tuple[Occupancy, ...]:
    """Give `let` with an occupancy of the owner for every span in which a unit is not let."""
    filled: list[Occupancy] = []
    let_of = by_unit(let)
    for unit in units:
        free_from = 0
        for one in let_of.get(unit.id, ()):
            if one.first > free_from:
                filled.append(Occupancy(unit.id, owner, free_from, one.first))
            filled.append(one)
            free_from = max(free_from, one.end)
        if free_from < slot_count:
            filled.append(Occupancy(unit.id, owner, free_from, slot_count))
    return tuple(filled)


def _require_energy(name: str, energy_wh: IntArray | SparseRows) -> None:
    kept = energy_wh.kept if isinstance(energy_wh, SparseRows) else energy_wh
    is_whole = kept.dtype in (np.int32, np.int64)
    if not is_whole or kept.min(initial=0) < 0 or kept.max(initial=0) > SLOT_WH_MAX:
        raise InputsInvalid(f"{name} must be int32 or int64 from 0 to {SLOT_WH_MAX} Wh")


def _require_unique(what: str, ids: Sequence[str]) -> None:
    doubled = sorted(one for one, count in Counter(ids).items() if count > 1)
    if doubled:
        raise InputsInvalid(f"{what} listed twice: {', '.join(doubled)}")


def _require_tree(nodes: Sequence[TreeNode], slot_count: int) -> None:
    known = {node.id: node.medium for node in nodes}
    for node in nodes:
        reached = 0
        for span in node.parents:
            if not reached <= span.first < span.end <= slot_count:
                raise InputsInvalid(f"node {node.id}: parent spans overlap or leave the period")
            if span.parent is not None and (span.parent not in known or span.parent == node.id):
                raise InputsInvalid(f"node {node.id}: parent {span.parent!r} is not another node of the site")
            if span.parent is not None and known[span.parent] is not node.medium:
                raise InputsInvalid(f"node {node.id}: {node.medium} hangs below {known[span.parent]}")
            reached = span.end


def _require_full_occupancy(
    units: Sequence[LettableUnit], occupants: Mapping[UnitId, Sequence[Occupancy]], slot_count: int
) -> None:
    strangers = sorted(occupants.keys() - {unit.id for unit in units})
    if strangers:
        raise InputsInvalid(f"occupancy of unknown unit {', '.join(strangers)}")
    for unit in units:
        reached = 0
        for one in occupants.get(unit.id, ()):
            if one.first != reached or one.end <= one.first:
                raise InputsInvalid(f"unit {unit.id}: two occupants or none from slot {min(one.first, reached)}")
            reached = one.end
        if reached != slot_count:
            raise InputsInvalid(f"unit {unit.id}: nobody answers for it from slot {reached} of {slot_count}")


def _node_content(node: TreeNode) -> list[Any]:
    parents = [[span.first, span.end, span.parent or ""] for span in node.parents]
    return [node.id, str(node.kind), parents, node.accuracy_ppm, str(node.medium)]
