"""The programs of the central service as processes, on a real database and a real broker, over the park."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import free_port, running
from ingest.store.database import Database
from metering.clock import SystemClock
from metering.interval import SLOT
from metering.topics import envelope_topic
from provisioning.keys import write_signing_key
from tests.doubles.park_books import ParkBooks, read_park
from tests.doubles.servers import open_folder

ROOT = Path(__file__).parents[2]
TOKEN = "a token of more than twenty signs"
PASSWORD = "secret"
PATIENCE = 1800
"""Looks, a twentieth of a second apart, before something is taken for stuck: a busy machine starts a program slowly."""
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(happened: Callable[[], object], what: str) -> None:
    """Wait for something another program does; fails with what it was."""
    pause = Event()
    for _ in range(PATIENCE):
        if happened():
            return
        pause.wait(0.05)
    raise AssertionError(f"it did not happen: {what}")


@dataclass
class Running:
    """One program that runs. `port`: where its probes and metrics are."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Call over HTTP; status 0 while nobody listens."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, headers=named)
        try:
            with _direct.open(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def readiness(self) -> dict[str, str] | None:
        """Ask what it depends on; None while it does not answer."""
        status, octets = self.call("/readyz")
        return dict(json.loads(octets)["checks"]) if status in (200, 503) else None

    def is_ready(self) -> bool:
        """Say whether it answers, and all it depends on does."""
        assert self.process.poll() is None, f"it ended: {self.log.read_text()[-2000:]}"
        return self.call("/readyz")[0] == 200

    def wait_ready(self) -> Running:
        """Wait until it is ready."""
        wait_until(self.is_ready, f"ready: {self.process.args!r}")
        return self

    def metric(self, name: str, labels: str = "") -> float:
        """Read one number of its metrics; 0 where it is not shown."""
        found = re.search(rf"^{re.escape(name + labels)} (\S+)$", self.call("/metrics")[1].decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def terminate(self) -> int:
        """End it as a supervisor does; give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait(60)

    def events(self) -> list[dict[str, Any]]:
        """What it logged, where it logs JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass
class Ground:
    """What the programs stand on, and the flags that name it."""

    database: Database
    dsn: str
    folder: Path
    books: ParkBooks
    broker: EmbeddedBroker
    stack: ExitStack
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def flags(self) -> dict[str, tuple[str, ...]]:
        """The flags that each program needs."""
        dsn = ("--dsn", self.dsn)
        key = ("--centre-key", str(self.folder / "centre.key"))
        token = ("--admin-token-file", str(self.folder / "token"))
        broker = ("--broker-port", str(self.broker.port), "--broker-user", "centre")
        broker += ("--broker-password-file", str(self.folder / "password"))
        return {
            "serve": (*dsn, *key, *token, *broker, "--open-reads", "on"),
            "intake": (*dsn, *key, *broker),
            "settle": (*dsn, "--settle-every-s", "0.1"),
            "api": (*dsn, *key, *token, "--open-reads", "on"),
            "jobs": dsn,
        }

    def start(self, program: str, *flags: str, log_format: str = "json") -> Running:
        """Start one; it is killed at the end of the test if it still runs."""
        port = free_port()
        where = "--port" if program in ("serve", "api") else "--probe-port"
        words = [sys.executable, "-m", "ingest.cli", f"--log-format={log_format}", program]
        words += [*self.flags[program], where, str(port), *flags]
        log = self.folder / f"{program}-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(words, cwd=ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self.stack.callback(process.wait, 60)
        self.stack.callback(process.kill)
        return Running(process, port, log)

    def seal(self, marks: int, first: int = 0) -> list[tuple[str, bytes]]:
        """Seal the sweeps of quarter hours of the first day: topics and octets."""
        start = self.books.site.calendar.period("2026-07-01--2026-07-01").start
        entries = self.books._entries([start + index * SLOT for index in range(first, first + marks)], _answers)
        return [(envelope_topic(one.sealed.head.gateway), one.sealed.octets) for one in entries]

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Give messages to the broker, each as its gateway."""
        for gateway in self.books.site.gateways:
            client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=gateway.id, protocol=mqtt.MQTTv311)
            client.username_pw_set(gateway.id, PASSWORD)
            client.connect("127.0.0.1", self.broker.port)
            client.loop_start()
            told = [client.publish(topic, octets, qos=1) for topic, octets in messages if f"/{gateway.id}/" in topic]
            for one in told:
                one.wait_for_publish(60)
            client.disconnect()
            client.loop_stop()

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        with self.database.transaction() as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        return int(row[0])


def _answers(_meter: str, _mark: datetime) -> bool:
    return False


@contextmanager
def park_ground(database: Database, dsn: str) -> Iterator[Ground]:
    """The park, imported and enrolled, with a broker."""
    site, rules, play, catalogue = read_park()
    books = ParkBooks(database, site, rules, play, catalogue)
    books.enrol_all()
    folder = open_folder()
    for name, text in (("token", TOKEN), ("password", PASSWORD)):
        (folder / name).write_text(text, encoding="utf-8")
    write_signing_key(folder / "centre.key", bytes(32))
    logins = [Login.of_centre("centre", PASSWORD), *(Login.of_gateway(one.id, PASSWORD) for one in site.gateways)]
    broker = EmbeddedBroker(folder / "broker", logins)
    try:
        with ExitStack() as servers:
            servers.enter_context(running(broker, SystemClock()))
            with ExitStack() as stack:
                yield Ground(database, dsn, folder, books, broker, stack)
    finally:
        shutil.rmtree(folder)
