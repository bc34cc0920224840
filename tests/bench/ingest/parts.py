"""Where the CPU of intake goes: each step by itself, in one thread, beside a database and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.intake import GROUP_MAX, Intake
from ingest.ports import Arrival
from ingest.store.intake_store import PostgresIntakeStore
from ingest.verify import Keys, Signed, check_signature, open_signed, read_claim
from metering.clock import SystemClock
from tests.bench.ingest.load import interleaved
from tests.bench.ingest.plant import Fleet, Plant
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES
from tests.doubles.intake import MemoryConsumer


@dataclass
class Parts:
    """CPU of each step [µs a reading]."""

    claim: float = 0.0
    signature: float = 0.0
    opening: float = 0.0
    entering: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.claim + self.signature + self.opening + self.entering


def made_intake(plant: Plant) -> Intake:
    """An intake beside the plant's database, without a broker."""
    return Intake(
        consumer=MemoryConsumer(),
        store=PostgresIntakeStore(plant.database),
        signer=SeededSigner("metertree test centre"),
        clock=SystemClock(),
        profiles=PROFILES,
    )


def parts_of(plant: Plant, meters: int, marks: int) -> Parts:
    """Measure with envelopes of `meters` readings."""
    fleet = Fleet(f"gw-parts-{meters}", 8, meters)
    plant.enrol(fleet)
    load = sorted(interleaved(fleet.all(), marks), key=lambda one: one.topic)
    intake, store = made_intake(plant), PostgresIntakeStore(plant.database)
    intake.take(load[:1])
    parts = Parts()
    for start in range(1, len(load), GROUP_MAX):
        _take(intake, store, load[start : start + GROUP_MAX], parts)
    readings = (len(load) - 1) * meters / 1e6
    return Parts(*(spent / readings for spent in (parts.claim, parts.signature, parts.opening, parts.entering)))


def _take(intake: Intake, store: PostgresIntakeStore, arrivals: Sequence[Arrival], parts: Parts) -> None:
    """One group in the steps of `Intake.prove` and `Intake.take`."""
    begun = time.thread_time()
    claims = [read_claim(one.topic, one.octets) for one in arrivals]
    read = time.thread_time()
    keys = Keys(store.keys({one.message.key_id for one in claims}, {one.gateway for one in claims}))  # type: ignore[union-attr]
    asked = time.thread_time()
    signed = [check_signature(one, keys) for one in claims]  # type: ignore[arg-type]
    checked = time.thread_time()
    verdicts = open_signed([one for one in signed if isinstance(one, Signed)])
    opened = time.thread_time()
    assert len(verdicts) == len(arrivals)
    intake.take(arrivals, verdicts)
    parts.claim += read - begun
    parts.signature += checked - asked
    parts.opening += opened - checked
    parts.entering += time.thread_time() - opened + asked - read
