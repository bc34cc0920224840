"""Disks and certificates are looked at; what cannot be looked at is told, and never stops a look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from ingest import alert_watch
from ingest.alert_watch import certificate_ends, look_at_certificates, look_at_disks

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gw-a")])


class Usage(NamedTuple):
    """What the system says of a disk."""

    total: int
    used: int
    free: int


def certificate(days: int) -> bytes:
    """A certificate that ends `days` after 2026 began, as PEM."""
    built = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 7, BEGAN, BEGAN + timedelta(days=days))
    return built.sign(KEY, None).public_bytes(Encoding.PEM)


def revoked(days: int) -> bytes:
    """A list of revoked certificates that ends then."""
    built = x509.CertificateRevocationListBuilder(NAME, BEGAN, BEGAN + timedelta(days=days))
    return built.sign(KEY, None).public_bytes(Encoding.PEM)


def test_a_disk_is_as_full_as_df_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(alert_watch.shutil, "disk_usage", lambda _: Usage(total=1000, used=450, free=50))
    (found,) = look_at_disks([tmp_path])
    assert (found.name, found.full_percent, found.fault) == (str(tmp_path), 90, "")


def test_a_disk_that_is_away_is_told(tmp_path: Path) -> None:
    there, away = look_at_disks([tmp_path, tmp_path / "away"])
    assert there.full_percent is not None
    assert (away.full_percent, "away" in away.fault) == (None, True)


def test_certificates_tell_when_they_end(tmp_path: Path) -> None:
    (tmp_path / "gw-a.crt").write_bytes(certificate(30))
    (tmp_path / "chain.pem").write_bytes(certificate(90) + certificate(60))
    (tmp_path / "revoked.crl").write_bytes(revoked(20))
    (tmp_path / "notes.txt").write_bytes(certificate(1))
    found = {one.name: one.ends_at for one in look_at_certificates(tmp_path)}
    assert found == {
        "gw-a.crt": BEGAN + timedelta(days=30),
        "chain.pem": BEGAN + timedelta(days=60),
        "revoked.crl": BEGAN + timedelta(days=20),
    }
    assert certificate_ends(tmp_path)["gw-a"] == BEGAN + timedelta(days=30)
    assert certificate_ends(None) == {}


def test_a_key_is_no_certificate_and_a_broken_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (tmp_path / "bad.crt").write_bytes(certificate(30)[:-80] + b"\n-----END CERTIFICATE-----\n")
    (found,) = look_at_certificates(tmp_path)
    assert found.name == "bad.crt"
    assert found.fault
    assert certificate_ends(tmp_path) == {}


def test_a_folder_that_is_away_is_told(tmp_path: Path) -> None:
    (found,) = look_at_certificates(tmp_path / "away")
    assert "away" in found.fault
