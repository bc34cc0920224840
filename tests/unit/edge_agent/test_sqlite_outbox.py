"""The outbox on disk; what every outbox must do is asked of the one in memory too."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge_agent.adapters.sqlite_outbox import KEPT, EpochExtent, SqliteOutbox, read_extents
from edge_agent.ports import ChainHead, Entry, Outbox, OutboxDamaged
from metering.envelope import chain_digest, parse_sealed
from metering.tombstone import LossCause, Tombstone, open_tombstone, parse_tombstone, seal_tombstone
from tests.conftest import MARK
from tests.doubles.chains import Gateway
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
    found = outbox.after(1, 0, 20)
    assert [(each.seq, each.evicted) for each in found] == [
        *((3, True), (4, False), (5, True), (6, False), (7, False), (8, False))  # 4 and 8 are full hours
    ]
    opened = open_tombstone(found[0].octets, gateway_signer.verifier)
    assert (opened.gateway, opened.epoch, opened.first_seq, opened.last_seq) == (GATEWAY, 1, 1, 3)
    assert opened.last_digest == chain_digest(entry(3).octets)


def linked(length: int) -> list[Entry]:
    """A real chain of sweeps, one a quarter hour, the first at a full hour."""
    return [
        Entry(1, seq, (mark := MARK + (seq - 1) * QUARTER) + timedelta(seconds=9), mark, arrival.octets)
        for seq, arrival in enumerate(Gateway().chain(length), start=1)
    ]


def assert_linked(found: Sequence[Entry]) -> None:
    """Walk the chain across tombstones, as the centre does."""
    seq, digest = 0, bytes(32)
    for each in found:
        if each.evicted:
            stone = parse_tombstone(each.octets)
            assert (stone.first_seq, stone.previous_hash) == (seq + 1, digest)
            digest = stone.last_digest
        else:
            envelope = parse_sealed(each.octets).envelope
            assert (envelope.seq, envelope.previous_hash) == (seq + 1, digest)
            digest = chain_digest(each.octets)
        seq = each.seq


def test_a_full_outbox_gives_up_quarter_hours_before_full_hours(make: Any) -> None:
    chain = linked(40)
    outbox = make(octets_max=sum(len(each.octets) for each in chain[:24]))
    for each in chain:
        outbox.append([each])
    found = outbox.after(1, 0, 100)
    assert_linked(found)
    kept = [each.mark for each in found if not each.evicted]
    assert {mark for mark in (each.mark for each in chain) if mark.minute == 0} <= set(kept)
    assert kept[-8:] == [each.mark for each in chain[-8:]]
    first = parse_tombstone(next(each for each in found if each.evicted).octets)
    assert (first.first_mark, first.last_mark) == (MARK + QUARTER, MARK + 3 * QUARTER)


def test_hours_go_last_the_oldest_first_and_tombstones_join(make: Any) -> None:
    chain = linked(60)
    outbox = make(octets_max=sum(len(each.octets) for each in chain[:6]))
    for each in chain:
        outbox.append([each])
    found = outbox.after(1, 0, 100)
    assert_linked(found)
    assert found[0].evicted
    hours = [each.mark for each in found if not each.evicted and each.mark is not None and each.mark.minute == 0]
    assert hours == [each.mark for each in chain if each.mark is not None and each.mark.minute == 0][-len(hours) :]
    assert len(hours) >= 2


def test_what_has_no_mark_goes_before_any_sweep(make: Any) -> None:
    status = [replace(entry(seq), mark=None) if seq % 2 else entry(seq) for seq in range(1, 11)]
    outbox = make(octets_max=8 * len(entry(1).octets))
    for each in status:
        outbox.append([each])
    evicted = [each.seq for each in outbox.after(1, 0, 100) if each.evicted]
    assert evicted == [1, 3, 5]


def test_what_has_no_mark_brings_no_old_marks_back(make: Any) -> None:
    outbox = make()
    outbox.append([entry(1), replace(entry(2), mark=None)])
    assert outbox.newest_mark() == entry(1).mark
    assert make().newest_mark() == entry(1).mark


def test_an_earlier_epoch_that_nobody_receipts_keeps_nothing_receipted_from_being_freed(make: Any) -> None:
    outbox = make(octets_max=6 * len(entry(1).octets))
    outbox.append([entry(1), entry(2)])
    outbox.append([entry(seq, epoch=2) for seq in (1, 2, 3)])
    outbox.acknowledge(2, 3)
    outbox.append([entry(seq, epoch=2) for seq in (4, 5, 6)])
    assert [each.seq for each in outbox.after(1, 0, 10)] == [1, 2]
    assert [each.seq for each in outbox.after(2, 0, 10)] == [3, 4, 5, 6]


def test_what_a_restored_centre_asks_for_too_late_is_told_by_a_tombstone(make: Any, gateway_signer: Any) -> None:
    chain = linked(6)
    outbox = make()
    outbox.append(chain[:5])
    outbox.acknowledge(1, 5)
    outbox.append([replace(chain[5], sealed_at=chain[3].sealed_at + KEPT + timedelta(seconds=1))])
    assert outbox.after(1, 0, 10)[0].seq == 5
    outbox.recall(1, 2)
    stone, *kept = make().after(1, 2, 10)
    assert [each.seq for each in kept] == [5, 6]
    opened = open_tombstone(stone.octets, gateway_signer.verifier)
    assert (opened.first_seq, opened.last_seq, opened.cause) == (3, 4, LossCause.KEPT_NO_LONGER)
    assert opened.last_digest == chain_digest(chain[3].octets)


def test_a_recall_of_everything_when_nothing_is_kept_is_told_too(make: Any, gateway_signer: Any) -> None:
    chain = linked(3)
    outbox = make()
    outbox.append(chain)
    outbox.acknowledge(1, 3)
    outbox.append([entry(1, epoch=2, sealed_at=chain[2].sealed_at + 2 * KEPT)])
    outbox.recall(1, 0)
    (stone,) = outbox.after(1, 0, 10)
    opened = open_tombstone(stone.octets, gateway_signer.verifier)
    assert (opened.first_seq, opened.last_seq, opened.last_digest) == (1, 3, chain_digest(chain[2].octets))
    assert outbox.unfinished_epochs() == [1, 2]


def test_a_full_outbox_stays_bounded_for_ever(make: Any, path: Path) -> None:
    octets_max = 5 * len(entry(1).octets)
    outbox = make(octets_max=octets_max)
    for seq in range(1, 200):
        outbox.append([entry(seq)])
        if seq % 50 == 0:
            outbox = make(octets_max=octets_max)
    (extent,) = read_extents(path)
    assert extent.octets <= octets_max
    assert extent.evicted <= 4
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
