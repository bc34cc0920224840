"""A revoked key counts no more at once: not on an open session, not for what is proven already, not over HTTP."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI

from ingest.alert_rules import Thresholds
from ingest.alert_words import condition_word
from ingest.alerts import evaluate
from ingest.api import problems
from ingest.api.admission import Admission
from ingest.api.revocations import RevocationRoutes
from ingest.audit_log import chain_faults
from ingest.console.words import Language
from ingest.embedded.server import running
from ingest.envelope_door import EnvelopeDoor
from ingest.fleet import Condition, standings
from ingest.intake import Intake
from ingest.store.audit import entries
from ingest.store.database import Database
from ingest.store.fleet import gateway_chains
from ingest.store.gateway_reports import Ordered, add_order
from ingest.store.operators import add_operator
from ingest.store.revocations import RevocationRefused, is_revoked, revocations, revoke
from metering.clock import ManualClock, SystemClock
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.mosquitto import Mosquitto, find_mosquitto
from tests.doubles.revoked_session import BY, RevokedSessions
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import NOW, PostgresHarness, wired
from tests.doubles.web import serving

GW = Gateway()
CENTRE = SeededSigner("metertree test centre")


class Desk:
    """An intake over a database, with one gateway."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.harness = PostgresHarness(database)
        self.harness.enrol(GW)
        self.harness.wire(wired(GW))
        self.consumer = MemoryConsumer()
        self.intake = Intake(
            consumer=self.consumer,
            store=self.harness.store,
            signer=CENTRE,
            clock=ManualClock(NOW),
            profiles=PROFILES,
        )

    def revoke(self, epoch: int | None = None, reason: str = "stolen") -> list[int]:
        """Revoke, and say which epochs."""
        with self.database.transaction() as connection:
            return [one.epoch for one in revoke(connection, GW.id, epoch, BY, reason, NOW)]


@pytest.fixture
def desk(database: Database) -> Desk:
    """A fresh one."""
    return Desk(database)


def test_what_was_proven_before_the_revocation_does_not_enter_after_it(desk: Desk) -> None:
    chain = GW.chain(4)
    desk.intake.take(chain[:2])
    verdicts = desk.intake.prove(chain[2:])
    assert desk.revoke() == [1]
    published = len(desk.consumer.published)
    desk.intake.take(chain[2:], verdicts)
    seen = desk.harness.see()
    assert sorted(place[2] for place in seen.ledger) == [1, 2]
    assert [(reason, proven) for reason, proven, _, _ in seen.quarantine] == [("key-revoked", False)] * 2
    assert len(desk.consumer.published) == published, "a revoked gateway is told nothing"
    assert desk.intake.counters.rejected == {"key-revoked": 2}


def test_a_tombstone_of_a_revoked_gateway_does_not_enter_either(desk: Desk) -> None:
    chain = GW.chain(4)
    desk.intake.take(chain[:1])
    desk.revoke()
    desk.intake.take([GW.tombstone(chain, 2, 3), chain[3]])
    assert [reason for reason, *_ in desk.harness.see().quarantine] == ["key-revoked"] * 2
    assert desk.harness.see().heads[GW.owner].highest_seq == 1


def test_a_repeat_of_what_is_in_the_books_stays_a_repeat(desk: Desk) -> None:
    chain = GW.chain(1)
    desk.intake.take(chain)
    desk.revoke()
    desk.intake.take(chain)
    assert desk.intake.counters.repeated == 1
    assert desk.harness.see().quarantine == []


def test_a_group_that_holds_the_chain_ends_before_a_revocation_is_answered(desk: Desk) -> None:
    desk.intake.take(GW.chain(1))
    done = threading.Event()

    def revoking() -> None:
        desk.revoke()
        done.set()

    with desk.harness.store.group() as group:
        assert not group.lock_chains({GW.owner: [2]})[GW.owner].is_revoked
        thread = threading.Thread(target=revoking)
        thread.start()
        assert not done.wait(0.5), "the revocation did not wait for the group that may still accept"
    assert done.wait(10)
    thread.join()
    with desk.harness.store.group() as group:
        assert group.lock_chains({GW.owner: [2]})[GW.owner].is_revoked


def test_one_epoch_is_revoked_and_the_next_counts(desk: Desk) -> None:
    again = Gateway(epoch=2)
    desk.harness.enrol(again)
    assert desk.revoke(1) == [1]
    desk.intake.take([*GW.chain(1), *again.chain(1)])
    assert list(desk.harness.see().ledger) == [("gw-a", 2, 1)]
    assert desk.revoke() == [2]
    assert desk.revoke() == []
    with desk.database.transaction() as connection:
        assert [(one.epoch, one.revoked_by) for one in revocations(connection)] == [(1, "eng-1"), (2, "eng-1")]
        assert is_revoked(connection, GW.id, 2)
        log = [one for one in entries(connection) if one.verb == "gateway-revoked"]
        assert list(chain_faults(entries(connection))) == []
    assert [(one.subject, one.told["after"]["epoch"], one.told["reason"]) for one in log] == [
        ("gateway/gw-a", 1, "stolen"),
        ("gateway/gw-a", 2, "stolen"),
    ]


def test_what_cannot_be_revoked_is_told(desk: Desk) -> None:
    with pytest.raises(RevocationRefused, match="its epochs are 1"):
        desk.revoke(7)
    with pytest.raises(RevocationRefused, match="say why"):
        desk.revoke(reason=" ")
    with pytest.raises(RevocationRefused, match="metertree fleet"), desk.database.transaction() as connection:
        revoke(connection, Gateway("gw-x").id, None, BY, "stolen", NOW)


def test_over_http_a_revoked_gateway_gets_no_receipt_and_the_reason(desk: Desk) -> None:
    door = EnvelopeDoor(store=desk.harness.store, signer=CENTRE, clock=ManualClock(NOW), profiles=PROFILES)
    desk.revoke()
    answer = door.take([arrival.octets for arrival in GW.chain(2)], "192.0.2.9")
    assert answer.receipts == ()
    assert [one.partition(":")[0] for one in answer.refused] == ["key-revoked"] * 2


def test_the_route_revokes_at_once_for_operators_and_the_admin_token(desk: Desk) -> None:
    with desk.database.transaction() as connection:
        token = add_operator(connection, "eng-2", BY, NOW)
    app = FastAPI()
    problems.install(app)
    admission = Admission("t0ken", desk.database)
    app.include_router(RevocationRoutes(desk.database, ManualClock(datetime(2026, 8, 1, tzinfo=UTC))).router(admission))
    path = "/v1/gateways/gw-a/revoke"
    with serving(app) as client:
        assert client.post(path, json={"reason": "stolen"}).status_code == 401
        wrong = {"Authorization": f"Bearer {token}x"}
        assert client.post(path, json={"reason": "stolen"}, headers=wrong).status_code == 401
        right = {"Authorization": f"Bearer {token}", "Metertree-Device": "phone of eng-2"}
        assert client.post(path, json={"reason": "", "epoch": 1}, headers=right).status_code == 422
        answer = client.post(path, json={"reason": "stolen"}, headers=right)
        assert (answer.status_code, answer.json()["revoked"]) == (200, [1])
        again = client.post(path, json={"reason": "stolen"}, headers={"Authorization": "Bearer t0ken"})
        assert again.json()["revoked"] == []
        assert client.get("/v1/gateways/gw-a/revocations").json()["revocations"][0]["by"] == "eng-2"
        assert client.post("/v1/gateways/gw-x/revoke", json={"reason": "x"}, headers=right).status_code == 409
    with desk.database.transaction() as connection:
        (told,) = [one for one in entries(connection) if one.verb == "gateway-revoked"]
    assert (told.who, told.told["where"], told.told["device"]) == ("eng-2", "127.0.0.1", "phone of eng-2")
    assert hashlib.sha256(token.encode()).hexdigest() not in str(told)


def test_orders_are_not_sent_to_a_revoked_gateway(desk: Desk) -> None:
    octets = b"signed by the centre"
    with desk.database.transaction() as connection:
        add_order(connection, Ordered(GW.id, 1, 1, octets, "eng-1", NOW, 0, None, "", None))
    desk.revoke()
    assert desk.intake.send_orders() == 0
    with desk.database.transaction() as connection:
        connection.execute(b"DELETE FROM revocations")
    assert desk.intake.send_orders() == 1


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """A Mosquitto."""
    if find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: scripts/install_mosquitto.sh fetches the package of the system")
    folder = open_folder()
    made = Mosquitto(folder)
    with running(made, SystemClock()):
        yield made
    shutil.rmtree(folder)


def test_an_open_session_at_a_real_broker_is_cut_off_by_the_registry(database: Database, broker: Mosquitto) -> None:
    sessions = RevokedSessions(database, broker)
    gateways = [Gateway("gw-a"), Gateway("gw-b")]
    sessions.harness.enrol(*gateways)
    sessions.harness.wire(wired(*gateways))
    with sessions.working():
        for gateway in gateways:
            trial = sessions.trial(gateway, 200)
            assert trial.still_connected, "the broker knows nothing of it, and need not"
            assert trial.after == trial.before, (
                f"{trial.after - trial.before} entered after the revocation was answered"
            )
            assert trial.took_s < 5
            assert trial.sent_after > 20
            assert trial.before + trial.quarantined == 200


def test_a_revoked_gateway_stands_as_revoked_and_raises_no_alert_of_silence(desk: Desk) -> None:
    desk.intake.take([GW.chain(3)[0], GW.chain(3)[2]])
    desk.revoke()
    later = NOW + timedelta(hours=5)
    with desk.database.transaction() as connection:
        (one,) = standings(gateway_chains(connection), later, Thresholds())
        raised = {str(alert.cause.kind) for alert in evaluate(connection, later).is_open}
    assert (one.state, one.conditions) == ("revoked", (Condition.REVOKED,))
    assert one.gap_since is None
    assert raised & {"gateway-silent", "chain-gap", "clock-off"} == set()
    for language in Language:
        assert condition_word(one.state, language) in ("revoked", "已吊销")
