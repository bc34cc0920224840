"""The published park behind HTTP, with a client key for a billing program; may be stopped and started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.intake import IntakeCounters
from ingest.store.clients import add_client, make_key
from tests.doubles.hooked import LOOPBACK
from tests.doubles.issued_park import BY, NOW, IssuedPark
from tests.doubles.park_books import CENTRE
from tests.doubles.web import serving

TOKEN = "t0ken"


def add_billing_client(park: IssuedPark, name: str = "billing") -> str:
    """Give the key of a new client."""
    with park.database.transaction() as connection:
        add_client(connection, name, ("billing",), None, BY, NOW)
        return make_key(connection, name, BY, NOW)


@contextmanager
def billing_service(park: IssuedPark) -> Iterator[httpx.Client]:
    """Serve; give a plain client whose base URL others take too."""
    metrics = Metrics()
    metrics.follow(IntakeCounters())
    parts = WebParts(
        database=park.database,
        closing=park.closing,
        clock=park.clock,
        centre_key=CENTRE.public_key,
        admin_token=TOKEN,
        checks={"database": park.database.answers},
        metrics=metrics,
        guard=LOOPBACK,
        open_reads=False,
    )
    with serving(create_app(parts)) as client:
        yield client
