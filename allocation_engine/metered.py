"""Exclusive pools: somebody's own registers, to the slot; and which readings prove them.

Each (unit, party) line is priced and rounded on its own, once. So a tenant can recompute his line from his own readings
alone, and no line shows anything about who had the unit before (ADR 0032). The pool's cost is the sum of its lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter

import numpy as np

from allocation_engine.costs import steps_nano
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import PeriodInputs, UInt8Array
from allocation_engine.intervals import SlotQuality
from allocation_engine.money import to_minor
from allocation_engine.pools import DirectRule, OwnUseRule, Pool
from allocation_engine.pricing import PricedPeriod, spread
from allocation_engine.rules import Rules
from allocation_engine.run import Line, LineKind, MeteredTrace, PoolResult
from allocation_engine.span_sums import count_measured, count_qualities, count_spans
from allocation_engine.tariff import Tariff
from allocation_engine.tiered import Customer, tier_changes, tier_pieces, tier_steps
from allocation_engine.weighing import RowSpans
from metering.identity import NodeId, UnitId
from metering.obis import Obis

Metered = Sequence[tuple[UnitId, tuple[NodeId, ...]]]
"""Units with the nodes that count for them."""


def split_metered(pool: Pool, priced: PricedPeriod) -> tuple[PoolResult, tuple[Line, ...]]:
    """Price an own-use or direct pool; raises PeriodNotReady for a unit without a meter."""
    units = tuple(metered_units(pool, priced.inputs))
    lines = tuple(
        _plain_lines(pool, priced, units) if is_plain(pool, priced, units) else lines_one_by_one(pool, priced, units)
    )
    cost_minor = sum(line.amount_minor for line in lines)
    result = PoolResult(
        id=pool.id,
        names=pool.names,
        pool_class=pool.pool_class,
        path=tuple(node for _, nodes in units for node in nodes),
        deduct=pool.deduct,
        band_energy_wh=tuple(sum(column) for column in zip(*(line.band_energy_wh for line in lines), strict=True)),
        cost_nano=sum(line.trace.cost_nano for line in lines if isinstance(line.trace, MeteredTrace)),
        cost_minor=cost_minor,
        charged_minor=cost_minor,
        days=(),
        fallback=None,
        tariff=pool.tariff,
    )
    return result, lines


def evidence_needed(inputs: PeriodInputs, rules: Rules) -> dict[tuple[NodeId, Obis], tuple[datetime, ...]]:
    """Say at which marks which registers of which nodes prove the metered lines of the period.

    Give each list to `pick_readings` and put the result into `PeriodInputs.evidence`.
    """
    finder = MarkFinder(inputs, rules)
    needed: dict[tuple[NodeId, Obis], frozenset[int]] = {}
    for pool in rules.pools:
        for unit, nodes in metered_units(pool, inputs):
            spans = tuple((one.first, one.end) for one in inputs.occupancies_of(unit))
            for node in (*nodes, *pool.deduct):
                marks = finder.find(node, pool.tariff, spans)
                for obis in pool.measure.registers:
                    needed[node, obis] = needed[node, obis] | marks if (node, obis) in needed else marks
    return {key: finder.instants(marks) for key, marks in sorted(needed.items(), key=itemgetter(0))}


class MarkFinder:
    """Says at which marks nodes must be known to price them; almost all nodes are asked for the same ones."""

    def __init__(self, inputs: PeriodInputs, rules: Rules) -> None:
        """Find where bands and tiers of every tariff change, and which nodes are plainly measured.

        Of the inputs only qualities and marks are kept, so that whoever seals statements may let the energies go.
        """
        self._rows = {node.id: row for row, node in enumerate(inputs.nodes)}
        self._quality = inputs.quality
        self._instant_of = [inputs.mark(index) for index in range(inputs.slot_count + 1)]
        self._changes = {tariff.id: price_changes(tariff, inputs) for tariff in rules.prices.tariffs}
        self._measured = (inputs.quality.max(axis=1, initial=0) == SlotQuality.MEASURED).tolist()
        self._found: dict[tuple[str, tuple[tuple[int, int], ...]], frozenset[int]] = {}
        self._instants: dict[frozenset[int], tuple[datetime, ...]] = {}

    def find(self, node: NodeId, tariff: str, spans: tuple[tuple[int, int], ...]) -> frozenset[int]:
        """Give the numbers of the marks at which `node` must be known to price slots first <= slot < end of `spans`."""
        changes = self._changes[tariff]
        row = self._rows[node]
        if not self._measured[row]:
            return frozenset().union(*(_row_marks(self._quality[row], changes, *span) for span in spans))
        if (tariff, spans) not in self._found:
            marks = frozenset().union(*(band_marks(changes, *span) for span in spans))
            self._found[tariff, spans] = marks
            self._instants[marks] = self._instants_of(marks)
        return self._found[tariff, spans]

    def instants(self, marks: frozenset[int]) -> tuple[datetime, ...]:
        """Give the instants of marks, in order."""
        return self._instants.get(marks) or self._instants_of(marks)

    def _instants_of(self, marks: frozenset[int]) -> tuple[datetime, ...]:
        return tuple(self._instant_of[index] for index in sorted(marks))


def price_changes(tariff: Tariff, inputs: PeriodInputs) -> set[int]:
    """Give the slots at which another band, or another span of tiers, begins."""
    return {*tariff.price(inputs.calendar, inputs.period).changes(), *tier_changes(tariff, inputs)}


def band_marks(changes: Iterable[int], first: int, end: int) -> set[int]:
    """Give both ends of a span of slots, and each change of band between them."""
    return {first, end} | {change for change in changes if first < change < end}


def span_marks(inputs: PeriodInputs, node: NodeId, changes: Iterable[int], first: int, end: int) -> set[int]:
    """Give the mark numbers at which `node` must be known to price it from slot `first` to `end`.

    Both ends, each change of band between them, and both ends of each slot that is not plainly measured.
    """
    return _row_marks(inputs.quality[inputs.row(node)], changes, first, end)


def _row_marks(quality: UInt8Array, changes: Iterable[int], first: int, end: int) -> set[int]:
    marks = band_marks(changes, first, end)
    for slot in np.flatnonzero(quality[first:end] != SlotQuality.MEASURED):
        marks |= {first + int(slot), first + int(slot) + 1}
    return marks


def counted_nodes(pool: Pool, inputs: PeriodInputs, unit: UnitId | None) -> tuple[NodeId, ...]:
    """Give the nodes that count for `unit` in a metered pool; for None, those of a shared pool."""
    if unit is None:
        return pool.path
    return next(nodes for candidate, nodes in metered_units(pool, inputs) if candidate == unit)


def metered_units(pool: Pool, inputs: PeriodInputs) -> Iterator[tuple[UnitId, tuple[NodeId, ...]]]:
    """Give the units of a metered pool with their nodes, none of others; raises PeriodNotReady without a meter."""
    match pool.rule:
        case OwnUseRule(units) as rule:
            for unit in sorted(units):
                node = rule.node_of(unit, inputs.unit(unit).node)
                if node is None:
                    raise PeriodNotReady((f"pool {pool.id}: unit {unit} has no meter of its own",))
                yield unit, (node,)
        case DirectRule(unit):
            yield unit, pool.path


def is_plain(pool: Pool, priced: PricedPeriod, units: Metered) -> bool:
    """Say whether every unit has one meter, with nothing taken off and no tiers."""
    has_tiers = tier_changes(priced.tariffs[pool.tariff], priced.inputs)
    return not pool.deduct and not has_tiers and all(len(nodes) == 1 for _, nodes in units)


def _plain_lines(pool: Pool, priced: PricedPeriod, units: Metered) -> Iterator[Line]:
    """Price units of one meter each, all of them at once."""
    inputs = priced.inputs
    held = [
        (unit, party, node, tuple((one.first, one.end) for one in ones))
        for unit, (node,) in units
        for party, ones in priced.occupants(unit).items()
    ]
    places = [(inputs.row(node), line, *span) for line, (_, _, node, spans) in enumerate(held) for span in spans]
    energies = priced.by_band_of_spans(RowSpans.of(places), len(held), pool.measure, pool.tariff)
    measured = (inputs.quality.max(axis=1, initial=0) == SlotQuality.MEASURED).tolist()
    for (unit, party, node, spans), by_band in zip(held, energies, strict=True):
        row = inputs.row(node)
        trace = MeteredTrace(
            nodes=(node,),
            deduct=(),
            measure=str(pool.measure),
            spans=spans,
            cost_nano=priced.cost_nano(by_band),
            slots_by_quality=count_measured(spans) if measured[row] else count_spans(inputs.quality[row], spans),
        )
        amount_minor = to_minor(trace.cost_nano, priced.currency)
        yield Line(pool.id, party, unit, LineKind.METERED, by_band, amount_minor, trace)


def lines_one_by_one(pool: Pool, priced: PricedPeriod, units: Metered) -> Iterator[Line]:
    """Price units whatever their meters, what is taken off, and their tiers: one after the other."""
    for unit, nodes in units:
        yield from _unit_lines(pool, priced, unit, nodes)


def _unit_lines(pool: Pool, priced: PricedPeriod, unit: UnitId, nodes: tuple[NodeId, ...]) -> Iterator[Line]:
    occupants = priced.occupants(unit)
    spans = [(group, one.first, one.end) for group, ones in enumerate(occupants.values()) for one in ones]
    energy_wh = priced.energy(nodes, pool.deduct, pool.measure)
    group_of_slot = spread(spans, priced.inputs.slot_count)
    by_band = priced.by_band(energy_wh, group_of_slot, len(occupants), pool.tariff)
    quality = priced.quality((*nodes, *pool.deduct))
    for group, (party, ones) in enumerate(occupants.items()):
        customer, held = Customer(pool.id, unit, party), [(one.first, one.end) for one in ones]
        tiers = tier_pieces(priced, pool, customer, energy_wh, held)
        surcharges = tier_steps(priced.bands, pool.tariff, tiers)
        cost_nano = priced.cost_nano(by_band[group]) + steps_nano(surcharges)
        trace = MeteredTrace(
            nodes=nodes,
            deduct=pool.deduct,
            measure=str(pool.measure),
            spans=tuple((one.first, one.end) for one in ones),
            cost_nano=cost_nano,
            slots_by_quality=count_qualities(quality[:, group_of_slot == group]),
            tiers=tiers,
        )
        amount_minor = to_minor(cost_nano, priced.currency)
        yield Line(pool.id, party, unit, LineKind.METERED, by_band[group], amount_minor, trace)
