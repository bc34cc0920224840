"""The centre's signed word that it has committed: only a receipt lets a gateway free a batch.

Receipts are cumulative and idempotent; one may be lost, repeated or overtaken without harm.
"""

from __future__ import annotations

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
    expect_int,
    expect_list,
    expect_text,
    from_ms,
    parse_sign1,
    sign1,
    to_ms,
)
from metering.identity import GatewayId

RECEIPT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the centre holds of one gateway's epoch after a commit.

    contiguous_seq  every envelope from 1 to this seq is committed; 0 when the first is still missing
    head_hash       SHA-256 of the envelope at `contiguous_seq` (32 zero octets at 0)
    server_time     the centre's clock at signing
    refused         seqs that were quarantined, each with its reason; sorted by seq
    """

    gateway: GatewayId
    epoch: int
    contiguous_seq: int
    head_hash: bytes
    server_time: datetime
    refused: tuple[tuple[int, str], ...] = ()


def seal_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """Sign a receipt with the centre's key."""
    content = [
        RECEIPT_FORMAT,
        receipt.gateway,
        receipt.epoch,
        receipt.contiguous_seq,
        receipt.head_hash,
        to_ms(receipt.server_time),
        [list(item) for item in receipt.refused],
    ]
    return sign1(encode(content), signer)


def open_receipt(octets: bytes, verifier: Verifier) -> Receipt:
    """Verify with the centre's public key and parse; raises EnvelopeMalformed or SignatureInvalid."""
    fields = expect_list(decode_canonical(parse_sign1(octets).require(verifier)), 7, "receipt")
    if fields[0] != RECEIPT_FORMAT:
        raise EnvelopeMalformed(f"receipt format {fields[0]!r} is not known")
    return Receipt(
        gateway=GatewayId(expect_text(fields[1], "gateway")),
        epoch=expect_int(fields[2], "epoch", 1, 2**31 - 1),
        contiguous_seq=expect_int(fields[3], "contiguous seq", 0, 2**63 - 1),
        head_hash=expect_bytes(fields[4], 32, "head hash"),
        server_time=from_ms(expect_int(fields[5], "server time", -(2**47), 2**47)),
        refused=tuple(_refusal(item) for item in expect_list(fields[6], None, "refused")),
    )


def _refusal(content: Any) -> tuple[int, str]:
    seq, reason = expect_list(content, 2, "refusal")
    return expect_int(seq, "seq", 1, 2**63 - 1), expect_text(reason, "reason")
