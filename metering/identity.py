"""Identifiers. Each is plain text with a checked form, distinct to the type checker."""

from __future__ import annotations

import re
from typing import NewType

from metering.errors import MeteringError

SiteId = NewType("SiteId", str)
GatewayId = NewType("GatewayId", str)
PortId = NewType("PortId", str)
MeterId = NewType("MeterId", str)
NodeId = NewType("NodeId", str)
UnitId = NewType("UnitId", str)
PartyId = NewType("PartyId", str)
LeaseId = NewType("LeaseId", str)
PoolId = NewType("PoolId", str)
KeyId = NewType("KeyId", bytes)

# Lower-case letters, digits and hyphens only: ids stand in MQTT topics and broker ACL patterns, where '+', '#'
# and '/' in a name have broken access rules before (CVE-2017-7650).
_IDENTIFIER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")


class IdentifierInvalid(MeteringError):
    """An identifier is not 1 to 64 lower-case letters, digits and inner hyphens."""


def check_identifier(text: str) -> str:
    """Return `text` if it is a well-formed identifier; raises IdentifierInvalid otherwise."""
    if not _IDENTIFIER.match(text):
        raise IdentifierInvalid(
            f"{text!r} is not an identifier: use 1 to 64 lower-case letters, digits and inner hyphens"
        )
    return text
