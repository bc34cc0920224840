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
    content: Any = decode_canonical(parse_sign1(octets).require(verifier))
    try:
        format_number, gateway, epoch, contiguous_seq, head_hash, server_ms, refused = content
        if format_number != RECEIPT_FORMAT:
            raise EnvelopeMalformed(f"receipt format {format_number!r} is not known")
        return Receipt(
            gateway=GatewayId(gateway),
            epoch=epoch,
            contiguous_seq=contiguous_seq,
            head_hash=head_hash,
            server_time=from_ms(server_ms),
            refused=tuple((seq, reason) for seq, reason in refused),
        )
    except (TypeError, ValueError) as error:
        raise EnvelopeMalformed(f"not a receipt: {error}") from error
