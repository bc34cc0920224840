"""PostgreSQL and the double in memory hold the same after the same arrivals: the double may stand for it in tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.envelope import chain_digest
from metering.identity import MeterId
from metering.interval import SLOT
from provisioning.site import Span
from tests.conftest import MARK, SeededSigner
from tests.doubles.chains import METERS, PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, MemoryHarness, PostgresHarness, StoreHarness

GATEWAYS = (Gateway("gw-a"), Gateway("gw-b"), Gateway("gw-a", epoch=2))


def arrivals_of(chance: random.Random) -> Iterator[list[Arrival]]:
    """Groups of genuine, repeated, cloned, broken, unbound and unreadable messages."""
    chains = {gateway: gateway.chain(30) for gateway in GATEWAYS}
    for _ in range(25):
        group: list[Arrival] = []
        for _ in range(chance.randint(1, 12)):
            gateway = chance.choice(GATEWAYS)
            seq = chance.randint(1, 30)
            genuine = chains[gateway][seq - 1]
            group.append(
                chance.choice(
                    [
                        *[genuine] * 5,
                        gateway.other(seq, chain_digest(genuine.octets)),
                        gateway.sealed(replace(gateway.envelope(seq, bytes(32)), mark=None)),
                        Arrival(gateway.topic, genuine.octets[: chance.randint(0, 50)]),
                        Arrival("nowhere", genuine.octets),
                    ]
                )
            )
        yield group


def play(harness: StoreHarness, groups: list[list[Arrival]]) -> list[tuple[str, bytes]]:
    """Enrol, wire, take; gives the receipts."""
    harness.enrol(*GATEWAYS)
    until = Span(None, MARK + 20 * SLOT)
    meters = {**METERS, MeterId("m-lift"): until}
    harness.wire({GATEWAYS[0].id: meters, GATEWAYS[1].id: {}})
    consumer = MemoryConsumer()
    intake = Intake(
        consumer=consumer,
        store=harness.store,
        signer=SeededSigner("metertree test centre"),
        clock=ManualClock(NOW),
        profiles=PROFILES,
    )
    for group in groups:
        intake.take(group)
    return consumer.published


@pytest.mark.parametrize("seed", range(6))
def test_both_stores_hold_and_receipt_the_same(seed: int, database: Database) -> None:
    groups = list(arrivals_of(random.Random(seed)))
    memory, postgres = MemoryHarness(), PostgresHarness(database)
    assert play(memory, groups) == play(postgres, groups)
    in_memory, in_postgres = memory.see(), postgres.see()
    for part in ("ledger", "octets", "readings", "heads", "quarantine", "alarms", "unsettled"):
        assert getattr(in_memory, part) == getattr(in_postgres, part), part
    assert in_memory.alarms
    assert {"chain-broken", "meter-unbound", "malformed"} <= {reason for reason, *_ in in_memory.quarantine}
