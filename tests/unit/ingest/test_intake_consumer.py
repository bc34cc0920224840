"""The MQTT consumer's bookkeeping, without a broker: paho's callbacks are called as its thread would."""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.adapters import mqtt_consumer
from ingest.adapters.broker_limits import dropped_told, limits_too_low
from ingest.adapters.mqtt_consumer import Delivery, MqttConsumer
from ingest.ports import Arrival
from metering.topics import intake_filter


class RecordingClient:
    """Stands where paho's client stands and notes what it is asked to do."""

    def __init__(self) -> None:
        self.acks: list[tuple[int, int]] = []
        self.subscriptions: list[tuple[str, int]] = []
        self.published: list[tuple[str, bytes, int]] = []

    def ack(self, packet_id: int, qos: int) -> None:
        """Note an acknowledgement."""
        self.acks.append((packet_id, qos))

    def subscribe(self, filters: list[tuple[str, int]]) -> None:
        """Note a subscription."""
        self.subscriptions.extend(filters)

    def publish(self, topic: str, octets: bytes, qos: int) -> None:
        """Note a receipt."""
        self.published.append((topic, octets, qos))

    def disconnect(self) -> None:
        """Nothing to end."""

    def loop_stop(self) -> None:
        """Nothing to stop."""


GRANTED = ReasonCode(PacketTypes.SUBACK, "Granted QoS 1")
DENIED = ReasonCode(PacketTypes.SUBACK, "Not authorized")
CONNECTED = ReasonCode(PacketTypes.CONNACK, "Success")
REFUSED = ReasonCode(PacketTypes.CONNACK, "Not authorized")
LOST = ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")


@pytest.fixture
def client() -> RecordingClient:
    """What paho was asked to do."""
    return RecordingClient()


@pytest.fixture
def consumer(client: RecordingClient) -> MqttConsumer:
    """A consumer that never connects."""
    made = MqttConsumer(host="127.0.0.1", port=1, user="", password="", client_id="test", partitions=[7])
    made._client = client  # type: ignore[assignment]
    return made


def deliver(consumer: MqttConsumer, packet_id: int, topic: bytes = b"m/7/gw-a/up/envelope") -> None:
    """Let a message arrive."""
    message = mqtt.MQTTMessage(mid=packet_id, topic=topic)
    message.payload = b"%d" % packet_id
    message.qos = 1
    consumer._on_message(None, None, message)


def test_messages_are_given_in_order_of_arrival_and_in_bounded_groups(consumer: MqttConsumer) -> None:
    for packet_id in range(1, 6):
        deliver(consumer, packet_id)
    assert [arrival.octets for arrival in consumer.receive(3, 0)] == [b"1", b"2", b"3"]
    assert [arrival.octets for arrival in consumer.receive(3, 0)] == [b"4", b"5"]
    assert consumer.receive(3, 0.001) == []


def test_nothing_is_acknowledged_on_arrival(consumer: MqttConsumer, client: RecordingClient) -> None:
    deliver(consumer, 1)
    arrivals = consumer.receive(10, 0)
    assert client.acks == []
    consumer.acknowledge(arrivals)
    assert client.acks == [(1, 1)]


def test_an_acknowledgement_of_an_earlier_connection_is_not_sent(
    consumer: MqttConsumer, client: RecordingClient
) -> None:
    """After a reconnect the same packet id may belong to another message, which is not stored yet."""
    deliver(consumer, 1)
    earlier = consumer.receive(10, 0)
    consumer._on_disconnect(None, None, None, LOST, None)
    deliver(consumer, 1)
    later = consumer.receive(10, 0)
    consumer.acknowledge(earlier)
    assert client.acks == []
    consumer.acknowledge(later)
    assert client.acks == [(1, 1)]


def test_a_worker_subscribes_to_its_partition_anew_on_each_connection(
    consumer: MqttConsumer, client: RecordingClient
) -> None:
    for _ in range(2):
        consumer._on_connect(client, None, None, CONNECTED, None)  # type: ignore[arg-type]
        consumer._on_disconnect(None, None, None, LOST, None)
    assert client.subscriptions == [(intake_filter(7), 1)] * 2


def test_connected_means_that_the_subscription_was_granted(consumer: MqttConsumer, client: RecordingClient) -> None:
    consumer._on_connect(client, None, None, CONNECTED, None)  # type: ignore[arg-type]
    assert not consumer.connected
    consumer._on_subscribe(None, None, 1, [GRANTED], None)
    assert consumer.connected
    consumer._on_disconnect(None, None, None, LOST, None)
    assert not consumer.connected


def test_a_refused_login_or_subscription_does_not_count_as_connected(
    consumer: MqttConsumer, client: RecordingClient
) -> None:
    consumer._on_connect(client, None, None, REFUSED, None)  # type: ignore[arg-type]
    assert client.subscriptions == []
    consumer._on_subscribe(None, None, 1, [DENIED], None)
    assert not consumer.connected


def test_a_refused_subscription_is_asked_for_again_while_the_session_stands(
    consumer: MqttConsumer, client: RecordingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many filters that a broker refused would otherwise leave its gateways waiting until a restart."""
    asked = [(intake_filter(7), 1)]
    consumer._on_subscribe(None, None, 1, [GRANTED, DENIED], None)
    consumer.receive(1, 0)
    assert client.subscriptions == []
    monkeypatch.setattr(mqtt_consumer, "REFUSED_S", 0.0)
    consumer.receive(1, 0)
    consumer.receive(1, 0)
    assert client.subscriptions == asked
    consumer._on_subscribe(None, None, 2, [DENIED], None)
    consumer._on_disconnect(None, None, None, LOST, None)
    consumer.receive(1, 0)
    assert client.subscriptions == asked


def test_a_receipt_is_sent_at_qos_0(consumer: MqttConsumer, client: RecordingClient) -> None:
    consumer.publish("m/7/gw-a/down/receipt", b"receipt")
    assert client.published == [("m/7/gw-a/down/receipt", b"receipt", 0)]


def test_a_topic_that_is_no_text_is_still_delivered(consumer: MqttConsumer) -> None:
    deliver(consumer, 1, topic=b"m/7/\xff/up/envelope")
    (arrival,) = consumer.receive(10, 0)
    assert "xff" in arrival.topic


def test_a_full_queue_holds_the_network_thread_and_stopping_frees_it(
    consumer: MqttConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_consumer, "STEP_S", 0.01)
    for packet_id in range(mqtt_consumer.QUEUE_MAX):
        deliver(consumer, packet_id)
    one_more = threading.Thread(target=deliver, args=(consumer, 9999))
    one_more.start()
    assert len(consumer.receive(10, 0)) == 10
    one_more.join(5)
    assert not one_more.is_alive()
    for packet_id in range(9):
        deliver(consumer, packet_id)
    stuck = threading.Thread(target=deliver, args=(consumer, 9999))
    stuck.start()
    consumer.stop()
    stuck.join(5)
    assert not stuck.is_alive()


def test_a_delivery_names_its_packet_and_connection(consumer: MqttConsumer) -> None:
    consumer._on_disconnect(None, None, None, LOST, None)
    deliver(consumer, 5)
    (arrival,) = consumer.receive(1, 0)
    assert arrival.delivery == Delivery(packet_id=5, qos=1, generation=1)


def test_long_messages_fill_the_queue_by_their_octets_and_come_in_small_groups(
    consumer: MqttConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = mqtt_consumer.Backlog(100, 1000)
    stopping = threading.Event()
    stopping.set()
    for number in range(20):
        backlog.put(Arrival("t", bytes([number]) * 300), stopping)
    taken = backlog.take(100, 700, 0)
    assert [arrival.octets[0] for arrival in taken] == [0, 1]
    assert [arrival.octets[0] for arrival in backlog.take(100, 700, 0)] == [2, 3]
    assert backlog.take(100, 700, 0) == []


def test_the_queue_holds_no_more_messages_than_it_may() -> None:
    backlog, stopping = mqtt_consumer.Backlog(5, 1 << 20), threading.Event()
    stopping.set()  # what finds no room goes back to the broker instead of waiting
    for number in range(9):
        backlog.put(Arrival("t", bytes([number])), stopping)
    assert [arrival.octets[0] for arrival in backlog.take(100, 1 << 20, 0)] == [0, 1, 2, 3, 4]


def test_a_message_longer_than_a_group_may_be_comes_alone() -> None:
    backlog = mqtt_consumer.Backlog(100, 1000)
    for _ in range(2):
        backlog.put(Arrival("t", bytes(600)), threading.Event())
    assert [len(backlog.take(100, 500, 0)) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("mqtt5", [False, True])
def test_the_session_lasts_and_the_window_is_named_where_it_can_be(
    mqtt5: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MqttConsumer(host="127.0.0.1", port=1, user="", password="", client_id="test", mqtt5=mqtt5)
    asked: dict[str, object] = {}
    monkeypatch.setattr(made._client, "connect_async", lambda *_, **words: asked.update(words))
    monkeypatch.setattr(made._client, "loop_start", lambda: None)
    made.start()
    if not mqtt5:
        assert asked == {}
        assert made._client._clean_session is False
        return
    assert asked["clean_start"] is False
    properties = asked["properties"]
    assert properties.ReceiveMaximum == mqtt_consumer.QUEUE_MAX  # type: ignore[attr-defined]
    assert properties.SessionExpiryInterval > 86400  # type: ignore[attr-defined]


def test_a_worker_of_several_partitions_asks_for_each() -> None:
    made = MqttConsumer(host="127.0.0.1", port=1, user="", password="", client_id="test", partitions=[9, 3])
    client = RecordingClient()
    made._on_connect(client, None, None, CONNECTED, None)  # type: ignore[arg-type]
    assert client.subscriptions == [(intake_filter(3), 1), (intake_filter(9), 1)]


@pytest.mark.parametrize(
    ("name", "told", "remark"),
    [
        ("MaximumPacketSize", 65536, "65536"),
        ("MaximumPacketSize", 1 << 20, ""),
        ("MaximumQoS", 0, "QoS 1"),
        ("WildcardSubscriptionAvailable", 0, "wildcard"),
        ("ReceiveMaximum", 10, ""),
    ],
)
def test_limits_of_a_broker_that_are_too_low_are_named(name: str, told: int, remark: str) -> None:
    properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    setattr(properties, name, told)
    found = limits_too_low(properties)
    assert len(found) == (1 if remark else 0)
    assert remark in "".join(found)
    assert limits_too_low(None) == []


@pytest.mark.parametrize(
    ("octets", "is_told"), [(b"0", False), (b"3", True), (b" 12\n", True), (b"", False), (b"\xff", False)]
)
def test_what_a_broker_dropped_is_told_with_the_mend(octets: bytes, is_told: bool) -> None:
    told = dropped_told(octets)
    assert len(told) == is_told
    assert all("raise max_queued_messages" in one for one in told)
