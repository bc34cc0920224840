"""A gateway with a key and nothing else: it asks for its certificate, comes in at the broker, and seals there.

The agent, Mosquitto with what broker-config writes, PostgreSQL and the centre's routes are the real ones.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_profiles.catalogue import Catalogue
from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.app import OUTBOX_FILE, run_with_orders
from edge_agent.cli import main
from edge_agent.sealing import Identity, Sealer
from edge_agent.sweep import Sweep
from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.embedded.server import running
from ingest.store.database import Database
from metering.clock import SystemClock
from metering.envelope import open_sealed
from metering.identity import GatewayId, PortId
from provisioning.authority_folder import CentreAuthority
from provisioning.broker_tls import BrokerTls
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig, HttpWay
from provisioning.keys import write_public_key, write_signing_key
from provisioning.signers import open_signer
from provisioning.tls_key import own_certificate, write_roots
from tests.conftest import MARK, build_envelope
from tests.doubles.access_broker import AccessMosquitto, make_certified
from tests.doubles.certified import CENTRE, CertifyingCentre, enrolled
from tests.doubles.edge_station import wait_for
from tests.doubles.mosquitto import find_mosquitto
from tests.doubles.servers import open_folder
from tests.doubles.web import serving

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None,
    reason="no mosquitto on this machine: scripts/install_mosquitto.sh fetches the package of the system",
)
A = GatewayId("gw-a")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = open_folder()
    yield made
    shutil.rmtree(made)


def test_a_gateway_with_a_key_and_nothing_else_comes_in_by_itself(
    folder: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    make_certified(folder, SystemClock().now() - timedelta(hours=2))
    authority = CentreAuthority.read(folder / "ca/centre")
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    signer = write_signing_key(keys / "signing.key", bytes([4]) * 32)
    write_public_key(keys / "centre.pub", CENTRE.verifier())
    roots = write_roots(keys, [one.public_bytes(Encoding.DER) for one in authority.servers_roots])
    enrolled(database, A, signer)
    centre = CertifyingCentre(database, authority)
    centre.clock.sleep_until(SystemClock().now())
    with ExitStack() as stack:
        broker = AccessMosquitto(folder, folder, [A])
        stack.enter_context(running(broker, SystemClock()))
        centre.client = stack.enter_context(serving(centre.app))
        consumer = MqttConsumer(
            host=broker.host, port=broker.centre_port, user="", password="", client_id="worker", tls=broker.tls(None)
        )
        stack.enter_context(consumer.running())
        consumer.wait_until_connected(20)
        config = GatewayConfig(
            gateway=A,
            epoch=1,
            boot=bytes(16),
            state_dir=folder / "state",
            signing_key=keys / "signing.key",
            centre_public_key=keys / "centre.pub",
            every_s=900,
            group="billing",
            broker=BrokerConfig(
                broker.host, broker.port, None, None, BrokerTls(roots, keys / "tls.pem", keys / "tls.pem")
            ),
            clock=SYSTEM_CLOCK,
            ports=(),
            meters=(),
            renewal=HttpWay(str(centre.client.base_url)),
        )
        (folder / "gateway.toml").write_text(config.to_toml())
        seal_one(config)
        before = looked(folder, capsys)
        assert before["certificate"] == ("warning", "there is none yet")
        stop = threading.Event()
        agent = threading.Thread(target=run_with_orders, args=(config, Catalogue.shipped(), stop))
        agent.start()
        try:
            wait_for(lambda: own_certificate(keys) is not None, "the certificate")
            assert looked(folder, capsys)["certificate"] == ("ok", "good for 89 days")
            (arrival,) = consumer.receive(1, 60)
            assert open_sealed(arrival.octets, open_signer(config.signing_key).verifier()).head.gateway == A
            consumer.acknowledge([arrival])
        finally:
            stop.set()
            agent.join(30)
    assert not agent.is_alive()


def seal_one(config: GatewayConfig) -> None:
    """Leave a sweep in the outbox, as a gateway that measured before it had a network."""
    config.state_dir.mkdir()
    outbox = SqliteOutbox(config.state_dir / OUTBOX_FILE, A, lambda _: b"")
    sealer = Sealer(Identity(A, 1, bytes(16), open_signer(config.signing_key)), outbox, SystemClock(), lambda _: None)
    sweep = build_envelope()
    sealer.seal_sweeps(MARK, [Sweep(PortId("line-a"), sweep.readings, MARK)])
    outbox.close()


def looked(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """What the doctor finds."""
    main(["doctor", "--config", str(folder / "gateway.toml"), "--json"])
    return {one["what"]: (one["verdict"], one["text"]) for one in json.loads(capsys.readouterr().out)}
