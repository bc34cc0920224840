"""Certificates of gateways over HTTP and a real database: the first, renewals, what is refused, and key handovers."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge_agent.adapters.centre_door import CentreDoor, DoorRefused, DoorShut
from edge_agent.renewal import HANDOVERS, RENEWALS, Renewal
from ingest.alerts import Alerting, _of_given_certificates, _of_machine
from ingest.audit_log import Verb
from ingest.caller import SERVICE
from ingest.fleet_desk import FleetDesk, gateway_document
from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.store.audit import touching
from ingest.store.certificates import certificates_of
from ingest.store.database import Database
from ingest.store.revocations import revoke
from metering.clock import ManualClock
from metering.envelope import chain_digest, seal
from metering.identity import GatewayId
from provisioning.authority import name_of
from provisioning.authority_folder import make_authority, renew_issuing
from provisioning.gateway_config import HttpWay
from provisioning.keys import FileSigner
from provisioning.renewal import LAPSED_MAX, Plea, open_answer, seal_request
from provisioning.rollover import ROLLOVER_FILE, handover_to, read_rollover, seal_rollover
from provisioning.tls_key import (
    TlsSigner,
    install_certificate,
    key_in_use,
    key_that_waits,
    own_certificate,
    request_certificate,
)
from tests.conftest import SeededSigner
from tests.doubles.authorities import MADE_AT, csr_of, issuing, tls_key
from tests.doubles.certified import CENTRE, CertifiedGateway, CertifyingCentre, certifying, enrolled
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import PostgresHarness, wired

A = GatewayId("gw-a")


@pytest.fixture
def centre(database: Database) -> Iterator[CertifyingCentre]:
    """One that answers."""
    with certifying(database) as made:
        yield made


@pytest.fixture
def gateway(centre: CertifyingCentre, database: Database, tmp_path: Path) -> CertifiedGateway:
    """An enrolled gateway without a certificate."""
    made = CertifiedGateway(tmp_path / "keys", A, centre.post)
    enrolled(database, A, made.signer)
    return made


def certified(gateway: CertifiedGateway, centre: CertifyingCentre) -> x509.Certificate:
    standing = gateway.renewal.step(centre.now)
    assert standing.fault == ""
    found = own_certificate(gateway.folder)
    assert found is not None
    assert standing.renewed == found.not_valid_after_utc
    return found


def refusal(gateway: CertifiedGateway, centre: CertifyingCentre) -> str:
    before = own_certificate(gateway.folder)
    standing = gateway.renewal.step(centre.now)
    assert own_certificate(gateway.folder) == before
    return standing.fault


def test_a_gateway_gets_its_first_certificate_and_renews_it_in_time(
    gateway: CertifiedGateway, centre: CertifyingCentre
) -> None:
    first = certified(gateway, centre)
    assert name_of(first) == A
    assert gateway.renewal.step(centre.later(29)).renewed is None
    second_at = centre.later(6)
    second = certified(gateway, centre)
    assert second.not_valid_after_utc == (second_at + timedelta(days=90)).replace(microsecond=0)
    assert second.public_key() != first.public_key()
    with centre.database.transaction() as connection:
        kept = certificates_of(connection, A)
        acts = touching(connection, [f"gateway/{A}"])
    assert [one.renews for one in kept] == [None, kept[0].digest]
    assert [(one.verb, one.who) for one in acts] == [(Verb.CERTIFICATE_ISSUED, f"gateway/{A}")] * 2
    assert acts[0].told["before"] == {"certificate": kept[0].digest.hex()}


@pytest.mark.parametrize("days", [91, 400, 90 + LAPSED_MAX.days])
def test_a_gateway_that_was_off_for_long_renews_after_the_end(
    gateway: CertifiedGateway, centre: CertifyingCentre, days: float
) -> None:
    certified(gateway, centre)
    centre.later(days)
    assert certified(gateway, centre).not_valid_after_utc > centre.now


def test_after_two_years_it_is_enrolled_again(gateway: CertifiedGateway, centre: CertifyingCentre) -> None:
    certified(gateway, centre)
    centre.later(91 + LAPSED_MAX.days)
    assert "away-too-long" in refusal(gateway, centre)


def test_a_clock_from_before_its_certificate_asks_and_rests_for_a_day(
    gateway: CertifiedGateway, centre: CertifyingCentre
) -> None:
    """A Pi that wakes up in 1970 with a certificate that has lapsed, and NTP blocked: no visit."""
    certified(gateway, centre)
    centre.later(200)
    boot = centre.now.replace(year=1970)
    renewal = gateway.renewal
    assert renewal.step(boot).renewed is not None
    assert renewal.step(boot, timedelta(hours=20)).renewed is None
    assert renewal.step(boot, timedelta(hours=5)).renewed is not None


def test_a_revoked_gateway_renews_nothing_and_its_certificates_are_on_the_list(
    gateway: CertifiedGateway, centre: CertifyingCentre
) -> None:
    first = certified(gateway, centre)
    centre.later(40)
    with centre.database.transaction() as connection:
        revoke(connection, A, None, SERVICE, "stolen", centre.now)
    assert "key-revoked" in refusal(gateway, centre)
    told = centre.client.get("/v1/certificates/revoked")
    (crl,) = [x509.load_pem_x509_crl(told.content)]
    assert crl.is_signature_valid(issuing().key.public_key())
    assert [one.serial_number for one in crl] == [first.serial_number]
    # Enrolled anew, it still cannot go on from the certificate of the epoch that was revoked.
    gateway.signer, gateway.epoch = FileSigner.from_seed(bytes([9]) * 32), 2
    enrolled(centre.database, A, gateway.signer, 2)
    assert "certificate-revoked" in refusal(gateway, centre)


def test_the_same_request_gets_the_same_certificate_whatever_was_lost(
    gateway: CertifiedGateway, centre: CertifyingCentre
) -> None:
    certified(gateway, centre)
    centre.later(40)
    answers: list[bytes] = []

    def lost(path: str, octets: bytes) -> bytes:
        answers.append(centre.post(path, octets))
        raise DoorShut("cut off")

    good, gateway.post = gateway.post, lost
    assert "cut off" in refusal(gateway, centre)
    centre.later(1)
    assert "cut off" in refusal(gateway, centre)
    gateway.post = good
    certified(gateway, centre)
    with centre.database.transaction() as connection:
        assert len(certificates_of(connection, A)) == 2


def test_a_stolen_tls_key_alone_and_a_stolen_signing_key_alone_renew_nothing(
    gateway: CertifiedGateway, centre: CertifyingCentre
) -> None:
    certified(gateway, centre)
    own, thief = own_certificate(gateway.folder), tls_key()
    assert own is not None
    plea = Plea(A, 1, csr_of(thief), own.public_bytes(Encoding.DER))
    with pytest.raises(DoorRefused, match="not that of key"):
        centre.post(RENEWALS, seal_request(plea, TlsSigner(thief), gateway.signer))
    first = Plea(A, 1, csr_of(thief), None)
    with pytest.raises(DoorRefused, match="certificate-needed"):
        centre.post(RENEWALS, seal_request(first, TlsSigner(thief), gateway.signer))
    gateway.signer = FileSigner.from_seed(bytes([66]) * 32)
    centre.later(40)
    assert "not that of key" in refusal(gateway, centre)


def test_a_copied_card_that_renews_too_is_told(
    gateway: CertifiedGateway, centre: CertifyingCentre, tmp_path: Path
) -> None:
    certified(gateway, centre)
    shutil.copytree(gateway.folder, tmp_path / "copy")
    copy = CertifiedGateway(tmp_path / "copy", A, centre.post)
    centre.later(40)
    certified(gateway, centre)
    certified(copy, centre)
    with centre.database.transaction() as connection:
        newest = touching(connection, [f"gateway/{A}"], most=1)[0]
    assert "copy of the card" in newest.told["reason"]


def test_other_gateways_other_centres_and_unknown_ones_are_refused(
    gateway: CertifiedGateway, centre: CertifyingCentre, tmp_path: Path
) -> None:
    certified(gateway, centre)
    other = CertifiedGateway(tmp_path / "other", "gw-b", centre.post, seed=2)
    assert "key-unknown" in refusal(other, centre)
    enrolled(centre.database, other.id, other.signer)
    own, key = own_certificate(gateway.folder), tls_key()
    assert own is not None
    used = key_in_use(gateway.folder)
    assert used is not None
    foreign = Plea(other.id, 1, csr_of(key, "gw-b"), own.public_bytes(Encoding.DER))
    with pytest.raises(DoorRefused, match="certificate-unknown"):
        centre.post(RENEWALS, seal_request(foreign, used, other.signer))


def test_an_answer_of_another_centre_is_not_believed(gateway: CertifiedGateway, centre: CertifyingCentre) -> None:
    certified(gateway, centre)
    centre.later(40)
    strange = Renewal(gateway.folder, A, 1, gateway.signer, FileSigner.from_seed(bytes(32)).verifier(), gateway.post)
    before = own_certificate(gateway.folder)
    assert "signature is not that of key" in strange.step(centre.now).fault
    assert own_certificate(gateway.folder) == before


def test_a_gateway_that_asks_all_the_time_is_held_off(gateway: CertifiedGateway, centre: CertifyingCentre) -> None:
    """It begins anew again and again, with a clock from before any certificate."""
    boot = centre.now.replace(year=1970)
    faults = [gateway.renewal.step(boot).fault for _ in range(12)]
    assert faults[:10] == [""] * 10
    assert all("too-many" in fault for fault in faults[10:])


def test_eight_requests_at_once_give_one_certificate(gateway: CertifiedGateway, centre: CertifyingCentre) -> None:
    csr = request_certificate(gateway.folder, A)
    waiting = key_that_waits(gateway.folder)
    assert waiting is not None
    plea = Plea(A, 1, csr, None)
    octets = seal_request(plea, waiting, gateway.signer)
    chains: list[tuple[bytes, ...]] = []

    def ask() -> None:
        chains.append(open_answer(centre.post(RENEWALS, octets), CENTRE.verifier(), plea).certificates)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert len(chains) == 8
    assert len(set(chains)) == 1
    install_certificate(gateway.folder, A, chains[0])


def test_what_is_no_request_is_told_with_the_mend(centre: CertifyingCentre) -> None:
    for path in (RENEWALS, HANDOVERS):
        answer = centre.client.post(path, content=b"nonsense")
        assert answer.status_code == 422
        assert answer.json()["mend"]
    assert centre.client.post(RENEWALS, content=bytes(20_000)).status_code == 413


def test_the_door_over_http_gives_answers_and_tells_refusals(
    gateway: CertifiedGateway, centre: CertifyingCentre, tmp_path: Path
) -> None:
    url = str(centre.client.base_url)
    gateway.post = CentreDoor(HttpWay(url)).post
    certified(gateway, centre)
    with pytest.raises(DoorRefused) as caught:
        CentreDoor(HttpWay(url)).post(RENEWALS, b"nonsense")
    assert caught.value.reason == "malformed"
    with pytest.raises(DoorShut, match="Not Found"):
        CentreDoor(HttpWay(url)).post("/v1/nowhere", b"")
    with pytest.raises(DoorShut):
        CentreDoor(HttpWay("http://127.0.0.1:1")).post(RENEWALS, b"")


def test_a_gateway_that_does_not_renew_is_told_fourteen_days_before_the_end(
    gateway: CertifiedGateway, centre: CertifyingCentre
) -> None:
    certified(gateway, centre)

    def told() -> list[str]:
        with centre.database.transaction() as connection:
            return [one.cause.subject for one in _of_given_certificates(connection, centre.now, Alerting().thresholds)]

    centre.later(75)
    assert told() == []
    centre.later(2)
    assert told() == [A]
    certified(gateway, centre)
    assert told() == []
    centre.later(80)
    with centre.database.transaction() as connection:
        revoke(connection, A, None, SERVICE, "taken down", centre.now)
    assert told() == [], "a revoked one may end"


def test_thirty_gateways_that_were_off_for_a_day_to_two_years_all_come_back_but_the_revoked_ones(
    centre: CertifyingCentre, tmp_path: Path
) -> None:
    chance = random.Random(30)
    gateways = [CertifiedGateway(tmp_path / f"{n}", f"gw-{n}", centre.post, seed=n + 1) for n in range(30)]
    for gateway in gateways:
        enrolled(centre.database, gateway.id, gateway.signer)
        certified(gateway, centre)
    away = zip(sorted(chance.uniform(31, 90 + LAPSED_MAX.days) for _ in gateways), gateways, strict=True)
    stolen = {gateway.id for gateway in chance.sample(gateways, 6)}
    begun = centre.now
    for days, gateway in away:
        if gateway.id in stolen:
            with centre.database.transaction() as connection:
                revoke(connection, gateway.id, None, SERVICE, "stolen", centre.now)
        centre.clock.sleep_until(begun + timedelta(days=days))
        if gateway.id in stolen:
            assert "key-revoked" in refusal(gateway, centre)
        elif days > 35:
            assert certified(gateway, centre).not_valid_after_utc > centre.now
        else:
            assert gateway.renewal.step(centre.now).fault == ""


def test_the_authority_s_own_certificates_are_watched_but_not_those_it_took_over_from(tmp_path: Path) -> None:
    make_authority(tmp_path, "Example", MADE_AT)
    renew_issuing(tmp_path, MADE_AT + timedelta(days=1000))
    watched = Alerting(authority=tmp_path / "centre")

    def told(days: float) -> set[str]:
        return {one.cause.subject for one in _of_machine(MADE_AT + timedelta(days=days), watched)}

    assert told(1095) == set(), "the one before ends now"
    assert told(2083) == {"gateways-issuing.crt"}
    assert told(3640) == {"gateways-issuing.crt", "gateways-roots.crt", "servers-roots.crt"}


# Keys that hand over -----------------------------------------------------------------------------------------------


def chain_of(owner: Gateway, signer: FileSigner, first_link: bytes, length: int) -> list[Arrival]:
    arrivals = []
    previous = first_link
    for seq in range(1, length + 1):
        octets = seal(owner.envelope(seq, previous), signer)
        previous = chain_digest(octets)
        arrivals.append(Arrival(owner.topic, octets))
    return arrivals


def test_a_key_hands_over_while_its_batches_are_on_the_way_and_signs_nothing_beyond(
    gateway: CertifiedGateway, centre: CertifyingCentre, database: Database
) -> None:
    harness = PostgresHarness(database)
    harness.wire(wired(Gateway()))
    intake = Intake(
        consumer=MemoryConsumer(),
        store=harness.store,
        signer=SeededSigner("metertree test centre"),
        clock=ManualClock(centre.now),
        profiles=PROFILES,
    )
    old, new = gateway.signer, FileSigner.from_seed(bytes([5]) * 32)
    before = chain_of(Gateway(A, 1), old, bytes(32), 6)
    intake.take(before[:2])  # two arrived, two more are sealed and wait in the outbox
    handover = handover_to(A, epoch=1, last_seq=4, last_digest=chain_digest(before[3].octets), key=new)
    statement = seal_rollover(handover, old, new)
    (gateway.folder / ROLLOVER_FILE).write_bytes(statement)
    assert gateway.renewal.step(centre.now).fault == "", "not told by who still has the old epoch"
    assert (gateway.folder / ROLLOVER_FILE).exists()
    gateway.signer, gateway.epoch = new, 2
    assert gateway.renewal.step(centre.now).fault == ""
    assert not (gateway.folder / ROLLOVER_FILE).exists()

    after = chain_of(Gateway(A, 2), new, read_rollover(statement).digest, 2)
    intake.take([after[0], before[2], after[1], before[3]])
    intake.take(before[4:])  # whoever has a copy of the old key
    seen = harness.see()
    assert sorted(place[1:] for place in seen.octets) == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]
    assert [reason for reason, *_ in seen.quarantine] == ["key-over"] * 2
    with database.transaction() as connection:
        newest = touching(connection, [f"gateway/{A}"], verb=Verb.KEY_ROLLED)[0]
    assert newest.told["before"]["last_seq"] == 4
    assert newest.told["after"]["level"] == "file"
    assert centre.post(HANDOVERS, statement), "the same statement gets the same answer"
    found = FleetDesk(database, centre.clock).gateway(A)
    assert found is not None
    document = gateway_document(found[1], found[0])
    assert [(one["epoch"], one["level"], one["last_seq"]) for one in document["keys"]] == [
        (2, "file", None),
        (1, None, 4),
    ]
    assert [one["epoch"] for one in document["certificates"]] == [1]
    other = FileSigner.from_seed(bytes([6]) * 32)
    second = handover_to(A, epoch=1, last_seq=4, last_digest=bytes(32), key=other)
    with pytest.raises(DoorRefused, match="rolled-over"):
        centre.post(HANDOVERS, seal_rollover(second, old, other))


def test_a_first_batch_that_does_not_name_the_handover_is_held(
    gateway: CertifiedGateway, centre: CertifyingCentre, database: Database
) -> None:
    harness = PostgresHarness(database)
    harness.wire(wired(Gateway()))
    consumer = MemoryConsumer()
    intake = Intake(
        consumer=consumer,
        store=harness.store,
        signer=SeededSigner("c"),
        clock=ManualClock(centre.now),
        profiles=PROFILES,
    )
    new = FileSigner.from_seed(bytes([5]) * 32)
    statement = seal_rollover(handover_to(A, epoch=1, last_seq=0, last_digest=bytes(32), key=new), gateway.signer, new)
    centre.post(HANDOVERS, statement)
    intake.take(chain_of(Gateway(A, 2), new, bytes([1]) * 32, 1))
    assert [reason for reason, *_ in harness.see().quarantine] == ["chain-broken"]


def test_nobody_hands_over_for_a_key_that_he_has_not(gateway: CertifiedGateway, centre: CertifyingCentre) -> None:
    thief, new = FileSigner.from_seed(bytes([66]) * 32), FileSigner.from_seed(bytes([5]) * 32)
    handover = handover_to(A, epoch=1, last_seq=0, last_digest=bytes(32), key=new)
    for old, outer in ((thief, new), (gateway.signer, thief)):
        with pytest.raises(DoorRefused, match="not that of key"):
            centre.post(HANDOVERS, seal_rollover(handover, old, outer))


def test_a_revoked_or_unknown_key_hands_over_nothing(gateway: CertifiedGateway, centre: CertifyingCentre) -> None:
    new = FileSigner.from_seed(bytes([5]) * 32)
    statement = seal_rollover(handover_to(A, epoch=1, last_seq=0, last_digest=bytes(32), key=new), gateway.signer, new)
    unknown = seal_rollover(handover_to(A, epoch=7, last_seq=0, last_digest=bytes(32), key=new), gateway.signer, new)
    with pytest.raises(DoorRefused, match="key-unknown"):
        centre.post(HANDOVERS, unknown)
    with centre.database.transaction() as connection:
        revoke(connection, A, None, SERVICE, "stolen", centre.now)
    with pytest.raises(DoorRefused, match="key-revoked"):
        centre.post(HANDOVERS, statement)
