"""Which readings bear on a span, and what a settled day is named by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.evidence import Installation, PointReading
from allocation_engine.intervals import settle_point
from ingest.metering_points import MeteringPoint
from ingest.settlement import around, inputs_hash
from metering.identity import MeterId, NodeId
from metering.interval import SLOT, Interval
from metering.obis import ENERGY_IMPORT

METER = MeterId("m-1")
START = datetime(2026, 7, 1, tzinfo=UTC)
DAY = Interval(START, START + timedelta(days=1))
POINT = MeteringPoint(NodeId("n"), ENERGY_IMPORT, (Installation(METER, None, None, 1, None, None, None, None),))


def reading(mark: int, register_wh: int = 0) -> PointReading:
    return PointReading(START + mark * SLOT, METER, register_wh)


@pytest.mark.parametrize(
    ("marks", "kept"),
    [
        ([-1, 0, 50, 96, 97], [0, 50, 96]),
        ([-9, -5, 50, 99, 120], [-5, 50, 99]),
        ([-9, -5], [-5]),
        ([99, 120], [99]),
        ([], []),
        ([-5, -5, 3, 99, 99, 120], [-5, -5, 3, 99, 99]),
    ],
)
def test_readings_in_the_span_and_the_next_beyond_an_unread_end_bear_on_it(marks: list[int], kept: list[int]) -> None:
    assert list(around([reading(mark) for mark in marks], DAY)) == [reading(mark) for mark in kept]


@given(st.lists(st.tuples(st.integers(-200, 300), st.integers(0, 50)), max_size=60, unique_by=lambda item: item[0]))
def test_a_day_settles_to_the_same_from_all_readings_and_from_those_around_it(items: list[tuple[int, int]]) -> None:
    total, readings = 0, []
    for mark, step in sorted(items):
        total += step
        readings.append(reading(mark, total))
    whole = settle_point(readings, DAY, POINT.installations)
    near = settle_point(around(readings, DAY), DAY, POINT.installations)
    assert (near.energy_wh, near.quality) == (whole.energy_wh, whole.quality)


def test_the_inputs_of_a_day_do_not_depend_on_order_or_repetition() -> None:
    readings = [reading(0, 1), reading(1, 5), reading(96, 9)]
    first = inputs_hash(POINT, readings, DAY)
    assert inputs_hash(POINT, [*reversed(readings), readings[0]], DAY) == first
    assert inputs_hash(POINT, [reading(0, 1), reading(1, 6), reading(96, 9)], DAY) != first
    assert inputs_hash(POINT, readings, Interval(DAY.start, DAY.end + SLOT)) != first
