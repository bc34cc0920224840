"""Passwords and one-time codes: how they are hashed, made and compared. Nothing here knows a database or a request."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from metering.errors import BooksError

CHARACTERS_MIN = 12
CHARACTERS_MAX = 256
"""Longer ones are no safer, and hashing them costs the caller nothing and us something."""
AT_ONCE = 2
"""Hashings that run beside each other: each takes 64 MiB, and guessing must not fill the memory."""
WAITING_MAX = 6
"""Hashings that wait for room: more callers than these are sent away at once, so that no other call waits for them."""
SECRET_OCTETS = 20
"""RFC 4226, section 4, R6: 160 bits are recommended."""
STEP_S = 30
DRIFT_STEPS = 1
"""RFC 6238, section 5.2: one step for the way and the clock of a phone."""
DIGITS = 6
RECOVERY_CODES = 10
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without what is easily taken for another: 0 o, 1 l i."""
_COMMON = (
    "password",
    "passw0rd",
    "123456",
    "654321",
    "qwerty",
    "asdfgh",
    "zxcvbn",
    "1q2w3e",
    "111111",
    "letmein",
    "abc123",
)
"""Of what the commonest long passwords are put together."""
_hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=2, type=Type.ID)
_room = BoundedSemaphore(AT_ONCE)
_line = BoundedSemaphore(AT_ONCE + WAITING_MAX)


class PasswordWeak(BooksError):
    """A password is not good enough; `reason` is short, common, name or long."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the password is too weak: {reason}")
        self.reason = reason


class HashingBusy(BooksError):
    """So many passwords are being looked at that another one has to come again later."""


def require_good(password: str, name: str) -> None:
    """Raise PasswordWeak for a password that is short, too long, of one piece with the name, or everybody's."""
    folded = password.casefold()
    if len(password) < CHARACTERS_MIN:
        raise PasswordWeak("short")
    if len(password) > CHARACTERS_MAX:
        raise PasswordWeak("long")
    if (name.casefold() in folded and len(name) >= 4) or "metertree" in folded:
        raise PasswordWeak("name")
    if len(set(folded)) < 5 or any(one in folded for one in _COMMON):
        raise PasswordWeak("common")


def hash_password(password: str) -> str:
    """Hash a password with argon2id and a salt of its own."""
    with _room:
        return _hasher.hash(password)


def is_password(password: str, hashed: str | None) -> bool:
    """Compare a password with a hash. Without one it takes as long and is False, so that nobody learns who is known.

    Raises HashingBusy.
    """
    given = password[:CHARACTERS_MAX]
    if not _line.acquire(blocking=False):
        raise HashingBusy("too many passwords are being looked at: try again in a moment")
    try:
        with _room:
            return _hasher.verify(hashed or _nobody(), given) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _line.release()


def needs_renewal(hashed: str) -> bool:
    """Say whether a hash was made with other costs than today's."""
    return _hasher.check_needs_rehash(hashed)


def new_secret() -> bytes:
    """Make the secret of one-time codes."""
    return secrets.token_bytes(SECRET_OCTETS)


def code_at(secret: bytes, step: int) -> str:
    """Give the code of a step of 30 s (RFC 4226, section 5.3; RFC 6238, section 4)."""
    digest = hmac.new(secret, struct.pack(">Q", step), "sha1").digest()
    place = digest[-1] & 0x0F
    number = int.from_bytes(digest[place : place + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """Give the step to which a code belongs, at most one off; None where it is none."""
    shown = "".join(code.split())
    if len(shown) != DIGITS or not (shown.isascii() and shown.isdigit()):
        return None
    this = int(now.timestamp()) // STEP_S
    steps = range(this - DRIFT_STEPS, this + DRIFT_STEPS + 1)
    found = [step for step in steps if hmac.compare_digest(code_at(secret, step), shown)]
    return max(found, default=None)


def new_recovery_codes() -> tuple[str, ...]:
    """Make codes of 50 bits for the day on which the phone is lost; each counts once."""
    return tuple(
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(2)) for _ in range(RECOVERY_CODES)
    )


def recovery_hashes(codes: Sequence[str]) -> list[bytes]:
    """Give what is kept of them."""
    return [recovery_digest(one) for one in codes]


def recovery_digest(code: str) -> bytes:
    """Hash a recovery code as somebody types it."""
    return hashlib.sha256("".join(code.split()).replace("-", "").lower().encode()).digest()


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_hex(16))
