"""An installation asks for its certificate in its bundle, and gets it with the grant; then it renews as any other."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.settlement import Settlement
from ingest.store.certificates import certificates_of, key_facts
from ingest.store.database import Database
from ingest.store.sites import import_site
from metering.clock import ManualClock
from metering.identity import GatewayId
from provisioning.authority import name_of
from provisioning.enrolment import Claim
from provisioning.grant import open_grant
from provisioning.tls_key import install_certificate, request_certificate
from provisioning.voucher import open_voucher
from tests.doubles.certified import CENTRE, START, CertifiedGateway, CertifyingCentre, centre_authority
from tests.doubles.installer import Installer
from tests.doubles.park_books import read_park
from tests.doubles.web import serving

A = GatewayId("gw-a")
ADMIN = {"Authorization": "Bearer admin"}


def test_the_grant_brings_the_certificate_and_the_voucher_the_roots(database: Database, tmp_path: Path) -> None:
    site, _, _, catalogue = read_park()
    clock = ManualClock(START)
    with database.transaction() as connection:
        import_site(connection, site, {}, imported_at=START)
    parts = WebParts(
        database=database,
        closing=Closing(Settlement(database, catalogue), CENTRE, bytes(32)),
        clock=clock,
        centre_key=CENTRE.public_key,
        admin_token="admin",
        checks={},
        metrics=Metrics(),
        authority=centre_authority(),
    )
    with serving(create_app(parts)) as client:
        centre = CertifyingCentre(database)
        centre.client, centre.clock = client, clock
        until = (START + timedelta(days=7)).isoformat()
        wanted = {"site": "park", "gateway": A, "engineer": "eng-1", "expires_at": until}
        order = client.post("/v1/install-orders", json=wanted, headers=ADMIN).json()
        voucher = open_voucher(base64.b64decode(order["voucher"]), CENTRE.verifier()).voucher
        assert voucher.roots == centre_authority().roots

        gateway = CertifiedGateway(tmp_path / "keys", A, centre.post)
        installer = Installer(A, site=site)
        gateway.signer = installer.signer
        csr = request_certificate(gateway.folder, A)
        claim = Claim.parse(order["claim"])
        refused = client.post("/v1/enrolments", content=installer.bundle(claim, b"no request"))
        assert refused.status_code == 422, "and the claim still serves"
        first = client.post("/v1/enrolments", content=installer.bundle(claim, csr))
        again = client.post("/v1/enrolments", content=installer.bundle(claim, csr))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["grant"] == again.json()["grant"]
        grant = open_grant(base64.b64decode(first.json()["grant"]), CENTRE.verifier())
        certificate = install_certificate(gateway.folder, A, grant.certificates)
        assert name_of(certificate) == A

        assert gateway.renewal.step(centre.later(29)).renewed is None
        assert gateway.renewal.step(centre.later(40)).renewed is not None
    with database.transaction() as connection:
        assert len(certificates_of(connection, A)) == 2
        assert [one.level for one in key_facts(connection, A)] == ["file"]
