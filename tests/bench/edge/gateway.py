"""The whole gateway as a program: a thousand meters a minute, its memory beside a full outbox, how soon it reads."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from device_profiles.profile import Protocol
from edge_agent.adapters.sqlite_outbox import OCTETS_MAX, SqliteOutbox
from edge_agent.app import OUTBOX_FILE
from edge_agent.ports import Entry
from metering.identity import GatewayId, MeterId, PortId
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, FittedMeter, GatewayConfig
from provisioning.keys import write_public_key, write_signing_key
from provisioning.site import ALWAYS, TcpPort
from tests.bench.edge.outbox_speed import sweep_of
from tests.bench.edge.paced_line import MODEL
from tests.doubles.edge import entry

GATEWAY = GatewayId("gw-a")
FILL_OCTETS = 200_000
"""Size of the batches that fill an outbox for the bench: few large ones, since it is the file that matters."""


@dataclass(frozen=True)
class Minute:
    """Meters read in a minute over Modbus TCP, and the gateway's share of a core in it."""

    meters: int
    ports: int
    core: float


@dataclass(frozen=True)
class Size:
    """Memory of the gateway [octets], with its outbox of so many octets."""

    meters: int
    outbox: int
    rss: int


@contextlib.contextmanager
def meters_behind(ports: int, each: int) -> Iterator[list[int]]:
    """Have meters in another process; gives the ports' numbers."""
    words = [sys.executable, "-m", "tests.bench.edge.tcp_meters", str(ports), str(each)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield [int(word) for word in process.stdout.readline().split()]
        process.communicate()


def config_in(folder: Path, numbers: list[int], each: int, every_s: int) -> Path:
    """Write a gateway's configuration with a key of its own; gives its file."""
    signer = write_signing_key(folder / "signing.key", bytes(32))
    write_public_key(folder / "centre.pub", signer.verifier())
    ports = tuple(TcpPort(PortId(f"tcp-{n}"), GATEWAY, "127.0.0.1", one, 60) for n, one in enumerate(numbers))
    meters = tuple(
        FittedMeter(MeterId(f"m-{port.id}-{unit}"), port.id, MODEL, Protocol.MODBUS_TCP, str(unit), ALWAYS)
        for port in ports
        for unit in range(1, each + 1)
    )
    config = GatewayConfig(
        gateway=GATEWAY,
        epoch=1,
        boot=bytes(16),
        state_dir=folder / "state",
        signing_key=folder / "signing.key",
        centre_public_key=folder / "centre.pub",
        every_s=every_s,
        group="billing",
        broker=BrokerConfig("127.0.0.1", 9, None, None),
        clock=SYSTEM_CLOCK,
        ports=ports,
        meters=meters,
    )
    path = folder / "gateway.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    return path


@contextlib.contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the gateway."""
    words = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        yield process
        process.terminate()


def batches(folder: Path) -> int:
    """How many batches the outbox holds."""
    path = folder / "state" / OUTBOX_FILE
    if not path.exists():
        return 0
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db,
    ):
        return int(db.execute("SELECT count(*) FROM entry").fetchone()[0])
    return 0


def cpu_s(pid: int) -> float:
    """CPU time of a process so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Resident memory of a process [octets]."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return 1024 * int(found[1]) if found else 0


def wait_for(folder: Path, count: int, seconds: float) -> None:
    """Wait until the outbox holds so many batches."""
    until_s = time.monotonic() + seconds
    while batches(folder) < count:
        if time.monotonic() > until_s:
            raise TimeoutError(f"{batches(folder)} of {count} batches")
        time.sleep(0.02)


def minute(ports: int, each: int) -> Minute:
    """Measure one whole minute after the first mark."""
    with tempfile.TemporaryDirectory() as name, meters_behind(ports, each) as numbers:
        folder = Path(name)
        with running(config_in(folder, numbers, each, 60)) as process:
            wait_for(folder, ports, 90)
            begun_s, begun_cpu_s = time.monotonic(), cpu_s(process.pid)
            wait_for(folder, 2 * ports, 90)
            time.sleep(max(0.0, 60 - (time.monotonic() - begun_s)))
            spent_s, spent_cpu_s = time.monotonic() - begun_s, cpu_s(process.pid) - begun_cpu_s
    return Minute(ports * each, ports, spent_cpu_s / spent_s)


def size(each: int) -> Size:
    """Measure the memory with one port of so many meters and an outbox filled to its bound."""
    with tempfile.TemporaryDirectory() as name, meters_behind(1, each) as numbers:
        folder = Path(name)
        config = config_in(folder, numbers, each, 1)
        (folder / "state").mkdir()
        fill(folder / "state" / OUTBOX_FILE, each)
        octets = (folder / "state" / OUTBOX_FILE).stat().st_size
        with running(config) as process:
            time.sleep(20)
            found = rss(process.pid)
    return Size(each, octets, found)


def fill(path: Path, meters: int) -> None:
    """Fill an outbox to its bound; the newest batch is a real one."""
    outbox = SqliteOutbox(path, GATEWAY, lambda _: b"")
    count = OCTETS_MAX // FILL_OCTETS
    begun_at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=count + 60)
    for seq in range(1, count + 1):
        at = begun_at + timedelta(seconds=seq)
        octets = sweep_of(meters) if seq == count else entry(seq, octets=bytes(FILL_OCTETS)).octets
        outbox.append([Entry(1, seq, at, at, octets)])
    outbox.close()


def first_reading_s() -> float:
    """Time from starting the program to the first reading, of a `probe` that needs no mark [s]."""
    with tempfile.TemporaryDirectory() as name, meters_behind(1, 1) as numbers:
        config = config_in(Path(name), numbers, 1, 900)
        begun_s = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "edge_agent", "probe", "--config", str(config)], check=True, capture_output=True
        )
        return time.perf_counter() - begun_s


def first_batch_s() -> float:
    """Time from starting the gateway to its first sealed batch on disk, with a mark each second [s]."""
    with tempfile.TemporaryDirectory() as name, meters_behind(1, 1) as numbers:
        folder = Path(name)
        config = config_in(folder, numbers, 1, 1)
        begun_s = time.perf_counter()
        with running(config):
            wait_for(folder, 1, 30)
            return time.perf_counter() - begun_s
