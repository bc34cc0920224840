"""Links of statements: a token that nobody guesses opens one statement, without a login, until it expires. Pure.

A token is made of the centre's salt key, the statement's number and how often its link was made. So it need not be
kept: whoever has the key prints the same link again, and the books hold its hash alone. A new issue ends the old.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from metering.envelope import encode
from metering.errors import BooksError
from provisioning.enrolment import CLAIM_BITS, Claim, ClaimInvalid

LINK_DAYS = 400
"""Longer than a year: next year's statement of the same month is out before it goes."""
_DOMAIN = b"metertree link 1"
_BASE = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?\Z")


class LinkUnknown(BooksError):
    """No statement opens with this token: it was mistyped, taken back, or a newer link took its place."""

    reason = "link-unknown"


class LinkExpired(BooksError):
    """The token opened a statement once, and its time is over."""

    reason = "link-expired"


class BaseInvalid(BooksError):
    """What is to stand before the token is no address of a web site."""

    reason = "base-invalid"


@dataclass(frozen=True, slots=True)
class Link:
    """The link of a statement. `is_new`: made or renewed just now."""

    statement: str
    party: str
    token: str
    issue: int
    expires_at: datetime
    is_new: bool

    def url(self, base: str) -> str:
        """Give the address; it holds the token and nothing else. `base` as https://energy.example.com."""
        return f"{read_base(base)}/s/{self.token}"

    def __repr__(self) -> str:
        return f"Link({self.statement!r}, issue {self.issue})"


def token_of(salt_key: bytes, number: str, issue: int) -> str:
    """Give the token of an issue: 130 bits and two signs that find a slip of the pen, without hyphens."""
    digest = hmac.digest(salt_key, _DOMAIN + encode([number, issue]), "sha256")
    return Claim.of_number(int.from_bytes(digest) >> (256 - CLAIM_BITS)).text.replace("-", "")


def token_hash(token: str) -> bytes:
    """Give what the books hold of a token, however it is written (any case, hyphens); raises LinkUnknown."""
    try:
        whole = Claim.parse(token[:64]).text.replace("-", "")
    except ClaimInvalid as error:
        raise LinkUnknown("the link is not whole: a sign is missing or mistyped") from error
    return hashlib.sha256(b"metertree link" + whole.encode()).digest()


def expiry(now: datetime, days: int = LINK_DAYS) -> datetime:
    """Give when a link made now stops opening."""
    return now + timedelta(days=days)


def read_base(base: str) -> str:
    """Give what stands before /s/ in links, without a slash at its end; raises BaseInvalid."""
    if not _BASE.match(base):
        raise BaseInvalid(f"{base!r} is no address to put links under: write it as https://energy.example.com")
    return base.rstrip("/")
