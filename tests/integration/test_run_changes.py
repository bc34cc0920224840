"""Late readings and rewired meters tell the runs that were computed before them, on PostgreSQL and on the double."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from ingest.closing import Closing
from ingest.console.words import Language
from ingest.settlement import Settlement
from ingest.settlement_desk import NodeUnmetered, explain_day, list_waiting
from ingest.settlement_words import changed_run_lines, changes_table, story_of_day, waiting_lines
from ingest.store.database import Database
from ingest.store.run_changes import (
    DayChange,
    RunChanges,
    changes_since,
    list_changed_runs,
    list_changes,
)
from ingest.store.sites import import_site
from metering.identity import MeterId, NodeId
from metering.interval import SLOT
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.park_books import CENTRE, ORDERED_AT, ParkBooks, read_park

PERIOD, DAY = "2026-07-01--2026-07-01", date(2026, 7, 1)
METER, NODE = MeterId("m-u-a101"), NodeId("u-a101")
BOOKED_AT = datetime(2026, 7, 2, 1, tzinfo=UTC)
SILENT = range(20, 30)


class Estate:
    """A park of which one meter was silent for some marks of the day."""

    def __init__(self, database: Any) -> None:
        site, rules, play, catalogue = read_park()
        self.database = database
        self.books = ParkBooks(database, site, rules, play, catalogue)
        self.books.enrol_all()
        self.closing = Closing(Settlement(database, catalogue), CENTRE, bytes(32))
        start = site.calendar.period(PERIOD).start
        self.marks = [start + number * SLOT for number in range(97)]
        self.books.write(self.marks, lambda meter, mark: meter == METER and self.marks.index(mark) in SILENT)
        self.before = dict(self.books.seqs)

    def close(self) -> str:
        """Close the day."""
        return self.closing.close(self.books.site.id, PERIOD, booked_at=BOOKED_AT)[0].head.run

    def settle(self) -> int:
        """Settle what waits."""
        return self.closing.settlement.settle_pending()

    def fill(self) -> None:
        """Let what was missing arrive."""
        self.books.write(self.marks[number] for number in SILENT)

    def rewire(self, ct: int) -> None:
        """Import the site with another ratio of the meter."""
        site = self.books.site
        meters = tuple(replace(one, ct=ct) if one.id == METER else one for one in site.meters)
        with self.database.transaction() as connection:
            import_site(connection, replace(site, meters=meters), self.books.rules.document, imported_at=ORDERED_AT)

    def changed(self, run: str) -> tuple[RunChanges, tuple[DayChange, ...]]:
        """What changed since a run."""
        with self.database.transaction() as connection:
            return changes_since(connection, run), list_changes(connection, run, after=None, most=100)


@pytest.fixture(params=["memory"])
def estate(request: pytest.FixtureRequest) -> Estate:
    """The park on the double, or where a test says so on PostgreSQL."""
    return Estate(MemoryDatabase() if request.param == "memory" else request.getfixturevalue("database"))


BOTH = pytest.mark.parametrize("estate", ["memory", "postgres"], indirect=True)


@BOTH
def test_a_late_reading_tells_the_run_and_closing_again_gives_another(estate: Estate) -> None:
    run = estate.close()
    assert estate.changed(run)[0].entries == 0
    estate.fill()
    assert estate.settle() == 2, "import and export of one node and day"
    summary, changes = estate.changed(run)
    assert (summary.days, summary.nodes, summary.entries) == (1, 1, 2)
    assert (summary.first, summary.last) == (DAY, DAY)
    assert [one.key for one in changes] == [(NODE, ENERGY_IMPORT, DAY), (NODE, ENERGY_EXPORT, DAY)]
    assert changes[0].was_wh == changes[0].now_wh, "the same energy, in other slots"
    with estate.database.transaction() as connection:
        (touched,) = list_changed_runs(connection, site="park", most=5)
        assert list_changed_runs(connection, site="elsewhere", most=5) == ()
        assert list_changes(connection, run, after=changes[0].key, most=5) == changes[1:]
    assert (touched.run, touched.period, touched.days, touched.nodes) == (run, PERIOD, 1, 1)
    again = estate.close()
    assert again != run
    assert estate.changed(again)[0].entries == 0
    assert estate.changed(run)[0].entries == 2, "the older run still says something else than the books"


def test_a_late_reading_is_told_with_what_the_run_was_computed_from() -> None:
    estate = Estate(MemoryDatabase())
    run = estate.close()
    estate.fill()
    estate.settle()
    assert [one.key.obis for one in estate.changed(run)[1]] == [ENERGY_IMPORT, ENERGY_EXPORT]


def test_a_rewired_meter_is_told_before_anything_is_settled_anew() -> None:
    estate = Estate(MemoryDatabase())
    run = estate.close()
    estate.rewire(ct=3)
    assert estate.changed(run)[0].entries == 2


def test_days_outside_every_run_are_not_told(estate: Estate) -> None:
    run = estate.close()
    estate.books.write(estate.marks[-1] + number * SLOT for number in range(1, 5))
    assert estate.settle() > 0
    assert estate.changed(run)[0].entries == 0


def test_what_becomes_again_what_it_was_is_no_change(database: Database) -> None:
    estate = Estate(database)
    run = estate.close()
    estate.fill()
    estate.settle()
    assert estate.changed(run)[0].entries == 2
    with database.transaction() as connection:
        for gateway, seq in estate.before.items():
            connection.execute(b"DELETE FROM readings WHERE gateway = %s AND seq > %s", [gateway, seq])
        connection.execute(b"INSERT INTO unsettled_days VALUES (%s, '2026-06-30', 1)", [METER])
    estate.settle()
    assert estate.changed(run)[0].entries == 0


@pytest.mark.parametrize("estate", ["postgres"], indirect=True)
def test_a_rewired_meter_tells_the_run_before_and_after_it_is_settled_anew(estate: Estate) -> None:
    run = estate.close()
    estate.rewire(ct=3)
    _, changes = estate.changed(run)
    assert [(one.key.node, one.now_settled) for one in changes] == [(NODE, False), (NODE, False)]
    assert estate.settle() > 0
    _, changes = estate.changed(run)
    assert [one.key for one in changes][:1] == [(NODE, ENERGY_IMPORT, DAY)]
    assert changes[0].now_wh == 3 * (changes[0].was_wh or 0)
    estate.rewire(ct=1)
    estate.settle()
    assert estate.changed(run)[0].entries == 0
    assert estate.close() == run


def test_a_run_that_comes_out_again_has_nothing_changed(estate: Estate) -> None:
    run = estate.close()
    with estate.database.transaction() as connection:
        import_site(connection, estate.books.site, estate.books.rules.document, imported_at=ORDERED_AT)
    assert estate.close() == run
    assert estate.changed(run)[0].entries == 0


def test_only_rewired_nodes_are_settled_again(estate: Estate) -> None:
    estate.settle()
    estate.rewire(ct=2)
    with estate.database.transaction() as connection:
        (waiting,) = list_waiting(connection)
    assert (waiting.site, waiting.meters) == ("park", 1)
    assert estate.settle() < 10


def test_people_are_told_what_waits_what_changed_and_why(estate: Estate) -> None:
    run = estate.close()
    estate.fill()
    site, catalogue = estate.books.site.id, estate.books.catalogue
    with estate.database.transaction() as connection:
        waiting = list_waiting(connection)
        stories = explain_day(connection, catalogue, site, NODE, DAY)
    assert [len(list(waiting_lines(waiting, language))) for language in Language] == [1, 1]
    assert not stories[0].is_current
    told = "\n".join(line for one in stories for line in story_of_day(one, Language.EN))
    assert "10 estimated" not in told.split("1-0:2.8.0")[1] or "gap" in told
    assert "readings have changed since" in told
    estate.settle()
    with estate.database.transaction() as connection:
        assert list_waiting(connection) == ()
        runs = list_changed_runs(connection, site=None, most=5)
        stories = explain_day(connection, catalogue, site, NODE, DAY)
        with pytest.raises(NodeUnmetered, match="metertree site show"):
            explain_day(connection, catalogue, site, NodeId("nowhere"), DAY)
    assert stories[0].is_current
    assert stories[0].runs == (run,)
    for language in Language:
        assert run[:16] in "".join(line for one in stories for line in story_of_day(one, language))
        assert "metertree close" in "".join(changed_run_lines(runs, language))
        summary, changes = estate.changed(run)
        table = changes_table(changes, summary, language)
        assert len(table.rows) == 2
        assert NODE in table.to_csv().decode()
