"""Settings that the centre sends to a gateway: signed, for one gateway and epoch, numbered so that none comes twice.

The text is TOML and says what may be set from afar (provisioning/remote_settings.py). A gateway takes an order only if
its number is above every number it has seen; so an old order cannot be played again, and after the loss of its state a
gateway has a new epoch, for which no order was signed yet.
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
    expect_int,
    expect_list,
    expect_text,
    from_ms,
    parse_sign1,
    sign1,
    to_ms,
)
from metering.identity import GatewayId

_KIND = "settings"
_FORMAT = 1
ORDER_OCTETS_MAX = 256 * 1024
"""A text of 250 meters is about 40 KiB."""


@dataclass(frozen=True, slots=True)
class SettingsOrder:
    """One order: settings number `version`, from 1, for `gateway` in `epoch`. `settings` is TOML."""

    gateway: GatewayId
    epoch: int
    version: int
    ordered_at: datetime
    settings: str


def seal_order(order: SettingsOrder, signer: Signer) -> bytes:
    """Sign an order with the centre's key."""
    content = [
        _KIND,
        _FORMAT,
        order.gateway,
        order.epoch,
        order.version,
        to_ms(order.ordered_at),
        order.settings,
    ]
    return sign1(encode(content), signer)


def open_order(octets: bytes, verifier: Verifier) -> SettingsOrder:
    """Verify with the centre's public key and parse; raises EnvelopeMalformed or SignatureInvalid."""
    payload = parse_sign1(octets, ORDER_OCTETS_MAX).require(verifier)
    fields = expect_list(decode_canonical(payload, ORDER_OCTETS_MAX), 7, "order")
    if list(fields[:2]) != [_KIND, _FORMAT]:
        raise EnvelopeMalformed("not settings of format 1")
    return SettingsOrder(
        gateway=GatewayId(expect_text(fields[2], "gateway")),
        epoch=expect_int(fields[3], "epoch", 1, 2**31 - 1),
        version=expect_int(fields[4], "version", 1, 2**31 - 1),
        ordered_at=from_ms(expect_int(fields[5], "ordered at", -(2**47), 2**47)),
        settings=expect_text(fields[6], "settings"),
    )
