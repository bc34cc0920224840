"""A whole station around a real gateway process: meters on wires, played time, a broker, a receipting centre."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from device_profiles.simulator import ModbusTcpPort, SerialLine
from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.demo.time_server import PlayedTime, TimeServer
from ingest.demo.world import PlayedRegisters
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import running
from metering.clock import SystemClock
from metering.envelope import Sealed, Verifier, chain_digest, open_sealed
from metering.identity import MeterId
from metering.obis import Obis
from metering.receipt import Receipt, seal_receipt
from metering.topics import receipt_topic
from provisioning.gateway_config import BrokerConfig, ClockConfig, ClockKind, FittedMeter, GatewayConfig
from provisioning.keys import FileSigner, write_public_key, write_signing_key
from provisioning.site import Port
from tests.doubles.edge import GATEWAY, LINE, QUARTER, START, UNITS, fitted, serial_port, simulated, tcp_port

GATEWAY_SEED = bytes(range(32))
CENTRE_SEED = bytes(range(32, 64))
WAIT_S = 60.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds, at most a minute."""
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"waited a minute for {what}")


Cut = tuple[datetime, str]
"""A mark, and the meter at which the wires are to be taken away in the middle of its sweep."""


class World:
    """Meters whose registers follow the gateway's played time up to `end`; keeps nothing over a restart.

    cut   where it stops answering on the serial line, until it is taken away; `cut_reached` tells that it did
    """

    def __init__(self, directory: Path, end: datetime, tcp: int = 0, clock: int = 0, cut: Cut | None = None) -> None:
        self.now = START - timedelta(seconds=60)
        self._end = end
        self._cut = cut
        self.cut_reached = threading.Event()
        self._gone = threading.Event()
        self.marks: list[datetime] = []
        played = PlayedTime({GATEWAY: cast(PlayedRegisters, self)}, lambda *_: None)
        self.line = SerialLine(directory / "line-a", simulated(LINE), self)
        self.tcp = ModbusTcpPort(simulated(UNITS), self, port=tcp)
        self.time_server = TimeServer(played, clock)
        self.line.start()
        self.tcp.start()
        self.time_server.start()

    def advance_to(self, instant: datetime) -> bool:
        """Follow the gateway, except beyond the end of the play."""
        if instant > self._end:
            return False
        self.now = instant
        self.marks.append(instant)
        return True

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Rise with time, each meter at its own pace [Wh]; gauges show 50 of whatever they show."""
        if self._cut == (self.now, meter):
            self.cut_reached.set()
            self._gone.wait(WAIT_S)
            return None
        if obis.d == 7:
            return 50_000
        pace_w = 1000 + sum(meter.encode()) + obis.c
        return 50_000_000 + int((self.now - START).total_seconds()) * pace_w // 3600

    def stop(self) -> None:
        """Take every wire away."""
        self.time_server.close()
        self._gone.set()
        self.line.stop()
        self.tcp.stop()


class Centre:
    """Holds every envelope it can verify, in memory, and receipts it. The first octets for a seq stand."""

    def __init__(self, broker: EmbeddedBroker, signer: FileSigner, gateway: Verifier) -> None:
        self.held: dict[int, Sealed] = {}
        self.conflicts: list[int] = []
        self.repeats = 0
        self.receipts_wanted = True
        self._signer = signer
        self._gateway = gateway
        self._stop = threading.Event()
        self._consumer = MqttConsumer(
            host=broker.host, port=broker.port, user="centre", password="c", client_id="centre"
        )
        self._thread = threading.Thread(target=self._work)

    @property
    def contiguous_seq(self) -> int:
        """Highest seq up to which nothing is missing."""
        seq = 0
        while seq + 1 in self.held:
            seq += 1
        return seq

    @contextmanager
    def running(self) -> Iterator[Centre]:
        """Listen until leaving."""
        with self._consumer.running():
            self._consumer.wait_until_connected(WAIT_S)
            self._thread.start()
            try:
                yield self
            finally:
                self._stop.set()
                self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            arrivals = self._consumer.receive(64, 0.1)
            for arrival in arrivals:
                self._take(open_sealed(arrival.octets, self._gateway))
            self._consumer.acknowledge(arrivals)
            if arrivals and self.receipts_wanted:
                self._consumer.publish(receipt_topic(GATEWAY), self._receipt())

    def _take(self, sealed: Sealed) -> None:
        known = self.held.setdefault(sealed.envelope.seq, sealed)
        if known.octets != sealed.octets:
            self.conflicts.append(sealed.envelope.seq)
        elif known is not sealed:
            self.repeats += 1

    def _receipt(self) -> bytes:
        seq = self.contiguous_seq
        head = chain_digest(self.held[seq].octets) if seq else bytes(32)
        return seal_receipt(Receipt(GATEWAY, 1, seq, head, SystemClock().now()), self._signer)


class Station:
    """Everything, with the gateway as a process of its own that can be killed."""

    def __init__(self, directory: Path, broker: EmbeddedBroker, marks: int, cut: Cut | None = None) -> None:
        self.directory = directory
        self.broker = broker
        self.end = START + (marks - 1) * QUARTER
        self.world = World(directory, self.end, cut=cut)
        self.signer = write_signing_key(directory / "signing.key", GATEWAY_SEED)
        centre_signer = FileSigner.from_seed(CENTRE_SEED)
        write_public_key(directory / "centre.pub", centre_signer.verifier())
        self.centre = Centre(broker, centre_signer, self.signer.verifier())
        self.config = directory / "gateway.toml"
        self.config.write_text(self.gateway_config().to_toml())
        self.process: subprocess.Popen[bytes] | None = None

    def gateway_config(self, **changes: Any) -> GatewayConfig:
        """The configuration of the gateway, on this station's wires."""
        ports: tuple[Port, ...] = (
            serial_port(self.directory / "line-a"),
            tcp_port(self.world.tcp.port),
        )
        meters: tuple[FittedMeter, ...] = (
            *(fitted(location, "line-a") for location in LINE),
            *(fitted(location, "tcp-b") for location in UNITS),
        )
        settings: dict[str, Any] = {
            "gateway": GATEWAY,
            "epoch": 1,
            "boot": bytes(16),
            "state_dir": self.directory / "state",
            "signing_key": self.directory / "signing.key",
            "centre_public_key": self.directory / "centre.pub",
            "every_s": 900,
            "group": "billing",
            "broker": BrokerConfig(self.broker.host, self.broker.port, GATEWAY, "g"),
            "clock": ClockConfig(ClockKind.PLAYED, "127.0.0.1", self.world.time_server.port),
            "ports": ports,
            "meters": meters,
        }
        return GatewayConfig(**(settings | changes))

    def start(self) -> None:
        """Start the gateway process."""
        log = (self.directory / "gateway.log").open("ab")
        command = [sys.executable, "-m", "edge_agent", "run", "--verbose", "--config", str(self.config)]
        with log:
            self.process = subprocess.Popen(command, stderr=log)

    def kill(self) -> None:
        """End the gateway as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def terminate(self) -> int:
        """Ask the gateway to end, and give its exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(WAIT_S)
        self.process = None
        return code

    def restart_world(self, cut: Cut | None = None) -> None:
        """Take every wire away and bring it back, at the same places, with a world that has forgotten the time."""
        tcp, clock = self.world.tcp.port, self.world.time_server.port
        self.world.stop()
        self.world = World(self.directory, self.end, tcp, clock, cut)

    @contextmanager
    def running(self) -> Iterator[Station]:
        """Run the centre; whatever else runs is ended on leaving."""
        try:
            with self.centre.running():
                yield self
        finally:
            if self.process is not None:
                self.kill()
            self.world.stop()

    def octets(self) -> list[bytes]:
        """What the centre holds, in order of seq."""
        return [self.centre.held[seq].octets for seq in sorted(self.centre.held)]


def new_broker(directory: Path) -> EmbeddedBroker:
    """A broker that knows the gateway and the centre."""
    return EmbeddedBroker(directory, [Login.of_centre("centre", "c"), Login.of_gateway(GATEWAY, "g")])


@contextmanager
def station(directory: Path, marks: int, cut: Cut | None = None) -> Iterator[Station]:
    """A station that plays so many marks."""
    broker = new_broker(directory / "broker")
    with running(broker, SystemClock()):
        made = Station(directory, broker, marks, cut)
        with made.running():
            yield made
