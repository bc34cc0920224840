"""What TLS costs Mosquitto: CPU of its process for a connection and for an envelope, with and without; its memory."""

from __future__ import annotations

import resource
import shutil
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.embedded.server import running
from metering.clock import SystemClock
from metering.identity import GatewayId
from metering.topics import envelope_topic
from provisioning.broker_tls import BrokerTls
from tests.bench.ingest.plant import cpu_of
from tests.doubles.mosquitto import Mosquitto, find_mosquitto
from tests.doubles.servers import open_folder
from tests.doubles.tls_broker import HAS_OPENSSL, TlsMosquitto, make_certificates

GATEWAY = GatewayId("gw-a")
OCTETS = 3_966
"""An envelope of 96 readings (docs/performance.md)."""
WINDOW = 64
WAIT_S = 60.0


@dataclass(frozen=True)
class Doors:
    """CPU [s] and memory [octets] of the broker; None for what this machine cannot measure.

    connect, tls_connect     a connection, from SYN to CONNACK; over TLS with certificates on both sides
    memory, tls_memory       while it is idle
    message, tls_message     an envelope in at one door and out at the other, QoS 1
    """

    connections: int
    messages: int
    connect: float
    tls_connect: float
    memory: float
    tls_memory: float
    message: float
    tls_message: float


def measure_doors(connections: int, messages: int) -> Doors | None:
    """Measure, where there is a Mosquitto and openssl."""
    if find_mosquitto() is None or not HAS_OPENSSL:
        return None
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    made = open_folder()
    try:
        make_certificates(made, GATEWAY)
        plain = _measured(None, connections, messages)
        tls = _measured(made, connections, messages)
    finally:
        shutil.rmtree(made)
    return Doors(connections, messages, plain[0], tls[0], plain[1], tls[1], plain[2], tls[2])


def _measured(made: Path | None, connections: int, messages: int) -> tuple[float, float, float]:
    folder = open_folder()
    try:
        broker = Mosquitto(folder) if made is None else TlsMosquitto(folder, made)
        with running(broker, SystemClock()) as process:
            return (*_connections(broker, process.pid, connections), _messages(broker, process.pid, messages))
    finally:
        shutil.rmtree(folder)


def _tls(broker: Mosquitto, who: str) -> BrokerTls | None:
    return broker.tls(who) if isinstance(broker, TlsMosquitto) else None


def _connections(broker: Mosquitto, pid: int, count: int) -> tuple[float, float]:
    """CPU and memory of one connection at the centre's door, whose sessions may have any name."""
    tls = _tls(broker, "centre")
    context = None if tls is None else tls.context()
    port = broker.centre_port if isinstance(broker, TlsMosquitto) else broker.port
    opened: list[socket.socket] = []
    try:
        opened.append(_connection(broker.host, port, context, 0))
        before, memory = cpu_of(pid), _memory(pid)
        opened.extend(_connection(broker.host, port, context, number) for number in range(1, count + 1))
        return (cpu_of(pid) - before) / count, (_memory(pid) - memory) / count
    finally:
        for one in opened:
            one.close()


def _connection(host: str, port: int, context: ssl.SSLContext | None, number: int) -> socket.socket:
    """Connect as an MQTT 3.1.1 client and wait for the CONNACK."""
    one = socket.create_connection((host, port), timeout=WAIT_S)
    if context is not None:
        one = context.wrap_socket(one, server_hostname=host)
    name = b"idle-%d" % number
    body = b"\x00\x04MQTT\x04\x02\x0e\x10" + struct.pack(">H", len(name)) + name
    one.sendall(bytes([0x10, len(body)]) + body)
    assert one.recv(4) == b"\x20\x02\x00\x00"
    return one


def _messages(broker: Mosquitto, pid: int, count: int) -> float:
    """CPU of one envelope, in at the gateways' door and out at the centre's."""
    port = broker.centre_port if isinstance(broker, TlsMosquitto) else broker.port
    consumer = MqttConsumer(
        host=broker.host, port=port, user="", password="", client_id="bench", mqtt5=True, tls=_tls(broker, "centre")
    )
    with consumer.running(), _publisher(broker) as publisher:
        consumer.wait_until_connected(WAIT_S)
        before = cpu_of(pid)
        sent = taken = 0
        while taken < count:
            while sent < count and sent - taken < WINDOW:
                publisher.publish(envelope_topic(GATEWAY), bytes(OCTETS), qos=1)
                sent += 1
            arrivals = consumer.receive(WINDOW, WAIT_S)
            assert arrivals, f"{taken} of {count} came"
            consumer.acknowledge(arrivals)
            taken += len(arrivals)
        return (cpu_of(pid) - before) / count


@contextmanager
def _publisher(broker: Mosquitto) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=GATEWAY, protocol=mqtt.MQTTv5)
    tls = _tls(broker, GATEWAY)
    if tls is not None:
        client.tls_set_context(tls.context())
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def _memory(pid: int) -> int:
    """Resident memory that is the process's own [octets]."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss_Anon")
