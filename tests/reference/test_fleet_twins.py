"""Whole fleets at once against the plain ways to say the same: `settle_point`, and sums of unlimited integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine import kernels
from allocation_engine.errors import InputsInvalid, OutOfRange
from allocation_engine.evidence import Installation, PointReading
from allocation_engine.intervals import SettledSpan, SlotQuality, settle_point
from allocation_engine.kernels import UNKNOWN
from allocation_engine.ladder import FleetMeters, SettledFleet, settle_fleet, settle_plain
from allocation_engine.tree import OUTSIDE, TOP, span_of
from allocation_engine.weighing import BandRuns, RowSpans, weigh, weigh_exactly
from metering.identity import MeterId
from metering.interval import Interval
from tests.conftest import MARK

METER = MeterId("m-1")


def fleet(
    rows: Sequence[Sequence[int]],
    *,
    multiplier: int = 1,
    modulus_wh: int = 0,
    power_max_w: int = 0,
    dtype: type = np.int64,
    threads: int | None = None,
) -> SettledFleet:
    """Settle rows of registers of meters that are all alike."""
    plates = (np.full(len(rows), one, np.int64) for one in (multiplier, modulus_wh, power_max_w))
    return settle_fleet(np.array(rows, dtype), FleetMeters(*plates), threads)


def settle_exactly(
    registers: Sequence[int], multiplier: int = 1, modulus_wh: int = 0, power_max_w: int = 0
) -> SettledSpan:
    """Twin of `settle_fleet` for one row."""
    span = Interval(MARK, MARK + (len(registers) - 1) * timedelta(minutes=15))
    marks = [(mark, one) for mark, one in zip(span.marks(), registers, strict=True) if one >= 0]
    plate = Installation(METER, None, None, multiplier, modulus_wh or None, power_max_w or None, None, None)
    return settle_point([PointReading(mark, METER, one) for mark, one in marks], span, [plate])


def slots_of(settled: SettledFleet, row: int) -> tuple[list[int], list[int]]:
    """Energy and quality of one row, energy 0 where it is unknown, as `settle_point` gives it."""
    energy = [max(int(one), 0) for one in settled.energy_wh[row]]
    places = np.flatnonzero(settled.odd == row)
    return energy, settled.quality[places[0]].tolist() if places.size else [0] * len(energy)


steps = st.one_of(st.integers(0, 40), st.sampled_from([0, 0, 900, 99_000]))


@st.composite
def register_rows(draw: st.DrawFn) -> list[int]:
    """A register of modulus 100,000 that mostly advances a little, sometimes jumps, falls, or is not read."""
    register = draw(st.one_of(st.integers(0, 99_999), st.integers(99_900, 99_999)))
    rows = []
    for advance in draw(st.lists(steps, min_size=1, max_size=14)):
        rows.append(UNKNOWN if draw(st.integers(0, 4)) == 0 else register)
        register = (register + advance) % 100_000
    return [*rows, register]


@given(register_rows(), st.sampled_from([1, 20]), st.sampled_from([0, 100_000]), st.sampled_from([0, 200, 40_000]))
@settings(deadline=None, max_examples=400)
def test_a_fleet_settles_as_each_point_alone(
    registers: list[int], multiplier: int, modulus_wh: int, power_max_w: int
) -> None:
    plate = {"multiplier": multiplier, "modulus_wh": modulus_wh, "power_max_w": power_max_w}
    exact = settle_exactly(registers, **plate)
    for dtype in (np.int32, np.int64):
        settled = fleet([registers], dtype=dtype, **plate)
        assert slots_of(settled, 0) == (list(exact.energy_wh), list(exact.quality))
        unknown = settled.energy_wh[0] == UNKNOWN
        assert unknown.tolist() == [one >= SlotQuality.MISSING for one in exact.quality]


@st.composite
def point_histories(draw: st.DrawFn) -> tuple[list[PointReading], list[Installation]]:
    """Readings of a point at successive marks, mostly all of them, and one or two installations."""
    span = Interval(MARK, MARK + 6 * timedelta(minutes=15))
    marks = list(span.marks())
    ends = st.sampled_from([None, MARK - timedelta(days=1), *marks, marks[-1] + timedelta(hours=1)])
    change = draw(ends)
    initial, final = (draw(st.one_of(st.none(), st.integers(0, 200))) for _ in range(2))
    limits = draw(st.sampled_from([None, 100_000])), draw(st.sampled_from([None, 200]))
    hung = [Installation(METER, draw(ends), change, draw(st.sampled_from([1, 20])), *limits, initial, final)]
    if change is not None:
        hung.append(
            Installation(MeterId("m-2"), change, None, 1, *limits, draw(st.one_of(st.none(), st.just(5))), None)
        )
    readings, register = [], draw(st.integers(0, 99_999))
    for mark in marks:
        meter = draw(st.sampled_from([METER, METER, METER, METER, METER, METER, MeterId("m-2")]))
        copies = draw(st.sampled_from([1, 1, 1, 1, 1, 1, 1, 1, 0, 2]))
        readings += [PointReading(mark, meter, register, None)] * copies
        register = (register + draw(steps)) % 100_000
    return readings, hung


@given(point_histories())
@settings(deadline=None, max_examples=500)
def test_the_plain_case_is_settled_as_the_ladder_settles_it(
    history: tuple[list[PointReading], list[Installation]],
) -> None:
    readings, hung = history
    span = Interval(MARK, MARK + 6 * timedelta(minutes=15))
    plain = settle_plain(readings, span, hung)
    assert plain is None or plain == settle_point(readings, span, hung)


def test_what_wants_explaining_is_left_to_the_ladder() -> None:
    span = Interval(MARK, MARK + 2 * timedelta(minutes=15))
    plain = [PointReading(mark, METER, wh, None) for mark, wh in zip(span.marks(), (5, 8, 8), strict=True)]
    hung = Installation(METER, None, None, 20, None, None, None, None)
    assert settle_plain(plain, span, [hung]) == SettledSpan((60, 0), (SlotQuality.MEASURED,) * 2, ())
    fell = [*plain[:2], PointReading(plain[2].mark, METER, 7, None)]
    foreign = [*plain[:2], PointReading(plain[2].mark, MeterId("m-2"), 8, None)]
    for readings, where in (
        (plain[:2], hung),
        (fell, hung),
        (foreign, hung),
        (plain, replace(hung, start=span.start)),
        (plain, replace(hung, end=span.end)),
        (plain, replace(hung, power_max_w=1)),
    ):
        assert settle_plain(readings, span, [where]) is None
    assert settle_plain(plain, span, []) is None


def test_only_rows_with_something_odd_are_climbed() -> None:
    plain, gap, fell = [10, 12, 15, 15], [10, UNKNOWN, 16, 17], [10, 12, 3, 4]
    settled = fleet([plain, gap, fell, plain])
    assert settled.odd.tolist() == [1, 2]
    assert settled.energy_wh.tolist() == [[2, 3, 0], [3, 3, 1], [2, UNKNOWN, 1], [2, 3, 0]]
    assert settled.quality.tolist() == [
        [SlotQuality.ESTIMATED, SlotQuality.ESTIMATED, SlotQuality.MEASURED],
        [SlotQuality.MEASURED, SlotQuality.HELD, SlotQuality.MEASURED],
    ]


@pytest.mark.parametrize("registers", [[0, 50, 51], [0, 51, 52], [0, UNKNOWN, 100], [0, UNKNOWN, 101]])
def test_the_largest_plausible_power_is_plausible_and_no_more(registers: list[int]) -> None:
    # 200 W are 50 Wh in a quarter hour, 100 in two
    assert slots_of(fleet([registers], power_max_w=200), 0) == settled_slots(registers, power_max_w=200)


def settled_slots(registers: list[int], **plate: int) -> tuple[list[int], list[int]]:
    """What the ladder gives for one row."""
    exact = settle_exactly(registers, **plate)
    return list(exact.energy_wh), list(exact.quality)


@pytest.mark.parametrize("unread", [[0], [2], [3], [0, 1], [2, 3], [0, 1, 2, 3], [0, 1, 2, 3, 4]])
def test_a_register_that_was_not_read_makes_a_row_odd_wherever_it_is(unread: list[int]) -> None:
    registers = [UNKNOWN if mark in unread else 10 + mark for mark in range(5)]
    settled = fleet([registers])
    assert settled.odd.tolist() == [0]
    assert slots_of(settled, 0) == settled_slots(registers)


def test_the_last_register_of_a_row_counts_like_the_others() -> None:
    settled = fleet([[10, 12, UNKNOWN]])
    assert settled.energy_wh.tolist() == [[2, UNKNOWN]]


def test_energy_that_does_not_fit_the_matrix_is_refused() -> None:
    with pytest.raises(InputsInvalid, match="64-bit"):
        fleet([[0, 2_000_000_000]], multiplier=20, dtype=np.int32)
    assert fleet([[0, 2_000_000_000]], multiplier=20).energy_wh.tolist() == [[40_000_000_000]]


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_changes_no_slot(threads: int) -> None:
    draw = np.random.default_rng(7)
    registers = np.cumsum(draw.integers(0, 60, (3000, 300)), axis=1)
    registers[draw.integers(0, 3000, 40), draw.integers(0, 300, 40)] = UNKNOWN
    registers[5, 100:] -= registers[5, 99]
    alone, many = fleet(registers.tolist(), threads=1), fleet(registers.tolist(), threads=threads)
    for name in ("energy_wh", "odd", "quality"):
        assert np.array_equal(getattr(alone, name), getattr(many, name))


def exact_fold(
    energy: Sequence[Sequence[int]], parents: Sequence[int], row: int, slots: range
) -> tuple[list[int], list[bool]]:
    """Twin of `fold_rows` for one node."""
    children = [one for one, parent in enumerate(parents) if parent == row]
    sums = [sum(max(energy[one][slot], 0) for one in children) for slot in slots]
    return sums, [any(energy[one][slot] < 0 for one in children) for slot in slots]


@st.composite
def trees(draw: st.DrawFn) -> list[int]:
    """Parents of up to 20 rows: an earlier row, the top, or outside; then shuffled."""
    count = draw(st.integers(1, 20))
    parents = [draw(st.integers(OUTSIDE, row - 1)) for row in range(count)]
    order = draw(st.permutations(range(count)))
    place = {old: new for new, old in enumerate(order)}
    return [parents[old] if parents[old] < 0 else place[parents[old]] for old in order]


@given(trees(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_children_add_up_as_their_twin_says(parents: list[int], draw: object) -> None:
    energy = [[draw.randint(-1, 10**11) for _ in range(6)] for _ in parents]  # type: ignore[attr-defined]
    coefficients = [draw.randint(0, 1000) for _ in parents]  # type: ignore[attr-defined]
    span = span_of(np.array(parents, np.int64), 1, 5)
    sums, unknown, weighted = span.fold_weighted(np.array(energy, np.int64), np.array(coefficients, np.int64))
    for place, row in enumerate(span.inner):
        assert (sums[place].tolist(), unknown[place].tolist()) == exact_fold(energy, parents, int(row), range(1, 5))
    for index, slot in enumerate(range(1, 5)):
        expected = sum(max(energy[row][slot], 0) * coefficients[row] for row in span.order)
        assert weighted[index] == expected


@given(trees())
@settings(deadline=None)
def test_every_parent_comes_before_its_children(parents: list[int]) -> None:
    span = span_of(np.array(parents, np.int64), 0, 4)
    for place, row in enumerate(span.inner):
        above = span.upper[place]
        assert above < place
        assert parents[row] == (TOP if above == TOP else span.inner[above])
        assert all(parents[child] == row for child in span.order[span.offsets[place] : span.offsets[place + 1]])
    for level, (first, end) in enumerate(zip(span.levels, span.levels[1:], strict=False)):
        for place in range(first, end):
            depth, row = 0, int(span.inner[place])
            while parents[row] != TOP:
                depth, row = depth + 1, parents[row]
            assert depth == level
    assert span.levels[-1] == span.inner.size


def exact_weigh(
    energy: Sequence[int], factors: Sequence[Sequence[int]], bands: Sequence[int], start: int, end: int
) -> list[list[int]]:
    """Twin of `weigh_rows` for one span: sums by number (energy, one factor, the other) and band."""
    sums = [[0, 0, 0] for _ in range(1 + len(factors))]
    for slot in range(start, end):
        wh = max(energy[slot], 0)
        for number, factor in enumerate([1, *(one[slot] for one in factors)]):
            sums[number][bands[slot]] += wh * factor
    return sums


@st.composite
def weighings(draw: st.DrawFn) -> tuple[np.random.Generator, list[int], int, int]:
    """Bands of some slots, in runs, and a span of them."""
    slot_count = draw(st.integers(1, 200))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    bands = np.repeat(generator.integers(0, 3, slot_count), generator.integers(1, 20, slot_count))[:slot_count]
    start = draw(st.integers(0, slot_count - 1))
    return generator, bands.tolist(), start, draw(st.integers(start + 1, slot_count))


@given(weighings())
@settings(deadline=None)
def test_weighing_spans_agrees_with_its_twin(weighing: tuple[np.random.Generator, list[int], int, int]) -> None:
    draw, bands, start, end = weighing
    energy = draw.integers(-1, 10**6, (3, len(bands)))
    factors = draw.integers(-(2**34), 2**34, (2, 2, len(bands)))
    sums = weigh(energy, RowSpans.of([(2, 1, start, end)]), factors[0], factors[1], BandRuns.of(np.array(bands), 3))
    assert sums[0].tolist() == exact_weigh(energy[2].tolist(), factors[:, 1].tolist(), bands, start, end)


@given(weighings(), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.booleans()), min_size=1, max_size=6))
@settings(deadline=None)
def test_spans_beside_each_other_do_not_mix(
    weighing: tuple[np.random.Generator, list[int], int, int], listed: list[tuple[int, int, bool]]
) -> None:
    draw, bands, start, end = weighing
    energy = draw.integers(-1, 10**6, (3, len(bands)))
    ones, others = draw.integers(-(2**34), 2**34, (2, 2, len(bands)))
    spans = [(row, group, start if is_part else 0, end if is_part else len(bands)) for row, group, is_part in listed]
    sums = weigh(energy, RowSpans.of(spans), ones, others, BandRuns.of(np.array(bands), 3))
    for (row, group, first, stop), found in zip(spans, sums.tolist(), strict=True):
        factors = [ones[group].tolist(), others[group].tolist()]
        assert found == exact_weigh(energy[row].tolist(), factors, bands, first, stop)


def test_a_single_row_of_factors_is_everybodys() -> None:
    energy, runs = np.array([[2, 3], [5, 7]]), BandRuns.of(np.array([0, 1]), 2)
    spans = RowSpans.of([(0, 0, 0, 2), (1, 1, 0, 2)])
    sums = weigh(energy, spans, np.array([[1, 1], [10, 100]]), np.array([[1000, -1]]), runs)
    assert sums.tolist() == [[[2, 3], [2, 3], [2000, -3]], [[5, 7], [50, 700], [5000, -7]]]


@given(weighings(), st.sampled_from([1, 10**6, 10**9]))
@settings(deadline=None)
def test_factors_of_any_size_are_weighed_exactly(
    weighing: tuple[np.random.Generator, list[int], int, int], wh_max: int
) -> None:
    draw, bands, start, end = weighing
    energy = draw.integers(-1, wh_max, (1, len(bands)))
    factors = draw.integers(-(2**61), 2**61, (1, len(bands)))
    drawn, weighted = weigh_exactly(energy, RowSpans.of([(0, 0, start, end)]), factors, BandRuns.of(np.array(bands), 3))
    expected = exact_weigh(energy[0].tolist(), factors.tolist(), bands, start, end)
    assert [drawn[0].tolist(), weighted[0]] == expected


def test_a_row_beyond_all_bounds_is_refused() -> None:
    energy, bands = np.full((1, 96), 10**11), BandRuns.of(np.zeros(96, np.int64), 1)
    with pytest.raises(OutOfRange, match="at one node in one period"):
        weigh_exactly(energy, RowSpans.of([(0, 0, 0, 96)]), np.ones((1, 96), np.int64), bands)


def test_grades_of_the_kernels_are_the_qualities_of_the_ladder() -> None:
    for quality in (
        SlotQuality.MEASURED,
        SlotQuality.ROLLOVER,
        SlotQuality.ESTIMATED,
        SlotQuality.MISSING,
        SlotQuality.HELD,
    ):
        assert getattr(kernels, quality.name) == quality


def test_a_ring_of_nodes_is_refused() -> None:
    with pytest.raises(InputsInvalid, match="ring: 1, 2"):
        span_of(np.array([TOP, 2, 1, OUTSIDE, 3]), 0, 4)
