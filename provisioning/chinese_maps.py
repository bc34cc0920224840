"""Maps sold in China show places shifted by 100 to 700 m (GCJ-02); what was copied from one is found out by that.

The shift is a published approximation of an unpublished rule; it is good to a metre or two, enough to tell whether
a meter that seems to hang in the next street hangs in its building. Nothing is corrected by it.
"""

from __future__ import annotations

import math

from provisioning.map_geometry import Point
from provisioning.place import E7

_AXIS_M = 6_378_245.0
_ECCENTRICITY = 0.006_693_421_622_965_943
"""Krasovsky's ellipsoid, on which the shift is defined."""
_WAVES_LAT = ((160.0, 12.0), (320.0, 30.0))
_WAVES_LON = ((150.0, 12.0), (300.0, 30.0))
_SOUTH, _NORTH, _WEST, _EAST = 0.8293, 55.8271, 72.004, 137.8347
_ROUNDS = 3
"""Each round of taking the shift back shrinks its error a thousandfold."""


def in_china(point: Point) -> bool:
    """Say whether maps of this place may be shifted."""
    return _SOUTH <= point[0] / E7 <= _NORTH and _WEST <= point[1] / E7 <= _EAST


def as_on_chinese_map(point: Point) -> Point:
    """Give where a WGS-84 point stands on such a map."""
    lat, lon = _shifted(point[0] / E7, point[1] / E7)
    return round(lat * E7), round(lon * E7)


def from_chinese_map(point: Point) -> Point:
    """Give the WGS-84 point that stands at `point` on such a map."""
    lat, lon = point[0] / E7, point[1] / E7
    for _ in range(_ROUNDS):
        there = _shifted(lat, lon)
        lat, lon = lat + point[0] / E7 - there[0], lon + point[1] / E7 - there[1]
    return round(lat * E7), round(lon * E7)


def _shifted(lat: float, lon: float) -> tuple[float, float]:
    east, north = lon - 105.0, lat - 35.0
    root = math.sqrt(abs(east))
    ripple = (20 * math.sin(6 * east * math.pi) + 20 * math.sin(2 * east * math.pi)) * 2 / 3
    up = -100 + 2 * east + 3 * north + 0.2 * north * north + 0.1 * east * north + 0.2 * root
    up += ripple + _swell(north, _WAVES_LAT)
    over = 300 + east + 2 * north + 0.1 * east * east + 0.1 * east * north + 0.1 * root
    over += ripple + _swell(east, _WAVES_LON)
    bend = 1 - _ECCENTRICITY * math.sin(math.radians(lat)) ** 2
    lat_m = _AXIS_M * (1 - _ECCENTRICITY) / bend**1.5
    lon_m = _AXIS_M / math.sqrt(bend) * math.cos(math.radians(lat))
    return lat + math.degrees(up / lat_m), lon + math.degrees(over / lon_m)


def _swell(at: float, waves: tuple[tuple[float, float], ...]) -> float:
    short = 20 * math.sin(at * math.pi) + 40 * math.sin(at / 3 * math.pi)
    return (short + sum(height * math.sin(at / length * math.pi) for height, length in waves)) * 2 / 3
