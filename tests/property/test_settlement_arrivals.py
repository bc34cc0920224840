"""However readings arrive, settlement ends in the same books: any order, any batches, killed and asked again."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocation_engine.evidence import PointReading
from allocation_engine.intervals import SlotQuality, settle_point
from ingest import bulk_settlement, node_settlement
from ingest import settlement as module
from ingest.metering_points import metering_points
from ingest.node_settlement import _consecutive
from ingest.settlement import Settlement, around, inputs_hash
from ingest.store.sites import import_site
from metering.identity import MeterId, NodeId, SiteId
from metering.interval import SLOT, Interval
from metering.obis import ENERGY_IMPORT
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.park_books import ParkBooks, read_park

LIFT = MeterId("m-lift")
PARK = SiteId("park")
START = datetime(2026, 6, 30, 16, tzinfo=UTC)
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=100, deadline=None)


@cache
def park() -> Any:
    """The park, read once."""
    return read_park()


def books() -> ParkBooks:
    """Empty books that take the readings of the lift's meter only."""
    site, rules, play, catalogue = park()
    built = ParkBooks(MemoryDatabase(), site, rules, play, catalogue, only=frozenset({LIFT}))
    built.enrol_all()
    return built


def settled(books: ParkBooks) -> Any:
    """What settlement has written."""
    return books.database.tables.settled  # type: ignore[attr-defined]


def each_by_itself(_connection: object, registers: Any) -> set[NodeId]:
    """Take every node for odd."""
    registers.odd.update(node.node for node in registers.part.nodes)
    return registers.odd


def settle(books: ParkBooks) -> int:
    """One pass."""
    return Settlement(books.database, books.catalogue).settle_site(PARK)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[int], int, list[int]]:
    """Marks of two days, some of them never read, in any order; and after how many of them settlement looks."""
    marks = sorted(draw(st.sets(st.integers(0, 192), min_size=2, max_size=40)) | {0, 192})
    order = draw(st.permutations(marks))
    looks = draw(st.lists(st.integers(1, len(order)), max_size=5))
    return list(order), draw(st.integers(1, 12)), looks


def write(books: ParkBooks, marks: Iterable[int]) -> None:
    """Store the sweeps of some marks."""
    books.write(START + mark * SLOT for mark in marks)


@FEW
@given(arrivals())
def test_any_order_of_arrival_and_any_number_of_passes_end_in_the_same_books(
    drawn: tuple[list[int], int, list[int]],
) -> None:
    order, batch, _ = drawn
    at_once = books()
    write(at_once, sorted(order))
    settle(at_once)
    piecemeal = books()
    for first in range(0, len(order), batch):
        write(piecemeal, order[first : first + batch])
        settle(piecemeal)
    assert settled(piecemeal) == settled(at_once)
    assert settle(piecemeal) == 0, "nothing waits any more"


@FEW
@given(arrivals(), st.integers(1, 30), st.booleans())
def test_a_pass_that_is_killed_anywhere_has_done_nothing(
    drawn: tuple[list[int], int, list[int]], after: int, is_plain: bool
) -> None:
    order, _, _ = drawn
    whole = books()
    write(whole, order)
    settle(whole)
    killed = books()
    write(killed, order)
    before = killed.database.tables.copied()  # type: ignore[attr-defined]
    done: list[object] = []

    def dies(*arguments: object) -> None:
        done.append(arguments)
        if len(done) == after:
            raise KeyboardInterrupt
        put(*arguments)

    put: Any = node_settlement.put_settled_day if is_plain else module.put_settled_days
    with pytest.MonkeyPatch.context() as patch:
        if is_plain:
            patch.setattr(module, "_set_aside", each_by_itself)
            patch.setattr(node_settlement, "put_settled_day", dies)
        else:
            patch.setattr(module, "put_settled_days", dies)
            patch.setattr(bulk_settlement, "PART_DAYS", 1)
        try:
            settle(killed)
        except KeyboardInterrupt:
            assert settled(killed) == before.settled
            assert killed.database.tables.unsettled == before.unsettled  # type: ignore[attr-defined]
    settle(killed)
    assert settled(killed) == settled(whole)


def test_a_settlement_that_forgets_a_day_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = [0, 50, 192]
    at_once = books()
    write(at_once, marks)
    settle(at_once)
    piecemeal = books()
    # The planted fault: only the days of the new readings, not those whose gap they bridge.
    own_days = lambda _shelf, _site, waiting: sorted({one.day for one in waiting})  # noqa: E731
    monkeypatch.setattr(module, "_set_aside", each_by_itself)
    monkeypatch.setattr(node_settlement, "_touched_days", own_days)
    for mark in marks:
        write(piecemeal, [mark])
        settle(piecemeal)
    assert settled(piecemeal) != settled(at_once)


def test_energy_between_two_registers_is_neither_made_nor_lost() -> None:
    built = books()
    write(built, [0, 7, 100, 192])
    settle(built)
    days = {
        day: row for (_, node, obis, day), row in settled(built).items() if (node, obis) == ("lift", str(ENERGY_IMPORT))
    }
    total = sum(sum(row[0]) for day, row in days.items() if date(2026, 7, 1) <= day <= date(2026, 7, 2))
    whole = books()
    write(whole, range(193))
    settle(whole)
    plain = [row for (_, node, obis, _), row in settled(whole).items() if (node, obis) == ("lift", str(ENERGY_IMPORT))]
    assert total == sum(sum(row[0]) for row in plain)
    assert SlotQuality.ESTIMATED in {quality for row in days.values() for quality in row[1]}


def test_a_site_that_nobody_imported_has_nothing_to_settle() -> None:
    built = books()
    assert Settlement(built.database, built.catalogue).settle_site(SiteId("elsewhere")) == 0


def test_another_wiring_settles_everything_again() -> None:
    built = books()
    write(built, range(97))
    settle(built)
    before = dict(settled(built))
    document = built.site.to_document()
    lift = next(meter for meter in document["meters"] if meter["id"] == LIFT)
    lift["ct"] = 10
    changed = type(built.site).from_document(document)
    with built.database.transaction() as connection:
        import_site(connection, changed, built.rules.document, imported_at=START)
    assert settled(built) == {}
    settle(built)
    place = ("park", "lift", str(ENERGY_IMPORT), date(2026, 7, 1))
    assert sum(settled(built)[place][0]) == 10 * sum(before[place][0])


# The window of a day


def reading(mark: int, register_wh: int = 0, meter: str = "m") -> PointReading:
    """One register at a mark by number."""
    return PointReading(START + mark * SLOT, MeterId(meter), register_wh, None)


SPAN = Interval(START + 100 * SLOT, START + 196 * SLOT)


@MANY
@given(st.lists(st.integers(0, 300), max_size=40))
def test_the_window_holds_the_span_and_one_mark_beyond_each_open_end(drawn: Sequence[int]) -> None:
    marks = sorted(drawn)
    found = [(one.mark - START) // SLOT for one in around([reading(mark) for mark in marks], SPAN)]
    inside = [mark for mark in marks if 100 <= mark <= 196]
    below, above = [mark for mark in marks if mark < 100], [mark for mark in marks if mark > 196]
    wanted = list(inside)
    if below and 100 not in marks:
        wanted = [mark for mark in below if mark == below[-1]] + wanted
    if above and 196 not in marks:
        wanted += [mark for mark in above if mark == above[0]]
    assert found == wanted


@MANY
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), min_size=1, max_size=30, unique_by=lambda one: one[0])
)
def test_the_window_is_enough_to_settle_the_span(drawn: Sequence[tuple[int, int]]) -> None:
    register, readings = 0, []
    for mark, step in sorted(drawn):
        register += step
        readings.append(reading(mark, register, LIFT))
    site, _, _, catalogue = park()
    point = next(one for one in metering_points(site, catalogue) if one.node == NodeId("lift"))
    whole, windowed = (settle_point(some, SPAN, point.installations) for some in (readings, around(readings, SPAN)))
    assert whole.energy_wh == windowed.energy_wh
    assert whole.quality == windowed.quality


@MANY
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9)), max_size=20), st.integers(0, 2**32))
def test_the_hash_of_a_days_inputs_knows_no_order_and_no_repeats(drawn: list[tuple[int, int]], seed: int) -> None:
    site, _, _, catalogue = park()
    point = metering_points(site, catalogue)[0]
    readings = [reading(mark, register) for mark, register in drawn]
    shuffled = readings + readings[: len(readings) // 2]
    random.Random(seed).shuffle(shuffled)
    assert inputs_hash(point, readings, SPAN) == inputs_hash(point, shuffled, SPAN)
    more = [*readings, reading(301, 1)]
    assert inputs_hash(point, readings, SPAN) != inputs_hash(point, more, SPAN)


def test_the_hash_of_a_days_inputs_knows_the_meter_its_ratio_and_the_day() -> None:
    site, _, _, catalogue = park()
    points = metering_points(site, catalogue)
    hashes = {inputs_hash(point, [reading(1)], SPAN) for point in points if point.obis == ENERGY_IMPORT}
    assert len(hashes) == len({point.node for point in points})
    assert inputs_hash(points[0], [], SPAN) != inputs_hash(points[0], [], Interval(SPAN.start, SPAN.end + SLOT))


@MANY
@given(st.sets(st.integers(0, 60)))
def test_days_are_cut_into_runs_without_a_hole(drawn: set[int]) -> None:
    days = [date(2026, 6, 1) + timedelta(days=one) for one in sorted(drawn)]
    runs = _consecutive(days)
    assert [day for run in runs for day in run] == days
    for run in runs:
        assert all(after - before == timedelta(days=1) for before, after in pairwise(run))
    for run, following in pairwise(runs):
        assert following[0] - run[-1] > timedelta(days=1)
