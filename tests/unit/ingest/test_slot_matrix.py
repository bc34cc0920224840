"""The matrices of a period from days as they come over the wire are those from the days one by one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine.intervals import SlotQuality
from ingest.slot_matrix import SlotMatrix
from ingest.store.settled import SettledDay, SettledPoint
from ingest.store.wired_days import ENERGY_FORM, QUALITY_FORM, WiredDays, wired_dates
from metering.identity import NodeId
from metering.interval import SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis
from tests.doubles.memory_database import _wired

NODES = [NodeId("a"), NodeId("b")]
LABELS = ("2026-03-28--2026-03-30", "2026-10-24--2026-10-26", "2026-07-01--2026-07-01")
COUNTED = {(node, obis) for node in NODES for obis in (ENERGY_IMPORT, ENERGY_EXPORT)}
BERLIN = SiteCalendar("Europe/Berlin")


def matrix_of(
    label: str, settled: Sequence[SettledDay | SettledPoint], counted: Collection[tuple[NodeId, Obis]] = COUNTED
) -> SlotMatrix:
    """Everything laid, in a zone whose clocks change."""
    matrix = SlotMatrix(BERLIN, BERLIN.period(label), NODES, counted)
    for one in settled:
        matrix.lay(one)
    return matrix


def point_of(days: Sequence[SettledDay]) -> SettledPoint:
    """The same days of one point as the store gives them at once."""
    columns = []
    for form, code, rows in (
        (ENERGY_FORM, "q", [(day.day, day.energy_wh) for day in days]),
        (QUALITY_FORM, "h", [(day.day, day.quality) for day in days]),
    ):
        shown, octets = _wired(rows, code)
        columns.append(WiredDays(form, wired_dates(shown), octets or b""))
    return SettledPoint(days[0].node, days[0].obis, tuple(day.day for day in days), columns[0], columns[1], ())


@st.composite
def points_of(draw: st.DrawFn) -> tuple[str, list[list[SettledDay]]]:
    """A period, and for each point the days that are settled, some of them outside it."""
    label = draw(st.sampled_from(LABELS))
    first = BERLIN.days(BERLIN.period(label))[0] - timedelta(days=1)
    points = []
    for node, obis in draw(st.lists(st.sampled_from(sorted(COUNTED)), unique=True)):
        offsets = draw(st.lists(st.integers(0, 4), unique=True, min_size=1).map(sorted))
        points.append([settled_day(draw, node, obis, first + timedelta(days=offset)) for offset in offsets])
    return label, points


def settled_day(draw: st.DrawFn, node: NodeId, obis: Obis, day: date) -> SettledDay:
    """A day whose numbers and qualities are seldom 0 throughout."""
    count = BERLIN.slots_in_day(day)
    most = draw(st.sampled_from([0, 7, 2**31 - 1, 10**11]))
    energy = tuple(most * (slot % 3) // 2 for slot in range(count))
    worst = draw(st.sampled_from(list(SlotQuality)))
    return SettledDay(node, obis, day, energy, tuple(int(worst) if slot % 5 else 0 for slot in range(count)), ())


@settings(max_examples=60)
@given(points_of())
def test_days_at_once_lie_where_days_one_by_one_lie(drawn: tuple[str, list[list[SettledDay]]]) -> None:
    label, points = drawn
    at_once = matrix_of(label, [point_of(days) for days in points])
    one_by_one = matrix_of(label, [day for days in points for day in days])
    assert (at_once.taken == one_by_one.taken).all()
    assert (np.asarray(at_once.given) == np.asarray(one_by_one.given)).all()
    assert (at_once.quality() == one_by_one.quality()).all()


def a_day(number: int, most: int) -> SettledDay:
    """A day of March whose slots tell it from the others."""
    day = date(2026, 3, number)
    count = BERLIN.slots_in_day(day)
    return SettledDay(NODES[0], ENERGY_IMPORT, day, tuple(range(most, most + count)), (0,) * count, ())


def test_energies_stay_in_32_bits_until_one_does_not_fit() -> None:
    assert matrix_of(LABELS[0], [point_of([a_day(28, 7)])]).taken.dtype == np.int32
    grown = matrix_of(LABELS[0], [point_of([a_day(28, 7)]), replace(point_of([a_day(28, 10**10)]), node=NODES[1])])
    assert grown.taken.dtype == np.int64
    assert grown.taken[:, 0].tolist() == [7, 10**10]


def test_a_lost_day_is_missing_and_swapped_days_lie_swapped() -> None:
    days = [a_day(number, 1000 * number) for number in (28, 29, 30)]
    counted = {(NODES[0], ENERGY_IMPORT)}
    whole = matrix_of(LABELS[0], [point_of(days)], counted)
    lost = matrix_of(LABELS[0], [point_of(days[:1] + days[2:])], counted)
    assert (whole.quality()[0] == SlotQuality.MEASURED).all()
    assert (lost.quality()[0, 96:188] == SlotQuality.MISSING).all()
    assert not lost.taken[0, 96:188].any()
    ends = [replace(days[0], day=days[2].day), replace(days[2], day=days[0].day)]
    swapped = matrix_of(LABELS[0], [point_of([ends[1], days[1], ends[0]])])
    assert (swapped.taken[0, :96] == whole.taken[0, 188:]).all()


@pytest.mark.parametrize("obis", [ENERGY_IMPORT, ENERGY_EXPORT])
def test_what_nobody_counts_is_not_laid(obis: Obis) -> None:
    matrix = SlotMatrix(BERLIN, BERLIN.period(LABELS[0]), NODES, set())
    matrix.lay(replace(a_day(28, 7), obis=obis))
    assert not matrix.taken.any()
    assert not matrix.given.any()
    assert not matrix.quality().any()
