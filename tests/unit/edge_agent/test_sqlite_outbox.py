"""The outbox on disk; what every outbox must do is asked of the one in memory too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge_agent.adapters.sqlite_outbox import KEPT, EpochExtent, SqliteOutbox, read_extents
from edge_agent.ports import ChainHead, Outbox, OutboxDamaged
from edge_agent.tombstone import Tombstone, open_tombstone, parse_tombstone, seal_tombstone
from metering.envelope import chain_digest
from tests.doubles.edge import GATEWAY, QUARTER, START, MemoryOutbox, entry


def seal_nothing(stone: Tombstone) -> bytes:
    """For outboxes that never evict."""
    raise AssertionError(stone)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox lies."""
    return tmp_path / "outbox.db"


@pytest.fixture
def make(path: Path, gateway_signer: Any) -> Iterator[Any]:
    """Opens the outbox again and again, as restarts of the gateway do."""
    opened: list[SqliteOutbox] = []

    def open_outbox(octets_max: int = 10**9) -> SqliteOutbox:
        for each in opened:
            each.close()
        opened[:] = [
            SqliteOutbox(path, GATEWAY, lambda stone: seal_tombstone(stone, gateway_signer), octets_max=octets_max)
        ]
        return opened[0]

    yield open_outbox
    for each in opened:
        each.close()


@pytest.fixture(params=["sqlite", "memory"])
def outbox(request: pytest.FixtureRequest, make: Any) -> Outbox:
    """Either outbox."""
    chosen: Outbox = make() if request.param == "sqlite" else MemoryOutbox()
    return chosen


def test_a_new_chain_begins_with_zero_octets(outbox: Outbox) -> None:
    assert outbox.head(1) == ChainHead(1, 0, bytes(32), None)
    assert outbox.after(1, 0, 10) == []
    assert outbox.unfinished_epochs() == []


def test_batches_come_back_in_order_and_whole(outbox: Outbox) -> None:
    outbox.append([entry(1), entry(2)])
    outbox.append([entry(3)])
    assert outbox.after(1, 0, 10) == [entry(1), entry(2), entry(3)]
    assert outbox.after(1, 1, 1) == [entry(2)]
    assert outbox.head(1) == ChainHead(1, 3, chain_digest(entry(3).octets), entry(3).mark)


def test_a_gap_in_seq_is_refused(outbox: Outbox) -> None:
    outbox.append([entry(1)])
    with pytest.raises(OutboxDamaged):
        outbox.append([entry(3)])
    assert outbox.head(1).seq == 1


def test_receipts_only_rise_and_never_pass_the_head(outbox: Outbox) -> None:
    outbox.append([entry(1), entry(2), entry(3)])
    outbox.acknowledge(1, 2)
    outbox.acknowledge(1, 1)
    assert outbox.receipted(1) == 2
    assert outbox.unfinished_epochs() == [1]
    outbox.acknowledge(1, 99)
    assert outbox.receipted(1) == 3
    assert outbox.unfinished_epochs() == []


def test_a_recall_takes_receipts_back_and_gives_none(outbox: Outbox) -> None:
    outbox.append([entry(1), entry(2), entry(3)])
    outbox.acknowledge(1, 3)
    outbox.recall(1, 1)
    assert (outbox.receipted(1), outbox.unfinished_epochs()) == (1, [1])
    outbox.recall(1, 2)
    assert outbox.receipted(1) == 1


def test_each_epoch_has_its_own_chain(outbox: Outbox) -> None:
    outbox.append([entry(1), entry(2)])
    outbox.append([entry(1, epoch=2)])
    outbox.acknowledge(2, 1)
    assert outbox.after(1, 0, 10) == [entry(1), entry(2)]
    assert outbox.after(2, 0, 10) == [entry(1, epoch=2)]
    assert outbox.unfinished_epochs() == [1]


def test_a_restart_finds_everything(make: Any) -> None:
    make().append([entry(1), entry(2)])
    again = make()
    assert again.after(1, 0, 10) == [entry(1), entry(2)]
    assert again.head(1).digest == chain_digest(entry(2).octets)


def test_receipts_are_written_with_the_next_commit(make: Any, path: Path) -> None:
    outbox = make()
    outbox.append([entry(1), entry(2)])
    outbox.acknowledge(1, 1)
    assert [extent.receipted_seq for extent in read_extents(path)] == [0]
    outbox.append([entry(3)])
    assert [extent.receipted_seq for extent in read_extents(path)] == [1]


def test_receipts_are_written_at_the_end(make: Any) -> None:
    outbox = make()
    outbox.append([entry(1), entry(2)])
    outbox.acknowledge(1, 2)
    assert make().receipted(1) == 2


def test_commits_are_synced_to_the_disk(make: Any) -> None:
    connection = make()._connection
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2  # FULL


def test_receipted_batches_stay_thirty_days_of_their_own_time(make: Any) -> None:
    outbox = make()
    outbox.append([entry(seq) for seq in range(1, 6)])
    outbox.acknowledge(1, 4)
    outbox.append([entry(6, sealed_at=entry(2).sealed_at + KEPT)])
    assert [each.seq for each in outbox.after(1, 0, 10)] == [2, 3, 4, 5, 6]
    outbox.append([entry(7, sealed_at=entry(5).sealed_at + KEPT + QUARTER)])
    assert [each.seq for each in outbox.after(1, 0, 10)] == [5, 6, 7]


def test_unreceipted_batches_stay_however_old(make: Any) -> None:
    outbox = make()
    outbox.append([entry(1)])
    outbox.append([entry(2, sealed_at=START + 100 * KEPT)])
    assert [each.seq for each in outbox.after(1, 0, 10)] == [1, 2]


def test_a_full_outbox_frees_receipted_batches_first(make: Any) -> None:
    octets = len(entry(1).octets)
    outbox = make(octets_max=5 * octets)
    outbox.append([entry(seq) for seq in range(1, 6)])
    outbox.acknowledge(1, 2)
    outbox.append([entry(6), entry(7)])
    found = outbox.after(1, 0, 10)
    assert [each.seq for each in found] == [3, 4, 5, 6, 7]
    assert not any(each.evicted for each in found)


def test_a_full_outbox_leaves_a_signed_tombstone_that_keeps_the_chain(make: Any, gateway_signer: Any) -> None:
    octets = len(entry(1).octets)
    outbox = make(octets_max=5 * octets)
    for seq in range(1, 9):
        outbox.append([entry(seq)])
    stone, *kept = outbox.after(1, 0, 20)
    assert stone.evicted
    assert [each.seq for each in kept] == [5, 6, 7, 8]
    opened = open_tombstone(stone.octets, gateway_signer.verifier)
    assert (opened.gateway, opened.epoch, opened.first_seq, opened.last_seq) == (GATEWAY, 1, 1, 4)
    assert opened.last_digest == chain_digest(entry(4).octets)


def test_a_full_outbox_stays_bounded_for_ever(make: Any, path: Path) -> None:
    octets_max = 5 * len(entry(1).octets)
    outbox = make(octets_max=octets_max)
    for seq in range(1, 200):
        outbox.append([entry(seq)])
        if seq % 50 == 0:
            outbox = make(octets_max=octets_max)
    (extent,) = read_extents(path)
    assert extent.octets <= octets_max
    assert extent.evicted == 1
    assert parse_tombstone(outbox.after(1, 0, 1)[0].octets).first_seq == 1


def test_the_head_survives_when_everything_was_freed(make: Any) -> None:
    outbox = make()
    outbox.append([entry(1), entry(2)])
    outbox.acknowledge(1, 2)
    outbox.append([entry(1, epoch=2, sealed_at=START + 2 * KEPT)])
    again = make()
    assert again.after(1, 0, 10) == []
    assert again.head(1) == ChainHead(1, 2, chain_digest(entry(2).octets), entry(2).mark)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entry SET octets = x'00' WHERE position = (SELECT MAX(position) FROM entry)",
        "UPDATE chain SET seq = seq - 1",
    ],
    ids=["newest-batch-changed", "head-set-back"],
)
def test_a_head_that_is_not_the_newest_batch_is_damage(make: Any, path: Path, damage: str) -> None:
    make().append([entry(1), entry(2)])
    connection = apsw.Connection(str(path))
    connection.execute(damage)
    connection.close()
    with pytest.raises(OutboxDamaged, match="head of its chain"):
        SqliteOutbox(path, GATEWAY, seal_nothing)


def test_a_commit_that_fails_leaves_the_chain_as_it_was(make: Any, path: Path) -> None:
    outbox = make()
    outbox.append([entry(1)])
    blocker = apsw.Connection(str(path))
    outbox._connection.set_busy_timeout(0)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutboxDamaged, match="cannot be written"):
        outbox.append([entry(2)])
    blocker.execute("ROLLBACK")
    blocker.close()
    assert outbox.head(1).seq == 1
    outbox.append([entry(2)])
    assert [each.seq for each in make().after(1, 0, 10)] == [1, 2]


def test_an_epoch_beyond_the_order_is_refused(make: Any) -> None:
    with pytest.raises(OutboxDamaged, match="epoch"):
        make().append([entry(1, epoch=2**22)])


def test_the_uplink_may_read_while_the_poll_cycle_writes(make: Any) -> None:
    outbox = make()
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seqs = [each.seq for each in outbox.after(1, 0, 1000)]
            assert seqs == list(range(1, len(seqs) + 1))
            outbox.acknowledge(1, len(seqs))
            seen.append(len(seqs))

    reader = threading.Thread(target=read)
    reader.start()
    for seq in range(1, 100):
        outbox.append([entry(seq)])
    done.set()
    reader.join()
    assert outbox.head(1).seq == 99
    assert seen


def test_extents_tell_what_is_stored_without_touching_it(make: Any, path: Path) -> None:
    outbox = make()
    outbox.append([entry(1), entry(2), entry(3)])
    outbox.acknowledge(1, 1)
    before = path.stat().st_mtime_ns
    (extent,) = read_extents(path)
    assert extent == EpochExtent(outbox.head(1), 0, 3, 3 * len(entry(1).octets), 0)
    assert path.stat().st_mtime_ns == before


def test_a_file_that_is_no_outbox_is_reported(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"this is not a database, and longer than a header" * 10)
    with pytest.raises(OutboxDamaged, match="cannot be read"):
        read_extents(tmp_path / "other.db")
    with pytest.raises(OutboxDamaged, match="cannot be opened"):
        SqliteOutbox(tmp_path / "other.db", GATEWAY, seal_nothing)


def test_a_batch_a_quarter_hour_is_freed_no_faster_than_the_bound(make: Any) -> None:
    outbox = make()
    outbox.append([entry(seq) for seq in range(1, 201)])
    outbox.acknowledge(1, 200)
    outbox.append([entry(201, sealed_at=START + 10 * KEPT)])
    assert outbox.after(1, 0, 1)[0].seq == 65
    outbox.append([entry(202, sealed_at=START + 10 * KEPT + timedelta(minutes=15))])
    assert outbox.after(1, 0, 1)[0].seq == 129
