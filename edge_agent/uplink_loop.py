"""The uplink's shell: one thread that obeys the state machine, between outbox, broker and the centre's receipts."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from edge_agent.ports import (
    Broker,
    BrokerEvent,
    BrokerUnreachable,
    ConfigArrived,
    Connected,
    Entry,
    Lost,
    Outbox,
    ReceiptArrived,
)
from edge_agent.uplink import LIVE_MAX, Connect, GiveUp, Link, Send, Uplink, Wait
from metering.envelope import EnvelopeMalformed, Verifier, chain_digest
from metering.errors import SenderError
from metering.identity import GatewayId
from metering.receipt import Receipt, open_receipt
from metering.tombstone import parse_tombstone

log = logging.getLogger(__name__)

INBOX_MAX = 1024
"""Events waiting for the uplink; more are dropped, since receipts are cumulative and batches stand in the outbox."""


@dataclass(frozen=True, slots=True)
class Appended:
    """The outbox of `epoch` holds batches up to `seq`."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the loop."""


Event = BrokerEvent | Appended | Stop


class UplinkLoop:
    """Empties the outbox towards the centre, oldest epoch first; what is read meanwhile goes out at once.

    epoch       the gateway's own epoch; batches of earlier ones go out before
    on_config   given the octets of each configuration that arrives, unproven
    on_receipt  given each receipt that is believed, and when it was heard [s, monotonic]
    """

    def __init__(
        self,
        *,
        gateway: GatewayId,
        epoch: int,
        outbox: Outbox,
        centre: Verifier,
        on_config: Callable[[bytes], None] = lambda _: None,
        on_receipt: Callable[[Receipt, float], None] = lambda _, __: None,
    ) -> None:
        self._gateway = gateway
        self._epoch = epoch
        self._outbox = outbox
        self._centre = centre
        self._on_config = on_config
        self._on_receipt = on_receipt
        self._stopping = threading.Event()
        self._inbox: queue.Queue[Event] = queue.Queue(INBOX_MAX)
        self._heard_server_at: dict[int, datetime] = {}
        self._passed: set[int] = set()
        self._refused: set[tuple[int, str]] = set()
        self._ahead_seq = outbox.head(epoch).seq
        self._diverged: dict[int, int] = {}
        self._lane = self._next_lane()
        self._uplink = Uplink(
            receipted_seq=outbox.receipted(self._lane),
            newest_seq=outbox.head(self._lane).seq,
            jitter=random.random,
        )

    @property
    def link(self) -> Link:
        """State of the session with the broker."""
        return self._uplink.link

    def deliver(self, event: Event) -> None:
        """Hand over an event from any thread, without waiting; a full inbox drops it."""
        try:
            self._inbox.put_nowait(event)
        except queue.Full:
            log.warning("uplink-inbox-full", extra={"dropped": type(event).__name__})

    def stop(self) -> None:
        """Ask the loop to end, from any thread."""
        self._stopping.set()
        self.deliver(Stop())

    def run(self, broker: Broker) -> None:
        """Work until `stop`; may be run again after an error."""
        self._uplink.lost(time.monotonic())
        try:
            while not self._stopping.is_set():
                self._take_step(broker)
        finally:
            broker.close()

    def _take_step(self, broker: Broker) -> None:
        if self._lane != self._epoch and self._uplink.is_done:
            self._passed.add(self._lane)
            self._change_lane()
        self._send_ahead(broker)
        match self._uplink.next_step(time.monotonic()):
            case Connect():
                self._connect(broker)
            case GiveUp():
                broker.close()
                self._lose("the broker does not answer")
            case Send(after_seq, limit, live):
                self._send(broker, after_seq, limit, live)
            case Wait(seconds):
                self._receive(seconds)

    def _connect(self, broker: Broker) -> None:
        try:
            broker.connect()
        except BrokerUnreachable as error:
            self._lose(str(error))

    def _receive(self, seconds: float | None) -> None:
        """Wait for an event and take it in."""
        try:
            event = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return
        match event:
            case Stop():
                pass
            case Connected():
                log.info("uplink-connected", extra={"receipted_seq": self._uplink.receipted_seq})
                self._uplink.connected(time.monotonic())
            case Lost(reason):
                self._lose(reason)
            case ReceiptArrived(octets):
                self._receipt(octets)
            case ConfigArrived(octets):
                self._on_config(octets)
            case Appended(epoch, seq):
                if epoch == self._lane:
                    self._uplink.appended(seq)

    def _lose(self, reason: str) -> None:
        log.warning("uplink-lost", extra={"reason": reason})
        self._uplink.lost(time.monotonic())

    def _send(self, broker: Broker, after_seq: int, limit: int, live: bool) -> None:
        """Publish the next batches and tombstones; what is no longer in the outbox at all is a hole."""
        entries = self._outbox.after(self._lane, after_seq, limit)
        first_seq = _first_seq(entries[0], after_seq) if entries else self._uplink.newest_seq + 1
        if first_seq > after_seq + 1 and not live:
            log.error("uplink-hole", extra={"epoch": self._lane, "first_seq": after_seq + 1, "last_seq": first_seq - 1})
            self._uplink.evicted(first_seq - 1)
        if self._publish(broker, entries):
            for entry in entries:
                self._uplink.sent_live(entry.seq) if live else self._uplink.sent(entry.seq, time.monotonic())
            if live and not entries:
                self._uplink.sent_live(self._uplink.newest_seq)

    def _send_ahead(self, broker: Broker) -> None:
        """While an earlier epoch is sent, what this one appends goes out at once."""
        if self._lane == self._epoch or self._uplink.link is not Link.ONLINE:
            return
        if self._outbox.head(self._epoch).seq > self._ahead_seq:
            entries = self._outbox.after(self._epoch, self._ahead_seq, LIVE_MAX)
            if self._publish(broker, entries):
                self._ahead_seq = entries[-1].seq if entries else self._outbox.head(self._epoch).seq

    def _publish(self, broker: Broker, entries: Sequence[Entry]) -> bool:
        """Hand entries over; False if the session ended."""
        for entry in entries:
            if entry.evicted:
                first_seq = _first_seq(entry, entry.seq - 1)
                log.warning("batches-lost", extra={"epoch": entry.epoch, "first_seq": first_seq, "last_seq": entry.seq})
                if entry.epoch == self._lane:
                    self._uplink.told(first_seq)
            try:
                broker.publish(entry.octets)
            except BrokerUnreachable as error:
                self._lose(str(error))
                return False
        return True

    def _receipt(self, octets: bytes) -> None:
        """Believe a receipt only if the centre signed it, for this gateway, about the chain that stands here."""
        try:
            receipt = open_receipt(octets, self._centre)
        except SenderError as error:
            log.warning("receipt-not-believed", extra={"reason": str(error)})
            return
        if receipt.gateway != self._gateway or receipt.epoch > self._epoch:
            return
        if not self._fits_chain(receipt):
            self._diverge(receipt)
            return
        self._diverged.pop(receipt.epoch, None)
        self._on_receipt(receipt, time.monotonic())
        self._recall_if_less(receipt)
        if receipt.epoch != self._lane:
            return
        for seq, reason in set(receipt.refused) - self._refused:
            log.error("batch-refused", extra={"epoch": receipt.epoch, "seq": seq, "reason": reason})
        self._refused = set(receipt.refused)
        self._outbox.acknowledge(receipt.epoch, receipt.contiguous_seq)
        self._uplink.receipted(receipt.contiguous_seq, (seq for seq, _ in receipt.refused), time.monotonic())
        if self._uplink.is_done:
            self._change_lane()

    def _diverge(self, receipt: Receipt) -> None:
        """The centre has a chain of this epoch that is not ours: each batch goes out once, for its quarantine."""
        if self._diverged.get(receipt.epoch) != receipt.contiguous_seq:
            log.error("chain-diverged", extra={"epoch": receipt.epoch, "seq": receipt.contiguous_seq})
        self._diverged[receipt.epoch] = receipt.contiguous_seq
        if receipt.epoch == self._lane:
            self._uplink.diverged()

    def _recall_if_less(self, receipt: Receipt) -> None:
        """A newer receipt that covers less than an older one: the centre was restored, and needs the rest again."""
        heard_at = self._heard_server_at.get(receipt.epoch)
        if heard_at is not None and receipt.server_time <= heard_at:
            return
        self._heard_server_at[receipt.epoch] = receipt.server_time
        if receipt.contiguous_seq >= self._outbox.receipted(receipt.epoch):
            return
        log.warning("centre-fell-back", extra={"epoch": receipt.epoch, "seq": receipt.contiguous_seq})
        self._outbox.recall(receipt.epoch, receipt.contiguous_seq)
        self._passed.discard(receipt.epoch)
        if receipt.epoch == self._lane:
            self._uplink.recalled(receipt.contiguous_seq, time.monotonic())
        elif receipt.epoch < self._lane:
            self._change_lane()

    def _fits_chain(self, receipt: Receipt) -> bool:
        """Say whether the centre's head is a batch of this chain; if not, this gateway was cloned or set back."""
        if receipt.contiguous_seq == 0:
            return True
        found = self._outbox.after(receipt.epoch, receipt.contiguous_seq - 1, 1)
        if not found or found[0].seq != receipt.contiguous_seq:
            return receipt.contiguous_seq <= self._outbox.head(receipt.epoch).seq
        return _digest_at(found[0]) in (receipt.head_hash, None)

    def _next_lane(self) -> int:
        """Give the oldest epoch that has something to send; what was passed behind a hole has nothing any more."""
        return min([*(set(self._outbox.unfinished_epochs()) - self._passed), self._epoch])

    def _change_lane(self) -> None:
        lane = self._next_lane()
        if lane != self._lane:
            self._lane = lane
            self._uplink.begin(receipted_seq=self._outbox.receipted(lane), newest_seq=self._outbox.head(lane).seq)


def _first_seq(entry: Entry, after_seq: int) -> int:
    """Give the first seq that an entry stands for; a tombstone of old form says nothing of it."""
    if not entry.evicted:
        return entry.seq
    try:
        return parse_tombstone(entry.octets).first_seq
    except EnvelopeMalformed:
        return after_seq + 1


def _digest_at(entry: Entry) -> bytes | None:
    """Give the digest that the successor of an entry names; None where it cannot be read."""
    try:
        return parse_tombstone(entry.octets).last_digest if entry.evicted else chain_digest(entry.octets)
    except EnvelopeMalformed:
        return None
