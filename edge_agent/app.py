"""The composition root: builds the gateway from its configuration and keeps its two loops running.

The poll cycle runs in the calling thread, the uplink in one of its own, each port's sweep in a worker. The two broad
handlers here are the only ones: one failed mark or one broken session must never end the measuring. Settings that the
centre orders end a gateway and begin another one with them, in the same process (ordered_settings.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from device_profiles.catalogue import Catalogue
from edge_agent.adapters.centre_door import CentreDoor
from edge_agent.adapters.face_port import FaceUnreachable, answers_of, face_port
from edge_agent.adapters.host_clock import ClockChanged, HostClock, read_boot
from edge_agent.adapters.http_broker import HttpBroker
from edge_agent.adapters.learnt_file import LearntFile
from edge_agent.adapters.meter_keys import MeterKeyFolder
from edge_agent.adapters.mqtt_broker import MqttBroker
from edge_agent.adapters.played_clock import PlayedClock
from edge_agent.adapters.service_manager import ServiceManager
from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.adapters.stoppable_clock import StoppableClock
from edge_agent.config import ServiceNotices
from edge_agent.face import Face
from edge_agent.figures import LineFigures
from edge_agent.line_loan import LentBus, keep_lending
from edge_agent.meter_clocks import MeterClocks
from edge_agent.ordered_settings import Begin, OrderedSettings, Shelf, ShelfDamaged
from edge_agent.poll_cycle import PollCycle
from edge_agent.port_readers import readers_of
from edge_agent.ports import Broker, BrokerEvent, Stopped
from edge_agent.renewal import Renewal, keep_renewing
from edge_agent.schedule import check_every
from edge_agent.sealing import Identity
from edge_agent.serial_watch import SerialsFile, SerialWatch
from edge_agent.sweep import PortReader
from edge_agent.timekeeping import FLOOR, Timekeeper
from edge_agent.trial import Proof, lively_ports
from edge_agent.unaligned import AnchorPost, UnalignedCycle
from edge_agent.uplink_loop import Appended, UplinkLoop
from edge_agent.vitals import Vitals, WatchedReader
from metering.clock import Clock
from metering.envelope import parse_sealed
from metering.errors import MeteringError
from metering.identity import MeterId, PortId
from metering.interval import SiteCalendar
from metering.receipt import Receipt
from metering.tombstone import seal_tombstone
from provisioning.broker_tls import BrokerTls
from provisioning.gateway_config import ClockKind, GatewayConfig
from provisioning.keys import read_public_key
from provisioning.signers import open_signer

log = logging.getLogger(__name__)

OUTBOX_FILE = "outbox.db"
LOCK_FILE = "gateway.lock"
LESSONS_FILE = "lessons.json"
SERIALS_FILE = "serials.json"
RETRY_S = 1.0
"""Pause after a mark or a session that failed in a way nobody foresaw [s]."""
UPLINK_STOP_S = 10.0


TRIAL_STEP_S = 1.0
"""How often settings on trial are looked at [s]."""
IDLE_S_MAX = 60.0
"""A poll cycle gives a sign every second; without one for so long it hangs [s]."""


class AlreadyRunning(MeteringError):
    """Another process works in the same state directory."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What the centre ordered, what this gateway begins with, and the ports whose meters answered before it."""

    settings: OrderedSettings
    begin: Begin
    lively: Collection[PortId]


class Gateway:
    """One gateway, ready to run. `stop` may be set from a signal handler.

    orders   None: settings from afar are not taken
    """

    def __init__(
        self, config: GatewayConfig, catalogue: Catalogue, stop: threading.Event, orders: Orders | None = None
    ) -> None:
        self._config = config
        self._stop = stop
        self._orders = orders
        self.wants_restart = False
        self.is_rolled_back = False
        self.vitals = Vitals()
        signer = self._signer = open_signer(config.signing_key)
        centre = self._centre = read_public_key(config.centre_public_key)
        every = check_every(config.every_s)
        config.state_dir.mkdir(parents=True, exist_ok=True)
        self._outbox = SqliteOutbox(
            config.state_dir / OUTBOX_FILE, config.gateway, lambda stone: seal_tombstone(stone, signer)
        )
        try:
            self._host = _host_clock(config, self._outbox, self.vitals, stop)
            clock = self._host or clock_of(config, stop)
            self._port_readers = port_readers(config, catalogue, stop, self._host)
        except MeteringError:
            self._outbox.close()
            raise
        self._readers = [
            WatchedReader(port.id, one, self.vitals) for port, one in zip(config.ports, self._port_readers, strict=True)
        ]
        self._uplink = UplinkLoop(
            gateway=config.gateway,
            epoch=config.epoch,
            outbox=self._outbox,
            centre=centre,
            on_config=self._ordered,
            on_receipt=lambda receipt, _: self._receipted(receipt),
        )
        self._executor = ThreadPoolExecutor(max(len(self._readers), 1), thread_name_prefix="port")
        boot = config.boot if self._host is None else self._host.boot
        self._cycle = PollCycle(
            identity=Identity(config.gateway, config.epoch, boot, signer, config.bundle or bytes(32)),
            readers=self._readers,
            outbox=self._outbox,
            clock=clock,
            every=every,
            executor=self._executor,
            appended=self._appended,
        )
        self._anchors = AnchorPost(
            lambda: None if self._host is None else self._host.anchor(),
            self._cycle,
            is_owed=_is_anchor_owed(self._outbox),
        )
        self._unaligned = UnalignedCycle(self._cycle, clock, every, self._anchors)
        self._is_new = config.bundle is not None and self._outbox.head(config.epoch).seq == 0
        self._meter_clocks = _meter_clocks(config, catalogue, clock)
        if self._meter_clocks is not None:
            self.vitals.listeners.append(self._meter_clocks.swept)
        self._serials = None if self._host is None else SerialWatch(SerialsFile(config.state_dir / SERIALS_FILE), clock)
        if self._serials is not None:
            self.vitals.listeners.append(self._serials.swept)
        self._face = Face(
            config, self.vitals, self._outbox, self._uplink, clock, self._shelf, self._ahead_s, self._figures
        )

    @property
    def lively(self) -> Collection[PortId]:
        """The ports whose meters answered."""
        return lively_ports(self.vitals.ports())

    def run(self) -> None:
        """Poll and send until `stop` is set, then end both loops and close the outbox."""
        uplink = threading.Thread(target=self._keep_sending, name="uplink", daemon=True)
        uplink.start()
        lent = [reader.bus for reader in self._port_readers if isinstance(reader.bus, LentBus)]
        threading.Thread(target=keep_lending, args=(lent, self._stop), name="lending", daemon=True).start()
        self._keep_certificate()
        log.info("gateway-started", extra={"gateway": self._config.gateway, "epoch": self._config.epoch})
        try:
            with self._shown():
                self._watch_trial()
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
                self._poll_next()
            except Stopped:
                return
            except ClockChanged as change:
                log.warning("clock-changed", extra={"reason": str(change)})
            except Exception:  # a mark that fails must not end the measuring: the next one may succeed
                log.exception("mark-failed")
                self._stop.wait(RETRY_S)

    def _poll_next(self) -> None:
        """Tell what is to be told, then read at the next mark, or without one where marks are of no use."""
        self._tell_outcomes()
        if self._host is None:
            self._cycle.poll_next()
            return
        self._host.settle()
        self._anchors.post()
        if self._meter_clocks is not None:
            self._cycle.sealer.report(self._meter_clocks.set_where_wrong(self._port_readers))
        if self._serials is not None:
            self._serials.tell(self._port_readers, self._cycle)
        if self._unaligned.is_needed or (self._is_on_trial and not self.vitals.ports()):
            self._unaligned.poll_next()
        elif self._is_new:  # just installed: what the meters show now is where their energy begins
            self._is_new = False
            self._unaligned.poll(self._host.now())
        else:
            self._cycle.poll_next()

    def _appended(self, seq: int) -> None:
        if self._host is not None:
            self._host.sealed(self._config.epoch, seq)
        self._uplink.deliver(Appended(self._config.epoch, seq))

    def _receipted(self, receipt: Receipt) -> None:
        self.vitals.receipted(receipt)
        if self._host is not None:
            self._host.receipted(receipt)

    def _ordered(self, octets: bytes) -> None:
        """Take an order of the centre, from the uplink's thread."""
        if self._orders is None or self._is_on_trial:
            return
        if self._orders.settings.arrived(octets):
            self._restart()
        self._tell_outcomes()

    def _restart(self) -> None:
        self.wants_restart = True
        self._stop.set()

    @property
    def _is_on_trial(self) -> bool:
        return self._orders is not None and self._orders.settings.shelf.trial is not None

    def _shelf(self) -> Shelf:
        return Shelf() if self._orders is None else self._orders.settings.shelf

    def _ahead_s(self) -> Mapping[MeterId, int]:
        return {} if self._meter_clocks is None else self._meter_clocks.ahead_s()

    def _figures(self) -> Mapping[PortId, LineFigures]:
        found = {reader.port.id: getattr(reader.bus, "figures", None) for reader in self._port_readers}
        return {port: figures for port, figures in found.items() if figures is not None}

    def _tell_outcomes(self) -> None:
        if self._orders is not None:
            self._orders.settings.report(self._cycle.sealer.report)

    def _watch_trial(self) -> None:
        """Have settings on trial looked at until they are kept or rolled back."""
        if self._orders is not None and self._orders.begin.trial is not None:
            orders = self._orders
            ports = frozenset(meter.port for meter in self._config.meters)
            proof = Proof(orders.begin.trial_s, ports, frozenset(orders.lively))
            threading.Thread(target=self._try, args=(orders, proof), name="trial", daemon=True).start()

    def _try(self, orders: Orders, proof: Proof) -> None:
        order = orders.begin.trial
        while order is not None and not self._stop.wait(TRIAL_STEP_S):
            missing = proof.missing(is_heard=self.vitals.receipt() is not None, seen=self.vitals.ports())
            if missing is None:
                try:
                    orders.settings.keep(order)
                except ShelfDamaged as error:  # a full disk may have room again at the next look
                    log.error("settings-not-kept", extra={"reason": str(error)})
                    continue
                self._tell_outcomes()
                return
            if self.vitals.up_s > proof.trial_s:
                try:
                    orders.settings.roll_back(order, missing)
                except ShelfDamaged as error:  # whoever starts anew cannot note the trial either, and begins without it
                    log.error("roll-back-not-noted", extra={"reason": str(error)})
                self.is_rolled_back = True
                self._restart()
                return

    def _keep_certificate(self) -> None:
        """Have the certificate for the broker renewed, where somebody said by whom."""
        if self._config.renewal is None or self._host is None:
            return
        config, folder = self._config, self._config.signing_key.parent
        post = CentreDoor(self._config.renewal).post
        renewal = Renewal(folder, config.gateway, config.epoch, self._signer, self._centre, post)
        loop = threading.Thread(
            target=keep_renewing, args=(renewal, self._host.now, self._stop), name="renewal", daemon=True
        )
        loop.start()

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Show the gateway's face while inside; a port that is taken is no reason not to measure."""
        try:
            with face_port(self._config.face, answers_of(self._face, IDLE_S_MAX)):
                yield
                return
        except FaceUnreachable as error:
            log.error("face-not-shown", extra={"reason": str(error)})
        yield

    def _keep_sending(self) -> None:
        while not self._stop.is_set():
            try:
                self._uplink.run(way_of(self._config, self._uplink.deliver))
            except Exception:  # whatever happened to a session, the outbox still holds the batches
                log.exception("uplink-failed")
                self._stop.wait(RETRY_S)


Lives = list[tuple[threading.Event, Gateway | None]]
"""The gateway that runs, or is being built, with what ends it; empty or one."""


@contextlib.contextmanager
def told_to_service(lives: Lives) -> Iterator[None]:
    """Tell the service manager while inside that the program runs, and whether its poll cycle is at work."""
    service = ServiceManager(ServiceNotices.from_environment(), lambda: _idle_s(lives))
    service.ready()
    try:
        yield
    finally:
        service.stopping()


def run_with_orders(config: GatewayConfig, catalogue: Catalogue, stop: threading.Event) -> None:
    """Run the gateway until `stop` is set, with what its file says or what the centre ordered since."""
    lives: Lives = []
    with told_to_service(lives):
        keep_living(config, catalogue, stop, lives)


def keep_living(config: GatewayConfig, catalogue: Catalogue, stop: threading.Event, lives: Lives) -> None:
    """Build and run gateways, one after another, until `stop` is set."""
    own: Lives = []
    settings = OrderedSettings(config, read_public_key(config.centre_public_key))
    threading.Thread(target=_end_when, args=(stop, own), name="stop", daemon=True).start()
    lively: Collection[PortId] = ()
    try:
        while not stop.is_set():
            life = threading.Event()
            own[:] = lives[:] = [(life, None)]
            gateway = _begin(settings, catalogue, life, lively)
            if gateway is None:
                continue
            own[:] = lives[:] = [(life, gateway)]
            if stop.is_set():
                life.set()
            gateway.run()
            if not gateway.is_rolled_back:
                lively = frozenset(gateway.lively) or lively
            if not gateway.wants_restart:
                return
    finally:
        lives.clear()


def _begin(
    settings: OrderedSettings, catalogue: Catalogue, life: threading.Event, lively: Collection[PortId]
) -> Gateway | None:
    """Build the gateway; None where settings on trial do not allow it, and are rolled back."""
    begin = settings.begin()
    try:
        return Gateway(begin.config, catalogue, life, Orders(settings, begin, lively))
    except MeteringError as error:
        if begin.trial is None:
            raise
        settings.roll_back(begin.trial, str(error))
        return None


def _end_when(stop: threading.Event, lives: Sequence[tuple[threading.Event, Gateway | None]]) -> None:
    stop.wait()
    for life, _ in lives:
        life.set()


def _idle_s(lives: Sequence[tuple[threading.Event, Gateway | None]]) -> float:
    return max((gateway.vitals.idle_s for _, gateway in lives if gateway is not None), default=0.0)


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


def way_of(config: GatewayConfig, deliver: Callable[[BrokerEvent], None]) -> Broker:
    """Build the way to the centre; connects nothing."""
    if config.http is None:
        return MqttBroker(config.broker, config.gateway, deliver)
    tls = None if config.http.ca is None else BrokerTls(config.http.ca, None, None)
    return HttpBroker(config.http.url, tls, deliver)


def clock_of(config: GatewayConfig, stop: threading.Event) -> Clock:
    """Build a clock; each thread needs its own."""
    clock = config.clock
    if clock.kind is ClockKind.PLAYED and clock.host is not None and clock.port is not None:
        return PlayedClock(clock.host, clock.port, config.gateway, stop)
    return StoppableClock(stop)


def _host_clock(config: GatewayConfig, outbox: SqliteOutbox, vitals: Vitals, stop: threading.Event) -> HostClock | None:
    """Build the machine's clock, which all threads share; None where time is played."""
    if config.clock.kind is ClockKind.PLAYED:
        return None
    undated = config.time is not None and bool(config.time.undated_until_synchronised)
    boot = read_boot() or config.boot
    keeper = Timekeeper(boot=boot, known_at=outbox.newest_mark(), undated_until_synchronised=undated)
    return HostClock(stop, keeper, beat=vitals.beat)


def _meter_clocks(config: GatewayConfig, catalogue: Catalogue, clock: Clock) -> MeterClocks | None:
    """Have meters' clocks compared where somebody said which zone they keep."""
    if config.time is None or config.time.zone is None:
        return None
    return MeterClocks(catalogue, SiteCalendar(config.time.zone), clock, config.time.correct_beyond_s)


def _is_anchor_owed(outbox: SqliteOutbox) -> bool:
    """Say whether the newest batch counts its time from a boot."""
    newest = [entry for epoch in outbox.epochs() for entry in outbox.after(epoch, outbox.head(epoch).seq - 1, 1)]
    return any(not entry.evicted and parse_sealed(entry.octets).head.sealed_at < FLOOR for entry in newest)


def port_readers(
    config: GatewayConfig, catalogue: Catalogue, stop: threading.Event, shared: Clock | None = None
) -> list[PortReader]:
    """Build a reader for each port; raises what a meter's profile or address is wrong with.

    shared   the clock of all ports, None: each has its own
    """
    lessons = LearntFile(config.state_dir / LESSONS_FILE)
    keys = MeterKeyFolder(config.signing_key.parent, config.state_dir)
    return readers_of(
        config,
        catalogue,
        stop,
        lambda: shared or clock_of(config, stop),
        lessons=lessons,
        secrets_of=lambda fitted: keys.of(fitted.id),
    )
