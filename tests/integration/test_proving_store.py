"""Evidence asked for by the thousand is what settlement would find point by point; on PostgreSQL and on its double."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from allocation_engine.evidence import PointEvidence, pick_readings
from ingest.closing import Closing
from ingest.metering_points import MeteringPoint, metering_points
from ingest.proving import EvidenceMissing, Needed, prove_points
from ingest.settlement import Settlement, Shelf, around, settle_waiting
from ingest.store.database import Connection, Database
from ingest.store.settled import SettledDay, SettledPoint, settled_days, settled_points
from metering.identity import MeterId
from metering.interval import SLOT, Interval
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.park_books import CENTRE, ParkBooks, read_park

FIRST_SLOTS = 96
SILENT = MeterId("m-u-a201")


@pytest.fixture(params=["memory", "postgres"])
def books(request: pytest.FixtureRequest) -> ParkBooks:
    """A day of the park in which one meter was silent for an hour, one mark of one gateway was sealed twice."""
    database: Database = MemoryDatabase() if request.param == "memory" else request.getfixturevalue("database")
    site, rules, play, catalogue = read_park()
    found = ParkBooks(database, site, rules, play, catalogue)
    found.enrol_all()
    marks = [period_of(found).start + index * SLOT for index in range(FIRST_SLOTS + 1)]
    silent = set(marks[20:24])
    found.write(marks, skip=lambda meter, mark: meter == SILENT and mark in silent)
    found.write(marks[40:41])
    return found


def period_of(books: ParkBooks) -> Interval:
    """The first day."""
    return books.site.calendar.period("2026-07-01--2026-07-01")


def needed_of(books: ParkBooks, *slots: int) -> dict[Any, tuple[datetime, ...]]:
    """Every import and some exports at the marks of these slots."""
    marks = tuple(period_of(books).start + slot * SLOT for slot in slots)
    nodes = [node.id for node in books.site.nodes]
    return {(node, ENERGY_IMPORT): marks for node in nodes} | {(node, ENERGY_EXPORT): marks for node in nodes[:3]}


def point_by_point(
    connection: Connection, books: ParkBooks, points: tuple[MeteringPoint, ...], needed: Needed
) -> tuple[PointEvidence, ...]:
    """What settlement's own shelf gives for each point alone."""
    found = []
    for point in points:
        if (point.node, point.obis) in needed:
            meters = tuple(meter.id for meter in books.site.meters_at(point.node))
            shelf = Shelf(connection, books.catalogue, meters, (point.obis,))
            known = around(shelf.registers(shelf.widen(period_of(books)))[point.obis], period_of(books))
            picked = pick_readings(needed[point.node, point.obis], known)
            found.append(PointEvidence(point.node, point.obis, point.installations, picked))
    return tuple(found)


def prove(connection: Connection, books: ParkBooks, needed: Needed) -> tuple[PointEvidence, ...]:
    """All at once."""
    points = metering_points(books.site, books.catalogue)
    return prove_points(connection, books.site, books.catalogue, period_of(books), points, needed)


@pytest.mark.parametrize("slots", [(0, 96), (0, 22, 96), (0, 40, 41, 96), tuple(range(97))])
def test_evidence_at_once_is_evidence_point_by_point(books: ParkBooks, slots: tuple[int, ...]) -> None:
    points = metering_points(books.site, books.catalogue)
    needed = needed_of(books, *slots)
    with books.database.transaction() as connection:
        assert prove(connection, books, needed) == point_by_point(connection, books, points, needed)


def test_points_that_need_other_marks_are_proven_beside_one_another(books: ParkBooks) -> None:
    points = metering_points(books.site, books.catalogue)
    needed = needed_of(books, 0, 96)
    others = needed_of(books, 0, 21, 50, 96)
    needed |= {key: others[key] for index, key in enumerate(sorted(needed)) if index % 3 == 0}
    with books.database.transaction() as connection:
        assert prove(connection, books, needed) == point_by_point(connection, books, points, needed)


def test_a_lost_envelope_is_said_by_name(books: ParkBooks) -> None:
    with books.database.transaction() as connection:
        (proven, *_) = prove(connection, books, needed_of(books, 0, 96))
        lost = proven.readings[0].envelope
        assert lost is not None
        _lose(books, connection, lost.gateway, lost.seq)
        with pytest.raises(EvidenceMissing, match=f"{lost.gateway} epoch 1 seq {lost.seq} is not in the store"):
            prove(connection, books, needed_of(books, 0, 96))


def test_a_lost_envelope_beside_a_gap_is_said_too(books: ParkBooks) -> None:
    node = books.site.meter(SILENT).node
    needed = {(node, ENERGY_IMPORT): (period_of(books).start + 21 * SLOT,)}
    with books.database.transaction() as connection:
        ((_, after),) = (one.readings for one in prove(connection, books, needed))
        assert after.envelope is not None
        _lose(books, connection, after.envelope.gateway, after.envelope.seq)
        with pytest.raises(EvidenceMissing):
            prove(connection, books, needed)


def test_nothing_needed_is_nothing_asked(books: ParkBooks) -> None:
    with books.database.transaction() as connection:
        assert prove(connection, books, {}) == ()


def test_settled_days_at_once_are_the_days_one_by_one(books: ParkBooks) -> None:
    with books.database.transaction() as connection:
        assert settle_waiting(connection, books.site, books.catalogue) > 0
        assert settle_waiting(connection, books.site, books.catalogue) == 0
        first, last = (books.site.calendar.local(one).date() for one in (period_of(books).start, period_of(books).end))
        points = list(settled_points(connection, books.site.id, first, last))
        days = settled_days(connection, books.site.id, first, last)
    assert [day for point in points for day in one_by_one(books, point)] == [
        replace(day, exceptions=()) for day in days
    ]
    noted = {(day.node, day.obis, exception) for day in days for exception in day.exceptions}
    assert {(point.node, point.obis, one) for point in points for one in point.exceptions} == noted != set()
    assert any(point.quality.days for point in points)
    assert any(not point.energy_wh.days for point in points)


def one_by_one(books: ParkBooks, point: SettledPoint) -> Iterator[SettledDay]:
    """The days of a point, without what was not normal."""
    columns: list[dict[Any, tuple[int, ...]]] = [
        {day: tuple(row) for days, rows in blocks for day, row in zip(days, rows.tolist(), strict=True)}
        for blocks in (point.energies(), point.qualities())
    ]
    for day in point.days:
        zeros = (0,) * books.site.calendar.slots_in_day(day)
        energy, quality = (column.get(day, zeros) for column in columns)
        yield SettledDay(point.node, point.obis, day, energy, quality, ())


def _lose(books: ParkBooks, connection: Any, gateway: str, seq: int) -> None:
    if isinstance(books.database, MemoryDatabase):
        del books.database.tables.envelopes[gateway, 1, seq]
    else:
        connection.execute("DELETE FROM envelopes WHERE gateway = %s AND seq = %s", (gateway, seq))


def closing_of(books: ParkBooks) -> Closing:
    """Closes the park's books."""
    return Closing(Settlement(books.database, books.catalogue), CENTRE, bytes(32))


def test_days_and_evidence_of_a_large_site_are_read_over_two_connections(
    books: ParkBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = "2026-07-01--2026-07-01"
    alone = closing_of(books).dry_run(books.site.id, label)
    lent: list[bool] = []
    spare = books.database.spare

    @contextmanager
    def watched() -> Iterator[Any]:
        with spare() as connection:
            lent.append(connection is not None)
            yield connection

    monkeypatch.setattr("ingest.closing.NODES_MANY", 2)
    monkeypatch.setattr("ingest.proving.METERS_AT_ONCE", 3)
    monkeypatch.setattr(books.database, "spare", watched)
    assert closing_of(books).dry_run(books.site.id, label) == alone
    assert lent == [True, True]


def test_days_settled_within_the_closing_are_read_where_they_can_be_seen(
    books: ParkBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.closing.NODES_MANY", 2)
    monkeypatch.setattr(Settlement, "settle_site", lambda *_: 0)
    run = closing_of(books).dry_run(books.site.id, "2026-07-01--2026-07-01")
    assert sum(one.net_wh for one in run.balance) > 0


def test_where_no_connection_is_to_spare_one_reads_everything(
    books: ParkBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = closing_of(books).dry_run(books.site.id, "2026-07-01--2026-07-01")
    monkeypatch.setattr("ingest.closing.NODES_MANY", 2)
    monkeypatch.setattr(books.database, "spare", lambda: nullcontext(None))
    assert closing_of(books).dry_run(books.site.id, "2026-07-01--2026-07-01") == alone


def test_the_pool_says_at_once_that_it_has_nothing_to_spare(migrated_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.store.database.SPARE_S", 0.05)
    with Database(migrated_dsn, connections=1) as small, small.transaction(), small.spare() as other:
        assert other is None
    with Database(migrated_dsn, connections=2) as large, large.transaction(), large.spare() as other:
        assert other is not None
