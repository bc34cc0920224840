"""A receipt follows a commit on two disks: the database dies, its standby takes over, no receipted reading lacks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import running
from ingest.store.database import Database
from metering.clock import SystemClock
from tests.doubles.chains import Gateway
from tests.doubles.edge_station import wait_for
from tests.doubles.replicated import Pair, replicated
from tests.doubles.sending_gateway import WINDOW, SendingGateway
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness, wired
from tests.integration.test_intake_faults import ROOT

GW = Gateway()
LENGTH = 4 * WINDOW
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A primary and its standby; the last test leaves only the standby."""
    with replicated() as made:
        with Database(made.dsn, connections=1) as database:
            harness = PostgresHarness(database)
            harness.enrol(GW)
            harness.wire(wired(GW))
        yield made


@contextmanager
def sender_to(pair: Pair) -> Iterator[SendingGateway]:
    """A gateway, a broker and an intake worker that knows both servers."""
    folder = open_folder()
    broker = EmbeddedBroker(folder, [Login.of_centre("centre", "c"), Login.of_gateway(GW.id, "g")])
    try:
        with running(broker, CLOCK):
            words = [sys.executable, "-m", "tests.doubles.intake_worker", pair.dsn, str(broker.port), "c"]
            worker = subprocess.Popen(words, cwd=ROOT)
            try:
                with SendingGateway(GW, port=broker.port, password="g") as sender:
                    yield sender
            finally:
                worker.terminate()
                worker.wait(60)
    finally:
        shutil.rmtree(folder)


def test_no_receipt_while_the_second_disk_is_away(pair: Pair) -> None:
    with sender_to(pair) as sender:
        sender.send(GW.chain(10), 10)
        with pair.standby_asleep(), pytest.raises(AssertionError, match="receipted up to 10 of 20"):
            sender.send(GW.chain(20), 20, rounds=3)
        sender.send(GW.chain(20), 20)


def test_no_receipted_reading_lacks_after_a_failover(pair: Pair) -> None:
    """The gateway never sends again what has a receipt: if the standby lacked it, the gap would stay open."""
    chain = GW.chain(LENGTH)
    with sender_to(pair) as sender:
        sender.send(chain, LENGTH // 2)
        pair.kill()
        receipted = sender.receipted
        pair.promote()
        sender.send(chain, LENGTH)
    assert receipted >= LENGTH // 2
    with Database(pair.standby.dsn, connections=1) as database:
        wait_for(lambda: PostgresHarness(database).see().heads[GW.owner].contiguous_seq == LENGTH, "the last commit")
        seen = PostgresHarness(database).see()
    assert seen.octets == {(GW.name, 1, seq): one.octets for seq, one in enumerate(chain, 1)}
    assert len(seen.readings) == 3 * LENGTH
    assert (seen.quarantine, seen.alarms) == ([], [])
