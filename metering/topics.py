"""The MQTT topic grammar: `m/<partition>/<gateway>/up/envelope`, `.../down/receipt`, `.../down/config`.

The partition is the hash of the gateway id over a fixed number, so that intake workers can share the load by topic
filter and each gateway's order is kept. Topics tell where a message goes, never who sent it: the signature does.
"""

from __future__ import annotations

import hashlib

from metering.errors import MeteringError
from metering.identity import GatewayId, check_identifier

PARTITIONS = 64
ROOT = "m"


class TopicInvalid(MeteringError):
    """A topic does not follow the grammar."""


def partition_of(gateway: GatewayId) -> int:
    """Give the partition of a gateway, 0 to 63: the first octet of SHA-256 of its id, modulo 64."""
    return hashlib.sha256(gateway.encode()).digest()[0] % PARTITIONS


def envelope_topic(gateway: GatewayId) -> str:
    """Where a gateway publishes envelopes."""
    return f"{ROOT}/{partition_of(gateway)}/{check_identifier(gateway)}/up/envelope"


def receipt_topic(gateway: GatewayId) -> str:
    """Where a gateway listens for receipts."""
    return f"{ROOT}/{partition_of(gateway)}/{check_identifier(gateway)}/down/receipt"


def config_topic(gateway: GatewayId) -> str:
    """Where a gateway listens for settings that the centre orders."""
    return f"{ROOT}/{partition_of(gateway)}/{check_identifier(gateway)}/down/config"


def intake_filter(partition: int | None = None) -> str:
    """Topic filter of an intake worker: one partition, or all."""
    return f"{ROOT}/{'+' if partition is None else partition}/+/up/envelope"


def gateway_of(topic: str) -> GatewayId:
    """Give the gateway an envelope topic belongs to; raises TopicInvalid."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != ROOT or parts[3:] != ["up", "envelope"]:
        raise TopicInvalid(f"{topic!r} is not an envelope topic")
    gateway = GatewayId(check_identifier(parts[2]))
    if parts[1] != str(partition_of(gateway)):
        raise TopicInvalid(f"{topic!r}: partition {parts[1]} is not that of {gateway}")
    return gateway
