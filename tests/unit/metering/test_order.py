"""Settings from the centre: signed, for one gateway, one epoch, one number."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from metering.envelope import EnvelopeMalformed, SignatureInvalid, encode, sign1
from metering.identity import GatewayId
from metering.order import ORDER_OCTETS_MAX, SettingsOrder, open_order, seal_order

ORDER = SettingsOrder(GatewayId("gw-a"), 2, 5, datetime(2026, 7, 1, tzinfo=UTC), "every_s = 900\n")


def test_an_order_is_opened_as_it_was_sealed(centre_signer: Any) -> None:
    assert open_order(seal_order(ORDER, centre_signer), centre_signer.verifier) == ORDER


def test_the_same_order_gives_the_same_octets(centre_signer: Any) -> None:
    assert seal_order(ORDER, centre_signer) == seal_order(replace(ORDER), centre_signer)


def test_an_order_that_another_key_signed_is_refused(centre_signer: Any, gateway_signer: Any) -> None:
    with pytest.raises(SignatureInvalid):
        open_order(seal_order(ORDER, gateway_signer), centre_signer.verifier)


def test_every_flipped_bit_is_refused(centre_signer: Any) -> None:
    octets = seal_order(ORDER, centre_signer)
    for place in range(len(octets)):
        changed = bytearray(octets)
        changed[place] ^= 1
        with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
            open_order(bytes(changed), centre_signer.verifier)


@pytest.mark.parametrize(
    "content",
    [
        ["tombstone", 1, "gw-a", 1, 1, 0, ""],
        ["settings", 2, "gw-a", 1, 1, 0, ""],
        ["settings", 1, "gw-a", 0, 1, 0, ""],
        ["settings", 1, "gw-a", 1, 0, 0, ""],
        ["settings", 1, "gw-a", 1, 1, 0, b""],
        ["settings", 1, "gw-a", 1, 1, 0],
        {},
    ],
)
def test_what_is_no_order_is_refused_though_the_centre_signed_it(centre_signer: Any, content: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        open_order(sign1(encode(content), centre_signer), centre_signer.verifier)


def test_an_order_beyond_all_measure_is_refused_unread(centre_signer: Any) -> None:
    with pytest.raises(EnvelopeMalformed, match="at most"):
        open_order(bytes(ORDER_OCTETS_MAX + 1), centre_signer.verifier)
