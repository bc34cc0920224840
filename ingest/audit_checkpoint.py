"""A checkpoint of the audit log: the centre's signed word that up to an entry the log is this, and no other.

Whoever owns the database can write a whole log anew, chain and all. He cannot sign for it: a checkpoint that was kept
elsewhere (mailed to an auditor, printed) names a digest that the new log does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from metering.envelope import (
    EnvelopeMalformed,
    Signer,
    Verifier,
    decode_canonical,
    encode,
    expect_bytes,
    expect_int,
    expect_list,
    from_ms,
    parse_sign1,
    sign1,
    to_ms,
)

_KIND = "audit-checkpoint"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log ended with entry `number`, of this digest, when it was signed. No other log has such an entry."""

    number: int
    digest: bytes
    signed_at: datetime


def seal_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Sign with the centre's key."""
    at_ms = to_ms(checkpoint.signed_at)
    content = [_KIND, _FORMAT, checkpoint.number, checkpoint.digest, at_ms]
    return sign1(encode(content), signer)


def open_checkpoint(octets: bytes, verifier: Verifier) -> Checkpoint:
    """Verify with the centre's public key and parse; raises EnvelopeMalformed or SignatureInvalid."""
    fields = expect_list(decode_canonical(parse_sign1(octets).require(verifier)), 5, "checkpoint")
    if list(fields[:2]) != [_KIND, _FORMAT]:
        raise EnvelopeMalformed("not a checkpoint of the audit log, or of a later format")
    return Checkpoint(
        number=expect_int(fields[2], "number", 1, 2**63 - 1),
        digest=expect_bytes(fields[3], 32, "digest"),
        signed_at=from_ms(expect_int(fields[4], "signed at", -(2**47), 2**47)),
    )


def checkpoint_fault(checkpoint: Checkpoint, digest: bytes | None, place: str) -> str | None:
    """Say why the log, with `digest` at that number (None: it ends before), does not fit a checkpoint from `place`."""
    at = f"{checkpoint.signed_at:%Y-%m-%d %H:%M} UTC"
    if digest is None:
        return f"{place}: the centre signed at {at} that there was an entry {checkpoint.number}; the log ends before it"
    if digest != checkpoint.digest:
        return f"{place}: entry {checkpoint.number} is another than the one the centre signed for at {at}"
    return None
