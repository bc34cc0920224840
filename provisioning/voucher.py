"""The voucher: the centre's signed word that it owns a gateway, brought by the engineer.

A gateway whose key folder (or image) holds the file `anchor.pub` believes that key alone. One without an anchor
believes the key that the voucher itself names, once a person has compared its fingerprint with the install order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from metering.envelope import EnvelopeMalformed, Signer, Verifier, digest_of
from metering.identity import GatewayId, SiteId, check_identifier
from provisioning.keys import PublicKeyInvalid, PublicVerifier, fingerprint, raw_verifier
from provisioning.sealed_document import parse_document, seal_document
from provisioning.site import Names, SiteInvalid

VOUCHER_TAG = "metertree-voucher/1"
VOUCHER_OCTETS_MAX = 32 * 1024
ANCHOR_PUBLIC_KEY = "anchor.pub"
"""File name, in a gateway's key folder, of the one centre key it believes."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who owns a gateway, and where it is to report.

    order              id of the install order it came with
    owner              of the site, as people call him
    centre_url         where the gateway presents itself, http(s)://host:port
    broker             host:port of the MQTT broker; None where the gateway sends over HTTP
    centre_public_key  raw, of the centre: signs receipts, orders and grants
    roots              certificates to believe at the broker and the centre, DER; () without TLS of our own
    not_after          last instant at which it may be used to enrol
    """

    order: str
    site: SiteId
    gateway: GatewayId
    owner: Names
    centre_url: str
    broker: str | None
    centre_public_key: bytes
    roots: tuple[bytes, ...]
    not_after: datetime

    def __post_init__(self) -> None:
        check_identifier(self.order)
        check_identifier(self.site)
        check_identifier(self.gateway)
        if self.not_after.tzinfo is None:
            raise SiteInvalid("not_after must carry a time zone")
        object.__setattr__(self, "not_after", self.not_after.astimezone(UTC))
        if not self.centre_url.startswith(("http://", "https://")):
            raise SiteInvalid(f"{self.centre_url!r} is no address of a centre; give http(s)://host:port")


@dataclass(frozen=True, slots=True)
class OpenedVoucher:
    """A voucher with what is known of it.

    digest       SHA-256 of the sealed octets: what the first installation event names as previous
    is_anchored  it was signed by the key this gateway believes; False: a person must compare `fingerprint`
    centre       the centre's key: what it signs is verified with it
    """

    voucher: Voucher
    digest: bytes
    is_anchored: bool
    fingerprint: str
    centre: PublicVerifier


def seal_voucher(voucher: Voucher, signer: Signer) -> bytes:
    """Sign a voucher at the centre."""
    return seal_document(VOUCHER_TAG, voucher, signer)


def open_voucher(octets: bytes, anchor: Verifier | None) -> OpenedVoucher:
    """Verify, then read a voucher; raises EnvelopeMalformed or SignatureInvalid.

    anchor   the key this gateway believes; None: the voucher proves only that it is whole and one centre's
    """
    voucher, message = parse_document(VOUCHER_TAG, Voucher, octets, octets_max=VOUCHER_OCTETS_MAX)
    try:
        centre = raw_verifier(voucher.centre_public_key)
    except PublicKeyInvalid as error:
        raise EnvelopeMalformed(f"voucher: {error}") from error
    message.require(centre if anchor is None else anchor)
    return OpenedVoucher(voucher, digest_of(octets), anchor is not None, fingerprint(voucher.centre_public_key), centre)
