"""Series over HTTP: as JSON, as CSV and as a page, of the park's own readings and of days on which clocks change."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client

from device_profiles.catalogue import Catalogue
from ingest.api import problems
from ingest.api.series import SeriesRoutes
from ingest.console.series_page import SeriesPages
from ingest.series.quality import QUALITIES
from ingest.series.reader import BY_HOUR_DAYS_MAX, POINTS_MAX, SPAN_DAYS_MAX
from ingest.settlement import Settlement
from ingest.store.database import Database
from metering.identity import MeterId
from metering.interval import SLOT
from tests.bench.series_speed import write_year
from tests.doubles import series_books as books
from tests.doubles.page_parts import foreign_parts
from tests.doubles.park_books import ParkBooks, read_park
from tests.doubles.web import serving

BERLIN = {"node": "main", "from": "2026-10-20", "to": "2026-11-03"}


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """The series' routes alone, over an empty database."""
    app = FastAPI()
    problems.install(app)
    app.include_router(SeriesRoutes(database, Catalogue.shipped()).router())
    app.include_router(SeriesPages(database, Catalogue.shipped()).router())
    with serving(app) as opened:
        yield opened


@pytest.fixture
def berlin(database: Database, client: Client) -> Client:
    """With two weeks of one meter in a zone whose clocks are set back in them."""
    with database.transaction() as connection:
        site = books.import_into(connection, "Europe/Berlin")
        books.write(connection, site, books.shown_in("Europe/Berlin"))
        books.settle(connection, "Europe/Berlin")
    return client


def get(client: Client, **asked: Any) -> Any:
    answer = client.get("/v1/series", params={**BERLIN, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_the_park_is_read_settled_and_shown(database: Database, client: Client) -> None:
    site, rules, play, catalogue = read_park()
    park = ParkBooks(database, site, rules, play, catalogue, only=frozenset({MeterId("m-u-a101")}))
    park.enrol_all()
    first = site.calendar.period("2026-07-01--2026-07-01").start
    park.write(first + index * SLOT for index in range(97))
    Settlement(database, catalogue).settle_pending()
    asked = {"node": "u-a101", "from": "2026-07-01", "to": "2026-07-02"}
    slots = client.get("/v1/series", params=asked).json()
    assert (slots["unit"], slots["zone"], slots["method"], slots["slots"]) == ("Wh", "Asia/Shanghai", "raw", 96)
    assert slots["tally"] == {"measured": 96}
    for source in ("settled", "registers"):
        day = client.get("/v1/series", params={**asked, "per": "day", "source": source}).json()
        assert day["amounts"] == [slots["total"]] == [sum(slots["amounts"])]
    registers = client.get("/v1/series", params={**asked, "source": "registers"}).json()
    assert registers["amounts"] == slots["amounts"]
    page = client.get("/series/park/u-a101")
    assert page.status_code == 200
    assert "2026-07-01" in page.text
    assert page.text.count('<svg class="chart') == 2


def test_an_exchange_is_marked_in_the_curve_and_told_below(database: Database, client: Client) -> None:
    site, rules, play, catalogue = read_park()
    both = frozenset({MeterId("m-u-a102"), MeterId("m-u-a102-2")})
    park = ParkBooks(database, site, rules, play, catalogue, only=both)
    park.enrol_all()
    first = site.calendar.period("2026-07-21--2026-07-21").start
    park.write(first + index * SLOT for index in range(97))
    Settlement(database, catalogue).settle_pending()
    page = client.get("/series/park/u-a102", params={"from": "2026-07-21", "to": "2026-07-22", "lang": "en"}).text
    assert page.count('<g class="event">') == 2, "in the picture for a screen and in that for a phone"
    assert "exchanged for" in page.split('id="events"')[1]


def test_a_day_has_as_many_slots_as_clocks_give_it(berlin: Client) -> None:
    day = get(berlin, **{"from": "2026-10-25", "to": "2026-10-26"})
    assert (day["slots"], len(day["amounts"])) == (100, 100)
    hours = get(berlin, **{"from": "2026-10-25", "to": "2026-10-26", "per": "hour"})
    assert len(hours["amounts"]) == 25
    assert sum(hours["amounts"]) == day["total"] == hours["total"]


def test_points_are_at_most_those_asked_for_and_breaks_come_on_top(berlin: Client) -> None:
    for method in ("minmax", "lttb"):
        found = get(berlin, points=50, method=method)
        amounts = found["amounts"]
        assert found["method"] == method
        assert sum(amount is not None for amount in amounts) <= 50
        assert amounts.count(None) == 2
        assert sum(found["missing"]) == found["tally"]["missing"] + found["tally"]["unsettled"] == 100
        assert found["total"] is None
    whole = get(berlin, points=2000)
    assert whole["method"] == "raw"
    assert get(berlin, points=50)["most"] == whole["most"]


def test_csv_holds_every_slot_with_local_time_and_offset(berlin: Client) -> None:
    answer = berlin.get("/v1/series.csv", params={**BERLIN, "from": "2026-10-25", "to": "2026-10-26", "lang": "en"})
    assert answer.headers["Content-Disposition"].endswith('park_main_1-0_1.8.0_2026-10-25_2026-10-26_slot.csv"')
    header, *rows = rows_of(answer.text)
    assert header == ["Start UTC", "Start, local", "Amount [kWh]", "Quality", "Slots missing"]
    assert len(rows) == 100
    local = [row[1] for row in rows]
    assert "2026-10-25 02:00+02:00" in local
    assert "2026-10-25 02:00+01:00" in local
    assert len(set(local)) == 100
    found = get(berlin, **{"from": "2026-10-25", "to": "2026-10-26"})
    assert [round(float(row[2]) * 1000) for row in rows] == found["amounts"]
    chinese = berlin.get("/v1/series.csv", params={**BERLIN, "per": "day", "lang": "zh"})
    assert rows_of(chinese.text)[0][1] == "起始（当地）"
    assert rows_of(chinese.text)[1 + books.DAYS - 2][2:] == ["", "未结算", "96"]


def test_quantities_of_a_node_are_listed(berlin: Client) -> None:
    found = berlin.get("/v1/series/quantities", params={"node": "main"}).json()
    listed = {one["obis"]: one for one in found["quantities"]}
    assert listed["1-0:1.8.0"] == {"obis": "1-0:1.8.0", "unit": "Wh", "kind": "counter", "settled": True}
    assert listed["1-0:32.7.0"]["kind"] == "gauge"


@pytest.mark.parametrize(
    ("asked", "status", "problem"),
    [
        ({"node": "nowhere"}, 404, "no node nowhere"),
        ({"obis": "8-0:1.0.0"}, 404, "no meter at main knows"),
        ({"obis": "power"}, 422, "not an OBIS code"),
        ({"from": "never"}, 422, "from=never"),
        ({"to": "2026-10-20"}, 422, "is not after"),
        ({"points": 1}, 422, "form"),
        ({"points": 10**6}, 422, "form"),
        ({"method": "raw"}, 422, "form"),
        ({"per": "week"}, 422, "form"),
        ({"site": "elsewhere"}, 409, "not imported"),
        ({"obis": "1-0:32.7.0", "per": "day"}, 422, "no sums"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_document(
    berlin: Client, asked: dict[str, Any], status: int, problem: str
) -> None:
    for path in ("/v1/series", "/v1/series.csv"):
        answer = berlin.get(path, params={**BERLIN, **asked})
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == problems.MEDIA_TYPE
        assert problem in answer.json()["detail"]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("per", ["slot", "hour", "day", "month"])
def test_the_page_shows_each_grain_in_both_languages_and_every_link_leads_somewhere(
    berlin: Client, per: str, lang: str
) -> None:
    page = berlin.get("/series/park/main", params={**BERLIN, "per": per, "lang": lang})
    assert page.status_code == 200
    assert foreign_parts(page.text) == []
    assert page.headers["Content-Language"].startswith(lang)
    links = {one.replace("&amp;", "&") for one in re.findall(r'href="(/(?:v1/)?series[^"]*)"', page.text)}
    assert len(links) > 15
    other = next(one for one in links if f"lang={'en' if lang == 'zh' else 'zh'}" in one)
    assert {f"per={per}", "from=2026-10-20", "to=2026-11-03"} <= set(other.split("?")[1].split("&"))
    if per == "day":
        for link in links:
            assert berlin.get(link).status_code == 200, link


def test_the_first_page_of_series_leads_to_the_main_meter(berlin: Client) -> None:
    for path in ("/series", "/series/park"):
        answer = berlin.get(path, params={"lang": "en"})
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/series/park/main?lang=en"
    assert berlin.get("/series/park/main").status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "shown"),
    [
        ("/series/park/nowhere?lang=en", 404, "no node nowhere"),
        ("/series/park/nowhere?lang=zh", 404, "没有计量点 nowhere"),
        ("/series/elsewhere/main", 404, "not imported"),
        ("/series/park/main?from=2026-10-20&to=2026-10-19&lang=en", 404, "is not after"),
        ("/series/park/main?from=1999-10-20&to=1999-10-21&lang=en", 200, "Nothing is known of this span."),
        ("/series/park/main?from=2026-10-20&to=2026-10-21&obis=x&lang=en", 200, "not an OBIS code"),
        ("/series/park/main?from=2026-10-20&to=2026-10-21&obis=8-0:1.0.0&lang=en", 200, "ask for one of"),
    ],
)
def test_a_page_that_cannot_be_drawn_says_why(berlin: Client, path: str, status: int, shown: str) -> None:
    answer = berlin.get(path)
    assert answer.status_code == status
    assert shown in answer.text


def test_without_any_site_the_page_says_so(client: Client) -> None:
    assert client.get("/series").status_code == 404
    assert client.get("/v1/series", params=BERLIN).status_code == 422


def test_a_year_is_answered_whole(database: Database, client: Client) -> None:
    """35,040 slots as CSV and as 1,000 points; how fast that is stands in docs/performance-series.md."""
    write_year(database)
    asked = {"node": "main", "from": "2026-01-01", "to": "2027-01-01"}
    found = client.get("/v1/series", params=asked).json()
    assert (found["slots"], found["method"]) == (35_040, "minmax")
    assert 900 < len(found["amounts"]) <= 1001
    _, *rows = rows_of(client.get("/v1/series.csv", params=asked).text)
    assert len([row for row in rows if row[2]]) == 35_040 - 96
    assert [row[4] for row in rows if not row[2]] == ["96"]


def test_every_example_of_the_manual_is_answered(berlin: Client) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "series.md").read_text(encoding="utf-8")
    examples = re.findall(r"^GET (/\S+)$", manual, re.MULTILINE)
    assert len(examples) > 6
    for example in examples:
        assert berlin.get(example).status_code == 200, example
    for name in ("slot", "hour", "day", "month", "minmax", "lttb", "settled", "registers", *QUALITIES):
        assert name in manual
    for number in (SPAN_DAYS_MAX, BY_HOUR_DAYS_MAX, POINTS_MAX):
        assert f"{number:,}" in manual
