"""What a broker keeps by itself: every message was acknowledged to its sender, then the broker was killed.

The reference beside the campaigns: it is why only a receipt of the centre frees an envelope.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import running
from metering.topics import envelope_topic, intake_filter
from tests.doubles.chains import Gateway
from tests.doubles.mosquitto import Mosquitto
from tests.doubles.servers import open_folder
from tests.trust.plant import CLOCK, PASSWORD

MESSAGES = 2000
ANSWER_S = 60.0
SILENCE_S = 5.0
"""After so long without a message nothing more is expected."""
GW = Gateway()


@contextmanager
def _session(
    broker: EmbeddedBroker | Mosquitto, user: str, arrived: set[bytes], *, lasting: bool
) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user, clean_session=not lasting)
    client.username_pw_set(user, PASSWORD)
    ready = threading.Event()
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _userdata, message: arrived.add(bytes(message.payload))
    client.on_connect = lambda *_: client.subscribe(intake_filter(), qos=1) if lasting else ready.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert ready.wait(ANSWER_S), f"{user} cannot log in"
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def kept_of(kind: str, messages: int = MESSAGES) -> int:
    """Publish so many to a session that is away, each acknowledged; kill the broker; count what is delivered then."""
    folder = open_folder("metertree-trust-")
    logins = [Login.of_centre("centre", PASSWORD), Login.of_gateway(GW.id, PASSWORD)]
    broker = EmbeddedBroker(folder, logins) if kind == "nats" else Mosquitto(folder)
    arrived: set[bytes] = set()
    try:
        with running(broker, CLOCK) as process:
            with _session(broker, "centre", arrived, lasting=True):
                pass
            with _session(broker, GW.name, set(), lasting=False) as sender:
                sent = [sender.publish(envelope_topic(GW.id), b"%d" % one, qos=1) for one in range(messages)]
                for one in sent:
                    one.wait_for_publish(ANSWER_S)
                    assert one.is_published()
                process.kill()
                process.wait()
        with running(broker, CLOCK), _session(broker, "centre", arrived, lasting=True):
            known = -1
            while known < len(arrived) < messages:
                known = len(arrived)
                threading.Event().wait(SILENCE_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return len(arrived)
