"""Settling many nodes at once gives, octet for octet, what settling each by itself gives; of whatever was stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocation_engine.intervals import SlotQuality
from ingest import bulk_settlement, node_settlement
from ingest import settlement as module
from ingest.settlement import Settlement
from ingest.store.readings import registers_between
from ingest.store.settled_rows import DayKey, DayRows
from ingest.store.sites import import_site
from metering.identity import NodeId, SiteId
from metering.interval import SLOT, SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from tests.doubles.binary_copy import fields_of, settled_row
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.stored_readings import CATALOGUE, MODULUS, Reading, put_readings, yard

SITE = SiteId("yard")
ZONES = ["Asia/Shanghai", "UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe"]
DAYS = [date(2026, 7, 20), date(2026, 3, 28), date(2026, 10, 24), date(2026, 3, 7)]
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
METERS = [
    "m-p-0",
    "m-p-1",
    "m-swapped",
    "m-swapped-2",
    "m-ratio",
    "m-ratio-2",
    "m-unsaid",
    "m-unsaid-2",
    "m-late",
    "m-gone",
]


@cache
def site_of(zone: str, changed_at: datetime) -> Any:
    """A yard with two plain nodes."""
    return yard(zone, changed_at=changed_at, nodes=2)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Any, list[list[Reading]]]:
    """A site in some zone, and what is stored of it, in batches: whole days with holes and every kind of oddity."""
    zone, first = draw(st.sampled_from(ZONES)), draw(st.sampled_from(DAYS))
    start = SiteCalendar(zone).midnight(first)
    changed_at = start + timedelta(days=1, minutes=draw(st.sampled_from([0, 30, 607, 1439])))
    readings = []
    for meter in draw(st.lists(st.sampled_from(METERS), min_size=1, max_size=4, unique=True)):
        readings += _of_meter(draw, meter, start, changed_at)
    batches: list[list[Reading]] = [[] for _ in range(draw(st.integers(1, 3)))]
    for place, one in enumerate(readings):
        batches[
            draw(st.integers(0, len(batches) - 1)) if place % 17 == 0 else place * len(batches) // len(readings)
        ].append(one)
    return site_of(zone, changed_at), batches


def _of_meter(draw: st.DrawFn, meter: str, start: datetime, changed_at: datetime) -> Iterator[Reading]:
    first, last = sorted((draw(st.integers(-40, 300)), draw(st.integers(0, 330))))
    register, step = draw(st.sampled_from([0, 4_000, MODULUS - 300])), draw(st.integers(0, 7))
    holes = draw(st.lists(st.tuples(st.integers(-40, 330), st.sampled_from([1, 1, 3, 100])), max_size=2))
    oddities = draw(st.dictionaries(st.integers(first, last), st.sampled_from(sorted(ODDITIES)), max_size=2))
    stays = draw(st.booleans())
    for mark in range(first, last + 1):
        at = start + mark * SLOT
        register += step * (mark % 3)
        if any(begin <= mark < begin + length for begin, length in holes):
            continue
        if not stays and meter.endswith("-2") != (at >= changed_at) and meter not in ("m-p-0", "m-p-1"):
            continue
        plain = Reading(meter, at, (register % MODULUS, 7 + mark % 2 * 0))
        yield from ODDITIES[oddities[mark]](plain) if mark in oddities else [plain]


def _again(one: Reading, **changed: Any) -> Reading:
    return replace(one, **changed)


def _shown(one: Reading) -> int:
    return one.mantissas[0] or 0


ODDITIES: dict[str, Callable[[Reading], Sequence[Reading]]] = {
    "twice": lambda one: [one, one],
    "conflict": lambda one: [one, _again(one, mantissas=(_shown(one) + 1, 7))],
    "void": lambda one: [_again(one, mantissas=(None, 7))],
    "all void": lambda one: [_again(one, mantissas=(None, None))],
    "fell": lambda one: [_again(one, mantissas=(max(0, _shown(one) - 900), 7))],
    "out of range": lambda one: [_again(one, mantissas=(MODULUS, 7))],
    "too many": lambda one: [_again(one, mantissas=(1, 2, 3))],
    "unknown profile": lambda one: [_again(one, profile=b"?" * 32)],
    "no such group": lambda one: [_again(one, group=9)],
    "unaligned": lambda one: [_again(one, aligned=False, mark=one.mark + timedelta(seconds=7))],
    "off the quarter hour": lambda one: [_again(one, mark=one.mark + timedelta(seconds=60))],
    "silent": lambda one: [_again(one, quality=1, mantissas=())],
    "silent with numbers": lambda one: [_again(one, quality=1)],
    "measured without numbers": lambda one: [_again(one, mantissas=())],
}


def settled(site: Any, batches: Iterable[Sequence[Reading]]) -> Any:
    """Store the batches one after the other, settle after each, and give the books."""
    database = MemoryDatabase()
    with database.transaction() as connection:
        import_site(connection, site, {}, imported_at=datetime(2026, 1, 1, tzinfo=UTC))
    settlement, seq, counts = Settlement(database, CATALOGUE), 1, []
    for batch in batches:
        with database.transaction() as connection:
            seq = put_readings(connection, batch, seq)
        counts.append(settlement.settle_site(SITE))
    assert database.tables.unsettled == {}
    return database.tables.settled, counts


@contextmanager
def each_by_itself() -> Iterator[None]:
    """Let every node be taken for odd."""

    def all_odd(_connection: object, registers: Any) -> set[NodeId]:
        registers.odd.update(node.node for node in registers.part.nodes)
        found: set[NodeId] = registers.odd
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_set_aside", all_odd)
        yield


@FEW
@given(worlds())
def test_many_at_once_and_each_by_itself_come_to_the_same(drawn: tuple[Any, list[list[Reading]]]) -> None:
    site, batches = drawn
    together = settled(site, batches)
    with each_by_itself():
        assert settled(site, batches) == together


def test_a_plain_month_is_settled_without_asking_for_a_single_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    start = SiteCalendar("Asia/Shanghai").midnight(DAYS[0])
    site = site_of("Asia/Shanghai", start + timedelta(days=300))
    asked: list[object] = []
    monkeypatch.setattr(node_settlement, "readings_due", lambda *one: asked.append(one) or ())
    monkeypatch.setattr(bulk_settlement, "settle_day", lambda *one: asked.append(one))
    readings = [Reading("m-p-1", start + mark * SLOT, (mark, 0)) for mark in range(31 * 96 + 1)]
    books, _ = settled(site, [readings])
    assert asked == []
    days = [row for (_, node, obis, _), row in books.items() if (node, obis) == ("p-1", str(ENERGY_IMPORT))]
    assert sum(sum(row[0]) for row in days) == 31 * 96 * 10 * 2  # steps of 10 Wh, ratio 2
    assert [row[1] for row in days].count([SlotQuality.MEASURED] * 96) == 31


def test_a_day_is_the_same_either_way() -> None:
    assert _books_of(_nothing, _marks((3, 90)), NEVER)


def test_a_day_that_is_settled_anew_takes_the_place_of_its_old_self() -> None:
    site = site_of("Asia/Shanghai", SiteCalendar("Asia/Shanghai").midnight(DAYS[0]) + NEVER)
    books, counts = settled(site, [_marks((0, 40)), _marks((40, 97))])
    assert books == settled(site, [_marks((0, 97))])[0]
    assert min(counts) > 0


def test_a_reading_that_arrives_while_its_day_is_settled_is_settled_in_the_next_pass() -> None:
    start = SiteCalendar("UTC").midnight(DAYS[0])
    database = MemoryDatabase()
    with database.transaction() as connection:
        import_site(connection, site_of("UTC", start + NEVER), {}, imported_at=start)
        seq = put_readings(connection, _marks((0, 40)), 1)
    late = _marks((40, 50))

    def read(connection: Any, *given: Any) -> Any:
        found = registers_between(connection, *given)
        put_readings(connection, late, seq)
        late.clear()
        return found

    settlement = Settlement(database, CATALOGUE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "registers_between", read)
        settlement.settle_pending()
    assert database.tables.unsettled != {}
    assert settlement.settle_pending() > 0
    assert database.tables.unsettled == {}


# Planted faults: each would be found by the comparison above


def _books_of(
    patched: Callable[[pytest.MonkeyPatch], None], readings: Sequence[Reading], changed_after: timedelta
) -> bool:
    start = SiteCalendar("Asia/Shanghai").midnight(DAYS[0])
    site = site_of("Asia/Shanghai", start + changed_after)
    with each_by_itself():
        plain = settled(site, [readings])
    with pytest.MonkeyPatch.context() as patch:
        patched(patch)
        return bool(settled(site, [readings]) == plain)


def _marks(*spans: tuple[int, int], meter: str = "m-p-0") -> list[Reading]:
    start = SiteCalendar("Asia/Shanghai").midnight(DAYS[0])
    return [Reading(meter, start + mark * SLOT, (5 * mark + 500, 0)) for span in spans for mark in range(*span)]


def _nothing(_patch: pytest.MonkeyPatch) -> None:
    """Plant no fault."""


NEVER = timedelta(days=400)


def test_a_fleet_that_forgets_what_lies_beyond_would_be_seen() -> None:
    blind: Callable[[pytest.MonkeyPatch], None] = lambda patch: patch.setattr(  # noqa: E731
        module, "measured_beyond", lambda *_: (frozenset(), frozenset())
    )
    apart = _marks((0, 20), (400, 420))
    assert not _books_of(blind, apart, NEVER)
    assert _books_of(_nothing, apart, NEVER)


def test_a_fleet_that_settles_the_days_of_new_readings_only_would_be_seen() -> None:
    def own_days(patch: pytest.MonkeyPatch) -> None:
        def reach(_shown: Any, firsts: Any, _ends: Any, first: int, last: int, reached: Any) -> None:
            reached[:, 0], reached[:, 1] = first, last

        patch.setattr(bulk_settlement, "reach_all", reach)

    start = SiteCalendar("UTC").midnight(DAYS[0])
    site = site_of("UTC", start + NEVER)
    batches = [
        [Reading("m-p-0", start + mark * SLOT, (mark, 0)) for mark in span] for span in (range(96), range(96, 193))
    ]
    together = settled(site, batches)
    with pytest.MonkeyPatch.context() as patch:
        own_days(patch)
        assert settled(site, batches) != together


def test_a_kernel_that_takes_two_registers_at_one_mark_would_be_seen() -> None:
    def careless(patch: pytest.MonkeyPatch) -> None:
        lay = bulk_settlement.lay_mark
        patch.setattr(bulk_settlement, "lay_mark", lambda *given: lay(*given[:-1], given[-1].copy()))

    doubled = [*_marks((0, 97)), Reading("m-p-0", _marks((50, 51))[0].mark, (1, 0))]
    assert not _books_of(careless, doubled, NEVER)
    assert _books_of(_nothing, doubled, NEVER)


def test_a_fleet_that_knows_no_exchange_would_be_seen() -> None:
    def always(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(bulk_settlement, "_hung", lambda *_: True)

    gone = _marks((0, 97), meter="m-gone")
    assert not _books_of(always, gone, timedelta(hours=10, minutes=7))
    assert _books_of(_nothing, gone, timedelta(hours=10, minutes=7))


# The rows of COPY


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_rows_are_what_copy_takes(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    slots = [data.draw(st.sampled_from([92, 96, 100])) for _ in range(count)]
    whole = st.integers(-(2**63), 2**63 - 1)
    energy = np.zeros((count, 100), np.int64)
    quality = np.zeros((count, 100), np.uint8)
    for row, length in enumerate(slots):
        energy[row, :length] = data.draw(st.lists(whole, min_size=length, max_size=length))
        quality[row, :length] = data.draw(st.lists(st.integers(0, 5), min_size=length, max_size=length))
    keys = [
        DayKey(
            NodeId(data.draw(st.sampled_from(["a", "node-of-some-length"]))),
            obis,
            date(2026, 1, 1) + timedelta(days=row),
        )
        for row, obis in zip(range(count), [ENERGY_IMPORT, ENERGY_EXPORT] * count, strict=False)
    ]
    told = {row: '[{"basis": "一"}]'.encode() for row in range(count) if data.draw(st.booleans())}
    hashes = b"".join(bytes([row]) * 32 for row in range(count))
    rows = DayRows(SITE, keys, energy, quality, np.array(slots), told, hashes)
    for row, fields in enumerate(fields_of(rows.to_copy())):
        length = slots[row]
        assert settled_row(fields) == (
            *(SITE, keys[row].node, str(keys[row].obis), keys[row].day),
            *(energy[row, :length].tolist(), quality[row, :length].tolist()),
            *([{"basis": "一"}] if row in told else [], bytes([row]) * 32),
        )
