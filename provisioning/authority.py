"""Our own certificate authority: a root that stays offline, and an issuing one at the centre that signs for gateways.

    gateways-root (10 years, offline) -> gateways-issuing (3 years, at the centre) -> gateway (90 days)
    servers-root (10 years, offline)  -> broker, centre (397 days)

Two roots, so that no gateway's certificate opens a door of the centre and no server's one is a gateway's. The issuing
authority signs nothing but leaves (path length 0) whose subject lies below its own organisation and that carry no
network name (name constraints, RFC 5280, 4.2.1.10): whoever steals its key can make gateways, not web sites.
A gateway's subject is `O=<organisation>, CN=<gateway>`; the broker makes the CN the name of the session
(`broker_access.py`). Nothing here reads a clock or keeps anything: what was issued and revoked is the store's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from metering.errors import MeteringError
from metering.identity import GatewayId
from provisioning.keys import KeyFileInvalid, read_private

ROOT_DAYS = 3652
ISSUING_DAYS = 1096
SERVER_DAYS = 397
GATEWAY_DAYS = 90
NAME_LENGTH_MAX = 64
"""Of organisation and common name (RFC 5280, appendix A)."""
X509_FAULTS = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion)
"""What reading somebody else's certificate or request may raise."""
BACKDATED = timedelta(hours=1)
"""Certificates begin before they are made, for a gateway whose clock is a little behind."""
CENTRE_NAME = "centre.metertree"
"""The centre's name at the broker; no gateway can have it, since an id has no dot."""


class AuthorityInvalid(MeteringError):
    """What an authority is made of does not fit: its certificate, its key, its dates. The text says the mend."""


class CsrInvalid(MeteringError):
    """A request for a certificate is none, is not its own key's, or is for a key of a kind that is not in use here."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others, with its key and what stands above it, up to the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def organisation(self) -> str:
        """Whose authority it is."""
        (found,) = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return str(found.value)

    @property
    def ends_at(self) -> datetime:
        """When its own certificate lapses; nothing that it signs outlives it."""
        return self.certificate.not_valid_after_utc


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is not to be believed any more."""

    serial: int
    revoked_at: datetime


def make_root(organisation: str, name: str, now: datetime) -> Authority:
    """Make a root with a fresh key. Its key belongs on a stick in a safe, not on a server."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(organisation, name)
    builder = _builder(subject, subject, key.public_key(), now, now + timedelta(days=ROOT_DAYS))
    builder = _as_authority(builder, key.public_key(), key.public_key(), path_length=1)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def make_issuing(root: Authority, name: str, now: datetime) -> Authority:
    """Make the authority that signs for gateways, with a fresh key."""
    key = ec.generate_private_key(ec.SECP256R1())
    until = _until(root, now, ISSUING_DAYS)
    builder = _builder(_subject(root.organisation, name), root.certificate.subject, key.public_key(), now, until)
    builder = _as_authority(builder, key.public_key(), root.key.public_key(), path_length=0)
    builder = builder.add_extension(_only_gateways(root.organisation), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    signed = builder.sign(root.key, hashes.SHA256())
    return Authority(signed, key, (root.certificate, *root.above))


def issue_gateway(authority: Authority, gateway: GatewayId, csr: bytes, now: datetime) -> tuple[bytes, ...]:
    """Sign the key of a request for `gateway`, whatever name it gives itself; gives the chain, DER, leaf first.

    The root is not in the chain: who believes it has it. Raises CsrInvalid or AuthorityInvalid.
    """
    key = read_csr(csr).public_key()
    builder = _builder(
        _subject(authority.organisation, gateway),
        authority.certificate.subject,
        key,
        now,
        _until(authority, now, GATEWAY_DAYS),
    )
    leaf = _as_leaf(builder, key, authority, [ExtendedKeyUsageOID.CLIENT_AUTH]).sign(authority.key, hashes.SHA256())
    return tuple(one.public_bytes(Encoding.DER) for one in (leaf, authority.certificate))


def issue_server(root: Authority, name: str, addresses: Sequence[str], csr: bytes, now: datetime) -> x509.Certificate:
    """Sign the key of a request for a server of ours: the broker (with its `addresses`), or the centre (without)."""
    key = read_csr(csr).public_key()
    subject = _subject(root.organisation, name)
    builder = _builder(subject, root.certificate.subject, key, now, _until(root, now, SERVER_DAYS))
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if addresses:
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_general_name, addresses)), critical=False)
    return _as_leaf(builder, key, root, uses).sign(root.key, hashes.SHA256())


def revocation_list(authority: Authority, revoked: Iterable[Revoked], now: datetime) -> x509.CertificateRevocationList:
    """Sign the list of certificates that are not to be believed.

    It is good as long as the authority: a broker shuts *every* gateway out on a list that is past its time, and what
    makes a revocation quick is the registry, not the list's date.
    """
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=authority.certificate.subject, last_update=now, next_update=authority.ends_at
    )
    number = int(now.timestamp())
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_extension(_key_above(authority), critical=False)
    for one in sorted(revoked, key=lambda one: one.serial):
        entry = x509.RevokedCertificateBuilder(one.serial, one.revoked_at)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256())


def read_csr(octets: bytes) -> x509.CertificateSigningRequest:
    """Read a request (PKCS #10, DER) and check that its key signed it; raises CsrInvalid."""
    try:
        csr = x509.load_der_x509_csr(octets)
        key = csr.public_key()
        is_signed = csr.is_signature_valid
    except X509_FAULTS as error:
        raise CsrInvalid(f"no request for a certificate (PKCS #10, DER): {error}") from error
    if not is_signed:
        raise CsrInvalid("the request is not signed by the key it is for")
    is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not is_p256 and not isinstance(key, Ed25519PublicKey):
        raise CsrInvalid("the key of the request is of another kind; make a P-256 or an Ed25519 key")
    return csr


def read_authority(certificate: Path, key: Path, above: Sequence[x509.Certificate] = ()) -> Authority:
    """Read an authority from its PEM files; raises AuthorityInvalid or KeyFileInvalid."""
    try:
        secret = load_pem_private_key(read_private(key).encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileInvalid(key, "not the key of an authority", "give PKCS #8 PEM without a passphrase") from None
    found = read_certificates(certificate)
    if not isinstance(secret, ec.EllipticCurvePrivateKey) or secret.public_key() != found[0].public_key():
        raise AuthorityInvalid(f"{certificate} and {key} do not belong together: give both of one authority")
    return Authority(found[0], secret, (*found[1:], *above))


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Read a PEM file of at least one certificate; raises AuthorityInvalid."""
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, *X509_FAULTS) as error:
        raise AuthorityInvalid(f"{path}: no certificate there: {error}; give a PEM file") from error


def is_below(certificate: x509.Certificate, above: Iterable[x509.Certificate]) -> bool:
    """Say whether one of `above` has signed `certificate`; dates and uses are not looked at."""
    for one in above:
        try:
            certificate.verify_directly_issued_by(one)
        except X509_FAULTS:
            continue
        return True
    return False


def name_of(certificate: x509.Certificate) -> str:
    """Give the name of a certificate, its CN; raises AuthorityInvalid if it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise AuthorityInvalid(f"a certificate of {certificate.subject.rfc4514_string()} names nobody")
    return str(names[0].value)


def _subject(organisation: str, name: str) -> x509.Name:
    for text in (organisation, name):
        if not 1 <= len(text) <= NAME_LENGTH_MAX or not text.isprintable():
            raise AuthorityInvalid(f"{text!r} is no name for a certificate; give 1 to {NAME_LENGTH_MAX} characters")
    parts = ((NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def _until(authority: Authority, now: datetime, days: int) -> datetime:
    """End before the authority does; raises AuthorityInvalid if that has lapsed."""
    if authority.ends_at <= now:
        mend = "make a new one: metertree-provision ca issuing"
        raise AuthorityInvalid(f"{authority.certificate.subject.rfc4514_string()} lapsed {authority.ends_at}: {mend}")
    return min(now + timedelta(days=days), authority.ends_at)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
    )


def _as_authority(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePublicKey,
    signs: ec.EllipticCurvePublicKey,
    *,
    path_length: int,
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signs), critical=False)
    )


def _as_leaf(
    builder: x509.CertificateBuilder,
    key: CertificatePublicKeyTypes,
    authority: Authority,
    uses: Sequence[x509.ObjectIdentifier],
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_key_above(authority), critical=False)
    )


def _key_above(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _only_gateways(organisation: str) -> x509.NameConstraints:
    """Allow subjects of this organisation, and no name or address of a host."""
    below = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]))
    return x509.NameConstraints(
        permitted_subtrees=[below],
        excluded_subtrees=[
            x509.DNSName(""),
            x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
            x509.IPAddress(ipaddress.ip_network("::/0")),
        ],
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
