"""Sums of registers out of TimescaleDB's continuous aggregates: the same numbers as elsewhere; late readings show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from ingest.series.forms import amounts_of
from ingest.series.reader import Question, Series, Source, read_series
from ingest.series.sums import Per
from ingest.store.aggregates import refresh_aggregates
from ingest.store.layout import Storage, arrange
from ingest.store.migrate import migrate_schema
from tests.doubles import series_books as books
from tests.timescale.test_timescale import server

__all__ = ["server"]

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LAST_DAY = books.FIRST_DAY + timedelta(days=books.DAYS)


def ask(database: Any, per: Per, source: Source | None = Source.REGISTERS) -> Series:
    first, last = ("2026-10-01", "2026-11-01") if per is Per.MONTH else (str(books.FIRST_DAY), str(LAST_DAY))
    question = Question(books.NODE, first, last, per=per, most=40_000, source=source)
    with database.transaction() as connection:
        return read_series(connection, Catalogue.shipped(), question)


def written(database: Any, zone: str) -> Any:
    """Lay the tables out for a site in `zone`, then write its readings."""
    database.fresh()
    migrate_schema(database)
    site = books.import_into(database, zone)
    list(arrange(database, Storage(), NOW))
    books.write(database, site, books.shown_in(zone))
    books.settle(database, zone)
    return database


@pytest.fixture(scope="module", params=["Europe/Berlin", "Asia/Kathmandu"])
def laid_out(server: Any, request: pytest.FixtureRequest) -> tuple[Any, str]:
    """Readings of a zone whose clocks change, and of one that is off by 45 minutes."""
    return written(server, request.param), request.param


@pytest.mark.parametrize("is_refreshed", [False, True])
@pytest.mark.parametrize("per", [Per.HOUR, Per.DAY, Per.MONTH])
def test_counters_are_the_same_numbers_as_on_plain_postgresql(
    laid_out: tuple[Any, str], per: Per, is_refreshed: bool
) -> None:
    database, zone = laid_out
    if is_refreshed:
        told = list(refresh_aggregates(database))
        assert [one.split()[0].split("_")[1] for one in told] == ["hourly", "daily", "monthly"]
    found = ask(database, per)
    assert found.points.starts.tolist() == [int(edge.timestamp()) for edge in books.edges_of(zone, per)[:-1]]
    assert amounts_of(found) == list(books.advances_of(zone, per))
    # Hours are kept by UTC: those of Kathmandu are worked out of the readings.
    assert found.ready_made is (per is not Per.HOUR or zone != "Asia/Kathmandu")


@pytest.mark.parametrize("per", [Per.HOUR, Per.DAY, Per.MONTH])
def test_settled_sums_are_the_same_numbers_as_on_plain_postgresql(laid_out: tuple[Any, str], per: Per) -> None:
    database, zone = laid_out
    found = ask(database, per, Source.SETTLED)
    slots = ask(database, Per.SLOT, None)
    if per is Per.DAY:
        expected = list(books.advances_of(zone, per, all_marks=True))
        shown = amounts_of(found)
        assert [shown[day] for day in range(books.DAYS - 2) if day != 3] == [
            expected[day] for day in range(books.DAYS - 2) if day != 3
        ]
        total = sum(one for one in amounts_of(slots) if one is not None)
        assert sum(one for one in shown if one is not None) == total


def test_late_readings_show_in_days_at_once_and_in_hours_after_the_refresh_of_the_night(
    laid_out: tuple[Any, str],
) -> None:
    database, zone = laid_out
    list(refresh_aggregates(database))
    before = amounts_of(ask(database, Per.DAY))
    assert before == list(books.advances_of(zone, Per.DAY))
    assert None in before
    site = books.site_in(zone)
    complete, known = books.shown_in(zone, all_marks=True), {one.at for one in books.shown_in(zone)}
    late = [one for one in complete if one.at not in known]
    books.write(database, site, [*late, *complete[:3]], first_seq=5000)
    complete_days = list(books.advances_of(zone, Per.DAY, all_marks=True))
    assert amounts_of(ask(database, Per.DAY)) == complete_days
    list(refresh_aggregates(database))
    assert amounts_of(ask(database, Per.DAY)) == complete_days
    assert amounts_of(ask(database, Per.HOUR)) == list(books.advances_of(zone, Per.HOUR, all_marks=True))


def test_what_is_kept_of_readings_that_are_dropped_stays(laid_out: tuple[Any, str]) -> None:
    database, _ = laid_out
    list(refresh_aggregates(database))
    before = amounts_of(ask(database, Per.DAY))
    database.execute("SELECT drop_chunks('readings', older_than => timestamptz '2026-10-29Z')")
    list(refresh_aggregates(database))
    found = amounts_of(ask(database, Per.DAY))
    assert all(one in (None, was) for one, was in zip(found, before, strict=True)), "what 2.29 left out is a gap"
    assert sum(one is not None for one in found) > 8
