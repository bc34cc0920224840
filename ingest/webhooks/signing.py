"""Secrets of endpoints: made, written as the Standard Webhooks specification says, sealed at rest, and signing. Pure.

Theory of operation. What is signed is `<webhook-id>.<webhook-timestamp>.<body>`. With HMAC-SHA256 both sides know the
secret (`whsec_` and base64 of its octets) and the signature is `v1,<base64>`; with Ed25519 the receiver knows only the
public key (`whpk_`), and the signature is `v1a,<base64>`. While a secret is being rotated old and new both sign, and
the header holds both signatures with a space between. In the database a secret is sealed by ChaCha20-Poly1305 under a
key derived from the centre's salt key, and bound to its place: a row moved to another endpoint cannot be opened there.
Source: Standard Webhooks, spec/standard-webhooks.md, "Signature scheme" and "Webhook headers".
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from metering.errors import MeteringError

SECRET_OCTETS = 32
"""The specification wants 24 to 64."""
_NONCE_OCTETS = 12
_PURPOSE = b"metertree webhook secrets/1"


class SealBroken(MeteringError):
    """A sealed secret cannot be opened: it was changed or moved, or the salt key is another centre's."""


class Algorithm(StrEnum):
    """How deliveries are signed."""

    HMAC = "hmac-sha256"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class Secret:
    """What deliveries to one endpoint are signed with: the octets of an HMAC key, or the seed of an Ed25519 key."""

    algorithm: Algorithm
    octets: bytes = field(repr=False)

    @classmethod
    def fresh(cls, algorithm: Algorithm) -> Secret:
        """Make one by chance."""
        return cls(algorithm, secrets.token_bytes(SECRET_OCTETS))

    @property
    def public_key(self) -> str | None:
        """Give the public key as the specification writes it; None for HMAC."""
        if self.algorithm is Algorithm.HMAC:
            return None
        return "whpk_" + _text(self._key().public_key().public_bytes_raw())

    @property
    def shown(self) -> str:
        """Give what the receiver is shown once: the secret itself, or the public key."""
        return self.public_key or "whsec_" + _text(self.octets)

    def sign(self, content: bytes) -> str:
        """Sign, with the identifier of the scheme in front."""
        if self.algorithm is Algorithm.HMAC:
            return "v1," + _text(hmac.digest(self.octets, content, "sha256"))
        return "v1a," + _text(self._key().sign(content))

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.octets)


class SecretBox:
    """Seals secrets for the database and opens them again."""

    def __init__(self, salt_key: bytes) -> None:
        derived = HKDF(hashes.SHA256(), 32, salt=None, info=_PURPOSE).derive(salt_key)
        self._cipher = ChaCha20Poly1305(derived)

    def seal(self, secret: Secret, endpoint: str, number: int) -> bytes:
        """Seal the secret `number` of an endpoint."""
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, secret.octets, _place(secret.algorithm, endpoint, number))

    def open(self, sealed: bytes, algorithm: Algorithm, endpoint: str, number: int) -> Secret:
        """Open what was sealed for this place; raises SealBroken."""
        nonce, rest = sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:]
        try:
            return Secret(algorithm, self._cipher.decrypt(nonce, rest, _place(algorithm, endpoint, number)))
        except (InvalidTag, ValueError) as error:
            raise SealBroken(
                f"secret {number} of endpoint {endpoint} cannot be opened with this centre's salt.key: put the right "
                "key beside the centre's key, or rotate the secret"
            ) from error


def signed_headers(event: str, at: datetime, body: bytes, signing: Iterable[Secret]) -> Mapping[str, str]:
    """Give the headers of a delivery of `event`, tried at `at`, signed by each of `signing`, the newest first."""
    instant = str(int(at.timestamp()))
    content = b".".join((event.encode(), instant.encode(), body))
    return {
        "webhook-id": event,
        "webhook-timestamp": instant,
        "webhook-signature": " ".join(secret.sign(content) for secret in signing),
    }


def _place(algorithm: Algorithm, endpoint: str, number: int) -> bytes:
    return f"{algorithm} {endpoint} {number}".encode()


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
