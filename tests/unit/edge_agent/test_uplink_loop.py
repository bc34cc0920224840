"""The uplink's shell with a scripted broker: receipts it believes, and those it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from edge_agent.ports import ConfigArrived, Connected, Entry, Lost, ReceiptArrived
from edge_agent.uplink import Link, Wait
from edge_agent.uplink_loop import INBOX_MAX, Appended, UplinkLoop
from metering.envelope import chain_digest
from metering.identity import GatewayId
from metering.receipt import Receipt, seal_receipt
from metering.tombstone import Tombstone, seal_tombstone
from tests.doubles.edge import GATEWAY, START, MemoryOutbox, ScriptedBroker, entry


class Station:
    """An uplink with everything around it; `step` lets it do one thing, without a thread."""

    def __init__(self, centre_signer: Any, epoch: int = 1, entries: int = 3) -> None:
        self.centre_signer = centre_signer
        self.outbox = MemoryOutbox()
        self.outbox.append([entry(seq) for seq in range(1, entries + 1)])
        self.broker = ScriptedBroker()
        self.epoch = epoch
        self.loop = UplinkLoop(gateway=GATEWAY, epoch=epoch, outbox=self.outbox, centre=centre_signer.verifier)

    def step(self, times: int = 1) -> None:
        """Take so many steps."""
        for _ in range(times):
            self.loop._take_step(self.broker)

    def go_online(self) -> None:
        """Connect and send what there is."""
        self.loop.deliver(Connected())
        self.step(3)

    def receipt(self, seq: int, **changes: Any) -> None:
        """Let a receipt arrive and be taken in."""
        signer = changes.pop("signer", self.centre_signer)
        epoch = changes.get("epoch", 1)
        found = [one for one in self.outbox.entries if one.epoch == epoch and one.seq == seq and not one.evicted]
        receipt = Receipt(
            gateway=changes.get("gateway", GATEWAY),
            epoch=epoch,
            contiguous_seq=seq,
            head_hash=changes.get("head_hash", chain_digest(found[0].octets) if found else bytes(32)),
            server_time=changes.get("server_time", START),
            refused=changes.get("refused", ()),
        )
        self.loop.deliver(ReceiptArrived(seal_receipt(receipt, signer)))
        self.step()


@pytest.fixture
def station(centre_signer: Any) -> Station:
    """An uplink with three batches to send."""
    return Station(centre_signer)


def test_everything_in_the_outbox_is_published(station: Station) -> None:
    station.go_online()
    assert station.broker.published == [each.octets for each in station.outbox.entries]


def test_a_receipt_frees_what_it_covers(station: Station) -> None:
    station.go_online()
    station.receipt(2)
    assert station.outbox.receipted(1) == 2


def test_a_receipt_with_another_key_is_ignored(station: Station, gateway_signer: Any) -> None:
    station.go_online()
    station.receipt(2, signer=gateway_signer)
    assert station.outbox.receipted(1) == 0


def test_octets_that_are_no_receipt_are_ignored(station: Station) -> None:
    station.go_online()
    station.loop.deliver(ReceiptArrived(b"\xff\x00"))
    station.step()
    assert station.outbox.receipted(1) == 0


def test_a_receipt_for_another_gateway_is_ignored(station: Station) -> None:
    station.go_online()
    station.receipt(2, gateway=GatewayId("gw-b"))
    assert station.outbox.receipted(1) == 0


def test_a_receipt_for_another_chain_frees_nothing(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    station.go_online()
    station.receipt(2, head_hash=bytes(range(32)))
    assert station.outbox.receipted(1) == 0
    assert "chain-diverged" in caplog.text


def test_a_receipt_ahead_of_this_chain_frees_nothing(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    station.go_online()
    station.receipt(99)
    assert station.outbox.receipted(1) == 0
    assert "chain-diverged" in caplog.text


def test_a_diverged_chain_is_told_once_and_not_sent_for_ever(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    station.go_online()
    for _ in range(3):
        station.receipt(2, head_hash=bytes(range(32)))
    assert caplog.text.count("chain-diverged") == 1
    machine = station.loop._uplink
    for hours in range(1, 4):
        assert machine.next_step(time.monotonic() + 3600.0 * hours) == Wait(None)
    assert len(station.broker.published) == 3
    station.receipt(3)
    assert station.outbox.receipted(1) == 3


def test_receipts_and_configurations_are_handed_on(centre_signer: Any) -> None:
    receipts: list[Receipt] = []
    configurations: list[bytes] = []
    station = Station(centre_signer)
    station.loop = UplinkLoop(
        gateway=GATEWAY,
        epoch=1,
        outbox=station.outbox,
        centre=centre_signer.verifier,
        on_config=configurations.append,
        on_receipt=lambda receipt, _: receipts.append(receipt),
    )
    station.go_online()
    assert station.loop.link is Link.ONLINE
    station.receipt(2)
    station.receipt(2, head_hash=bytes(range(32)))
    station.loop.deliver(ConfigArrived(b"settings"))
    station.step()
    assert [receipt.contiguous_seq for receipt in receipts] == [2]
    assert configurations == [b"settings"]


def test_a_refused_batch_is_told_once(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    station.go_online()
    station.receipt(2, refused=((1, "meter-unbound"),))
    station.receipt(3, refused=((1, "meter-unbound"),))
    assert caplog.text.count("batch-refused") == 1


def test_a_centre_restored_from_a_backup_gets_its_batches_again(station: Station) -> None:
    station.go_online()
    station.receipt(3)
    station.receipt(1, server_time=START + timedelta(hours=1))
    station.step()
    assert station.broker.published[3:] == [each.octets for each in station.outbox.entries[1:]]


def test_an_old_receipt_that_comes_late_is_no_fall_back(station: Station) -> None:
    station.go_online()
    station.receipt(3, server_time=START + timedelta(seconds=1))
    station.receipt(1, server_time=START)
    assert station.loop._uplink.receipted_seq == 3


def test_batches_of_an_earlier_epoch_go_first(centre_signer: Any) -> None:
    station = Station(centre_signer, epoch=2)
    station.outbox.append([entry(1, epoch=2)])
    station.loop = UplinkLoop(gateway=GATEWAY, epoch=2, outbox=station.outbox, centre=centre_signer.verifier)
    station.go_online()
    assert len(station.broker.published) == 3
    station.receipt(3)
    station.step()
    assert station.broker.published[3:] == [entry(1, epoch=2).octets]
    station.receipt(1, epoch=2)
    assert station.outbox.unfinished_epochs() == []


def test_what_is_read_now_does_not_wait_for_an_earlier_epoch(centre_signer: Any) -> None:
    station = Station(centre_signer, epoch=2)
    station.go_online()
    station.outbox.append([entry(1, epoch=2)])
    station.loop.deliver(Appended(2, 1))
    station.step()
    assert station.broker.published[3:] == [entry(1, epoch=2).octets]


def rekeyed(centre_signer: Any) -> Station:
    """An uplink in its second epoch; everything of both is receipted."""
    station = Station(centre_signer, epoch=2)
    station.outbox.append([entry(1, epoch=2), entry(2, epoch=2)])
    station.go_online()
    station.receipt(3)
    station.step()
    station.receipt(2, epoch=2)
    assert station.outbox.unfinished_epochs() == []
    station.broker.published.clear()
    return station


def test_a_restored_centre_gets_batches_of_an_earlier_epoch_again(centre_signer: Any) -> None:
    station = rekeyed(centre_signer)
    station.receipt(1, epoch=1, server_time=START + timedelta(hours=1))
    station.step()
    assert station.broker.published == [each.octets for each in station.outbox.entries[1:3]]
    station.receipt(3, epoch=1, server_time=START + timedelta(hours=2))
    assert station.loop._lane == 2


def test_both_epochs_asked_for_at_once_are_sent_the_older_first(centre_signer: Any) -> None:
    station = rekeyed(centre_signer)
    for epoch in (1, 2):
        station.receipt(0, epoch=epoch, server_time=START + timedelta(hours=1))
    station.step()
    station.receipt(3, epoch=1, server_time=START + timedelta(hours=2))
    station.step()
    assert station.broker.published == [each.octets for each in station.outbox.entries]


def test_an_old_receipt_of_an_earlier_epoch_is_no_fall_back(centre_signer: Any) -> None:
    station = rekeyed(centre_signer)
    station.receipt(1, epoch=1, server_time=START - timedelta(seconds=1))
    assert (station.loop._lane, station.broker.published) == (2, [])


def test_a_recall_is_written_down_at_once(centre_signer: Any) -> None:
    station = rekeyed(centre_signer)
    station.receipt(1, epoch=1, server_time=START + timedelta(hours=1))
    assert station.outbox.receipted(1) == 1
    again = UplinkLoop(gateway=GATEWAY, epoch=2, outbox=station.outbox, centre=centre_signer.verifier)
    assert again._lane == 1


def test_a_recall_of_what_is_gone_for_good_holds_up_no_later_epoch(centre_signer: Any) -> None:
    station = rekeyed(centre_signer)
    del station.outbox.entries[:3]
    station.outbox.heads_of_freed[1] = 3
    station.receipt(1, epoch=1, head_hash=bytes(32), server_time=START + timedelta(hours=1))
    assert station.loop._lane == 1
    station.step()
    station.outbox.append([entry(3, epoch=2)])
    station.loop.deliver(Appended(2, 3))
    station.step(2)
    assert station.broker.published == [entry(3, epoch=2).octets]


def test_a_batch_appended_while_online_goes_out_at_once(station: Station) -> None:
    station.go_online()
    station.outbox.append([entry(4)])
    station.loop.deliver(Appended(1, 4))
    station.step(2)
    assert station.broker.published[-1] == entry(4).octets


def buried(station: Station, signer: Any, first_seq: int, last_seq: int) -> Entry:
    """Put a tombstone in place of a run."""
    lost = station.outbox.entries[last_seq - 1]
    stone = Tombstone(GATEWAY, 1, first_seq, last_seq, chain_digest(lost.octets))
    grave = Entry(1, last_seq, lost.sealed_at, lost.mark, seal_tombstone(stone, signer), True)
    station.outbox.entries[first_seq - 1 : last_seq] = [grave]
    return grave


def test_a_tombstone_is_sent_in_place_of_its_run(
    station: Station, gateway_signer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    grave = buried(station, gateway_signer, 1, 2)
    station.go_online()
    assert station.broker.published == [grave.octets, entry(3).octets]
    assert "batches-lost" in caplog.text
    assert "uplink-hole" not in caplog.text
    station.receipt(2, head_hash=chain_digest(entry(2).octets))
    assert station.outbox.receipted(1) == 2


def test_a_receipt_that_ends_at_a_tombstone_must_name_its_digest(station: Station, gateway_signer: Any) -> None:
    buried(station, gateway_signer, 1, 2)
    station.go_online()
    station.receipt(2, head_hash=bytes(range(32)))
    assert station.outbox.receipted(1) == 0


def test_a_tombstone_alone_in_its_helping_hides_no_batch_behind_it(station: Station, gateway_signer: Any) -> None:
    grave = buried(station, gateway_signer, 1, 2)
    station.loop._uplink._window = 3
    station.go_online()
    station.step()
    assert station.broker.published == [grave.octets, entry(3).octets]


def test_what_is_gone_without_a_tombstone_holds_up_nothing(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    del station.outbox.entries[0:2]
    station.go_online()
    assert station.broker.published == [entry(3).octets]
    assert "uplink-hole" in caplog.text


def test_a_broker_that_is_away_is_tried_again(station: Station) -> None:
    station.broker.is_away = True
    station.step(2)
    assert station.broker.sessions == 0
    station.broker.is_away = False
    station.step()
    assert station.broker.sessions == 1


def test_a_session_that_breaks_while_sending_starts_over(station: Station) -> None:
    station.broker.takes_messages = False
    station.go_online()
    station.broker.takes_messages = True
    station.step(2)
    station.loop.deliver(Connected())
    station.step(2)
    assert station.broker.published == [each.octets for each in station.outbox.entries]


def test_a_lost_session_is_followed_by_a_pause(station: Station) -> None:
    station.go_online()
    station.loop.deliver(Lost("cable"))
    station.step(3)
    assert station.broker.sessions == 2


def test_a_full_inbox_drops_and_never_waits(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    for seq in range(INBOX_MAX + 1):
        station.loop.deliver(Appended(1, seq))
    assert "uplink-inbox-full" in caplog.text


@pytest.fixture
def running(station: Station) -> Iterator[threading.Thread]:
    """The loop in a thread of its own."""
    thread = threading.Thread(target=station.loop.run, args=(station.broker,))
    thread.start()
    yield thread
    station.loop.stop()
    thread.join(5)


def test_stop_ends_the_loop_and_closes_the_session(station: Station, running: threading.Thread) -> None:
    station.loop.stop()
    running.join(5)
    assert not running.is_alive()
    assert station.broker.closed == 1
