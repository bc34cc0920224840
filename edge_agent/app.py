"""The composition root: builds the gateway from its configuration and keeps its two loops running.

The poll cycle runs in the calling thread, the uplink in one of its own, each port's sweep in a worker. The two broad
handlers here are the only ones: one failed mark or one broken session must never end the measuring.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from device_profiles.catalogue import Catalogue
from edge_agent.adapters.mqtt_broker import MqttBroker
from edge_agent.adapters.played_clock import PlayedClock
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.adapters.stoppable_clock import StoppableClock
from edge_agent.adapters.tcp_bus import TcpBus
from edge_agent.poll_cycle import Identity, PollCycle
from edge_agent.ports import Stopped
from edge_agent.schedule import check_every, sweep_estimate_s
from edge_agent.sweep import AskedMeter, PortReader
from edge_agent.tombstone import seal_tombstone
from edge_agent.uplink_loop import Appended, UplinkLoop
from metering.clock import Clock
from metering.errors import MeteringError
from metering.identity import PortId
from provisioning.gateway_config import ClockKind, GatewayConfig
from provisioning.keys import FileSigner, read_public_key
from provisioning.site import Port, SerialPort

log = logging.getLogger(__name__)

OUTBOX_FILE = "outbox.db"
LOCK_FILE = "gateway.lock"
RETRY_S = 1.0
"""Pause after a mark or a session that failed in a way nobody foresaw [s]."""
UPLINK_STOP_S = 10.0
PLAYED_REPLY_STRETCH = 16.0
"""In played time the meters are programs that share this host: a busy moment of it must not look like a dead meter."""


class AlreadyRunning(MeteringError):
    """Another process works in the same state directory."""


class Gateway:
    """One gateway, ready to run. `stop` may be set from a signal handler."""

    def __init__(self, config: GatewayConfig, catalogue: Catalogue, stop: threading.Event) -> None:
        self._config = config
        self._stop = stop
        signer = FileSigner.read(config.signing_key)
        centre = read_public_key(config.centre_public_key)
        every = check_every(config.every_s)
        config.state_dir.mkdir(parents=True, exist_ok=True)
        self._outbox = SqliteOutbox(
            config.state_dir / OUTBOX_FILE, config.gateway, lambda stone: seal_tombstone(stone, signer)
        )
        self._uplink = UplinkLoop(gateway=config.gateway, epoch=config.epoch, outbox=self._outbox, centre=centre)
        self._readers = port_readers(config, catalogue, stop)
        self._executor = ThreadPoolExecutor(max(len(self._readers), 1), thread_name_prefix="port")
        self._cycle = PollCycle(
            identity=Identity(config.gateway, config.epoch, config.boot, signer),
            readers=self._readers,
            outbox=self._outbox,
            clock=clock_of(config, stop),
            every=every,
            executor=self._executor,
            appended=lambda seq: self._uplink.deliver(Appended(config.epoch, seq)),
        )

    def run(self) -> None:
        """Poll and send until `stop` is set, then end both loops and close the outbox."""
        uplink = threading.Thread(target=self._keep_sending, name="uplink", daemon=True)
        uplink.start()
        log.info("gateway-started", extra={"gateway": self._config.gateway, "epoch": self._config.epoch})
        try:
            self._keep_polling()
        finally:
            self._stop.set()
            self._uplink.stop()
            uplink.join(UPLINK_STOP_S)
            self._executor.shutdown()
            for reader in self._readers:
                reader.close()
            self._outbox.close()
            log.info("gateway-stopped", extra={"gateway": self._config.gateway})

    def _keep_polling(self) -> None:
        while not self._stop.is_set():
            try:
                self._cycle.poll_next()
            except Stopped:
                return
            except Exception:  # a mark that fails must not end the measuring: the next one may succeed
                log.exception("mark-failed")
                self._stop.wait(RETRY_S)

    def _keep_sending(self) -> None:
        while not self._stop.is_set():
            try:
                self._uplink.run(MqttBroker(self._config.broker, self._config.gateway, self._uplink.deliver))
            except Exception:  # whatever happened to a session, the outbox still holds the batches
                log.exception("uplink-failed")
                self._stop.wait(RETRY_S)


@contextlib.contextmanager
def sole_use_of(state_dir: Path) -> Iterator[None]:
    """Hold the state directory's lock; raises AlreadyRunning. Two processes in one epoch would look like a clone."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(f"another gateway works in {state_dir}: stop it first") from error
        yield


def clock_of(config: GatewayConfig, stop: threading.Event) -> Clock:
    """Build a clock; each thread needs its own."""
    clock = config.clock
    if clock.kind is ClockKind.PLAYED and clock.host is not None and clock.port is not None:
        return PlayedClock(clock.host, clock.port, config.gateway, stop)
    return StoppableClock(stop)


def bus_of(port: Port, clock: Clock) -> SerialBus | TcpBus:
    """Build the bus of a port; opens nothing."""
    return SerialBus(port, clock) if isinstance(port, SerialPort) else TcpBus(port, clock)


def port_readers(config: GatewayConfig, catalogue: Catalogue, stop: threading.Event) -> list[PortReader]:
    """Build a reader for each port; raises what a meter's profile or address is wrong with."""
    readers: list[PortReader] = []
    for port in config.ports:
        clock = clock_of(config, stop)
        bus = bus_of(port, clock)
        meters = asked_meters(config, catalogue, port.id)
        if isinstance(bus, SerialBus):
            _warn_if_too_slow(port.id, bus, meters, config.every_s)
        readers.append(PortReader(port, bus, clock, meters, stop))
    return readers


def asked_meters(config: GatewayConfig, catalogue: Catalogue, port: PortId) -> list[AskedMeter]:
    """Prepare every meter of a port, whatever its span."""
    stretch = PLAYED_REPLY_STRETCH if config.clock.kind is ClockKind.PLAYED else 1.0
    return [AskedMeter.prepare(fitted, catalogue, config.group, stretch) for fitted in config.meters_on(port)]


def _warn_if_too_slow(port: PortId, bus: SerialBus, meters: list[AskedMeter], every_s: int) -> None:
    reads = [(read, meter.patience.reply_s_max) for meter in meters for read in meter.reads]
    estimate_s = sweep_estimate_s(reads, bus.char_s, bus.gap_s)
    if estimate_s > every_s:
        log.warning("sweep-longer-than-interval", extra={"port": port, "sweep_s": estimate_s, "every_s": every_s})
