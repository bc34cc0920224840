"""Files for TLS that do not fit are refused with their place and mend, before anybody connects."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from provisioning.broker_tls import BrokerTls, BrokerTlsInvalid

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def write_pair(folder: Path, name: str, *, days: int = 90, locked: bool = False) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1000))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    lock: KeySerializationEncryption = BestAvailableEncryption(b"passphrase") if locked else NoEncryption()
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return paths


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    return write_pair(tmp_path, "gw-a")


def test_whom_to_believe_is_enough(pair: tuple[Path, Path]) -> None:
    context = BrokerTls(pair[0], None, None).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


def test_without_a_file_the_machines_own_authorities_are_believed() -> None:
    context = BrokerTls(None, None, None).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_certificate_and_its_key_are_shown(pair: tuple[Path, Path]) -> None:
    assert isinstance(BrokerTls(pair[0], *pair).context(), ssl.SSLContext)


def test_a_certificate_without_its_key_is_refused(pair: tuple[Path, Path]) -> None:
    for certificate, key in ((pair[0], None), (None, pair[1])):
        with pytest.raises(BrokerTlsInvalid, match="both or neither"):
            BrokerTls(pair[0], certificate, key)


def test_a_file_that_is_not_there_or_no_certificate_is_named(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    nonsense = tmp_path / "nonsense.crt"
    nonsense.write_text("nonsense", encoding="ascii")
    for ca in (tmp_path / "absent.crt", nonsense):
        with pytest.raises(BrokerTlsInvalid, match=f"{ca.name}: no certificates there.*give a PEM file"):
            BrokerTls(ca, None, None).context()
        with pytest.raises(BrokerTlsInvalid, match=f"{ca.name} with .*belong together"):
            BrokerTls(pair[0], ca, pair[1]).context()
        with pytest.raises(BrokerTlsInvalid, match=f"{ca.name}: .*give a PEM file"):
            BrokerTls(pair[0], ca, pair[1]).days_left(NOW)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    _, other = write_pair(tmp_path, "gw-b")
    with pytest.raises(BrokerTlsInvalid, match="belong together"):
        BrokerTls(pair[0], pair[0], other).context()


def test_a_locked_key_is_refused_and_nobody_is_asked_for_the_passphrase(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "gw-a", locked=True)
    with pytest.raises(BrokerTlsInvalid, match="locked by a passphrase"):
        BrokerTls(certificate, certificate, key).context()


@pytest.mark.parametrize(("days", "left"), [(90, 90), (0, 0), (-3, -3)])
def test_the_days_a_certificate_is_good_for(tmp_path: Path, days: int, left: int) -> None:
    certificate, key = write_pair(tmp_path, "gw-a", days=days)
    assert BrokerTls(certificate, certificate, key).days_left(NOW) == left
    assert BrokerTls(certificate, None, None).days_left(NOW) is None
