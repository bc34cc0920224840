"""The way to the centre over MQTT: publishes envelopes, listens for receipts (paho, its network thread stays in here).

Each session is a new client: paho keeps unsent messages over a reconnect, and the outbox is the only queue we trust.
paho's own reconnecting is off for the same reason; the uplink decides when. MQTT 5 is tried first and 3.1.1 is kept
once a broker refuses 5. Certificates are read anew for each session, so that a renewed one needs no restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.ports import BrokerEvent, BrokerUnreachable, ConfigArrived, Connected, Lost, ReceiptArrived
from edge_agent.uplink import WINDOW_MAX
from metering.identity import GatewayId
from metering.topics import config_topic, envelope_topic, receipt_topic
from provisioning.broker_tls import BrokerTlsInvalid
from provisioning.gateway_config import BrokerConfig

log = logging.getLogger(__name__)

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
IN_FLIGHT_MAX = 64
"""Messages without PUBACK; MQTT 5 brokers may ask for fewer, and close the session when there are more."""
QOS = 1


class MqttBroker:
    """One gateway's sessions; `deliver` gets the events, called from paho's thread, and must not wait."""

    def __init__(self, config: BrokerConfig, gateway: GatewayId, deliver: Callable[[BrokerEvent], None]) -> None:
        self._config = config
        self._gateway = gateway
        self._deliver = deliver
        self._envelope_topic = envelope_topic(gateway)
        self._receipt_topic = receipt_topic(gateway)
        self._config_topic = config_topic(gateway)
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._client: mqtt.Client | None = None
        self._refusal: str | None = None
        self._in_flight = IN_FLIGHT_MAX
        self._receipt_ask: int | None = None

    def connect(self) -> None:
        """Begin a new session; Connected or Lost follows. Raises BrokerUnreachable when nobody listens."""
        self.close()
        self._refusal = None
        try:
            client = self._new_client()
            client.connect(self._config.host, self._config.port, keepalive=KEEPALIVE_S)
        except (OSError, BrokerTlsInvalid) as error:
            raise BrokerUnreachable(f"{self._config.host}:{self._config.port}: {error}") from error
        self._client = client
        client.loop_start()

    def publish(self, octets: bytes) -> None:
        """Hand one envelope to the session; raises BrokerUnreachable when there is none."""
        if self._client is None:
            raise BrokerUnreachable("no session")
        outcome = self._client.publish(self._envelope_topic, octets, qos=QOS)
        if outcome.rc != mqtt.MQTT_ERR_SUCCESS:
            raise BrokerUnreachable(mqtt.error_string(outcome.rc))

    def close(self) -> None:
        """End the session, if there is one, without an event."""
        client, self._client = self._client, None
        if client is not None:
            client.on_disconnect = None
            client.disconnect()
            client.loop_stop()

    def _new_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._gateway,
            protocol=self._protocol,
            reconnect_on_failure=False,
            clean_session=None if self._protocol is MQTTProtocolVersion.MQTTv5 else True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(self._in_flight)
        client.max_queued_messages_set(4 * WINDOW_MAX)
        if self._config.user is not None:
            client.username_pw_set(self._config.user, self._config.password)
        if self._config.tls is not None:
            client.tls_set_context(self._config.tls.context())
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure:
            # paho takes another window only before it connects.
            taken = min(getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX), self._in_flight)
            if taken < self._in_flight:
                self._in_flight = taken
                self._refusal = f"the broker takes {taken} messages at once; the next session keeps to that"
                client.disconnect()
                return
            _, self._receipt_ask = client.subscribe(self._receipt_topic, qos=QOS)
            client.subscribe(self._config_topic, qos=QOS)
            return
        self._refusal = f"refused: {reason}"
        if reason == "Unsupported protocol version":
            self._refusal = "the broker has no MQTT 5; 3.1.1 is next"
            self._protocol = MQTTProtocolVersion.MQTTv311

    def _on_subscribe(self, _client: mqtt.Client, _userdata: Any, mid: int, reasons: Any, _properties: Any) -> None:
        if mid != self._receipt_ask:
            # A broker that knows nothing of configurations yet is none the worse for receipts.
            if any(reason.is_failure for reason in reasons):
                log.warning("may-not-listen", extra={"topic": self._config_topic, "reason": str(reasons[0])})
        elif any(reason.is_failure for reason in reasons):
            self._deliver(Lost(f"may not listen on {self._receipt_topic}: {reasons[0]}"))
        else:
            self._deliver(Connected())

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        arrived = ConfigArrived if message.topic == self._config_topic else ReceiptArrived
        self._deliver(arrived(bytes(message.payload)))

    def _on_disconnect(self, _client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._deliver(Lost(self._refusal or str(reason)))
