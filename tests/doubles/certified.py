"""A gateway with keys in a folder, and a centre of store and routes that gives it certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from httpx import Client

from edge_agent.adapters.centre_door import DoorRefused, DoorShut
from edge_agent.renewal import Renewal
from ingest.api import problems
from ingest.api.certificates import CertificateRoutes
from ingest.certificates_desk import Centre, CertificateDesk
from ingest.store.database import Database, load_queries
from metering.clock import ManualClock
from metering.identity import GatewayId
from provisioning.authority_folder import CentreAuthority
from provisioning.keys import FileSigner, write_signing_key
from tests.doubles.authorities import MADE_AT, gateways_root, issuing, servers_root
from tests.doubles.web import serving

CENTRE = FileSigner.from_seed(bytes([7]) * 32)
START = MADE_AT + timedelta(days=10)


@cache
def centre_authority() -> CentreAuthority:
    """What the centre issues with."""
    return CentreAuthority(issuing(), (), (gateways_root().certificate,), (servers_root().certificate,))


def enrolled(database: Database, gateway: GatewayId, signer: FileSigner, epoch: int = 1) -> None:
    """Register a key, as an enrolment does."""
    row = {
        "gateway": gateway,
        "site": "park",
        "epoch": epoch,
        "enrolled_at": START,
        "key_id": signer.key_id,
        "algorithm": int(signer.algorithm),
        "public_key": signer.public_key,
        "bundle_hash": bytes(32),
        "key_level": "file",
    }
    with database.transaction() as connection:
        connection.execute(load_queries("gateways")["put_gateway"], row)
        connection.execute(load_queries("gateways")["add_key"], row)


class CertifiedGateway:
    """A gateway's key folder and what renews in it. `post` is how it calls."""

    def __init__(self, folder: Path, name: str, post: Callable[[str, bytes], bytes], seed: int = 1) -> None:
        self.id = GatewayId(name)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.signer = write_signing_key(folder / "signing.key", bytes([seed]) * 32)
        self.post = post
        self.epoch = 1

    @property
    def renewal(self) -> Renewal:
        """A fresh one, as after a start."""
        return Renewal(self.folder, self.id, self.epoch, self.signer, CENTRE.verifier(), self.post)


class CertifyingCentre:
    """The centre's desk behind its routes, at a time that is moved by hand."""

    def __init__(self, database: Database, authority: CentreAuthority | None = None) -> None:
        self.database = database
        self.clock = ManualClock(START)
        self.desk = CertificateDesk(
            database, self.clock, Centre(CENTRE, CENTRE.public_key, authority or centre_authority())
        )
        self.app = FastAPI()
        problems.install(self.app)
        self.app.include_router(CertificateRoutes(self.desk).router())
        self.client: Client

    @property
    def now(self) -> datetime:
        """What time it is."""
        return self.clock.now()

    def later(self, days: float) -> datetime:
        """Let time pass."""
        self.clock.sleep(days * 86400)
        return self.now

    def post(self, path: str, octets: bytes) -> bytes:
        """Call as `CentreDoor` does."""
        answer = self.client.post(path, content=octets)
        if answer.status_code >= 500:
            raise DoorShut(answer.text)
        if answer.status_code >= 300:
            raise DoorRefused(answer.json()["reason"], answer.json()["detail"])
        return answer.content


@contextmanager
def certifying(database: Database) -> Iterator[CertifyingCentre]:
    """A centre that answers."""
    centre = CertifyingCentre(database)
    with serving(centre.app) as client:
        centre.client = client
        yield centre
