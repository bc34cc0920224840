"""The inputs of a period of any site and leases: every slot of every unit once, every settled slot in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocation_engine.errors import InputsInvalid
from allocation_engine.intervals import Reason, SlotException, SlotQuality
from ingest import period_inputs as module
from ingest.metering_points import metering_points
from ingest.period_inputs import period_inputs
from ingest.store.settled import SettledDay
from metering.errors import MeteringError
from metering.identity import LeaseId, NodeId, PartyId
from metering.interval import SLOT, Interval, SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from provisioning.site import ALWAYS, Lease, Node, Placement, Site, Span
from tests.doubles.park_books import read_park

ALWAYS_SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/Los_Angeles", "UTC", "Australia/Lord_Howe"]
PERIODS = ["2026-07-01--2026-07-02", "2026-03-28--2026-03-30", "2026-10-24--2026-10-26", "2026-11-01--2026-11-01"]
FIRST = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


@cache
def park() -> Any:
    """The park and what its meters count."""
    site, _, _, catalogue = read_park()
    return site, metering_points(site, catalogue)


@st.composite
def spans(draw: st.DrawFn, around: Interval) -> Span:
    """A span that begins and ends on slots, before, in or after a period, or never."""
    marks = st.integers(-200, around.slot_count + 200)
    cut = sorted(draw(st.sets(marks, min_size=2, max_size=2)))
    start, end = (around.start + one * SLOT for one in cut)
    return Span(draw(st.sampled_from([None, start])), draw(st.sampled_from([None, end])))


@st.composite
def let_sites(draw: st.DrawFn) -> tuple[Site, str]:
    """The park in any zone, its units let anew: leases follow one another, with holes, over any ends of the period."""
    site = replace(park()[0], calendar=SiteCalendar(draw(st.sampled_from(ZONES))))
    label = draw(st.sampled_from(PERIODS))
    period = site.calendar.period(label)
    tenants = [party.id for party in site.parties if party.id != site.owner.id]
    leases = []
    for unit in site.units:
        cuts = sorted(draw(st.sets(st.integers(-50, period.slot_count + 50), max_size=4)))
        for number, (first, end) in enumerate(pairwise(cuts)):
            if draw(st.booleans()):
                span = Span(period.start + first * SLOT, period.start + end * SLOT)
                leases.append(Lease(LeaseId(f"l-{unit.id}-{number}"), draw(st.sampled_from(tenants)), unit.id, span))
    return replace(site, leases=tuple(leases)), label


@ALWAYS_SETTINGS
@given(let_sites())
def test_every_slot_of_every_unit_has_exactly_one_occupant(drawn: tuple[Site, str]) -> None:
    site, label = drawn
    inputs = period_inputs(site, label, [], [], ())
    slots = {unit.id: np.zeros(inputs.slot_count, int) for unit in site.units}
    for one in inputs.occupancies:
        slots[one.unit][one.first : one.end] += 1
    assert all((counts == 1).all() for counts in slots.values())


@ALWAYS_SETTINGS
@given(let_sites())
def test_the_occupant_of_a_slot_is_who_the_lease_names_there_and_the_owner_where_none_does(
    drawn: tuple[Site, str],
) -> None:
    site, label = drawn
    inputs = period_inputs(site, label, [], [], ())
    for one in inputs.occupancies:
        for slot in {one.first, (one.first + one.end) // 2, one.end - 1}:
            instant = inputs.period.start + slot * SLOT
            named = [lease.party for lease in site.leases if lease.unit == one.unit and instant in lease.span]
            assert [one.party] == (named or [site.owner.id])


def test_a_vacancy_that_is_forgotten_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fill_vacancies", lambda _units, let, *_: tuple(let))
    site = replace(park()[0], leases=())
    with pytest.raises(InputsInvalid):
        period_inputs(site, "2026-07-01--2026-07-01", [], [], ())


@ALWAYS_SETTINGS
@given(st.data())
def test_two_leases_at_once_are_refused_and_never_both_charged(data: st.DataObject) -> None:
    site = park()[0]
    period = site.calendar.period("2026-07-01--2026-07-01")
    first = data.draw(st.integers(0, 90))
    end = data.draw(st.integers(first + 2, 96))
    second = data.draw(st.integers(first + 1, end - 1))
    unit = site.units[0].id
    leases = tuple(
        Lease(
            LeaseId(f"l-{number}"), PartyId(party), unit, Span(period.start + start * SLOT, period.start + stop * SLOT)
        )
        for number, (party, start, stop) in enumerate((("t-01", first, end), ("t-02", second, 96)))
    )
    with pytest.raises(InputsInvalid):
        period_inputs(replace(site, leases=leases), "2026-07-01--2026-07-01", [], [], ())


@ALWAYS_SETTINGS
@given(st.integers(1, 899), st.booleans())
def test_a_lease_off_the_quarter_hour_is_refused_inside_the_period_only(seconds: int, is_inside: bool) -> None:
    site = park()[0]
    period = site.calendar.period("2026-07-02--2026-07-02")
    at = (period.start if is_inside else period.end) + timedelta(seconds=seconds)
    lease = Lease(LeaseId("l-1"), PartyId("t-01"), site.units[0].id, Span(at, None))
    moved = replace(site, leases=(lease,))
    if is_inside:
        with pytest.raises(InputsInvalid, match="quarter hour"):
            period_inputs(moved, "2026-07-02--2026-07-02", [], [], ())
    else:
        assert period_inputs(moved, "2026-07-02--2026-07-02", [], [], ()).occupancies


@ALWAYS_SETTINGS
@given(st.data())
def test_every_node_hangs_where_its_placement_says_in_every_slot(data: st.DataObject) -> None:
    site, _ = park()
    period = site.calendar.period("2026-07-01--2026-07-02")
    mid = period.start + data.draw(st.integers(1, period.slot_count - 1)) * SLOT
    branches = [NodeId(name) for name in ("bldg-a", "bldg-b", "common", "main")]
    nodes = []
    for node in site.nodes:
        if node.id.startswith("u-"):
            before, after = data.draw(st.permutations(branches))[:2]
            placements = (Placement(before, Span(None, mid)), Placement(after, Span(mid, None)))
            node = replace(node, placements=placements)
        nodes.append(node)
    inputs = period_inputs(replace(site, nodes=tuple(nodes)), "2026-07-01--2026-07-02", [], [], ())
    moved = {node.id: node for node in nodes}
    for node in inputs.nodes:
        for slot in range(0, inputs.slot_count, 7):
            found = [span.parent for span in node.parents if span.first <= slot < span.end]
            assert found == [moved[node.id].parent_at(period.start + slot * SLOT)]


def settle(node: Node, day: date, calendar: SiteCalendar, first: int, obis: Any = ENERGY_IMPORT) -> SettledDay:
    """A day whose slots hold rising numbers, so that a slot out of place is seen."""
    count = calendar.slots_in_day(day)
    return SettledDay(node.id, obis, day, tuple(range(first, first + count)), (int(SlotQuality.ROLLOVER),) * count, ())


@ALWAYS_SETTINGS
@given(st.sampled_from(ZONES), st.sampled_from(PERIODS), st.data())
def test_every_settled_slot_lies_at_its_instant_also_on_days_of_23_and_25_hours(
    zone: str, label: str, data: st.DataObject
) -> None:
    site = replace(park()[0], calendar=SiteCalendar(zone), leases=())
    points = park()[1]
    calendar = site.calendar
    period = calendar.period(label)
    days = calendar.days(period)
    beside = [days[0] - timedelta(days=1), *days, days[-1] + timedelta(days=1)]
    chosen = data.draw(st.lists(st.sampled_from(beside), unique=True))
    node = data.draw(st.sampled_from(site.nodes))
    rows = [
        settle(node, day, calendar, 1000 * number, obis)
        for number, day in enumerate(chosen, start=1)
        for obis in (ENERGY_IMPORT, ENERGY_EXPORT)
    ]
    inputs = period_inputs(site, label, points, data.draw(st.permutations(rows)), ())
    counted = {point.obis for point in points if point.node == node.id} | {ENERGY_IMPORT}
    wanted = np.zeros(inputs.slot_count, np.int64)
    known = np.zeros(inputs.slot_count, bool)
    for number, day in enumerate(chosen, start=1):
        for index in range(calendar.slots_in_day(day)):
            start = calendar.slot(day, index).start
            if start in period:
                wanted[(start - period.start) // SLOT] = 1000 * number + index
                known[(start - period.start) // SLOT] = True
    row = inputs.row(node.id)
    assert (inputs.import_wh[row] == wanted).all()
    assert (inputs.export_wh[row] == (wanted if ENERGY_EXPORT in counted else 0)).all()
    assert (inputs.quality[row] == np.where(known, SlotQuality.ROLLOVER, SlotQuality.MISSING)).all()
    others = [index for index in range(len(inputs.nodes)) if index != row]
    assert (inputs.quality[others] == SlotQuality.MISSING).all()
    assert not inputs.import_wh[others].any()


@ALWAYS_SETTINGS
@given(
    st.lists(st.tuples(st.integers(-10, 110), st.integers(0, 30), st.sampled_from(list(Reason))), max_size=6), st.data()
)
def test_an_exception_counts_once_if_it_touches_the_period(
    drawn: Sequence[tuple[int, int, Reason]], data: st.DataObject
) -> None:
    site, points = park()
    label = "2026-07-01--2026-07-01"
    period = site.calendar.period(label)
    exceptions = [
        SlotException(
            SlotQuality.ESTIMATED, reason, period.start + at * SLOT, period.start + (at + length) * SLOT, 1, "b"
        )
        for at, length, reason in drawn
    ]
    day = SettledDay(NodeId("lift"), ENERGY_IMPORT, date(2026, 7, 1), (0,) * 96, (0,) * 96, tuple(exceptions))
    before = replace(day, day=date(2026, 6, 30), exceptions=tuple(data.draw(st.permutations(exceptions))))
    inputs = period_inputs(site, label, points, [before, day], ())
    wanted = {
        one for one in exceptions if one.start < period.end and (one.end > period.start or one.start == period.start)
    }
    assert {one for _, one in inputs.exceptions} == wanted
    assert len(inputs.exceptions) == len(wanted)


def test_the_same_facts_in_another_order_give_equal_inputs() -> None:
    site, points = park()
    days = [settle(node, date(2026, 7, 1), site.calendar, 7) for node in site.nodes]
    one, other = (period_inputs(site, "2026-07-01--2026-07-01", points, rows, ()) for rows in (days, days[::-1]))
    assert one.hash == other.hash


@pytest.mark.parametrize("label", ["2026-7", "2026-00", "July", "", "2026-07-03--2026-07-01", "2026-02-30--2026-03-01"])
def test_a_label_that_is_no_period_is_refused(label: str) -> None:
    with pytest.raises(MeteringError):
        period_inputs(park()[0], label, [], [], ())


def test_a_span_without_ends_is_the_whole_period() -> None:
    period = park()[0].calendar.period("2026-07-01--2026-07-01")
    assert module._slots(ALWAYS, period) == (0, 96)
    assert module._slots(Span(period.end, None), period) == (0, 0)
    assert module._slots(Span(None, period.start), period) == (0, 0)
