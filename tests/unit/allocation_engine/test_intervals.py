"""The ladder: every way a register may move between two readings, and what becomes of the slots in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from allocation_engine.evidence import EnvelopeRef, Installation, PointReading
from allocation_engine.intervals import (
    Reason,
    SettledSpan,
    SlotException,
    SlotQuality,
    point_reading,
    settle_point,
)
from metering.identity import GatewayId, MeterId
from metering.interval import Interval
from metering.obis import ENERGY_IMPORT
from metering.quantity import Shown, Unit
from metering.reading import ReadQuality, RegisterReading

START = datetime(2026, 7, 21, 2, 0, tzinfo=UTC)
OLD, NEW = MeterId("m-old"), MeterId("m-new")
MEASURED, ROLLOVER, EXCHANGE, ESTIMATED, MISSING, HELD = SlotQuality


def at(minutes: int) -> datetime:
    """The instant `minutes` after the start."""
    return START + timedelta(minutes=minutes)


def hour() -> Interval:
    """Four slots."""
    return Interval(at(0), at(60))


def reading(minutes: int, register_wh: int, meter: MeterId = OLD) -> PointReading:
    """One register at one mark."""
    return PointReading(at(minutes), meter, register_wh)


def installed(
    meter: MeterId = OLD,
    *,
    start: int | None = None,
    end: int | None = None,
    multiplier: int = 1,
    modulus_wh: int | None = 1_000_000,
    power_max_w: int | None = None,
    initial_wh: int | None = None,
    final_wh: int | None = None,
) -> Installation:
    """One register epoch; `start` and `end` in minutes after the start."""
    return Installation(
        meter=meter,
        start=None if start is None else at(start),
        end=None if end is None else at(end),
        multiplier=multiplier,
        modulus_wh=modulus_wh,
        power_max_w=power_max_w,
        initial_wh=initial_wh,
        final_wh=final_wh,
    )


def settle(readings: list[PointReading], *installations: Installation, span: Interval | None = None) -> SettledSpan:
    """Settle an hour."""
    return settle_point(readings, span or hour(), installations or (installed(),))


def reasons(settled: SettledSpan) -> list[Reason]:
    """What was recorded, in order."""
    return [one.reason for one in settled.exceptions]


def test_a_rising_register_is_measured_slot_by_slot() -> None:
    settled = settle([reading(0, 100), reading(15, 130), reading(30, 130), reading(45, 200), reading(60, 201)])
    assert settled.energy_wh == (30, 0, 70, 1)
    assert settled.quality == (MEASURED,) * 4
    assert settled.exceptions == ()


def test_the_multiplier_scales_every_difference() -> None:
    settled = settle([reading(minutes, minutes) for minutes in range(0, 75, 15)], installed(multiplier=20))
    assert settled.energy_wh == (300, 300, 300, 300)


def test_the_order_of_readings_does_not_matter_and_doubled_ones_count_once() -> None:
    readings = [reading(0, 100), reading(15, 130), reading(30, 150), reading(45, 170), reading(60, 190)]
    assert settle([*reversed(readings), readings[2]]) == settle(readings)


def test_readings_outside_the_span_change_nothing_when_its_ends_were_read() -> None:
    inside = [reading(minutes, 100 + minutes) for minutes in range(0, 75, 15)]
    assert settle([reading(-30, 0), *inside, reading(90, 999)]) == settle(inside)


def test_a_register_that_passes_its_modulus_has_rolled_over() -> None:
    settled = settle([reading(0, 999_990), reading(15, 5), reading(30, 10), reading(45, 20), reading(60, 30)])
    assert settled.energy_wh == (15, 5, 10, 10)
    assert settled.quality == (ROLLOVER, MEASURED, MEASURED, MEASURED)
    assert reasons(settled) == [Reason.ROLLOVER]
    assert settled.exceptions[0].energy_wh == 15
    assert "modulus 1000000 Wh" in settled.exceptions[0].basis


def test_a_register_that_fell_too_far_for_a_rollover_is_held() -> None:
    settled = settle([reading(0, 500_000), reading(15, 5), reading(30, 10), reading(45, 20), reading(60, 30)])
    assert settled.quality == (HELD, MEASURED, MEASURED, MEASURED)
    assert settled.energy_wh == (0, 5, 10, 10)
    assert reasons(settled) == [Reason.REGISTER_FELL]
    assert settled.exceptions[0].energy_wh is None


@pytest.mark.parametrize(("after", "quality"), [(9_999, ROLLOVER), (10_000, ROLLOVER), (10_001, HELD)])
def test_a_rollover_reaches_a_hundredth_of_the_modulus(after: int, quality: SlotQuality) -> None:
    settled = settle([reading(45, 1_000_000 - 1), reading(60, after - 1)])
    assert settled.quality[3] == quality


def test_a_register_without_a_modulus_never_rolls_over() -> None:
    settled = settle([reading(0, 999_999), reading(60, 1)], installed(modulus_wh=None))
    assert settled.quality == (HELD,) * 4


def test_more_than_the_largest_plausible_power_is_held() -> None:
    readings = [reading(0, 0), reading(15, 2_500), reading(30, 5_001), reading(45, 5_001), reading(60, 5_001)]
    settled = settle(readings, installed(power_max_w=10_000))
    assert settled.quality == (MEASURED, HELD, MEASURED, MEASURED)
    assert reasons(settled) == [Reason.IMPLAUSIBLE]


def test_a_rollover_that_implies_too_much_power_is_held() -> None:
    settled = settle([reading(0, 999_000), reading(15, 8_000)], installed(power_max_w=10_000))
    assert settled.quality[0] == HELD


def test_a_declared_exchange_joins_two_registers_inside_a_slot() -> None:
    epochs = (
        installed(end=7, multiplier=20, final_wh=1_003),
        installed(NEW, start=7, multiplier=30, initial_wh=50),
    )
    readings = [reading(0, 1_000), reading(15, 52, NEW), reading(30, 53, NEW), reading(45, 54, NEW)]
    settled = settle([*readings, reading(60, 55, NEW)], *epochs)
    assert settled.energy_wh == (20 * 3 + 30 * 2, 30, 30, 30)
    assert settled.quality == (EXCHANGE, MEASURED, MEASURED, MEASURED)
    assert reasons(settled) == [Reason.EXCHANGE]
    assert settled.exceptions[0].basis == "m-old declared 1003 Wh, m-new declared 50 Wh, multiplier 20 then 30"


def test_an_exchange_on_a_mark_touches_the_slots_on_both_sides() -> None:
    epochs = (installed(end=30, final_wh=120), installed(NEW, start=30, initial_wh=0))
    readings = [reading(0, 100), reading(15, 110), reading(30, 0, NEW), reading(45, 7, NEW), reading(60, 9, NEW)]
    settled = settle(readings, *epochs)
    assert settled.energy_wh == (10, 10, 7, 2)
    assert settled.quality == (MEASURED, EXCHANGE, EXCHANGE, MEASURED)


def test_what_the_new_meter_counted_before_its_first_reading_is_not_lost() -> None:
    epochs = (installed(end=30, final_wh=120), installed(NEW, start=30, initial_wh=0))
    readings = [reading(0, 100), reading(15, 110), reading(30, 2, NEW), reading(45, 7, NEW), reading(60, 9, NEW)]
    assert settle(readings, *epochs).energy_wh == (10, 10, 7, 2)


def test_a_changed_ratio_is_an_exchange_of_a_meter_with_itself() -> None:
    epochs = (
        installed(end=30, multiplier=20, final_wh=120),
        installed(start=30, multiplier=40, initial_wh=120),
    )
    readings = [reading(0, 100), reading(15, 110), reading(30, 120), reading(45, 130), reading(60, 140)]
    assert settle(readings, *epochs).energy_wh == (200, 200, 400, 400)


def test_an_exchange_inside_a_gap_splits_the_gap_at_the_declared_registers() -> None:
    epochs = (installed(end=30, final_wh=160), installed(NEW, start=30, initial_wh=0))
    settled = settle([reading(0, 100), reading(60, 10, NEW)], *epochs)
    assert settled.energy_wh == (30, 30, 5, 5)
    assert settled.quality == (ESTIMATED,) * 4
    assert reasons(settled) == [Reason.GAP, Reason.EXCHANGE, Reason.GAP]


def test_another_meter_without_a_declared_exchange_is_held() -> None:
    epochs = (installed(end=30), installed(NEW, start=30))
    readings = [reading(0, 100), reading(15, 110), reading(30, 0, NEW), reading(45, 7, NEW), reading(60, 9, NEW)]
    settled = settle(readings, *epochs)
    assert settled.quality == (MEASURED, HELD, MEASURED, MEASURED)
    assert reasons(settled) == [Reason.UNDECLARED_EXCHANGE]


def test_half_a_declaration_is_no_declaration() -> None:
    epochs = (installed(end=30, final_wh=120), installed(NEW, start=30))
    readings = [reading(0, 100), reading(15, 110), reading(30, 0, NEW), reading(45, 7, NEW), reading(60, 9, NEW)]
    assert HELD in settle(readings, *epochs).quality


def test_a_declared_final_register_below_the_last_reading_is_held() -> None:
    epochs = (installed(end=7, final_wh=90), installed(NEW, start=7, initial_wh=0))
    settled = settle([reading(0, 100), reading(15, 5, NEW)], *epochs)
    assert settled.quality[0] == HELD
    assert Reason.REGISTER_FELL in reasons(settled)


def test_a_gap_is_split_evenly_into_whole_watt_hours_that_add_up() -> None:
    settled = settle([reading(0, 100), reading(15, 110), reading(60, 120)])
    assert settled.energy_wh == (10, 3, 3, 4)
    assert settled.quality == (MEASURED, ESTIMATED, ESTIMATED, ESTIMATED)
    gap = settled.exceptions[0]
    assert (gap.reason, gap.start, gap.end, gap.energy_wh) == (Reason.GAP, at(15), at(60), 10)
    assert gap.basis.endswith("split evenly in time")


def test_a_gap_over_the_end_of_a_span_splits_alike_from_both_sides() -> None:
    readings = [reading(0, 0), reading(30, 10), reading(105, 21), reading(120, 30)]
    halves = [settle(readings, span=Interval(at(60 * i), at(60 * i + 60))) for i in range(2)]
    whole = settle(readings, span=Interval(at(0), at(120)))
    assert halves[0].energy_wh + halves[1].energy_wh == whole.energy_wh
    assert sum(whole.energy_wh) == 30
    assert halves[0].exceptions[-1] == halves[1].exceptions[0]


def test_a_rollover_inside_a_gap_is_told_with_both_reasons() -> None:
    settled = settle([reading(0, 999_990), reading(60, 10)])
    assert sum(settled.energy_wh) == 20
    assert settled.quality == (ESTIMATED,) * 4
    assert reasons(settled) == [Reason.ROLLOVER, Reason.GAP]


def test_slots_after_the_last_reading_are_missing_not_zero() -> None:
    settled = settle([reading(0, 100), reading(15, 110)])
    assert settled.quality == (MEASURED, MISSING, MISSING, MISSING)
    assert reasons(settled) == [Reason.NO_READING_AFTER]
    assert (settled.exceptions[0].start, settled.exceptions[0].end) == (at(15), at(60))


def test_slots_before_the_first_reading_are_missing() -> None:
    settled = settle([reading(45, 100), reading(60, 110)])
    assert settled.quality == (MISSING, MISSING, MISSING, MEASURED)
    assert reasons(settled) == [Reason.NO_READING_BEFORE]


def test_without_any_reading_everything_is_missing() -> None:
    settled = settle([])
    assert settled.quality == (MISSING,) * 4
    assert settled.energy_wh == (0,) * 4
    assert reasons(settled) == [Reason.NO_READING_AFTER]


def test_a_slot_that_is_only_partly_covered_is_missing_and_carries_no_energy() -> None:
    settled = settle([reading(60, 110)], installed(start=52, initial_wh=100))
    assert settled.quality == (MISSING,) * 4
    assert settled.energy_wh == (0,) * 4


def test_a_point_that_begins_on_a_mark_is_measured_from_its_declared_register() -> None:
    settled = settle([reading(45, 105), reading(60, 110)], installed(start=30, initial_wh=100))
    assert settled.energy_wh == (0, 0, 5, 5)
    assert settled.quality == (MISSING, MISSING, MEASURED, MEASURED)


def test_two_registers_for_one_mark_are_a_conflict_and_hold_both_sides() -> None:
    settled = settle(
        [reading(0, 0), reading(15, 5), reading(30, 10), reading(30, 11), reading(45, 15), reading(60, 20)]
    )
    assert settled.quality == (MEASURED, HELD, HELD, MEASURED)
    assert Reason.CONFLICT in reasons(settled)


def test_a_reading_of_a_meter_that_does_not_hang_here_is_recorded_and_not_used() -> None:
    readings = [reading(minutes, minutes) for minutes in range(0, 75, 15)]
    settled = settle([*readings, reading(30, 7_000, NEW)])
    assert settled.energy_wh == (15,) * 4
    assert reasons(settled) == [Reason.UNBOUND]
    assert "m-new showed 7000 Wh" in settled.exceptions[0].basis


def test_a_reading_at_the_end_of_its_installation_does_not_count() -> None:
    epochs = (installed(end=30, final_wh=120), installed(NEW, start=30, initial_wh=0))
    readings = [reading(0, 100), reading(15, 110), reading(30, 120), reading(30, 0, NEW), reading(60, 9, NEW)]
    assert Reason.UNBOUND in reasons(settle(readings, *epochs))


def test_an_exception_survives_storage() -> None:
    for exception in settle([reading(0, 999_990), reading(60, 10)]).exceptions:
        assert SlotException.from_document(exception.to_document()) == exception


def register(quality: ReadQuality, mark: datetime | None = START, mantissa: int | None = 1234567) -> RegisterReading:
    """A decoded register reading."""
    shown = None if mantissa is None else Shown(mantissa, -2, Unit.KWH)
    return RegisterReading(OLD, ENERGY_IMPORT, mark, START, quality, shown)


def test_a_measured_reading_bounds_a_slot_with_its_base_units_and_envelope() -> None:
    ref = EnvelopeRef(GatewayId("gw-a"), 1, 7, bytes(32))
    assert point_reading(register(ReadQuality.MEASURED), ref) == PointReading(START, OLD, 12_345_670, ref)


@pytest.mark.parametrize(
    "weak",
    [
        register(ReadQuality.LATE),
        register(ReadQuality.NO_ANSWER, mantissa=None),
        register(ReadQuality.MEASURED, mark=None),
        register(ReadQuality.MEASURED, mantissa=None),
    ],
)
def test_a_late_silent_or_unaligned_reading_bounds_nothing(weak: RegisterReading) -> None:
    assert point_reading(weak, None) is None
