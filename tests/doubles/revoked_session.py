"""A gateway that is revoked while its session with a real broker is open and its envelopes are on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.caller import Caller
from ingest.intake import Intake
from ingest.intake_worker import Worker
from ingest.store.database import Database
from ingest.store.revocations import revoke
from metering.clock import SystemClock
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.mosquitto import Mosquitto
from tests.doubles.store_harness import PostgresHarness

BY = Caller("eng-1", "192.0.2.7", "phone", in_person=True)
PAUSE_S = 0.004
"""Between two envelopes: some 200 a second, a thousand times what a gateway sends."""
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Trial:
    """One revocation: envelopes in the books when it was answered, and in the end; how long it took [s].

    outlived_s   from the click to the last envelope that entered, 0 if none entered after it
    """

    before: int
    after: int
    quarantined: int
    sent_after: int
    took_s: float
    outlived_s: float
    still_connected: bool


class RevokedSessions:
    """Two intake workers on a broker, and gateways that keep sending."""

    def __init__(self, database: Database, broker: Mosquitto) -> None:
        self._database = database
        self._broker = broker
        self.harness = PostgresHarness(database)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Run both workers."""
        stop, threads = threading.Event(), []
        with ExitStack() as stack:
            for share in ("1/2", "2/2"):
                worker = Worker.parse(share)
                consumer = MqttConsumer(
                    host=self._broker.host,
                    port=self._broker.port,
                    user="",
                    password="",
                    client_id=worker.client_id,
                    partitions=worker.partitions,
                )
                stack.enter_context(consumer.running())
                consumer.wait_until_connected(10)
                intake = Intake(
                    consumer=consumer,
                    store=self.harness.store,
                    signer=SeededSigner("metertree test centre"),
                    clock=SystemClock(),
                    profiles=PROFILES,
                )
                threads.append(threading.Thread(target=intake.run_ahead, args=(stop,)))
                threads[-1].start()
            try:
                yield
            finally:
                stop.set()
                for thread in threads:
                    thread.join()

    def trial(self, gateway: Gateway, envelopes: int) -> Trial:
        """Let one gateway send, revoke it in the middle, and see what still enters."""
        chain = gateway.chain(envelopes)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=gateway.name)
        client.connect(self._broker.host, self._broker.port)
        client.loop_start()
        sent, done = 0, threading.Event()

        def send() -> None:
            nonlocal sent
            for arrival in chain:
                client.publish(arrival.topic, arrival.octets, qos=1)
                sent += 1
                done.wait(PAUSE_S)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            self._wait(lambda: self._held(gateway) >= envelopes // 4)
            clicked_s = time.perf_counter()
            with self._database.transaction() as connection:
                revoke(connection, gateway.id, None, BY, "stolen", SystemClock().now())
            took_s = time.perf_counter() - clicked_s
            before, sent_before = self._held(gateway), sent
            sender.join()
            last = client.publish(chain[-1].topic, chain[-1].octets, qos=1)
            last.wait_for_publish(PATIENCE_S)
            still_connected = client.is_connected()
            self._wait(lambda: self._held(gateway) + self._quarantined(gateway) >= envelopes)
        finally:
            done.set()
            sender.join()
            client.disconnect()
            client.loop_stop()
        after, outlived_s = self._held(gateway), 0.0
        if after > before:
            outlived_s = time.perf_counter() - clicked_s
        return Trial(
            before,
            after,
            self._quarantined(gateway),
            envelopes - sent_before,
            took_s,
            outlived_s,
            still_connected,
        )

    def _held(self, gateway: Gateway) -> int:
        return self._count("SELECT count(*) FROM ledger WHERE gateway = %(gateway)s", gateway.name)

    def _quarantined(self, gateway: Gateway) -> int:
        query = "SELECT count(*) FROM quarantine WHERE reason = 'key-revoked' AND topic = %(gateway)s"
        return self._count(query, gateway.topic)

    def _count(self, query: str, of: str) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(query.encode(), {"gateway": of}).fetchone()
        assert row is not None
        return int(row[0])

    def _wait(self, is_so: object) -> None:
        assert callable(is_so)
        deadline_s = time.perf_counter() + PATIENCE_S
        while not is_so():
            assert time.perf_counter() < deadline_s, "it did not come to pass"
            threading.Event().wait(0.005)
