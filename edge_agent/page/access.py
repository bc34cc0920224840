"""Who may use the page: a PIN shown on the console, sessions, and a token in each form. Pure but for random numbers."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

PIN_DIGITS = 8
TRIES = 5
"""Wrong PINs until the door closes."""
CLOSED_S = 60.0
"""How long it closes first [s]; each further time twice as long."""
CLOSED_S_MAX = 3600.0
SESSION_S = 12 * 3600.0
"""A day's work: after so long one signs in again [s]."""
SESSIONS_MAX = 32
CALLERS_MAX = 64
CALLERS_EACH_MAX = 16
"""Calls at one time, of all and of one address: a browser makes six. More would take the agent's threads and files."""


def fresh_pin() -> str:
    """Draw a PIN."""
    return f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}d}"


@dataclass(slots=True)
class Session:
    """One signed-in telephone.

    kept   what the pages keep between two calls, such as an order file that is not confirmed yet
    """

    key: str
    by: str
    language: str
    until_s: float
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    kept: dict[str, Any] = field(default_factory=dict)

    def is_form_of(self, token: str) -> bool:
        """Say whether a form carries this session's token."""
        return hmac.compare_digest(token.encode(), self.form_token.encode())


@dataclass(frozen=True, slots=True)
class SignIn:
    """What came of a PIN: a session, or how long the door stays closed [s], 0 where one may try again at once."""

    session: Session | None
    wait_s: float = 0.0


class Door:
    """Lets in who knows the PIN; safe for several threads.

    monotonic   seconds of a clock that does not go back
    """

    def __init__(self, pin: str, monotonic: Callable[[], float]) -> None:
        self._pin = pin
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._wrong = 0
        self._closings = 0
        self._closed_until_s = float("-inf")

    def sign_in(self, pin: str, by: str, language: str) -> SignIn:
        """Try a PIN."""
        with self._lock:
            now_s = self._monotonic()
            if now_s < self._closed_until_s:
                return SignIn(None, self._closed_until_s - now_s)
            typed = "".join(pin.split())
            if not hmac.compare_digest(typed.encode(), self._pin.encode()):
                return SignIn(None, self._refuse(now_s))
            self._wrong = self._closings = 0
            session = Session(secrets.token_urlsafe(32), by, language, now_s + SESSION_S)
            while len(self._sessions) >= SESSIONS_MAX:
                del self._sessions[min(self._sessions.values(), key=lambda one: one.until_s).key]
            self._sessions[session.key] = session
            return SignIn(session)

    def session(self, key: str | None) -> Session | None:
        """Find who carries this cookie."""
        with self._lock:
            found = self._sessions.get(key or "")
            if found is not None and self._monotonic() >= found.until_s:
                del self._sessions[found.key]
                return None
            return found

    def sign_out(self, session: Session) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session.key, None)

    def _refuse(self, now_s: float) -> float:
        self._wrong += 1
        if self._wrong < TRIES:
            return 0.0
        closed_s = min(CLOSED_S * 2.0**self._closings, CLOSED_S_MAX)
        self._wrong, self._closings = 0, self._closings + 1
        self._closed_until_s = now_s + closed_s
        return closed_s


class Places:
    """Counts who calls at one time; safe for several threads."""

    def __init__(self, most: int = CALLERS_MAX, each: int = CALLERS_EACH_MAX) -> None:
        self._most = most
        self._each = each
        self._lock = threading.Lock()
        self._callers: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """Give a caller a place, if there is one."""
        with self._lock:
            if self._callers.total() >= self._most or self._callers[address] >= self._each:
                return False
            self._callers[address] += 1
            return True

    def leave(self, address: str) -> None:
        """Take a place back."""
        with self._lock:
            self._callers[address] -= 1
            if self._callers[address] <= 0:
                del self._callers[address]


def is_own_host(host: str, names: frozenset[str]) -> bool:
    """Say whether a `Host` header names this machine by figures or by one of its `names`.

    A web site that moves its name to this machine's address is refused by that: its name is not ours.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    bare = name.removeprefix("[").removesuffix("]")
    if bare.lower() in names:
        return True
    try:
        ip_address(bare)
    except ValueError:
        return False
    return True
