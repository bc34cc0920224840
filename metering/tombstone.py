"""What remains of batches that a gateway had to give up: a signed link that keeps the chain whole and tells the loss.

A full outbox evicts batches that the centre has not receipted, a restored centre asks for batches older than what is
kept. The batch after the gap names the digest of the last one given up as its `previous_hash`; the tombstone carries
that digest, and that of the one before the gap, under the gateway's own key. So the centre counts the gap as told, not
as open, the chain still verifies, and nobody can later slip other batches into the gap. One tombstone covers a run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from metering.envelope import (
    EnvelopeMalformed,
    Sign1,
    Signer,
    Verifier,
    decode_canonical,
    encode,
    expect_bytes,
    expect_int,
    expect_list,
    expect_text,
    from_ms,
    parse_sign1,
    sign1,
    to_ms,
)
from metering.identity import GatewayId, IdentifierInvalid, check_identifier

FIRST_OCTET = 0xD2
"""A tombstone is a bare COSE_Sign1 (tag 18); an envelope is an array of two (82)."""
_KIND = "tombstone"
_FORMAT = 2
_MARK_MS_MAX = 2**47


class LossCause(StrEnum):
    """Why batches are gone."""

    OUTBOX_FULL = "outbox-full"
    KEPT_NO_LONGER = "kept-no-longer"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Batches `first_seq` to `last_seq` of an epoch will never be sent.

    last_digest    digest of the last one: what its successor names as its predecessor
    previous_hash  digest of the batch before the first one; None where nobody knows it any more
    first_mark     earliest mark among them, `last_mark` the latest; None where they had none, or nobody knows
    """

    gateway: GatewayId
    epoch: int
    first_seq: int
    last_seq: int
    last_digest: bytes
    previous_hash: bytes | None = None
    first_mark: datetime | None = None
    last_mark: datetime | None = None
    cause: LossCause = LossCause.OUTBOX_FULL

    def joined(self, later: Tombstone) -> Tombstone:
        """Give one tombstone for this run and the one that follows it at once."""
        marks = [
            mark for mark in (self.first_mark, self.last_mark, later.first_mark, later.last_mark) if mark is not None
        ]
        return replace(
            self,
            last_seq=later.last_seq,
            last_digest=later.last_digest,
            first_mark=min(marks, default=None),
            last_mark=max(marks, default=None),
        )


def is_tombstone(octets: bytes) -> bool:
    """Say whether a message is laid out as a tombstone rather than as an envelope; nothing is proven."""
    return octets[:1] == bytes([FIRST_OCTET])


def seal_tombstone(tombstone: Tombstone, signer: Signer) -> bytes:
    """Sign a tombstone with the gateway's key."""
    content = [
        _KIND,
        _FORMAT,
        tombstone.gateway,
        tombstone.epoch,
        tombstone.first_seq,
        tombstone.last_seq,
        tombstone.previous_hash,
        tombstone.last_digest,
        _mark_to_wire(tombstone.first_mark),
        _mark_to_wire(tombstone.last_mark),
        str(tombstone.cause),
    ]
    return sign1(encode(content), signer)


def parse_tombstone(octets: bytes) -> Tombstone:
    """Read a tombstone without checking its signature; raises EnvelopeMalformed."""
    return read_tombstone(parse_sign1(octets))


def open_tombstone(octets: bytes, verifier: Verifier) -> Tombstone:
    """Verify, then read; raises EnvelopeMalformed or SignatureInvalid."""
    message = parse_sign1(octets)
    message.require(verifier)
    return read_tombstone(message)


def read_tombstone(message: Sign1) -> Tombstone:
    """Read the payload of a message, proven or not; raises EnvelopeMalformed."""
    fields = expect_list(decode_canonical(message.payload), None, "tombstone")
    if len(fields) == 7 and list(fields[:2]) == [_KIND, 1]:
        # As gateways wrote it before it went over the wire.
        fields = [*fields[:6], None, fields[6], None, None, str(LossCause.OUTBOX_FULL)]
    elif len(fields) != 11 or list(fields[:2]) != [_KIND, _FORMAT]:
        raise EnvelopeMalformed(f"not a tombstone of format {_FORMAT}")
    first_seq = expect_int(fields[4], "first seq", 1, 2**63 - 1)
    try:
        return Tombstone(
            gateway=GatewayId(check_identifier(expect_text(fields[2], "gateway"))),
            epoch=expect_int(fields[3], "epoch", 1, 2**31 - 1),
            first_seq=first_seq,
            last_seq=expect_int(fields[5], "last seq", first_seq, 2**63 - 1),
            previous_hash=None if fields[6] is None else expect_bytes(fields[6], 32, "previous hash"),
            last_digest=expect_bytes(fields[7], 32, "last digest"),
            first_mark=_mark_from_wire(fields[8]),
            last_mark=_mark_from_wire(fields[9]),
            cause=LossCause(expect_text(fields[10], "cause")),
        )
    except (IdentifierInvalid, ValueError) as error:
        raise EnvelopeMalformed(str(error)) from error


def _mark_to_wire(mark: datetime | None) -> int | None:
    return None if mark is None else to_ms(mark)


def _mark_from_wire(mark_ms: object) -> datetime | None:
    return None if mark_ms is None else from_ms(expect_int(mark_ms, "mark", -_MARK_MS_MAX, _MARK_MS_MAX))
