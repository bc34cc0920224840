"""Settlement over a real database: incremental, idempotent, and the same books whatever the order of arrival."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from allocation_engine.intervals import Reason, SlotQuality
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.settled import SettledDay, UnsettledDay, forget_unsettled_days, settled_days, unsettled_days
from ingest.store.sites import import_site
from metering.identity import MeterId, NodeId
from metering.interval import SLOT
from metering.obis import ENERGY_IMPORT
from tests.doubles.park_books import ORDERED_AT, ParkBooks, read_park

FIRST, LAST = date(2026, 7, 1), date(2026, 7, 3)
METER, NODE = MeterId("m-u-a101"), NodeId("u-a101")
SETTLE = """
import os, signal, sys
from device_profiles.catalogue import Catalogue
from ingest import bulk_settlement, node_settlement, settlement
from ingest.store.database import Database
dsn, step, last_call = sys.argv[1], sys.argv[2], int(sys.argv[3])
bulk_settlement.PART_DAYS = settlement.BATCH_DAYS = 1  # a part, and a transaction, for each node
module = settlement if hasattr(settlement, step) else node_settlement
if module is node_settlement:
    def set_aside(_, registers):
        registers.odd.update(node.node for node in registers.part.nodes)
        return registers.odd
    settlement._set_aside = set_aside
calls, done = 0, getattr(module, step)
def die_at_last_call(*arguments):
    global calls
    calls += 1
    done(*arguments)
    if calls == last_call:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(module, step, die_at_last_call)
with Database(dsn, connections=1) as database:
    settlement.Settlement(database, Catalogue.shipped()).settle_pending()
"""


@pytest.fixture
def books(database: Database) -> ParkBooks:
    """The park, imported and enrolled, without a reading."""
    site, rules, play, catalogue = read_park()
    park = ParkBooks(database, site, rules, play, catalogue, only=frozenset({METER, MeterId("m-main")}))
    park.enrol_all()
    return park


def marks_of(books: ParkBooks, days: int) -> list[datetime]:
    start = books.site.calendar.midnight(FIRST)
    return [start + index * SLOT for index in range(days * 96 + 1)]


def settled(books: ParkBooks) -> tuple[SettledDay, ...]:
    with books.database.transaction() as connection:
        return settled_days(connection, books.site.id, FIRST, LAST)


def day_of(books: ParkBooks, day: date) -> SettledDay:
    return next(one for one in settled(books) if (one.node, one.obis, one.day) == (NODE, ENERGY_IMPORT, day))


def settle_anew(books: ParkBooks) -> tuple[SettledDay, ...]:
    """Forget what was settled, as a rewired site does, and settle all of it at once."""
    with books.database.transaction() as connection:
        connection.execute(b"DELETE FROM settled_days")
        connection.execute(
            b"INSERT INTO unsettled_days SELECT DISTINCT meter, (due_at AT TIME ZONE 'UTC')::date, 1 FROM readings"
        )
    Settlement(books.database, books.catalogue).settle_pending()
    return settled(books)


def test_a_second_pass_changes_nothing(books: ParkBooks) -> None:
    books.write(marks_of(books, 1))
    settlement = Settlement(books.database, books.catalogue)
    assert settlement.settle_pending() > 0
    before = settled(books)
    assert settlement.settle_pending() == 0
    assert settled(books) == before


def test_a_day_of_slots_adds_up_to_its_registers(books: ParkBooks) -> None:
    books.write(marks_of(books, 1))
    Settlement(books.database, books.catalogue).settle_pending()
    day = day_of(books, FIRST)
    assert len(day.energy_wh) == 96
    assert set(day.quality) == {SlotQuality.MEASURED}
    energy = books.play.energies[NODE].import_wh
    assert abs(sum(day.energy_wh) - int(energy[96] - energy[0])) < 10  # the register shows steps of 10 Wh


@pytest.mark.parametrize("seed", [1, 2])
def test_every_order_of_arrival_ends_in_the_same_books(books: ParkBooks, seed: int) -> None:
    marks = marks_of(books, 3)
    pieces = [marks[start : start + 40] for start in range(0, len(marks), 40)]
    random.Random(seed).shuffle(pieces)
    settlement = Settlement(books.database, books.catalogue)

    def is_silent(meter: MeterId, mark: datetime) -> bool:
        return meter == METER and marks[70] <= mark < marks[130]

    for piece in pieces:
        books.write(piece, is_silent)
        settlement.settle_pending()
    piecemeal = settled(books)
    assert settle_anew(books) == piecemeal
    gap = [exception for exception in day_of(books, FIRST).exceptions if exception.reason == Reason.GAP]
    assert [(exception.start, exception.end) for exception in gap] == [(marks[69], marks[130])]


def test_a_late_reading_reaches_back_over_the_days_of_its_gap(books: ParkBooks) -> None:
    marks = marks_of(books, 3)
    settlement = Settlement(books.database, books.catalogue)
    books.write(marks[:50])
    settlement.settle_pending()
    assert day_of(books, FIRST).quality[60] == SlotQuality.MISSING
    books.write(marks[250:])
    settlement.settle_pending()
    assert day_of(books, FIRST).quality[60] == SlotQuality.ESTIMATED
    assert set(day_of(books, date(2026, 7, 2)).quality) == {SlotQuality.ESTIMATED}
    books.write(marks[50:250])
    settlement.settle_pending()
    assert set(day_of(books, FIRST).quality) == {SlotQuality.MEASURED}


def test_a_reading_that_arrives_while_its_day_is_settled_keeps_the_day_listed(books: ParkBooks) -> None:
    books.write(marks_of(books, 1))
    with books.database.transaction() as connection:
        seen = unsettled_days(connection, [METER])
    assert seen
    older = [UnsettledDay(day.meter, day.day, day.arrivals - 1) for day in seen]
    with books.database.transaction() as connection:
        forget_unsettled_days(connection, older)
        assert unsettled_days(connection, [METER]) == seen
        forget_unsettled_days(connection, seen)
        assert unsettled_days(connection, [METER]) == ()


def test_rewiring_a_site_settles_again_and_a_new_lease_does_not(books: ParkBooks) -> None:
    books.write(marks_of(books, 1))
    settlement = Settlement(books.database, books.catalogue)
    settlement.settle_pending()
    document: dict[str, Any] = books.site.to_document()
    document["leases"] = document["leases"][1:]
    with books.database.transaction() as connection:
        import_site(connection, type(books.site).from_document(document), {}, imported_at=ORDERED_AT)
    assert settlement.settle_pending() == 0
    before = sum(day_of(books, FIRST).energy_wh)
    next(meter for meter in document["meters"] if meter["id"] == METER)["ct"] = 3
    with books.database.transaction() as connection:
        _, is_new = import_site(connection, type(books.site).from_document(document), {}, imported_at=ORDERED_AT)
    assert is_new
    assert settlement.settle_pending() > 0
    assert sum(day_of(books, FIRST).energy_wh) == 3 * before


def test_settlement_that_is_killed_anywhere_ends_in_the_same_books(books: ParkBooks, migrated_dsn: str) -> None:
    books.write(marks_of(books, 3))
    steps = [("put_settled_day", 7), ("put_settled_days", 1), ("forget_unsettled_days", 1), ("put_settled_days", 2)]
    for step, call in steps:
        ended = subprocess.run([sys.executable, "-c", SETTLE, migrated_dsn, step, str(call)], check=False)
        assert ended.returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-c", SETTLE, migrated_dsn, "put_settled_days", "0"], check=True)
    after_kills = settled(books)
    assert settle_anew(books) == after_kills
    assert {one.day for one in after_kills} == {FIRST + timedelta(days=offset) for offset in range(3)}
