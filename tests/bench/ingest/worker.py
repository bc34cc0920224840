"""An intake as a process; at SIGTERM it says what it took: `python -m tests.bench.ingest.worker DSN PORT SHARE`."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from threading import Event

from ingest.config import BrokerConfig
from ingest.intake import Intake
from ingest.intake_worker import SWITCH_S, Worker, consumer_of
from ingest.store.database import Database
from ingest.store.intake_store import PostgresIntakeStore
from metering.clock import SystemClock
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES


def most_memory_mb() -> float:
    """The most this process has held; the resource usage would count what its parent held when it was forked."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main(dsn: str, port: str, share: str) -> None:
    """Run intake until SIGTERM, then print what it cost."""
    stop = Event()
    sys.setswitchinterval(SWITCH_S)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    broker = BrokerConfig("127.0.0.1", int(port), "centre", "c")
    consumer = consumer_of(broker, Worker.parse(share))
    with Database(dsn, connections=3) as database, consumer.running():
        consumer.wait_until_connected(30)
        intake = Intake(
            consumer=consumer,
            store=PostgresIntakeStore(database),
            signer=SeededSigner("metertree test centre"),
            clock=SystemClock(),
            profiles=PROFILES,
        )
        print("ready", flush=True)
        # The kernels are loaded and the site is read with the first envelope; then the clock starts.
        while not intake.counters.accepted and not stop.is_set():
            if arrivals := consumer.receive(1, 0.1):
                intake.take(arrivals)
        began = time.process_time()
        intake.run_ahead(stop)
        spent = time.process_time() - began
        counters = intake.counters
        print(
            json.dumps(
                {
                    "cpu": spent,
                    "rss_mb": most_memory_mb(),
                    "accepted": counters.accepted,
                    "readings": counters.readings,
                    "repeated": counters.repeated,
                    "groups": counters.groups,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
