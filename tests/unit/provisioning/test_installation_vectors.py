"""Events, voucher and grant as they stand on the wire, pinned: what was signed in the field must open for ever.

`tests/golden/installation/vectors.json` holds each message as a document and as octets. It is only ever added to.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest

from metering.envelope import encode, parse_sign1, sign1
from provisioning.document import from_document, to_document
from provisioning.grant import GRANT_TAG, Grant, open_grant, seal_grant
from provisioning.installation import InstallationEvent
from provisioning.installation_events import EVENT_TAG, event_digest, open_event, open_events, seal_event
from provisioning.keys import FileSigner
from provisioning.voucher import VOUCHER_TAG, Voucher, open_voucher, seal_voucher

FILE = Path(__file__).parents[2] / "golden" / "installation" / "vectors.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
GATEWAY = FileSigner.from_seed(bytes.fromhex(VECTORS["gateway_seed"]))
CENTRE = FileSigner.from_seed(bytes.fromhex(VECTORS["centre_seed"]))
EVENTS: list[dict[str, Any]] = VECTORS["events"]
KINDS = [one["document"]["body"]["kind"] for one in EVENTS]


@pytest.mark.parametrize("one", EVENTS, ids=KINDS)
def test_an_event_of_the_field_opens_as_what_was_done(one: dict[str, Any]) -> None:
    octets = bytes.fromhex(one["octets"])
    event = open_event(octets, GATEWAY.verifier())
    assert to_document(event) == one["document"]
    assert event == from_document(InstallationEvent, one["document"])
    assert event_digest(octets).hex() == one["sha256"]


@pytest.mark.parametrize("one", EVENTS, ids=KINDS)
def test_the_same_event_is_sealed_to_the_same_octets(one: dict[str, Any]) -> None:
    event = from_document(InstallationEvent, one["document"])
    assert seal_event(event, GATEWAY).hex() == one["octets"]


@pytest.mark.parametrize("one", EVENTS, ids=KINDS)
def test_a_stranger_with_nothing_but_cbor_reads_the_document(one: dict[str, Any]) -> None:
    tag, document = cbor2.loads(parse_sign1(bytes.fromhex(one["octets"])).payload)
    assert tag == EVENT_TAG
    assert cbor2.loads(document) == one["document"]


def test_the_events_follow_one_another_from_the_voucher_on() -> None:
    sealed = [bytes.fromhex(one["octets"]) for one in EVENTS]
    events = open_events(sealed, GATEWAY.verifier(), previous=bytes.fromhex(VECTORS["voucher"]["sha256"]))
    assert [event.number for event in events] == list(range(1, len(EVENTS) + 1))


def test_the_voucher_of_the_field_opens_and_is_sealed_alike() -> None:
    one = VECTORS["voucher"]
    opened = open_voucher(bytes.fromhex(one["octets"]), CENTRE.verifier())
    assert to_document(opened.voucher) == one["document"]
    assert opened.digest.hex() == one["sha256"]
    assert seal_voucher(from_document(Voucher, one["document"]), CENTRE).hex() == one["octets"]


def test_the_grant_of_the_field_opens_and_is_sealed_alike() -> None:
    one = VECTORS["grant"]
    grant = open_grant(bytes.fromhex(one["octets"]), CENTRE.verifier())
    assert to_document(grant) == one["document"]
    assert seal_grant(grant, CENTRE).hex() == one["octets"]
    assert isinstance(grant, Grant)


def test_an_event_of_a_later_version_is_refused_and_not_half_read() -> None:
    """A field that this version does not know may change what the others mean."""
    document = {**EVENTS[0]["document"], "witness": "eng-2"}
    octets = sign1(encode([EVENT_TAG, encode(document)]), GATEWAY)
    with pytest.raises(Exception, match="witness"):
        open_event(octets, GATEWAY.verifier())


def test_each_message_has_a_tag_of_its_own() -> None:
    assert len({EVENT_TAG, VOUCHER_TAG, GRANT_TAG, "metertree-order/1", "metertree-enrolment/2"}) == 5
    assert VECTORS["made"] == datetime(2026, 7, 1, 8, tzinfo=UTC).isoformat()
