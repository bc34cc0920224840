"""The broker adapter on a real MQTT broker."""

from __future__ import annotations

import queue
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from edge_agent.adapters.mqtt_broker import MqttBroker
from edge_agent.ports import BrokerEvent, BrokerUnreachable, Connected, Lost, ReceiptArrived
from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.embedded.broker import EmbeddedBroker
from ingest.embedded.server import running
from metering.clock import SystemClock
from metering.topics import envelope_topic, receipt_topic
from provisioning.gateway_config import BrokerConfig
from tests.doubles.edge import GATEWAY
from tests.doubles.edge_station import new_broker

Server = tuple[EmbeddedBroker, "subprocess.Popen[bytes]"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A broker process."""
    broker = new_broker(tmp_path / "broker")
    with running(broker, SystemClock()) as process:
        yield broker, process


class Session:
    """A gateway's broker adapter with its events in a queue."""

    def __init__(self, host: str, port: int, password: str = "g") -> None:
        self.events: queue.Queue[BrokerEvent] = queue.Queue()
        self.broker = MqttBroker(BrokerConfig(host, port, GATEWAY, password), GATEWAY, self.events.put)

    def go_online(self) -> None:
        """Connect as the uplink does, a second time when the broker refused MQTT 5."""
        for _ in range(2):
            self.broker.connect()
            if isinstance(self.events.get(timeout=10), Connected):
                return
        raise AssertionError("no session")


@pytest.fixture
def session(server: Server) -> Iterator[Session]:
    """An adapter that has not connected."""
    made = Session(server[0].host, server[0].port)
    yield made
    made.broker.close()


@pytest.fixture
def centre(server: Server) -> Iterator[MqttConsumer]:
    """The other end."""
    consumer = MqttConsumer(host=server[0].host, port=server[0].port, user="centre", password="c", client_id="centre")
    with consumer.running():
        consumer.wait_until_connected(10)
        yield consumer


def test_a_broker_without_mqtt_5_is_asked_for_3_1_1_from_then_on(session: Session) -> None:
    session.broker.connect()
    assert session.events.get(timeout=10) == Lost("the broker has no MQTT 5; 3.1.1 is next")
    session.broker.connect()
    assert session.events.get(timeout=10) == Connected()
    session.broker.connect()
    assert session.events.get(timeout=10) == Connected()
    assert session.events.empty()


def test_envelopes_arrive_in_order_and_receipts_come_back(session: Session, centre: MqttConsumer) -> None:
    session.go_online()
    sent = [b"%d" % number * 700 for number in range(64)]
    for octets in sent:
        session.broker.publish(octets)
    arrived = []
    while len(arrived) < 64:
        arrivals = centre.receive(64, 10)
        assert arrivals
        arrived.extend(arrivals)
        centre.acknowledge(arrivals)
    assert [arrival.octets for arrival in arrived] == sent
    assert {arrival.topic for arrival in arrived} == {envelope_topic(GATEWAY)}
    centre.publish(receipt_topic(GATEWAY), b"receipt")
    assert session.events.get(timeout=10) == ReceiptArrived(b"receipt")


def test_what_was_not_sent_does_not_come_up_in_the_next_session(session: Session, server: Server) -> None:
    session.go_online()
    server[1].kill()
    assert isinstance(session.events.get(timeout=10), Lost)
    with pytest.raises(BrokerUnreachable):
        session.broker.publish(b"lost")
    server[1].wait()
    with running(server[0], SystemClock()):
        consumer = MqttConsumer(
            host=server[0].host, port=server[0].port, user="centre", password="c", client_id="centre"
        )
        with consumer.running():
            consumer.wait_until_connected(10)
            session.go_online()
            session.broker.publish(b"new")
            assert [arrival.octets for arrival in consumer.receive(10, 10)] == [b"new"]


def test_nobody_listening_is_reported_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    session = Session("127.0.0.1", number)
    with pytest.raises(BrokerUnreachable, match="refused"):
        session.broker.connect()
    with pytest.raises(BrokerUnreachable, match="no session"):
        session.broker.publish(b"anything")


def test_a_wrong_password_is_a_lost_session(server: Server) -> None:
    session = Session(server[0].host, server[0].port, password="guess")
    reasons = []
    for _ in range(2):
        session.broker.connect()
        lost = session.events.get(timeout=10)
        assert isinstance(lost, Lost)
        reasons.append(lost.reason)
    assert "refused: " in reasons[-1]
    session.broker.close()


def test_closing_a_session_ourselves_is_no_event(session: Session) -> None:
    session.go_online()
    session.broker.close()
    assert session.events.empty()


def test_no_message_is_queued_beyond_the_window(session: Session) -> None:
    session.go_online()
    client = session.broker._client
    assert client is not None
    assert client._max_queued_messages > 0
    assert client._reconnect_on_failure is False
    assert client._clean_session is True
    assert client.protocol == mqtt.MQTTv311
