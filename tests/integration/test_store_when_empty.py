"""Every function of the store on a database with nothing in it, and one script on PostgreSQL and on its double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest.closing import Closing
from ingest.metering_points import register_places
from ingest.settlement import Settlement
from ingest.store import gateways, readings, runs, settled, sites, statements
from ingest.store.database import Connection, Database, DatabaseUnreachable
from ingest.store.migrate import Migration, MigrationsDiffer, is_migrated, missing_migrations, shipped_migrations
from metering.identity import GatewayId, KeyId, MeterId, NodeId, SiteId
from metering.interval import SLOT
from metering.obis import ENERGY_IMPORT
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.park_books import CENTRE, PARK, ParkBooks, read_park

NOW = datetime(2026, 7, 1, tzinfo=UTC)
DAY = date(2026, 7, 1)
SITE, METER, NODE = SiteId("park"), MeterId("m-lift"), NodeId("lift")
PLACES = register_places(read_park()[3], ENERGY_IMPORT)
PERIOD = "2026-07-01--2026-07-01"


@pytest.fixture(params=["postgres", "memory"])
def store(request: pytest.FixtureRequest) -> Database:
    """The real database and its double: both must answer alike."""
    if request.param == "memory":
        return MemoryDatabase()
    found: Database = request.getfixturevalue("database")
    return found


QUESTIONS: dict[str, tuple[Callable[[Connection], Any], Any]] = {
    "keys": (lambda c: gateways.keys(c, [KeyId(bytes(8))], [GatewayId("gw-a")]), []),
    "no keys asked for": (lambda c: gateways.keys(c, [], []), []),
    "order": (lambda c: gateways.order_of_claim(c, bytes(32)), None),
    "gateways": (gateways.gateway_states, ()),
    "gateway": (lambda c: gateways.gateway_state(c, GatewayId("gw-a")), None),
    "runs": (lambda c: runs.list_runs(c, site=None, period=None, most=5), ()),
    "runs of a site": (lambda c: runs.list_runs(c, site="park", period="2026-07", most=5), ()),
    "run": (lambda c: runs.find_run(c, "none"), None),
    "count of runs": (lambda c: runs.count_runs(c, SITE, "2026-07"), 0),
    "lines": (lambda c: runs.list_lines(c, "none", party=None, pool=None), ()),
    "statement": (lambda c: statements.find_statement(c, "none"), None),
    "statements of a run": (lambda c: statements.numbers_of_run(c, "none"), ()),
    "newest version": (lambda c: sites.newest_version(c, SITE), None),
    "newest versions": (sites.newest_versions, ()),
    "unsettled days": (lambda c: settled.unsettled_days(c, [METER]), ()),
    "unsettled days of nobody": (lambda c: settled.unsettled_days(c, []), ()),
    "settled days": (lambda c: settled.settled_days(c, SITE, DAY, DAY), ()),
    "settled hashes": (lambda c: settled.settled_hashes(c, SITE, NODE, [DAY]), {}),
    "hashes of no day": (lambda c: settled.settled_hashes(c, SITE, NODE, []), {}),
    "known before": (lambda c: settled.known_before(c, [METER], PLACES, NOW), None),
    "known after": (lambda c: settled.known_after(c, [METER], PLACES, NOW), None),
    "known of no meter": (lambda c: settled.known_before(c, [], PLACES, NOW), None),
    "known at no place": (lambda c: settled.known_before(c, [METER], [], NOW), None),
    "readings": (lambda c: readings.readings_due(c, [METER], NOW, NOW), ()),
    "readings of nobody": (lambda c: readings.readings_due(c, [], NOW, NOW), ()),
    "octets": (lambda c: readings.envelope_octets(c, [(GatewayId("gw-a"), 1, 1)]), {}),
    "octets of nothing": (lambda c: readings.envelope_octets(c, []), {}),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_empty_store_answers_with_nothing(store: Database, question: str) -> None:
    ask, nothing = QUESTIONS[question]
    with store.transaction() as connection:
        assert ask(connection) == nothing


def test_what_only_people_look_at_is_empty_too(database: Database) -> None:
    with database.transaction() as connection:
        assert readings.quarantined(connection, 5) == ()
        assert readings.alarms(connection, 5) == ()


def test_a_site_nobody_imported_is_unknown(store: Database) -> None:
    with store.transaction() as connection, pytest.raises(sites.SiteUnknown, match="metertree site import"):
        sites.require_site(connection, SITE)
    with store.transaction() as connection, pytest.raises(sites.SiteUnknown):
        sites.site_version(connection, SITE, 1)


def test_forgetting_what_is_not_there_is_no_error(store: Database) -> None:
    with store.transaction() as connection:
        settled.forget_settled_days(connection, SITE)
        settled.forget_unsettled_days(connection, [])
        settled.forget_unsettled_days(connection, [settled.UnsettledDay(METER, DAY, 1)])


def test_a_transaction_that_fails_leaves_nothing(store: Database) -> None:
    site, rules, _, _ = read_park()

    def import_and_break() -> None:
        with store.transaction() as connection:
            sites.import_site(connection, site, rules.document, imported_at=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        import_and_break()
    with store.transaction() as connection:
        assert sites.newest_versions(connection) == ()


def test_a_version_is_added_only_where_something_changed(store: Database) -> None:
    site, rules, _, _ = read_park()
    with store.transaction() as connection:
        first, is_new = sites.import_site(connection, site, rules.document, imported_at=NOW)
        assert (first.version, is_new) == (1, True)
        again, is_new = sites.import_site(connection, site, rules.document, imported_at=NOW + timedelta(days=1))
        assert (again.version, again.imported_at, is_new) == (1, NOW, False)
        fewer = replace(site, leases=site.leases[1:])
        second, is_new = sites.import_site(connection, fewer, rules.document, imported_at=NOW)
        assert (second.version, is_new) == (2, True)
        assert sites.site_version(connection, SITE, 1).site == site
        assert sites.newest_version(connection, SITE) == second


def test_text_that_no_database_can_hold_is_a_data_error(store: Database) -> None:
    with pytest.raises(psycopg.DataError), store.transaction() as connection:
        runs.find_run(connection, "\0")


def script(database: Database) -> Iterator[Any]:
    """Three hours of the park, settled, read back, settled again after a gap is filled; every answer on the way."""
    site, rules, play, catalogue = read_park(PARK)
    books = ParkBooks(database, site, rules, play, catalogue, only=frozenset({METER}))
    books.enrol_all()
    start = site.calendar.period(PERIOD).start
    settlement = Settlement(database, catalogue)
    for marks in (range(4), range(9, 12), range(4, 9)):
        books.write(start + mark * SLOT for mark in marks)
        yield settlement.settle_pending()
        with database.transaction() as connection:
            yield settled.settled_days(connection, SITE, DAY - timedelta(days=1), DAY)
            yield settled.unsettled_days(connection, [METER])
            yield settled.settled_hashes(connection, SITE, NODE, [DAY])
            yield [replace(one, received_at=None) for one in gateways.gateway_states(connection)]
            yield readings.readings_due(connection, [METER], start, start + 5 * SLOT)
            for mark in (0, 3, 6, 20):
                yield settled.known_before(connection, [METER], PLACES, start + mark * SLOT)
                yield settled.known_after(connection, [METER], PLACES, start + mark * SLOT)
            place = (GatewayId("gw-a"), 1, 2)
            yield readings.envelope_octets(connection, [place, (place[0], 1, 999)])
    closing = Closing(settlement, CENTRE, bytes(32))
    with pytest.raises(Exception, match="main") as refused:
        closing.close(SITE, PERIOD, booked_at=NOW)
    yield str(refused.value)


def test_the_double_answers_as_postgresql_does(database: Database) -> None:
    for number, (real, double) in enumerate(zip(script(database), script(MemoryDatabase()), strict=True)):
        assert real == double, number


# Migrations


def test_a_migrated_database_lacks_nothing(database: Database) -> None:
    assert is_migrated(database)


def test_a_migration_that_was_changed_after_it_ran_is_found(database: Database) -> None:
    shipped = shipped_migrations()
    changed = (Migration(shipped[0].name, shipped[0].statements + b"\n-- later"), *shipped[1:])
    with database.transaction() as connection, pytest.raises(MigrationsDiffer, match="never changes"):
        missing_migrations(connection, changed)


def test_a_database_newer_than_the_program_is_found(database: Database) -> None:
    with database.transaction() as connection, pytest.raises(MigrationsDiffer, match="newer than this program"):
        missing_migrations(connection, shipped_migrations()[:-1])


def test_a_migration_that_is_missing_is_named(database: Database) -> None:
    more = Migration("9999_post_more.sql", b"SELECT 1")
    with database.transaction() as connection:
        assert missing_migrations(connection, (*shipped_migrations(), more)) == (more,)


def test_a_database_that_is_away_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.store.database.CHECKOUT_S", 0.2)
    with Database("host=127.0.0.1 port=1 connect_timeout=1", connections=1) as nowhere:
        assert not nowhere.answers()
        with pytest.raises(DatabaseUnreachable), nowhere.transaction():
            pass
