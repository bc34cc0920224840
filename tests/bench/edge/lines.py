"""Serial lines measured: against the wire, beside a plain pymodbus client, with a dead meter, eight at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient

from device_profiles.catalogue import Catalogue
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Protocol
from device_profiles.read_plan import plan_reads
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.capacity import rehearse, seconds_on
from edge_agent.patience import SAMPLES_MIN
from edge_agent.sweep import AskedMeter, PortReader
from metering.clock import SystemClock
from metering.identity import GatewayId, MeterId, PortId
from metering.reading import ReadQuality
from provisioning.gateway_config import FittedMeter
from provisioning.site import ALWAYS, LineSettings, Parity, SerialPort
from tests.bench.edge.paced_line import MODEL, TURNAROUND_S

GROUP = "status"
SWEEPS = 3
RTU = Protocol.MODBUS_RTU


@dataclass(frozen=True)
class Pace:
    """Meters a second at one speed: what the wire allows, ours, and a plain client's on the same line."""

    baud: int
    allowed: float
    ours: float
    plain: float


@dataclass(frozen=True)
class Dead:
    """A line that is polled without a pause: meters read a second when all answer, and when one of them never does."""

    count: int
    seconds: float
    alive: float
    beside_dead: float

    @property
    def cost(self) -> float:
        """Share of the readings that the dead meter cost the line, its own excepted."""
        return 1 - self.beside_dead / (self.alive * (self.count - 1) / self.count)


@dataclass(frozen=True)
class Ports:
    """Meters a second over some lines at once in one process, and its share of a core."""

    lines: int
    rate: float
    core: float


@contextlib.contextmanager
def paced(baud: int, count: int, lines: int = 1, lateness: list[float] | None = None) -> Iterator[list[Path]]:
    """Have paced lines in another process; how late they were altogether [s] is put into `lateness`."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"line-{number}" for number in range(lines)]
        words = [sys.executable, "-m", "tests.bench.edge.paced_line", str(baud), str(count), *map(str, paths)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield paths
            told, _ = process.communicate()
            if lateness is not None:
                lateness.append(float(told))


def reader_of(path: Path, baud: int, count: int) -> PortReader:
    """A port reader on one paced line, with meters that have taught their turnaround."""
    port = SerialPort(PortId("line"), GatewayId("gw-a"), str(path), baud, Parity.EVEN, 1, 60)
    catalogue = Catalogue.shipped()
    meters = [
        AskedMeter.prepare(FittedMeter(MeterId(f"m-{unit}"), port.id, MODEL, RTU, str(unit), ALWAYS), catalogue, GROUP)
        for unit in range(1, count + 1)
    ]
    for meter in meters:
        for _ in range(SAMPLES_MIN):
            meter.patience.answered(TURNAROUND_S)
    clock = SystemClock()
    return PortReader(port, SerialBus(port, clock), clock, meters, threading.Event())


def swept_s(reader: PortReader, silent: int = 0) -> float:
    """Sweep once, and check what came; gives the time it took [s]."""
    begun_s = time.perf_counter()
    readings = reader.sweep(SystemClock().now()).readings
    spent_s = time.perf_counter() - begun_s
    assert sum(reading.quality is ReadQuality.MEASURED for reading in readings) == len(readings) - silent
    return spent_s


def allowed_s(baud: int) -> float:
    """What reading one meter takes on the wire [s]."""
    profile = Catalogue.shipped().by_id(MODEL)
    exchanges = rehearse(profile, RTU, "1", plan_reads(profile, RTU, profile.group(GROUP)))
    return seconds_on(LineSettings(baud, Parity.EVEN, 1), exchanges, TURNAROUND_S)


def pace(baud: int, count: int) -> Pace:
    """Measure one speed, ours and a plain client in turn; what the line itself was late is taken off both."""
    late: list[float] = []
    with paced(baud, count, lateness=late) as (path,):
        reader = reader_of(path, baud, count)
        ours_s = sum(swept_s(reader) for _ in range(SWEEPS))
        reader.close()
    with paced(baud, count, lateness=late) as (path,):
        plain_s = sum(plain_client_s(path, baud, count) for _ in range(SWEEPS))
    read, (late_ours_s, late_plain_s) = SWEEPS * count, late
    return Pace(baud, 1 / allowed_s(baud), read / (ours_s - late_ours_s), read / (plain_s - late_plain_s))


def plain_client_s(path: Path, baud: int, count: int) -> float:
    """Read the same blocks by pymodbus's synchronous client [s]."""
    profile = Catalogue.shipped().by_id(MODEL)
    reads = plan_reads(profile, RTU, profile.group(GROUP))
    client = ModbusSerialClient(os.path.realpath(path), framer=FramerType.RTU, baudrate=baud, timeout=1, retries=0)
    assert client.connect()
    begun_s = time.perf_counter()
    for unit in range(1, count + 1):
        for read in reads:
            assert isinstance(read, ModbusRead)
            call = client.read_holding_registers if read.function == 3 else client.read_input_registers
            assert len(call(read.address, count=read.count, device_id=unit).registers) == read.count
    spent_s = time.perf_counter() - begun_s
    client.close()
    return spent_s


def dead(baud: int, count: int, seconds: float) -> Dead:
    """Poll for so long [s] with the last of `count` meters dead, its discovery included."""
    with paced(baud, count) as (path,):
        reader = reader_of(path, baud, count)
        alive_s = swept_s(reader)
        reader.close()
    with paced(baud, count - 1) as (path,):
        reader = reader_of(path, baud, count)
        begun_s, sweeps = time.perf_counter(), 0
        while (spent_s := time.perf_counter() - begun_s) < seconds:
            swept_s(reader, silent=1)
            sweeps += 1
        reader.close()
    return Dead(count, spent_s, count / alive_s, sweeps * (count - 1) / spent_s)


def ports(lines: int, baud: int, count: int) -> Ports:
    """Sweep some lines at once from one process."""
    with paced(baud, count, lines) as paths, ThreadPoolExecutor(lines) as executor:
        readers = [reader_of(path, baud, count) for path in paths]
        list(executor.map(swept_s, readers))
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        list(executor.map(swept_s, readers))
        spent_s, spent_cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
        for reader in readers:
            reader.close()
    return Ports(lines, lines * count / spent_s, spent_cpu_s / spent_s)
