"""Broker, database and intake as real processes, each killed while envelopes flow: every envelope ends up once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest.adapters.mqtt_consumer import BrokerUnreachable, MqttConsumer
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import EmbeddedServer, free_port, start, stop
from ingest.ports import Arrival
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from metering.envelope import chain_digest
from tests.doubles.chains import Gateway
from tests.doubles.sending_gateway import WINDOW, SendingGateway
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness, Seen, wired

ROOT = Path(__file__).parents[2]
CLOCK = SystemClock()
GATEWAYS = (Gateway("gw-a"), Gateway("gw-b"))
LENGTH = 1200
LOGINS = (Login.of_centre("centre", "secret c"), *(Login.of_gateway(gateway.id, "secret") for gateway in GATEWAYS))


@dataclass
class Plant:
    """The three processes, each of which can be killed and started again."""

    folder: Path
    postgres: EmbeddedPostgres
    broker: EmbeddedBroker
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_server(self, name: str, server: EmbeddedServer) -> None:
        """Start a server and wait until it answers."""
        self.processes[name] = start(server, CLOCK)

    def start_intake(self) -> None:
        """Start an intake process."""
        words = [sys.executable, "-m", "tests.doubles.intake_worker", self.postgres.dsn]
        with (self.folder / "intake.log").open("ab") as log:
            self.processes["intake"] = subprocess.Popen(
                [*words, str(self.broker.port), "secret c"], cwd=ROOT, stdout=log, stderr=log
            )

    def kill_and_restart(self, name: str) -> None:
        """End one process without warning, and start it again."""
        self.processes[name].kill()
        self.processes[name].wait()
        restart: dict[str, Callable[[], None]] = {
            "postgres": lambda: self.start_server("postgres", self.postgres),
            "broker": lambda: self.start_server("broker", self.broker),
            "intake": self.start_intake,
        }
        restart[name]()

    def stop(self) -> None:
        """End everything, in the order that leaves nobody waiting."""
        for name, command in (
            ("intake", self.postgres.command()),
            ("broker", self.broker.command()),
            ("postgres", self.postgres.command()),
        ):
            if name in self.processes:
                stop(command, self.processes[name])

    def see(self) -> Seen:
        """What the database holds."""
        with Database(self.postgres.dsn, connections=1) as database:
            return PostgresHarness(database).see()


@contextmanager
def made_plant() -> Iterator[Plant]:
    """A plant with the gateways enrolled."""
    folder = open_folder()
    plant = Plant(folder, EmbeddedPostgres(folder / "postgres"), EmbeddedBroker(folder / "broker", LOGINS))
    try:
        plant.start_server("postgres", plant.postgres)
        plant.start_server("broker", plant.broker)
        with Database(plant.postgres.dsn, connections=1) as database:
            migrate(database)
            harness = PostgresHarness(database)
            harness.enrol(*GATEWAYS)
            harness.wire(wired(*GATEWAYS))
        plant.start_intake()
        yield plant
    finally:
        plant.stop()
        plant.postgres.remove()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def chains() -> dict[str, list[Arrival]]:
    """What each gateway has to send."""
    return {gateway.name: gateway.chain(LENGTH) for gateway in GATEWAYS}


def check_books(seen: Seen, chains: dict[str, list[Arrival]]) -> None:
    """Every envelope is there once, with its own octets, and nothing else is."""
    expected = {
        (name, 1, seq): arrival.octets for name, chain in chains.items() for seq, arrival in enumerate(chain, 1)
    }
    assert seen.octets == expected
    assert len(seen.readings) == 3 * len(expected)
    assert len({row[:4] for row in seen.readings}) == len(seen.readings)
    assert (seen.quarantine, seen.alarms) == ([], [])
    for gateway in GATEWAYS:
        head = seen.heads[gateway.owner]
        assert (head.contiguous_seq, head.head_hash) == (LENGTH, chain_digest(chains[gateway.name][-1].octets))
        assert head.envelopes == LENGTH


@pytest.mark.parametrize("victim", ["postgres", "broker", "intake"])
def test_each_envelope_is_stored_once_whoever_is_killed(victim: str, chains: dict[str, list[Arrival]]) -> None:
    with made_plant() as plant:
        faults: list[BaseException] = []

        def send(gateway: Gateway) -> None:
            try:
                with SendingGateway(gateway, port=plant.broker.port, password="secret") as sender:
                    sender.send(chains[gateway.name], LENGTH)
            except BaseException as fault:  # noqa: BLE001 - shown by the assertion below
                faults.append(fault)

        senders = [threading.Thread(target=send, args=(gateway,)) for gateway in GATEWAYS]
        for sender in senders:
            sender.start()
        kills = 0
        while kills < 3 and any(sender.is_alive() for sender in senders):
            CLOCK.sleep(0.15)
            plant.kill_and_restart(victim)
            kills += 1
        for sender in senders:
            sender.join(120)
        assert faults == []
        assert kills >= 2, "everything had arrived before anything was killed"
        check_books(plant.see(), chains)


def test_a_flood_of_repeats_changes_nothing(chains: dict[str, list[Arrival]]) -> None:
    with made_plant() as plant:
        for gateway in GATEWAYS:
            with SendingGateway(gateway, port=plant.broker.port, password="secret") as sender:
                sender.send(chains[gateway.name], LENGTH)
                for _ in range(5):
                    sender.receipted = 0
                    sender.send(chains[gateway.name], WINDOW)
        check_books(plant.see(), chains)


def test_a_consumer_says_when_the_broker_is_not_there() -> None:
    port = free_port()
    consumer = MqttConsumer(host="127.0.0.1", port=port, user="", password="", client_id="test")
    with consumer.running(), pytest.raises(BrokerUnreachable, match=str(port)):
        consumer.wait_until_connected(0.3)
    assert not consumer.connected
