"""The centre's signed word that a run is final: who checked and approved it, on which reasons, what it supersedes.

A statement is signed when its run is computed and says nothing about what became of it. The publication of its run
goes out beside it, and only the two together are final; a statement alone is provisional. So a statement never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metering.envelope import (
    EnvelopeMalformed,
    Signer,
    Verifier,
    decode_canonical,
    encode,
    expect_bytes,
    expect_text,
    from_ms,
    parse_sign1,
    sign1,
    to_ms,
)

PUBLICATION_FORMAT = "metertree-publication/1"


@dataclass(frozen=True, slots=True)
class Publication:
    """What is signed.

    run, commitment   the run's id and the root over all its lines, 32 octets each: the same in every statement
    reasons           (finding, reason) for each case and failed check
    supersedes        id of the run that was final before; empty if none was
    """

    run: bytes
    commitment: bytes
    site: str
    label: str
    published_at: datetime
    checked_by: str
    approved_by: str
    published_by: str
    reasons: tuple[tuple[str, str], ...]
    supersedes: bytes

    def sealed(self, signer: Signer) -> bytes:
        """Give the COSE_Sign1 of it."""
        return sign1(
            encode(
                {
                    "format": PUBLICATION_FORMAT,
                    "run": self.run,
                    "commitment": self.commitment,
                    "site": self.site,
                    "label": self.label,
                    "published_at": to_ms(self.published_at),
                    "checked_by": self.checked_by,
                    "approved_by": self.approved_by,
                    "published_by": self.published_by,
                    "reasons": [list(one) for one in self.reasons],
                    "supersedes": self.supersedes,
                }
            ),
            signer,
        )


def open_publication(octets: bytes, verifiers: Mapping[bytes, Verifier]) -> Publication:
    """Check signature and form; raises EnvelopeMalformed and SignatureInvalid."""
    message = parse_sign1(octets)
    if message.key_id not in verifiers:
        raise EnvelopeMalformed(f"signed with key {message.key_id.hex()}, which you do not trust")
    return _from_wire(decode_canonical(message.require(verifiers[message.key_id])))


def publication_from(octets: bytes) -> Publication:
    """Read a publication without checking its signature: one from the own store, for show; raises EnvelopeMalformed."""
    return _from_wire(decode_canonical(parse_sign1(octets).payload))


def _from_wire(content: Any) -> Publication:
    try:
        if content["format"] != PUBLICATION_FORMAT:
            raise EnvelopeMalformed(f"format {content['format']!r} is no publication this program reads")
        return Publication(
            run=expect_bytes(content["run"], 32, "run"),
            commitment=expect_bytes(content["commitment"], 32, "commitment"),
            site=expect_text(content["site"], "site"),
            label=expect_text(content["label"], "label"),
            published_at=from_ms(content["published_at"]),
            checked_by=expect_text(content["checked_by"], "checked_by"),
            approved_by=expect_text(content["approved_by"], "approved_by"),
            published_by=expect_text(content["published_by"], "published_by"),
            reasons=tuple(
                (expect_text(subject, "subject"), expect_text(reason, "reason"))
                for subject, reason in content["reasons"]
            ),
            supersedes=expect_bytes(content["supersedes"], None, "supersedes"),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EnvelopeMalformed(f"it is no publication: {error!r}") from error
