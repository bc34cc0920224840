"""The simplest uplink of a gateway: sends its chain over MQTT, again and again, until everything is receipted."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from types import TracebackType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ingest.ports import Arrival
from metering.receipt import Receipt, open_receipt
from metering.topics import receipt_topic
from tests.conftest import SeededSigner
from tests.doubles.chains import Gateway

CENTRE = SeededSigner("metertree test centre")
WINDOW = 64
SILENCE_S = 1.0


class SendingGateway:
    """One gateway's session with the broker."""

    def __init__(self, gateway: Gateway, *, port: int, password: str) -> None:
        self._gateway = gateway
        self._receipts: queue.Queue[Receipt] = queue.Queue()
        self.receipted = 0
        self.sent = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=gateway.name, protocol=mqtt.MQTTv311)
        self._client.username_pw_set(gateway.name, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(receipt_topic(gateway.id), qos=1)
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", port)

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self._receipts.put(open_receipt(bytes(message.payload), CENTRE.verifier))

    def send(self, chain: Sequence[Arrival], up_to: int, rounds: int = 60) -> None:
        """Send until every seq up to `up_to` is receipted; gives up after `rounds` silences of 1 s."""
        while self.receipted < up_to and rounds:
            for arrival in chain[self.receipted : min(up_to, self.receipted + WINDOW)]:
                self._client.publish(arrival.topic, arrival.octets, qos=1)
                self.sent += 1
            if not self._await_news():
                rounds -= 1
        assert self.receipted >= up_to, f"receipted up to {self.receipted} of {up_to}"

    def _await_news(self) -> bool:
        """Wait until the window has moved, at most one silence."""
        target = self.receipted + WINDOW
        before = self.receipted
        try:
            while self.receipted < target:
                receipt = self._receipts.get(timeout=SILENCE_S)
                assert (receipt.gateway, receipt.epoch) == (self._gateway.id, self._gateway.epoch)
                self.receipted = max(self.receipted, receipt.contiguous_seq)
        except queue.Empty:
            pass
        return self.receipted > before

    def __enter__(self) -> SendingGateway:
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
