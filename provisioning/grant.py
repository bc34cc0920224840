"""The grant: the centre's signed answer to a bundle. It may come back by any way, also as a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from metering.envelope import Signer, Verifier
from metering.identity import GatewayId, KeyId, check_identifier
from provisioning.sealed_document import open_document, seal_document
from provisioning.site import SiteInvalid

GRANT_TAG = "metertree-grant/1"
GRANT_OCTETS_MAX = 64 * 1024
GRANT_FILE = "grant.cose"
"""File name of the grant in a gateway's key folder."""


@dataclass(frozen=True, slots=True)
class Grant:
    """This key signs for this gateway from this epoch on.

    bundle_digest   SHA-256 of the bundle that is answered
    certificates    of the gateway's TLS key, its own first, DER; () where the centre issues none
    """

    gateway: GatewayId
    epoch: int
    key_id: KeyId
    bundle_digest: bytes
    certificates: tuple[bytes, ...]
    centre_public_key: bytes
    at: datetime

    def __post_init__(self) -> None:
        check_identifier(self.gateway)
        if self.at.tzinfo is None:
            raise SiteInvalid("the instant of a grant must carry a time zone")
        object.__setattr__(self, "at", self.at.astimezone(UTC))


def seal_grant(grant: Grant, signer: Signer) -> bytes:
    """Sign a grant at the centre."""
    return seal_document(GRANT_TAG, grant, signer)


def open_grant(octets: bytes, centre: Verifier) -> Grant:
    """Verify, then read a grant; raises EnvelopeMalformed or SignatureInvalid."""
    return open_document(GRANT_TAG, Grant, octets, centre, octets_max=GRANT_OCTETS_MAX)
