"""Database, broker, intake and publisher as processes of their own, on whatever cores there are."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.intake import GROUP_MAX
from ingest.ports import Arrival
from ingest.store.database import Database, load_queries
from ingest.store.layout import Layout, find_layout
from ingest.store.migrate import migrate
from ingest.store.reading_rows import COPY_BEGIN, COPY_END, reading_rows
from ingest.sweeps import Sweep, frame_of, open_sweeps
from metering.clock import SystemClock
from metering.envelope import parse_sign1, read_head
from metering.topics import gateway_of
from tests.bench.ingest.given import GivenDatabase, given_database, quieten
from tests.bench.ingest.load import Fleet
from tests.doubles.servers import GIVEN_DSN, open_folder
from tests.doubles.store_harness import PostgresHarness

ROOT = Path(__file__).parents[3]
SETTLE_S = 0.5
"""Between the last receipt and the end of intake: acknowledgements follow the receipts."""
WINDOW = 64
"""As edge_agent/uplink.py."""
LOAD = Login("load", "l", ("m/+/+/up/envelope",), ("m/+/+/down/receipt",))


def sweeps_of(arrivals: Sequence[Arrival]) -> list[Sweep]:
    """Open a group without asking who signed."""
    framed = [(one.octets, frame_of(one.octets)) for one in arrivals]
    opened = open_sweeps(
        [(octets, frame, read_head(parse_sign1(frame.sealed_head).payload)) for octets, frame in framed if frame]
    )
    return [sweep for sweep in opened if sweep is not None]


def rows_of(arrivals: Sequence[Arrival]) -> list[bytes]:
    """The rows of each group of intake, ready for COPY; the groups are of gateways that catch up, a window each."""
    ordered = sorted(arrivals, key=lambda one: one.topic)
    groups = [ordered[start : start + GROUP_MAX] for start in range(0, len(ordered), GROUP_MAX)]
    return [COPY_BEGIN + reading_rows(sweeps_of(group)).tobytes() + COPY_END for group in groups]


@dataclass
class Plant:
    """A running database and broker, and what is measured on them."""

    folder: Path
    dsn: str
    broker: EmbeddedBroker
    database: Database
    pids: tuple[int, int]

    def enrol(self, *fleets: Fleet) -> None:
        """Make the gateways known and wire their meters."""
        harness = PostgresHarness(self.database)
        harness.enrol(*(gateway for fleet in fleets for gateway in fleet.all()))
        harness.wire({name: meters for fleet in fleets for name, meters in fleet.wirings().items()})

    def empty(self, *tables: str) -> None:
        """Begin with empty tables."""
        with self.database.transaction() as connection:
            for table in tables:
                connection.execute(f"TRUNCATE {table}".encode())

    def ceiling(self, rows: Sequence[bytes], readings: int) -> float:
        """Readings a second of nothing but binary COPY into `readings`, a group a transaction, one connection."""
        self.empty("readings")
        began = time.perf_counter()
        for octets in rows:
            with (
                self.database.transaction() as connection,
                connection.cursor() as cursor,
                cursor.copy(load_queries("intake")["copy_readings"]) as copy,
            ):
                copy.write(octets)
        took = time.perf_counter() - began
        self.empty("readings")
        return readings / took

    def through(
        self, first: Sequence[Arrival], load: Sequence[tuple[Arrival, float]], workers: int = 1
    ) -> dict[str, Any]:
        """Send `load` through broker and intake until the last receipt; `first` has warmed each worker up before."""
        file, warm = self.folder / "load", self.folder / "warm"
        file.write_bytes(pickle.dumps([_item(arrival, at) for arrival, at in load]))
        warm.write_bytes(pickle.dumps([_item(one, 0.0) for one in first]))
        with ExitStack() as stack:
            pipes = [stack.enter_context(self._worker(f"{number}/{workers}")) for number in range(1, workers + 1)]
            self._publish(warm)
            before = [cpu_of(pid) for pid in self.pids]
            told = self._publish(file)
            after = [cpu_of(pid) for pid in self.pids]
            time.sleep(SETTLE_S)
            for pipe in pipes:
                pipe.terminate()
            counted = [json.loads(pipe.stdout.readline()) for pipe in pipes if pipe.stdout]
        spent = {"postgres": after[0] - before[0], "broker": after[1] - before[1]}
        intake = {"cpu": sum(one["cpu"] for one in counted), "rss_mb": max(one["rss_mb"] for one in counted)}
        return told | {"intake": intake, **spent, "took": told["ended"] - told["began"]}

    @contextmanager
    def _worker(self, share: str) -> Iterator[subprocess.Popen[str]]:
        words = [sys.executable, "-m", "tests.bench.ingest.worker", self.dsn, str(self.broker.port), share]
        worker = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            yield worker
        finally:
            worker.kill()
            worker.wait()

    def _publish(self, file: Path) -> dict[str, Any]:
        words = [sys.executable, "-m", "tests.bench.ingest.publisher", str(self.broker.port), str(file), str(WINDOW)]
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
        return told


def _item(arrival: Arrival, at: float) -> tuple[str, str, bytes, float]:
    return gateway_of(arrival.topic), arrival.topic, arrival.octets, at


def cpu_of(pid: int) -> float:
    """CPU of a process and its children, living and gone [s]."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13]))
    return total / 100


@contextmanager
def made_plant() -> Iterator[Plant]:
    """A plant in a folder of its own, on the server that METERTREE_TEST_DSN names if it is set; gone afterwards."""
    folder, clock = open_folder("metertree-bench-"), SystemClock()
    broker = EmbeddedBroker(folder / "broker", [Login.of_centre("centre", "c"), LOAD])
    try:
        with ExitStack() as stack:
            made = stack.enter_context(given_database() if GIVEN_DSN else _embedded_database(folder))
            pids = (made.pid, stack.enter_context(running(broker, clock)).pid)
            database = stack.enter_context(Database(made.dsn, connections=3))
            migrate(database)
            if find_layout_of(database) is Layout.HYPERTABLES:
                quieten(database)
            yield Plant(folder, made.dsn, broker, database, pids)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _embedded_database(folder: Path) -> Iterator[GivenDatabase]:
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        with running(postgres, SystemClock()) as process:
            yield GivenDatabase(postgres.dsn, process.pid)
    finally:
        postgres.remove()


def find_layout_of(database: Database) -> Layout:
    """How its readings lie."""
    with database.transaction() as connection:
        return find_layout(connection)
