"""The processes that are killed: a database, a broker, intake workers. Each is started again where it was."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import start
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from tests.doubles.chains import Gateway
from tests.doubles.mosquitto import Mosquitto
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness, wired

ROOT = Path(__file__).parents[2]
CLOCK = SystemClock()
WORKER = ("tests.doubles.intake_worker",)
PASSWORD = "secret c"


@dataclass
class Plant:
    """Everything between the gateways and the books.

    worker   module of the worker process, and words before its own
    """

    folder: Path
    postgres: EmbeddedPostgres
    broker: EmbeddedBroker | Mosquitto
    shares: tuple[str, ...]
    worker: tuple[str, ...] = WORKER
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start `postgres`, `broker`, or the worker of a share; the servers answer when this returns."""
        if name in self.shares:
            words = [sys.executable, "-m", *self.worker, self.postgres.dsn, str(self.broker.port), PASSWORD, name]
            with (self.folder / "workers.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
        else:
            self.processes[name] = start(self.postgres if name == "postgres" else self.broker, CLOCK)

    def kill(self, name: str) -> None:
        """End one process without warning."""
        self.processes[name].kill()
        self.processes[name].wait()

    def forget_messages(self) -> None:
        """Take the killed broker's disk away: sessions, queues and all."""
        shutil.rmtree(self.broker.directory / "store", ignore_errors=True)
        self.broker.directory.joinpath("mosquitto.db").unlink(missing_ok=True)

    @contextmanager
    def workers_frozen(self) -> Iterator[None]:
        """Let no worker do anything meanwhile."""
        for share in self.shares:
            self.processes[share].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for share in self.shares:
                self.processes[share].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End everything; nobody needs it any more."""
        for name in (*self.shares, "broker", "postgres"):
            if name in self.processes:
                self.kill(name)


@contextmanager
def made_plant(
    kind: str, gateways: Sequence[Gateway], workers: int, worker: tuple[str, ...] = WORKER
) -> Iterator[Plant]:
    """Start a plant with a broker of `kind` (nats or mosquitto), the gateways enrolled."""
    folder = open_folder("metertree-trust-")
    logins = [Login.of_centre("centre", PASSWORD), *(Login.of_gateway(one.id, "secret") for one in gateways)]
    (folder / "broker").mkdir()
    plant = Plant(
        folder,
        EmbeddedPostgres(folder / "postgres"),
        EmbeddedBroker(folder / "broker", logins) if kind == "nats" else Mosquitto(folder / "broker"),
        tuple(f"{number}/{workers}" for number in range(1, workers + 1)),
        worker,
    )
    try:
        plant.start("postgres")
        plant.start("broker")
        with Database(plant.postgres.dsn, connections=1) as database:
            migrate(database)
            harness = PostgresHarness(database)
            harness.enrol(*gateways)
            harness.wire(wired(*gateways))
        for share in plant.shares:
            plant.start(share)
        yield plant
    finally:
        plant.stop()
        plant.postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)
