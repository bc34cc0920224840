"""A centre that can be called from several addresses of the loopback, and machines that present claims to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.sites import import_site
from metering.clock import ManualClock
from metering.identity import GatewayId
from provisioning.enrolment import Claim, seal_bundle
from provisioning.keys import FileSigner
from tests.doubles.park_books import CENTRE, read_park
from tests.doubles.web import TIMEOUT_S, serving

NOW = datetime(2026, 8, 1, 1, tzinfo=UTC)
TOKEN = "t0ken"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
ORDERS, ENROLMENTS = "/v1/install-orders", "/v1/enrolments"


def machine(number: int) -> FileSigner:
    """The key of some machine."""
    return FileSigner.from_seed(number.to_bytes(32))


def bundle(claim: str, signer: FileSigner, gateway: str = "gw-a", epoch: int = 1) -> bytes:
    """What a machine presents with a claim."""
    return seal_bundle(
        GatewayId(gateway), epoch=epoch, claim=Claim.parse(claim), public_key=signer.public_key, signer=signer
    )


class InstallingCentre:
    """The central service with the park imported and nothing enrolled."""

    def __init__(self, database: Database) -> None:
        site, rules, _, catalogue = read_park()
        with database.transaction() as connection:
            import_site(connection, site, rules.document, imported_at=NOW)
        self.database = database
        self.clock = ManualClock(NOW)
        self.metrics = Metrics()
        self.metrics.follow(IntakeCounters())
        parts = WebParts(
            database=database,
            closing=Closing(Settlement(database, catalogue), CENTRE, bytes(32)),
            clock=self.clock,
            centre_key=CENTRE.public_key,
            admin_token=TOKEN,
            checks={"database": database.answers},
            metrics=self.metrics,
        )
        self.app = create_app(parts)

    @contextmanager
    def open(self) -> Iterator[InstallingCentre]:
        """Serve while inside."""
        with serving(self.app) as self.client:
            yield self

    def calling_from(self, address: str) -> httpx.Client:
        """Give a client whose calls come from another address of the loopback."""
        transport = httpx.HTTPTransport(local_address=address)
        return httpx.Client(base_url=self.client.base_url, timeout=TIMEOUT_S, trust_env=False, transport=transport)

    def order(self, gateway: str = "gw-a") -> str:
        """Make an install order; give its claim."""
        expires_at = (self.clock.now() + timedelta(days=14)).isoformat()
        wanted: dict[str, Any] = {"site": "park", "gateway": gateway, "engineer": "eng-1", "expires_at": expires_at}
        answer = self.client.post(ORDERS, json=wanted, headers=ADMIN)
        assert answer.status_code == 201, answer.text
        claim: str = answer.json()["claim"]
        return claim
