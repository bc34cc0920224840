"""Keys for simulations: keyed hashes in the place of signatures.

Nobody forges in the simulation; octets only get lost or damaged. A keyed hash notices that as well as Ed25519 does and
is a hundred times cheaper, so that a second buys more faults. Deterministic, as Ed25519 is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from metering.envelope import Algorithm
from metering.identity import KeyId


@dataclass(frozen=True)
class SimVerifier:
    """The half that checks; the same secret, since this is no real key pair."""

    secret: bytes
    algorithm: Algorithm = Algorithm.EDDSA

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether `signature` is the keyed hash of `message`."""
        return signature == _keyed(self.secret, message)


class SimSigner:
    """The half that seals; made from a name."""

    algorithm = Algorithm.EDDSA

    def __init__(self, name: str) -> None:
        self._secret = hashlib.sha256(name.encode()).digest()
        self.key_id = KeyId(hashlib.sha256(b"key id" + self._secret).digest()[:8])

    def sign(self, message: bytes) -> bytes:
        """Give the keyed hash of `message`, as long as an Ed25519 signature."""
        return _keyed(self._secret, message)

    @property
    def verifier(self) -> SimVerifier:
        """The other half."""
        return SimVerifier(self._secret)


def _keyed(secret: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, key=secret, digest_size=64).digest()
