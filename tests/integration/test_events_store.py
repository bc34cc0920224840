"""Events are told with their act or not at all, and whoever pulls them skips none, in whatever order acts commit."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ingest.event_kinds import Event, EventKind
from ingest.store.database import Database
from ingest.store.events import (
    KEPT,
    CursorAhead,
    CursorTooOld,
    NumberedEvent,
    WantedEvents,
    drop_events,
    number_events,
    read_events,
    tell,
    tell_all,
)
from metering.identity import SiteId

AT = datetime(2026, 8, 1, 9, tzinfo=UTC)
PARK = SiteId("park")


def charged(charge: str, site: SiteId = PARK) -> Event:
    return Event(EventKind.CHARGE_CREATED, site, f"charge/{charge}", AT, {"charge": charge, "statement": "s-1"})


def pull(database: Database, after: int, most: int = 1000, wanted: WantedEvents | None = None) -> list[NumberedEvent]:
    """What a program gets that asks for events after `after`."""
    with database.transaction() as connection:
        number_events(connection)
    with database.transaction() as connection:
        return list(read_events(connection, after, most, wanted)[0])


def names(events: list[NumberedEvent]) -> list[str]:
    return [one.subject.removeprefix("charge/") for one in events]


def test_what_commits_late_is_pulled_after_what_was_pulled_before(database: Database) -> None:
    """The first to tell is the last to commit; a program pulls in between, and gets both exactly once."""
    with database.transaction() as slow:
        tell(slow, charged("slow"))
        with database.transaction() as quick:
            tell(quick, charged("quick"))
        first = pull(database, 0)
        assert names(first) == ["quick"]
        cursor = first[-1].number
    assert names(pull(database, cursor)) == ["slow"]
    assert names(pull(database, 0)) == ["quick", "slow"]


def test_whoever_numbers_holds_up_no_one_who_tells(database: Database) -> None:
    with database.transaction() as connection:
        tell(connection, charged("one"))
    with database.transaction() as numbering:
        assert number_events(numbering) == 1
        with database.transaction() as connection:
            connection.execute("SET LOCAL lock_timeout = '2s'")
            tell(connection, charged("two"))
    assert names(pull(database, 0)) == ["one", "two"]


def test_two_who_number_at_once_give_each_event_one_number(database: Database) -> None:
    with database.transaction() as connection:
        tell_all(connection, [charged(str(n)) for n in range(20)])
    counted: list[int] = []

    def number() -> None:
        with database.transaction() as connection:
            counted.append(number_events(connection))

    with database.transaction() as first:
        assert number_events(first) == 20
        second = threading.Thread(target=number)
        second.start()
        with database.transaction() as connection:
            tell(connection, charged("late"))
    second.join(30)
    assert counted in ([0], [1])
    assert [one.number for one in pull(database, 0)] == list(range(1, 22))


def test_many_who_tell_and_commit_out_of_order_are_all_pulled_once_by_one_who_goes_by_the_cursor(
    database: Database,
) -> None:
    told: set[str] = set()
    done = threading.Event()

    def work(number: int) -> None:
        for turn in range(15):
            charge = f"{number}-{turn}"
            with database.transaction() as connection:
                tell(connection, charged(charge))
                threading.Event().wait(0.004 * ((number + turn) % 3))
            told.add(charge)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for one in threads:
        one.start()
    got: list[str] = []
    cursor = 0
    while not done.is_set():
        if not any(one.is_alive() for one in threads):
            done.set()
        events = pull(database, cursor, 7)
        got += names(events)
        cursor = events[-1].number if events else cursor
    while events := pull(database, cursor, 7):
        got += names(events)
        cursor = events[-1].number
    assert len(got) == len(set(got)) == 30
    assert set(got) == told


def test_an_act_that_fails_tells_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            tell(connection, charged("never"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert pull(database, 0) == []


def test_an_event_is_read_as_it_was_told(database: Database) -> None:
    with database.transaction() as connection:
        name = tell(connection, charged("one"))
    assert pull(database, 0) == [
        NumberedEvent(1, name, EventKind.CHARGE_CREATED, PARK, "charge/one", AT, {"charge": "one", "statement": "s-1"})
    ]


def test_events_of_other_kinds_and_sites_are_left_out_and_the_cursor_moves_past_them(database: Database) -> None:
    with database.transaction() as connection:
        tell_all(connection, [charged("one"), charged("two", SiteId("campus")), charged("three")])
        number_events(connection)
    with database.transaction() as connection:
        wanted = WantedEvents(sites=[SiteId("campus")])
        found, cursor, more = read_events(connection, 0, 10, wanted)
        assert (names(list(found)), cursor, more) == (["two"], 3, False)
        assert read_events(connection, 0, 10, WantedEvents(kinds=[EventKind.RUN_PUBLISHED])) == ((), 3, False)


def test_what_was_told_is_not_changed_afterwards(database: Database) -> None:
    with database.transaction() as connection:
        tell(connection, charged("one"))
    for change in ("body = '{}'", "number = 7, kind = 'x'", "site = NULL"):
        with pytest.raises(psycopg.errors.RestrictViolation), database.transaction() as connection:
            connection.execute(f"UPDATE events SET {change}".encode())
    pull(database, 0)
    with pytest.raises(psycopg.errors.RestrictViolation), database.transaction() as connection:
        connection.execute(b"UPDATE events SET number = 9")


def test_a_cursor_that_would_skip_events_is_refused(database: Database) -> None:
    with database.transaction() as connection:
        tell_all(connection, [charged("one"), charged("two")])
        number_events(connection)
        dropped_at = connection.execute(b"SELECT now()").fetchone()
        assert dropped_at is not None
    with database.transaction() as connection:
        assert drop_events(connection, dropped_at[0]) == 0
        assert drop_events(connection, dropped_at[0] + KEPT + timedelta(days=1)) == 1  # the newest stays
        tell(connection, charged("three"))
        number_events(connection)
    with database.transaction() as connection:
        assert names(list(read_events(connection, 1, 10)[0])) == ["two", "three"]
        assert names(list(read_events(connection, 0, 10)[0])) == ["two", "three"]
        with pytest.raises(CursorAhead, match="the newest is 3"):
            read_events(connection, 4, 10)
    with database.transaction() as connection:
        tell(connection, charged("four"))
        number_events(connection)
        assert drop_events(connection, dropped_at[0] + KEPT + timedelta(days=1)) == 2
    with database.transaction() as connection, pytest.raises(CursorTooOld, match="kept from number 4 on"):
        read_events(connection, 1, 10)
