"""Keys: Ed25519 in files, and the public halves of Ed25519 and ES256 keys.

File forms. A signing key is a PKCS #8 PEM, or one line of 64 hexadecimal digits (the seed); the file must be readable
by its owner alone. A public key is a SubjectPublicKeyInfo PEM, or one line of hexadecimal digits. Raw public keys, as
in the registry and in bundles, are 32 octets for Ed25519 and the 65-octet uncompressed point for ES256. A salt key is
one line of 64 hexadecimal digits, for its owner alone as well.

A key's id is the first 8 octets of the SHA-256 of its raw public key. ES256 signatures are accepted only with the
smaller of the two possible s: otherwise anyone could turn a sealed envelope into a second one that verifies too.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

from metering.envelope import Algorithm
from metering.errors import MeteringError
from metering.identity import KeyId

SEED_OCTETS = 32
SIGNING_KEY = "signing.key"
"""File name of a signing key in a key directory."""
SALT_KEY = "salt.key"
"""File name of the centre's salt key, beside its signing key."""
SALT_KEY_OCTETS = 32
CENTRE_PUBLIC_KEY = "centre.pub"
"""File name of the centre's public key in a gateway's key directory."""
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class KeyLevel(StrEnum):
    """Where a private key is kept, as its owner says; the registry shows it, nothing attests it."""

    FILE = "file"
    TOKEN = "token"


class KeyFileInvalid(MeteringError):
    """A key file is missing, is no key of a known form, or is not kept as a key must be. The text says the mend."""

    def __init__(self, path: Path, problem: str, mend: str) -> None:
        super().__init__(f"{path}: {problem} ({mend})")
        self.path = path


class PublicKeyInvalid(MeteringError):
    """Octets are no public key of the algorithm they are said to be of."""


class Ed25519Verifier:
    """The public half of an Ed25519 key (RFC 8032)."""

    algorithm = Algorithm.EDDSA

    def __init__(self, public_key: bytes) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(public_key)
        except ValueError as error:
            raise PublicKeyInvalid(f"not an Ed25519 public key: {error}") from error
        self.public_key = public_key
        self.key_id = key_id_of(public_key)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether `signature` (64 octets) is this key's over `message`."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Es256Verifier:
    """The public half of a P-256 key, with SHA-256 and r || s signatures (RFC 9053, 2.1)."""

    algorithm = Algorithm.ES256

    def __init__(self, public_key: bytes) -> None:
        try:
            self._key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
        except ValueError as error:
            raise PublicKeyInvalid(f"not a P-256 public key: {error}") from error
        if len(public_key) != 65:
            raise PublicKeyInvalid("a P-256 public key is given as its uncompressed point, 65 octets")
        self.public_key = public_key
        self.key_id = key_id_of(public_key)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether `signature` (64 octets, smaller s) is this key's over `message`."""
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        if s > _P256_ORDER // 2:
            return False
        try:
            self._key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


PublicVerifier = Ed25519Verifier | Es256Verifier


class FileSigner:
    """An Ed25519 signing key that was read from a file."""

    algorithm = Algorithm.EDDSA
    level = KeyLevel.FILE

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = key_id_of(self.public_key)

    @classmethod
    def read(cls, path: Path) -> FileSigner:
        """Read a signing key; raises KeyFileInvalid, also when others than the owner may read the file."""
        return cls(_private_key(path, read_private(path)))

    @classmethod
    def from_seed(cls, seed: bytes) -> FileSigner:
        """Make a signer from a 32-octet seed, without a file."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; the same message always gives the same signature."""
        return self._key.sign(message)

    def verifier(self) -> Ed25519Verifier:
        """Give the public half."""
        return Ed25519Verifier(self.public_key)

    def __repr__(self) -> str:
        return f"FileSigner(key_id={self.key_id.hex()})"


def key_id_of(public_key: bytes) -> KeyId:
    """Give the id of a raw public key: the first 8 octets of its SHA-256."""
    return KeyId(hashlib.sha256(public_key).digest()[:8])


def fingerprint(public_key: bytes) -> str:
    """Give the form in which two people compare a raw public key: 16 groups of 4 hexadecimal digits of its SHA-256."""
    digits = hashlib.sha256(public_key).hexdigest()
    return " ".join(digits[start : start + 4] for start in range(0, 64, 4))


def public_verifier(algorithm: Algorithm, public_key: bytes) -> PublicVerifier:
    """Give the verifier of a raw public key; raises PublicKeyInvalid."""
    return Es256Verifier(public_key) if algorithm is Algorithm.ES256 else Ed25519Verifier(public_key)


def with_smaller_s(signature: bytes) -> bytes:
    """Give an ES256 signature r || s with the smaller of its two possible s."""
    s = int.from_bytes(signature[32:])
    return signature[:32] + min(s, _P256_ORDER - s).to_bytes(32)


def raw_verifier(public_key: bytes) -> PublicVerifier:
    """Give the verifier of a raw public key whose length says its algorithm; raises PublicKeyInvalid."""
    return public_verifier(Algorithm.ES256 if len(public_key) == 65 else Algorithm.EDDSA, public_key)


def read_public_key(path: Path) -> PublicVerifier:
    """Read a public key file of either algorithm; raises KeyFileInvalid."""
    text = _read_text(path)
    try:
        if "-----BEGIN" not in text:
            return raw_verifier(bytes.fromhex(text))
        key = serialization.load_pem_public_key(text.encode())
        if isinstance(key, Ed25519PublicKey):
            return Ed25519Verifier(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
        if isinstance(key, ec.EllipticCurvePublicKey):
            return Es256Verifier(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    except (ValueError, UnsupportedAlgorithm, PublicKeyInvalid) as error:
        raise KeyFileInvalid(path, f"not a public key: {error}", "give PEM or hexadecimal digits") from error
    raise KeyFileInvalid(path, "a key of another algorithm", "give an Ed25519 or a P-256 key")


def write_signing_key(path: Path, seed: bytes) -> FileSigner:
    """Write the Ed25519 key of a 32-octet `seed`, readable by its owner alone; never replaces another key.

    Raises KeyFileInvalid if `path` holds a different key already; the same key is left as it is.
    """
    if len(seed) != SEED_OCTETS:
        raise KeyFileInvalid(path, f"a seed has {SEED_OCTETS} octets, not {len(seed)}", "give another seed")
    signer = FileSigner.from_seed(seed)
    if not _write_once(path, _pem(seed), 0o600) and FileSigner.read(path).public_key != signer.public_key:
        raise KeyFileInvalid(path, "holds another key already", "move that file away first")
    return signer


def make_signing_key(path: Path) -> FileSigner:
    """Make a fresh signing key at `path`, or read the one that is there; raises KeyFileInvalid."""
    if not path.exists():
        _write_once(path, _pem(secrets.token_bytes(SEED_OCTETS)), 0o600)
    return FileSigner.read(path)


def write_salt_key(path: Path, key: bytes) -> None:
    """Write a salt key of 32 octets, readable by its owner alone; never replaces another. Raises KeyFileInvalid."""
    if not _write_once(path, key.hex().encode() + b"\n", 0o600) and read_salt_key(path) != key:
        raise KeyFileInvalid(path, "holds another key already", "move that file away first")


def make_salt_key(path: Path) -> bytes:
    """Make a fresh salt key at `path`, or read the one that is there; raises KeyFileInvalid."""
    if not path.exists():
        _write_once(path, secrets.token_bytes(SALT_KEY_OCTETS).hex().encode() + b"\n", 0o600)
    return read_salt_key(path)


def write_public_key(path: Path, public_key: PublicVerifier) -> None:
    """Write a public key as PEM; raises KeyFileInvalid if `path` holds a different key already."""
    pem = public_key._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not _write_once(path, pem, 0o644) and read_public_key(path).public_key != public_key.public_key:
        raise KeyFileInvalid(path, "holds another key already", "compare both keys, then move that file away")


def _pem(seed: bytes) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())


def _private_key(path: Path, text: str) -> Ed25519PrivateKey:
    try:
        if "-----BEGIN" not in text:
            return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileInvalid(
            path, f"not a signing key: {error}", "give PKCS #8 PEM or 64 hexadecimal digits"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileInvalid(path, "a key of another algorithm", "give an Ed25519 key")
    return key


def read_salt_key(path: Path) -> bytes:
    """Read the salt key that is there, and never make one; raises KeyFileInvalid."""
    text = read_private(path)
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise KeyFileInvalid(path, f"not a salt key: {error}", "give 64 hexadecimal digits") from error
    if len(key) != SALT_KEY_OCTETS:
        raise KeyFileInvalid(path, f"a salt key has {SALT_KEY_OCTETS} octets, not {len(key)}", "give another file")
    return key


def read_private(path: Path) -> str:
    """Read a text that nobody but the owner of its file may be able to read; raises KeyFileInvalid."""
    text = _read_text(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyFileInvalid(path, f"others may read or write this key (mode {mode:04o})", f"chmod 600 {path}")
    return text


def write_private(path: Path, text: str) -> None:
    """Write a text for its owner alone, durably; never replaces another. Raises KeyFileInvalid."""
    if not _write_once(path, text.encode(), 0o600) and read_private(path) != text.strip():
        raise KeyFileInvalid(path, "holds another key already", "move that file away first")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileInvalid(path, f"cannot be read: {error}", "give the path of a key file") from error


def _write_once(path: Path, content: bytes, mode: int) -> bool:
    """Write a new file whole or not at all, and durably; False if there is one already.

    A key that is torn or lost by a power cut would cost a visit, so the content is synced before it gets its name.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_synced(draft, content, mode)
        os.link(draft, path)
        _sync_directory(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise KeyFileInvalid(
            path, f"cannot be written: {error}", "give a writable directory with space left"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return True


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place of another, whole and durably: whenever the power fails, one of the two is there, complete.

    Raises KeyFileInvalid.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_synced(draft, content, mode)
        draft.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise KeyFileInvalid(
            path, f"cannot be written: {error}", "give a writable directory with space left"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
