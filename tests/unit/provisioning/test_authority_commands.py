"""`metertree-provision ca` and `broker-config`, as they are typed."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from metering.clock import ManualClock
from metering.identity import GatewayId
from provisioning.authority import AuthorityInvalid, Revoked, is_below, name_of, read_certificates
from provisioning.authority_folder import (
    CentreAuthority,
    issue_centre,
    make_authority,
    renew_issuing,
    renew_root,
)
from provisioning.cli import main
from provisioning.keys import KeyFileInvalid
from tests.doubles.authorities import MADE_AT, csr_of, tls_key

A = GatewayId("gw-a")
PARK = Path(__file__).parents[3] / "examples/park"


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    code = main([*words, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    answer = json.loads(out)
    assert isinstance(answer, dict)
    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_authority(tmp_path / "ca", "Example Park Power", MADE_AT)
    return tmp_path / "ca"


def leaf(folder: Path, days: float = 1) -> x509.Certificate:
    chain = CentreAuthority.read(folder / "centre").issue(A, csr_of(tls_key()), MADE_AT + timedelta(days=days))
    return x509.load_der_x509_certificate(chain[0])


def test_an_authority_is_made_once_shown_and_its_keys_are_private(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--dir", str(tmp_path / "ca"))
    answer = ran(capsys, "ca", "init", *words, "--organisation", "Example Park Power")
    assert "offline" in str(answer["next"])
    for key in (tmp_path / "ca").rglob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert {key.name for key in (tmp_path / "ca/offline").iterdir()} == {"gateways-root.key", "servers-root.key"}
    assert not list((tmp_path / "ca/broker").glob("*.key"))
    assert set(ran(capsys, "ca", "show", *words)) == {
        "gateways-issuing.crt",
        "gateways-roots.crt",
        "servers-roots.crt",
    }
    ran(capsys, "ca", "broker", *words, "localhost", "127.0.0.1")
    ran(capsys, "ca", "centre", *words)
    assert name_of(read_certificates(tmp_path / "ca/broker/broker.crt")[0]) == "broker.metertree"
    assert name_of(read_certificates(tmp_path / "ca/centre/centre.crt")[0]) == "centre.metertree"
    assert {"broker.crt", "centre.crt"} <= set(ran(capsys, "ca", "show", *words))
    assert main(["ca", "init", *words, "--organisation", "Another"]) == 1
    assert "there is an authority already" in capsys.readouterr().err


def test_a_gateway_gets_a_certificate_by_hand_where_no_centre_gives_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.cli.SystemClock", lambda: ManualClock(MADE_AT + timedelta(days=3)))
    key = tls_key()
    (tmp_path / "gw.csr").write_bytes(csr_of(key))
    words = ("--dir", str(folder), "--gateway", A, "--csr", str(tmp_path / "gw.csr"), "--out", str(tmp_path / "gw.crt"))
    ran(capsys, "ca", "gateway", *words)
    made = read_certificates(tmp_path / "gw.crt")
    assert (name_of(made[0]), made[0].public_key()) == (A, key.public_key())
    assert is_below(made[0], made[1:])


def test_without_the_offline_keys_nothing_above_the_issuing_authority_is_made(folder: Path) -> None:
    (folder / "offline").rename(folder / "on-a-stick")
    assert leaf(folder), "the centre goes on"
    for make in (
        lambda: renew_issuing(folder, MADE_AT),
        lambda: renew_root(folder, "gateways-root", MADE_AT),
        lambda: issue_centre(folder, MADE_AT),
    ):
        with pytest.raises(AuthorityInvalid, match="bring back the stick"):
            make()


def test_a_new_issuing_authority_still_lists_what_the_old_one_gave(folder: Path) -> None:
    lost = leaf(folder)
    renew_issuing(folder, MADE_AT + timedelta(days=900))
    now = MADE_AT + timedelta(days=901)
    authority = CentreAuthority.read(folder / "centre")
    pem = authority.revoked_list([Revoked(lost.serial_number, now)], now)
    lists = [
        x509.load_pem_x509_crl(b"-----BEGIN X509 CRL-----" + part)
        for part in pem.split(b"-----BEGIN X509 CRL-----")[1:]
    ]
    assert {one.issuer for one in lists} == {lost.issuer, authority.issuing.certificate.subject}
    assert all(one.get_revoked_certificate_by_serial_number(lost.serial_number) for one in lists)
    after = MADE_AT + timedelta(days=1200)
    assert authority.revoked_list([], after).count(b"BEGIN") == 1, "the old one has lapsed"
    assert is_below(leaf(folder, 901), [authority.issuing.certificate])


def test_two_roots_are_believed_until_the_old_file_is_removed(folder: Path) -> None:
    old = read_certificates(folder / "gateways-root.crt")[0]
    renew_root(folder, "gateways-root", MADE_AT + timedelta(days=3000))
    for place in ("centre", "broker"):
        assert len(read_certificates(folder / place / "gateways-roots.crt")) == 2
    renew_issuing(folder, MADE_AT + timedelta(days=3001))
    issuing = CentreAuthority.read(folder / "centre").issuing.certificate
    assert not is_below(issuing, [old])
    (folder / "gateways-root-1.crt").unlink()
    renew_issuing(folder, MADE_AT + timedelta(days=3002))
    assert read_certificates(folder / "broker/gateways-roots.crt") == read_certificates(folder / "gateways-root.crt")


def test_roots_do_not_pile_up(folder: Path) -> None:
    for number in range(3):
        renew_root(folder, "servers-root", MADE_AT + timedelta(days=number))
    with pytest.raises(AuthorityInvalid, match=r"remove servers-root-1\.crt first"):
        renew_root(folder, "servers-root", MADE_AT + timedelta(days=9))


def test_a_pair_that_was_cut_apart_is_told(folder: Path) -> None:
    old = (folder / "centre/gateways-issuing.crt").read_bytes()
    renew_issuing(folder, MADE_AT + timedelta(days=3))
    (folder / "centre/gateways-issuing.crt").write_bytes(old)
    with pytest.raises(AuthorityInvalid, match="do not belong together"):
        CentreAuthority.read(folder / "centre")
    (folder / "centre/gateways-issuing.key").unlink()
    with pytest.raises(KeyFileInvalid, match="cannot be read"):
        CentreAuthority.read(folder / "centre")


def test_broker_config_names_the_gateways_of_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ran(capsys, "broker-config", "--out", str(tmp_path), "--site-dir", str(PARK), "--gateway", "gw-extra")
    assert answer["gateways"] == 3
    acl = tmp_path / "metertree.acl"
    assert stat.S_IMODE(acl.stat().st_mode) == 0o600
    assert [line for line in acl.read_text().splitlines() if line.startswith("user gw")] == [
        "user gw-a",
        "user gw-b",
        "user gw-extra",
    ]
    assert "listener 8883" in (tmp_path / "metertree.conf").read_text()
    ran(capsys, "broker-config", "--out", str(tmp_path), "--gateways-port", "18883", "--acl", "/srv/acl")
    assert "pattern write" in acl.read_text(), "without names, patterns"
    conf = (tmp_path / "metertree.conf").read_text()
    assert "listener 18883" in conf
    assert "acl_file /srv/acl" in conf


def test_a_name_with_a_wildcard_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["broker-config", "--out", str(tmp_path / "out"), "--gateway", "+"]) == 1
    assert "metertree-provision:" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
