"""Errors as they are made, planted at the safety mechanisms of intake and store, each with the test that turns red."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ingest import chain, intake, intake_worker
from ingest.adapters.mqtt_consumer import Backlog, Delivery, MqttConsumer
from ingest.chain import Chain
from ingest.intake import Intake
from ingest.ports import Arrival, GatewayEpoch, LedgerEntry, StoreUnreachable
from ingest.store import database, intake_store
from ingest.store.database import load_queries
from ingest.store.intake_store import PostgresGroup
from ingest.verify import Reason, Rejected, Signed
from metering.topics import PARTITIONS

Patch = pytest.MonkeyPatch
CONSUMER = "tests/unit/ingest/test_intake_consumer.py::"
LOOP = "tests/unit/ingest/test_intake_loop.py::"
MEMORY = "tests/unit/ingest/test_intake_in_memory.py::TestIntakeInMemory::"
POSTGRES = "tests/integration/test_intake_postgres.py::TestIntakeInPostgres::"
REGISTRY = "tests/integration/test_store_registry.py::"


@dataclass(frozen=True)
class PlantedInIntake:
    """One error in one mechanism: `plant` puts it in, `caught_by` turns red."""

    mechanism: str
    error: str
    plant: Callable[[Patch], None]
    caught_by: str


# The ledger and its key.


def repeats_are_taken_for_news(patch: Patch) -> None:
    patch.setattr(intake, "repeat_of", lambda *_: None)
    patch.setattr(Chain, "is_repeat", lambda *_: False)


def the_ledger_is_not_asked(patch: Patch) -> None:
    def nothing(_: PostgresGroup, seqs: Mapping[GatewayEpoch, object]) -> dict[GatewayEpoch, dict[int, LedgerEntry]]:
        return {owner: {} for owner in seqs}

    patch.setattr(PostgresGroup, "_entries", nothing)
    patch.setattr(intake, "repeat_of", lambda *_: None)


def a_repeat_is_known_by_its_place_alone(patch: Patch) -> None:
    """So that another content under a held seq is dropped unseen."""
    patch.setattr(Chain, "is_repeat", lambda self, sealed: sealed.head.seq in self._entries)


# Commit, receipt, acknowledgement: in this order.


def receipts_go_out_before_the_commit(patch: Patch) -> None:
    enter = intake._GroupEntry.enter
    senders: list[Intake] = []
    commit = Intake._commit

    def noted(self: Intake, *given: Any) -> None:
        senders[:] = [self]
        commit(self, *given)

    def early(self: Any, *given: Any) -> Any:
        entered = enter(self, *given)
        senders[0]._send(entered.receipts)
        return replace(entered, receipts=[])

    patch.setattr(Intake, "_commit", noted)
    patch.setattr(intake._GroupEntry, "enter", early)


def messages_are_acknowledged_on_arrival(patch: Patch) -> None:
    arrive = MqttConsumer._on_message

    def hasty(self: MqttConsumer, client: Any, userdata: Any, message: Any) -> None:
        arrive(self, client, userdata, message)
        self._client.ack(message.mid, message.qos)

    patch.setattr(MqttConsumer, "_on_message", hasty)


def messages_are_acknowledged_before_the_commit(patch: Patch) -> None:
    take = Intake.take

    def hasty(self: Intake, arrivals: Sequence[Arrival], *verdicts: Any) -> None:
        self._consumer.acknowledge(arrivals)
        take(self, arrivals, *verdicts)

    patch.setattr(Intake, "take", hasty)


def acknowledgements_outlive_their_connection(patch: Patch) -> None:
    def careless(self: MqttConsumer, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            if isinstance(arrival.delivery, Delivery):
                self._client.ack(arrival.delivery.packet_id, arrival.delivery.qos)

    patch.setattr(MqttConsumer, "acknowledge", careless)


def a_group_is_given_up_when_the_store_is_away(patch: Patch) -> None:
    def impatient(self: Intake, arrivals: Sequence[Arrival], verdicts: Any, stop: Any) -> None:
        try:
            self.take(arrivals, verdicts)
        except StoreUnreachable:
            self._consumer.acknowledge(arrivals)

    patch.setattr(Intake, "_take_patiently", impatient)


def a_commit_need_not_be_durable(patch: Patch) -> None:
    patch.setattr(database, "_SESSION", database._SESSION.replace("synchronous_commit=on", "synchronous_commit=off"))


# The chain.


def nobody_looks_at_the_head_of_the_chain(patch: Patch) -> None:
    patch.setattr(Chain, "_follows", lambda *_: True)


def the_successor_is_not_looked_at(patch: Patch) -> None:
    patch.setattr(chain, "neighbours", lambda seqs: {near for seq in seqs for near in (seq - 1, seq) if near})
    patch.setattr(intake, "neighbours", chain.neighbours)


def late_predecessors_are_refused(patch: Patch) -> None:
    fault = Chain.fault

    def strict(self: Chain, sealed: Any) -> Rejected | None:
        if sealed.head.seq < self._highest_seq:
            return Rejected(Reason.CHAIN_BROKEN, "too late", sealed)
        return fault(self, sealed)

    patch.setattr(Chain, "fault", strict)


def the_head_jumps_over_gaps(patch: Patch) -> None:
    advance = Chain.advance
    patch.setattr(
        Chain, "advance", lambda self, *given: replace(advance(self, *given), contiguous_seq=self._highest_seq)
    )


def chains_are_not_locked(patch: Patch) -> None:
    queries = dict(load_queries("intake"))
    queries["lock_chains"] = queries["lock_chains"].replace(b"FOR UPDATE OF chain_heads", b"")
    patch.setattr(intake_store, "load_queries", lambda _: queries)


# What is not accepted.


def a_clone_raises_no_alarm(patch: Patch) -> None:
    patch.setattr(PostgresGroup, "raise_alarm", lambda *_: None)


def what_is_refused_is_dropped(patch: Patch) -> None:
    patch.setattr(intake._GroupEntry, "_quarantine", lambda *_: None)


def one_that_cannot_be_stored_is_dropped_with_its_group(patch: Patch) -> None:
    patch.setattr(Intake, "_divide", lambda *_: None)


def a_refused_envelope_leaves_a_hole(patch: Patch) -> None:
    """In quarantine and nowhere else, so that its gateway waits below it for ever."""
    patch.setattr(
        intake._GroupEntry, "_refuse", lambda self, _chain, arrival, _one, fault: self._quarantine(arrival, fault)
    )


def a_signature_is_not_checked(patch: Patch) -> None:
    def trusting(claim: Any, keys: Any) -> Any:
        found = keys.of(claim)
        return found if isinstance(found, Rejected) else Signed(claim, found, claim.head)

    patch.setattr(intake, "check_signature", trusting)


# Bounds and shares.


def the_queue_has_no_bound(patch: Patch) -> None:
    patch.setattr(Backlog, "_is_full", lambda _: False)


def the_queue_does_not_count_octets(patch: Patch) -> None:
    patch.setattr(Backlog, "_is_full", lambda self: len(self._waiting) >= self._most)


def a_worker_takes_its_neighbours_share(patch: Patch) -> None:
    patch.setattr(intake_worker.Worker, "partitions", property(lambda self: range(self.number, PARTITIONS, self.of)))


def two_workers_share_a_session(patch: Patch) -> None:
    patch.setattr(intake_worker.Worker, "client_id", intake_worker.CLIENT_ID)


def _all() -> Iterator[PlantedInIntake]:
    shares = "tests/unit/ingest/test_intake_shares.py::"
    refused = f"{MEMORY}test_one_changed_octet_of_the_signature_is_refused"
    broken = f"{MEMORY}test_an_envelope_that_names_another_predecessor_is_refused_and_the_chain_runs_on"
    clone = "test_another_content_under_a_seq_is_held_and_raises_the_alarm"
    commit_first = f"{LOOP}test_nothing_is_published_or_acknowledged_before_the_commit"
    ledger, order, links = "dedupe ledger", "commit, receipt, acknowledgement", "chain"
    kept, bounds, share = "quarantine and alarms", "bounded queue", "shares of workers"

    def one(mechanism: str, error: str, plant: Callable[[Patch], None], caught_by: str) -> PlantedInIntake:
        return PlantedInIntake(mechanism, error, plant, caught_by)

    yield one(
        ledger,
        "repeats taken for news",
        repeats_are_taken_for_news,
        f"{MEMORY}test_a_repeat_is_counted_dropped_and_receipted_again",
    )
    yield one(
        ledger,
        "a ledger nobody asks",
        the_ledger_is_not_asked,
        f"{POSTGRES}test_a_flood_of_repeats_in_any_cut_leaves_each_envelope_once",
    )
    yield one(ledger, "a repeat known by its seq alone", a_repeat_is_known_by_its_place_alone, f"{MEMORY}{clone}")
    yield one(order, "a receipt before the commit", receipts_go_out_before_the_commit, commit_first)
    yield one(
        order,
        "an acknowledgement on arrival",
        messages_are_acknowledged_on_arrival,
        f"{CONSUMER}test_nothing_is_acknowledged_on_arrival",
    )
    yield one(order, "an acknowledgement before the commit", messages_are_acknowledged_before_the_commit, commit_first)
    yield one(
        order,
        "an acknowledgement on another connection",
        acknowledgements_outlive_their_connection,
        f"{CONSUMER}test_an_acknowledgement_of_an_earlier_connection_is_not_sent",
    )
    yield one(
        order,
        "a group given up while the store is away",
        a_group_is_given_up_when_the_store_is_away,
        f"{LOOP}test_a_group_is_held_and_entered_once_the_store_is_back",
    )
    yield one(
        order,
        "a commit that is not on disk",
        a_commit_need_not_be_durable,
        f"{REGISTRY}test_a_commit_is_durable_and_times_are_utc_whatever_the_server_s_defaults",
    )
    yield one(links, "a head nobody looks at", nobody_looks_at_the_head_of_the_chain, broken)
    yield one(
        links,
        "a successor nobody looks at",
        the_successor_is_not_looked_at,
        f"{MEMORY}test_a_late_envelope_that_its_successor_does_not_name_is_refused",
    )
    yield one(
        links,
        "a late predecessor refused",
        late_predecessors_are_refused,
        f"{MEMORY}test_a_late_envelope_enters_the_books",
    )
    yield one(
        links,
        "a head that jumps over a gap",
        the_head_jumps_over_gaps,
        f"{MEMORY}test_a_gap_shows_in_the_receipt_until_the_late_envelope_comes",
    )
    yield one(links, "a refusal that leaves a hole", a_refused_envelope_leaves_a_hole, broken)
    yield one(
        links,
        "a chain that is not locked",
        chains_are_not_locked,
        f"{REGISTRY}test_a_chain_belongs_to_one_group_until_its_commit",
    )
    yield one(kept, "a clone without an alarm", a_clone_raises_no_alarm, f"{POSTGRES}{clone}")
    yield one(kept, "a refused message dropped", what_is_refused_is_dropped, refused)
    yield one(
        kept,
        "a message that cannot be stored dropped with its group",
        one_that_cannot_be_stored_is_dropped_with_its_group,
        f"{LOOP}test_the_one_envelope_a_store_will_not_take_goes_to_quarantine_alone",
    )
    yield one(kept, "a signature not checked", a_signature_is_not_checked, refused)
    yield one(
        bounds,
        "a queue without bound",
        the_queue_has_no_bound,
        f"{CONSUMER}test_the_queue_holds_no_more_messages_than_it_may",
    )
    yield one(
        bounds,
        "a queue that counts no octets",
        the_queue_does_not_count_octets,
        f"{CONSUMER}test_long_messages_fill_the_queue_by_their_octets_and_come_in_small_groups",
    )
    yield one(
        share,
        "a share off by one",
        a_worker_takes_its_neighbours_share,
        f"{shares}test_every_partition_has_exactly_one_worker[2]",
    )
    yield one(
        share,
        "two workers in one session",
        two_workers_share_a_session,
        f"{shares}test_workers_have_sessions_of_their_own_that_stay_the_same",
    )


IN_INTAKE = tuple(_all())
