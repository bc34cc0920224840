"""What a report is made of and carries with it: the order and the acts as they were sealed, by which it is proven.

The enrolment bundle is not part of it, only its digest: a bundle holds the claim, and a report goes to many hands.
"""

from __future__ import annotations

from dataclasses import dataclass

from metering.envelope import EnvelopeMalformed, decode_canonical, encode, expect_bytes, expect_list
from provisioning.enrolment import open_bundle
from provisioning.package import Package

EVIDENCE_TAG = "metertree-report-evidence/1"
EVIDENCE_OCTETS_MAX = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sealed parts.

    order          order file
    public_key     raw, of the gateway that sealed the acts
    events         from number 1
    grant          the centre's answer, if it has come
    bundle_digest  SHA-256 of the enrolment bundle, the first link of the gateway's chain of readings
    """

    order: bytes
    public_key: bytes
    events: tuple[bytes, ...]
    grant: bytes | None
    bundle_digest: bytes | None

    def to_wire(self) -> bytes:
        """Give the evidence as canonical CBOR."""
        parts = [self.order, self.public_key, list(self.events), self.grant, self.bundle_digest]
        return encode([EVIDENCE_TAG, *parts])

    @classmethod
    def from_wire(cls, octets: bytes) -> Evidence:
        """Read evidence; raises EnvelopeMalformed. Nothing is proven by that."""
        parts = expect_list(decode_canonical(octets, EVIDENCE_OCTETS_MAX), 6, "evidence")
        if parts[0] != EVIDENCE_TAG:
            raise EnvelopeMalformed(f"not evidence of format {EVIDENCE_TAG}")
        order, key, events, grant, digest = parts[1:]
        return cls(
            order=expect_bytes(order, None, "order"),
            public_key=expect_bytes(key, None, "public key"),
            events=tuple(expect_bytes(one, None, "event") for one in expect_list(events, None, "events")),
            grant=None if grant is None else expect_bytes(grant, None, "grant"),
            bundle_digest=None if digest is None else expect_bytes(digest, 32, "bundle digest"),
        )


def evidence_of(package: Package, *, public_key: bytes | None, grant: bytes | None, order: bytes | None) -> Evidence:
    """Take the evidence out of a package; raises ReportImpossible where it lacks something, and the faults of a bundle.

    public_key, order   given besides, for a package that does not hold them (any more)
    """
    from provisioning.report.facts import ReportImpossible

    bundle = None if package.bundle is None else open_bundle(package.bundle)
    order = order or package.order
    if order is None:
        raise ReportImpossible("the package holds no order file: give the engineer's with --order FILE")
    if bundle is not None:
        public_key = public_key or bundle.public_key
    if public_key is None:
        raise ReportImpossible("the package holds no gateway key: give it with --gateway-key FILE")
    return Evidence(order, public_key, package.events, grant, None if bundle is None else bundle.digest)
