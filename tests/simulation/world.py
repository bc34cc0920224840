"""One world: a park, its gateways, a broker and a centre in simulated time, made and troubled by one seed.

A world is a queue of events ordered by time and then by arrival, so a seed plays the same way every time; `trace` is a
hash over everything that happened. First comes a troubled phase under the seed's faults, then a calm one in which all
machines are on and nothing goes wrong, and at the end the checkers judge.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any
from unittest import mock

from metering.identity import GatewayId, MeterId
from tests.doubles.sim_broker import SimBroker, Weather
from tests.doubles.sim_outbox import Disk, SqliteDisk
from tests.simulation.centre import Centre
from tests.simulation.checkers import Broken, Witness, check_backlog, judge
from tests.simulation.faults import CALM, Faults, draw_faults
from tests.simulation.gateway import Gateway
from tests.simulation.park import HOUR_MS, draw_park

CALM_HOURS = 3
"""Longer than any clock is wrong and any machine is down, with some ordinary marks at the end [h]."""
DRAIN_HOURS = 1
"""How long the uplinks have after the last mark, at most [h]: several times the longest pause of an uplink."""
CLONE_FOUND_MS = HOUR_MS // 2
"""How long after the trouble somebody follows the alarm and takes away both machines that claim to be one gateway."""
STEP_MS_MAX = HOUR_MS
BOOT_1970_MS = -56 * 365 * 24 * HOUR_MS
LOG_KEPT = 40

NewDisk = Callable[[GatewayId], Disk | SqliteDisk]


@dataclass(frozen=True)
class Outcome:
    """What came of one seed."""

    seed: int
    trace: str
    events: int
    readings: int
    repeats: int
    rejected: int
    boots: int


class World:
    """Everything there is.

    random     gives each part its own numbers by its name, so that one part does not disturb another
    new_disk   gives each gateway its disk
    """

    def __init__(self, seed: int, new_disk: NewDisk = lambda _: Disk()) -> None:
        self.seed = seed
        self.now_ms = 0
        self.spent_ms = 0
        self.polled_until_ms = 0
        self.sealed_before_calm: dict[str, dict[int, int]] = {}
        self.events = 0
        self.log: deque[str] = deque(maxlen=LOG_KEPT)
        self.rng = self.random("world")
        self.faults = draw_faults(self.random("faults"))
        self.park = draw_park(self.random("park"))
        self.weather = Weather(self.random("weather"))
        self.witness = Witness(self)
        self.broker = SimBroker(self.weather, self.later)
        self.centre = Centre(self, self.park)
        self.machines = [Gateway(self, name, new_disk(name)) for name in self.park.gateways]
        self._trace = hashlib.sha256()
        self._silent_until_ms: dict[MeterId, int] = {}
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def random(self, name: str) -> random.Random:
        """Give the source of chance of one part."""
        return random.Random(f"{self.seed} {name}")

    def note(self, *words: object) -> None:
        """Write down what happened."""
        line = f"{self.true_ms()} " + " ".join(str(word) for word in words)
        self._trace.update(line.encode() + b"\n")
        self.log.append(line)
        self.events += 1

    def true_ms(self) -> int:
        """True time since the start, ahead of the queue while a machine spends it [ms]."""
        return self.now_ms + self.spent_ms

    def spend(self, passed_ms: int) -> None:
        """Let time pass within one event."""
        self.spent_ms += passed_ms

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do `act` when `delay_ms` have passed."""
        self._number += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._number, act))

    def key_name(self, gateway: GatewayId, epoch: int) -> str:
        """Name of the key a gateway signs with in an epoch; a clone has it too."""
        return f"{gateway} epoch {epoch}"

    def is_silent(self, meter: MeterId) -> bool:
        """Say whether a meter does not answer now."""
        return self.true_ms() < self._silent_until_ms.get(meter, 0)

    def is_cloned(self, gateway: GatewayId) -> bool:
        """Say whether two machines have been this gateway."""
        return sum(machine.name == gateway for machine in self.machines) > 1

    def boot_offset_ms(self, machine: Gateway) -> int:
        """How wrong the clock of a booting gateway is [ms]; one that has ever sealed may wake up in 1970."""
        has_sealed = machine.label in self.witness.sealed_octets
        if not has_sealed or not self.weather.strikes(self.faults.clock_lost):
            return machine.clock.offset_ms if machine.clock.offset_ms > BOOT_1970_MS else 0
        self.later(self.rng.randint(10_000, 900_000), lambda: machine.set_clock(0))
        return BOOT_1970_MS

    def play(self) -> Outcome:
        """Play the seed to its end and judge it; raises Broken."""
        stopped_time = SimpleNamespace(monotonic=lambda: self.true_ms() / 1000)
        with (
            mock.patch("edge_agent.uplink_loop.time", stopped_time),
            mock.patch("edge_agent.uplink_loop.random", self.random("jitter")),
            mock.patch("edge_agent.asking.time", stopped_time),
        ):
            self._begin()
            self._run_until(self.park.hours * HOUR_MS)
            self._calm_down()
            self._run_until(self.park.hours * HOUR_MS + CLONE_FOUND_MS)
            check_backlog(self)
            self._take_clones_away()
            self.polled_until_ms = (self.park.hours + CALM_HOURS) * HOUR_MS
            self._run_until(self.polled_until_ms)
            for machine in self.machines:
                machine.polls = False
            self._run_until((self.park.hours + CALM_HOURS + DRAIN_HOURS) * HOUR_MS)
            judge(self)
        return self._outcome()

    def _begin(self) -> None:
        self._set_rates(self.faults)
        self.centre.switch_on()
        for machine in self.machines:
            machine.switch_on()
        for hour in range(self.park.hours):
            self.later(hour * HOUR_MS + self.rng.randrange(HOUR_MS), self._trouble)
        plan = self.park.plan
        if plan.clone is not None:
            name, hour = plan.clone
            self.later(hour * HOUR_MS, lambda: self._clone(name))
        if plan.rekey is not None:
            rekeyed, hour = plan.rekey
            self.later(hour * HOUR_MS, lambda: self._rekey(rekeyed))

    def _run_until(self, end_ms: int) -> None:
        while self._queue and self._queue[0][0] <= end_ms:
            self.now_ms, _, act = heapq.heappop(self._queue)
            self.spent_ms = 0
            act()
        self.now_ms, self.spent_ms = end_ms, 0

    def _set_rates(self, faults: Faults) -> None:
        self.faults = faults
        for name in vars(self.weather):
            if name != "rng":
                setattr(self.weather, name, getattr(faults, name))
        self.centre.fuse.rate = faults.centre_cut
        self.centre.store.away = faults.store_away
        for machine in self.machines:
            self._set_machine_rates(machine)

    def _set_machine_rates(self, machine: Gateway) -> None:
        machine.fuse.rate = self.faults.gateway_cut
        machine.noise.late = self.faults.answer_late
        machine.noise.flipped = self.faults.answer_flipped
        machine.noise.lost = self.faults.port_lost

    def _trouble(self) -> None:
        """Once an hour: draw what strikes the larger parts."""
        strikes, rng = self.weather.strikes, self.rng
        for machine in self.machines:
            if strikes(self.faults.clock_step):
                machine.set_clock(rng.choice((0, rng.randint(-STEP_MS_MAX, STEP_MS_MAX))))
        for meter in sorted(self.park.meters):
            if strikes(self.faults.meter_dead):
                self._silent_until_ms[meter] = self.now_ms + rng.randint(1, 6 * HOUR_MS)
                self.note("silent", meter, self._silent_until_ms[meter])
        if strikes(self.faults.broker_restart):
            self.note("broker-down")
            self.broker.go_down()
            self.later(rng.randint(1_000, 3 * HOUR_MS), self.broker.come_up)
        if strikes(self.faults.restore):
            self.centre.restore()
        elif rng.random() < 0.3:
            self.centre.back_up()

    def _clone(self, name: GatewayId) -> None:
        original = next(machine for machine in self.machines if machine.name == name)
        clone = Gateway(self, name, original.disk.copy(), number=1)
        self.note("clone", name)
        self.machines.append(clone)
        self._set_machine_rates(clone)
        clone.switch_on()

    def _rekey(self, name: GatewayId) -> None:
        machine = next(machine for machine in self.machines if machine.name == name)
        self.note("rekey", name)
        self.centre.register(name, 2)
        machine.epoch = 2
        if machine.is_on:
            machine.switch_off("rekey")

    def _calm_down(self) -> None:
        """From now on nothing goes wrong any more, and what is off is switched on."""
        self.note("calm")
        self._set_rates(CALM)
        self._silent_until_ms.clear()
        for label, places in self.witness.sealed_octets.items():
            self.sealed_before_calm[label] = {epoch: seq for _, epoch, seq in sorted(places)}
        self.broker.come_up()
        if not self.centre.is_on:
            self.centre.switch_on()
        for machine in self.machines:
            machine.set_clock(0)
            if not machine.is_on:
                machine.switch_on()

    def _take_clones_away(self) -> None:
        for machine in self.machines:
            if self.is_cloned(machine.name):
                machine.retire()

    def _outcome(self) -> Outcome:
        books = self.centre.store.books
        return Outcome(
            seed=self.seed,
            trace=self._trace.hexdigest(),
            events=self.events,
            readings=self.witness.readings,
            repeats=sum(head.repeats for head in books.heads.values()),
            rejected=sum(times for _, times in books.quarantine.values()),
            boots=sum(machine.boots for machine in self.machines),
        )


def play(seed: int, patches: Mapping[str, Any] = MappingProxyType({}), new_disk: NewDisk = lambda _: Disk()) -> Outcome:
    """Play one seed, with some names of the code replaced; raises Broken with the seed, its faults and last events."""
    with ExitStack() as planted:
        for target, replacement in patches.items():
            planted.enter_context(mock.patch(target, replacement))
        return play_world(World(seed, new_disk))


def play_world(world: World) -> Outcome:
    """Play a world that was made before; raises Broken as `play` does."""
    faults = world.faults
    try:
        return world.play()
    except Broken as broken:
        active = {name: round(getattr(faults, name), 4) for name in faults.__slots__ if getattr(faults, name)}
        events = "\n  ".join(world.log)
        raise Broken(f"seed {world.seed}: {broken}\n{active}\n{world.park.plan}\n  {events}") from broken
