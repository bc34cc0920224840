"""Series out of a real PostgreSQL: the numbers that were written, by hour, day and month of the site."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from ingest.cli import main
from ingest.console.words import Language
from ingest.series.forms import amounts_of, to_csv
from ingest.series.reader import Question, Series, SeriesRefused, Source, read_series
from ingest.series.sums import Per
from ingest.store.aggregates import refresh_aggregates
from ingest.store.database import Database
from metering.identity import SiteId
from metering.obis import Obis
from tests.doubles import series_books as books

ZONES = ("Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe")
LAST_DAY = books.FIRST_DAY + timedelta(days=books.DAYS)


def ask(database: Database, **other: object) -> Series:
    question = {"node": books.NODE, "start": str(books.FIRST_DAY), "end": str(LAST_DAY), "most": 40_000}
    with database.transaction() as connection:
        return read_series(connection, Catalogue.shipped(), Question(**{**question, **other}))  # type: ignore[arg-type]


def written(database: Database, zone: str) -> Database:
    with database.transaction() as connection:
        site = books.import_into(connection, zone)
        books.write(connection, site, books.shown_in(zone))
        books.settle(connection, zone)
    return database


@pytest.mark.parametrize("zone", ZONES)
def test_counters_by_hour_day_and_month_of_the_site_are_what_was_written(database: Database, zone: str) -> None:
    written(database, zone)
    for per in (Per.HOUR, Per.DAY, Per.MONTH):
        span = {"start": "2026-10-01", "end": "2026-11-01"} if per is Per.MONTH else {}
        found = ask(database, per=per, source=Source.REGISTERS, **span)
        assert found.points.starts.tolist() == [int(edge.timestamp()) for edge in books.edges_of(zone, per)[:-1]]
        assert amounts_of(found) == list(books.advances_of(zone, per))
        assert not found.ready_made


@pytest.mark.parametrize("zone", ZONES)
def test_sums_of_settled_days_are_those_of_their_slots_and_say_what_is_missing(database: Database, zone: str) -> None:
    written(database, zone)
    slots = ask(database)
    assert slots.slots == sum(slots.tally.values())
    for per in (Per.HOUR, Per.DAY, Per.MONTH):
        sums = ask(database, per=per)
        total = sum(one for one in amounts_of(slots) if one is not None)
        assert sum(one for one in amounts_of(sums) if one is not None) == total
        assert sums.points.missing.sum() == sums.slots - (
            slots.slots - slots.tally["missing"] - slots.tally["unsettled"]
        )
    days = ask(database, per=Per.DAY)
    expected = list(books.advances_of(zone, Per.DAY, all_marks=True))
    skipped = (3, books.DAYS - 2)
    for place, (amount, wanted) in enumerate(zip(amounts_of(days), expected, strict=True)):
        if place not in skipped:
            assert amount == wanted
    assert [days.points.missing.tolist()[place] for place in skipped] == [
        *(4, 100 if zone == "America/Los_Angeles" else 96)  # the first of November
    ]
    assert amounts_of(days)[books.DAYS - 2] is None


def test_slots_of_registers_are_those_of_settlement_where_both_are_measured(database: Database) -> None:
    written(database, "Europe/Berlin")
    shown, settled = (ask(database, source=source) for source in (Source.REGISTERS, Source.SETTLED))
    by_start = dict(zip(settled.points.starts.tolist(), amounts_of(settled), strict=True))
    both = [
        (amount, by_start[start])
        for start, amount in zip(shown.points.starts.tolist(), amounts_of(shown), strict=True)
        if amount is not None and by_start.get(start) is not None
    ]
    assert len(both) > 1000
    assert all(one == other for one, other in both)
    assert shown.tally["missing"] == sum(2 if one + 1 not in books.SILENT else 1 for one in books.SILENT)
    assert shown.tally["rollover"] == 1
    assert "held" not in shown.tally  # what was read by chance, or too late, is not taken


def test_what_is_not_there_is_refused_with_what_is(database: Database) -> None:
    written(database, "Asia/Shanghai")
    for other, problem in (
        ({"node": "nowhere"}, "no node nowhere"),
        ({"obis": Obis.parse("8-0:1.0.0")}, "knows 8-0:1.0.0"),
        ({"obis": Obis.parse("1-0:32.7.0"), "per": Per.DAY}, "has no sums"),
        ({"obis": Obis.parse("1-0:32.7.0"), "source": Source.SETTLED}, "not settled"),
        ({"end": "2026-10-20"}, "is not after"),
        ({"end": "2046-10-20"}, "too many"),
        ({"end": "2030-10-20", "per": Per.HOUR}, "by hour are too many"),
        ({"start": "yesterday"}, "neither a day nor an instant"),
        ({"start": "2026-10-20T10:00"}, "has no offset"),
    ):
        with pytest.raises(SeriesRefused, match=problem) as refused:
            ask(database, **other)
        assert refused.value.mend


def test_a_span_may_be_given_by_instants_with_offset_and_is_widened_to_slots(database: Database) -> None:
    written(database, "Europe/Berlin")
    found = ask(database, start="2026-10-25T02:50:00+02:00", end="2026-10-25T02:01:00+01:00", site=SiteId("park"))
    assert found.slots == 2
    assert [start % 900 for start in found.points.starts.tolist()] == [0, 0]


def test_on_plain_postgresql_there_is_nothing_to_bring_up_to_date(database: Database) -> None:
    assert list(refresh_aggregates(database)) == []


def test_of_two_sites_one_must_be_named(database: Database) -> None:
    written(database, "Asia/Shanghai")
    with database.transaction() as connection:
        connection.execute(
            b"INSERT INTO site_versions SELECT 'other', version, hash, "
            b"jsonb_set(document, '{id}', '\"other\"'), rules, imported_at FROM site_versions"
        )
    with pytest.raises(SeriesRefused, match="2 sites"):
        ask(database)
    assert ask(database, site=SiteId("park")).site.id == "park"


def test_the_command_writes_what_the_service_would(
    database: Database, migrated_dsn: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    written(database, "Europe/Berlin")
    out = tmp_path / "days.csv"
    call = ["series", "main", str(books.FIRST_DAY), str(LAST_DAY), "--dsn", migrated_dsn, "--lang", "en"]
    assert main([*call, "--per", "day", "--out", str(out)]) == 0
    assert out.read_bytes() == to_csv(ask(database, per=Per.DAY), Language.EN)
    assert main(call) == 0
    assert capfd.readouterr().out.splitlines() == to_csv(ask(database), Language.EN).decode().splitlines()
    assert main(["series", "nowhere", *call[2:]]) == 1
    assert "site park has no node nowhere; `metertree site show DIR` prints the tree" in capfd.readouterr().err
