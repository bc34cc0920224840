"""An intake worker with the very settings of compose.yaml, at the broker of deploy/, gives a gateway its receipt."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.adapters.mqtt_broker import MqttBroker
from edge_agent.ports import BrokerEvent, Connected, ReceiptArrived
from ingest.embedded.server import running
from ingest.store.database import Database
from metering.clock import SystemClock
from metering.receipt import open_receipt
from metering.topics import partition_of
from provisioning.broker_tls import BrokerTls
from provisioning.gateway_config import BrokerConfig
from provisioning.keys import FileSigner
from tests.doubles.chains import Gateway
from tests.doubles.deployment import DEPLOY, ROOT, compose
from tests.doubles.mosquitto import find_mosquitto
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness, wired
from tests.doubles.tls_broker import HAS_OPENSSL, TlsMosquitto, certificates

WAIT_S = 60.0
GW = next(one for number in range(64) if partition_of((one := Gateway(f"gw-{number}")).id) % 2 == 0)
"""A gateway of the first of two workers."""
pytestmark = [
    pytest.mark.skipif(find_mosquitto() is None, reason="no mosquitto: scripts/install_mosquitto.sh fetches it"),
    pytest.mark.skipif(not HAS_OPENSSL, reason="prepare.sh needs openssl"),
]


def settings_of(service: str, secrets: Path, dsn: str, broker: TlsMosquitto) -> dict[str, str]:
    """What compose.yaml tells a program; only names of machines and places are this test's."""
    here = {
        "METERTREE_DSN": dsn,
        "METERTREE_BROKER_HOST": broker.host,
        "METERTREE_BROKER_PORT": str(broker.centre_port),
        "METERTREE_PROBE_PORT": "0",
    }
    told: dict[str, str] = compose()["services"][service]["environment"]
    return {name: text.replace("/run/metertree", str(secrets / "centre")) for name, text in told.items()} | here


def test_a_gateway_gets_its_receipt(database: Database, migrated_dsn: str) -> None:
    harness = PostgresHarness(database)
    harness.enrol(GW)
    harness.wire(wired(GW))
    folder = open_folder()
    secrets = folder / "secrets"
    prepare = ["sh", str(DEPLOY / "prepare.sh"), str(secrets), "broker.example"]
    subprocess.run(prepare, check=True, capture_output=True, timeout=60)
    assert certificates(secrets / "certificates", "gateway", GW.id).returncode == 0
    os.chmod(secrets / "broker", 0o711)
    broker = TlsMosquitto(folder, secrets / "broker")
    command = compose()["services"]["intake-1"]["command"]
    with running(broker, SystemClock()):
        environment = {**os.environ, **settings_of("intake-1", secrets, migrated_dsn, broker)}
        worker = subprocess.Popen([sys.executable, "-m", "ingest.cli", *command], cwd=ROOT, env=environment)
        try:
            centre = FileSigner.read(secrets / "centre/signing.key").verifier()
            assert receipted_seq(broker, secrets / "certificates", centre) == 2
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
    # The shipped profiles are not those of the test: both are held with their reason, and receipted all the same.
    assert {reason for reason, *_ in harness.see().quarantine} == {"profile-unknown"}
    shutil.rmtree(folder)


def receipted_seq(broker: TlsMosquitto, made: Path, centre: object) -> int:
    """Send two envelopes as a gateway does, again and again until both are receipted."""
    events: queue.Queue[BrokerEvent] = queue.Queue()
    stem = made / "gateways" / GW.name
    tls = BrokerTls(made / "ca.crt", stem.with_suffix(".crt"), stem.with_suffix(".key"))
    session = MqttBroker(BrokerConfig(broker.host, broker.port, None, None, tls), GW.id, events.put)
    session.connect()
    try:
        assert events.get(timeout=WAIT_S) == Connected()
        for _ in range(int(WAIT_S / 2)):
            for arrival in GW.chain(2):
                session.publish(arrival.octets)
            try:
                event = events.get(timeout=2)
            except queue.Empty:
                continue
            assert isinstance(event, ReceiptArrived)
            receipt = open_receipt(event.octets, centre)  # type: ignore[arg-type]
            if receipt.contiguous_seq == 2:
                return receipt.contiguous_seq
    finally:
        session.close()
    return 0
