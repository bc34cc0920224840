"""The HTTP way into the books: the same envelopes, the same ledger, the same receipts as over the broker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI
from httpx import Client, Response

from ingest.api import problems
from ingest.api.admission import Admission
from ingest.api.envelopes import BODY_OCTETS_MAX, EnvelopeRoutes
from ingest.envelope_door import MESSAGES_MAX, UNPROVEN_MAX, EnvelopeDoor, split_messages
from ingest.intake import Intake
from ingest.quarantine_desk import QuarantineDesk
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.envelope import ENVELOPE_OCTETS_MAX
from metering.receipt import open_receipt
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, PostgresHarness, wired
from tests.doubles.web import serving

GW, OTHER = Gateway(), Gateway("gw-b")
CENTRE = SeededSigner("metertree test centre")
ADMIN = {"Authorization": "Bearer t0ken"}


class Service:
    """The routes over a real database."""

    def __init__(self, database: Database) -> None:
        self.harness = PostgresHarness(database)
        self.clock = ManualClock(NOW)
        self.commits = 0
        door = EnvelopeDoor(
            store=self.harness.store, signer=CENTRE, clock=self.clock, profiles=PROFILES, on_commit=self._count
        )
        desk = QuarantineDesk(database, CENTRE, self.clock, PROFILES)
        self.app = FastAPI()
        problems.install(self.app)
        self.app.include_router(EnvelopeRoutes(door, desk).router(Admission("t0ken")))
        self.client: Client

    def _count(self) -> None:
        self.commits += 1

    def send(self, *messages: bytes, kind: str = "application/cbor-seq") -> Response:
        """Call."""
        return self.client.post("/v1/envelopes", content=b"".join(messages), headers={"Content-Type": kind})


@pytest.fixture
def service(database: Database) -> Iterator[Service]:
    """With two gateways enrolled and wired."""
    made = Service(database)
    made.harness.enrol(GW, OTHER)
    made.harness.wire(wired(GW, OTHER))
    with serving(made.app) as made.client:
        yield made


def test_one_envelope_enters_and_its_receipt_is_the_answer(service: Service) -> None:
    (first,) = GW.chain(1)
    answer = service.send(first.octets, kind="application/cose")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cose")
    receipt = open_receipt(answer.content, CENTRE.verifier)
    assert (receipt.gateway, receipt.contiguous_seq, receipt.refused) == ("gw-a", 1, ())
    assert service.harness.see().octets == {("gw-a", 1, 1): first.octets}
    assert service.commits == 1


def test_a_sequence_of_several_gateways_is_one_group(service: Service) -> None:
    messages = [arrival.octets for arrival in (*GW.chain(3), *OTHER.chain(2))]
    answer = service.send(*messages)
    receipts = [open_receipt(octets, CENTRE.verifier) for octets in split_messages(answer.content)]
    assert [(one.gateway, one.contiguous_seq) for one in receipts] == [("gw-a", 3), ("gw-b", 2)]
    assert len(service.harness.see().octets) == 5


def test_what_came_over_the_broker_is_a_repeat_over_http(service: Service) -> None:
    chain = GW.chain(3)
    over_broker = Intake(
        consumer=MemoryConsumer(),
        store=service.harness.store,
        signer=CENTRE,
        clock=service.clock,
        profiles=PROFILES,
    )
    over_broker.take(chain[:2])
    answer = service.send(*(arrival.octets for arrival in chain))
    assert open_receipt(answer.content, CENTRE.verifier).contiguous_seq == 3
    seen = service.harness.see()
    assert len(seen.readings) == 9
    assert seen.heads[GW.owner].repeats == 2


@pytest.mark.parametrize(
    ("octets", "reason"),
    [(b"rubbish", "malformed"), (Gateway("gw-z").chain(1)[0].octets, "gateway-unknown"), (b"\x9f", "malformed")],
)
def test_what_is_not_accepted_is_refused_with_its_reason_and_kept(service: Service, octets: bytes, reason: str) -> None:
    answer = service.send(octets)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert {row[0] for row in service.harness.see().quarantine} == {reason}


def test_rubbish_in_a_sequence_does_not_hold_up_what_comes_before_it(service: Service) -> None:
    answer = service.send(GW.chain(1)[0].octets, b"\xff\xff rubbish")
    assert (answer.status_code, answer.headers["metertree-refused"]) == (200, "1")
    assert open_receipt(answer.content, CENTRE.verifier).contiguous_seq == 1
    assert [row[0] for row in service.harness.see().quarantine] == ["malformed"]


def test_a_type_a_size_or_a_number_that_is_not_taken_says_so(service: Service) -> None:
    octets = GW.chain(1)[0].octets
    assert service.send(octets, kind="text/plain").status_code == 415
    assert service.send(bytes(BODY_OCTETS_MAX + 1)).status_code == 413
    assert service.send().status_code == 422
    assert service.send(*[b"\0"] * (MESSAGES_MAX + 1)).status_code == 422
    assert service.send(b"\x5a\x00\x04\x00\x01" + bytes(ENVELOPE_OCTETS_MAX + 1)).json()["reason"] == "too-big"


def test_an_address_may_bring_only_so_much_that_nobody_signed(service: Service) -> None:
    stranger = Gateway("gw-z").chain(1)[0].octets
    assert service.send(*[stranger] * UNPROVEN_MAX).status_code == 422
    refused = service.send(GW.chain(1)[0].octets)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    service.clock.sleep_until(NOW + timedelta(seconds=61))
    assert service.send(GW.chain(1)[0].octets).status_code == 200


def test_proven_envelopes_cost_no_allowance(service: Service) -> None:
    (first,) = GW.chain(1)
    for _ in range(UNPROVEN_MAX + 5):
        assert service.send(first.octets).status_code == 200


def test_quarantine_is_listed_shown_and_tried_again(service: Service) -> None:
    stranger = Gateway("gw-z")
    service.send(stranger.chain(1)[0].octets)
    (kept,) = service.client.get("/v1/quarantine").json()["quarantine"]
    assert (kept["reason"], kept["proven"], kept["times"]) == ("gateway-unknown", False, 1)
    path = f"/v1/quarantine/{kept['number']}"
    assert service.client.get(path).json() == kept
    assert service.client.post(f"{path}/replay").status_code == 401
    assert service.client.post(f"{path}/replay", headers=ADMIN).json()["outcome"] == "refused"
    service.harness.enrol(stranger)
    service.harness.wire(wired(GW, OTHER, stranger))
    assert service.client.post(f"{path}/replay", headers=ADMIN).json()["outcome"] == "entered"
    assert service.client.post(f"{path}/replay", headers=ADMIN).status_code == 404
    assert service.client.get(path).status_code == 404
    assert service.client.get("/v1/quarantine?reason=malformed").json() == {"quarantine": []}
