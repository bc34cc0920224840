"""The consumer over MQTT 3.1.1 or 5 (paho): acknowledges after the commit, never on arrival.

Theory of operation. A persistent session under a fixed client id keeps what arrives while nobody listens. paho's own
thread reads the socket and only puts messages into a queue bounded in number and octets; when it is full that thread
waits, so the socket is no longer read and the broker holds the rest, whatever window it believes in. An
acknowledgement names a packet id, and packet ids belong to one connection: each message carries the generation of its
connection, and acknowledgements of older ones are dropped. The broker then delivers again, and the ledger knows it for
a repeat.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.ports import Arrival
from metering.errors import MeteringError
from metering.topics import intake_filter
from provisioning.broker_tls import BrokerTls

QUEUE_MAX = 2048
"""Messages held here; what the broker sends beyond them waits in its socket. MQTT 5: the Receive Maximum."""
QUEUE_OCTETS_MAX = 32 << 20
"""Octets held here: the longest envelopes fill this long before they are 2,048."""
GROUP_OCTETS_MAX = 2 << 20
"""Octets given at once: some 50,000 readings. Taken apart they need ten times as much, twice while one is ahead."""
SESSION_S = 7 * 86400
"""MQTT 5: how long the broker keeps the session of a worker that is away."""
KEEPALIVE_S = 60
RECONNECT_S_MAX = 5
REFUSED_S = 5.0
"""Pause before a refused subscription is asked for again [s]."""
STEP_S = 0.2

_log = logging.getLogger(__name__)


class BrokerUnreachable(MeteringError):
    """The broker does not answer, or refuses the login."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How to acknowledge one message: its packet id, and the connection that id belongs to."""

    packet_id: int
    qos: int
    generation: int


class Backlog:
    """Messages on their way from the network thread to intake, bounded in number and in octets."""

    def __init__(self, most: int, octets_max: int) -> None:
        self._most = most
        self._octets_max = octets_max
        self._waiting: deque[Arrival] = deque()
        self._octets = 0
        self._changed = threading.Condition()

    def put(self, arrival: Arrival, stopping: threading.Event) -> None:
        """Add a message; while there is no room, wait, until `stopping` is set."""
        with self._changed:
            while self._is_full():
                if stopping.is_set():
                    return
                self._changed.wait(STEP_S)
            self._waiting.append(arrival)
            self._octets += len(arrival.octets)
            self._changed.notify_all()

    def take(self, most: int, octets_max: int, wait_s: float) -> list[Arrival]:
        """Give what waits, in order: at most `most`, and beyond the first no more than `octets_max`."""
        taken: list[Arrival] = []
        octets = 0
        with self._changed:
            if not self._waiting:
                self._changed.wait(wait_s)
            while self._waiting and len(taken) < most:
                octets += len(self._waiting[0].octets)
                if taken and octets > octets_max:
                    break
                taken.append(self._waiting.popleft())
                self._octets -= len(taken[-1].octets)
            self._changed.notify_all()
        return taken

    @property
    def size(self) -> tuple[int, int]:
        """Messages and octets that wait."""
        return len(self._waiting), self._octets

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._most or self._octets >= self._octets_max


class MqttConsumer:
    """One intake worker's session with the broker, for some partitions or for all.

    client_id   fixed per worker: the broker keeps the session under this name
    mqtt5       speak MQTT 5, so that the window is agreed upon; brokers that know only 3.1.1 refuse it
    tls         whom to believe and what to show; None: nothing is encrypted. Raises BrokerTlsInvalid
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        user: str,
        password: str,
        client_id: str,
        partitions: Collection[int] | None = None,
        mqtt5: bool = False,
        tls: BrokerTls | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._filters = [intake_filter(one) for one in ([None] if partitions is None else sorted(partitions))]
        self._arrivals = Backlog(QUEUE_MAX, QUEUE_OCTETS_MAX)
        self._generation = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._refused_s: float | None = None
        self._mqtt5 = mqtt5
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if mqtt5 else False,
            protocol=mqtt.MQTTv5 if mqtt5 else mqtt.MQTTv311,
            manual_ack=True,
        )
        if user:
            self._client.username_pw_set(user, password)
        if tls is not None:
            self._client.tls_set_context(tls.context())
        self._client.reconnect_delay_set(1, RECONNECT_S_MAX)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    @property
    def connected(self) -> bool:
        """Whether the session stands and the broker has confirmed the subscription."""
        return self._subscribed.is_set()

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages, and their octets, that were received and not yet taken."""
        return self._arrivals.size

    def start(self) -> None:
        """Begin to connect, and keep connecting until `stop`; does not wait."""
        if self._mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = QUEUE_MAX
            properties.SessionExpiryInterval = SESSION_S
            self._client.connect_async(self._host, self._port, KEEPALIVE_S, clean_start=False, properties=properties)
        else:
            self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def wait_until_connected(self, seconds: float) -> None:
        """Wait up to `seconds` [s] for the first subscription; raises BrokerUnreachable."""
        if not self._subscribed.wait(seconds):
            raise BrokerUnreachable(f"no subscription at {self._host}:{self._port} within {seconds} s")

    def stop(self) -> None:
        """Leave the broker; the session and what is not acknowledged stay there."""
        self._stopping.set()
        self._client.disconnect()
        self._client.loop_stop()

    @contextmanager
    def running(self) -> Iterator[MqttConsumer]:
        """Start, and stop on leaving."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def receive(self, most: int, wait_s: float) -> Sequence[Arrival]:
        """Give at most `most` messages in order of arrival; wait up to `wait_s` [s] for the first."""
        self._subscribe_again()
        return self._arrivals.take(most, GROUP_OCTETS_MAX, wait_s)

    def publish(self, topic: str, octets: bytes) -> None:
        """Send a receipt at QoS 0: while the connection is away it is lost, and a later one says the same and more."""
        self._client.publish(topic, octets, qos=0)

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Tell the broker that these need not be delivered again; those of an earlier connection are passed over."""
        with self._lock:
            for arrival in arrivals:
                delivery = arrival.delivery
                if isinstance(delivery, Delivery) and delivery.generation == self._generation:
                    self._client.ack(delivery.packet_id, delivery.qos)

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            _log.warning("broker.refused host=%s port=%s: %s", self._host, self._port, reason)
            return
        client.subscribe([(one, 1) for one in self._filters])

    def _on_connect_fail(self, _client: Any, _userdata: Any) -> None:
        # paho calls this while it deals with the error and does not pass it on; without it a wrong certificate is mute.
        _log.warning("broker.unreachable host=%s port=%s: %s", self._host, self._port, sys.exc_info()[1])

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            _log.error("broker.subscription_refused filters=%s: %s", self._filters, reasons)
            self._refused_s = time.monotonic()
            return
        self._subscribed.set()

    def _subscribe_again(self) -> None:
        """Ask once more for what was refused: what the broker lacked, or forbade, may be mended by now."""
        if self._refused_s is not None and time.monotonic() - self._refused_s >= REFUSED_S:
            self._refused_s = None
            self._client.subscribe([(one, 1) for one in self._filters])

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._subscribed.clear()
        self._refused_s = None
        with self._lock:
            self._generation += 1
        if not self._stopping.is_set():
            _log.warning("broker.lost host=%s port=%s: %s", self._host, self._port, reason)

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(message._topic)
        arrival = Arrival(topic, bytes(message.payload), Delivery(message.mid, message.qos, self._generation))
        self._arrivals.put(arrival, self._stopping)
