"""The registry and the read side of the store, in PostgreSQL."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest

from ingest.intake import Intake
from ingest.ports import Arrival, ChainAdvance
from ingest.store.database import Database, DatabaseUnreachable
from ingest.store.gateways import add_order, enrol, gateway_state, gateway_states, keys, order_of_claim
from ingest.store.readings import alarms, envelope_octets, quarantined, readings_due
from metering.clock import ManualClock
from metering.envelope import chain_digest
from metering.identity import GatewayId, MeterId, SiteId
from metering.interval import SLOT
from metering.reading import ReadQuality
from provisioning.enrolment import Bundle, Claim, Enrolled, InstallOrder, Refused, open_bundle, open_order, seal_bundle
from tests.conftest import MARK, SeededSigner, build_envelope
from tests.doubles.chains import METERS, PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, PostgresHarness, wired

GW = Gateway()
CLAIM = Claim.of_number(20260701)
SIGNER = SeededSigner("metertree test gateway")


def order_for(gateway: str = "gw-a", claim: Claim = CLAIM) -> InstallOrder:
    """An order that lapses in a day."""
    return open_order(
        site=SiteId("park"),
        gateway=GatewayId(gateway),
        engineer="site crew 3",
        ordered_at=NOW,
        expires_at=NOW + timedelta(days=1),
        claim=claim,
    )


def bundle_for(epoch: int = 1, claim: Claim = CLAIM, signer: SeededSigner = SIGNER) -> Bundle:
    """A bundle as the gateway seals it."""
    octets = seal_bundle(GW.id, epoch=epoch, claim=claim, public_key=signer.public_octets, signer=signer)
    return open_bundle(octets)


def test_an_order_is_found_by_its_claim_as_it_was_kept(database: Database) -> None:
    order = order_for()
    with database.transaction() as connection:
        add_order(connection, order)
        assert order_of_claim(connection, CLAIM.hash) == order
        assert order_of_claim(connection, Claim.of_number(1).hash) is None


def test_an_enrolment_registers_the_key_and_burns_the_claim(database: Database) -> None:
    with database.transaction() as connection:
        add_order(connection, order_for())
        outcome = enrol(connection, bundle_for(), NOW)
    assert isinstance(outcome, Enrolled)
    with database.transaction() as connection:
        (key,) = keys(connection, [SIGNER.key_id], [])
        kept = order_of_claim(connection, CLAIM.hash)
    assert (key.owner, key.key_id, key.bundle_hash) == (GW.owner, SIGNER.key_id, bundle_for().digest)
    assert key.verifier.verifies(SIGNER.sign(b"message"), b"message")
    assert kept is not None
    assert (kept.burned_at, kept.burned_by) == (NOW, bundle_for().digest)


def test_the_same_bundle_again_is_answered_again(database: Database) -> None:
    with database.transaction() as connection:
        add_order(connection, order_for())
        enrol(connection, bundle_for(), NOW)
        again = enrol(connection, bundle_for(), NOW + timedelta(days=2))
        assert isinstance(again, Enrolled)
        assert again.again
        assert len(keys(connection, [], [GW.id])) == 1


def test_a_burned_claim_and_a_used_epoch_are_refused(database: Database) -> None:
    second = Claim.of_number(2)
    with database.transaction() as connection:
        add_order(connection, order_for())
        add_order(connection, order_for(claim=second))
        enrol(connection, bundle_for(), NOW)
        other = bundle_for(epoch=2, signer=SeededSigner("another"))
        assert enrol(connection, other, NOW) == Refused(
            "claim-used", "this claim has served already: ask for a new order"
        )
        assert enrol(connection, bundle_for(claim=second), NOW) == Refused("epoch-used", "enrol again with --epoch 2")


def test_a_second_enrolment_opens_an_epoch_and_keeps_the_first_key(database: Database) -> None:
    second = Claim.of_number(2)
    with database.transaction() as connection:
        add_order(connection, order_for())
        add_order(connection, order_for(claim=second))
        enrol(connection, bundle_for(), NOW)
        enrol(connection, bundle_for(epoch=2, claim=second), NOW)
        assert [key.owner.epoch for key in keys(connection, [], [GW.id])] == [1, 2]
        state = gateway_state(connection, GW.id)
    assert state is not None
    assert state.epoch == 2


def test_one_claim_serves_once_even_when_two_bundles_come_at_the_same_time(database: Database) -> None:
    with database.transaction() as connection:
        add_order(connection, order_for())
    outcomes: list[Enrolled | Refused] = []
    both_ready = threading.Barrier(2)

    def present(name: str) -> None:
        both_ready.wait(10)
        with database.transaction() as connection:
            outcomes.append(enrol(connection, bundle_for(signer=SeededSigner(name)), NOW))

    threads = [threading.Thread(target=present, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Enrolled", "Refused"]


@pytest.fixture
def intake(database: Database) -> Intake:
    """An intake over the database, with the gateway enrolled and wired."""
    harness = PostgresHarness(database)
    harness.enrol(GW)
    harness.wire(wired(GW))
    return Intake(
        consumer=MemoryConsumer(),
        store=harness.store,
        signer=SeededSigner("metertree test centre"),
        clock=ManualClock(NOW),
        profiles=PROFILES,
    )


def test_readings_come_back_as_they_were_read_with_their_evidence(database: Database, intake: Intake) -> None:
    chain = GW.chain(4)
    intake.take(chain)
    with database.transaction() as connection:
        found = readings_due(connection, sorted(METERS), MARK + SLOT, MARK + 2 * SLOT)
    assert [(one.mark, one.reading.meter) for one in found] == [
        (MARK + step * SLOT, meter) for step in (1, 2) for meter in sorted(METERS)
    ]
    sent = {reading.meter: reading for reading in build_envelope(mark=MARK + SLOT).readings}
    for one in found[:3]:
        assert one.reading == sent[one.reading.meter]
        assert one.envelope is not None
        assert (one.envelope.seq, one.envelope.digest) == (2, chain_digest(chain[1].octets))
    assert found[2].reading.quality is ReadQuality.NO_ANSWER or found[1].reading.quality is ReadQuality.NO_ANSWER


def test_only_the_meters_asked_for_come_back(database: Database, intake: Intake) -> None:
    intake.take(GW.chain(2))
    with database.transaction() as connection:
        found = readings_due(connection, [MeterId("m-lift")], MARK, MARK + SLOT)
    assert {one.reading.meter for one in found} == {"m-lift"}
    assert len(found) == 2


def test_octets_of_accepted_envelopes_are_found_by_place(database: Database, intake: Intake) -> None:
    chain = GW.chain(3)
    intake.take(chain)
    with database.transaction() as connection:
        found = envelope_octets(connection, [(GW.id, 1, 3), (GW.id, 1, 1), (GW.id, 1, 99)])
    assert found == {(GW.id, 1, 1): chain[0].octets, (GW.id, 1, 3): chain[2].octets}


def test_the_state_of_a_gateway_tells_gap_repeats_and_refusals(database: Database, intake: Intake) -> None:
    chain = GW.chain(4)
    intake.take([chain[0], chain[3]])
    intake.take([chain[0], GW.other(1, bytes(32))])
    with database.transaction() as connection:
        (state,) = gateway_states(connection)
        assert gateway_state(connection, GatewayId("gw-z")) is None
        assert [(alarm.kind, alarm.seq) for alarm in alarms(connection, 10)] == [("equivocation", 1)]
        (held,) = quarantined(connection, 10)
    assert (state.contiguous_seq, state.highest_seq, state.newest_mark) == (1, 4, MARK + 3 * SLOT)
    assert (state.envelopes, state.repeats, state.refused) == (2, 1, 1)
    assert (state.site, state.key_id, state.received_at) == ("park", GW.signer.key_id, NOW)
    assert (held.reason, held.place, held.octets) == ("sequence-replayed", (GW.id, 1, 1), GW.other(1, bytes(32)).octets)


def test_an_enrolled_gateway_that_never_sent_has_a_state(database: Database) -> None:
    PostgresHarness(database).enrol(GW)
    with database.transaction() as connection:
        (state,) = gateway_states(connection)
    assert (state.contiguous_seq, state.envelopes, state.newest_mark, state.received_at) == (0, 0, None, None)


def test_of_unproven_rubbish_only_the_newest_is_kept(
    database: Database, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.store.intake_store.UNPROVEN_MAX", 5)
    for number in range(9):
        intake.take([Arrival(GW.topic, b"rubbish %d" % number)])
    with database.transaction() as connection:
        held = quarantined(connection, 100)
    assert [one.octets for one in held] == [b"rubbish %d" % number for number in range(8, 3, -1)]


def test_two_workers_with_the_same_chain_enter_each_envelope_once(database: Database, intake: Intake) -> None:
    """Each takes the same envelopes in another cut; the heads' row locks make one wait for the other."""
    chain = GW.chain(60)
    faults: list[BaseException] = []

    def work(step: int) -> None:
        harness = PostgresHarness(database)
        own = Intake(
            consumer=MemoryConsumer(),
            store=harness.store,
            signer=SeededSigner("metertree test centre"),
            clock=ManualClock(NOW),
            profiles=PROFILES,
        )
        try:
            for start in range(0, 60, step):
                own.take(chain[start : start + step])
        except BaseException as fault:  # noqa: BLE001 - shown by the assertion below
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(step,)) for step in (7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    seen = PostgresHarness(database).see()
    assert len(seen.readings) == 180
    assert (seen.heads[GW.owner].envelopes, seen.heads[GW.owner].repeats) == (60, 60)
    assert seen.heads[GW.owner].contiguous_seq == 60


def test_a_chain_belongs_to_one_group_until_its_commit(database: Database) -> None:
    """The second group waits in the database, or it would judge by a ledger that is about to change."""
    harness = PostgresHarness(database)
    harness.enrol(GW)
    with harness.store.group() as group:
        group.lock_chains({GW.owner: {1}})
    seen: list[int] = []

    def second() -> None:
        with harness.store.group() as group:
            seen.append(group.lock_chains({GW.owner: {1}})[GW.owner].contiguous_seq)

    waiting = threading.Thread(target=second)
    with harness.store.group() as first:
        first.lock_chains({GW.owner: {1}})
        waiting.start()
        while waiting.is_alive() and not _somebody_waits_for_a_row(database):
            waiting.join(0.02)
        assert seen == []
        first.advance({GW.owner: ChainAdvance(7, bytes(32), 7, None, 7, 0, NOW)})
    waiting.join(60)
    assert seen == [7]


def _somebody_waits_for_a_row(database: Database) -> bool:
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
        return row is not None and row[0] > 0


def test_a_commit_is_durable_and_times_are_utc_whatever_the_server_s_defaults(own_dsn: str) -> None:
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        connection.execute(f"ALTER DATABASE \"{name}\" SET TimeZone = 'Asia/Shanghai'")
    with Database(own_dsn, connections=1) as database, database.transaction() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)


def test_a_database_that_is_not_there_is_named_as_such() -> None:
    dsn = "host=127.0.0.1 port=1 user=nobody dbname=nothing connect_timeout=1"
    with Database(dsn, connections=1) as away:
        away._pool.timeout = 0.5
        assert not away.answers()
        with pytest.raises(DatabaseUnreachable), away.transaction():
            pass
