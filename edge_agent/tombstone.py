"""What remains of batches that a full outbox had to give up: a signed statement that keeps the chain checkable.

The batch after the gap names the digest of the last one evicted as its `previous_hash`; the tombstone carries that
digest under the gateway's own signature. One tombstone covers a whole run of seqs, so the outbox stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from metering.envelope import (
    EnvelopeMalformed,
    Signer,
    Verifier,
    decode_canonical,
    encode,
    expect_bytes,
    expect_int,
    expect_list,
    expect_text,
    parse_sign1,
    sign1,
)
from metering.identity import GatewayId

_KIND = "tombstone"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Batches `first_seq` to `last_seq` of an epoch were evicted unreceipted; `last_digest` was that of the last."""

    gateway: GatewayId
    epoch: int
    first_seq: int
    last_seq: int
    last_digest: bytes


def seal_tombstone(tombstone: Tombstone, signer: Signer) -> bytes:
    """Sign a tombstone with the gateway's key."""
    content = [
        _KIND,
        _FORMAT,
        tombstone.gateway,
        tombstone.epoch,
        tombstone.first_seq,
        tombstone.last_seq,
        tombstone.last_digest,
    ]
    return sign1(encode(content), signer)


def parse_tombstone(octets: bytes) -> Tombstone:
    """Read a tombstone without checking its signature; raises EnvelopeMalformed."""
    return _from_wire(parse_sign1(octets).payload)


def open_tombstone(octets: bytes, verifier: Verifier) -> Tombstone:
    """Verify, then read; raises EnvelopeMalformed or SignatureInvalid."""
    return _from_wire(parse_sign1(octets).require(verifier))


def _from_wire(payload: bytes) -> Tombstone:
    fields = expect_list(decode_canonical(payload), 7, "tombstone")
    if list(fields[:2]) != [_KIND, _FORMAT]:
        raise EnvelopeMalformed("not a tombstone of format 1")
    first_seq = expect_int(fields[4], "first seq", 1, 2**63 - 1)
    return Tombstone(
        gateway=GatewayId(expect_text(fields[2], "gateway")),
        epoch=expect_int(fields[3], "epoch", 1, 2**31 - 1),
        first_seq=first_seq,
        last_seq=expect_int(fields[5], "last seq", first_seq, 2**63 - 1),
        last_digest=expect_bytes(fields[6], 32, "last digest"),
    )
