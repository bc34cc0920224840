"""The consumer over MQTT 3.1.1 (paho): acknowledges after the commit, never on arrival.

Theory of operation. A persistent session under a fixed client id keeps what arrives while nobody listens. paho's own
thread reads the socket and only puts messages into a bounded queue; when the queue is full that thread waits, so the
socket is no longer read and the broker holds the rest. An acknowledgement names a packet id, and packet ids belong to
one connection: each message carries the generation of its connection, and acknowledgements of older ones are dropped.
The broker then delivers again, and the ledger knows it for a repeat.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.ports import Arrival
from metering.errors import MeteringError
from metering.topics import intake_filter

QUEUE_MAX = 2048
"""Messages held here, as many as the embedded broker sends before an acknowledgement: 4 MiB at 2 KiB each."""
KEEPALIVE_S = 60
RECONNECT_S_MAX = 5
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


class MqttConsumer:
    """One intake worker's session with the broker, for one partition or for all.

    client_id   fixed per worker: the broker keeps the session under this name
    """

    def __init__(
        self, *, host: str, port: int, user: str, password: str, client_id: str, partition: int | None = None
    ) -> None:
        self._host = host
        self._port = port
        self._filter = intake_filter(partition)
        self._arrivals: queue.Queue[Arrival] = queue.Queue(QUEUE_MAX)
        self._generation = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        if user:
            self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(1, RECONNECT_S_MAX)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    @property
    def connected(self) -> bool:
        """Whether the session stands and the broker has confirmed the subscription."""
        return self._subscribed.is_set()

    def start(self) -> None:
        """Begin to connect, and keep connecting until `stop`; does not wait."""
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
        arrivals: list[Arrival] = []
        try:
            arrivals.append(self._arrivals.get(timeout=wait_s))
            while len(arrivals) < most:
                arrivals.append(self._arrivals.get_nowait())
        except queue.Empty:
            pass
        return arrivals

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
        client.subscribe(self._filter, qos=1)

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            _log.error("broker.subscription_refused filter=%s: %s", self._filter, reasons)
            return
        self._subscribed.set()

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._subscribed.clear()
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
        while not self._stopping.is_set():
            try:
                self._arrivals.put(arrival, timeout=STEP_S)
                return
            except queue.Full:
                continue
