"""Points and outlines on the ground. Inside or outside is decided in whole numbers; only distances are approximate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

from provisioning.place import E7

Point = tuple[int, int]
"""Latitude and longitude [10^-7 degree], WGS-84."""

CM_PER_STEP = 1.11319
"""Length of 10^-7 degree of a meridian [cm]."""
_TURN = 360 * E7

Corner = TypeVar("Corner")


def lies_within(point: Point, outline: tuple[Point, ...]) -> bool:
    """Say whether a point lies in an outline or on its edge. Outlines may cross the date line."""
    corners = [_from(point, corner) for corner in outline]
    is_inside = False
    for (y1, x1), (y2, x2) in _edges(corners):
        cross = x1 * y2 - x2 * y1
        if cross == 0 and min(x1, x2) <= 0 <= max(x1, x2) and min(y1, y2) <= 0 <= max(y1, y2):
            return True
        if (y1 > 0) is not (y2 > 0) and (cross > 0) is (y2 > y1):
            is_inside = not is_inside
    return is_inside


def distance_cm(point: Point, outline: tuple[Point, ...]) -> float:
    """Give how far a point is from the nearest edge of an outline [cm]."""
    shrink = math.cos(math.radians(point[0] / E7))
    corners = [(y * CM_PER_STEP, x * CM_PER_STEP * shrink) for y, x in (_from(point, corner) for corner in outline)]
    return min(_to_segment(first, second) for first, second in _edges(corners))


def apart_cm(one: Point, other: Point) -> float:
    """Give how far two points lie apart [cm]."""
    y, x = _from(one, other)
    return math.hypot(y, x * math.cos(math.radians(one[0] / E7))) * CM_PER_STEP


def _from(point: Point, other: Point) -> Point:
    """Give where `other` lies seen from `point`, the short way round."""
    east = (other[1] - point[1] + _TURN // 2) % _TURN - _TURN // 2
    return other[0] - point[0], east


def _edges(corners: list[Corner]) -> Iterator[tuple[Corner, Corner]]:
    return zip(corners, [*corners[1:], corners[0]], strict=True)


def _to_segment(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Give the distance of the origin from a segment."""
    (y1, x1), (y2, x2) = first, second
    dy, dx = y2 - y1, x2 - x1
    length = dy * dy + dx * dx
    along = 0.0 if not length else max(0.0, min(1.0, -(y1 * dy + x1 * dx) / length))
    return math.hypot(y1 + along * dy, x1 + along * dx)
