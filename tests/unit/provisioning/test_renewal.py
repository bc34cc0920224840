"""Renewing a certificate: two signatures, no dates, and one answer to one request."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from metering.envelope import EnvelopeMalformed, SignatureInvalid
from metering.errors import SenderError
from metering.identity import GatewayId
from provisioning.authority import CsrInvalid, issue_gateway
from provisioning.keys import FileSigner
from provisioning.renewal import (
    LAPSED_MAX,
    REQUESTS_PER_DAY_MAX,
    Answer,
    Issued,
    NotRenewable,
    Plea,
    Renewable,
    decide_renewal,
    open_answer,
    read_request,
    renewal_due,
    seal_answer,
    seal_request,
)
from provisioning.tls_key import TlsSigner
from tests.doubles.authorities import MADE_AT, csr_of, gateways_root, issuing, tls_key

A = GatewayId("gw-a")
NOW = MADE_AT + timedelta(days=10)
SIGNING, CENTRE = FileSigner.from_seed(bytes(32)), FileSigner.from_seed(bytes([7]) * 32)
OLD_KEY, NEW_KEY = tls_key(), tls_key()
OLD = issue_gateway(issuing(), A, csr_of(OLD_KEY), MADE_AT)[0]
PLEA = Plea(A, 1, csr_of(NEW_KEY), OLD)
FIRST = replace(PLEA, certificate=None)
KEPT = Issued(A, bytes(32), MADE_AT + timedelta(days=90), None, None)


def sealed(plea: Plea = PLEA, by: ec.EllipticCurvePrivateKey = OLD_KEY) -> bytes:
    return seal_request(plea, TlsSigner(by), SIGNING)


def decided(
    kept: Issued | None = KEPT, plea: Plea = PLEA, *, had_any: bool = True, asked: int = 1, days: float = 0
) -> Renewable | NotRenewable:
    return decide_renewal(plea, kept, had_any=had_any, asked_today=asked, now=NOW + timedelta(days=days))


def test_a_request_of_both_keys_is_read() -> None:
    asked = read_request(sealed())
    assert asked.plea == PLEA
    asked.message.require(SIGNING.verifier())


def test_a_first_request_is_signed_by_the_key_it_is_for() -> None:
    assert read_request(sealed(FIRST, NEW_KEY)).plea == FIRST
    with pytest.raises(SignatureInvalid):
        read_request(sealed(FIRST, OLD_KEY))


def test_who_has_not_the_key_of_the_certificate_cannot_renew_it() -> None:
    with pytest.raises(SignatureInvalid):
        read_request(sealed(by=NEW_KEY))


def test_who_has_only_the_tls_key_cannot_renew_either() -> None:
    thief = FileSigner.from_seed(bytes([3]) * 32)
    asked = read_request(seal_request(PLEA, TlsSigner(OLD_KEY), thief))
    with pytest.raises(SignatureInvalid):
        asked.message.require(SIGNING.verifier())


def test_every_flipped_bit_of_a_request_is_refused() -> None:
    octets = sealed()
    for place in range(len(octets)):
        changed = octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]
        with pytest.raises((SenderError, CsrInvalid)):
            read_request(changed).message.require(SIGNING.verifier())


@pytest.mark.parametrize("csr", [b"", b"no request"])
def test_what_is_no_request_for_a_certificate_is_refused(csr: bytes) -> None:
    with pytest.raises(CsrInvalid):
        read_request(sealed(replace(PLEA, csr=csr)))


def test_a_certificate_that_is_none_is_refused() -> None:
    with pytest.raises(EnvelopeMalformed, match="no certificate"):
        read_request(sealed(replace(PLEA, certificate=b"none")))


def test_an_enrolment_or_an_answer_is_no_request() -> None:
    answer = Answer(A, PLEA.csr_digest, (OLD,), (), NOW)
    with pytest.raises(EnvelopeMalformed, match="not a message"):
        read_request(seal_answer(answer, CENTRE))


@pytest.mark.parametrize("days", [0, 30, 79, 81, 400, 700, 80 + LAPSED_MAX.days])
def test_a_certificate_is_renewed_before_and_long_after_it_lapsed(days: float) -> None:
    assert decided(days=days) == Renewable(is_beside=False)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (decided(days=81 + LAPSED_MAX.days), "away-too-long"),
        (decided(replace(KEPT, revoked_at=MADE_AT)), "certificate-revoked"),
        (decided(replace(KEPT, revoked_at=MADE_AT), days=300), "certificate-revoked"),
        (decided(None), "certificate-unknown"),
        (decided(replace(KEPT, gateway=GatewayId("gw-b"))), "certificate-unknown"),
        (decided(None, FIRST), "certificate-needed"),
        (decided(asked=REQUESTS_PER_DAY_MAX), "too-many"),
    ],
)
def test_what_is_not_renewed_is_told_with_the_mend(outcome: Renewable | NotRenewable, reason: str) -> None:
    assert isinstance(outcome, NotRenewable)
    assert outcome.reason == reason
    assert outcome.mend


def test_a_gateway_that_never_had_one_gets_its_first() -> None:
    assert decided(None, FIRST, had_any=False) == Renewable(is_beside=False)


def test_a_certificate_that_two_requests_renew_is_seen() -> None:
    assert decided(replace(KEPT, renewed_by=bytes(32))) == Renewable(is_beside=True)
    assert decided(replace(KEPT, renewed_by=PLEA.csr_digest)) == Renewable(is_beside=False)


def test_an_answer_is_the_centre_s_and_for_this_request() -> None:
    root = gateways_root().certificate.public_bytes(Encoding.DER)
    answer = Answer(A, PLEA.csr_digest, (OLD, root), (root,), NOW)
    octets = seal_answer(answer, CENTRE)
    assert open_answer(octets, CENTRE.verifier(), PLEA) == answer
    with pytest.raises(SignatureInvalid):
        open_answer(seal_answer(answer, SIGNING), CENTRE.verifier(), PLEA)
    for other in (replace(PLEA, csr=csr_of(OLD_KEY)), replace(PLEA, gateway=GatewayId("gw-b"))):
        with pytest.raises(EnvelopeMalformed, match="for another request"):
            open_answer(octets, CENTRE.verifier(), other)


def test_renewal_is_due_from_the_thirtieth_day_and_not_for_all_on_one() -> None:
    certificate = x509.load_der_x509_certificate(OLD)
    due = [renewal_due(certificate, GatewayId(f"gw-{number}")) - MADE_AT for number in range(200)]
    assert timedelta(days=30) <= min(due) < timedelta(days=31)
    assert timedelta(days=34) < max(due) < timedelta(days=35)
    assert len(set(due)) > 100
    assert renewal_due(certificate, A) == renewal_due(certificate, A)
