"""Readings as columns are the same readings, and encode to the same octets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from allocation_engine.canonical_parts import join_list
from allocation_engine.evidence import (
    EnvelopeRef,
    Installation,
    PointEvidence,
    PointReading,
    Sweeps,
    SweptReadings,
    chains_of,
)
from allocation_engine.evidence_octets import evidence_octets
from allocation_engine.evidence_shelf import Shelves
from allocation_engine.statement_content import point_to_wire
from metering.envelope import encode
from metering.identity import GatewayId, MeterId, NodeId
from metering.obis import ENERGY_IMPORT

START = datetime(2026, 7, 1, tzinfo=UTC)
EDGES = (0, 23, 255, 65_535, 65_536, 2**32 - 1, 2**32, 10**12)


def swept(seed: int) -> list[PointEvidence]:
    """Some points, read in one of two lots of sweeps."""
    draw = Random(seed)
    lots = [
        Sweeps(
            tuple(START + timedelta(minutes=15 * mark) for mark in marks),
            tuple(EnvelopeRef(GatewayId(gateway), 1, 5 + mark, bytes([mark]) * 32) for mark in marks),
        )
        for gateway, marks in (("gw-b", range(draw.randint(0, 12))), ("gw-a", range(3, 9)))
    ]
    points = []
    for number in range(draw.randint(1, 5)):
        sweeps = draw.choice(lots)
        registers = np.array([draw.choice((*EDGES, draw.randint(0, 2**33))) for _ in sweeps.marks], np.int64)
        hung = Installation(MeterId("m"), None, START, 3, 10**9, None, 0, None)
        readings = SweptReadings(sweeps, MeterId(f"m-{number}"), registers)
        points.append(PointEvidence(NodeId(f"n-{number}"), ENERGY_IMPORT, (hung,), readings))
    return points


def plain(point: PointEvidence) -> PointEvidence:
    """The same point with each reading on its own."""
    return replace(point, readings=tuple(point.readings))


@pytest.mark.parametrize("seed", range(30))
def test_columns_say_what_the_readings_say(seed: int) -> None:
    for point in swept(seed):
        other = plain(point)
        assert point == other
        assert hash(point) == hash(other)
        assert (point.marks, point.envelopes, point.meters) == (other.marks, other.envelopes, other.meters)
        assert chains_of([point]) == chains_of([other])
        for place in range(-len(point.readings), len(point.readings)):
            assert point.readings[place] == other.readings[place]
        assert point.readings[1:4] == other.readings[1:4]


def test_another_register_is_another_reading() -> None:
    sweeps = Sweeps((START,), (EnvelopeRef(GatewayId("g"), 1, 1, bytes(32)),))
    one, other = (SweptReadings(sweeps, MeterId("m"), np.array([register], np.int64)) for register in (7, 8))
    assert one != other
    assert one == (PointReading(START, MeterId("m"), 7, sweeps.envelopes[0]),)
    assert one != 7


@pytest.mark.parametrize("seed", range(30))
def test_columns_are_hashed_as_the_readings_are(seed: int) -> None:
    points = swept(seed)
    assert list(evidence_octets(points)) == list(evidence_octets(map(plain, points)))


@pytest.mark.parametrize("seed", range(30))
def test_statements_hold_the_same_octets_of_columns_and_of_readings(seed: int) -> None:
    points, shelves = swept(seed), Shelves()
    for asked in (points, points[:1], [plain(points[0]), *points[1:]], points):
        shelf = shelves.of(asked)
        refs = sorted({ref for point in points[: len(asked)] for ref in point.envelopes if ref is not None})
        assert list(shelf.refs) == refs
        assert shelf.octets == encode([list(ref) for ref in refs])
        assert join_list([shelf.encode_point(one) for one in asked]) == encode(
            [point_to_wire(plain(one), {ref: place for place, ref in enumerate(refs)}) for one in asked]
        )
    assert shelves.of(points) is shelves.of(list(points))
