"""Certificate authorities of tests, made once: a root for gateways, what it issues from, and a root for servers."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provisioning.authority import Authority, make_issuing, make_root

MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
ORGANISATION = "Example Park Power"


@cache
def gateways_root() -> Authority:
    """The root of gateways, kept offline in life."""
    return make_root(ORGANISATION, "gateways root", MADE_AT)


@cache
def issuing() -> Authority:
    """What the centre issues from."""
    return make_issuing(gateways_root(), "gateways issuing", MADE_AT)


@cache
def servers_root() -> Authority:
    """The root of broker and centre."""
    return make_root(ORGANISATION, "servers root", MADE_AT)


def tls_key() -> ec.EllipticCurvePrivateKey:
    """A fresh TLS key."""
    return ec.generate_private_key(ec.SECP256R1())


def csr_of(key: ec.EllipticCurvePrivateKey, name: str = "gw-a") -> bytes:
    """Give a request for a certificate, DER."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    """Give certificates as PEM."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Give the public half, for comparing."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
