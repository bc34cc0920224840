"""Intake's loop: it holds a group while the store is away, and one bad envelope never stops the rest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from threading import Event

import pytest

from ingest.intake import GROUP_MAX, Intake
from ingest.ports import Arrival, GatewayKey, StoreRefused, StoreUnreachable
from metering.clock import ManualClock
from metering.identity import GatewayId, KeyId
from tests.conftest import SeededSigner
from tests.doubles.chains import METERS, PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer, MemoryStore
from tests.doubles.store_harness import NOW, MemoryHarness, wired

GW = Gateway()
AWAY = StoreUnreachable("the database is being restarted")


class PatientEvent(Event):
    """A stop signal that lets a waiter go on at once and remembers how long he meant to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.stop_after: int | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Do not wait."""
        self.waits.append(timeout or 0.0)
        if self.stop_after is not None and len(self.waits) >= self.stop_after:
            self.set()
        return self.is_set()


class StoppingConsumer(MemoryConsumer):
    """Sets the stop signal when nothing waits any more."""

    def __init__(self, arrivals: Sequence[Arrival], stop: Event) -> None:
        super().__init__(arrivals)
        self.stop = stop
        self.asked: list[int] = []

    def receive(self, most: int, wait_s: float) -> Sequence[Arrival]:
        """Give what waits, or end the loop."""
        self.asked.append(most)
        if not self.waiting:
            self.stop.set()
        return super().receive(most, wait_s)


@pytest.fixture
def store() -> MemoryStore:
    """A store that knows the gateway and its meters."""
    harness = MemoryHarness()
    harness.enrol(GW)
    harness.wire(wired(GW))
    return harness.store


def intake_over(store: MemoryStore, consumer: MemoryConsumer) -> Intake:
    """An intake with a manual clock."""
    signer = SeededSigner("metertree test centre")
    return Intake(consumer=consumer, store=store, signer=signer, clock=ManualClock(NOW), profiles=PROFILES)


def test_the_loop_takes_bounded_groups_until_it_is_stopped(store: MemoryStore) -> None:
    stop = PatientEvent()
    consumer = StoppingConsumer(GW.chain(GROUP_MAX + 10), stop)
    intake = intake_over(store, consumer)
    intake.run(stop)
    assert intake.counters.accepted == GROUP_MAX + 10
    assert intake.counters.groups == 2
    assert set(consumer.asked) == {GROUP_MAX}


def test_a_group_is_held_and_entered_once_the_store_is_back(store: MemoryStore) -> None:
    stop = PatientEvent()
    consumer = StoppingConsumer(GW.chain(3), stop)
    store.faults = [AWAY] * 4  # the first meets the question whether gateways are to be asked again
    intake = intake_over(store, consumer)
    intake.run(stop)
    assert len(store.books.ledger[GW.owner]) == 3
    assert stop.waits == [0.1, 0.2, 0.4]
    assert intake.counters.retries == 3
    assert len(consumer.acknowledged) == 3
    assert len(consumer.published) == 1


def test_the_pause_between_tries_is_bounded(store: MemoryStore) -> None:
    stop = PatientEvent()
    consumer = StoppingConsumer(GW.chain(1), stop)
    store.faults = [AWAY] * 12
    intake_over(store, consumer).run(stop)
    assert max(stop.waits) == 5.0


def test_stopping_while_the_store_is_away_acknowledges_nothing(store: MemoryStore) -> None:
    stop = PatientEvent()
    stop.stop_after = 2
    consumer = StoppingConsumer(GW.chain(1), stop)
    store.faults = [AWAY] * 12
    intake_over(store, consumer).run(stop)
    assert consumer.acknowledged == []
    assert consumer.published == []
    assert store.books.ledger == {}


def test_nothing_is_published_or_acknowledged_before_the_commit(store: MemoryStore) -> None:
    consumer = MemoryConsumer()
    store.faults = [AWAY]
    intake = intake_over(store, consumer)
    with pytest.raises(StoreUnreachable):
        intake.take(GW.chain(1))
    assert (consumer.published, consumer.acknowledged, intake.counters.accepted) == ([], [], 0)


def test_the_one_envelope_a_store_will_not_take_goes_to_quarantine_alone(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    chain = GW.chain(3)
    refusal = StoreRefused("a text of it cannot be stored")
    # The whole group is refused; then, one by one, only the second.
    store.faults = [refusal, _pass(), refusal, _pass(), _pass()]
    store = _skipping(store)
    consumer = MemoryConsumer()
    intake = intake_over(store, consumer)
    intake.take(chain)
    assert sorted(store.books.ledger[GW.owner]) == [1, 3]
    assert [one.reason for one, _ in store.books.quarantine.values()] == ["not-storable"]
    assert consumer.acknowledged == chain
    assert intake.counters.rejected == {"not-storable": 1}
    assert "intake.quarantined messages=1 reasons=not-storable:1" in caplog.text


class Passed(Exception):
    """Stands in the list of faults for a commit that goes well."""


def _pass() -> Exception:
    return Passed()


def _skipping(store: MemoryStore) -> MemoryStore:
    """The same store, in which a `Passed` fault is none."""

    class Faults(list[Exception]):
        """Drops a leading `Passed` when asked whether it holds anything."""

        def __bool__(self) -> bool:
            if len(self) and isinstance(self[0], Passed):
                self.pop(0)
                return False
            return len(self) > 0

    store.faults = Faults(store.faults)
    return store


# Proving ahead


class ForgetfulStore(MemoryStore):
    """A store that is away the first times somebody asks it for keys."""

    def __init__(self, away: int) -> None:
        super().__init__()
        self.away = away

    def keys(self, key_ids: Collection[KeyId], gateways: Collection[GatewayId]) -> Sequence[GatewayKey]:
        """Be away, or give the keys."""
        if self.away:
            self.away -= 1
            raise AWAY
        return super().keys(key_ids, gateways)


def run_ahead(store: MemoryStore, chain: Sequence[Arrival]) -> tuple[Intake, StoppingConsumer]:
    """Let the loop with the second thread take everything."""
    store.registered, store.wirings = [GW.key], {GW.id: dict(METERS)}
    stop = PatientEvent()
    consumer = StoppingConsumer(chain, stop)
    intake = intake_over(store, consumer)
    intake.run_ahead(stop)
    return intake, consumer


def test_the_next_group_is_proven_ahead_and_every_group_is_entered_in_order() -> None:
    store = MemoryStore()
    chain = GW.chain(3 * GROUP_MAX + 7)
    intake, consumer = run_ahead(store, [*chain, *chain[:5]])
    assert sorted(store.books.ledger[GW.owner]) == list(range(1, len(chain) + 1))
    assert store.books.heads[GW.owner].contiguous_seq == len(chain)
    assert consumer.acknowledged == [*chain, *chain[:5]]
    assert (intake.counters.accepted, intake.counters.repeated) == (len(chain), 5)


def test_a_group_received_while_the_store_is_away_is_kept_and_proven_later() -> None:
    store = ForgetfulStore(away=4)
    chain = GW.chain(GROUP_MAX + 3)
    intake, consumer = run_ahead(store, chain)
    assert sorted(store.books.ledger[GW.owner]) == list(range(1, len(chain) + 1))
    assert consumer.acknowledged == chain
    assert intake.counters.retries >= 1


def test_a_group_ahead_is_not_acknowledged_when_the_loop_ends(store: MemoryStore) -> None:
    stop = PatientEvent()
    stop.set()
    consumer = MemoryConsumer(GW.chain(3))
    intake_over(store, consumer).run_ahead(stop)
    assert consumer.acknowledged == []
    assert store.books.ledger == {}
