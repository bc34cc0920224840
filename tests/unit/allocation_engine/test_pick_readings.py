"""The readings that prove a register at some marks, whatever was read and whatever was not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from allocation_engine.evidence import PointReading, pick_readings
from metering.identity import MeterId

START = datetime(2026, 7, 1, tzinfo=UTC)


def reading(minute: int, register_wh: int = 0) -> PointReading:
    """A reading at a minute."""
    return PointReading(START + timedelta(minutes=minute), MeterId("m"), register_wh)


@pytest.mark.parametrize("seed", range(200))
def test_each_mark_has_the_newest_at_or_before_and_the_oldest_at_or_after_it(seed: int) -> None:
    draw = Random(seed)
    minutes = sorted(draw.choices(range(6), k=draw.randint(0, 6)))
    readings = [reading(minute, place) for place, minute in enumerate(minutes)]
    marks = [START + timedelta(minutes=one) for one in sorted(draw.sample(range(6), draw.randint(0, 6)))]
    wanted = set()
    for mark in marks:
        wanted |= (
            {max(place for place, one in enumerate(readings) if one.mark <= mark)}
            if any(one.mark <= mark for one in readings)
            else set()
        )
        wanted |= (
            {min(place for place, one in enumerate(readings) if one.mark >= mark)}
            if any(one.mark >= mark for one in readings)
            else set()
        )
    assert pick_readings(iter(marks), readings) == tuple(readings[place] for place in sorted(wanted))


def test_as_many_readings_as_marks_need_not_be_those_at_the_marks() -> None:
    readings = [reading(0), reading(1), reading(9)]
    marks = [START, START + timedelta(minutes=1), START + timedelta(minutes=1)]
    assert pick_readings(marks, readings) == tuple(readings[:2])
    assert pick_readings([one.mark for one in readings], readings) == tuple(readings)
