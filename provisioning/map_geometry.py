"""Points and outlines on the ground. Inside or outside is decided in whole numbers; only distances are approximate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from provisioning.place import E7

Point = tuple[int, int]
"""Latitude and longitude [10^-7 degree], WGS-84."""

CM_PER_STEP = 1.11319
"""Length of 10^-7 degree of a meridian [cm]."""
_TURN = 360 * E7
_AROUND_M = 30
"""What is shown around one place alone [m]."""
_METRES_OF_A_DEGREE = 111_320

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


class Plane:
    """Degrees laid flat on a drawing: good to a millimetre within a site, and a sketch needs no more."""

    def __init__(self, points: Sequence[Point], width: int, height: int, margin: int) -> None:
        """Let all points lie within `width` x `height` px, `margin` px from its edges."""
        south, north = min(lat for lat, _ in points), max(lat for lat, _ in points)
        west, east = min(lon for _, lon in points), max(lon for _, lon in points)
        self._centre = (width / 2, height / 2)
        self._middle = ((south + north) / 2, (west + east) / 2)
        self._shrink = math.cos(math.radians(self._middle[0] / E7))
        smallest = _AROUND_M / _METRES_OF_A_DEGREE * E7
        wide, high = max((east - west) * self._shrink, smallest), max(float(north - south), smallest)
        self._scale = min((width - 2 * margin) / wide, (height - 2 * margin) / high)

    def at(self, point: Point) -> tuple[float, float]:
        """Give the place of (latitude, longitude) on the drawing [px]."""
        x = self._centre[0] + (point[1] - self._middle[1]) * self._shrink * self._scale
        return x, self._centre[1] - (point[0] - self._middle[0]) * self._scale

    def point_at(self, x: float, y: float) -> Point:
        """Give what lies at a place of the drawing: latitude and longitude."""
        east = (x - self._centre[0]) / (self._shrink * self._scale)
        return round(self._middle[0] - (y - self._centre[1]) / self._scale), round(self._middle[1] + east)

    @property
    def metre(self) -> float:
        """How long a metre is on the drawing [px]."""
        return self._scale * E7 / _METRES_OF_A_DEGREE


def round_length_m(most_m: float) -> int:
    """Give the longest of 1, 2 or 5 times a power of ten metres that is at most `most_m` [m], and 1 below that."""
    lengths = [step * 10**power for power in range(6) for step in (1, 2, 5)]
    return max((length for length in lengths if length <= most_m), default=1)


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
