"""What is left of batches that were given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.envelope import EnvelopeMalformed, SignatureInvalid, encode, parse_sealed, seal, sign1
from metering.identity import GatewayId
from metering.tombstone import (
    LossCause,
    Tombstone,
    is_tombstone,
    open_tombstone,
    parse_tombstone,
    seal_tombstone,
)
from tests.conftest import SeededSigner

MARK = datetime(2026, 7, 1, tzinfo=UTC)
STONE = Tombstone(
    gateway=GatewayId("gw-a"),
    epoch=2,
    first_seq=5,
    last_seq=9,
    last_digest=bytes(range(32)),
    previous_hash=bytes(reversed(range(32))),
    first_mark=MARK,
    last_mark=MARK + timedelta(hours=1),
)


@pytest.mark.parametrize(
    "stone",
    [
        STONE,
        replace(STONE, previous_hash=None, first_mark=None, last_mark=None, cause=LossCause.KEPT_NO_LONGER),
        replace(STONE, first_seq=9),
    ],
    ids=["full", "least", "one"],
)
def test_a_tombstone_comes_back_as_it_was(stone: Tombstone, gateway_signer: Any) -> None:
    octets = seal_tombstone(stone, gateway_signer)
    assert open_tombstone(octets, gateway_signer.verifier) == stone
    assert parse_tombstone(octets) == stone
    assert is_tombstone(octets)


def test_another_key_does_not_open_it(gateway_signer: Any, centre_signer: Any) -> None:
    with pytest.raises(SignatureInvalid):
        open_tombstone(seal_tombstone(STONE, gateway_signer), centre_signer.verifier)


def test_it_is_no_envelope_and_an_envelope_is_none(gateway_signer: Any, make_envelope: Any) -> None:
    with pytest.raises(EnvelopeMalformed, match="tombstone"):
        parse_tombstone(sign1(encode([1, 1, "gw-a", 1, 1, 1, bytes(32)]), gateway_signer))
    assert not is_tombstone(seal(make_envelope(), gateway_signer))
    with pytest.raises(EnvelopeMalformed):
        parse_sealed(seal_tombstone(STONE, gateway_signer))


def test_a_run_that_ends_before_it_begins_is_malformed(gateway_signer: Any) -> None:
    with pytest.raises(EnvelopeMalformed, match="last seq"):
        parse_tombstone(seal_tombstone(replace(STONE, last_seq=4), gateway_signer))


def test_the_first_form_which_never_went_over_the_wire_is_still_read(gateway_signer: Any) -> None:
    content = ["tombstone", 1, "gw-a", 2, 5, 9, bytes(range(32))]
    found = parse_tombstone(sign1(encode(content), gateway_signer))
    assert found == replace(STONE, previous_hash=None, first_mark=None, last_mark=None)


def test_two_runs_join_into_one() -> None:
    later = Tombstone(STONE.gateway, 2, 10, 12, bytes(32), STONE.last_digest, MARK + timedelta(hours=2), None)
    joined = STONE.joined(later)
    assert (joined.first_seq, joined.last_seq, joined.last_digest) == (5, 12, bytes(32))
    assert joined.previous_hash == STONE.previous_hash
    assert (joined.first_mark, joined.last_mark) == (MARK, MARK + timedelta(hours=2))


@given(st.integers(0), st.integers(0, 255))
def test_any_damage_is_our_error(place: int, octet: int) -> None:
    signer = SeededSigner("metertree test tombstone")
    octets = bytearray(seal_tombstone(STONE, signer))
    at = place % len(octets)
    if octets[at] == octet:
        return
    octets[at] = octet
    with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
        open_tombstone(bytes(octets), signer.verifier)
