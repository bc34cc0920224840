"""The uplink's shell with a scripted broker: receipts it believes, and those it does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from edge_agent.ports import Connected, Lost, ReceiptArrived
from edge_agent.uplink_loop import INBOX_MAX, Appended, UplinkLoop
from metering.envelope import chain_digest
from metering.identity import GatewayId
from metering.receipt import Receipt, seal_receipt
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
        found = [each for each in self.outbox.entries if each.epoch == epoch and each.seq == seq]
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
    station.go_online()
    assert len(station.broker.published) == 3
    station.receipt(3)
    station.step()
    assert station.broker.published[3:] == [entry(1, epoch=2).octets]
    station.receipt(1, epoch=2)
    assert station.outbox.unfinished_epochs() == []


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


def test_a_tombstone_is_not_sent_and_holds_up_nothing(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    stone = entry(2, octets=b"tombstone of 1 and 2")
    station.outbox.entries[0:2] = [type(stone)(1, 2, stone.sealed_at, stone.mark, stone.octets, True)]
    station.go_online()
    assert station.broker.published == [entry(3).octets]
    assert "uplink-hole" in caplog.text


def test_a_tombstone_alone_in_its_helping_hides_no_batch_behind_it(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.uplink.WINDOW", 1)
    stone = entry(2, octets=b"tombstone of 1 and 2")
    station.outbox.entries[0:2] = [type(stone)(1, 2, stone.sealed_at, stone.mark, stone.octets, True)]
    station.go_online()
    station.step()
    assert station.broker.published == [entry(3).octets]


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
