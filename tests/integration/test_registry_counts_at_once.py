"""What a worker keeps in memory of the registry is never older than its group: keys, wiring and profiles of a site.

Another program enrols or rewires; the group that the worker takes after that commit goes by it. So the bound is the
time of one group, far below the five seconds that are asked for, and there is nothing to be invalidated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.envelope import chain_digest
from metering.identity import MeterId
from provisioning.site import ALWAYS
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, PostgresHarness, Seen, wired

GW = Gateway()


@contextmanager
def worker(dsn: str) -> Iterator[Intake]:
    """An intake worker with connections of its own, that lives through the whole test."""
    with Database(dsn, connections=2) as database:
        signer = SeededSigner("metertree test centre")
        store = PostgresHarness(database).store
        yield Intake(consumer=MemoryConsumer(), store=store, signer=signer, clock=ManualClock(NOW), profiles=PROFILES)


def reasons(seen: Seen) -> list[str]:
    """Why messages are in quarantine."""
    return [reason for reason, *_ in seen.quarantine]


@pytest.fixture
def other(database: Database) -> PostgresHarness:
    """Another program on the same books."""
    return PostgresHarness(database)


def test_a_key_counts_for_the_first_group_after_it_was_registered(other: PostgresHarness, migrated_dsn: str) -> None:
    other.wire(wired(GW))
    first, second = GW.chain(2)
    with worker(migrated_dsn) as intake:
        intake.take([first])
        assert reasons(other.see()) == ["gateway-unknown"]
        other.enrol(GW)
        intake.take([first, second])
    assert other.see().heads[GW.owner].contiguous_seq == 2


def test_the_key_of_a_new_epoch_counts_at_once_and_the_old_one_still_does(
    other: PostgresHarness, migrated_dsn: str
) -> None:
    newer = replace(GW, epoch=2)
    other.enrol(GW)
    other.wire(wired(GW))
    with worker(migrated_dsn) as intake:
        first, second = GW.chain(2)
        intake.take([first])
        other.enrol(newer)
        intake.take([*newer.chain(1), second])
    heads = other.see().heads
    assert (heads[GW.owner].contiguous_seq, heads[newer.owner].contiguous_seq) == (2, 1)


def test_a_site_that_is_wired_anew_counts_for_the_next_group_both_ways(
    other: PostgresHarness, migrated_dsn: str
) -> None:
    """A meter is taken off the gateway, and put back: rosters and wirings that the worker keeps go by the version."""
    other.enrol(GW)
    other.wire(wired(GW))
    meters = wired(GW)[GW.id]
    without = {meter: span for meter, span in meters.items() if meter != MeterId("m-lift")}
    chain = GW.chain(4)
    with worker(migrated_dsn) as intake:
        intake.take(chain[:1])
        other.wire({GW.id: without})
        intake.take(chain[1:2])
        assert reasons(other.see()) == ["meter-unbound"]
        other.wire({GW.id: {**without, MeterId("m-lift"): ALWAYS}})
        intake.take(chain[2:])
    seen = other.see()
    assert reasons(seen) == ["meter-unbound"]
    assert sorted(seq for _, _, seq in seen.octets) == [1, 3, 4]


def test_two_workers_go_by_the_same_wiring(other: PostgresHarness, migrated_dsn: str) -> None:
    other.enrol(GW)
    other.wire({GW.id: {}})
    first = GW.chain(1)[0]
    second = next(iter(GW.chain(1, first=2, previous_hash=chain_digest(first.octets))))
    with worker(migrated_dsn) as one, worker(migrated_dsn) as two:
        one.take([first])
        other.wire(wired(GW))
        two.take([second])
        one.take([Arrival(first.topic, first.octets)])
    seen = other.see()
    assert {seq for _, _, seq in seen.octets} == {2}
    assert seen.heads[GW.owner].contiguous_seq == 2
