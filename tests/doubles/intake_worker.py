"""An intake as a process, for tests that kill it: `-m tests.doubles.intake_worker DSN PORT PASSWORD [K/N]`."""

from __future__ import annotations

import signal
import sys
from threading import Event

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.intake import Intake
from ingest.intake_worker import Worker
from ingest.store.database import Database
from ingest.store.intake_store import PostgresIntakeStore
from metering.clock import SystemClock
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES


def main(dsn: str, port: str, password: str, share: str = "1/1") -> None:
    """Run intake until SIGTERM, as worker K of N."""
    worker = Worker.parse(share)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = MqttConsumer(
        host="127.0.0.1",
        port=int(port),
        user="centre",
        password=password,
        client_id=worker.client_id,
        partitions=worker.partitions,
    )
    with Database(dsn, connections=3) as database, consumer.running():
        Intake(
            consumer=consumer,
            store=PostgresIntakeStore(database),
            signer=SeededSigner("metertree test centre"),
            clock=SystemClock(),
            profiles=PROFILES,
        ).run_ahead(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
