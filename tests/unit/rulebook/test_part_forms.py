"""The forms of coefficients, series, prices and leases: what they make, and what they refuse by field and row."""

from __future__ import annotations

from typing import Any

import pytest

from allocation_engine.rules_file import rules_from_document
from ingest.period_inputs import site_names
from ingest.rulebook.leases import lease_faults
from ingest.rulebook.part_forms import read_coefficients, read_lease, read_prices, read_uploaded
from ingest.rulebook.parts import Books, put_part, read_part
from ingest.rulebook.pool_form import Fields
from metering.interval import SiteCalendar
from provisioning.site import Site
from tests.doubles.park_books import read_park

UNITS = ("a101", "a102", "b101")
CHINA = SiteCalendar("Asia/Shanghai")
RATED = {"name": "rated", "unit": "kW", "source": "survey", "name_zh": "额定功率", "name_en": "Rated power"}


def fields(**typed: str) -> Fields:
    """A form that was sent."""
    return Fields({name.replace("_of_", "-"): (text,) for name, text in typed.items()})


def park() -> tuple[Site, Books]:
    """The example park."""
    site, rules, _, _ = read_park()
    return site, Books(site.to_document(), rules.document)


def accepted(part: str, content: Any) -> Any:
    """What the reader of rules makes of the park with a part put into it."""
    site, books = park()
    return rules_from_document(put_part(books, part, content).rules, site_names(site))


def test_a_new_table_always_holds_and_is_read_by_the_rules() -> None:
    part, faults = read_coefficients(fields(**RATED, number_of_a101="12", number_of_b101="3.5"), None, UNITS)
    assert faults == ()
    assert part["table"]["values"] == {"a101": "12", "b101": "3.5"}
    read = accepted("numbers/rated", part).formulas.numbers["rated"]
    assert (read.unit, dict(read.names)["zh"], sorted(read.days)) == ("kW", "额定功率", ["a101", "b101"])


def test_newer_numbers_hold_from_their_day_and_the_old_ones_until_then() -> None:
    old, _ = read_coefficients(fields(**RATED, number_of_a101="12", number_of_a102="5"), None, UNITS)
    typed = fields(**RATED, number_of_a101="15", number_of_a102="5", since="2026-09-01", review_by="2027-09-01")
    new, faults = read_coefficients(typed, old, UNITS)
    assert faults == ()
    assert new["rows"] == [["0001-01-01", "a101", "12"], ["2026-09-01", "a101", "15"], ["0001-01-01", "a102", "5"]]
    read = accepted("numbers/rated", new).formulas.numbers["rated"]
    assert str(read.review_by) == "2027-09-01"
    assert [str(number) for _, number in read.days["a101"]] == ["12", "15"]
    third, _ = read_coefficients(fields(**RATED, number_of_a101="15", since="2026-10-01"), new, UNITS)
    assert third["rows"] == new["rows"]
    assert "review_by" not in third["table"]


def test_a_slip_is_mended_in_place() -> None:
    old, _ = read_coefficients(fields(**RATED, number_of_a101="12", number_of_a102="5"), None, UNITS)
    new, _ = read_coefficients(fields(**RATED, number_of_a101="21"), old, UNITS)
    assert new["table"]["values"] == {"a101": "21", "a102": "5"}


@pytest.mark.parametrize(
    ("typed", "where", "key"),
    [
        ({"number_of_a101": "-3"}, "number-a101", "bad-number"),
        ({"number_of_a101": "three"}, "number-a101", "bad-number"),
        ({}, "numbers", "needed"),
        ({"number_of_a101": "1", "unit": ""}, "unit", "needed"),
        ({"number_of_a101": "1", "source": ""}, "source", "needed"),
        ({"number_of_a101": "1", "name": "Rated"}, "name", "bad-id"),
        ({"number_of_a101": "1", "since": "soon"}, "since", "bad-day"),
        ({"lines": "a101, 4\nz9, 3"}, "lines", "unknown-unit"),
        ({"lines": "a101, 4\na102 3 and more"}, "lines", "unknown-unit"),
        ({"lines": "a101, 4\na102, many"}, "lines", "bad-line"),
    ],
)
def test_wrong_numbers_are_named_by_field_and_row(typed: dict[str, str], where: str, key: str) -> None:
    _, faults = read_coefficients(fields(**(RATED | typed)), None, UNITS)
    assert [(one.name, one.key) for one in faults] == [(where, key)]
    assert faults[0].told.get("row", "2") == "2"


def test_lines_take_what_spreadsheets_give() -> None:
    part, faults = read_coefficients(fields(**RATED, lines="a101\t４\na102，5.5\n\n"), None, UNITS)
    assert faults == ()
    assert part["table"]["values"] == {"a101": "4", "a102": "5.5"}


TMAX = {"name": "tmax", "unit": "C", "source": "station", "missing_day": "refuse"}


def test_uploaded_days_are_laid_over_those_that_are_known() -> None:
    before = read_part(park()[1], "series/tmax")
    text = "\ufeff# from the station\nday,wind,tmax_c\n2026-07-31,3,34.5\n2026-08-01,2,-1\n"
    part, faults = read_uploaded(fields(**TMAX, csv=text), before)
    assert faults == ()
    assert part["rows"][-2:] == [["2026-07-31", "34.5"], ["2026-08-01", "-1"]]
    assert len(part["rows"]) == 32
    assert part["table"]["column"] == "tmax_c"
    assert accepted("series/tmax", part).series_named("tmax").days[-1][1] == -1


def test_every_wrong_row_of_an_upload_is_named() -> None:
    text = "day,t\n2026-08-01,30\n2026-08-01,31\n1 August,3\n2026-8-2,3\n2026-08-03,warm\n2026-08-04\n"
    _, faults = read_uploaded(fields(**TMAX, csv=text), None)
    assert [(one.key, one.told["row"]) for one in faults] == [
        ("twice", "3"),
        ("bad-csv-day", "4"),
        ("bad-csv-day", "5"),
        ("bad-csv-number", "6"),
        ("bad-csv-number", "7"),
    ]
    hopeless = "day,t\n" + "x,1\n" * 1000
    assert len(read_uploaded(fields(**TMAX, csv=hopeless), None)[1]) == 20


@pytest.mark.parametrize(
    ("csv", "key"), [("", "needed"), ("date,t\n", "no-columns"), ("day,a,b\n", "no-columns"), ("day\n", "no-columns")]
)
def test_an_upload_without_its_columns_is_refused(csv: str, key: str) -> None:
    assert [one.key for one in read_uploaded(fields(**TMAX, csv=csv), None)[1]] == [key]


RATES = {f"rate_of_{band}": "1.5" for band in ("sharp", "peak", "flat", "valley", "deep")}


def test_new_prices_begin_where_the_old_ones_end() -> None:
    _, books = park()
    tariff, faults = read_prices(fields(since="2026-09-01", version="tou-autumn", **RATES), books.rules["tariff"])
    assert faults == ()
    old, new = tariff["versions"]
    assert (old["to"], new["from"], new["id"], "to" in new) == ("2026-09-01", "2026-09-01", "tou-autumn", False)
    assert new["seasons"] == old["seasons"]
    assert [one.id for one in accepted("tariff", tariff).prices.main.versions] == ["tou-2026", "tou-autumn"]
    assert "to" not in books.rules["tariff"]["versions"][0]


@pytest.mark.parametrize(
    ("typed", "where", "key"),
    [
        ({"since": "2025-01-01"}, "since", "after-all"),
        ({"since": ""}, "since", "needed"),
        ({"version": "tou-2026"}, "version", "known-name"),
        ({"rate_of_peak": "dear"}, "rate-peak", "bad-number"),
    ],
)
def test_wrong_prices_are_named(typed: dict[str, str], where: str, key: str) -> None:
    sent = {"since": "2026-09-01", "version": "tou-autumn", **RATES, **typed}
    _, faults = read_prices(fields(**sent), park()[1].rules["tariff"])
    assert [(one.name, one.key) for one in faults] == [(where, key)]


def handover(**typed: str) -> tuple[Site, list[str]]:
    """The park after a handover, and what is wrong with its leases."""
    _, books = park()
    changes, faults = read_lease(fields(**typed), books.site["leases"], CHINA)
    assert faults == ()
    for part, content in changes:
        books = put_part(books, part, content)
    site = Site.from_document(books.site)
    return site, [problem for problem, _ in lease_faults(site)]


def test_a_handover_ends_one_lease_and_begins_the_next() -> None:
    site, faults = handover(unit="a101", at="2026-09-01T12:00", party="t-02", lease="l-20")
    assert faults == []
    spans = {lease.id: lease.span for lease in site.leases if lease.unit == "a101"}
    assert spans["l-01"].end == spans["l-20"].start
    assert str(spans["l-20"].start) == "2026-09-01 04:00:00+00:00"


def test_a_unit_that_nobody_takes_stands_empty() -> None:
    site, faults = handover(unit="a101", at="2026-09-01T12:00", party="")
    assert faults == []
    assert [lease.span.end is None for lease in site.leases if lease.unit == "a101"] == [False]


@pytest.mark.parametrize(
    ("typed", "where", "key"),
    [
        ({"at": "2026-09-01T12:10"}, "at", "not-on-mark"),
        ({"at": "noon"}, "at", "bad-instant"),
        ({"at": ""}, "at", "needed"),
        ({"at": "2020-01-01T00:00"}, "at", "before-lease"),
        ({"lease": "l-02"}, "lease", "known-name"),
    ],
)
def test_wrong_handovers_are_named(typed: dict[str, str], where: str, key: str) -> None:
    sent = {"unit": "a101", "at": "2026-09-01T12:00", "party": "t-02", "lease": "l-20", **typed}
    _, faults = read_lease(fields(**sent), park()[1].site["leases"], CHINA)
    assert [(one.name, one.key) for one in faults] == [(where, key)]


def test_leases_that_meet_or_name_strangers_are_faults() -> None:
    _, books = park()
    lease = {"id": "l-x", "party": "t-99", "unit": "z9", "span": {"start": "2026-09-01T04:05:00Z", "end": None}}
    site = Site.from_document(put_part(books, "lease/l-x", lease).site)
    problems = [problem for problem, _ in lease_faults(site)]
    assert [text.split(":")[-1].strip() for text in problems[:2]] == ["unknown unit 'z9'", "unknown party 't-99'"]
    assert problems[2] == "lease l-x begins or ends between two marks"
