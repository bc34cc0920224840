"""One gateway machine: the production cores of the edge between a disk, a line and a broker, and a fuse in all of it.

Nothing blocks and no thread runs: the uplink takes steps until it would wait, and the world wakes it; a mark is polled
in one go once the gateway's clock shows it. While a mark is polled, the clock runs ahead of the world (`spent_ms`).
"""

from __future__ import annotations

import hashlib
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from device_profiles.simulated_meter import SimulatedMeter
from edge_agent import poll_cycle, uplink_loop
from edge_agent.ports import Entry
from edge_agent.schedule import next_mark
from edge_agent.sweep import AskedMeter, PortReader, Sweep
from edge_agent.timekeeping import HostTime, Timekeeper
from edge_agent.unaligned import AnchorPost, UnalignedCycle
from metering.clock import ClockState
from metering.errors import MeteringError
from metering.identity import GatewayId, MeterId
from metering.interval import SLOT
from metering.obis import Obis
from metering.reading import ReadQuality
from tests.doubles.edge import START
from tests.doubles.sim_broker import SimSession
from tests.doubles.sim_bus import Noise, SimBus
from tests.doubles.sim_keys import SimSigner
from tests.doubles.sim_outbox import Disk, SqliteDisk
from tests.simulation.checkers import Broken
from tests.simulation.faults import Fuse, PowerCut
from tests.simulation.park import CATALOGUE, TOLERANCE_S

STEPS_MAX = 2_000
"""An uplink that takes more steps than this without a wait never rests: a window is 64 batches."""
DOWN_MS = (5_000, 3 * 3_600_000)
"""A gateway without power is down between 5 s and 3 h [ms]."""
NEVER_MS = 10**15


class GatewayClock:
    """The clock of one gateway as production judges it, over a wall clock that faults set: true time plus an offset."""

    def __init__(self, true_ms: Callable[[], int], spend: Callable[[int], None]) -> None:
        self.offset_ms = 0
        self._true_ms = true_ms
        self._spend = spend
        self.boot(None, bytes(16))

    def boot(self, known_at: datetime | None, boot: bytes) -> None:
        """The machine starts; nothing but the outbox is remembered."""
        self._booted_ms = self._true_ms()
        self.keeper = Timekeeper(boot=boot, known_at=known_at, undated_until_synchronised=False)
        self.settle()

    def settle(self) -> None:
        """Judge what time it is, as is done between sweeps."""
        wall = START + timedelta(milliseconds=self._true_ms() + self.offset_ms)
        self.timing = self.keeper.judge(HostTime(wall, self.since_boot_ms, False, None))

    @property
    def since_boot_ms(self) -> int:
        """Time since the boot [ms]."""
        return self._true_ms() - self._booted_ms

    def now(self) -> datetime:
        """What the clock shows."""
        return self.timing.zero + timedelta(milliseconds=self.since_boot_ms)

    def sleep(self, seconds: float) -> None:
        """Let true time pass."""
        self._spend(round(1000 * seconds))

    def sleep_until(self, instant: datetime) -> None:
        """Wait until the clock shows `instant`."""
        self._spend(max(0, (instant - self.now()) // timedelta(milliseconds=1)))

    def state(self) -> ClockState:
        """How far it may be trusted."""
        return self.timing.state


class WaitingClock:
    """What the cycles see: the instant at which they began to wait, though the world polls when the wait is over."""

    def __init__(self, clock: GatewayClock) -> None:
        self._clock = clock
        self.began_at = clock.now()

    def now(self) -> datetime:
        """The instant the wait began."""
        return self.began_at

    def sleep(self, seconds: float) -> None:
        """Nobody here sleeps."""
        raise AssertionError(f"a cycle slept for {seconds} s")

    def sleep_until(self, instant: datetime) -> None:
        """The world has waited already."""

    def state(self) -> ClockState:
        """How far the clock may be trusted."""
        return self._clock.state()


class Patient:
    """In the place of a stop event: nobody stops the gateway, and waiting takes its clock's time."""

    def __init__(self, clock: GatewayClock) -> None:
        self._clock = clock

    def is_set(self) -> bool:
        """Never."""
        return False

    def wait(self, seconds: float) -> bool:
        """Let the time pass."""
        self._clock.sleep(seconds)
        return False


class Inline:
    """An executor that does the work at once."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """One after the other."""
        return map(function, items)


class Inbox:
    """The uplink's inbox: where the thread would wait, it notes for how long."""

    def __init__(self) -> None:
        self._events: deque[Any] = deque()
        self.rests = False
        self.rest_s: float | None = None

    def put_nowait(self, event: Any) -> None:
        """Take an event."""
        self._events.append(event)

    def get(self, timeout: float | None) -> Any:
        """Give an event, or note that there is none."""
        if self._events:
            return self._events.popleft()
        self.rests, self.rest_s = True, timeout
        raise queue.Empty


class FusedSigner:
    """The gateway's key, with power that may fail before and after it signs."""

    def __init__(self, name: str, fuse: Fuse) -> None:
        self._signer = SimSigner(name)
        self._fuse = fuse
        self.key_id = self._signer.key_id
        self.algorithm = self._signer.algorithm

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        self._fuse.step("sign")
        return self._signer.sign(message)


class Truth:
    """What the meters of one gateway truly went through when they were last asked."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.energy_wh: dict[tuple[MeterId, Obis], int] = {}

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Answer for a meter, unless it is silent or hangs elsewhere."""
        world = self._gateway.world
        if world.is_silent(meter):
            return None
        park, true_ms = world.park, world.true_ms()
        register_wh = park.register_wh(meter, obis, true_ms)
        if register_wh is not None:
            self.energy_wh[meter, obis] = park.energy_wh(park.meters[meter].node, obis, true_ms)
        return register_wh


class Gateway:
    """One machine, switched on and off by the world.

    number   0 for the gateway itself, 1 for its clone
    """

    def __init__(self, world: Any, name: GatewayId, disk: Disk | SqliteDisk, number: int = 0) -> None:
        self.world = world
        self.name = name
        self.label = f"{name}{'+' * number}"
        self.disk = disk
        self.epoch = 1
        self.rng = world.random(f"gateway {self.label}")
        self.fuse = Fuse(self.rng, 0.0)
        self.noise = Noise(self.rng, late_s=TOLERANCE_S + 30)
        self.clock = GatewayClock(world.true_ms, world.spend)
        self.boots = 0
        self.is_on = False
        self.polls = True
        self._wake_ms = NEVER_MS
        self._mark = START

    def switch_on(self) -> None:
        """Boot: everything but the disk is new."""
        self.boots += 1
        self.is_on = True
        self._wake_ms = NEVER_MS
        self.world.note("boot", self.label, self.boots, self.epoch)
        self.clock.offset_ms = self.world.boot_offset_ms(self)
        self.truth = Truth(self)
        self.readers = [self._reader(port) for port in self.world.park.site.ports_of(self.name)]
        self.outbox = self.disk.open()
        boot = hashlib.sha256(f"{self.label} {self.boots}".encode()).digest()[:16]
        self.clock.boot(self.outbox.newest_mark(), boot)
        self.waiting = WaitingClock(self.clock)
        self.uplink = uplink_loop.UplinkLoop(
            gateway=self.name,
            epoch=self.epoch,
            outbox=cast(Any, self),
            centre=self.world.centre.signer.verifier,
            on_receipt=lambda receipt, _: self.clock.keeper.receipted(receipt, self.clock.since_boot_ms),
        )
        self.inbox = Inbox()
        self.uplink._inbox = cast(Any, self.inbox)
        self.session = SimSession(self.world.broker, self.name, self._deliver_while_on())
        self.cycle = poll_cycle.PollCycle(
            identity=poll_cycle.Identity(self.name, self.epoch, boot, self._signer()),
            readers=cast(Any, self.readers),
            outbox=cast(Any, self),
            clock=self.waiting,
            every=SLOT,
            executor=cast(Any, Inline()),
            appended=self._appended,
        )
        self.anchors = AnchorPost(
            lambda: self.clock.keeper.anchor(self.clock.timing, self.clock.since_boot_ms), self.cycle, is_owed=False
        )
        self.unaligned = UnalignedCycle(self.cycle, self.waiting, SLOT, self.anchors)
        self._begin_wait()
        self._guarded(self._pump)

    def switch_off(self, reason: str) -> None:
        """Cut the power; the world switches it on again after a while."""
        self.world.note("cut", self.label, reason)
        self.is_on = False
        self.session.close()
        self.outbox.lose_power()
        down_ms = self.world.spent_ms + self.rng.randint(*DOWN_MS)
        self.world.later(down_ms, lambda: None if self.is_on else self.switch_on())

    def retire(self) -> None:
        """Leave for good."""
        self.is_on = False
        self.session.close()

    def set_clock(self, offset_ms: int) -> None:
        """Step the clock; whoever waits for a mark notices."""
        self.world.note("clock", self.label, offset_ms)
        self.clock.offset_ms = offset_ms
        if self.is_on:
            self._begin_wait()

    def pump(self) -> None:
        """Let the uplink work."""
        if self.is_on:
            self._guarded(self._pump)

    # The outbox as the cores see it: every call may be the last.

    def head(self, epoch: int) -> Any:
        """Give the newest batch."""
        return self.outbox.head(epoch)

    def newest_mark(self) -> datetime | None:
        """Give the latest mark of any epoch."""
        return self.outbox.newest_mark()

    def append(self, entries: Sequence[Entry]) -> None:
        """Commit, and from then on the readings are the gateway's word."""
        self.fuse.step("append")
        self.outbox.append(entries)
        for entry in entries:
            self.world.witness.sealed(self, entry)
        self._remember_truth()
        self.fuse.step("appended")

    def after(self, epoch: int, seq: int, limit: int) -> list[Entry]:
        """Give entries."""
        return self.outbox.after(epoch, seq, limit)

    def receipted(self, epoch: int) -> int:
        """Give the highest receipted seq."""
        return self.outbox.receipted(epoch)

    def acknowledge(self, epoch: int, seq: int) -> None:
        """Note a receipt."""
        self.fuse.step("acknowledge")
        self.world.witness.freed(self, epoch, seq)
        self.outbox.acknowledge(epoch, seq)

    def recall(self, epoch: int, seq: int) -> None:
        """Note that the centre holds less."""
        self.fuse.step("recall")
        self.outbox.recall(epoch, seq)

    def unfinished_epochs(self) -> list[int]:
        """List epochs with unreceipted batches."""
        return self.outbox.unfinished_epochs()

    # The broker as the uplink sees it.

    def connect(self) -> None:
        """Begin a session."""
        self.session.connect()

    def publish(self, octets: bytes) -> None:
        """Hand over an envelope; the power may fail before and after."""
        self.fuse.step("publish")
        self.world.witness.published(self, octets)
        self.session.publish(octets)
        self.fuse.step("published")

    def close(self) -> None:
        """End the session."""
        self.session.close()

    def _appended(self, seq: int) -> None:
        # The clock runs ahead of the world while a mark is polled; an answer may come before the world has caught up.
        self.clock.keeper.sealed(self.epoch, seq, self.clock.since_boot_ms - self.world.spent_ms)
        self.uplink.deliver(uplink_loop.Appended(self.epoch, seq))

    def _signer(self) -> FusedSigner:
        return FusedSigner(self.world.key_name(self.name, self.epoch), self.fuse)

    def _reader(self, port: Any) -> PortReader:
        fitted = [meter for meter in self.world.park.fitted(self.name) if meter.port == port.id]
        meters = [
            SimulatedMeter(meter.id, CATALOGUE.by_id(meter.profile), meter.protocol, meter.address) for meter in fitted
        ]
        bus = FusedBus(SimBus(meters, self.truth, self.clock, self.noise), self.fuse)
        asked = [AskedMeter.prepare(meter, CATALOGUE, "billing") for meter in fitted]
        return RememberingReader(port, cast(Any, bus), self.clock, asked, cast(Any, Patient(self.clock)))

    def _deliver_while_on(self) -> Callable[[Any], None]:
        boot = self.boots

        def deliver(event: Any) -> None:
            if self.is_on and boot == self.boots:
                self.uplink.deliver(event)
                self.pump()

        return deliver

    def _begin_wait(self) -> None:
        """Wait for the next mark or unaligned sweep as the cycles will: from what the clock shows now."""
        self.clock.settle()
        self.waiting.began_at = self.clock.now()
        self.is_aligned = not self.unaligned.is_needed
        if self.is_aligned:
            self._mark = next_mark(self.waiting.began_at, self.outbox.newest_mark(), SLOT)
        else:
            self._mark = self.unaligned.next_due()
        self._wait_on()

    def _wait_on(self) -> None:
        boot, mark = self.boots, self._mark
        left_ms = max(0, (self._mark - self.clock.now()) // timedelta(milliseconds=1))

        def due() -> None:
            if self.is_on and boot == self.boots and mark == self._mark and self.clock.now() >= mark:
                self._guarded(self._poll)

        self.world.later(self.world.spent_ms + left_ms, due)

    def _poll(self) -> None:
        if not self.polls:
            return
        try:
            self.anchors.post()
            mark = self.cycle.poll_next() if self.is_aligned else self.unaligned.poll_next()
            self.world.note("polled", self.label, mark, self.outbox.head(self.epoch).seq)
        except MeteringError as error:
            self.world.note("mark-failed", self.label, error)
            self.world.spend(1000)
        self._begin_wait()
        self._pump()

    def _remember_truth(self) -> None:
        """The committed sweeps say what each meter showed at this mark; note what that truly was."""
        if not self.is_aligned:
            return
        for reader in self.readers:
            for reading in reader.swept:
                if reading.quality is ReadQuality.MEASURED:
                    self.world.witness.measured(self._mark, reading.meter, self.truth.energy_wh)

    def _pump(self) -> None:
        """Let the uplink take steps until it would wait, and wake it then."""
        self.inbox.rests = False
        for _ in range(STEPS_MAX):
            self.uplink._take_step(cast(Any, self))
            if self.inbox.rests:
                break
        else:
            raise Broken(f"the uplink of {self.label} never rests")
        if self.inbox.rest_s is not None:
            self._wake_at(self.world.true_ms() + int(1000 * self.inbox.rest_s) + 1)

    def _wake_at(self, at_ms: int) -> None:
        if self._wake_ms <= at_ms:
            return
        boot, self._wake_ms = self.boots, at_ms

        def wake() -> None:
            if boot == self.boots and self._wake_ms == at_ms:
                self._wake_ms = NEVER_MS
                self.pump()

        self.world.later(at_ms - self.world.now_ms, wake)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except PowerCut as cut:
            self.switch_off(str(cut))


class FusedBus:
    """A bus whose gateway may lose its power before each ask."""

    def __init__(self, bus: SimBus, fuse: Fuse) -> None:
        self._bus = bus
        self._fuse = fuse
        self.open = bus.open
        self.close = bus.close

    def ask(self, *arguments: Any, **patience: float) -> Any:
        """Ask."""
        self._fuse.step("ask")
        return self._bus.ask(*arguments, **patience)


class RememberingReader(PortReader):
    """A port reader that knows what its last sweep gave."""

    swept: tuple[Any, ...] = ()

    def sweep(self, mark: datetime, fitted_on: datetime | None = None) -> Sweep:
        """Sweep."""
        found = super().sweep(mark, fitted_on)
        self.swept = found.readings
        return found
