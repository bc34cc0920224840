"""A gateway's TLS key: one file with its certificate, replaced as a whole, whenever the process ends."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from metering.identity import GatewayId
from provisioning.authority import issue_gateway
from provisioning.broker_tls import BrokerTls
from provisioning.keys import Es256Verifier, KeyFileInvalid, write_private
from provisioning.tls_key import (
    NEXT_FILE,
    TLS_FILE,
    CertificateUnfit,
    install_certificate,
    key_in_use,
    key_that_waits,
    own_certificate,
    request_certificate,
    write_roots,
)
from tests.doubles.authorities import MADE_AT, csr_of, gateways_root, issuing, pem, servers_root, tls_key

A = GatewayId("gw-a")
NOW = MADE_AT + timedelta(days=10)


def chain_for(csr: bytes, gateway: GatewayId = A) -> tuple[bytes, ...]:
    return issue_gateway(issuing(), gateway, csr, NOW)


def installed(folder: Path) -> x509.Certificate:
    return install_certificate(folder, A, chain_for(request_certificate(folder, A)))


def test_the_same_request_is_given_until_its_certificate_came(tmp_path: Path) -> None:
    first = request_certificate(tmp_path, A)
    assert request_certificate(tmp_path, A) == first
    install_certificate(tmp_path, A, chain_for(first))
    assert request_certificate(tmp_path, A) != first


def test_key_and_certificate_lie_in_one_file_for_its_owner_alone(tmp_path: Path) -> None:
    request_certificate(tmp_path, A)
    assert stat.S_IMODE((tmp_path / NEXT_FILE).stat().st_mode) == 0o600
    certificate = installed(tmp_path)
    assert stat.S_IMODE((tmp_path / TLS_FILE).stat().st_mode) == 0o600
    assert not (tmp_path / NEXT_FILE).exists()
    assert own_certificate(tmp_path) == certificate
    roots = write_roots(tmp_path, [servers_root().certificate.public_bytes(Encoding.DER)])
    BrokerTls(roots, tmp_path / TLS_FILE, tmp_path / TLS_FILE).context()
    assert BrokerTls(roots, tmp_path / TLS_FILE, tmp_path / TLS_FILE).days_left(NOW) == 90


def test_an_answer_that_comes_twice_changes_nothing(tmp_path: Path) -> None:
    chain = chain_for(request_certificate(tmp_path, A))
    install_certificate(tmp_path, A, chain)
    before = (tmp_path / TLS_FILE).read_bytes()
    install_certificate(tmp_path, A, chain)
    assert (tmp_path / TLS_FILE).read_bytes() == before


def test_a_certificate_that_does_not_fit_leaves_everything_as_it_is(tmp_path: Path) -> None:
    installed(tmp_path)
    csr = request_certificate(tmp_path, A)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    own, above = chain_for(csr)
    root = gateways_root().certificate.public_bytes(Encoding.DER)
    for chain, told in (
        (chain_for(csr_of(tls_key())), "not for the key that waits"),
        (chain_for(csr, GatewayId("gw-b")), "is for gw-b"),
        ((own, root), "no chain"),
        ((), "0 certificates"),
        ((own, above) * 3, "6 certificates"),
        ((own[:-1],), "no certificate"),
    ):
        with pytest.raises(CertificateUnfit, match=told):
            install_certificate(tmp_path, A, chain)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_certificate_for_which_no_key_waits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CertificateUnfit, match="not for the key that waits"):
        install_certificate(tmp_path, A, chain_for(csr_of(tls_key())))


def test_the_tls_key_signs_as_a_registered_key_does(tmp_path: Path) -> None:
    request_certificate(tmp_path, A)
    waiting = key_that_waits(tmp_path)
    assert waiting is not None
    installed(tmp_path)
    used = key_in_use(tmp_path)
    assert used is not None
    assert used.public_key == waiting.public_key
    for number in range(20):
        message = b"%d" % number
        assert Es256Verifier(used.public_key).verifies(used.sign(message), message)
    assert key_that_waits(tmp_path) is None


@pytest.mark.parametrize(("name", "reader"), [(NEXT_FILE, key_that_waits), (TLS_FILE, key_in_use)])
def test_a_damaged_file_is_named_with_its_mend_and_its_content_not_shown(
    tmp_path: Path, name: str, reader: Callable[[Path], object]
) -> None:
    write_private(tmp_path / name, "canary-is-no-key")
    with pytest.raises(KeyFileInvalid, match=name) as caught:
        reader(tmp_path)
    assert "canary" not in str(caught.value)


def test_roots_are_replaced_and_two_are_believed_at_once(tmp_path: Path) -> None:
    both = [one.certificate.public_bytes(Encoding.DER) for one in (servers_root(), gateways_root())]
    write_roots(tmp_path, both[:1])
    path = write_roots(tmp_path, both)
    context = ssl.create_default_context(cafile=str(path))
    assert len(context.get_ca_certs()) == 2
    assert path.read_bytes() == pem(servers_root().certificate, gateways_root().certificate)
    with pytest.raises(CertificateUnfit):
        write_roots(tmp_path, [])
    assert len(path.read_bytes()) > 500


class _Killed(BaseException):
    """The process ends here."""


def dies_before(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let the process die before its n-th act on the disk; gives the acts that were done."""
    done: list[str] = []

    def watched(name: str, act: Callable[..., object]) -> Callable[..., object]:
        def do(*args: object, **named: object) -> object:
            if len(done) >= step:
                raise _Killed
            done.append(name)
            return act(*args, **named)

        return do

    for owner, name in ((os, "open"), (os, "fsync"), (os, "link"), (Path, "rename"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    return done


def test_killed_at_any_step_of_a_renewal_key_and_certificate_belong_together_and_the_next_attempt_ends_it(
    tmp_path: Path,
) -> None:
    """Every prefix of the acts on the disk, from making the key to removing what waited."""
    step, ended = 0, False
    while not ended:
        folder = tmp_path / str(step)
        folder.mkdir()
        old, csr = installed(folder), b""
        with pytest.MonkeyPatch.context() as patch:
            dies_before(patch, step)
            try:
                csr = request_certificate(folder, A)
                install_certificate(folder, A, chain_for(csr))
                ended = True
            except _Killed:
                pass
        found = own_certificate(folder)
        assert found is not None
        BrokerTls(None, folder / TLS_FILE, folder / TLS_FILE).context()  # raises where they do not belong together
        key = key_in_use(folder)
        assert key is not None
        assert key.public_key == found.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        again = request_certificate(folder, A)
        if found == old and csr:
            assert again == csr, "another request for the same renewal would look like a copy of the card"
        assert x509.load_der_x509_csr(again).public_key() != found.public_key(), "each certificate has a key of its own"
        after = installed(folder)
        assert after != old
        step += 1
    assert step > 10, "the acts on the disk were not seen"
