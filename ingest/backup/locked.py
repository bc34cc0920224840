"""Files that only the holder of one private key can read: whoever makes backups need not be able to read them.

Theory of operation. Each file has a key of its own: an ephemeral X25519 key (RFC 7748) agrees with the recipient's, and
HKDF-SHA256 (RFC 5869) over both public keys gives the AES-256-GCM key. The content follows in chunks of 1 MiB; a
chunk's nonce is its number and whether it is the last, so that none can be left out, doubled or moved, and the name of
the part is bound to each. A key serves one file, so no nonce is ever used twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from metering.errors import MeteringError

MAGIC = b"metertree-locked/1\n"
CHUNK_OCTETS = 1 << 20
TAG_OCTETS = 16
KEY_OCTETS = 32
PRIVATE_KEY = "backup.key"
PUBLIC_KEY = "backup.pub"


class KeyUnusable(MeteringError):
    """A file with a key for backups cannot be read, or is none."""


class Unreadable(MeteringError):
    """A locked file was changed, or is for another key."""


class Recipient:
    """For whom backups are locked."""

    def __init__(self, public_key: bytes) -> None:
        self.public_key = public_key
        self._key = X25519PublicKey.from_public_bytes(public_key)

    @classmethod
    def read(cls, path: Path) -> Recipient:
        """Read a public key; raises KeyUnusable."""
        return cls(_read_key(path))

    @property
    def fingerprint(self) -> str:
        """First 8 octets of SHA-256 of the public key, in hex."""
        return hashlib.sha256(self.public_key).digest()[:8].hex()

    def lock(self, blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
        """Lock a file named `name`."""
        ephemeral = X25519PrivateKey.generate()
        shown = ephemeral.public_key().public_bytes_raw()
        cipher = _cipher(ephemeral.exchange(self._key), shown, self.public_key)
        yield MAGIC + shown
        for number, chunk, last in _chunks(blocks, CHUNK_OCTETS):
            yield cipher.encrypt(_nonce(number, last=last), chunk, name.encode())


class Identity:
    """Who can read what was locked for him."""

    def __init__(self, private_key: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(private_key)
        self.recipient = Recipient(self._key.public_key().public_bytes_raw())

    @classmethod
    def read(cls, path: Path) -> Identity:
        """Read a private key; raises KeyUnusable."""
        return cls(_read_key(path))

    def unlock(self, blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
        """Give the content of the file named `name`, each chunk once it is proven; raises Unreadable."""
        source = _Source(blocks)
        head = source.take(len(MAGIC) + KEY_OCTETS)
        if len(head) != len(MAGIC) + KEY_OCTETS or not head.startswith(MAGIC):
            raise Unreadable(f"{name} is not a locked file")
        shown = head[len(MAGIC) :]
        shared = self._key.exchange(X25519PublicKey.from_public_bytes(shown))
        cipher = _cipher(shared, shown, self.recipient.public_key)
        for number, chunk, last in _chunks(source.rest(), CHUNK_OCTETS + TAG_OCTETS):
            try:
                yield cipher.decrypt(_nonce(number, last=last), chunk, name.encode())
            except InvalidTag as error:
                raise Unreadable(f"{name} was changed, or locked for another key: chunk {number}") from error


def make_keys(folder: Path) -> Recipient:
    """Write a new pair of keys into `folder`, the private one 0600; raises KeyUnusable where one is already."""
    identity = os.urandom(KEY_OCTETS)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(folder / PRIVATE_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(identity.hex() + "\n")
    except OSError as error:
        raise KeyUnusable(f"{folder / PRIVATE_KEY} cannot be written: {error}; name another folder") from error
    recipient = Identity(identity).recipient
    (folder / PUBLIC_KEY).write_text(recipient.public_key.hex() + "\n", encoding="ascii")
    return recipient


def _read_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise KeyUnusable(f"{path} holds no key: {error}; make a pair with: metertree backup --make-key DIR") from error
    if len(key) != KEY_OCTETS:
        raise KeyUnusable(f"{path} holds {len(key)} octets, a key has {KEY_OCTETS}")
    return key


def _cipher(shared: bytes, ephemeral: bytes, recipient: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_OCTETS, ephemeral + recipient, b"metertree backup part 1").derive(shared))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _chunks(blocks: Iterable[bytes], octets: int) -> Iterator[tuple[int, bytes, bool]]:
    """Give chunks of `octets`, numbered, and whether each is the last, which alone may be shorter."""
    source = _Source(blocks)
    chunk, number = source.take(octets), 0
    while True:
        following = source.take(octets)
        yield number, chunk, not following
        if not following:
            return
        chunk, number = following, number + 1


class _Source:
    """Blocks of any size, taken in sizes one wants."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._gathered = bytearray()

    def take(self, octets: int) -> bytes:
        """Give so many octets, or what is left."""
        while len(self._gathered) < octets:
            block = next(self._blocks, None)
            if block is None:
                break
            self._gathered += block
        taken = bytes(self._gathered[:octets])
        del self._gathered[:octets]
        return taken

    def rest(self) -> Iterator[bytes]:
        """Give everything else."""
        yield bytes(self._gathered)
        yield from self._blocks
