"""The tree and the map of an installation as SVG, the same for page and paper."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from metering.identity import NodeId
from provisioning.map_geometry import Plane, round_length_m
from provisioning.report import svg
from provisioning.report.blocks import Drawing
from provisioning.report.facts import BoundMeter, Installation
from provisioning.report.words import word
from provisioning.site import Node, Site

WIDTH = 760
ROW = 26
ROWS_OF_THE_FIRST, ROWS_OF_A_DRAWING = 26, 40
"""As many as stand on the first page below the summary, and on a further one: a large tree has several drawings."""
_INDENT = 24
_METER_X = 400
_MAP_HEIGHT = 300
_MARGIN = 46
_NEAR = 15


def trees(installation: Installation, language: str) -> Iterator[Drawing]:
    """Draw the part of the tree that this gateway touches: its nodes and all above them, in rows."""
    rows = tuple(_rows(installation))
    bound = {one.meter.node: (number, one) for number, one in enumerate(installation.bound, start=1)}
    missing = {one.node: one for one in installation.missing}
    starts = (0, *range(ROWS_OF_THE_FIRST, len(rows), ROWS_OF_A_DRAWING))
    for start, end in zip(starts, (*starts[1:], len(rows)), strict=True):
        part = rows[start:end]
        parts = [
            *_branches(rows, start, len(part)),
            *(
                piece
                for index, (level, node) in enumerate(part)
                for piece in _row(
                    index, level, node, bound.get(node.id), node.id in missing, installation.site, language
                )
            ),
        ]
        height = len(part) * ROW + 8
        caption = word("tree-caption", language) if start == starts[-1] else ""
        yield Drawing(svg.drawing(WIDTH, height, parts, word("tree", language)), caption, WIDTH, height)


def _rows(installation: Installation) -> Iterator[tuple[int, Node]]:
    """Give level and node, parents first, of all nodes that concern this gateway."""
    site, at = installation.site, installation.finished_at
    nodes = {node.id: node for node in site.nodes}
    wanted: set[NodeId] = set()
    for start in (*(one.meter.node for one in installation.bound), *(one.node for one in installation.missing)):
        upward: NodeId | None = start
        while upward is not None and upward in nodes and upward not in wanted:
            wanted.add(upward)
            upward = nodes[upward].parent_at(at)
    children: dict[NodeId | None, list[Node]] = {}
    for name in sorted(wanted):
        children.setdefault(nodes[name].parent_at(at), []).append(nodes[name])
    waiting = [(0, node) for node in reversed(children.get(None, []))]
    while waiting:
        level, node = waiting.pop()
        yield level, node
        waiting += [(level + 1, child) for child in reversed(children.get(node.id, []))]


def _branches(rows: Sequence[tuple[int, Node]], start: int, count: int) -> Iterator[str]:
    """Draw the lines from each row to that of its parent, or to the upper edge where that is further above."""
    for index in range(start, start + count):
        level = rows[index][0]
        above = next((one for one in range(index - 1, -1, -1) if rows[one][0] < level), None)
        if above is not None:
            x = 14 + (level - 1) * _INDENT + 8
            y = (index - start) * ROW + ROW / 2 + 4
            top = max((above - start) * ROW + ROW - 1 + 4, 0)
            yield svg.path([(x, top), (x, y), (14 + level * _INDENT, y)])


def _row(
    index: int, level: int, node: Node, found: tuple[int, BoundMeter] | None, missing: bool, site: Site, language: str
) -> Iterator[str]:
    y, x = index * ROW + 4, 14 + level * _INDENT
    width = _METER_X - 16 - x
    state = "bound" if found else "missing" if missing else "other"
    fill, stroke = {
        "bound": (svg.ACCENT_PALE, svg.ACCENT),
        "missing": (svg.DOUBT_PALE, svg.DOUBT),
        "other": (svg.PAPER, svg.LINE),
    }[state]
    yield svg.box(x, y + 2, width, ROW - 5, fill=fill, stroke=stroke, dashed=state == "missing")
    ink = svg.FAINT if state == "other" else svg.INK
    yield svg.text(x + 8, y + 17, svg.fitted(node.names.of(language), 12, width - 16), fill=ink)
    if found is not None:
        number, one = found
        yield f'<circle cx="{_METER_X + 2}" cy="{y + ROW / 2 - 0.5:g}" r="9" fill="{svg.ACCENT}"/>'
        yield svg.text(_METER_X + 2, y + 16.5, str(number), size=10, fill=svg.PAPER, anchor="middle", bold=True)
        yield svg.text(_METER_X + 18, y + 17, svg.fitted(one.meter.serial, 12, 150))
        unit = word("common", language) if one.binding.unit is None else site.unit(one.binding.unit).names.of(language)
        yield svg.text(_METER_X + 180, y + 17, svg.fitted(unit, 11, WIDTH - _METER_X - 190), size=11, fill=svg.FAINT)
    elif missing:
        yield svg.text(_METER_X - 6, y + 17, word("missing", language), size=11, fill=svg.DOUBT)


def site_map(installation: Installation, language: str) -> Drawing | None:
    """Draw outlines of buildings and the meters with coordinates; None where nothing has any."""
    meters = [
        (number, one.binding.place.lat_e7, one.binding.place.lon_e7)
        for number, one in enumerate(installation.bound, start=1)
        if one.binding.place is not None
    ]
    if not meters:
        return None
    nodes = [node for node in installation.site.nodes if node.outline]
    points = [*((lat, lon) for _, lat, lon in meters), *(point for node in nodes for point in node.outline or ())]
    plane = Plane(points, WIDTH, _MAP_HEIGHT, _MARGIN)
    parts = [svg.box(0.5, 0.5, WIDTH - 1, _MAP_HEIGHT - 1, fill="#f7f9fa", radius=6)]
    for node in nodes:
        corners = [plane.at(point) for point in node.outline or ()]
        parts.append(svg.path(corners, stroke=svg.FAINT, fill="#e8edf0", closed=True))
    for node in nodes:
        corners = [plane.at(point) for point in node.outline or ()]
        x, top = sum(x for x, _ in corners) / len(corners), min(y for _, y in corners)
        parts.append(svg.text(x, max(top - 5, 14), node.names.of(language), size=12, fill=svg.FAINT, anchor="middle"))
    parts += _markers({number: plane.at((lat, lon)) for number, lat, lon in meters})
    parts += _scale_bar(plane.metre)
    parts += [svg.path([(WIDTH - 26, 44), (WIDTH - 26, 18)], stroke=svg.INK)]
    parts += [svg.path([(WIDTH - 31, 26), (WIDTH - 26, 16), (WIDTH - 21, 26)], stroke=svg.INK)]
    parts += [svg.text(WIDTH - 26, 58, "北" if language == "zh" else "N", size=11, anchor="middle")]
    picture = svg.drawing(WIDTH, _MAP_HEIGHT, parts, word("map", language))
    return Drawing(picture, word("map-caption", language), WIDTH, _MAP_HEIGHT)


def _markers(places: Mapping[int, tuple[float, float]]) -> Iterator[str]:
    """Draw a pin for each place; meters of one cabinet share a pin with all their numbers."""
    heaps: list[tuple[tuple[float, float], list[int]]] = []
    for number, (x, y) in places.items():
        for (other_x, other_y), numbers in heaps:
            if math.hypot(x - other_x, y - other_y) < _NEAR:
                numbers.append(number)
                break
        else:
            heaps.append(((x, y), [number]))
    for (x, y), numbers in heaps:
        label = ranges(numbers)
        width = max(svg.width_of(label, 10) + 10, 18)
        yield svg.box(x - width / 2, y - 9, width, 18, fill=svg.ACCENT, stroke=svg.PAPER, radius=9)
        yield svg.text(x, y + 3.6, label, size=10, fill=svg.PAPER, anchor="middle", bold=True)


def ranges(numbers: Sequence[int]) -> str:
    """Give numbers as people write them: 1–4, 7."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in found)


def _scale_bar(metre: float) -> Iterator[str]:
    """Draw a bar of 1, 2 or 5 times a power of ten metres, the longest below a fifth of the width."""
    length, y = round_length_m(WIDTH / 5 / metre), _MAP_HEIGHT - 16
    yield svg.path([(16, y - 5), (16, y), (16 + length * metre, y), (16 + length * metre, y - 5)], stroke=svg.INK)
    yield svg.text(24 + length * metre, y + 1, f"{length} m", size=11)
