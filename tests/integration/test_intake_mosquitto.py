"""The consumer on a real Mosquitto: MQTT 5 agrees on a window, 3.1.1 has to live with the broker's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.embedded.server import running
from ingest.ports import Arrival
from metering.clock import SystemClock
from tests.doubles.mosquitto import Mosquitto, find_mosquitto
from tests.doubles.servers import open_folder

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None,
    reason="no mosquitto on this machine: scripts/install_mosquitto.sh fetches the package of the system",
)
TOPIC = "m/59/gw-a/up/envelope"
WINDOW = 20
SENT = 60


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """A Mosquitto with the window it has by default."""
    folder = open_folder()
    made = Mosquitto(folder, WINDOW)
    with running(made, SystemClock()):
        yield made
    shutil.rmtree(folder)


def session(broker: Mosquitto, *, mqtt5: bool) -> MqttConsumer:
    """A worker's session."""
    return MqttConsumer(host=broker.host, port=broker.port, user="", password="", client_id="worker", mqtt5=mqtt5)


def publish(broker: Mosquitto) -> None:
    """Send messages, each acknowledged by the broker."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sender")
    client.connect(broker.host, broker.port)
    client.loop_start()
    for number in range(SENT):
        client.publish(TOPIC, b"%d" % number, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def take(consumer: MqttConsumer, most: int) -> list[Arrival]:
    """Take what comes, until nothing comes for half a second."""
    taken: list[Arrival] = []
    while len(taken) < most and (more := consumer.receive(most - len(taken), 0.5)):
        taken.extend(more)
    return taken


@pytest.mark.parametrize(("mqtt5", "expected"), [(True, SENT), (False, WINDOW)])
def test_receive_maximum_opens_the_window_where_mqtt_5_is_spoken(broker: Mosquitto, mqtt5: bool, expected: int) -> None:
    consumer = session(broker, mqtt5=mqtt5)
    with consumer.running():
        consumer.wait_until_connected(10)
        publish(broker)
        assert len(take(consumer, SENT)) == expected


@pytest.mark.parametrize("mqtt5", [True, False])
def test_what_was_not_acknowledged_comes_again(broker: Mosquitto, mqtt5: bool) -> None:
    first = session(broker, mqtt5=mqtt5)
    with first.running():
        first.wait_until_connected(10)
        publish(broker)
        taken = take(first, WINDOW)
        first.acknowledge(taken[:5])
    second = session(broker, mqtt5=mqtt5)
    seen: list[int] = []
    with second.running():
        while arrivals := second.receive(SENT, 1.0):
            seen.extend(int(arrival.octets) for arrival in arrivals)
            second.acknowledge(arrivals)
    # An acknowledgement on its way when the connection ended is lost: then its message comes again as well.
    assert set(range(5, SENT)) <= set(seen) <= set(range(SENT))
    assert len(set(seen)) == len(seen)
