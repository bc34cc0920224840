"""A site's meters where they hang: outlines of buildings, pins, a scale. Drawn in place, without anybody's map. Pure.

Only where the operator of the service names a tile server is its picture laid below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from provisioning.map_geometry import Plane, Point, round_length_m
from provisioning.place import E7

WIDTH, HEIGHT, MARGIN = 1000, 520, 56
NEAR = 22
"""Pins that would lie closer are one, with their count."""
TILE_PX = 256
ZOOM_MAX = 19
TILES_MAX = 48


@dataclass(frozen=True, slots=True)
class Hung:
    """A meter with its coordinates; `tone` is the worst of what is known of it."""

    name: str
    point: Point
    href: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """A building: corners as SVG takes them, and its name with its place."""

    corners: str
    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Pin:
    """One meter, or several of one cabinet."""

    x: float
    y: float
    label: str
    title: str
    href: str
    tone: str


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture of a tile server."""

    href: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class SiteMap:
    """The picture; `scale_px` is how long `scale_m` metres are."""

    outlines: tuple[Outline, ...]
    pins: tuple[Pin, ...]
    tiles: tuple[Tile, ...]
    scale_px: float
    scale_m: int


def site_map(
    outlines: Sequence[tuple[str, tuple[Point, ...]]], meters: Sequence[Hung], tile_address: str = ""
) -> SiteMap | None:
    """Draw named outlines and meters; None where nothing has coordinates.

    tile_address   with {z}, {x} and {y}, of tiles in Web Mercator; empty: none
    """
    points = [*(one.point for one in meters), *(point for _, corners in outlines for point in corners)]
    if not points:
        return None
    plane = Plane(points, WIDTH, HEIGHT, MARGIN)
    length = round_length_m(WIDTH / 5 / plane.metre)
    return SiteMap(
        tuple(_outline(name, corners, plane) for name, corners in outlines),
        tuple(_pins(meters, plane)),
        tuple(_tiles(plane, tile_address)) if tile_address else (),
        length * plane.metre,
        length,
    )


def _outline(name: str, corners: Iterable[Point], plane: Plane) -> Outline:
    places = [plane.at(corner) for corner in corners]
    middle = sum(x for x, _ in places) / len(places)
    return Outline(
        " ".join(f"{x:.1f},{y:.1f}" for x, y in places), name, middle, max(min(y for _, y in places) - 8, 16)
    )  # fmt: skip


def _pins(meters: Sequence[Hung], plane: Plane) -> Iterator[Pin]:
    heaps: list[tuple[tuple[float, float], list[Hung]]] = []
    for one in meters:
        x, y = plane.at(one.point)
        near = next((heap for (at_x, at_y), heap in heaps if math.hypot(x - at_x, y - at_y) < NEAR), None)
        if near is None:
            heaps.append(((x, y), [one]))
        else:
            near.append(one)
    for (x, y), heap in heaps:
        tone = next((tone for tone in ("bad", "warn") if any(one.tone == tone for one in heap)), "")
        label = "" if len(heap) == 1 else str(len(heap))
        yield Pin(x, y, label, "\n".join(one.name for one in heap), heap[0].href, tone)


def _tiles(plane: Plane, address: str) -> Iterator[Tile]:
    """Give the tiles that cover the picture, at the finest zoom of which they are not too many."""
    corners = plane.point_at(0, 0), plane.point_at(WIDTH, HEIGHT)
    for zoom in range(ZOOM_MAX, -1, -1):
        (left, top), (right, bottom) = (_tile_place(corner, zoom) for corner in corners)
        columns = range(math.floor(left), math.floor(right) + 1)
        rows = range(max(0, math.floor(top)), min(2**zoom - 1, math.floor(bottom)) + 1)
        if len(columns) * len(rows) <= TILES_MAX:
            break
    for column in columns:
        for row in rows:
            x, y = plane.at(_tile_corner(column, row, zoom))
            end_x, end_y = plane.at(_tile_corner(column + 1, row + 1, zoom))
            href = address.format(z=zoom, x=column % 2**zoom, y=row)
            yield Tile(href, x, y, end_x - x, end_y - y)


def _tile_place(point: Point, zoom: int) -> tuple[float, float]:
    """Say in which tile a point lies, and where in it (Web Mercator, EPSG:3857)."""
    lat, lon = (angle / E7 for angle in point)
    north = math.asinh(math.tan(math.radians(max(-85.0, min(85.0, lat)))))
    return (lon + 180) / 360 * 2**zoom, (1 - north / math.pi) / 2 * 2**zoom


def _tile_corner(column: int, row: int, zoom: int) -> Point:
    """Give the north-western corner of a tile."""
    lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / 2**zoom))))
    return round(lat * E7), round((column / 2**zoom * 360 - 180) * E7)
