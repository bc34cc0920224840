"""Renewing a gateway's certificate: what it asks, how the centre decides, what it answers. Sans-IO, both roles.

A request carries two signatures. The inner one is by the TLS key whose certificate is to be renewed, so nobody else
goes on in its name; the outer one by the signing key of the registry, so a stolen TLS key alone renews nothing. Dates
prove nothing here: a certificate that lapsed while the gateway was off is renewed for two years after. The first
certificate of a gateway that never had one is asked for in the same way, the inner signature being the new key's.

The same request gets the same answer for ever, because an answer can be lost on the way. The answer is signed by the
centre: a certificate from elsewhere would shut the gateway out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from metering.envelope import EnvelopeMalformed, Sign1, Signer, Verifier
from metering.identity import GatewayId, check_identifier
from provisioning.authority import BACKDATED, X509_FAULTS, CsrInvalid, read_csr
from provisioning.keys import Es256Verifier
from provisioning.sealed_document import open_document, parse_document, seal_document

PLEA_TAG = "metertree-certificate-plea/1"
REQUEST_TAG = "metertree-certificate-request/1"
ANSWER_TAG = "metertree-certificates/1"
REQUEST_OCTETS_MAX = 16 * 1024
ANSWER_OCTETS_MAX = 64 * 1024
RENEW_AFTER = timedelta(days=30)
RENEW_SPREAD = timedelta(days=5)
"""Gateways of one batch do not all come on the same day."""
LAPSED_MAX = timedelta(days=730)
REQUESTS_PER_DAY_MAX = 10


@dataclass(frozen=True, slots=True)
class Plea:
    """What a gateway asks for.

    csr           request for a certificate (PKCS #10, DER)
    certificate   the one it renews, DER; None where it has none yet
    """

    gateway: GatewayId
    epoch: int
    csr: bytes
    certificate: bytes | None

    def __post_init__(self) -> None:
        check_identifier(self.gateway)

    @property
    def csr_digest(self) -> bytes:
        """SHA-256 of the request for a certificate."""
        return hashlib.sha256(self.csr).digest()


@dataclass(frozen=True, slots=True)
class _Request:
    plea: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is whole; only its inner signature is proven until the registry's key is required of `message`."""

    plea: Plea
    message: Sign1


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate of the store.

    digest      SHA-256 of its DER form
    renewed_by  digest of the request that it was renewed by; None while it was not
    """

    gateway: GatewayId
    digest: bytes
    not_after: datetime
    revoked_at: datetime | None
    renewed_by: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the centre gives: the new certificate with those above it (DER, its own first), and the roots to believe."""

    gateway: GatewayId
    csr_digest: bytes
    certificates: tuple[bytes, ...]
    roots: tuple[bytes, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Renewable:
    """The certificate may be renewed. `is_beside`: it was already, by another request: a copy of the card?"""

    is_beside: bool


@dataclass(frozen=True, slots=True)
class NotRenewable:
    """The certificate may not be renewed; `reason` is a stable code, `mend` says what to do."""

    reason: str
    mend: str


def seal_request(plea: Plea, tls_key: Signer, signing_key: Signer) -> bytes:
    """Sign a plea with both keys. `tls_key`: that of the certificate to renew; of the request where there is none."""
    return seal_document(REQUEST_TAG, _Request(seal_document(PLEA_TAG, plea, tls_key)), signing_key)


def read_request(octets: bytes) -> Asked:
    """Read a request and prove its inner signature; raises EnvelopeMalformed, SignatureInvalid or CsrInvalid."""
    request, message = parse_document(REQUEST_TAG, _Request, octets, octets_max=REQUEST_OCTETS_MAX)
    plea, inner = parse_document(PLEA_TAG, Plea, request.plea, octets_max=REQUEST_OCTETS_MAX)
    csr = read_csr(plea.csr)
    inner.require(_proving(csr if plea.certificate is None else certificate_of(plea.certificate)))
    return Asked(plea, message)


def decide_renewal(
    plea: Plea, kept: Issued | None, *, had_any: bool, asked_today: int, now: datetime
) -> Renewable | NotRenewable:
    """Decide about a request whose both signatures hold and that was not answered before.

    kept         the certificate to renew, as the store has it; None where it has none such
    had_any      whether the gateway ever had a certificate
    asked_today  certificates that the gateway got within a day
    """
    if asked_today >= REQUESTS_PER_DAY_MAX:
        return NotRenewable("too-many", "wait a day; a gateway that asks all the time cannot keep what it gets")
    if plea.certificate is None:
        if had_any:
            return NotRenewable("certificate-needed", "renew the one it had, or enrol it again with a new order")
        return Renewable(is_beside=False)
    if kept is None or kept.gateway != plea.gateway:
        return NotRenewable("certificate-unknown", "this centre never gave it: enrol the gateway with a new order")
    if kept.revoked_at is not None:
        return NotRenewable("certificate-revoked", "enrol the gateway again with a new order, if it is to come back")
    if now - kept.not_after > LAPSED_MAX:
        days = LAPSED_MAX.days
        return NotRenewable("away-too-long", f"it lapsed more than {days} days ago: enrol it again with a new order")
    return Renewable(is_beside=kept.renewed_by not in (None, plea.csr_digest))


def seal_answer(answer: Answer, centre: Signer) -> bytes:
    """Sign an answer with the centre's key."""
    return seal_document(ANSWER_TAG, answer, centre)


def open_answer(octets: bytes, centre: Verifier, plea: Plea) -> Answer:
    """Verify the answer to a plea; raises EnvelopeMalformed (also for another's) or SignatureInvalid."""
    answer = open_document(ANSWER_TAG, Answer, octets, centre, octets_max=ANSWER_OCTETS_MAX)
    if (answer.gateway, answer.csr_digest) != (plea.gateway, plea.csr_digest):
        raise EnvelopeMalformed(f"the answer is for another request, of {answer.gateway}")
    return answer


def certificate_of(octets: bytes) -> x509.Certificate:
    """Read a certificate, DER; raises EnvelopeMalformed."""
    try:
        return x509.load_der_x509_certificate(octets)
    except X509_FAULTS as error:
        raise EnvelopeMalformed(f"no certificate: {error}") from error


def _proving(holder: x509.Certificate | x509.CertificateSigningRequest) -> Es256Verifier:
    """Give the key that must have signed a plea; raises CsrInvalid."""
    try:
        key = holder.public_key()
    except X509_FAULTS as error:
        raise CsrInvalid(f"the key of the certificate: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CsrInvalid("a TLS key is a P-256 key: ask with one")
    return Es256Verifier(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def renewal_due(certificate: x509.Certificate, gateway: GatewayId) -> datetime:
    """Say from when on a certificate is to be renewed: on its 30th day, up to five days later by the gateway's id."""
    share = hashlib.sha256(f"{gateway} {certificate.serial_number}".encode()).digest()[0] / 256
    return certificate.not_valid_before_utc + BACKDATED + RENEW_AFTER + share * RENEW_SPREAD
