"""Units and meters: whose consumption does each binding count? The check that keeps bills with the right tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from metering.identity import NodeId, UnitId
from provisioning.finding_words import finding
from provisioning.installation import Binding, Finding
from provisioning.order_file import ExpectedMeter
from provisioning.site import Node, NodeKind, Unit


def unit_findings(
    nodes: Iterable[Node], units: Iterable[Unit], expected: Iterable[ExpectedMeter], bindings: Iterable[Binding]
) -> Iterator[Finding]:
    """Say which unit has no meter, which meter no unit, and which binding names the unit of another node."""
    known = {node.id: node for node in nodes}
    unit_at = {unit.node: unit for unit in units}
    bound = tuple(bindings)
    for binding in bound:
        yield from _unit_of(binding, known, unit_at)
    yield from _claimed_twice(bound)
    yield from _without_meter(unit_at, tuple(expected), bound)


def _unit_of(binding: Binding, known: dict[NodeId, Node], unit_at: dict[NodeId, Unit]) -> Iterator[Finding]:
    meter, node = binding.meter.id, known.get(binding.meter.node)
    there = unit_at.get(binding.meter.node)
    by_id = {unit.id: unit for unit in unit_at.values()}
    if binding.unit is not None and binding.unit not in by_id:
        yield finding("unit-unknown", meter, unit=binding.unit)
    elif binding.unit is not None and (there is None or there.id != binding.unit):
        other = by_id[binding.unit]
        yield finding("unit-of-other-node", meter, unit=other.names, node=binding.meter.node, right=other.node)
    elif binding.unit is None and there is not None:
        yield finding("unit-not-named", meter, unit=there.names, node=binding.meter.node)
    elif binding.unit is None and node is not None and node.kind is NodeKind.END:
        yield finding("meter-without-unit", meter, node=node.names)


def _claimed_twice(bindings: tuple[Binding, ...]) -> Iterator[Finding]:
    of_unit: dict[UnitId, list[Binding]] = defaultdict(list)
    for binding in bindings:
        if binding.unit is not None:
            of_unit[binding.unit].append(binding)
    for unit, group in of_unit.items():
        if len({binding.meter.node for binding in group}) > 1:
            yield finding("unit-twice", unit, unit=unit, meters=", ".join(binding.meter.id for binding in group))


def _without_meter(
    unit_at: dict[NodeId, Unit], expected: tuple[ExpectedMeter, ...], bindings: tuple[Binding, ...]
) -> Iterator[Finding]:
    """A unit for which a meter is expected here is doubtful; another in the building may be another gateway's."""
    measured = {binding.meter.node for binding in bindings}
    wanted = {one.node for one in expected}
    buildings = {unit_at[node].building for node in measured | wanted if node in unit_at}
    for node, unit in unit_at.items():
        if node in measured:
            continue
        if node in wanted:
            yield finding("unit-without-meter", unit.id, unit=unit.names, node=node)
        elif unit.building in buildings:
            yield finding("unit-not-here", unit.id, unit=unit.names, node=node)
