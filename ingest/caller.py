"""Who is at the door: the one word that routes, desks and the audit log have for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Any

from ingest.audit_log import Act, Verb
from metering.errors import BooksError

ADMIN = "admin"
"""Who comes with the admin token: nobody in person, so he may order but not approve."""


STRANGER = "stranger"
"""Who calls before anybody has looked at his token, or has proven nothing."""
_IPV6_NETWORK_BITS = 64


class NotInPerson(BooksError):
    """What takes a person was tried with a token that any of several people may hold."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in.

    name      operator, or `admin`, or `gateway/<id>`, or `local/<account>`
    where     address the call came from, or the machine on which a command runs
    device    what it says it is
    in_person whether a token of one named operator was shown
    """

    name: str
    where: str
    device: str
    in_person: bool = False

    def act(
        self,
        at: datetime,
        verb: Verb,
        subject: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        reason: str = "",
        touches: tuple[str, ...] = (),
    ) -> Act:
        """Give the act of this caller, to be recorded in the transaction that does it."""
        return Act(
            at=at,
            who=self.name,
            where=self.where,
            device=self.device,
            verb=verb,
            subject=subject,
            before=before,
            after=after,
            reason=reason,
            touches=touches,
        )

    def require_in_person(self, what: str) -> None:
        """Raise NotInPerson unless a named operator is at the door; `what` completes "... takes a named operator"."""
        if not self.in_person:
            raise NotInPerson(
                f"{what} takes a named operator, and {self.name} is none: "
                "add one with `metertree operator add NAME`, and use the token it prints"
            )

    def named(self, given: str | None) -> str:
        """Give the name under which this caller acts, where a request may name one; raises NotInPerson.

        An operator acts under his own name only. The admin token speaks for whom it says, as it always did.
        """
        if self.in_person and given is not None and given.strip() not in ("", self.name):
            raise NotInPerson(f"the token is that of {self.name}, who cannot act as {given!r}: leave the name out")
        return self.name if self.in_person or given is None else given


SERVICE = Caller("service", "", "")
"""What the service does by itself."""
_present: ContextVar[Caller] = ContextVar("who is at the door", default=SERVICE)


@contextmanager
def acting(caller: Caller) -> Iterator[None]:
    """Let what is recorded inside be the acts of `caller`, however deep it is done; another thread has its own."""
    token = _present.set(caller)
    try:
        yield
    finally:
        _present.reset(token)


def present() -> Caller:
    """Give who acts here; the service itself where nobody else does."""
    return _present.get()


def bucket_of(address: str) -> str:
    """Give the name under which an address is counted where guessing is; what is no address is a name already.

    An IPv6 caller owns a network of 2^64 addresses; they share a name.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> (128 - _IPV6_NETWORK_BITS):x}"
