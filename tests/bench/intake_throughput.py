"""How many envelopes a second go through intake to a durable commit: `python -m tests.bench.intake_throughput`.

Ten meters of two registers each per envelope, Ed25519, embedded PostgreSQL with fsync on, groups as intake takes them.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import replace
from threading import Event, Thread

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.intake import GROUP_MAX, Intake
from ingest.ports import Arrival
from ingest.store.database import Database
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from metering.identity import MeterId
from metering.reading import MeterReading, ReadQuality
from provisioning.site import ALWAYS
from tests.conftest import MARK, SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.sending_gateway import SendingGateway
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness

ENVELOPES = 6000
METERS = [MeterId(f"m-{number:02d}") for number in range(10)]
PROFILE = sorted(PROFILES)[0]


class FullGateway(Gateway):
    """A gateway with ten meters."""

    def envelope(self, seq: int, previous_hash: bytes, mark: object = None) -> object:  # type: ignore[override]
        """One sweep of ten meters."""
        envelope = super().envelope(seq, previous_hash)
        readings = tuple(
            MeterReading(meter, PROFILE, 0, MARK, MARK, ReadQuality.MEASURED, (seq * 1000 + number, number))
            for number, meter in enumerate(METERS)
        )
        return replace(envelope, readings=readings)


def intake_over(database: Database, consumer: object) -> Intake:
    """An intake with the real store."""
    return Intake(
        consumer=consumer,  # type: ignore[arg-type]
        store=PostgresIntakeStore(database),
        signer=SeededSigner("metertree test centre"),
        clock=SystemClock(),
        profiles=PROFILES,
    )


def measure_direct(database: Database, chain: list[Arrival]) -> float:
    """Envelopes per second without a broker."""
    intake = intake_over(database, MemoryConsumer())
    began = time.perf_counter()
    for start in range(0, len(chain), GROUP_MAX):
        intake.take(chain[start : start + GROUP_MAX])
    return len(chain) / (time.perf_counter() - began)


def measure_wire(database: Database, broker: EmbeddedBroker, gateway: Gateway, chain: list[Arrival]) -> float:
    """Envelopes per second from a publishing gateway to its last receipt, window 64."""
    consumer = MqttConsumer(host=broker.host, port=broker.port, user="centre", password="c", client_id="bench")
    stop = Event()
    with consumer.running():
        consumer.wait_until_connected(10)
        worker = Thread(target=intake_over(database, consumer).run, args=(stop,))
        worker.start()
        try:
            with SendingGateway(gateway, port=broker.port, password="g") as sender:
                began = time.perf_counter()
                sender.send(chain, len(chain))
                return len(chain) / (time.perf_counter() - began)
        finally:
            stop.set()
            worker.join()


def main() -> None:
    """Measure and print."""
    folder = open_folder()
    direct, wire = FullGateway("gw-a"), FullGateway("gw-b")
    logins = [Login.of_centre("centre", "c"), Login.of_gateway(wire.id, "g")]
    postgres, broker = EmbeddedPostgres(folder / "postgres"), EmbeddedBroker(folder / "broker", logins)
    clock = SystemClock()
    chains = [gateway.chain(ENVELOPES) for gateway in (direct, wire)]
    digest = hashlib.sha256(chains[0][0].octets).hexdigest()[:8]
    print(f"{ENVELOPES} envelopes of {len(chains[0][0].octets)} octets ({digest}), {len(METERS)} meters each")
    try:
        with running(postgres, clock), running(broker, clock), Database(postgres.dsn, connections=2) as database:
            migrate(database)
            harness = PostgresHarness(database)
            harness.enrol(direct, wire)
            harness.wire({gateway.id: dict.fromkeys(METERS, ALWAYS) for gateway in (direct, wire)})
            print(f"intake to commit: {measure_direct(database, chains[0]):,.0f} envelopes/s")
            print(f"all of it again:  {measure_direct(database, chains[0]):,.0f} repeats/s")
            print(f"over the broker:  {measure_wire(database, broker, wire, chains[1]):,.0f} envelopes/s")
    finally:
        postgres.remove()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
