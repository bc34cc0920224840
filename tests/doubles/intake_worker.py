"""An intake as a process of its own, for tests that kill it: `-m tests.doubles.intake_worker DSN PORT PASSWORD`."""

from __future__ import annotations

import signal
import sys
from threading import Event

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.intake import Intake
from ingest.store.database import Database
from ingest.store.intake_store import PostgresIntakeStore
from metering.clock import SystemClock
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES


def main(dsn: str, port: str, password: str) -> None:
    """Run intake until SIGTERM."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = MqttConsumer(
        host="127.0.0.1", port=int(port), user="centre", password=password, client_id="metertree-intake"
    )
    with Database(dsn, connections=2) as database, consumer.running():
        Intake(
            consumer=consumer,
            store=PostgresIntakeStore(database),
            signer=SeededSigner("metertree test centre"),
            clock=SystemClock(),
            profiles=PROFILES,
        ).run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
