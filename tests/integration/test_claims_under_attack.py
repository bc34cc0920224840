"""Claims under attack, over HTTP: who guesses is held up, and a rightful claim in wrong hands is seen and mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from ingest.alert_rules import AlertKind
from ingest.alert_words import alert_mend, alert_text
from ingest.alerts import evaluate
from ingest.api.claim_gate import ADDRESSES_MAX, FAILURES_MAX, Buckets
from ingest.audit_log import Verb
from ingest.console.words import Language
from ingest.store.alerts import acknowledge
from ingest.store.audit import touching
from ingest.store.claim_misuses import Misuse, misuses
from ingest.store.database import Database
from metering.clock import ManualClock
from provisioning.enrolment import Claim
from tests.doubles.installing import ADMIN, ENROLMENTS, NOW, InstallingCentre, bundle, machine

GUESSES = 200


@pytest.fixture
def centre(database: Database) -> Iterator[InstallingCentre]:
    """A service with the park imported."""
    with InstallingCentre(database).open() as built:
        yield built


def noted(centre: InstallingCentre) -> tuple[Misuse, ...]:
    """Give what was noted."""
    with centre.database.transaction() as connection:
        return misuses(connection)


def guess_from(centre: InstallingCentre, address: str, guesses: int) -> Counter[int]:
    """Guess claims from one address; give how often which status was answered."""
    found: Counter[int] = Counter()
    thief = machine(66)
    with centre.calling_from(address) as client:
        for number in range(guesses):
            answer = client.post(ENROLMENTS, content=bundle(Claim.of_number(number).text, thief))
            found[answer.status_code] += 1
            if answer.status_code == 429:
                assert answer.json()["reason"] == "claims-limited"
                assert int(answer.headers["Retry-After"]) >= 1
    return found


def test_guesses_never_hit_and_are_held_up_while_the_honest_get_in(centre: InstallingCentre) -> None:
    claim = centre.order()
    assert guess_from(centre, "127.0.0.66", GUESSES) == {403: FAILURES_MAX, 429: GUESSES - FAILURES_MAX}
    with centre.calling_from("127.0.0.66") as client:
        # The address waits, not the claim: held up is whoever calls from there, whatever he has.
        assert client.post(ENROLMENTS, content=bundle(claim, machine(1))).status_code == 429
    with centre.calling_from("127.0.0.7") as client:
        assert client.post(ENROLMENTS, content=bundle(claim, machine(1))).status_code == 201
        assert client.post(ENROLMENTS, content=b"rubbish").status_code == 422
    centre.clock.sleep(60)
    assert guess_from(centre, "127.0.0.66", 20) == {403: FAILURES_MAX, 429: 20 - FAILURES_MAX}
    shown = centre.client.get("/metrics").text
    assert f'route="{ENROLMENTS}",status="429"' in shown or 'status="429"' in shown


def test_what_is_right_costs_nothing_however_often_it_is_asked(centre: InstallingCentre) -> None:
    octets = bundle(centre.order(), machine(1))
    answers = [centre.client.post(ENROLMENTS, content=octets).status_code for _ in range(3 * FAILURES_MAX)]
    assert answers == [201] + [200] * (3 * FAILURES_MAX - 1)
    assert noted(centre) == ()


def test_a_stolen_claim_is_shown_with_both_keys_and_mended(centre: InstallingCentre) -> None:
    claim, thief, genuine = centre.order(), machine(66), machine(1)
    with centre.calling_from("127.0.0.66") as client:
        assert client.post(ENROLMENTS, content=bundle(claim, thief)).status_code == 201
    with centre.calling_from("127.0.0.7") as client:
        refused = client.post(ENROLMENTS, content=bundle(claim, genuine))
    assert (refused.status_code, refused.json()["reason"]) == (409, "claim-used")
    (one,) = noted(centre)
    assert (one.key_id, one.winner, one.address) == (genuine.key_id, thief.key_id, "127.0.0.7")

    with centre.database.transaction() as connection:
        (alert,) = [a for a in evaluate(connection, NOW).is_open if a.cause.kind is AlertKind.CLAIM_MISUSED]
    for language in Language:
        text = alert_text(alert, language)
        assert thief.key_id.hex() in text
        assert genuine.key_id.hex() in text
        assert "127.0.0.7" in text
        assert "metertree-provision revoke gw-a" in alert_mend(alert, language)

    told = {"reason": "stolen claim"}
    assert centre.client.post("/v1/gateways/gw-a/revoke", json=told, headers=ADMIN).json()["revoked"] == [1]
    again = bundle(centre.order(), genuine, epoch=2)
    assert centre.client.post(ENROLMENTS, content=again).status_code == 201
    with centre.calling_from("127.0.0.66") as client:
        answer = client.post(ENROLMENTS, content=bundle(claim, thief))
    assert (answer.status_code, answer.json()["reason"]) == (409, "key-revoked")
    with centre.database.transaction() as connection:
        assert not acknowledge(connection, alert.alert, by="eng-1", note="stolen", now=NOW).is_open
        after = evaluate(connection, NOW + timedelta(minutes=1)).is_open
    assert AlertKind.CLAIM_MISUSED not in [one.cause.kind for one in after]


def test_a_claim_used_for_another_gateway_is_shown(centre: InstallingCentre) -> None:
    claim = centre.order("gw-a")
    for _ in range(2):
        answer = centre.client.post(ENROLMENTS, content=bundle(claim, machine(66), gateway="gw-b"))
        assert (answer.status_code, answer.json()["reason"]) == (403, "gateway-mismatch")
    (one,) = noted(centre)
    assert (one.gateway, one.named, one.winner, one.times) == ("gw-a", "gw-b", None, 2)
    assert centre.client.post(ENROLMENTS, content=bundle(claim, machine(1))).status_code == 201


def test_the_same_machine_that_asks_again_otherwise_is_no_thief(centre: InstallingCentre) -> None:
    claim = centre.order()
    assert centre.client.post(ENROLMENTS, content=bundle(claim, machine(1))).status_code == 201
    assert centre.client.post(ENROLMENTS, content=bundle(claim, machine(1), epoch=2)).status_code == 409
    assert noted(centre) == ()


def test_an_order_that_lapsed_is_no_misuse(centre: InstallingCentre) -> None:
    claim = centre.order()
    centre.clock.sleep(15 * 86400)
    answer = centre.client.post(ENROLMENTS, content=bundle(claim, machine(1)))
    assert answer.json()["reason"] == "order-expired"
    assert noted(centre) == ()


def test_a_bucket_fills_up_again_and_addresses_do_not_fill_the_memory() -> None:
    clock = ManualClock(NOW)
    buckets = Buckets(clock, most=2, refill_s=6.0)
    for address in ("192.0.2.1", "::ffff:192.0.2.1"):
        assert buckets.wait_s(address) == 0
        buckets.spend(address)
    assert buckets.wait_s("192.0.2.1") == 6
    assert buckets.wait_s("192.0.2.2") == 0
    clock.sleep(5)
    assert buckets.wait_s("192.0.2.1") == 1
    clock.sleep(1)
    assert buckets.wait_s("192.0.2.1") == 0
    clock.sleep(3600)
    buckets.spend("192.0.2.1")
    buckets.spend("192.0.2.1")
    assert buckets.wait_s("192.0.2.1") == 6, "a bucket never holds more than it holds"
    for host in range(2):
        buckets.spend(f"2001:db8::{host}")
    assert buckets.wait_s("2001:db8::ffff") == 6, "a network of IPv6 is one caller"
    assert buckets.wait_s("2001:db8:0:1::1") == 0
    for number in range(ADDRESSES_MAX + 5):
        buckets.spend(str(number))
    assert len(buckets._left) == ADDRESSES_MAX


def test_a_misuse_is_recorded_once_with_where_it_came_from(centre: InstallingCentre) -> None:
    claim = centre.order("gw-a")
    for _ in range(3):
        centre.client.post(
            ENROLMENTS, content=bundle(claim, machine(66), gateway="gw-b"), headers={"Metertree-Device": "laptop"}
        )
    with centre.database.transaction() as connection:
        (one,) = touching(connection, ["gateway/gw-a"], verb=str(Verb.CLAIM_MISUSED))
    assert (one.who, one.told["where"], one.told["device"]) == ("stranger", "127.0.0.1", "laptop")
    assert one.told["after"]["key_id"] == machine(66).key_id.hex()
