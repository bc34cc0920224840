"""One period of a site, as the allocation engine wants it: the dated site cut into slots, settled days as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from allocation_engine.evidence import PointEvidence
from allocation_engine.inputs import (
    Int64Array,
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    UInt8Array,
    fill_vacancies,
    slot_of,
)
from allocation_engine.intervals import SlotException, SlotQuality
from allocation_engine.media import Medium
from allocation_engine.rules import SiteNames
from ingest.metering_points import MeteringPoint
from ingest.store.settled import SettledDay
from metering.identity import NodeId
from metering.interval import SLOT, Interval
from metering.obis import ENERGY_EXPORT, Obis
from provisioning.site import Node, Site, Span


def site_names(site: Site) -> SiteNames:
    """Give the ids that the rules of a site may speak of."""
    return SiteNames(
        nodes=frozenset(node.id for node in site.nodes),
        units={unit.id: unit.node for unit in site.units},
        parties=frozenset(party.id for party in site.parties),
        owner=site.owner.id,
        currency=site.currency,
    )


def period_inputs(
    site: Site,
    label: str,
    points: Sequence[MeteringPoint],
    settled: Sequence[SettledDay],
    evidence: tuple[PointEvidence, ...],
) -> PeriodInputs:
    """Gather the facts of period `label` (see `SiteCalendar.period`); raises InputsInvalid and CalendarInvalid.

    points    every node and quantity that is counted; where no meter counts export, there is none
    settled   settled days of the period; a slot of a counted point without one is MISSING
    """
    period = site.calendar.period(label)
    slot_count = period.slot_count
    row = {node.id: index for index, node in enumerate(site.nodes)}
    taken, given = (np.zeros((len(row), slot_count), np.int64) for _ in range(2))
    media = node_media(points)
    quality = _unsettled_quality(site, points, media, row, slot_count)
    for day in settled:
        if (day.node, day.obis) in quality:
            amounts = given if day.obis == ENERGY_EXPORT else taken
            _lay_day(site, period, day, amounts[row[day.node]], quality[day.node, day.obis])
    units = tuple(LettableUnit(unit.id, unit.area_cm2, unit.node) for unit in site.units)
    return PeriodInputs(
        site=site.id,
        label=label,
        calendar=site.calendar,
        period=period,
        site_hash=site.hash,
        owner=site.owner.id,
        nodes=tuple(_tree_node(node, period, media.get(node.id, Medium.ELECTRICITY)) for node in site.nodes),
        import_wh=taken,
        export_wh=given,
        quality=_worst(quality, row, slot_count),
        exceptions=_exceptions(settled, period),
        evidence=evidence,
        units=units,
        occupancies=fill_vacancies(units, tuple(_let(site, period)), site.owner.id, slot_count),
    )


def node_media(points: Iterable[MeteringPoint]) -> dict[NodeId, Medium]:
    """Say what flows through each node that has a meter."""
    by_register = {medium.register: medium for medium in Medium}
    return {point.node: by_register[point.obis] for point in points if point.obis in by_register}


def _unsettled_quality(
    site: Site,
    points: Sequence[MeteringPoint],
    media: dict[NodeId, Medium],
    row: dict[NodeId, int],
    slot_count: int,
) -> dict[tuple[NodeId, Obis], UInt8Array]:
    """Every counted point starts as MISSING; so does the import of a node that has no meter at all."""
    counted = {(point.node, point.obis) for point in points if point.node in row}
    counted |= {(node.id, media.get(node.id, Medium.ELECTRICITY).register) for node in site.nodes}
    return {key: np.full(slot_count, SlotQuality.MISSING, np.uint8) for key in counted}


def _lay_day(site: Site, period: Interval, day: SettledDay, energy_wh: Int64Array, quality: UInt8Array) -> None:
    start = (site.calendar.midnight(day.day) - period.start) // SLOT
    stop = start + len(day.energy_wh)
    if start >= 0 and stop <= energy_wh.size:
        energy_wh[start:stop] = day.energy_wh
        quality[start:stop] = day.quality


def _worst(quality: dict[tuple[NodeId, Obis], UInt8Array], row: dict[NodeId, int], slot_count: int) -> UInt8Array:
    worst = np.zeros((len(row), slot_count), np.uint8)
    for (node, _), slots in quality.items():
        np.maximum(worst[row[node]], slots, out=worst[row[node]])
    return worst


def _exceptions(settled: Iterable[SettledDay], period: Interval) -> tuple[tuple[NodeId, SlotException], ...]:
    """Collect what settlement recorded; an exception over midnight stands in both days and is taken once."""
    found = {
        (day.node, exception)
        for day in settled
        for exception in day.exceptions
        if exception.start < period.end and (exception.end > period.start or exception.start == period.start)
    }
    return tuple(sorted(found, key=lambda item: (item[0], item[1].start, item[1].end, item[1].reason, item[1].basis)))


def _tree_node(node: Node, period: Interval, medium: Medium) -> TreeNode:
    slots = ((_slots(placement.span, period), placement.parent) for placement in node.placements)
    parents = tuple(ParentSpan(first, end, parent) for (first, end), parent in slots if first < end)
    top = (ParentSpan(0, period.slot_count, None),)
    return TreeNode(
        id=node.id,
        kind=NodeKind(node.kind.value),
        parents=parents if node.placements else top,
        accuracy_ppm=node.accuracy_ppm,
        medium=medium,
    )


def _let(site: Site, period: Interval) -> Iterator[Occupancy]:
    for lease in site.leases:
        first, end = _slots(lease.span, period)
        if first < end:
            yield Occupancy(lease.unit, lease.party, first, end)


def _slots(span: Span, period: Interval) -> tuple[int, int]:
    """Cut a span to the slots of a period; raises InputsInvalid where it changes off the quarter hour inside it."""
    inside = span.within(period)
    return (0, 0) if inside is None else (slot_of(period, inside.start), slot_of(period, inside.end))
