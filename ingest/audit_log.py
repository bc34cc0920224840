"""The audit log's words: an act, the entry that keeps it, and the chain that holds entries together. Pure.

Every entry is hashed with the digest of the entry before it, so that none can be changed, taken out, put in or moved
without all later ones showing it. What may be personal (where, with what, before, after, why) is hashed with a salt of
its own and stands beside the hashed record: it can be withdrawn later, and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from metering.envelope import encode, to_ms
from metering.errors import BooksError

FORMAT = "metertree-audit/1"
FIRST = bytes(32)
"""What the first entry names as its predecessor."""
SALT_OCTETS = 16
TEXT_MAX = 2000
"""Longest reason or device that is kept; a caller could fill the log otherwise."""
LEAF = (str, int, bool, type(None))


class Verb(StrEnum):
    """What was done. A new one is a line here and one in audit_words.py."""

    SITE_PUT = "site-put"
    RUN_COMPUTED = "run-computed"
    RUN_CHECKED = "run-checked"
    RUN_APPROVED = "run-approved"
    RUN_PUBLISHED = "run-published"
    RUN_SUPERSEDED = "run-superseded"
    RUN_DRAFTED = "run-drafted"
    QUARANTINE_REPLAYED = "quarantine-replayed"
    ALERT_ACKNOWLEDGED = "alert-acknowledged"
    SETTINGS_ORDERED = "settings-ordered"
    INSTALL_ORDERED = "install-ordered"
    ENROLLED = "enrolled"
    CLAIM_MISUSED = "claim-misused"
    EVENT_TAKEN = "event-taken"
    BINDING_APPROVED = "binding-approved"
    BINDING_REFUSED = "binding-refused"
    CERTIFICATE_ISSUED = "certificate-issued"
    KEY_ROLLED = "key-rolled"
    GATEWAY_REVOKED = "gateway-revoked"
    READING_ADDED = "reading-added"
    READING_DECIDED = "reading-decided"
    PHOTO_PUT = "photo-put"
    OPERATOR_ADDED = "operator-added"
    OPERATOR_RENEWED = "operator-renewed"
    OPERATOR_REMOVED = "operator-removed"
    OPERATOR_CHANGED = "operator-changed"
    CLIENT_ADDED = "client-added"
    CLIENT_REMOVED = "client-removed"
    KEY_MADE = "key-made"
    KEY_ENDED = "key-ended"
    VIEWED_AS = "viewed-as"
    LINK_MADE = "link-made"
    LINK_REVOKED = "link-revoked"
    STATEMENT_SEEN = "statement-seen"
    STATEMENT_CONFIRMED = "statement-confirmed"
    STATEMENT_DISPUTED = "statement-disputed"
    DISPUTE_ANSWERED = "dispute-answered"
    CHARGE_ACKNOWLEDGED = "charge-acknowledged"
    RULES_DRAFTED = "rules-drafted"
    RULES_HANDED_IN = "rules-handed-in"
    RULES_WITHDRAWN = "rules-withdrawn"
    RULES_RELEASED = "rules-released"
    ENDPOINT_ADDED = "endpoint-added"
    ENDPOINT_CHANGED = "endpoint-changed"
    SECRET_ROTATED = "secret-rotated"
    DELIVERIES_REPLAYED = "deliveries-replayed"
    SIGN_IN_LINK_MADE = "sign-in-link-made"
    PASSWORD_CHOSEN = "password-chosen"
    SECOND_FACTOR_SET = "second-factor-set"
    SECOND_FACTOR_DROPPED = "second-factor-dropped"
    SIGNED_IN = "signed-in"
    SESSIONS_ENDED = "sessions-ended"
    PERSON_ERASED = "person-erased"
    CONTENT_WITHDRAWN = "content-withdrawn"


class ActInvalid(BooksError):
    """An act holds something that cannot be written down exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One change of the books by somebody.

    who      operator, `admin`, `gateway/<id>`, `local/<account>` of a command at the centre, or `service`
    where    address the call came from, or the machine on which the command ran
    device   what the caller says it is
    subject  what was changed, as `<kind>/<id>`: gateway/gw-a, site/park, run/<id>, meter/park/m-1, binding/<number>
    touches  further subjects in whose history the act belongs
    before   what of the subject was so before; None if there was nothing. Texts, integers, lists and tables of them
    after    what is so since
    """

    at: datetime
    who: str
    where: str
    device: str
    verb: Verb
    subject: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str = ""
    touches: tuple[str, ...] = ()

    @property
    def content(self) -> str:
        """Give what stands beside the hashed record, as JSON in one writing."""
        for part in (self.before, self.after):
            _require_exact(part, "")
        table = {
            "where": self.where[:TEXT_MAX],
            "device": self.device[:TEXT_MAX],
            "before": self.before,
            "after": self.after,
            "reason": self.reason[:TEXT_MAX],
        }
        # A NUL is no character of any text column.
        return json.dumps(table, ensure_ascii=False, sort_keys=True, separators=(",", ":")).replace("\\u0000", " ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log.

    number        from 1, without gap
    content_hash  SHA-256 over salt and content
    previous      digest of the entry before; zeros for the first
    content       JSON; None, with its salt, once it is withdrawn
    """

    number: int
    at: datetime
    who: str
    verb: str
    subject: str
    touches: tuple[str, ...]
    content_hash: bytes
    previous: bytes
    digest: bytes
    content: str | None
    salt: bytes | None

    @property
    def told(self) -> dict[str, Any]:
        """Give where, device, before, after and reason; empty once they are withdrawn."""
        table: dict[str, Any] = {} if self.content is None else json.loads(self.content)
        return table


def chained(act: Act, number: int, previous: bytes, salt: bytes) -> Entry:
    """Make the entry that keeps `act` behind the entry with digest `previous`; raises ActInvalid."""
    content = act.content
    at = act.at.replace(microsecond=act.at.microsecond // 1000 * 1000)
    hashed = content_hash(content, salt)
    digest = entry_digest(number, at, act.who, act.verb, act.subject, act.touches, hashed, previous)
    return Entry(number, at, act.who, str(act.verb), act.subject, act.touches, hashed, previous, digest, content, salt)


def json_text(text: str) -> str:
    """Give `text` as it stands in a content where it is the whole of a text there."""
    return json.dumps(text, ensure_ascii=False)


def content_hash(content: str, salt: bytes) -> bytes:
    """Hash what stands beside the record; without its salt, no guess at it can be tested."""
    return hashlib.sha256(salt + content.encode()).digest()


def entry_digest(
    number: int,
    at: datetime,
    who: str,
    verb: str,
    subject: str,
    touches: Iterable[str],
    content: bytes,
    previous: bytes,
) -> bytes:
    """Hash an entry; `at` counts by the millisecond."""
    record = [FORMAT, number, to_ms(at), who, str(verb), subject, list(touches), content, previous]
    return hashlib.sha256(encode(record)).digest()


def chain_faults(entries: Iterable[Entry]) -> Iterator[str]:
    """Say in words what does not hold in a whole log, in order from its first entry."""
    expected, previous = 1, FIRST
    withdrawn: dict[int, None] = {}
    told: set[int] = set()
    for one in entries:
        if one.number != expected:
            yield f"entry {expected} is missing: entry {one.number} follows entry {expected - 1}"
        if one.previous != previous:
            yield f"entry {one.number} does not follow the entry before it: that one, or this, is not what it was"
        made = entry_digest(
            one.number, one.at, one.who, one.verb, one.subject, one.touches, one.content_hash, one.previous
        )
        if made != one.digest:
            yield f"entry {one.number} ({one.verb} {one.subject} by {one.who}) was changed: its hash is another"
        if one.content is None or one.salt is None:
            withdrawn[one.number] = None
        elif content_hash(one.content, one.salt) != one.content_hash:
            yield f"entry {one.number} ({one.verb} {one.subject} by {one.who}): its content was changed"
        elif one.verb == Verb.CONTENT_WITHDRAWN:
            told.update(one.told["after"]["entries"])
        expected, previous = one.number + 1, one.digest
    for number in withdrawn:
        if number not in told:
            yield f"entry {number}: its content is gone, and no later entry says who withdrew it"


def _require_exact(part: Any, place: str) -> None:
    """Refuse what JSON would not give back as it was: floats, octets, keys that are no texts."""
    if isinstance(part, Mapping):
        for key, inner in part.items():
            if not isinstance(key, str):
                raise ActInvalid(f"{place or 'an act'}: the key {key!r} is no text")
            _require_exact(inner, f"{place}/{key}")
    elif isinstance(part, list | tuple):
        for index, inner in enumerate(part):
            _require_exact(inner, f"{place}/{index}")
    elif not isinstance(part, LEAF):
        raise ActInvalid(f"{place or 'an act'}: {type(part).__name__} cannot be kept exactly; give a text")
