"""A meter is exchanged, its ratio changed, a node hung elsewhere in the middle of a slot: what becomes of the slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from allocation_engine.errors import InputsInvalid
from allocation_engine.intervals import Reason, SlotQuality
from ingest import bulk_settlement
from ingest import settlement as module
from ingest.metering_points import metering_points
from ingest.period_inputs import period_inputs
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.settled import SettledDay, settled_days
from ingest.store.sites import import_site
from metering.identity import NodeId
from metering.interval import SLOT, SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from provisioning.site import Placement, Span
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.stored_readings import CATALOGUE, MAIN, SITE, Reading, put_readings, yard

CALENDAR = SiteCalendar("Asia/Shanghai")
DAY = date(2026, 7, 21)
START = CALENDAR.midnight(DAY)
SLOT_OF_CHANGE = 40
CHANGED_AT = START + SLOT_OF_CHANGE * SLOT + timedelta(minutes=7)
WAYS = ["swapped", "ratio", "unsaid", "late", "gone"]


def readings_of(node: str) -> list[Reading]:
    """One day: the register before the change rises by 10 steps of 10 Wh in the slot of it, the other by 3 or 4."""
    before = [Reading(f"m-{node}", START + mark * SLOT, (4_990 - 40 + mark, 70)) for mark in range(SLOT_OF_CHANGE + 1)]
    first = {"swapped": 104, "ratio": 5_003}.get(node, 0)
    name = f"m-{node}" if node == "late" else f"m-{node}-2"
    given = {"swapped": 0, "ratio": 70}.get(node, 0)
    after = [Reading(name, START + mark * SLOT, (first + mark - 41, given)) for mark in range(SLOT_OF_CHANGE + 1, 97)]
    return {"late": after, "gone": before}.get(node, before + after)


def settle(database: Any, readings: Sequence[Reading]) -> dict[tuple[str, str], SettledDay]:
    """Settle them, and give what is settled of the day."""
    with database.transaction() as connection:
        site = yard(changed_at=CHANGED_AT)
        import_site(connection, site, {}, imported_at=START)
        put_readings(connection, readings, 1)
    Settlement(database, CATALOGUE).settle_pending()
    with database.transaction() as connection:
        days = settled_days(connection, SITE, DAY, DAY)
    return {(one.node, str(one.obis)): one for one in days}


def test_slots_in_which_a_meter_or_its_ratio_changes_count_both_registers(database: Database) -> None:
    books = settle(database, [one for node in WAYS for one in readings_of(node)])
    obis = str(ENERGY_IMPORT)
    swapped, ratio = books["swapped", obis], books["ratio", obis]
    # 10 steps x 10 Wh x 20 before; 4 steps x 30, or 3 steps x 40, after.
    assert swapped.energy_wh[SLOT_OF_CHANGE] == 10 * 10 * 20 + 4 * 10 * 30
    assert ratio.energy_wh[SLOT_OF_CHANGE] == 10 * 10 * 20 + 3 * 10 * 40
    for day in (swapped, ratio):
        assert day.quality[SLOT_OF_CHANGE] == SlotQuality.EXCHANGE
        assert {*day.quality[:SLOT_OF_CHANGE], *day.quality[SLOT_OF_CHANGE + 1 :]} == {SlotQuality.MEASURED}
        assert Reason.EXCHANGE in {one.reason for one in day.exceptions}
    assert (swapped.energy_wh[0], swapped.energy_wh[60]) == (10 * 20, 10 * 30)
    assert (ratio.energy_wh[0], ratio.energy_wh[60]) == (10 * 20, 10 * 40)
    assert sum(books["swapped", str(ENERGY_EXPORT)].energy_wh) == 0


def test_slots_in_which_a_meter_changes_unsaid_are_held_and_those_without_one_missing(database: Database) -> None:
    books = settle(database, [one for node in ("unsaid", "late", "gone") for one in readings_of(node)])
    unsaid, late, gone = (books[node, str(ENERGY_IMPORT)] for node in ("unsaid", "late", "gone"))
    assert unsaid.quality[SLOT_OF_CHANGE] == SlotQuality.HELD
    assert unsaid.energy_wh[SLOT_OF_CHANGE] == 0
    assert [one.reason for one in unsaid.exceptions] == [Reason.UNDECLARED_EXCHANGE]
    assert set(late.quality[: SLOT_OF_CHANGE + 1]) == {SlotQuality.MISSING}
    assert set(gone.quality[SLOT_OF_CHANGE:]) == {SlotQuality.MISSING}
    assert sum(late.energy_wh) == 55 * 10
    assert sum(gone.energy_wh) == 40 * 10


@pytest.mark.parametrize("way", WAYS)
def test_both_ways_of_settling_agree_on_postgresql(
    database: Database, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [*readings_of(way), *(Reading("m-p-0", START + mark * SLOT, (mark, mark)) for mark in range(0, 97, 2))]
    together = settle(database, readings)

    def all_odd(_connection: object, registers: bulk_settlement.Registers) -> set[NodeId]:
        registers.odd.update(node.node for node in registers.part.nodes)
        return registers.odd

    monkeypatch.setattr(module, "_set_aside", all_odd)
    memory = settle(MemoryDatabase(), readings)
    assert together == memory
    assert {one.day for one in together.values()} == {DAY}


def moved(at: datetime) -> Any:
    """The yard, with a node that hangs elsewhere from then on."""
    site = yard(changed_at=CHANGED_AT)
    nodes = tuple(
        replace(one, placements=(Placement(MAIN, Span(None, at)), Placement(NodeId("swapped"), Span(at, None))))
        if one.id == "p-0"
        else one
        for one in site.nodes
    )
    return replace(site, nodes=nodes)


def test_a_node_that_is_hung_elsewhere_is_not_settled_again_and_cut_at_the_slot() -> None:
    database = MemoryDatabase()
    settle(database, [Reading("m-p-0", START + mark * SLOT, (mark, 0)) for mark in range(97)])
    before = dict(database.tables.settled)
    site = moved(START + SLOT_OF_CHANGE * SLOT)
    with database.transaction() as connection:
        assert import_site(connection, site, {}, imported_at=START)[1]
    assert Settlement(database, CATALOGUE).settle_pending() == 0
    assert database.tables.settled == before
    with database.transaction() as connection:
        days = settled_days(connection, SITE, DAY, DAY)
    inputs = period_inputs(site, f"{DAY}--{DAY}", metering_points(site, CATALOGUE), days, ())
    node = next(one for one in inputs.nodes if one.id == "p-0")
    assert [(one.first, one.end, one.parent) for one in node.parents] == [(0, 40, MAIN), (40, 96, NodeId("swapped"))]


def test_a_node_cannot_be_hung_elsewhere_inside_a_slot() -> None:
    site = moved(CHANGED_AT)
    with pytest.raises(InputsInvalid, match="quarter hour"):
        period_inputs(site, f"{DAY}--{DAY}", metering_points(site, CATALOGUE), (), ())
