"""A signing key in a PKCS#11 token: it is made there, signs there, and cannot be taken out.

Needs the extra `hsm` (python-pkcs11). Signatures have the form of `keys.py`: Ed25519 as RFC 8032 has it; ES256 as
r || s with the smaller s, which tokens do not see to. A session is opened at the first signature and again after the
token was away; one signature at a time, since a session carries one operation.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from metering.envelope import Algorithm
from metering.errors import MeteringError
from provisioning.keys import (
    KeyLevel,
    PublicVerifier,
    key_id_of,
    public_verifier,
    read_private,
    with_smaller_s,
)
from provisioning.signers.pkcs11_uri import TokenPlace

if TYPE_CHECKING:
    from pkcs11 import PrivateKey, PublicKey, Session, Token

T = TypeVar("T")
_CURVES = {
    Algorithm.ES256: bytes.fromhex("06082a8648ce3d030107"),  # secp256r1
    Algorithm.EDDSA: bytes.fromhex("06032b6570"),  # Ed25519 (RFC 8410)
}
_KEY_ID = b"metertree"


class TokenUnavailable(MeteringError):
    """The token is away, locked, has no such key, or cannot do what is asked. The text says the mend, never the PIN."""

    def __init__(self, place: TokenPlace, problem: str, mend: str) -> None:
        super().__init__(f"{place.named_in}: token {place.token}, key {place.label}: {problem} ({mend})")
        self.place = place


class TokenSigner:
    """A key in a token; `open` finds it, `make` makes it unless it is there."""

    level = KeyLevel.TOKEN

    def __init__(self, place: TokenPlace, algorithm: Algorithm, public_key: bytes) -> None:
        self._place = place
        self.algorithm = algorithm
        self.public_key = public_key
        self.key_id = key_id_of(public_key)

    @classmethod
    def open(cls, place: TokenPlace) -> TokenSigner:
        """Find the key; raises TokenUnavailable."""
        found = _door(place).do(place, lambda session: _public_key(place, session))
        if found is None:
            raise TokenUnavailable(place, "there is no such key", "name its label, or make it")
        return cls(place, *found)

    @classmethod
    def make(cls, place: TokenPlace, algorithm: Algorithm) -> TokenSigner:
        """Make a key that cannot leave the token, or find the one of this label; raises TokenUnavailable."""

        def find_or_make(session: Session) -> tuple[Algorithm, bytes]:
            return _public_key(place, session) or _generated(place, session, algorithm)

        return cls(place, *_door(place).do(place, find_or_make))

    def sign(self, message: bytes) -> bytes:
        """Sign `message` in the token; raises TokenUnavailable."""
        return _door(self._place).do(self._place, lambda session: self._signature(session, message))

    def verifier(self) -> PublicVerifier:
        """Give the public half."""
        return public_verifier(self.algorithm, self.public_key)

    def __repr__(self) -> str:
        return f"TokenSigner(key_id={self.key_id.hex()})"

    def _signature(self, session: Session, message: bytes) -> bytes:
        from pkcs11 import Mechanism

        key: Any = _private_key(self._place, session)
        if self.algorithm is Algorithm.EDDSA:
            return bytes(key.sign(message, mechanism=Mechanism.EDDSA))
        digest = hashlib.sha256(message).digest()  # few tokens hash by themselves
        return with_smaller_s(bytes(key.sign(digest, mechanism=Mechanism.ECDSA)))


class _Door:
    """The one session of this process with a token: logging in counts for the process, and out for all its sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: Session | None = None

    def do(self, place: TokenPlace, act: Callable[[Session], T]) -> T:
        """Have something done in the session; once more in a new one, since the token may have been away."""
        try:
            from pkcs11.exceptions import PKCS11Error
        except ImportError as error:
            mend = "install it: pip install 'metertree[hsm]'"
            raise TokenUnavailable(place, "python-pkcs11 is not installed", mend) from error
        with self._lock:
            if self._session is not None:
                with contextlib.suppress(PKCS11Error):
                    return act(self._session)
                with contextlib.suppress(PKCS11Error):
                    self._session.close()
            self._session = None
            try:
                self._session = _unlocked(place)
                return act(self._session)
            except PKCS11Error as error:
                raise TokenUnavailable(place, f"cannot do it: {_named(error)}", "see to the token") from error


_doors: dict[tuple[Path, str], _Door] = {}


def _door(place: TokenPlace) -> _Door:
    return _doors.setdefault((place.module, place.token), _Door())


def _unlocked(place: TokenPlace) -> Session:
    """Open a session with the PIN of the place's file; raises TokenUnavailable."""
    from pkcs11 import exceptions

    token = _token(place)
    pin = read_private(place.pin_file)
    try:
        return token.open(user_pin=pin, rw=True)
    except (exceptions.PinIncorrect, exceptions.PinLocked, exceptions.PinInvalid, exceptions.PinLenRange) as error:
        mend = f"write the user PIN into {place.pin_file}; a locked token is freed by its security officer"
        raise TokenUnavailable(place, f"the PIN does not open it: {_named(error)}", mend) from None


def _token(place: TokenPlace) -> Token:
    import pkcs11

    if not place.module.exists():
        raise TokenUnavailable(place, f"there is no module {place.module}", "name the token's PKCS#11 library")
    try:
        return pkcs11.lib(str(place.module)).get_token(token_label=place.token)
    except (pkcs11.exceptions.NoSuchToken, pkcs11.exceptions.MultipleTokensReturned) as error:
        mend = "plug it in, or name the label of one that is there"
        raise TokenUnavailable(place, f"not exactly one such token is there: {_named(error)}", mend) from error
    except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
        raise TokenUnavailable(place, f"{place.module} does not answer: {_named(error)}", "see to the token") from error


def _generated(place: TokenPlace, session: Session, algorithm: Algorithm) -> tuple[Algorithm, bytes]:
    from pkcs11 import Attribute, KeyType, Mechanism
    from pkcs11.exceptions import PKCS11Error

    is_edwards = algorithm is Algorithm.EDDSA
    kind = KeyType.EC_EDWARDS if is_edwards else KeyType.EC
    mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if is_edwards else Mechanism.EC_KEY_PAIR_GEN
    stays_there = {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True, Attribute.PRIVATE: True}
    try:
        curve = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: _CURVES[algorithm]}, local=True)
        public, private = curve.generate_keypair(
            id=_KEY_ID, label=place.label, store=True, mechanism=mechanism, private_template=stays_there
        )
        if private[Attribute.EXTRACTABLE]:
            raise TokenUnavailable(place, "made a key that can be taken out of it", "use another token")
        return _read(place, public)
    except PKCS11Error as error:
        mend = f"use a token that knows {algorithm.name}"
        raise TokenUnavailable(place, f"makes no key: {_named(error)}", mend) from error


def _public_key(place: TokenPlace, session: Session) -> tuple[Algorithm, bytes] | None:
    """Give algorithm and raw public half of the key, None where there is none; raises TokenUnavailable."""
    from pkcs11 import ObjectClass
    from pkcs11.exceptions import MultipleObjectsReturned, NoSuchKey

    try:
        _private_key(place, session)
        public: Any = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=place.label)
    except NoSuchKey:
        return None
    except MultipleObjectsReturned as error:
        raise TokenUnavailable(place, "several keys have this label", "give each its own") from error
    return _read(place, public)


def _private_key(place: TokenPlace, session: Session) -> PrivateKey:
    from pkcs11 import ObjectClass

    found: Any = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=place.label)
    return found  # type: ignore[no-any-return]


def _read(place: TokenPlace, public: PublicKey) -> tuple[Algorithm, bytes]:
    """Take the raw public half out of its DER octet string (PKCS#11 2.40, 2.3.3)."""
    from pkcs11 import Attribute, KeyType

    algorithm = {KeyType.EC: Algorithm.ES256, KeyType.EC_EDWARDS: Algorithm.EDDSA}.get(public.key_type)
    point = bytes(public[Attribute.EC_POINT])
    length = {Algorithm.ES256: 65, Algorithm.EDDSA: 32}.get(algorithm) if algorithm is not None else None
    if algorithm is None or length is None or len(point) not in (length, length + 2):
        raise TokenUnavailable(place, "the key is of another algorithm", "make a P-256 or an Ed25519 key")
    raw = point[-length:]
    public_verifier(algorithm, raw)
    return algorithm, raw


def _named(error: Exception) -> str:
    """Name a fault of the library: its texts are mostly empty."""
    return f"{type(error).__name__} {error}".strip()
