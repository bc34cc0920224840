"""The acts of a journal: what was done at the desk, one dataclass each, in their document form on disk.

The content of an act never changes its meaning: a later version of the desk reads journals of today.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from metering.errors import MeteringError
from metering.identity import MeterId, PortId
from provisioning.document import LEFT_OUT, from_document, to_document
from provisioning.installation import Body, Finding, RegisterSeen


@dataclass(frozen=True, slots=True)
class Begun:
    """The order file was taken.

    anchor     raw public key of this machine's anchor that vouched for it; None where there was none
    confirmed  the fingerprint that a person compared instead
    """

    order_file: bytes
    anchor: bytes | None
    confirmed: str | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim was typed; it stays here, in a file for its owner alone, until the grant."""

    claim: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """A line was searched; `result` is the document of what was found, as JSON."""

    port: PortId
    result: str


@dataclass(frozen=True, slots=True)
class Drafted:
    """Something to be signed at the next seal. A later draft of the same key takes its place.

    amends   True: something was added to it; who said it, and when, stay as they were
    """

    key: str
    body: Body
    amends: bool | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A draft was taken back."""

    key: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The closing registers of a meter that is about to go."""

    meter: MeterId
    registers: tuple[RegisterSeen, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Checked:
    """Everything was looked at; these findings take the place of those of the look before."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The engineer goes on in spite of a finding."""

    code: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Signed:
    """Drafts became events.

    keys      of the drafts that are signed now
    events    sealed, in their order
    bundle    sealed; at the first seal only
    outranks  number of the newest settings that the centre had ordered, 0 for none
    """

    keys: tuple[str, ...]
    epoch: int
    events: tuple[bytes, ...]
    at: datetime
    outranks: int
    bundle: bytes | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Configured:
    """The gateway's file says what all acts before say, the first `events` events among them."""

    events: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The centre has these: `bundle`, numbers of events, photos as hexadecimal digests."""

    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Granted:
    """The centre's answer came and was believed."""

    grant: bytes


Act = (
    Begun
    | Claimed
    | Scanned
    | Drafted
    | Dropped
    | Closed
    | Checked
    | Accepted
    | Signed
    | Configured
    | Delivered
    | Granted
)
_KINDS: dict[str, type[Any]] = {
    "begun": Begun,
    "claimed": Claimed,
    "scanned": Scanned,
    "drafted": Drafted,
    "dropped": Dropped,
    "closed": Closed,
    "checked": Checked,
    "accepted": Accepted,
    "signed": Signed,
    "configured": Configured,
    "delivered": Delivered,
    "granted": Granted,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class ActUnknown(MeteringError):
    """A journal holds an act that this version does not know."""


def to_row(act: Act) -> tuple[str, str]:
    """Give kind and content of an act."""
    return _NAMES[type(act)], json.dumps(to_document(act), ensure_ascii=False, separators=(",", ":"))


def from_row(kind: str, content: str) -> Act:
    """Read an act back; raises ActUnknown or DocumentMismatch."""
    if kind not in _KINDS:
        raise ActUnknown(f"an act of kind {kind!r} is not known here: use the version that wrote it, or a newer one")
    act: Act = from_document(_KINDS[kind], json.loads(content))
    return act
