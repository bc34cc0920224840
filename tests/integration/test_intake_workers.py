"""Two intake workers share the gateways of one broker; whichever is killed, each envelope ends up once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import running
from ingest.ports import Arrival
from ingest.store.database import Database
from metering.clock import SystemClock
from metering.topics import partition_of
from tests.doubles.chains import Gateway
from tests.doubles.mosquitto import Mosquitto, find_mosquitto
from tests.doubles.sending_gateway import SendingGateway
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness, wired
from tests.integration.test_intake_faults import ROOT

CLOCK = SystemClock()
LENGTH = 400
SHARES = ("1/2", "2/2")


def gateways_of_both_shares() -> list[Gateway]:
    """Four gateways, two for each worker."""
    found: dict[int, list[Gateway]] = {0: [], 1: []}
    for number in range(40):
        gateway = Gateway(f"gw-{number}")
        side = found[partition_of(gateway.id) % 2]
        if len(side) < 2:
            side.append(gateway)
    return [*found[0], *found[1]]


GATEWAYS = gateways_of_both_shares()


@dataclass
class Workers:
    """The two processes."""

    dsn: str
    port: int
    stack: ExitStack
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, share: str) -> None:
        """Start one."""
        words = [sys.executable, "-m", "tests.doubles.intake_worker", self.dsn, str(self.port), "secret c", share]
        self.processes[share] = subprocess.Popen(words, cwd=ROOT)

    def kill_and_restart(self, share: str) -> None:
        """End one without warning, and start it again."""
        self.processes[share].kill()
        self.processes[share].wait()
        self.start(share)

    def stop(self) -> None:
        """End both."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(30)


@contextmanager
def made_workers(kind: str, database: Database, dsn: str) -> Iterator[Workers]:
    """A broker of this kind with two workers, and the gateways enrolled."""
    harness = PostgresHarness(database)
    harness.enrol(*GATEWAYS)
    harness.wire(wired(*GATEWAYS))
    folder = open_folder()
    logins = [Login.of_centre("centre", "secret c"), *(Login.of_gateway(one.id, "secret") for one in GATEWAYS)]
    broker = EmbeddedBroker(folder, logins) if kind == "nats" else Mosquitto(folder)
    try:
        with ExitStack() as stack:
            stack.enter_context(running(broker, CLOCK))
            workers = Workers(dsn, broker.port, stack)
            try:
                for share in SHARES:
                    workers.start(share)
                yield workers
            finally:
                workers.stop()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["nats", "mosquitto"])
@pytest.mark.parametrize("victim", SHARES)
def test_two_workers_lose_and_double_nothing_when_one_is_killed(
    kind: str, victim: str, database: Database, migrated_dsn: str
) -> None:
    if kind == "mosquitto" and find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: scripts/install_mosquitto.sh fetches the package of the system")
    chains = {gateway.name: gateway.chain(LENGTH) for gateway in GATEWAYS}
    with made_workers(kind, database, migrated_dsn) as workers:
        faults: list[BaseException] = []

        def send(gateway: Gateway, chain: list[Arrival]) -> None:
            try:
                with SendingGateway(gateway, port=workers.port, password="secret") as sender:
                    sender.send(chain, LENGTH)
            except BaseException as fault:  # noqa: BLE001 - shown by the assertion below
                faults.append(fault)

        senders = [threading.Thread(target=send, args=(one, chains[one.name])) for one in GATEWAYS]
        for sender in senders:
            sender.start()
        kills = 0
        while kills < 3 and any(sender.is_alive() for sender in senders):
            CLOCK.sleep(0.3)
            workers.kill_and_restart(victim)
            kills += 1
        for sender in senders:
            sender.join(120)
        assert faults == []
        assert kills >= 1
    seen = PostgresHarness(database).see()
    assert seen.octets == {
        (name, 1, seq): arrival.octets for name, chain in chains.items() for seq, arrival in enumerate(chain, 1)
    }
    assert len(seen.readings) == 3 * len(seen.octets)
    assert (seen.quarantine, seen.alarms) == ([], [])


def test_a_worker_takes_no_gateway_of_the_other(database: Database, migrated_dsn: str) -> None:
    """With one of two workers away its gateways wait, and the others do not."""
    mine, other = GATEWAYS[0], GATEWAYS[-1]
    with made_workers("nats", database, migrated_dsn) as workers:
        with SendingGateway(mine, port=workers.port, password="secret") as sender:
            sender.send(mine.chain(1), 1)
        with SendingGateway(other, port=workers.port, password="secret") as sender:
            sender.send(other.chain(1), 1)
        workers.processes["2/2"].kill()
        workers.processes["2/2"].wait()
        with SendingGateway(mine, port=workers.port, password="secret") as sender:
            sender.send(mine.chain(5), 5)
        with SendingGateway(other, port=workers.port, password="secret") as sender:
            with pytest.raises(AssertionError, match="receipted up to"):
                sender.send(other.chain(5), 5, rounds=1)
            workers.start("2/2")
            sender.send(other.chain(5), 5)
