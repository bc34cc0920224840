"""Where signing keys live: in a file, or in a token that never gives them away (TPM 2.0, secure element, HSM).

A key directory names its key by one file, whatever the back end. The file holds either the key itself (`keys.py`), or
one line, a PKCS#11 URI (`pkcs11_uri.py`), that says in which token it is found. So nothing else knows the difference:
neither configuration, nor agent, nor the tools. `open_signer` reads such a file, `make_signer` makes the key of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from metering.envelope import Algorithm
from metering.identity import KeyId
from provisioning.keys import FileSigner, KeyLevel, PublicVerifier, make_signing_key, read_private, write_private
from provisioning.signers.pkcs11_uri import SCHEME, TokenPlace
from provisioning.signers.token import TokenSigner

__all__ = ["KeyLevel", "SigningKey", "TokenPlace", "make_signer", "open_signer"]


class SigningKey(Protocol):
    """A signing key with what the registry wants to know of it."""

    @property
    def public_key(self) -> bytes:
        """Raw public half, as in the registry."""

    @property
    def key_id(self) -> KeyId:
        """First 8 octets of the SHA-256 of the public half."""

    @property
    def algorithm(self) -> Algorithm:
        """Algorithm of this key."""

    @property
    def level(self) -> KeyLevel:
        """Where the private half is kept."""

    def sign(self, message: bytes) -> bytes:
        """Sign `message`."""

    def verifier(self) -> PublicVerifier:
        """Give the public half."""


def open_signer(path: Path) -> SigningKey:
    """Open the key that a key file holds or names; raises KeyFileInvalid or TokenUnavailable."""
    text = read_private(path)
    if text.startswith(SCHEME):
        return TokenSigner.open(TokenPlace.parse(text, path))
    return FileSigner.read(path)


def make_signer(path: Path, token: str | None = None, algorithm: Algorithm = Algorithm.ES256) -> SigningKey:
    """Make a fresh key for `path`, or open the one that is there; a key file is never replaced.

    token      PKCS#11 URI of where the key shall live; None: in the file, Ed25519
    algorithm  of a key in a token: hardware mostly knows ES256 alone

    Raises KeyFileInvalid or TokenUnavailable.
    """
    if path.exists():
        return open_signer(path)
    if token is None:
        return make_signing_key(path)
    place = TokenPlace.parse(token, path)
    # The key first: if we end before the file is written, the next attempt finds the key under its name.
    signer = TokenSigner.make(place, algorithm)
    write_private(path, place.text() + "\n")
    return signer
