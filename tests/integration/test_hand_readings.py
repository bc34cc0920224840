"""What people read, from the display to the statement: judged, sealed, settled, billed, and verified by a stranger."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from allocation_engine.verification import verify_bundle
from ingest.audit_log import Verb
from ingest.closing import Closing
from ingest.reading_desk import desk_of
from ingest.settlement import Settlement
from ingest.statement_file import statement_file
from ingest.store.audit import touching
from ingest.store.database import Database
from ingest.store.hand_readings import HandState
from ingest.store.statements import find_statement
from metering.interval import SLOT
from provisioning.keys import public_verifier
from tests.doubles.hand_park import AN, HAND_METER, PARK_ID, HandCentre, look
from tests.doubles.park_books import CENTRE

PERIOD = "2026-07-01--2026-07-01"


@pytest.fixture
def centre(database: Database) -> HandCentre:
    """A centre with the park imported and its gateways enrolled."""
    built = HandCentre(database)
    built.books.enrol_all()
    return built


@pytest.fixture
def start(centre: HandCentre) -> datetime:
    """The first mark of the period."""
    return centre.site.calendar.period(PERIOD).start


def test_a_reading_that_fits_counts_at_once_and_is_sealed_by_the_centre(centre: HandCentre, start: datetime) -> None:
    first = centre.desk.add(look("001000.00", start - timedelta(days=1, minutes=3)), AN)
    second = centre.desk.add(look("001024.50", start + timedelta(days=2, minutes=4), reader="eng-1"), AN)
    assert (first.state, second.state) == (HandState.COUNTED, HandState.COUNTED)
    assert centre.counted == 2
    assert first.place is not None
    assert second.place is not None
    assert (first.place[0].gateway, first.place[1], second.place[1]) == (desk_of(PARK_ID), 1, 2)
    assert second.mark == start + timedelta(days=2)
    with centre.database.transaction() as connection:
        acts = touching(connection, [f"meter/park/{HAND_METER}"])
    assert [(one.verb, one.who) for one in acts] == [(Verb.READING_ADDED, "an")] * 2
    assert acts[0].told["after"]["reader"] == "eng-1"


def test_a_meter_without_a_bus_is_billed_and_a_stranger_verifies_it(centre: HandCentre, start: datetime) -> None:
    centre.books.write(start + index * SLOT for index in range(97))
    centre.desk.add(look("001000.00", start - timedelta(days=1)), AN)
    centre.desk.add(look("001024.00", start + timedelta(days=2)), AN)
    closing = Closing(Settlement(centre.database, centre.catalogue), CENTRE, bytes(32))
    stored, _ = closing.close(PARK_ID, PERIOD, booked_at=start + timedelta(days=31), actor="an")
    exceptions = [one for one in stored.document["exceptions"] if one["node"] == "u-b301"]
    assert {one["reason"] for one in exceptions} == {"gap"}
    assert "m-u-b301 read by a person 1000000 Wh" in exceptions[0]["basis"]
    with centre.database.transaction() as connection:
        statement = find_statement(connection, "park-2026-07-01--2026-07-01-t-08-v1")
        assert statement is not None
        file = statement_file(connection, statement, centre.catalogue)
    report = verify_bundle(file, {CENTRE.key_id: public_verifier(CENTRE.algorithm, CENTRE.public_key)}, public_verifier)
    assert report.holds, report.broken
    assert report.content is not None
    own = [line for line in report.content.lines if line.unit == "b301" and sum(line.band_energy_wh) == 8000]
    assert own, [(line.pool, line.band_energy_wh) for line in report.content.lines]
    readings = next(check for check in report.checks if check.link == "reading")
    assert "2 of them read by people" in readings.result
