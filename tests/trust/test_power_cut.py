"""The short form of the power cuts: FULL loses nothing, and the same cuts show NORMAL losing."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.ports import Entry
from metering.tombstone import Tombstone
from tests.bench.edge.outbox_speed import written
from tests.doubles.edge import GATEWAY, entry
from tests.doubles.power_cut import ForgetfulDisk
from tests.trust.power_cuts import PATH, cut_power


def seal_nothing(stone: Tombstone) -> bytes:
    """For outboxes that never evict."""
    raise AssertionError(stone)


def test_twelve_hundred_power_cuts_lose_nothing() -> None:
    tally = cut_power(1200, seed=5)
    assert (tally.lost, tally.damaged) == (0, 0), tally.faults
    assert tally.cuts >= 1200
    assert tally.evicted > 100
    assert tally.reopened_torn > 600


def test_the_same_cuts_show_that_normal_loses_what_was_promised() -> None:
    tally = cut_power(200, seed=5, synchronous="normal")
    assert tally.lost > 20
    assert tally.damaged == 0


def test_a_day_of_a_hundred_meters_keeps_its_budget_of_writes() -> None:
    day = written("100 meters on 4 ports, every 15 min", 25, 4, 15)
    assert day.envelopes == 4 * 96
    assert day.written_octets <= 2_000_000
    assert day.syncs <= 100


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_the_disk_keeps_what_was_synced_and_may_keep_the_rest(kept: float) -> None:
    disk = ForgetfulDisk()
    outbox = SqliteOutbox(PATH, GATEWAY, seal_nothing, connect=disk.connect)
    outbox.append([entry(1), entry(2)])
    before = disk.counts.syncs
    disk.switch_off()
    found = disk.recover(random.Random(1), kept)
    again = SqliteOutbox(PATH, GATEWAY, seal_nothing, connect=found.connect)
    assert before > 0
    assert again.after(1, 0, 10) == [entry(1), entry(2)]
    found.switch_off()


def test_a_disk_that_syncs_nothing_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForgetfulDisk, "sync", lambda *_: None)
    tally = cut_power(60, seed=5)
    assert tally.lost + tally.damaged > 0


def test_a_mark_that_is_written_in_pieces_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SqliteOutbox.append

    def append_one_by_one(outbox: SqliteOutbox, entries: Sequence[Entry]) -> None:
        for one in entries:
            whole(outbox, [one])

    monkeypatch.setattr(SqliteOutbox, "append", append_one_by_one)
    assert cut_power(120, seed=5).lost > 0


def test_an_eviction_without_a_tombstone_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteOutbox, "_insert_stone", lambda *_: None)
    assert cut_power(120, seed=5).lost > 0
