"""A register that a person read bounds energy exactly as one that the bus told; only what is said of it differs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.evidence import Installation, PointReading
from allocation_engine.intervals import Reason, SlotQuality, settle_point
from metering.identity import MeterId
from metering.interval import SLOT, Interval

START = datetime(2026, 7, 1, tzinfo=UTC)
SLOTS = 24
SPAN = Interval(START, START + SLOTS * SLOT)
METER = MeterId("m")
HOME = Installation(METER, None, None, 3, 10**9, None, None, None)


@st.composite
def known_registers(draw: st.DrawFn) -> list[PointReading]:
    """A rising register at some marks, of which people read some; the first and last marks are known."""
    steps = draw(st.lists(st.integers(0, 50_000), min_size=SLOTS + 1, max_size=SLOTS + 1))
    kept = draw(st.sets(st.integers(1, SLOTS - 1)))
    by_hand = draw(st.sets(st.integers(0, SLOTS)))
    registers = [sum(steps[: index + 1]) for index in range(SLOTS + 1)]
    return [
        PointReading(START + index * SLOT, METER, registers[index], by_hand=index in by_hand)
        for index in sorted({0, SLOTS} | kept)
    ]


@given(known_registers())
def test_who_read_changes_no_energy_and_is_said_of_each(readings: list[PointReading]) -> None:
    mixed = settle_point(readings, SPAN, [HOME])
    by_bus = settle_point([replace(one, by_hand=False) for one in readings], SPAN, [HOME])
    assert (mixed.energy_wh, mixed.quality) == (by_bus.energy_wh, by_bus.quality)
    assert sum(mixed.energy_wh) == 3 * (readings[-1].register_wh - readings[0].register_wh)
    assert max(mixed.quality) <= SlotQuality.ESTIMATED
    said = [one for one in mixed.exceptions if one.reason is Reason.READ_BY_HAND]
    inside = [one for one in readings if one.by_hand and one.mark < SPAN.end + SLOT]
    assert [one.start for one in said] == [one.mark for one in inside]
    assert not [one for one in by_bus.exceptions if "person" in one.basis]
