"""The centre: production intake over a store in memory, with power that may fail around every commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

from ingest import intake
from ingest.ports import Arrival, GatewayEpoch, GatewayKey, IntakeGroup, StoreUnreachable
from metering.identity import GatewayId
from tests.doubles.intake import Books, MemoryStore
from tests.doubles.sim_broker import SimConsumer
from tests.doubles.sim_keys import SimSigner
from tests.simulation.faults import Fuse, PowerCut
from tests.simulation.park import CATALOGUE, Park, instant

PROFILES = frozenset(profile.hash for profile in CATALOGUE.profiles)
DOWN_MS = (5_000, 1_800_000)
WORK_MS = 20
"""Time from the first waiting message to the group that takes it [ms]: enough for others to join the group."""


class SimStore(MemoryStore):
    """The store double, which may be away, and whose machine may lose power on either side of a commit."""

    def __init__(self, fuse: Fuse, world: Any) -> None:
        super().__init__()
        self.away = 0.0
        self._fuse = fuse
        self._world = world

    @contextmanager
    def group(self) -> Iterator[IntakeGroup]:
        """One transaction."""
        if self.away and self._world.rng.random() < self.away:
            self.faults.append(StoreUnreachable("no connection"))
        with super().group() as group:
            yield group
            self._fuse.step("commit")
        self._world.witness.committed(self)
        self._fuse.step("committed")


class Work:
    """In the place of a stop event: ends intake's loop when nothing waits, and never lets it wait for the store."""

    def __init__(self, consumer: SimConsumer, world: Any) -> None:
        self._consumer = consumer
        self._world = world

    def is_set(self) -> bool:
        """Say whether everything is taken."""
        return not self._consumer.waiting

    def wait(self, seconds: float) -> bool:
        """Let time pass until the store is tried again."""
        self._world.spend(round(1000 * seconds))
        return False


class CentreClock:
    """The centre knows the time."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def now(self) -> datetime:
        """True time."""
        return instant(self._world.true_ms())


class Centre:
    """The machine of the centre; `consumer` is its session with the broker."""

    def __init__(self, world: Any, park: Park) -> None:
        self.world = world
        self.signer = SimSigner("centre")
        self.rng = world.random("centre")
        self.fuse = Fuse(self.rng, 0.0)
        self.store = SimStore(self.fuse, world)
        self.is_on = False
        self._works_at: int | None = None
        for gateway in park.gateways:
            self.register(gateway, 1)
            self.store.wirings[gateway] = {meter.id: meter.span for meter in park.site.meters_of(gateway)}
        self._backup = Books()

    @property
    def consumer(self) -> SimConsumer:
        """The broker's side of the session."""
        found: SimConsumer = self.world.broker.consumer
        return found

    def register(self, gateway: GatewayId, epoch: int) -> None:
        """Enrol a gateway: from now on its key of this epoch is known."""
        signer = SimSigner(self.world.key_name(gateway, epoch))
        self.store.registered.append(
            GatewayKey(GatewayEpoch(gateway, epoch), signer.key_id, signer.verifier, bundle_hash=bytes(range(32)))
        )

    def switch_on(self) -> None:
        """Start intake; what was not acknowledged comes again."""
        self.is_on = True
        self.world.note("centre-boot")
        self.consumer.on_arrival = self._arrived
        self.intake = intake.Intake(
            consumer=cast(Any, self),
            store=self.store,
            signer=self.signer,
            clock=cast(Any, CentreClock(self.world)),
            profiles=PROFILES,
        )
        self.consumer.reconnect()
        self._work_soon()

    def work(self) -> None:
        """Take everything that waits, group by group, as the intake thread does."""
        self._works_at = None
        if not self.is_on:
            return
        try:
            self.intake.run(cast(Any, Work(self.consumer, self.world)))
        except PowerCut as cut:
            self.is_on = False
            self.world.note("centre-cut", str(cut))
            self.world.later(self.world.spent_ms + self.rng.randint(*DOWN_MS), self.switch_on)

    def back_up(self) -> None:
        """Copy the database."""
        self._backup = self.store.books.copy()
        self.world.witness.backed_up()

    def restore(self) -> None:
        """Set the database back to the last backup: everything since is gone."""
        self.world.note("restore", {str(owner): len(chain) for owner, chain in self._backup.ledger.items()})
        self.store.books = self._backup.copy()
        self.store.asked.update(key.owner for key in self.store.registered)
        self.world.witness.restored()

    # The consumer as intake sees it.

    def receive(self, most: int, wait_s: float) -> Sequence[Arrival]:
        """Give what waits."""
        return self.consumer.receive(most, wait_s)

    def publish(self, topic: str, octets: bytes) -> None:
        """Send a receipt."""
        self.world.witness.receipt(self, octets)
        self.fuse.step("receipt")
        self.consumer.publish(topic, octets)

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Let go of messages that are committed."""
        self.fuse.step("acknowledge")
        self.world.witness.taken(arrivals)
        self.consumer.acknowledge(arrivals)

    def _arrived(self, arrival: Arrival) -> None:
        self._work_soon()

    def _work_soon(self) -> None:
        if self.is_on and self._works_at is None:
            self._works_at = self.world.now_ms + WORK_MS
            self.world.later(WORK_MS, self.work)
