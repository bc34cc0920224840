"""One period of a site, as the allocation engine wants it: the dated site cut into slots, settled days as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from allocation_engine.evidence import PointEvidence
from allocation_engine.inputs import (
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
    slot_of,
)
from allocation_engine.intervals import SlotException
from allocation_engine.media import Medium
from allocation_engine.rules import SiteNames
from ingest.metering_points import MeteringPoint
from ingest.slot_matrix import SlotMatrix
from ingest.store.settled import Settled
from metering.identity import NodeId
from metering.interval import Interval
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
    settled: Iterable[Settled],
    evidence: tuple[PointEvidence, ...],
) -> PeriodInputs:
    """Gather the facts of period `label` (see `SiteCalendar.period`); raises InputsInvalid and CalendarInvalid.

    points    every node and quantity that is counted; where no meter counts export, there is none
    settled   settled days of the period; a slot of a counted point without one is MISSING
    """
    period = site.calendar.period(label)
    media = node_media(points)
    counted = {(point.node, point.obis) for point in points}
    counted |= {(node.id, media.get(node.id, Medium.ELECTRICITY).register) for node in site.nodes}
    matrix = SlotMatrix(site.calendar, period, (node.id for node in site.nodes), counted)
    for one in settled:
        matrix.lay(one)
    units = tuple(LettableUnit(unit.id, unit.area_cm2, unit.node) for unit in site.units)
    return PeriodInputs(
        site=site.id,
        label=label,
        calendar=site.calendar,
        period=period,
        site_hash=site.hash,
        owner=site.owner.id,
        nodes=tuple(_tree_node(node, period, media.get(node.id, Medium.ELECTRICITY)) for node in site.nodes),
        import_wh=matrix.taken,
        export_wh=matrix.given,
        quality=matrix.quality(),
        exceptions=_exceptions(matrix.exceptions, period),
        evidence=evidence,
        units=units,
        occupancies=fill_vacancies(units, tuple(_let(site, period)), site.owner.id, period.slot_count),
    )


def node_media(points: Iterable[MeteringPoint]) -> dict[NodeId, Medium]:
    """Say what flows through each node that has a meter."""
    by_register = {medium.register: medium for medium in Medium}
    return {point.node: by_register[point.obis] for point in points if point.obis in by_register}


def _exceptions(
    recorded: Iterable[tuple[NodeId, SlotException]], period: Interval
) -> tuple[tuple[NodeId, SlotException], ...]:
    """Sort what settlement recorded; an exception over midnight stands in both days and is taken once."""
    found = {
        (node, exception)
        for node, exception in recorded
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
