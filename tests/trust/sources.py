"""Gateways that send without end. Each forgets an envelope once a receipt covers it: what is lost then stays lost."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from metering.envelope import chain_digest, digest_of
from metering.errors import MeteringError
from metering.receipt import Receipt, open_receipt
from metering.topics import partition_of, receipt_topic
from tests.doubles.chains import Gateway
from tests.doubles.sending_gateway import CENTRE

WINDOW = 48
"""Envelopes without receipt that a gateway sends before it waits."""
BURST = 2
"""Most new envelopes of one gateway in one step."""
STEP_S = 0.05
SILENCE_S = 1.5
"""After so long without a receipt everything that has none is sent again [s]; doubled each time, up to the longest."""
SILENCE_S_MAX = 12.0
REPEATS = 0.04
"""How often, of all steps, a gateway sends something again for no reason."""
RECEIPTED_KEPT = 32
"""Envelopes kept beyond their receipt, to be sent again once the database was seen to hold them."""


class Source:
    """One gateway, its chain, and its session with the broker.

    producing   whether it makes new envelopes
    resends     whether it sends anything twice; without that all rests on the broker and on intake's acknowledgements
    faults      what no gateway should ever see
    """

    def __init__(self, gateway: Gateway, port: int, news: threading.Condition, rng: random.Random) -> None:
        self.gateway = gateway
        self.producing = True
        self.resends = True
        self.faults: list[str] = []
        self.digests: list[bytes] = []
        self.links: list[bytes] = []
        self.receipted = 0
        self.receipts = 0
        self.repeats = 0
        self._seen_in_books = 0
        self._unreceipted: dict[int, bytes] = {}
        self._receipted: deque[tuple[int, bytes]] = deque(maxlen=RECEIPTED_KEPT)
        self._heard_at = datetime.min.replace(tzinfo=UTC)
        self._moved_s, self._silence_s = time.monotonic(), SILENCE_S
        self._rng = rng
        self._news = news
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=gateway.name, protocol=mqtt.MQTTv311)
        self._client.username_pw_set(gateway.name, "secret")
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(receipt_topic(gateway.id), qos=1)
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", port)

    @property
    def sent(self) -> int:
        """How many envelopes it has made."""
        return len(self.digests)

    @property
    def is_done(self) -> bool:
        """Whether everything is receipted."""
        return self.receipted == self.sent

    def start(self) -> None:
        """Connect, and stay connected."""
        self._client.loop_start()

    def stop(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def saw_in_books(self, seq: int) -> None:
        """Note that the database holds everything up to `seq`: only this may be repeated after its receipt."""
        self._seen_in_books = seq

    def step(self) -> None:
        """Send what is new, what had no receipt for too long, and now and then something for no reason."""
        if not self._client.is_connected():
            return
        with self._lock:
            batch = [self._seal() for _ in range(self._room())]
            again = self._again()
            self.repeats += len(again)
        for octets in (*batch, *again):
            self._client.publish(self.gateway.topic, octets, qos=1)

    def _room(self) -> int:
        room = min(BURST, WINDOW - len(self._unreceipted)) if self.producing else 0
        return self._rng.randint(0, room) if room > 0 else 0

    def _seal(self) -> bytes:
        """Make the next envelope of the chain."""
        seq = self.sent + 1
        octets = self.gateway.sealed(self.gateway.envelope(seq, self.links[-1] if self.links else bytes(32))).octets
        self.digests.append(digest_of(octets))
        self.links.append(chain_digest(octets))
        self._unreceipted[seq] = octets
        return octets

    def _again(self) -> list[bytes]:
        if not self.resends:
            return []
        if time.monotonic() - self._moved_s > self._silence_s:
            self._moved_s, self._silence_s = time.monotonic(), min(2 * self._silence_s, SILENCE_S_MAX)
            return list(self._unreceipted.values())
        if self._rng.random() < REPEATS:
            held = [octets for seq, octets in self._receipted if seq <= self._seen_in_books]
            known = [*held, *self._unreceipted.values()]
            return self._rng.sample(known, min(3, len(known)))
        return []

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            receipt = open_receipt(bytes(message.payload), CENTRE.verifier)
        except MeteringError as error:
            self.faults.append(f"{self.gateway.name}: a receipt that nobody signed: {error}")
            return
        with self._lock:
            self.receipts += 1
            if (fault := self._fault_of(receipt)) is not None:
                self.faults.append(f"{self.gateway.name}: {fault}")
                return
            self._heard_at = max(self._heard_at, receipt.server_time)
            for seq in range(self.receipted + 1, receipt.contiguous_seq + 1):
                self._receipted.append((seq, self._unreceipted.pop(seq)))
                self.receipted = seq
                self._moved_s, self._silence_s = time.monotonic(), SILENCE_S
        with self._news:
            self._news.notify_all()

    def _fault_of(self, receipt: Receipt) -> str | None:
        seq = receipt.contiguous_seq
        if (receipt.gateway, receipt.epoch) != (self.gateway.id, self.gateway.epoch):
            return f"the receipt of {receipt.gateway} in epoch {receipt.epoch}"
        if receipt.refused:
            return f"refused were {receipt.refused}"
        if seq > self.sent:
            return f"receipted up to {seq}, made were {self.sent}"
        if receipt.head_hash != (self.links[seq - 1] if seq else bytes(32)):
            return f"the receipt names another envelope at {seq}"
        if seq < self.receipted and receipt.server_time > self._heard_at:
            return f"the centre fell back from {self.receipted} to {seq}"
        return None


class Fleet:
    """All sources, and the thread that lets them send."""

    def __init__(self, gateways: Sequence[Gateway], port: int, seed: str) -> None:
        self.news = threading.Condition()
        self.sources = [Source(one, port, self.news, random.Random(f"{seed}/{one.name}")) for one in gateways]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fleet")

    @contextmanager
    def running(self) -> Iterator[Fleet]:
        """Send until leaving."""
        for source in self.sources:
            source.start()
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join()
            for source in self.sources:
                source.stop()

    def _work(self) -> None:
        while not self._stopping.wait(STEP_S):
            for source in self.sources:
                source.step()

    def receipted(self) -> dict[str, int]:
        """Up to which seq each gateway has a receipt."""
        return {source.gateway.name: source.receipted for source in self.sources}

    def faults(self) -> list[str]:
        """What gateways saw that none should see."""
        return [fault for source in self.sources for fault in source.faults]


def spread(count: int, workers: int) -> list[Gateway]:
    """Choose gateways so that every worker has as many as any other."""
    shares: list[list[Gateway]] = [[] for _ in range(workers)]
    number = 0
    while sum(map(len, shares)) < count:
        gateway = Gateway(f"gw-{number}")
        share = shares[partition_of(gateway.id) % workers]
        if len(share) < -(-count // workers):
            share.append(gateway)
        number += 1
    return [gateway for share in shares for gateway in share]
