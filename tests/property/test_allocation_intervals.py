"""No watt-hour is created or lost between registers and slots, whatever happened to the meters."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine.evidence import Installation, PointReading, pick_readings
from allocation_engine.intervals import SettledSpan, SlotQuality, settle_point
from metering.identity import MeterId
from metering.interval import SLOT, Interval

START = datetime(2026, 7, 1, tzinfo=UTC)
MODULUS_WH = 1_000_000


def at(slot: int) -> datetime:
    """The mark at which slot `slot` starts."""
    return START + slot * SLOT


@st.composite
def courses(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """True energy at each mark [Wh], the marks that were read (first and last among them), and a start register."""
    steps = draw(st.lists(st.integers(0, 2_000), min_size=1, max_size=40))
    energy = [sum(steps[:i]) for i in range(len(steps) + 1)]
    read = draw(st.sets(st.integers(0, len(steps))))
    return energy, sorted(read | {0, len(steps)}), draw(st.integers(0, MODULUS_WH - 1))


def settle(readings: list[PointReading], slots: int, installations: list[Installation], first: int = 0) -> SettledSpan:
    """Settle the slots from `first` on."""
    return settle_point(readings, Interval(at(first), at(slots)), installations)


def plain_installation(multiplier: int) -> Installation:
    """A meter that always hung there."""
    return Installation(MeterId("m-1"), None, None, multiplier, MODULUS_WH, None, None, None)


@given(courses(), st.integers(1, 500))
@settings(deadline=None)
def test_slots_add_up_to_the_register_span_over_gaps_and_rollovers(
    course: tuple[list[int], list[int], int], multiplier: int
) -> None:
    energy, read, origin = course
    # Within the reach of a rollover: no gap takes more than a hundredth of the modulus.
    energy = [one % 10_000 if max(energy) > 10_000 else one for one in energy]
    energy = sorted(energy)
    readings = [PointReading(at(i), MeterId("m-1"), (origin + energy[i]) % MODULUS_WH) for i in read]
    settled = settle(readings, len(energy) - 1, [plain_installation(multiplier)])
    assert sum(settled.energy_wh) == multiplier * (energy[-1] - energy[0])
    assert max(settled.quality) < SlotQuality.MISSING
    assert min(settled.energy_wh) >= 0


@given(courses())
@settings(deadline=None)
def test_a_slot_with_both_its_ends_read_is_exact(course: tuple[list[int], list[int], int]) -> None:
    energy, read, _ = course
    readings = [PointReading(at(i), MeterId("m-1"), energy[i]) for i in read]
    settled = settle(readings, len(energy) - 1, [plain_installation(1)])
    for slot, quality in enumerate(settled.quality):
        both = slot in read and slot + 1 in read
        assert (quality == SlotQuality.MEASURED) == both
        if both:
            assert settled.energy_wh[slot] == energy[slot + 1] - energy[slot]


@given(courses(), st.integers(1, 38), st.integers(0, 899))
@settings(deadline=None)
def test_an_exchange_at_any_second_keeps_the_sum(
    course: tuple[list[int], list[int], int], slot: int, second: int
) -> None:
    energy, read, _ = course
    slots = len(energy) - 1
    exchanged_at = at(slot % slots) + timedelta(seconds=second)
    before = [i for i in read if at(i) < exchanged_at]
    after = [i for i in read if at(i) >= exchanged_at]
    final = energy[before[-1]] if before else 0
    old = Installation(MeterId("m-1"), None, exchanged_at, 2, MODULUS_WH, None, None, final)
    new = Installation(MeterId("m-2"), exchanged_at, None, 3, MODULUS_WH, None, 500, None)
    readings = [PointReading(at(i), MeterId("m-1"), energy[i]) for i in before]
    readings += [PointReading(at(i), MeterId("m-2"), 500 + energy[i] - final) for i in after]
    settled = settle(readings, slots, [old, new])
    if before:
        assert sum(settled.energy_wh) == 2 * (final - energy[0]) + 3 * (energy[-1] - final)


@given(courses(), st.data())
@settings(deadline=None)
def test_settling_day_by_day_is_settling_at_once(course: tuple[list[int], list[int], int], data: st.DataObject) -> None:
    energy, read, _ = course
    slots = len(energy) - 1
    cut = data.draw(st.integers(0, slots))
    readings = [PointReading(at(i), MeterId("m-1"), energy[i]) for i in read]
    whole = settle(readings, slots, [plain_installation(1)])
    parts = [
        settle_point(readings, Interval(at(a), at(b)), [plain_installation(1)])
        for a, b in ((0, cut), (cut, slots))
        if a < b
    ]
    assert sum((part.energy_wh for part in parts), ()) == whole.energy_wh
    assert sum((part.quality for part in parts), ()) == whole.quality


@given(courses(), st.data())
@settings(deadline=None)
def test_the_few_readings_of_the_evidence_prove_the_same_sums(
    course: tuple[list[int], list[int], int], data: st.DataObject
) -> None:
    energy, read, _ = course
    slots = len(energy) - 1
    bounds = sorted({0, slots, *data.draw(st.sets(st.integers(0, slots)))})
    readings = [PointReading(at(i), MeterId("m-1"), energy[i]) for i in read]
    whole = settle(readings, slots, [plain_installation(7)])
    few = list(pick_readings((at(bound) for bound in bounds), readings))
    proven = settle(few, slots, [plain_installation(7)])
    for first, end in itertools.pairwise(bounds):
        assert sum(proven.energy_wh[first:end]) == sum(whole.energy_wh[first:end])
