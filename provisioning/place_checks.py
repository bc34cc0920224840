"""Where meters hang: two at one point, or one outside the building it measures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from metering.identity import NodeId
from provisioning.chinese_maps import from_chinese_map, in_china
from provisioning.finding_words import finding
from provisioning.installation import Binding, Finding
from provisioning.map_geometry import Point, distance_cm, lies_within
from provisioning.place import Place
from provisioning.site import Node
from provisioning.tree_checks import parents_at

ACCURACY_CM = 1_000
"""Where nobody said how far off a place may be: a telephone in the open, 10 m."""
WALL_CM = 300
"""Outlines are drawn along walls, and cabinets hang on the outside of them."""


def place_findings(nodes: Iterable[Node], bindings: Iterable[Binding], at: datetime) -> Iterator[Finding]:
    """Say which meters hang at one point, outside their building, or nowhere at all."""
    bound = tuple(bindings)
    known = {node.id: node for node in nodes}
    parent_of = parents_at(known.values(), at)
    for binding in bound:
        building = _building(binding.meter.node, known, parent_of)
        if binding.place is None:
            yield finding("place-missing", binding.meter.id)
        elif building is not None and building.outline is not None:
            yield from _outside(binding, binding.place, building, building.outline)
    yield from _at_one_point(bound)


def _building(node: NodeId, known: dict[NodeId, Node], parent_of: dict[NodeId, NodeId]) -> Node | None:
    """Give the nearest node upwards that has an outline."""
    passed: set[NodeId] = set()
    while node in known and node not in passed:
        if known[node].outline is not None:
            return known[node]
        passed.add(node)
        if node not in parent_of:
            return None
        node = parent_of[node]
    return None


def _outside(binding: Binding, place: Place, building: Node, outline: tuple[Point, ...]) -> Iterator[Finding]:
    point = (place.lat_e7, place.lon_e7)
    if lies_within(point, outline):
        return
    away_cm = distance_cm(point, outline)
    if away_cm <= WALL_CM:
        return
    away = f"{away_cm / 100:.0f} m"
    meter = binding.meter.id
    accuracy_cm = ACCURACY_CM if place.accuracy_cm is None else place.accuracy_cm
    if away_cm <= accuracy_cm + WALL_CM:
        accuracy = f"{accuracy_cm / 100:.0f} m"
        yield finding("place-near-outline", meter, building=building.names, away=away, accuracy=accuracy)
    elif in_china(point) and lies_within(from_chinese_map(point), outline):
        yield finding("place-chinese-map", meter, building=building.names, away=away)
    elif lies_within((point[1], point[0]), outline):
        yield finding("place-interchanged", meter, building=building.names)
    else:
        yield finding("place-outside", meter, building=building.names, away=away)


def _at_one_point(bindings: tuple[Binding, ...]) -> Iterator[Finding]:
    """Coordinates equal to the centimetre were copied, unless each says in words where in the cabinet it is."""
    at_point: dict[Point, list[Binding]] = defaultdict(list)
    for binding in bindings:
        if binding.place is not None:
            at_point[binding.place.lat_e7, binding.place.lon_e7].append(binding)
    for group in at_point.values():
        if len(group) > 1:
            notes = {binding.place.note for binding in group if binding.place is not None} - {None}
            code = "place-shared" if len(notes) == len(group) else "place-copied"
            yield finding(code, group[0].meter.id, meters=", ".join(binding.meter.id for binding in group))
