"""Migration 0013 over a database in which gateways were ordered and enrolled before: they go on as they did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from device_profiles.catalogue import Catalogue
from ingest.caller import Caller
from ingest.installation_desk import InstallationDesk, Terms
from ingest.store.database import Database
from ingest.store.gateways import enrol, keys, order_of_claim
from ingest.store.migrate import migrate, shipped_migrations
from ingest.store.sites import import_site
from metering.clock import ManualClock
from metering.identity import GatewayId
from provisioning.enrolment import Claim, Enrolled, Refused, open_bundle, seal_bundle
from provisioning.keys import FileSigner
from tests.doubles.installation_centre import CENTRE, phone
from tests.doubles.installer import Installer, park

NOW = datetime(2026, 7, 1, tzinfo=UTC)
CLAIM = Claim.of_number(4711)
SIGNER = FileSigner.from_seed(bytes(32))
BEFORE = """
INSERT INTO install_orders (install_order, site, gateway, engineer, claim_hash, ordered_at, expires_at, burned_at,
    burned_by)
VALUES ('order-used', 'park', 'gw-b', 'crew', decode(repeat('01', 32), 'hex'), now(), now() + interval '9 years',
    now(), decode(repeat('02', 32), 'hex')),
    ('order-open', 'park', 'gw-a', 'crew', decode('{claim}', 'hex'), '2026-06-01', '2035-01-01', NULL, NULL);
INSERT INTO gateways VALUES ('gw-b', 'park', 1, now());
INSERT INTO gateway_keys (gateway, epoch, key_id, algorithm, public_key, bundle_hash, enrolled_at)
VALUES ('gw-b', 1, '\\x0102', -8, decode('{key}', 'hex'), decode(repeat('02', 32), 'hex'), now());
"""


@pytest.fixture
def upgraded(empty_dsn: str) -> str:
    """A database with an open order and an enrolled gateway from before."""
    with Database(empty_dsn, connections=2) as database:
        migrate(database, shipped_migrations()[:12])
        with psycopg.connect(empty_dsn) as connection:
            connection.execute(BEFORE.format(claim=CLAIM.hash.hex(), key=SIGNER.public_key.hex()).encode())
        assert migrate(database)[0].startswith("0013_pre_installation")
        with database.transaction() as connection:
            import_site(connection, park(), {}, imported_at=NOW)
    return empty_dsn


def bundle(claim: Claim = CLAIM) -> bytes:
    return seal_bundle(GatewayId("gw-a"), epoch=1, claim=claim, public_key=SIGNER.public_key, signer=SIGNER)


def test_a_gateway_from_before_keeps_its_key(upgraded: str) -> None:
    with Database(upgraded, connections=1) as database, database.transaction() as connection:
        (key,) = keys(connection, (), {GatewayId("gw-b")})
        assert (key.owner.gateway, key.owner.epoch) == ("gw-b", 1)


def test_an_open_order_from_before_still_serves_once(upgraded: str) -> None:
    with Database(upgraded, connections=1) as database:
        with database.transaction() as connection:
            order = order_of_claim(connection, CLAIM.hash)
            assert order is not None
            assert (order.order, order.claim_key) == ("order-open", None)
            assert isinstance(enrol(connection, open_bundle(bundle()), NOW), Enrolled)
        with database.transaction() as connection:
            other = FileSigner.from_seed(b"\x01" * 32)
            octets = seal_bundle(GatewayId("gw-a"), epoch=2, claim=CLAIM, public_key=other.public_key, signer=other)
            outcome = enrol(connection, open_bundle(octets), NOW)
            assert isinstance(outcome, Refused)
            assert outcome.reason == "claim-used"


def test_a_survey_needs_an_order_whose_claim_has_a_key(upgraded: str) -> None:
    """The books of before hold nothing by which the new proof could be judged."""
    with Database(upgraded, connections=2) as database:
        clock = ManualClock(NOW)
        desk = InstallationDesk(database, clock, CENTRE, CENTRE.public_key, Catalogue.shipped(), Terms("http://c"))
        installer = Installer()
        installer.bind("m-u-a101")
        outcome = desk.enrol(installer.bundle(CLAIM), phone).outcome
        assert isinstance(outcome, Refused)
        assert outcome.reason == "claim-unknown"
        made = desk.order(
            Caller("admin", "", ""), site=park().id, gateway=GatewayId("gw-a"), engineer="eng-1",
            expires_at=NOW + timedelta(days=1), expected=(), terms=Terms(),
        )  # fmt: skip
        assert isinstance(desk.enrol(installer.bundle(made.claim), phone).outcome, Enrolled)


def test_an_order_from_before_has_no_papers(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        rows = connection.execute("SELECT order_file, voucher_hash, planned, claim_key FROM install_orders").fetchall()
    assert rows == [(None, None, None, None)] * 2
