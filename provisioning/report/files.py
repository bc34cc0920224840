"""Report files made and checked: `make_report` gives the octets of one, `check_report` says what they prove."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from metering.envelope import EnvelopeMalformed, Signer, Verifier
from metering.identity import KeyId
from provisioning.keys import PublicVerifier, fingerprint, raw_verifier
from provisioning.paper.fonts import ChineseFont
from provisioning.report.composing import compose
from provisioning.report.evidence import Evidence
from provisioning.report.facts import Installation, prove
from provisioning.report.page import to_html
from provisioning.report.paper import to_pdf
from provisioning.report.seal import ReportFile, ReportFileInvalid, ReportKind, read_report_file

PICTURES_OCTETS_MAX = 48 * 1024 * 1024
"""Photos beyond this are named by their digest and not shown: a report is sent about [octets]."""
_PICTURE = re.compile(rb'<img data-sha256="([0-9a-f]{64})" [^>]*? src="data:[^;"]*;base64,([A-Za-z0-9+/=]*)">')


def make_report(
    evidence: Evidence,
    kind: ReportKind,
    *,
    language: str,
    made_at: datetime,
    photos: Mapping[bytes, bytes],
    signer: Signer | None,
    font: ChineseFont | None = None,
) -> bytes:
    """Give a report file.

    photos   pictures by SHA-256, as many as are at hand
    signer   seals the file: the gateway's key at the gateway; None leaves it without a seal
    Raises what `prove` raises; for a PDF also PaperImpossible or FontMissing.
    """
    report = compose(prove(evidence), language, made_at=made_at, photos=_shown(evidence, photos))
    body = to_html(report) if kind is ReportKind.HTML else to_pdf(report, dated=made_at, font=font)
    bare = ReportFile(kind, body, evidence.to_wire(), None)
    return (bare if signer is None else bare.sealed(signer)).to_octets()


def _shown(evidence: Evidence, photos: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Choose the photos that are shown, meter by meter, until there are too many octets."""
    shown: dict[bytes, bytes] = {}
    room = PICTURES_OCTETS_MAX
    for one in prove(evidence).bound:
        for photo in one.binding.photos:
            octets = photos.get(photo.sha256)
            if octets is not None and len(octets) <= room and hashlib.sha256(octets).digest() == photo.sha256:
                shown[photo.sha256] = octets
                room -= len(octets)
    return shown


@dataclass(frozen=True, slots=True)
class CheckedReport:
    """What a report file proves.

    sealed_by     "gateway", or "other" for a key that was given; None without a seal
    seal_key      fingerprint of the key that sealed the file
    is_anchored   the order was signed by the anchor that was given, so the centre is the one that is believed
    """

    kind: ReportKind
    installation: Installation
    sealed_by: str | None
    seal_key: str | None
    is_anchored: bool


def check_report(
    octets: bytes, *, anchor: Verifier | None = None, keys: Mapping[KeyId, PublicVerifier] | None = None
) -> CheckedReport:
    """Check a report file without anything else; raises ReportFileInvalid, or SignatureInvalid and the like.

    anchor   the centre's key that is believed
    keys     further keys that may have sealed the file, by id: of an office that made it from a package
    A file without a seal is refused: it shows right acts, and anything else beside them.
    """
    found = read_report_file(octets)
    try:
        evidence = Evidence.from_wire(found.evidence)
    except EnvelopeMalformed as error:
        raise ReportFileInvalid(f"the evidence is damaged: {error}; take the file from its source again") from error
    installation = prove(evidence, anchor)
    gateway = raw_verifier(evidence.public_key)
    wanted = found.sealing_key()
    if wanted is None:
        raise ReportFileInvalid("the file has no seal: have it made at the gateway, or with --key")
    sealer = gateway if wanted == gateway.key_id else (keys or {}).get(wanted)
    if sealer is None:
        raise ReportFileInvalid(
            f"it was sealed by key {wanted.hex()}, not by the gateway: give that key with --sealed-by FILE"
        )
    found.require_seal(sealer)
    _check_pictures(found, installation)
    return CheckedReport(
        found.kind,
        installation,
        "gateway" if sealer is gateway else "other",
        fingerprint(sealer.public_key),
        anchor is not None,
    )


def _check_pictures(found: ReportFile, installation: Installation) -> None:
    """Require that every picture of a page is the one that the acts name; raises ReportFileInvalid."""
    if found.kind is not ReportKind.HTML:
        return
    named = {photo.sha256 for one in installation.bound for photo in one.binding.photos}
    for digest, text in _PICTURE.findall(found.body):
        try:
            octets = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ReportFileInvalid(f"picture {digest.decode()[:16]} is damaged: take the file again") from error
        if (
            hashlib.sha256(octets).digest() != bytes.fromhex(digest.decode())
            or bytes.fromhex(digest.decode()) not in named
        ):
            raise ReportFileInvalid(
                f"picture {digest.decode()[:16]} is not the one that was taken: take the file again"
            )
