"""What is left of evicted batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.tombstone import Tombstone, open_tombstone, parse_tombstone, seal_tombstone
from metering.envelope import EnvelopeMalformed, SignatureInvalid, encode, sign1
from metering.identity import GatewayId

STONE = Tombstone(GatewayId("gw-a"), 2, 5, 9, bytes(range(32)))


def test_a_tombstone_comes_back_as_it_was(gateway_signer: Any) -> None:
    octets = seal_tombstone(STONE, gateway_signer)
    assert open_tombstone(octets, gateway_signer.verifier) == STONE
    assert parse_tombstone(octets) == STONE


def test_another_key_does_not_open_it(gateway_signer: Any, centre_signer: Any) -> None:
    with pytest.raises(SignatureInvalid):
        open_tombstone(seal_tombstone(STONE, gateway_signer), centre_signer.verifier)


def test_it_is_no_envelope_and_an_envelope_is_none(gateway_signer: Any) -> None:
    with pytest.raises(EnvelopeMalformed, match="tombstone"):
        parse_tombstone(sign1(encode([1, 1, "gw-a", 1, 1, 1, bytes(32)]), gateway_signer))


def test_a_run_that_ends_before_it_begins_is_malformed(gateway_signer: Any) -> None:
    with pytest.raises(EnvelopeMalformed, match="last seq"):
        parse_tombstone(seal_tombstone(replace(STONE, last_seq=4), gateway_signer))
