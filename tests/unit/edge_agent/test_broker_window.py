"""How many messages may be on the way: what the broker says counts, from the next session on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge_agent.adapters.mqtt_broker import IN_FLIGHT_MAX, MqttBroker
from edge_agent.ports import BrokerEvent, Lost
from provisioning.gateway_config import BrokerConfig
from tests.doubles.edge import GATEWAY

ACCEPTED = SimpleNamespace(is_failure=False)


class Client:
    """What paho's client would be told."""

    def __init__(self) -> None:
        self.subscribed: list[str] = []
        self.disconnected = False

    def subscribe(self, topic: str, qos: int) -> tuple[int, int]:
        """Remember a subscription."""
        del qos
        self.subscribed.append(topic)
        return 0, len(self.subscribed)

    def disconnect(self) -> None:
        """Remember the end."""
        self.disconnected = True


@pytest.mark.parametrize("asked", [None, IN_FLIGHT_MAX, 65_535])
def test_a_broker_that_takes_enough_is_listened_to_at_once(asked: int | None) -> None:
    broker, client = MqttBroker(BrokerConfig("broker.example", 1883, None, None), GATEWAY, lambda _: None), Client()
    properties = SimpleNamespace() if asked is None else SimpleNamespace(ReceiveMaximum=asked)
    broker._on_connect(cast(Any, client), None, None, ACCEPTED, properties)
    assert len(client.subscribed) == 2
    assert not client.disconnected


def test_a_broker_that_takes_few_gets_a_session_that_keeps_to_it() -> None:
    events: list[BrokerEvent] = []
    broker = MqttBroker(BrokerConfig("broker.example", 1883, None, None), GATEWAY, events.append)
    first, second = Client(), Client()
    broker._on_connect(cast(Any, first), None, None, ACCEPTED, SimpleNamespace(ReceiveMaximum=10))
    assert first.disconnected
    broker._on_disconnect(cast(Any, first), None, None, "normal", None)
    (lost,) = events
    assert isinstance(lost, Lost)
    assert "takes 10 messages" in lost.reason
    assert broker._new_client().max_inflight_messages == 10
    broker._on_connect(cast(Any, second), None, None, ACCEPTED, SimpleNamespace(ReceiveMaximum=10))
    assert len(second.subscribed) == 2
