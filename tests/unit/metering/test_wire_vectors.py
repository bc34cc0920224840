"""docs/wire.md promises its examples to strangers; this test makes them again and compares every octet."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metering.envelope import (
    EnvelopeMalformed,
    SignatureInvalid,
    chain_digest,
    disclose,
    head_of,
    open_disclosed,
    open_sealed,
    seal,
)
from metering.identity import GatewayId, MeterId
from metering.receipt import Receipt, open_receipt, seal_receipt
from metering.tombstone import Tombstone, open_tombstone, seal_tombstone
from metering.topics import envelope_topic, partition_of, receipt_topic

WIRE = Path(__file__).parents[3] / "docs" / "wire.md"


def published() -> dict[str, Any]:
    """The vectors as printed in docs/wire.md."""
    block = re.search(r"<!-- vectors -->\s*```json\n(.*?)```", WIRE.read_text(encoding="utf-8"), re.S)
    assert block is not None, "docs/wire.md has no vector block"
    vectors: dict[str, Any] = json.loads(block.group(1))
    return vectors


def made(make_envelope: Any, gateway_signer: Any, centre_signer: Any) -> dict[str, Any]:
    """The same vectors, made now."""
    first = seal(make_envelope(), gateway_signer)
    second = seal(make_envelope(2, chain_digest(first), datetime(2026, 6, 30, 16, 15, tzinfo=UTC)), gateway_signer)
    receipt = Receipt(
        gateway=GatewayId("gw-a"),
        epoch=1,
        contiguous_seq=2,
        head_hash=chain_digest(second),
        server_time=datetime(2026, 6, 30, 16, 15, 1, tzinfo=UTC),
        refused=((1, "profile-unknown"),),
    )
    stone = Tombstone(
        gateway=GatewayId("gw-a"),
        epoch=1,
        first_seq=2,
        last_seq=2,
        last_digest=chain_digest(second),
        previous_hash=chain_digest(first),
        first_mark=datetime(2026, 6, 30, 16, 15, tzinfo=UTC),
        last_mark=datetime(2026, 6, 30, 16, 15, tzinfo=UTC),
    )
    flipped = bytearray(second)
    flipped[300] ^= 1
    return {
        "gateway_seed": gateway_signer.seed.hex(),
        "gateway_public_key": gateway_signer.public_octets.hex(),
        "gateway_key_id": gateway_signer.key_id.hex(),
        "centre_seed": centre_signer.seed.hex(),
        "centre_public_key": centre_signer.public_octets.hex(),
        "partition": partition_of(GatewayId("gw-a")),
        "envelope_topic": envelope_topic(GatewayId("gw-a")),
        "receipt_topic": receipt_topic(GatewayId("gw-a")),
        "envelope_1": first.hex(),
        "envelope_1_signed": head_of(first).signed.hex(),
        "envelope_1_sha256": chain_digest(first).hex(),
        "envelope_1_disclosed": disclose(first, {MeterId("m-lift")}).hex(),
        "envelope_2": second.hex(),
        "receipt": seal_receipt(receipt, centre_signer).hex(),
        "tombstone": seal_tombstone(stone, gateway_signer).hex(),
        "refused_flipped_bit": bytes(flipped).hex(),
        "refused_other_key": seal(make_envelope(), centre_signer).hex(),
        "refused_not_canonical": (b"\x98\x02" + first[1:]).hex(),
    }


@pytest.fixture
def vectors(make_envelope: Any, gateway_signer: Any, centre_signer: Any) -> dict[str, Any]:
    """Freshly made vectors."""
    return made(make_envelope, gateway_signer, centre_signer)


def test_the_published_vectors_are_what_this_code_makes(vectors: dict[str, Any]) -> None:
    assert published() == vectors, "docs/wire.md is out of date; new vectors:\n" + json.dumps(vectors, indent=1)


def test_the_accepted_vectors_open_and_chain(gateway_signer: Any, centre_signer: Any) -> None:
    vectors = published()
    first = open_sealed(bytes.fromhex(vectors["envelope_1"]), gateway_signer.verifier)
    second = open_sealed(bytes.fromhex(vectors["envelope_2"]), gateway_signer.verifier)
    assert second.envelope.previous_hash == first.digest
    disclosed = open_disclosed(bytes.fromhex(vectors["envelope_1_disclosed"]), gateway_signer.verifier)
    assert disclosed.envelope.readings == first.envelope.readings[2:]
    assert disclosed.digest == first.digest
    receipt = open_receipt(bytes.fromhex(vectors["receipt"]), centre_signer.verifier)
    assert (receipt.contiguous_seq, receipt.head_hash) == (second.envelope.seq, second.digest)
    stone = open_tombstone(bytes.fromhex(vectors["tombstone"]), gateway_signer.verifier)
    assert (stone.previous_hash, stone.last_seq, stone.last_digest) == (first.digest, 2, second.digest)


@pytest.mark.parametrize("name", ["refused_flipped_bit", "refused_other_key", "refused_not_canonical"])
def test_the_refused_vectors_are_refused(name: str, gateway_signer: Any) -> None:
    with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
        open_sealed(bytes.fromhex(published()[name]), gateway_signer.verifier)
