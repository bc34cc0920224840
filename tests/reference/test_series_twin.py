"""Thinning and adding up against programs that are slow and plain: slot by slot, in the words of the definition."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.series.points import Method, Points, Slots, thin
from ingest.series.quality import PointQuality
from ingest.series.sums import Per, add_up, bounds, whole
from metering.interval import SLOT, SLOT_S, Interval, SiteCalendar

START_S = 1_782_835_200
ZONES = (
    *("Asia/Shanghai", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu"),
    *("Australia/Lord_Howe", "America/Havana"),  # clocks change by half an hour; at midnight
)
Row = tuple[int, int | None, int, int]
"""Slot, amount (None: a break), quality, slots missing."""


def drawn(seed: int, size: int, unknown: float, stretch: int) -> list[tuple[int, int]]:
    """Slots of which a part is unknown, in stretches of about that length; drawn amounts repeat now and then."""
    chance = random.Random(seed)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < size:
        qualities = (4, 5, 6) if chance.random() < unknown else (0, 0, 0, 1, 2, 3)
        pairs += [
            (chance.randint(-20, 20) * 10 ** chance.randint(0, 8), chance.choice(qualities))
            for _ in range(chance.randint(1, stretch))
        ]
    return pairs[:size]


# Lists that hypothesis makes by itself have some seven elements: too few to be thinned.
slot_lists = st.builds(
    drawn, st.integers(0, 2**32), st.integers(1, 300), st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([1, 4, 40])
)
mosts = st.integers(2, 40)


def slots_of(pairs: list[tuple[int, int]]) -> Slots:
    amounts, quality = zip(*pairs, strict=True)
    return Slots(START_S, np.array(amounts, np.int64), np.array(quality, np.uint8))


def rows_of(points: Points) -> list[Row]:
    columns = (points.starts, points.amounts, points.quality, points.missing, points.known)
    return [
        ((start - START_S) // SLOT_S, amount if known else None, quality, missing)
        for start, amount, quality, missing, known in zip(*(one.tolist() for one in columns), strict=True)
    ]


def with_breaks(pairs: list[tuple[int, int]], chosen: list[tuple[int, int]]) -> list[Row]:
    """Chosen slots with the weakest quality each stands for, and what is unknown between them."""
    edges = [-1, *(slot for slot, _ in chosen), len(pairs)]
    weakest = dict(chosen)
    rows: list[Row] = []
    for before, after in pairwise(edges):
        unknown = [slot for slot in range(before + 1, after) if pairs[slot][1] >= 4]
        if unknown:
            rows.append((unknown[0], None, max(pairs[slot][1] for slot in unknown), len(unknown)))
        if after < len(pairs):
            rows.append((after, pairs[after][0], weakest[after], 0))
    return rows


def extremes(pairs: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    parts = max(most // 2, 1)
    chosen: list[tuple[int, int]] = []
    for part in range(parts):
        inside = range(part * len(pairs) // parts, (part + 1) * len(pairs) // parts)
        known = [slot for slot in inside if pairs[slot][1] < 4]
        if known:
            weakest = max(pairs[slot][1] for slot in known)
            least = min(known, key=lambda slot: (pairs[slot][0], slot))
            largest = min(known, key=lambda slot: (-pairs[slot][0], slot))
            chosen += [(slot, weakest) for slot in sorted({least, largest})]
    return chosen


def triangle(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> float:
    return abs((first[0] - last[0]) * (middle[1] - first[1]) - (first[0] - middle[0]) * (last[1] - first[1]))


def triangles(pairs: list[tuple[int, int]], most: int) -> list[tuple[int, int]] | None:
    runs: list[list[int]] = []
    for slot, (_, quality) in enumerate(pairs):
        if quality < 4:
            if slot and pairs[slot - 1][1] < 4:
                runs[-1].append(slot)
            else:
                runs.append([slot])
    ends = [min(len(run), 2) for run in runs]
    inner = [len(run) - end for run, end in zip(runs, ends, strict=True)]
    left = most - sum(ends)
    if left < 0:
        return None
    chosen: list[tuple[int, int]] = []
    for run, end, more in zip(runs, ends, inner, strict=True):
        chosen += of_run(pairs, run, end + min(more, left * more // max(sum(inner), 1)))
    return chosen


def of_run(pairs: list[tuple[int, int]], run: list[int], share: int) -> list[tuple[int, int]]:
    if share >= len(run):
        return [(slot, pairs[slot][1]) for slot in run]
    if share == 2:
        return [(run[0], pairs[run[0]][1]), (run[-1], max(pairs[slot][1] for slot in run))]
    inner, parts = run[1:-1], share - 2
    cut = [inner[part * len(inner) // parts : (part + 1) * len(inner) // parts] for part in range(parts)]
    chosen = [(run[0], pairs[run[0]][1])]
    for part, following in zip(cut, [*cut[1:], [run[-1]]], strict=True):
        ahead = (
            sum(map(float, following)) / len(following),
            sum(float(pairs[slot][0]) for slot in following) / len(following),
        )
        before = chosen[-1][0]
        best = max(
            part,
            key=lambda slot: (triangle((before, pairs[before][0]), (slot, pairs[slot][0]), ahead), -slot),
        )
        chosen.append((best, max(pairs[slot][1] for slot in part)))
    return [*chosen, (run[-1], pairs[run[-1]][1])]


@given(slot_lists, mosts)
def test_extremes_are_those_of_the_twin(pairs: list[tuple[int, int]], most: int) -> None:
    points, method = thin(slots_of(pairs), most, Method.EXTREMES)
    if len(pairs) <= most:
        assert method is Method.RAW
        assert rows_of(points) == with_breaks(pairs, [(slot, one[1]) for slot, one in enumerate(pairs) if one[1] < 4])
    else:
        assert method is Method.EXTREMES
        assert rows_of(points) == with_breaks(pairs, extremes(pairs, most))


@given(slot_lists, mosts)
@settings(max_examples=300)
def test_triangles_are_those_of_the_twin(pairs: list[tuple[int, int]], most: int) -> None:
    points, method = thin(slots_of(pairs), most, Method.TRIANGLES)
    if len(pairs) <= most:
        assert method is Method.RAW
        return
    chosen = triangles(pairs, most)
    assert method is (Method.EXTREMES if chosen is None else Method.TRIANGLES)
    assert rows_of(points) == with_breaks(pairs, extremes(pairs, most) if chosen is None else chosen)


@given(slot_lists, mosts, st.sampled_from([Method.EXTREMES, Method.TRIANGLES]))
def test_nothing_is_ever_joined_over_a_slot_that_is_not_known(
    pairs: list[tuple[int, int]], most: int, method: Method
) -> None:
    rows = rows_of(thin(slots_of(pairs), most, method)[0])
    assert sum(amount is not None for _, amount, _, _ in rows) <= most
    for (before, first, _, _), (after, second, _, _) in pairwise(rows):
        if first is not None and second is not None:
            assert all(quality < 4 for _, quality in pairs[before : after + 1])
    assert sum(missing for *_, missing in rows) == sum(quality >= 4 for _, quality in pairs)


@given(slot_lists, mosts)
def test_the_largest_and_the_least_slot_are_always_among_the_extremes(pairs: list[tuple[int, int]], most: int) -> None:
    shown = [amount for _, amount, _, _ in rows_of(thin(slots_of(pairs), most, Method.EXTREMES)[0])]
    known = [amount for amount, quality in pairs if quality < 4]
    assert max((one for one in shown if one is not None), default=None) == max(known, default=None)
    assert min((one for one in shown if one is not None), default=None) == min(known, default=None)


@given(slot_lists, mosts, st.sampled_from([Method.EXTREMES, Method.TRIANGLES]))
def test_no_point_is_better_than_the_weakest_known_slot_of_all_that_it_stands_for(
    pairs: list[tuple[int, int]], most: int, method: Method
) -> None:
    rows = rows_of(thin(slots_of(pairs), most, method)[0])
    assert max((quality for _, _, quality, _ in rows), default=0) == max(quality for _, quality in pairs)
    assert all(quality >= pairs[slot][1] for slot, amount, quality, _ in rows if amount is not None)


@pytest.mark.parametrize("per", [Per.HOUR, Per.DAY, Per.MONTH])
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("first", [date(2026, 3, 1), date(2026, 3, 28), date(2026, 10, 1), date(2026, 10, 24)])
def test_sums_are_those_of_slots_that_clocks_show_alike(zone: str, per: Per, first: date) -> None:
    calendar = SiteCalendar(zone)
    span = whole(Interval(calendar.midnight(first), calendar.midnight(first + timedelta(days=12))), per, calendar)
    drawn = np.random.default_rng(first.toordinal())
    slots = Slots(
        int(span.start.timestamp()),
        drawn.integers(0, 10**6, span.slot_count),
        drawn.choice(np.array([0, 0, 0, 3, 4, 6], np.uint8), span.slot_count),
    )
    found = add_up(slots, bounds(span, per, calendar))
    expected: dict[object, list[tuple[int, int]]] = {}
    firsts: dict[object, int] = {}
    for index in range(span.slot_count):
        instant = span.start + index * SLOT
        local = instant.astimezone(ZoneInfo(zone))
        shown = {
            Per.HOUR: (local.date(), local.hour, local.utcoffset()),
            Per.DAY: local.date(),
            Per.MONTH: (local.year, local.month),
        }[per]
        expected.setdefault(shown, []).append((int(slots.amounts[index]), int(slots.quality[index])))
        firsts.setdefault(shown, int(instant.timestamp()))
    assert found.starts.tolist() == list(firsts.values())
    assert found.amounts.tolist() == [sum(a for a, q in each if q < 4) for each in expected.values()]
    assert found.missing.tolist() == [sum(q >= 4 for _, q in each) for each in expected.values()]
    assert found.quality.tolist() == [max(q for _, q in each) for each in expected.values()]
    assert found.known.tolist() == [any(q < 4 for _, q in each) for each in expected.values()]


@pytest.mark.parametrize("per", list(Per))
@pytest.mark.parametrize("zone", ZONES)
def test_a_widened_span_begins_and_ends_where_spans_do_and_holds_what_was_asked(zone: str, per: Per) -> None:
    calendar = SiteCalendar(zone)
    for hours in range(0, 24 * 40, 5):
        start = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hours, minutes=7)
        asked = Interval(start, start + timedelta(minutes=1 + 97 * (hours % 13)))
        span = whole(asked, per, calendar)
        assert span.start <= asked.start
        assert span.end >= asked.end
        assert whole(span, per, calendar) == span
        if per is not Per.SLOT:
            edges = bounds(span, per, calendar)
            assert (edges[0], edges[-1]) == (span.start.timestamp(), span.end.timestamp())


def test_qualities_agree_with_the_engine_and_with_the_kernels() -> None:
    from allocation_engine.intervals import SlotQuality
    from ingest.series.kernels import UNKNOWN

    assert {one.name: one.value for one in SlotQuality}.items() <= {one.name: one.value for one in PointQuality}.items()
    assert PointQuality.MISSING == SlotQuality.MISSING == UNKNOWN
