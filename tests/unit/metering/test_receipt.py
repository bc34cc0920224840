"""Receipts: the centre's signed word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from metering.envelope import EnvelopeMalformed, SignatureInvalid, encode, sign1
from metering.identity import GatewayId
from metering.receipt import Receipt, open_receipt, seal_receipt

RECEIPT = Receipt(
    GatewayId("gw-a"), 1, 41, bytes(range(32)), datetime(2026, 7, 1, tzinfo=UTC), ((7, "signature-invalid"),)
)


def test_a_receipt_opens_to_what_was_signed(centre_signer: Any) -> None:
    assert open_receipt(seal_receipt(RECEIPT, centre_signer), centre_signer.verifier) == RECEIPT


def test_a_receipt_signed_by_a_gateway_is_refused(centre_signer: Any, gateway_signer: Any) -> None:
    with pytest.raises(SignatureInvalid):
        open_receipt(seal_receipt(RECEIPT, gateway_signer), centre_signer.verifier)


@pytest.mark.parametrize(
    "content",
    [
        [],
        7,
        [2, "gw-a", 1, 1, bytes(32), 0, []],
        [1, "gw-a", 1, 1, bytes(32), 0, [[1]]],
        [1, "gw-a", 1, -1, bytes(32), 0, []],
        [1, "gw-a", 1, 1, bytes(31), 0, []],
        [1, "gw-a", "1", 1, bytes(32), 0, []],
        [1, "gw-a", 1, 1, bytes(32), 0, [[1, 2]]],
    ],
)
def test_a_signed_message_that_is_no_receipt_is_refused(centre_signer: Any, content: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        open_receipt(sign1(encode(content), centre_signer), centre_signer.verifier)
