"""Events on their way to real receivers, over a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import standardwebhooks

import ingest.alerts as spine
from ingest.event_kinds import Event, EventKind
from ingest.store.database import Database
from ingest.store.events import KEPT, tell, tell_all
from ingest.store.operators import Post as OperatorPost
from ingest.store.operators import add_operator, change_operator, remove_operator
from ingest.store.webhooks import Delivery, Endpoint, claim_delivery
from ingest.webhooks.config import Sending
from ingest.webhooks.desk import EndpointRefused, EndpointUnknown, Shown, Wish
from ingest.webhooks.guard import Guard, UrlRefused
from ingest.webhooks.ladder import LADDER, Fate
from ingest.webhooks.signing import Algorithm, Secret, SecretBox
from ingest.webhooks.work import deliver, forget
from metering.identity import SiteId
from provisioning.keys import write_salt_key
from tests.doubles.hooked import ADMINISTRATOR, LOOPBACK, Post, Receiver, operator, receiving
from tests.doubles.revoked_session import BY

AT = datetime(2026, 8, 1, 9, tzinfo=UTC)
PARK, CAMPUS = SiteId("park"), SiteId("campus")


def charged(charge: str, site: SiteId | None = PARK) -> Event:
    return Event(EventKind.CHARGE_CREATED, site, f"charge/{charge}", AT, {"charge": charge, "statement": "s-1"})


def opened(alert: int, site: SiteId | None = PARK) -> Event:
    body = {"alert": alert, "kind": "chain-gap", "scope": "gateway", "of": "gw-a", "severity": "warning"}
    return Event(EventKind.ALERT_OPENED, site, f"alert/{alert}", AT, body)


class Yard:
    """A post with one receiver."""

    def __init__(self, database: Database, receiver: Receiver) -> None:
        self.post = Post(database)
        self.receiver = receiver

    def add(self, algorithm: Algorithm = Algorithm.HMAC, **wish: object) -> Shown:
        """Add the receiver as an endpoint."""
        return self.post.desk.add(Wish(self.receiver.url, **wish), algorithm, ADMINISTRATOR)  # type: ignore[arg-type]

    def tell(self, *events: Event) -> tuple[str, ...]:
        """Tell, and commit."""
        with self.post.database.transaction() as connection:
            return tell_all(connection, events)

    def charges(self) -> list[str]:
        """What came, by charge."""
        return [one.document["data"]["charge"] for one in self.receiver.came]

    def read(self, endpoint: str) -> Endpoint:
        """The endpoint as it stands."""
        return self.post.desk.read(endpoint, ADMINISTRATOR).endpoint

    def sent(self, endpoint: str, state: Fate | None = None) -> tuple[Delivery, ...]:
        """Its deliveries."""
        return self.post.desk.deliveries(endpoint, ADMINISTRATOR, state=state, before=None, most=100)


@pytest.fixture
def yard(database: Database) -> Iterator[Yard]:
    with receiving() as receiver:
        yield Yard(database, receiver)


def test_an_event_comes_signed_with_its_id_and_the_specifications_library_takes_it(yard: Yard) -> None:
    shown = yard.add()
    assert shown.secret is not None
    (event,) = yard.tell(charged("c-1"))
    assert yard.post.run() == 1
    (came,) = yard.receiver.came
    assert (came.path, came.headers["webhook-id"], came.headers["content-type"]) == (
        *("/hook", event, "application/json"),
    )
    verified = standardwebhooks.Webhook(shown.secret).verify(came.body, came.headers)
    assert verified == {
        "id": event,
        "type": "charge.created",
        "timestamp": AT.isoformat(),
        "number": 1,
        "site": "park",
        "subject": "charge/c-1",
        "data": {"charge": "c-1", "statement": "s-1"},
    }
    assert yard.post.run() == 0
    (delivery,) = yard.sent(shown.endpoint.endpoint)
    assert (delivery.state, delivery.attempt, delivery.tries[0]["status"]) == (Fate.DELIVERED, 1, 204)


def test_an_act_that_is_rolled_back_is_delivered_to_nobody(yard: Yard) -> None:
    yard.add()

    def fail() -> None:
        with yard.post.database.transaction() as connection:
            tell(connection, charged("never"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert yard.post.run() == 0


def test_an_endpoint_gets_the_kinds_and_sites_it_wants_and_nothing_from_before_it_was_there(yard: Yard) -> None:
    yard.tell(charged("before"))
    yard.post.run()
    yard.add(kinds=(EventKind.CHARGE_CREATED,), sites=(PARK,))
    yard.tell(charged("mine"), charged("other-site", CAMPUS), charged("centre", None), opened(1))
    assert yard.post.run() == 1
    assert yard.charges() == ["mine"]


def test_what_fails_is_tried_again_by_the_ladder_with_a_new_time_and_the_same_id(yard: Yard) -> None:
    yard.receiver.statuses = [500, 500, 204]
    yard.add()
    (event,) = yard.tell(charged("c-1"))
    assert yard.post.run() == 1
    assert yard.post.later(seconds=4).run() == 0
    assert yard.post.later(seconds=2).run() == 1
    assert yard.post.later(minutes=4).run() == 0
    assert yard.post.later(minutes=2).run() == 1
    assert {one.headers["webhook-id"] for one in yard.receiver.came} == {event}
    assert len({one.headers["webhook-timestamp"] for one in yard.receiver.came}) == 3
    assert yard.post.later(days=3).run() == 0


def test_after_the_ladder_it_is_a_dead_letter_that_a_person_sends_again(yard: Yard) -> None:
    """Others are delivered meanwhile, so the endpoint stays on."""
    endpoint = yard.add().endpoint.endpoint
    (event,) = yard.tell(charged("bad"))
    yard.receiver.refuses = '"bad"'
    for pause in LADDER:
        yard.post.later(seconds=1.2 * pause.total_seconds()).run()
        yard.tell(charged("good"))
        yard.post.later(minutes=1).run()
    yard.receiver.refuses = "nothing"
    (dead,) = yard.sent(endpoint, Fate.DEAD)
    assert (dead.event, dead.attempt, len(dead.tries)) == (event, 10, 10)
    assert yard.read(endpoint).state == "on"
    before = len(yard.receiver.came)
    assert yard.post.desk.replay(endpoint, ADMINISTRATOR, event=event, since=None) == 1
    assert yard.post.run() == 1
    assert yard.receiver.came[before].headers["webhook-id"] == event
    assert yard.sent(endpoint, Fate.DEAD) == ()


def test_410_turns_the_endpoint_off_and_all_is_delivered_once_it_is_on_again(yard: Yard) -> None:
    yard.receiver.statuses = [410]
    endpoint = yard.add().endpoint.endpoint
    yard.tell(charged("one"), charged("two"))
    assert yard.post.run() == 1
    assert yard.read(endpoint).state == "gone"
    yard.tell(charged("three"))
    assert yard.post.later(days=1).run() == 0
    yard.receiver.statuses = [204]
    yard.receiver.came.clear()
    yard.post.desk.turn(endpoint, "on", ADMINISTRATOR)
    assert yard.post.run() == 3
    assert sorted(yard.charges()) == ["one", "three", "two"]


def test_a_server_that_is_away_is_not_tried_once_for_each_event_that_waits(yard: Yard) -> None:
    yard.receiver.statuses = [503]
    endpoint = yard.add().endpoint.endpoint
    yard.tell(*(charged(f"c-{number}") for number in range(50)))
    tries = 0
    for _ in range(60):
        tries += yard.post.later(minutes=1).run()
    assert tries <= 60
    assert yard.read(endpoint).waiting == 50
    yard.receiver.statuses = [204]
    yard.receiver.came.clear()
    for _ in range(100):
        yard.post.later(hours=1).run()
    assert sorted(set(yard.charges())) == sorted(f"c-{number}" for number in range(50))


def test_an_endpoint_to_which_nothing_came_for_days_is_turned_off_and_nothing_is_lost(yard: Yard) -> None:
    yard.receiver.statuses = [500]
    endpoint = yard.add().endpoint.endpoint
    yard.tell(charged("one"))
    for _ in range(16):
        yard.post.later(hours=5).run()
        yard.tell(charged("more"))
    found = yard.read(endpoint)
    assert (found.state, found.dead) == ("failing", 0)
    assert found.waiting >= 16


def test_the_job_delivers_with_the_salt_key_beside_the_centres_and_does_nothing_without_one(
    yard: Yard, tmp_path: Path
) -> None:
    yard.add()
    yard.tell(*(charged(f"c-{number}") for number in range(5)))
    salt_key = tmp_path / "salt.key"
    sending = Sending(LOOPBACK)
    assert list(deliver(yard.post.database, salt_key, sending, yard.post.clock)) == []
    write_salt_key(salt_key, bytes(32))
    assert list(deliver(yard.post.database, salt_key, sending, yard.post.clock)) == ["5 deliveries tried"]
    assert sorted(yard.charges()) == [f"c-{number}" for number in range(5)]
    assert list(deliver(yard.post.database, salt_key, sending, yard.post.clock)) == []


def test_events_that_nobody_pulls_any_more_are_dropped_with_their_deliveries(yard: Yard) -> None:
    endpoint = yard.add().endpoint.endpoint
    yard.tell(charged("old"), charged("newest"))
    yard.post.run()
    assert list(forget(yard.post.database, yard.post.clock.now())) == []
    assert list(forget(yard.post.database, yard.post.clock.now() + KEPT)) == ["1 events dropped"]
    assert [one.number for one in yard.sent(endpoint)] == [2]


def test_an_endpoint_that_nothing_reaches_is_an_alert_until_it_is_on_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spine, "missing_steps", lambda *_: ())

    def look() -> list[tuple[str, str, str]]:
        with yard.post.database.transaction() as connection:
            found = spine.evaluate(connection, yard.post.clock.now()).is_open
        return [(str(one.cause.kind), one.cause.subject, str(one.severity)) for one in found]

    yard.receiver.statuses = [500]
    endpoint = yard.add(kinds=(EventKind.CHARGE_CREATED,)).endpoint.endpoint
    yard.tell(charged("one"))
    yard.post.run()
    assert look() == []
    yard.post.later(minutes=61).run()
    assert look() == [("endpoint-dead", endpoint, "warning")]
    yard.receiver.statuses = [410]
    yard.post.later(hours=1).run()
    assert look() == [("endpoint-dead", endpoint, "critical")]
    yard.receiver.statuses = [204]
    yard.post.desk.turn(endpoint, "on", ADMINISTRATOR)
    yard.post.run()
    yard.post.later(minutes=11)
    assert look() == []


def test_a_redirect_is_a_failure_and_is_not_followed(database: Database) -> None:
    with receiving() as inner, receiving(Receiver([302], {"Location": "http://127.0.0.1:1/"})) as outer:
        outer.headers["Location"] = inner.url
        yard = Yard(database, outer)
        endpoint = yard.add().endpoint.endpoint
        yard.tell(charged("c-1"))
        assert yard.post.run() == 1
        assert inner.came == []
        (delivery,) = yard.sent(endpoint)
        assert (delivery.state, delivery.tries[0]["status"]) == (Fate.WAITING, 302)


def test_an_address_that_is_not_allowed_any_more_is_not_connected_to(yard: Yard) -> None:
    """Planted: the URL went in while the loopback was allowed; then the owner's word is taken back."""
    endpoint = yard.add().endpoint.endpoint
    yard.tell(charged("c-1"))
    closed = Post(yard.post.database, Guard())
    assert closed.run() == 1
    assert yard.receiver.came == []
    (delivery,) = yard.sent(endpoint)
    assert "no public address" in delivery.tries[0]["fault"]
    with pytest.raises(UrlRefused):
        closed.desk.add(Wish(yard.receiver.url), Algorithm.HMAC, ADMINISTRATOR)


def test_while_a_secret_is_rotated_both_sign_and_then_only_the_new_one(yard: Yard) -> None:
    old = yard.add()
    endpoint = old.endpoint.endpoint
    new = yard.post.desk.rotate(endpoint, ADMINISTRATOR, algorithm=None, overlap_h=2)
    assert old.secret is not None
    assert new.secret is not None
    yard.tell(charged("during"))
    yard.post.run()
    during = yard.receiver.came[-1]
    for secret in (old.secret, new.secret):
        standardwebhooks.Webhook(secret).verify(during.body, during.headers)
    yard.tell(charged("after"))
    yard.post.later(hours=2).run()
    after = yard.receiver.came[-1]
    assert after.headers["webhook-signature"].count(" ") == 0
    assert [one.ends_at is None for one in new.secrets] == [True, False]


def test_secrets_stand_sealed_in_the_database(yard: Yard) -> None:
    shown = yard.add()
    assert shown.secret is not None
    with yard.post.database.transaction() as connection:
        told = repr(connection.execute(b"SELECT * FROM webhook_secrets").fetchall())
        log = repr(connection.execute(b"SELECT content FROM audit_log").fetchall())
    assert shown.secret.removeprefix("whsec_") not in told + log
    assert yard.post.desk.read(shown.endpoint.endpoint, ADMINISTRATOR).secret is None


def test_a_secret_of_another_centre_sends_nothing_and_says_so(yard: Yard) -> None:
    endpoint = yard.add().endpoint.endpoint
    yard.tell(charged("c-1"))
    foreign = Post(yard.post.database)
    object.__setattr__(foreign.deliverer, "box", SecretBox(bytes([1]) * 32))
    assert foreign.run() == 1
    (dead,) = yard.sent(endpoint, Fate.DEAD)
    assert "rotate the secret" in dead.tries[0]["fault"]
    assert yard.receiver.came == []


def test_who_was_killed_between_sending_and_writing_down_is_followed_by_another_who_sends_again(yard: Yard) -> None:
    endpoint = yard.add().endpoint.endpoint
    (event,) = yard.tell(charged("c-1"))
    yard.post.deliverer.number()
    with yard.post.database.transaction() as connection:
        claimed = claim_delivery(connection, yard.post.clock.now(), 2)  # and is never heard of again
    assert claimed is not None
    assert yard.post.later(seconds=60).run() == 0
    assert yard.post.later(seconds=61).run() == 1
    assert yard.receiver.came[0].headers["webhook-id"] == event
    assert yard.sent(endpoint)[0].state is Fate.DELIVERED


def test_two_programs_that_deliver_at_once_send_each_event_once(yard: Yard) -> None:
    yard.add()
    yard.tell(*(charged(f"c-{number}") for number in range(30)))
    other = Post(yard.post.database)
    other.clock.sleep((yard.post.clock.now() - other.clock.now()).total_seconds())
    threads = [threading.Thread(target=one.run) for one in (yard.post, other)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    yard.post.run()
    assert sorted(yard.charges()) == sorted(f"c-{number}" for number in range(30))


def test_replay_since_sends_everything_again_or_dead_letters_only(yard: Yard) -> None:
    endpoint = yard.add().endpoint.endpoint
    yard.tell(charged("one"), charged("two"))
    yard.post.run()
    hour_ago = yard.post.clock.now() - timedelta(hours=1)
    assert yard.post.desk.replay(endpoint, ADMINISTRATOR, event=None, since=hour_ago, only_dead=True) == 0
    assert yard.post.desk.replay(endpoint, ADMINISTRATOR, event=None, since=hour_ago) == 2
    assert yard.post.run() == 2
    assert sorted(yard.charges()) == ["one", "one", "two", "two"]
    with pytest.raises(EndpointRefused, match="no event evt_"):
        yard.post.desk.replay(endpoint, ADMINISTRATOR, event="evt_" + "0" * 32, since=None)
    with pytest.raises(EndpointRefused, match="either which event"):
        yard.post.desk.replay(endpoint, ADMINISTRATOR, event=None, since=None)


def test_a_test_goes_to_its_endpoint_only_and_is_pulled_by_nobody(yard: Yard) -> None:
    one, other = yard.add(), yard.add()
    yard.post.desk.test(one.endpoint.endpoint, ADMINISTRATOR)
    assert yard.post.run() == 1
    assert yard.receiver.came[0].document["type"] == "webhook.test"
    assert yard.sent(other.endpoint.endpoint) == ()


def test_an_owner_is_told_nothing_that_he_may_no_longer_read(yard: Yard) -> None:
    """Roles and sites are asked at each delivery: an endpoint outlives nobody's permission."""
    with yard.post.database.transaction() as connection:
        add_operator(connection, "ann", BY, AT, OperatorPost(("energy-manager",), ("park",)))
    ann = operator("ann", "energy-manager", sites=("park",))
    endpoint = yard.post.desk.add(Wish(yard.receiver.url), Algorithm.HMAC, ann).endpoint
    assert endpoint.wants.sites == ("park",)
    yard.tell(opened(1), opened(2, CAMPUS), opened(3, None))
    yard.post.run()
    assert [one.document["data"]["alert"] for one in yard.receiver.came] == [1]
    with yard.post.database.transaction() as connection:
        change_operator(connection, "ann", OperatorPost(("leasing",), ("park",)), BY, AT)
    yard.tell(opened(4))
    yard.post.run()
    with yard.post.database.transaction() as connection:
        remove_operator(connection, "ann", BY, AT)
    yard.tell(opened(5))
    yard.post.run()
    assert len(yard.receiver.came) == 1
    assert sorted(one.tries[0]["fault"] for one in yard.sent(endpoint.endpoint, Fate.DEAD)) == [
        "operator/ann may not be told of alert.opened at park",
        "operator/ann was removed: somebody else has to add the endpoint",
    ]
    assert yard.read(endpoint.endpoint).state == "on"


def test_nobody_subscribes_to_what_he_may_not_be_told_of_nor_sees_endpoints_of_others(yard: Yard) -> None:
    ann = operator("ann", "billing", sites=("park",))
    with pytest.raises(EndpointRefused, match=r"may not be told of alert\.opened"):
        yard.post.desk.add(Wish(yard.receiver.url, kinds=(EventKind.ALERT_OPENED,)), Algorithm.HMAC, ann)
    with pytest.raises(EndpointRefused, match="campus is none of your sites"):
        yard.post.desk.add(Wish(yard.receiver.url, sites=(CAMPUS,)), Algorithm.HMAC, ann)
    mine = yard.post.desk.add(Wish(yard.receiver.url), Algorithm.HMAC, ann).endpoint
    assert EventKind.ALERT_OPENED not in (mine.wants.kinds or ())
    bob = operator("bob", "billing")
    assert yard.post.desk.list(bob) == ()
    for act in (
        lambda: yard.post.desk.read(mine.endpoint, bob),
        lambda: yard.post.desk.turn(mine.endpoint, "removed", bob),
        lambda: yard.post.desk.rotate(mine.endpoint, bob, algorithm=None, overlap_h=0),
        lambda: yard.post.desk.test(mine.endpoint, bob),
    ):
        with pytest.raises(EndpointUnknown):
            act()
    assert [one.endpoint for one in yard.post.desk.list(ADMINISTRATOR)] == [mine.endpoint]


def test_an_endpoint_that_is_removed_gets_nothing_more(yard: Yard) -> None:
    endpoint = yard.add().endpoint.endpoint
    yard.tell(charged("one"))
    yard.post.deliverer.number()
    yard.post.desk.turn(endpoint, "removed", ADMINISTRATOR)
    yard.tell(charged("two"))
    assert yard.post.run() == 0
    assert yard.post.desk.list(ADMINISTRATOR) == ()


def test_ed25519_is_signed_with_the_key_that_is_shown(yard: Yard) -> None:
    shown = yard.add(Algorithm.ED25519)
    assert shown.secret is not None
    assert shown.secret.startswith("whpk_")
    assert shown.secrets[0].public_key == shown.secret
    assert Secret.fresh(Algorithm.ED25519).shown != shown.secret
    yard.tell(charged("c-1"))
    yard.post.run()
    assert yard.receiver.came[0].headers["webhook-signature"].startswith("v1a,")
