"""What a worker tells of itself while it takes envelopes: how far they lag, where a gap is, what was refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ingest.api.metrics import Metrics
from ingest.intake import Intake
from ingest.ports import Arrival, StoreUnreachable
from metering.clock import ManualClock
from metering.interval import SLOT
from tests.conftest import MARK, SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import MemoryHarness, wired

GW, OTHER = Gateway("gw-a"), Gateway("gw-b")
SEALED_AT = MARK + timedelta(milliseconds=250)


class Watched:
    """A worker over a store in memory, and its metrics."""

    def __init__(self) -> None:
        harness = MemoryHarness()
        harness.enrol(GW, OTHER)
        harness.wire(wired(GW, OTHER))
        self.store = harness.store
        self.clock = ManualClock(SEALED_AT)
        self.consumer = MemoryConsumer()
        signer = SeededSigner("metertree test centre")
        self.intake = Intake(
            consumer=self.consumer, store=self.store, signer=signer, clock=self.clock, profiles=PROFILES
        )
        self.metrics = Metrics()
        self.metrics.follow(self.intake.counters, Queue())

    def sample(self, name: str, **labels: str) -> float | None:
        """Read a metric."""
        return self.metrics.registry.get_sample_value(f"metertree_intake_{name}", labels)

    def lags_below(self, bound: str) -> float | None:
        """Count the envelopes that lag no further behind."""
        return self.sample("lag_seconds_bucket", le=bound)


class Queue:
    """A queue with something in it."""

    connected = False
    waiting = (3, 4096)


@pytest.fixture
def watched() -> Watched:
    """A worker, watched."""
    return Watched()


def test_the_lag_of_an_envelope_is_from_its_sealing_to_its_commit(watched: Watched) -> None:
    chain = GW.chain(3)
    watched.clock.sleep(4)
    watched.intake.take(chain[:1])
    watched.clock.sleep(2 * SLOT.total_seconds() + 100)
    watched.intake.take(chain[1:])
    assert [watched.lags_below(bound) for bound in ("2.0", "5.0", "60.0", "300.0", "3600.0")] == [0, 1, 1, 2, 3]


def test_an_envelope_from_a_clock_that_is_ahead_lags_by_nothing(watched: Watched) -> None:
    watched.clock = ManualClock(SEALED_AT)
    watched.intake.take(GW.chain(2))
    assert watched.lags_below("0.25") == 2
    assert watched.sample("lag_seconds_sum") is not None


def test_only_what_enters_the_books_lags(watched: Watched) -> None:
    (first,) = GW.chain(1)
    watched.intake.take([first, first, Arrival(first.topic, b"rubbish")])
    assert watched.sample("lag_seconds_count") == 1
    assert watched.sample("commit_seconds_count") == 1
    assert watched.sample("rejected_total", reason="malformed") == 1


def test_a_gap_is_shown_until_it_is_closed_and_each_chain_for_itself(watched: Watched) -> None:
    first, second, third = GW.chain(3)
    watched.intake.take([first, third])
    assert watched.sample("chain_gaps") == 1
    watched.intake.take(OTHER.chain(2))
    assert watched.sample("chain_gaps") == 1
    watched.intake.take([second])
    assert watched.sample("chain_gaps") == 0


def test_what_was_not_committed_is_not_counted(watched: Watched) -> None:
    watched.store.faults = [StoreUnreachable("away")]
    with pytest.raises(StoreUnreachable):
        watched.intake.take(GW.chain(2))
    assert watched.sample("lag_seconds_count") == 0
    assert watched.sample("commit_seconds_count") == 0


def test_what_waits_between_broker_and_intake_is_shown(watched: Watched) -> None:
    assert watched.sample("queue_messages") == 3
    assert watched.sample("queue_octets") == 4096
    assert watched.sample("connected") == 0
