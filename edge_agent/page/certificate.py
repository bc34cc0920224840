"""The certificate the page speaks TLS with: made by the gateway for itself, compared by its fingerprint."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PAGE_FILE = "page.pem"
YEARS = 10
EARLIER = timedelta(days=3650)
"""A machine without a clock battery may think it is years ago: what it makes is valid from before that."""


@dataclass(frozen=True, slots=True)
class PageCertificate:
    """`path` holds key and certificate, PEM; `fingerprint` is SHA-256 of the certificate as browsers show it."""

    path: Path
    fingerprint: str


def page_certificate(folder: Path, host: str, now: datetime) -> PageCertificate:
    """Give the certificate for `host`, made unless there is one for it already."""
    path = folder / PAGE_FILE
    if path.exists():
        kept = x509.load_pem_x509_certificate(path.read_bytes())
        if _is_for(kept, host) and kept.not_valid_after_utc > now:
            return PageCertificate(path, _fingerprint(kept))
    key = ec.generate_private_key(ec.SECP256R1())
    made = _certificate(key, host, now)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    staged = path.with_suffix(".new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private + made.public_bytes(Encoding.PEM))
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    return PageCertificate(path, _fingerprint(made))


def _certificate(key: ec.EllipticCurvePrivateKey, host: str, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Metertree gateway page")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName([_name_of(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_for(certificate: x509.Certificate, host: str) -> bool:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return _name_of(host) in list(names)


def _fingerprint(certificate: x509.Certificate) -> str:
    digits = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest().upper()
    return ":".join(digits[start : start + 2] for start in range(0, len(digits), 2))
