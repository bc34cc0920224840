"""Our certificate authority: what it signs, for how long, and what openssl lets pass of it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from metering.identity import GatewayId
from provisioning.authority import (
    GATEWAY_DAYS,
    Authority,
    AuthorityInvalid,
    CsrInvalid,
    Revoked,
    is_below,
    issue_gateway,
    issue_server,
    make_issuing,
    make_root,
    name_of,
    read_authority,
    read_certificates,
    read_csr,
    revocation_list,
)
from provisioning.keys import KeyFileInvalid
from tests.doubles.authorities import MADE_AT, ORGANISATION, csr_of, gateways_root, issuing, pem, servers_root, tls_key

A = GatewayId("gw-a")
_numbers = itertools.count()
NOW = MADE_AT + timedelta(days=10)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")


def leaf_of(
    key: ec.EllipticCurvePrivateKey, now: datetime = NOW, authority: Authority | None = None
) -> x509.Certificate:
    chain = issue_gateway(authority or issuing(), A, csr_of(key), now)
    return x509.load_der_x509_certificate(chain[0])


def test_a_gateway_gets_its_own_name_whatever_it_asks_for() -> None:
    key = tls_key()
    chain = [x509.load_der_x509_certificate(one) for one in issue_gateway(issuing(), A, csr_of(key, "gw-b"), NOW)]
    assert [name_of(one) for one in chain] == [A, "gateways issuing"]
    assert chain[0].public_key() == key.public_key()
    assert is_below(chain[0], [issuing().certificate])
    assert is_below(chain[1], [servers_root().certificate, gateways_root().certificate])


def test_a_certificate_lasts_ninety_days_and_never_longer_than_what_signed_it() -> None:
    leaf = leaf_of(tls_key())
    assert leaf.not_valid_after_utc - NOW == timedelta(days=GATEWAY_DAYS)
    assert leaf.not_valid_before_utc == NOW - timedelta(hours=1)
    late = issuing().ends_at - timedelta(days=3)
    assert leaf_of(tls_key(), late).not_valid_after_utc == issuing().ends_at
    assert issuing().ends_at - MADE_AT == timedelta(days=1096)
    assert gateways_root().ends_at - MADE_AT == timedelta(days=3652)


def test_an_authority_that_has_lapsed_signs_nothing_and_says_what_to_do() -> None:
    with pytest.raises(AuthorityInvalid, match="metertree-provision ca issuing"):
        leaf_of(tls_key(), issuing().ends_at)


def test_below_the_issuing_authority_there_are_leaves_only() -> None:
    for authority, length in ((gateways_root(), 1), (issuing(), 0), (servers_root(), 1)):
        assert (
            authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == length
        )


def test_two_certificates_never_have_one_number() -> None:
    key = tls_key()
    assert len({leaf_of(key).serial_number for _ in range(50)}) == 50


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"no request", pem(issuing().certificate)])
def test_what_is_no_request_is_refused(octets: bytes) -> None:
    with pytest.raises(CsrInvalid):
        issue_gateway(issuing(), A, octets, NOW)


def test_a_request_of_a_key_of_another_kind_is_refused() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        with pytest.raises(CsrInvalid, match="another kind"):
            issue_gateway(issuing(), A, request.public_bytes(Encoding.DER), NOW)


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    """Every bit of it: one error only, whatever the parser makes of it. What passes says what the key has signed."""
    whole = csr_of(tls_key())
    signed = x509.load_der_x509_csr(whole).tbs_certrequest_bytes
    refused = 0
    for place in range(8 * len(whole)):
        octets = bytearray(whole)
        octets[place // 8] ^= 1 << place % 8
        try:
            passed = read_csr(bytes(octets))
        except CsrInvalid:
            refused += 1
        else:  # the count of unused bits at the end of the signature
            assert passed.tbs_certrequest_bytes == signed
    assert refused >= 8 * len(whole) - 8


def test_an_authority_is_read_from_its_files_and_one_of_another_key_refused(tmp_path: Path) -> None:
    secret = issuing().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "a.key").write_bytes(secret)
    (tmp_path / "a.key").chmod(0o600)
    (tmp_path / "a.crt").write_bytes(pem(issuing().certificate, gateways_root().certificate))
    read = read_authority(tmp_path / "a.crt", tmp_path / "a.key")
    assert (read.certificate, read.above) == (issuing().certificate, (gateways_root().certificate,))
    (tmp_path / "b.crt").write_bytes(pem(gateways_root().certificate))
    with pytest.raises(AuthorityInvalid, match="do not belong together"):
        read_authority(tmp_path / "b.crt", tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o640)
    with pytest.raises(KeyFileInvalid, match="others may read"):
        read_authority(tmp_path / "a.crt", tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o600)
    (tmp_path / "a.key").write_text("canary-is-no-key")
    with pytest.raises(KeyFileInvalid, match="not the key of an authority") as caught:
        read_authority(tmp_path / "a.crt", tmp_path / "a.key")
    assert "canary" not in str(caught.value)
    with pytest.raises(AuthorityInvalid, match="no certificate there"):
        read_certificates(tmp_path / "none.crt")


def test_names_that_no_certificate_can_carry_are_refused() -> None:
    with pytest.raises(AuthorityInvalid, match="1 to 64 characters"):
        make_root("x" * 65, "root", NOW)


def files(folder: Path, *named: x509.Certificate | x509.CertificateRevocationList) -> list[str]:
    paths = []
    for one in named:
        path = folder / f"{next(_numbers)}.pem"
        path.write_bytes(one.public_bytes(Encoding.PEM))
        paths.append(str(path))
    return paths


def openssl_says(*words: str, at: datetime = NOW) -> str:
    """Give `OK`, or what openssl finds wrong with a certificate."""
    command = ["openssl", "verify", "-attime", str(int(at.timestamp())), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return "OK" if done.returncode == 0 else done.stdout + done.stderr


@needs_openssl
def test_openssl_takes_a_gateway_s_certificate_for_a_client_and_for_nothing_else(tmp_path: Path) -> None:
    root, above, leaf = files(tmp_path, gateways_root().certificate, issuing().certificate, leaf_of(tls_key()))
    chain = ("-CAfile", root, "-untrusted", above, leaf)
    assert openssl_says("-purpose", "sslclient", *chain) == "OK"
    assert "unsuitable certificate purpose" in openssl_says("-purpose", "sslserver", *chain)
    (other,) = files(tmp_path, servers_root().certificate)
    assert "unable to get" in openssl_says("-purpose", "sslclient", "-CAfile", other, "-untrusted", above, leaf)
    lapsed = openssl_says("-purpose", "sslclient", *chain, at=NOW + timedelta(days=91))
    assert "certificate has expired" in lapsed


def signed_by_hand(subject: x509.Name, authority: Authority, *extensions: x509.ExtensionType) -> x509.Certificate:
    """What somebody with the issuing key could sign."""
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(authority.certificate.subject)
    builder = builder.public_key(tls_key().public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=9))
    for one in extensions:
        builder = builder.add_extension(one, critical=True)
    return builder.sign(authority.key, hashes.SHA256())


def named(organisation: str, name: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


@needs_openssl
def test_the_issuing_key_cannot_sign_for_hosts_for_others_or_for_authorities(tmp_path: Path) -> None:
    alternative = x509.SubjectAlternativeName([x509.DNSName("bank.example")])
    stolen = {
        "permitted subtree violation": signed_by_hand(named("Another Ltd", "gw-a"), issuing()),
        "excluded subtree violation": signed_by_hand(named(ORGANISATION, "gw-a"), issuing(), alternative),
    }
    root, above = files(tmp_path, gateways_root().certificate, issuing().certificate)
    for told, certificate in stolen.items():
        path = tmp_path / "stolen.pem"
        path.write_bytes(pem(certificate))
        assert told in openssl_says("-CAfile", root, "-untrusted", above, str(path))
    below = make_issuing(Authority(issuing().certificate, issuing().key), "one more", NOW)
    (tmp_path / "chain.pem").write_bytes(pem(issuing().certificate, below.certificate))
    (tmp_path / "leaf.pem").write_bytes(pem(leaf_of(tls_key(), authority=below)))
    told = openssl_says("-CAfile", root, "-untrusted", str(tmp_path / "chain.pem"), str(tmp_path / "leaf.pem"))
    assert "path length constraint exceeded" in told


@needs_openssl
def test_a_revoked_certificate_is_on_the_list_and_the_list_lasts_as_long_as_the_authority(tmp_path: Path) -> None:
    lost, good = leaf_of(tls_key()), leaf_of(tls_key())
    revoked = revocation_list(issuing(), [Revoked(lost.serial_number, NOW)], NOW)
    assert revoked.next_update_utc == issuing().ends_at
    assert revoked.is_signature_valid(issuing().key.public_key())
    root, above, first, second, crl = files(
        tmp_path, gateways_root().certificate, issuing().certificate, lost, good, revoked
    )
    checked = ("-crl_check", "-CRLfile", crl, "-CAfile", root, "-untrusted", above)
    assert "certificate revoked" in openssl_says(*checked, first, at=NOW + timedelta(days=1))
    assert openssl_says(*checked, second, at=NOW + timedelta(days=80)) == "OK"


@needs_openssl
def test_while_two_roots_are_believed_certificates_of_both_pass(tmp_path: Path) -> None:
    """The root itself can be changed: first everybody believes both, then the new one signs, then the old one goes."""
    next_root = make_root(ORGANISATION, "gateways root 2", NOW)
    next_issuing = make_issuing(next_root, "gateways issuing 2", NOW)
    (tmp_path / "roots.pem").write_bytes(pem(gateways_root().certificate, next_root.certificate))
    for authority in (issuing(), next_issuing):
        above, leaf = files(tmp_path, authority.certificate, leaf_of(tls_key(), authority=authority))
        assert openssl_says("-CAfile", str(tmp_path / "roots.pem"), "-untrusted", above, leaf) == "OK"


@needs_openssl
def test_the_broker_gets_its_addresses_and_the_centre_none(tmp_path: Path) -> None:
    root = servers_root()
    broker = issue_server(root, "broker.metertree", ["localhost", "127.0.0.1"], csr_of(tls_key()), NOW)
    centre = issue_server(root, "centre.metertree", [], csr_of(tls_key()), NOW)
    above, first, second = files(tmp_path, root.certificate, broker, centre)
    assert openssl_says("-purpose", "sslserver", "-verify_hostname", "localhost", "-CAfile", above, first) == "OK"
    assert openssl_says("-purpose", "sslserver", "-verify_ip", "127.0.0.1", "-CAfile", above, first) == "OK"
    assert openssl_says("-purpose", "sslclient", "-CAfile", above, second) == "OK"
    assert openssl_says("-purpose", "sslserver", "-CAfile", above, second) != "OK"
