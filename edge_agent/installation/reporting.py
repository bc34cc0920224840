"""The commissioning report as the gateway itself gives it, sealed with its own key."""

from __future__ import annotations

import io
from datetime import datetime

from edge_agent.installation.desk import Desk
from provisioning.grant import GRANT_FILE
from provisioning.installation import photos_of
from provisioning.installation_events import parse_event
from provisioning.package import read_package
from provisioning.report.evidence import evidence_of
from provisioning.report.files import make_report
from provisioning.report.seal import ReportKind


def report_file(desk: Desk, kind: ReportKind, language: str, made_at: datetime) -> bytes:
    """Give the report of what is sealed, in "zh" or "en".

    Raises DeskRefused before the seal; for a PDF PaperImpossible or FontMissing where this machine cannot set one.
    """
    package = read_package(io.BytesIO(desk.package()))
    signer = desk.signer_of_events()
    grant = desk.home.keys / GRANT_FILE
    evidence = evidence_of(
        package,
        public_key=signer.public_key,
        grant=grant.read_bytes() if grant.exists() else None,
        order=package.order,
    )
    named = {photo.sha256 for octets in package.events for photo in photos_of(parse_event(octets))}
    photos = {digest: desk.picture(digest) for digest in sorted(named)}
    return make_report(evidence, kind, language=language, made_at=made_at, photos=photos, signer=signer)
