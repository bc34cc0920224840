"""The feed on a real database: nothing twice, nothing skipped, whatever commits late or is restored."""

from __future__ import annotations

from threading import Thread

import pytest

from ingest.store.database import Connection, Database
from ingest.store.feed import START, Cursor, CursorUnknown, Page, Wanted, enter_feed, read_feed
from tests.doubles.billing_books import add_run, lines, publish, run_id
from tests.doubles.servers import execute_alone

JULY, AUGUST = "2026-07", "2026-08"
A, B, C = (run_id(name) for name in "abc")
EVERYTHING = Wanted()


def told(page: Page) -> list[tuple[str, str | None, str, int]]:
    """Run, what it corrects, party and amount of every line."""
    return [(entry.run, entry.corrects, row[2], row[5]) for entry, rows in page.parts for row in rows]


def read(database: Database, since: Cursor = START, wanted: Wanted = EVERYTHING, most: int = 1000) -> Page:
    """Read a page in a transaction of its own."""
    with database.transaction() as connection:
        return read_feed(connection, since, wanted, most)


def all_pages(database: Database, most: int, wanted: Wanted = EVERYTHING) -> list[tuple[str, str | None, str, int]]:
    """Read from the beginning to the end, so many lines at once."""
    since, found = START, []
    while True:
        page = read(database, since, wanted, most)
        found += told(page)
        if not page.more:
            assert page.cursor == read(database, page.cursor, wanted, most).cursor
            return found
        assert len(told(page)) == most
        since = Cursor.parse(str(page.cursor))


def corrected_july(connection: Connection) -> None:
    """Publish July of one site, then its correction, and August of another site."""
    add_run(connection, A, "park", JULY, lines(5))
    publish(connection, A)
    add_run(connection, B, "park", JULY, lines(6))
    deltas = [("own-use/u-00001/t-00001", -3), ("own-use/u-00005/t-00005", 105), ("own-use/residual/owner", -102)]
    publish(connection, B, corrects=A, deltas=deltas)
    add_run(connection, C, "mall", AUGUST, lines(2))
    publish(connection, C)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 7, 100])
def test_pages_of_any_size_give_every_line_once_and_in_order(database: Database, most: int) -> None:
    with database.transaction() as connection:
        corrected_july(connection)
    whole = told(read(database))
    assert all_pages(database, most) == whole
    assert [(one[0], one[1]) for one in whole] == [(A, None)] * 5 + [(B, A)] * 3 + [(C, None)] * 2
    assert [one[2:] for one in whole[5:8]] == [("owner", -102), ("t-00001", -3), ("t-00005", 105)]


def test_what_is_published_twice_counts_as_differences_also_where_nothing_differs(database: Database) -> None:
    with database.transaction() as connection:
        add_run(connection, A, "park", JULY, lines(2))
        publish(connection, A)
        add_run(connection, B, "park", JULY, lines(2))
        publish(connection, B, corrects=A)
    page = read(database)
    assert [one[0] for one in told(page)] == [A, A]
    assert (page.cursor.position, page.cursor.lines) == (2, 0)


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        (Wanted(site="park"), [A, B]),
        (Wanted(sites=("mall",)), [C]),
        (Wanted(sites=()), []),
        (Wanted(sites=("mall",), site="park"), []),
        (Wanted(period=AUGUST), [C]),
        (Wanted(corrections=True), [B]),
        (Wanted(corrections=False), [A, C]),
        (Wanted(party="t-00001"), [A, B, C]),
    ],
)
def test_filters_leave_out_the_rest_and_nothing_else(database: Database, wanted: Wanted, runs: list[str]) -> None:
    with database.transaction() as connection:
        corrected_july(connection)
    for most in (1, 2, 50):
        assert list(dict.fromkeys(one[0] for one in all_pages_of(database, most, wanted))) == runs


def all_pages_of(database: Database, most: int, wanted: Wanted) -> list[tuple[str, str | None, str, int]]:
    """As `all_pages`, where a filter may leave pages shorter."""
    since, found = START, []
    for _ in range(100):
        page = read(database, since, wanted, most)
        found += told(page)
        since = page.cursor
        if not page.more:
            return found
    raise AssertionError("the feed does not end")


def test_a_publication_that_commits_late_comes_after_the_cursor_and_not_before_it(database: Database) -> None:
    """The earlier transaction has the earlier publication number, and commits second."""
    with database.transaction() as connection:
        for run, site in ((A, "park"), (B, "mall")):
            add_run(connection, run, site, JULY, lines(3))
    with database.alone() as slow:
        slow.execute(b"BEGIN")
        slow.execute(b"INSERT INTO publications (run, published_at, octets) VALUES (%s, now(), '1')", (A,))
        with database.transaction() as connection:
            publish(connection, B)
        seen = read(database)
        assert [one[0] for one in told(seen)] == [B] * 3
        enter_feed(slow)
        slow.execute(b"COMMIT")
    assert [one[0] for one in told(read(database, seen.cursor))] == [A] * 3


def test_who_enters_the_feed_second_waits_for_the_first_and_gets_the_higher_position(database: Database) -> None:
    with database.transaction() as connection:
        for run, site in ((A, "park"), (B, "mall")):
            add_run(connection, run, site, JULY, lines(1))

    def second() -> None:
        with database.transaction() as connection:
            publish(connection, B)

    with database.alone() as first:
        first.execute(b"BEGIN")
        publish(first, A)
        thread = Thread(target=second)
        thread.start()
        thread.join(0.3)
        # Nobody may see the second before the first is there: it has no position yet.
        assert thread.is_alive()
        assert told(read(database)) == []
        first.execute(b"COMMIT")
        thread.join()
    assert [(entry.position, entry.run) for entry, _ in read(database).parts] == [(1, A), (2, B)]


def test_a_program_from_before_the_feed_publishes_and_the_next_publication_takes_it_up(database: Database) -> None:
    with database.transaction() as connection:
        add_run(connection, A, "park", JULY, lines(1))
        connection.execute(b"INSERT INTO publications (run, published_at, octets) VALUES (%s, now(), '1')", (A,))
        add_run(connection, B, "mall", JULY, lines(1))
    with database.transaction() as connection:
        publish(connection, B)
    assert [one[0] for one in told(read(database))] == [A, B]


@pytest.mark.parametrize("text", ["1", "1.0", "x", "1.0.zz", "0.0.0011223344556677", "1.6.{key}", "9.0.{key}"])
def test_a_cursor_that_was_never_given_is_refused(database: Database, text: str) -> None:
    with database.transaction() as connection:
        corrected_july(connection)
    key = read(database, most=1).cursor.key
    with pytest.raises(CursorUnknown, match="from its beginning"):
        read(database, Cursor.parse(text.replace("{key}", key)))


def test_a_cursor_from_after_the_backup_that_was_restored_is_refused_and_not_taken_for_another(
    own_dsn: str, postgres_dsn: str
) -> None:
    """After a restore the position is given again, to something else: its key tells."""
    del postgres_dsn
    with Database(own_dsn, connections=2) as database:
        with database.transaction() as connection:
            add_run(connection, A, "park", JULY, lines(1))
            publish(connection, A)
        lost = read(database).cursor
        execute_alone(own_dsn, "DELETE FROM feed_entries")
        execute_alone(own_dsn, "DELETE FROM publications")
        with database.transaction() as connection:
            add_run(connection, B, "park", JULY, lines(1))
            publish(connection, B)
        assert read(database).cursor.position == lost.position
        with pytest.raises(CursorUnknown):
            read(database, lost)
