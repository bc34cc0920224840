"""Keys in files: what is read, what is refused, what is never overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from metering.envelope import Algorithm
from provisioning import keys
from provisioning.keys import (
    Ed25519Verifier,
    Es256Verifier,
    FileSigner,
    KeyFileInvalid,
    PublicKeyInvalid,
    fingerprint,
    key_id_of,
    make_signing_key,
    public_verifier,
    read_public_key,
    write_public_key,
    write_signing_key,
)

SEED = bytes(range(32))
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# RFC 8032, 7.1, test 2.
RFC_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A signing key as the demo writes it."""
    path = tmp_path / "signing.key"
    write_signing_key(path, SEED)
    return path


def es256_pair() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """A fixed P-256 key and its raw public half."""
    key = ec.derive_private_key(12345, ec.SECP256R1())
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return key, point


def es256_signature(key: ec.EllipticCurvePrivateKey, message: bytes, *, smaller_s: bool) -> bytes:
    """Sign as a hardware key does, with either of the two s that verify."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    if (s <= P256_ORDER // 2) != smaller_s:
        s = P256_ORDER - s
    return r.to_bytes(32) + s.to_bytes(32)


def test_a_signature_is_that_of_the_standard() -> None:
    signer = FileSigner.from_seed(RFC_SEED)
    assert signer.public_key == RFC_PUBLIC
    assert signer.sign(b"\x72") == RFC_SIGNATURE
    assert Ed25519Verifier(RFC_PUBLIC).verifies(RFC_SIGNATURE, b"\x72")


def test_a_written_key_reads_back_as_the_same_key(key_file: Path) -> None:
    assert FileSigner.read(key_file).public_key == FileSigner.from_seed(SEED).public_key


def test_a_signing_key_is_readable_by_its_owner_alone(key_file: Path) -> None:
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_signing_key(tmp_path / "open.key", SEED)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "open.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o660, 0o777])
def test_a_signing_key_that_others_may_reach_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyFileInvalid, match=f"mode {mode:04o}.*chmod 600"):
        FileSigner.read(key_file)


def test_a_signing_key_may_be_one_line_of_digits(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_text(SEED.hex() + "\n")
    path.chmod(0o600)
    assert FileSigner.read(path).public_key == FileSigner.from_seed(SEED).public_key


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"00" * 31,
        b"zz" * 32,
        b"\xff\xfe",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        rsa.generate_private_key(65537, 1024).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        es256_pair()[0].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        ),
    ],
    ids=["empty", "short", "no digits", "no text", "broken PEM", "another algorithm", "encrypted"],
)
def test_what_is_no_signing_key_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileInvalid, match=re_escaped(path)):
        FileSigner.read(path)


def re_escaped(path: Path) -> str:
    """The path as a pattern."""
    return str(path).replace(".", r"\.")


def test_a_missing_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileInvalid, match="cannot be read"):
        FileSigner.read(tmp_path / "nothing.key")
    with pytest.raises(KeyFileInvalid, match="cannot be read"):
        read_public_key(tmp_path / "nothing.pub")


def test_a_key_is_never_replaced_by_another(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(KeyFileInvalid, match="another key"):
        write_signing_key(key_file, bytes(32))
    assert key_file.read_bytes() == before


def test_writing_the_same_key_again_changes_nothing(key_file: Path) -> None:
    before = key_file.stat()
    write_signing_key(key_file, SEED)
    assert key_file.stat().st_ino == before.st_ino


def test_no_draft_is_left_beside_a_key(key_file: Path) -> None:
    write_signing_key(key_file, SEED)
    assert [path.name for path in key_file.parent.iterdir()] == ["signing.key"]


def test_a_key_that_could_not_be_synced_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing_fsync(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", failing_fsync)
    with pytest.raises(KeyFileInvalid, match="No space left"):
        write_signing_key(tmp_path / "signing.key", SEED)
    assert list(tmp_path.iterdir()) == []


def test_a_key_in_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileInvalid, match="cannot be written"):
        write_signing_key(tmp_path / "no" / "signing.key", SEED)


def test_a_seed_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileInvalid, match="a seed has 32 octets, not 31"):
        write_signing_key(tmp_path / "signing.key", SEED[1:])


def test_making_a_key_keeps_the_one_that_is_there(tmp_path: Path) -> None:
    first = make_signing_key(tmp_path / "a.key")
    assert make_signing_key(tmp_path / "a.key").public_key == first.public_key
    assert make_signing_key(tmp_path / "b.key").public_key != first.public_key


def test_a_key_id_is_the_start_of_the_hash_of_the_public_key() -> None:
    signer = FileSigner.from_seed(RFC_SEED)
    assert signer.key_id == key_id_of(RFC_PUBLIC) == Ed25519Verifier(RFC_PUBLIC).key_id
    assert len(signer.key_id) == 8
    assert fingerprint(RFC_PUBLIC).replace(" ", "").startswith(signer.key_id.hex())


def test_a_signer_does_not_show_its_secret() -> None:
    assert SEED.hex() not in repr(FileSigner.from_seed(SEED))


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_a_changed_ed25519_signature_does_not_verify(position: int) -> None:
    signature = bytearray(RFC_SIGNATURE)
    signature[position] ^= 1
    verifier = Ed25519Verifier(RFC_PUBLIC)
    assert not verifier.verifies(bytes(signature), b"\x72")
    assert not verifier.verifies(RFC_SIGNATURE, b"\x73")
    assert not verifier.verifies(RFC_SIGNATURE[:-1], b"\x72")


def test_an_es256_signature_verifies_with_the_smaller_s_alone() -> None:
    key, point = es256_pair()
    verifier = public_verifier(Algorithm.ES256, point)
    assert verifier.algorithm is Algorithm.ES256
    assert verifier.verifies(es256_signature(key, b"sweep", smaller_s=True), b"sweep")
    assert not verifier.verifies(es256_signature(key, b"sweep", smaller_s=False), b"sweep")


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: bytes(len(s)), lambda s: bytes([s[0] ^ 1]) + s[1:]])
def test_a_changed_es256_signature_does_not_verify(change: Callable[[bytes], bytes]) -> None:
    key, point = es256_pair()
    signature = es256_signature(key, b"sweep", smaller_s=True)
    assert not Es256Verifier(point).verifies(change(signature), b"sweep")
    assert not Es256Verifier(point).verifies(signature, b"sweeq")


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("octets", [b"", bytes(31), bytes(65), b"\x04" + bytes(64), b"\x02" + bytes(32)])
def test_octets_that_are_no_public_key_are_refused(algorithm: Algorithm, octets: bytes) -> None:
    with pytest.raises(PublicKeyInvalid):
        public_verifier(algorithm, octets)


def test_a_compressed_point_is_refused() -> None:
    key, _ = es256_pair()
    compressed = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    with pytest.raises(PublicKeyInvalid, match="65 octets"):
        Es256Verifier(compressed)


@pytest.mark.parametrize(
    "verifier", [Ed25519Verifier(RFC_PUBLIC), Es256Verifier(es256_pair()[1])], ids=["EdDSA", "ES256"]
)
def test_a_public_key_file_reads_back(tmp_path: Path, verifier: Ed25519Verifier | Es256Verifier) -> None:
    path = tmp_path / "some.pub"
    write_public_key(path, verifier)
    again = read_public_key(path)
    assert (again.algorithm, again.public_key) == (verifier.algorithm, verifier.public_key)
    path.write_text(verifier.public_key.hex())
    again = read_public_key(path)
    assert (again.algorithm, again.public_key) == (verifier.algorithm, verifier.public_key)


def test_a_public_key_file_is_never_replaced_by_another(tmp_path: Path) -> None:
    path = tmp_path / "centre.pub"
    write_public_key(path, Ed25519Verifier(RFC_PUBLIC))
    write_public_key(path, Ed25519Verifier(RFC_PUBLIC))
    with pytest.raises(KeyFileInvalid, match="another key"):
        write_public_key(path, FileSigner.from_seed(SEED).verifier())
    assert read_public_key(path).public_key == RFC_PUBLIC


@pytest.mark.parametrize(
    "content",
    [
        "",
        "00" * 31,
        "no key",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        rsa.generate_private_key(65537, 1024)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
    ids=["empty", "short", "no digits", "broken PEM", "RSA", "another curve"],
)
def test_what_is_no_public_key_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / "centre.pub"
    path.write_text(content)
    with pytest.raises(KeyFileInvalid, match=re_escaped(path)):
        read_public_key(path)
