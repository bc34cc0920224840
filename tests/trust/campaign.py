"""One campaign: a stream of envelopes, one kind of process killed again and again, and the books looked at.

The moment of a kill is drawn from the receipts that come in, so that it always falls into the stream. After the kill of
the database the workers are frozen until somebody has looked at what was committed: whatever a gateway has a receipt
for must be there, before anything can be entered again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.trust.books import ahead_of_commit, chains, differences
from tests.trust.plant import WORKER, Plant, made_plant
from tests.trust.sources import Fleet, spread

VICTIMS = ("database", "broker", "workers")
MIXED = "all in turn"
STALL_S = 120.0
"""How long nothing may move before that counts as a stall: a machine that does much else included."""
RECEIPTED_BETWEEN = (5, 120)
"""Envelopes receipted between a restart and the next kill."""
STEP_S = 0.2
SPREAD_S = 0.03
"""A kill comes up to so much later than the receipt that called for it."""
DISK_LOST = 10
"""Every so many broker kills the broker's disk is lost as well."""

Tell = Callable[["Tally"], None]


class Stalled(AssertionError):
    """Nothing moved for too long."""


@dataclass
class Tally:
    """What one campaign did, and what it found."""

    kind: str
    victim: str
    wanted: int
    kills: int = 0
    disks_lost: int = 0
    sent: int = 0
    readings: int = 0
    receipts: int = 0
    sent_again: int = 0
    turned_away: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class Campaign:
    """Kills `victim` `kills` times while `gateways` gateways send to `workers` workers over a broker of `kind`.

    Where workers alone are killed nobody sends anything twice, so that what they held must come from the broker again.
    """

    def __init__(
        self,
        *,
        kind: str,
        victim: str,
        kills: int,
        seed: int,
        gateways: int = 20,
        workers: int = 2,
        worker: Sequence[str] = WORKER,
        stall_s: float = STALL_S,
        tell: Tell = lambda _: None,
    ) -> None:
        self.tally = Tally(kind, victim, kills)
        self._rng = random.Random(f"{seed}/{kind}/{victim}")
        self._seed = f"{seed}/{kind}/{victim}"
        self._gateways = spread(gateways, workers)
        self._workers = workers
        self._worker = tuple(worker)
        self._stall_s = stall_s
        self._tell = tell
        self._pause = threading.Event()

    def run(self) -> Tally:
        """Do it; stops at the first fault."""
        began_s = time.monotonic()
        with made_plant(self.tally.kind, self._gateways, self._workers, self._worker) as plant:
            fleet = Fleet(self._gateways, plant.broker.port, self._seed)
            with fleet.running():
                try:
                    if self.tally.victim == "workers":
                        self._send_once_from_here(fleet)
                    self._kill_again_and_again(plant, fleet)
                    self._finish(plant, fleet)
                except Stalled as stall:
                    log = (plant.folder / "workers.log").read_text(encoding="utf-8", errors="replace")
                    self.tally.faults += [*fleet.faults(), str(stall), log[-2000:]]
            self._count(plant, fleet, began_s)
        return self.tally

    def _send_once_from_here(self, fleet: Fleet) -> None:
        """Let the workers' sessions be made first: what comes before them a broker keeps for nobody."""
        self._await_receipts(fleet, RECEIPTED_BETWEEN[0])
        for source in fleet.sources:
            source.producing = False
        self._wait(fleet, lambda: all(source.is_done for source in fleet.sources), "the first receipts")
        for source in fleet.sources:
            source.producing, source.resends = True, False

    def _kill_again_and_again(self, plant: Plant, fleet: Fleet) -> None:
        began_s = time.monotonic()
        while self.tally.kills < self.tally.wanted and not self.tally.faults:
            self._await_receipts(fleet, self._rng.randint(*RECEIPTED_BETWEEN))
            self._pause.wait(self._rng.uniform(0, SPREAD_S))
            self._kill(plant, fleet)
            self.tally.kills += 1
            self._count(plant, fleet, began_s, look=False)
            self._tell(self.tally)
        self._await_receipts(fleet, RECEIPTED_BETWEEN[0])

    def _kill(self, plant: Plant, fleet: Fleet) -> None:
        victim = VICTIMS[self.tally.kills % len(VICTIMS)] if self.tally.victim == MIXED else self.tally.victim
        if victim == "database":
            plant.kill("postgres")
            with plant.workers_frozen():
                plant.start("postgres")
                self._look(plant, fleet)
        elif victim == "broker":
            plant.kill("broker")
            if self.tally.kills % DISK_LOST == DISK_LOST - 1:
                plant.forget_messages()
                self.tally.disks_lost += 1
            plant.start("broker")
            self._look(plant, fleet)
        else:
            share = self._rng.choice(plant.shares)
            plant.kill(share)
            plant.start(share)
            self._look(plant, fleet)

    def _look(self, plant: Plant, fleet: Fleet) -> None:
        """Receipts must not be ahead of what is committed."""
        receipted = fleet.receipted()
        found = chains(plant.postgres.dsn)
        self.tally.faults += ahead_of_commit(receipted, found)
        for source in fleet.sources:
            if source.gateway.name in found:
                source.saw_in_books(found[source.gateway.name].contiguous_seq)

    def _await_receipts(self, fleet: Fleet, count: int) -> None:
        """Wait until so many more envelopes are receipted, and some by each worker."""
        before = fleet.receipted()
        each = len(fleet.sources) // self._workers
        shares = [fleet.sources[at * each : (at + 1) * each] for at in range(self._workers)]

        def moved() -> bool:
            gained = [sum(one.receipted - before[one.gateway.name] for one in share) for share in shares]
            return bool(fleet.faults()) or (sum(gained) >= count and all(gained))

        self._wait(fleet, moved, f"{count} receipts")
        self.tally.faults += fleet.faults()

    def _finish(self, plant: Plant, fleet: Fleet) -> None:
        """Let everything arrive, and compare."""
        for source in fleet.sources:
            source.producing = False
        if self.tally.victim == "workers":
            self._wait(fleet, lambda: self._all_in_books(plant, fleet), "everything in the books, nothing sent twice")
        for source in fleet.sources:
            source.resends = True
        self._wait(fleet, lambda: all(source.is_done for source in fleet.sources), "the last receipts")
        self.tally.faults += [*fleet.faults(), *differences(plant.postgres.dsn, fleet.sources)]

    def _all_in_books(self, plant: Plant, fleet: Fleet) -> bool:
        found = chains(plant.postgres.dsn)
        return all(found[one.gateway.name].contiguous_seq == one.sent for one in fleet.sources if one.sent)

    def _wait(self, fleet: Fleet, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition that receipts bring about; raises Stalled when none comes for too long."""
        receipted, idle_s = -1, 0.0
        while not condition():
            if self.tally.faults:
                return
            if (now := sum(fleet.receipted().values())) != receipted:
                receipted, idle_s = now, 0.0
            if idle_s > self._stall_s:
                missing = {one.gateway.name: (one.receipted, one.sent) for one in fleet.sources if not one.is_done}
                raise Stalled(f"waited {self._stall_s:.0f} s for {what}; receipted of sent: {missing}")
            began_s = time.monotonic()
            with fleet.news:
                fleet.news.wait(STEP_S)
            idle_s += min(time.monotonic() - began_s, 2 * STEP_S)  # a machine that slept meanwhile was not idle

    def _count(self, plant: Plant, fleet: Fleet, began_s: float, *, look: bool = True) -> None:
        tally = self.tally
        tally.sent = sum(source.sent for source in fleet.sources)
        tally.receipts = sum(source.receipts for source in fleet.sources)
        tally.sent_again = sum(source.repeats for source in fleet.sources)
        tally.readings = 3 * tally.sent
        tally.seconds = time.monotonic() - began_s
        if look:
            tally.turned_away = sum(chain.repeats for chain in chains(plant.postgres.dsn).values())
