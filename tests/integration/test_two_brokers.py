"""Two brokers that know nothing of each other, each with workers of its own, on one database: either may vanish."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import running
from ingest.store.database import Database
from metering.clock import SystemClock
from tests.doubles.chains import Gateway
from tests.doubles.sending_gateway import WINDOW, SendingGateway
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness, wired
from tests.integration.test_intake_faults import ROOT

CLOCK = SystemClock()
GATEWAYS = (Gateway("gw-1"), Gateway("gw-2"))
LENGTH = 2 * WINDOW


@dataclass
class Site:
    """Two brokers, each with a worker that takes everything."""

    ports: list[int] = field(default_factory=list)
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)


@contextmanager
def two_brokers(dsn: str) -> Iterator[Site]:
    """Both, running; everything ends on leaving."""
    logins = [Login.of_centre("centre", "c"), *(Login.of_gateway(one.id, "g") for one in GATEWAYS)]
    folders = [open_folder(), open_folder()]
    site = Site()
    try:
        with ExitStack() as stack:
            for folder in folders:
                broker = EmbeddedBroker(folder, logins)
                site.servers.append(stack.enter_context(running(broker, CLOCK)))
                site.ports.append(broker.port)
                words = [sys.executable, "-m", "tests.doubles.intake_worker", dsn, str(broker.port), "c"]
                site.workers.append(subprocess.Popen(words, cwd=ROOT))
                stack.callback(_end, site.workers[-1])
            yield site
    finally:
        for folder in folders:
            shutil.rmtree(folder)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)


def check_books(database: Database, chains: dict[str, list[bytes]]) -> None:
    """Each envelope once, none left out, nothing held."""
    seen = PostgresHarness(database).see()
    assert seen.octets == {(name, 1, seq): one for name, chain in chains.items() for seq, one in enumerate(chain, 1)}
    assert len(seen.readings) == 3 * len(seen.octets)
    assert (seen.quarantine, seen.alarms) == ([], [])


def test_a_gateway_goes_on_at_the_other_broker(database: Database, migrated_dsn: str) -> None:
    """What the first broker took along with it is sent again: it had no receipt."""
    harness = PostgresHarness(database)
    harness.enrol(*GATEWAYS)
    harness.wire(wired(*GATEWAYS))
    chains = {one.name: one.chain(LENGTH) for one in GATEWAYS}
    with two_brokers(migrated_dsn) as site:
        for one in GATEWAYS:
            with SendingGateway(one, port=site.ports[0], password="g") as sender:
                sender.send(chains[one.name], LENGTH // 2)
        site.servers[0].kill()
        for one in GATEWAYS:
            with SendingGateway(one, port=site.ports[1], password="g") as sender:
                sender.send(chains[one.name], LENGTH)
    check_books(database, {name: [one.octets for one in chain] for name, chain in chains.items()})


def test_the_same_envelopes_at_both_brokers_at_once_enter_once(database: Database, migrated_dsn: str) -> None:
    (gateway, _) = GATEWAYS
    harness = PostgresHarness(database)
    harness.enrol(gateway)
    harness.wire(wired(gateway))
    chain = gateway.chain(LENGTH)
    with (
        two_brokers(migrated_dsn) as site,
        SendingGateway(gateway, port=site.ports[0], password="g") as here,
        SendingGateway(gateway, port=site.ports[1], password="g") as there,
    ):
        for up_to in (WINDOW, LENGTH):
            here.send(chain, up_to)
            there.send(chain, up_to)
    check_books(database, {gateway.name: [one.octets for one in chain]})
