"""Signing keys in files and in a token (SoftHSM2): one file names the key, whatever keeps it."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metering.clock import ClockQuality, ClockState
from metering.envelope import Algorithm, Envelope, open_sealed, seal
from metering.identity import GatewayId
from provisioning import keys
from provisioning.keys import FileSigner, KeyFileInvalid, KeyLevel, make_signing_key, public_verifier
from provisioning.signers import TokenPlace, make_signer, open_signer, token
from provisioning.signers.token import TokenSigner, TokenUnavailable
from tests.doubles.soft_token import LOCKED, PIN, find_module, fresh_place

needs_token = pytest.mark.skipif(
    find_module() is None, reason="no SoftHSM2 or python-pkcs11: scripts/install_softhsm.sh, pip install metertree[hsm]"
)
both = pytest.mark.parametrize("algorithm", [Algorithm.ES256, Algorithm.EDDSA])
URI = "pkcs11:token=metertree;object=signing?module-path=/usr/lib/m.so&pin-source=file:/etc/metertree/pin"


def test_a_key_in_a_file_is_opened_as_ever(tmp_path: Path) -> None:
    made = make_signing_key(tmp_path / "signing.key")
    opened = open_signer(tmp_path / "signing.key")
    assert isinstance(opened, FileSigner)
    assert (opened.public_key, opened.level) == (made.public_key, KeyLevel.FILE)


def test_a_key_is_made_once_in_a_file(tmp_path: Path) -> None:
    first = make_signer(tmp_path / "signing.key")
    assert make_signer(tmp_path / "signing.key").public_key == first.public_key


def test_a_uri_is_read_and_written_without_loss(tmp_path: Path) -> None:
    place = TokenPlace("a token;1", "sign&ing?", Path("/opt/m o.so"), Path("/etc/pin file"), tmp_path)
    assert TokenPlace.parse(place.text(), tmp_path) == place
    read = TokenPlace.parse(URI, tmp_path)
    assert (read.token, read.label, read.module) == ("metertree", "signing", Path("/usr/lib/m.so"))
    assert read.pin_file == Path("/etc/metertree/pin")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("pkcs11:object=signing?module-path=/m.so&pin-source=file:/pin", "token is missing"),
        ("pkcs11:token=m?module-path=/m.so&pin-source=file:/pin", "object is missing"),
        ("pkcs11:token=m;object=s?pin-source=file:/pin", "module-path is missing"),
        ("pkcs11:token=m;object=s?module-path=/m.so", "pin-source is missing"),
        ("pkcs11:token=m;object=s?module-path=/m.so&pin-source=|echo", "names no file"),
        ("pkcs11:token=m;token=n;object=s?module-path=/m.so&pin-source=file:/pin", "twice"),
        ("pkcs11:token=m;object=s?module-path=/m.so&pin-value=canary", "pin-value is not in use here"),
        ("http:token=m", "names no key in a token"),
        (URI + "\n" + URI, "names no key in a token"),
    ],
)
def test_a_uri_that_says_too_little_or_too_much_is_refused_without_being_repeated(uri: str, told: str) -> None:
    with pytest.raises(KeyFileInvalid, match=told) as caught:
        TokenPlace.parse(uri, Path("keys/signing.key"))
    assert "keys/signing.key" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_the_file_that_names_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whoever could write it could have us sign with another key."""
    path = tmp_path / "signing.key"
    path.write_text(URI)
    path.chmod(0o644)
    with pytest.raises(KeyFileInvalid, match="others may read or write"):
        open_signer(path)


def test_without_the_token_s_library_the_mend_is_told(tmp_path: Path) -> None:
    pytest.importorskip("pkcs11")
    path = tmp_path / "signing.key"
    keys.write_private(path, URI)
    with pytest.raises(TokenUnavailable, match=r"no module /usr/lib/m\.so"):
        open_signer(path)


@needs_token
@both
def test_a_key_in_a_token_signs_what_its_public_half_proves(tmp_path: Path, algorithm: Algorithm) -> None:
    path = tmp_path / "signing.key"
    made = make_signer(path, fresh_place(path).text(), algorithm)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    opened = open_signer(path)
    assert isinstance(opened, TokenSigner)
    assert (opened.public_key, opened.key_id, opened.algorithm) == (made.public_key, made.key_id, algorithm)
    assert opened.level is KeyLevel.TOKEN
    registered = public_verifier(algorithm, made.public_key)
    for number in range(20):  # half of all ES256 signatures come with the larger s
        message = b"message %d" % number
        signature = opened.sign(message)
        assert registered.verifies(signature, message)
        assert not registered.verifies(signature, message + b"!")


@needs_token
@both
def test_an_envelope_of_a_token_s_key_is_opened_by_the_registry_s(tmp_path: Path, algorithm: Algorithm) -> None:
    signer = TokenSigner.make(fresh_place(tmp_path), algorithm)
    at = datetime(2026, 7, 1, tzinfo=UTC)
    clock = ClockState(ClockQuality.SYNCHRONISED, 5)
    envelope = Envelope(GatewayId("gw-a"), 1, 1, bytes(32), bytes(16), at, clock, at, ())
    sealed = open_sealed(seal(envelope, signer), public_verifier(algorithm, signer.public_key))
    assert sealed.envelope == envelope


@needs_token
def test_a_key_that_was_made_before_the_file_was_written_is_found_again(tmp_path: Path) -> None:
    place = fresh_place(tmp_path / "signing.key")
    before = TokenSigner.make(place, Algorithm.ES256)
    assert make_signer(tmp_path / "signing.key", place.text()).public_key == before.public_key


@needs_token
def test_a_key_cannot_be_taken_out_of_the_token(tmp_path: Path) -> None:
    import pkcs11

    place = fresh_place(tmp_path)
    TokenSigner.make(place, Algorithm.ES256)
    with pkcs11.lib(str(place.module)).get_token(token_label=place.token).open() as session:  # logged in by ours
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=place.label)
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


@needs_token
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": "never-made"}, "there is no such key"),
        ({"token": "another"}, "not exactly one such token"),
        ({"module": Path("/usr/lib/none.so")}, "there is no module"),
    ],
)
def test_what_is_wrong_with_a_token_is_told_with_the_mend(
    tmp_path: Path, change: dict[str, str | Path], told: str
) -> None:
    place = fresh_place(tmp_path / "signing.key")
    TokenSigner.make(place, Algorithm.ES256)
    with pytest.raises(TokenUnavailable, match=told):
        TokenSigner.open(replace(place, **change))  # type: ignore[arg-type]


@needs_token
def test_a_wrong_pin_is_told_and_not_shown(tmp_path: Path) -> None:
    pin_file = tmp_path / "pin"
    keys.write_private(pin_file, "canary-wrong-pin")
    with pytest.raises(TokenUnavailable, match="the PIN does not open it") as caught:
        TokenSigner.make(replace(fresh_place(tmp_path), token=LOCKED, pin_file=pin_file), Algorithm.ES256)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


@needs_token
def test_a_pin_that_others_may_read_is_refused(tmp_path: Path) -> None:
    pin_file = tmp_path / "pin"
    pin_file.write_text(PIN)
    pin_file.chmod(0o640)
    with pytest.raises(KeyFileInvalid, match="others may read"):
        TokenSigner.make(replace(fresh_place(tmp_path), token=LOCKED, pin_file=pin_file), Algorithm.ES256)


@needs_token
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library's search in the closed one
def test_a_session_that_ended_is_opened_again(tmp_path: Path) -> None:
    place = fresh_place(tmp_path)
    signer = TokenSigner.make(place, Algorithm.ES256)
    signer.sign(b"first")
    session = token._door(place)._session
    assert session is not None
    session.close()
    assert signer.verifier().verifies(signer.sign(b"second"), b"second")


@needs_token
def test_threads_may_sign_at_once(tmp_path: Path) -> None:
    signer = TokenSigner.make(fresh_place(tmp_path), Algorithm.ES256)
    failures: list[str] = []

    def sign_many(number: int) -> None:
        for turn in range(25):
            message = b"%d/%d" % (number, turn)
            if not signer.verifier().verifies(signer.sign(message), message):
                failures.append(message.decode())

    threads = [threading.Thread(target=sign_many, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert failures == []
