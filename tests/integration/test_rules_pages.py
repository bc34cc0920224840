"""The pages about rules: in both languages, at desk and phone, for whom they are; forms keep what was typed."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ingest.rulebook.parts import read_part
from ingest.store.database import Database
from tests.doubles.browser import DESKTOP, PHONE, browser, grave_faults, widest_overflow
from tests.doubles.closed_park import copy_of
from tests.doubles.ruled_park import RuledPark, pool

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
RULES = "/rules/park"
PAGES = (
    RULES,
    f"{RULES}/pools/lobby-ac",
    f"{RULES}/pools/own-use",
    f"{RULES}/coefficients",
    f"{RULES}/coefficients/rated",
    f"{RULES}/tariffs",
    f"{RULES}/calendar",
    f"{RULES}/series",
    f"{RULES}/series/tmax",
    f"{RULES}/leases",
    f"{RULES}/history",
    f"{RULES}/compose?pool=lobby-ac",
    f"{RULES}/coefficient-form?name=rated",
    f"{RULES}/series-form?name=tmax",
    f"{RULES}/price-form",
    f"{RULES}/lease-form",
    f"{RULES}/drafts/2",
)
LOOKED_AT = (f"{RULES}/coefficients/rated", f"{RULES}/coefficient-form?name=rated")
TABLES = ("pools", "coefficients", "tariffs", "leases", "history", "series/tmax/days", "coefficients/rated/numbers")
HEADS = {
    "name": "heads",
    "name_zh": "人数",
    "name_en": "Heads",
    "unit": "persons",
    "source": "gate",
    "number-a101": "3",
}
RATED = {"name": "rated", "name_zh": "额定功率", "name_en": "Rated power", "unit": "kW", "source": "survey"}


@pytest.fixture(scope="module")
def park(postgres_dsn: str, closed_park: str) -> Iterator[RuledPark]:
    """The closed park with people, on a database of its own."""
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=8) as database:
            yield RuledPark(database)


@pytest.fixture(scope="module")
def client(park: RuledPark) -> Iterator[httpx.Client]:
    """A client of the served park, which has a table of coefficients in force and a draft that waits."""
    with park.served() as client:
        numbers = {**RATED, "number-a101": "12", "number-a102": "5", "review_by": "2026-08-01"}
        first = post(park, client, "coefficient-form", numbers)
        step(park, client, first, "hand-in")
        step(park, client, first, "release", "wu")
        second = post(park, client, "compose", {**pool(formula="unit_area * 2"), "act": "save"})
        assert second.endswith("/drafts/2?told=saved")
        yield client


def post(park: RuledPark, client: httpx.Client, page: str, typed: dict[str, str | list[str]], who: str = "lin") -> str:
    """Send a form that is right; give where it leads."""
    answer = client.post(f"{RULES}/{page}", data=typed, headers=park.headers(who))
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def step(park: RuledPark, client: httpx.Client, draft: str, name: str, who: str = "lin") -> httpx.Response:
    """Take a draft a step on, in its first revision."""
    path = draft.partition("?")[0]
    return client.post(f"{path}/{name}", data={"revision": "1"}, headers=park.headers(who))


def test_a_page_is_whole_at_desk_and_phone(park: RuledPark, client: httpx.Client) -> None:
    base = str(client.base_url).rstrip("/")
    with browser() as running:
        for viewport, scheme, locale in ((DESKTOP, "light", "zh-CN"), (PHONE, "dark", "en-GB")):
            inside = running.new_context(
                viewport=viewport, color_scheme=scheme, locale=locale, extra_http_headers=park.headers("lin")
            )
            page = inside.new_page()
            faults: list[str] = []
            page.on("console", lambda word, kept=faults: kept.append(word.text))
            page.on("pageerror", lambda error, kept=faults: kept.append(str(error)))
            # All others are looked at in test_every_page.py; whoever wants pictures gets all.
            for path in PAGES if SHOTS else LOOKED_AT:
                page.goto(base + path)
                assert (path, widest_overflow(page), grave_faults(page), faults) == (path, 0, [], [])
                if SHOTS:
                    name = path.strip("/").replace("/", "-").replace("?", "-")
                    page.screenshot(path=Path(SHOTS) / f"{name}-{locale}.png", full_page=True)
            inside.close()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_is_given_in_the_language_that_is_asked_for(
    park: RuledPark, client: httpx.Client, language: str
) -> None:
    for path in PAGES:
        mark = "&" if "?" in path else "?"
        answer = client.get(f"{path}{mark}lang={language}", headers=park.headers("lin"))
        assert answer.status_code == 200, path
        assert ("计量树" in answer.text) == (language == "zh")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_given_to_spreadsheets(park: RuledPark, client: httpx.Client, name: str) -> None:
    answer = client.get(f"{RULES}/{name}.csv", headers=park.headers("lin"))
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert len(rows) > 1
    assert len({len(row) for row in rows}) == 1


def test_a_review_that_is_overdue_is_told_where_the_number_is_shown(park: RuledPark, client: httpx.Client) -> None:
    for path in (RULES, f"{RULES}/coefficients/rated"):
        assert "review was due by 2026-08-01" in client.get(f"{path}?lang=en", headers=park.headers("lin")).text


def test_each_number_is_shown_with_the_days_it_holds(park: RuledPark, client: httpx.Client) -> None:
    text = client.get(f"{RULES}/coefficients/rated/numbers.csv?lang=en", headers=park.headers("lin")).text
    assert text.splitlines()[1:] == ["a101,12,always,open", "a102,5,always,open"]


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("fin", RULES, 200),
        ("fin", f"{RULES}/tariffs", 200),
        ("fin", f"{RULES}/leases", 403),
        ("fin", f"{RULES}/leases.csv", 403),
        ("fin", f"{RULES}/history", 403),
        ("fin", f"{RULES}/drafts/2", 403),
        ("fin", f"{RULES}/compose", 403),
        ("lea", f"{RULES}/leases", 200),
        ("lea", RULES, 403),
        ("lea", f"{RULES}/tariffs", 403),
        ("wu", f"{RULES}/compose", 403),
        ("wu", f"{RULES}/drafts/2", 200),
    ],
)
def test_each_role_sees_its_own_part(park: RuledPark, client: httpx.Client, who: str, path: str, status: int) -> None:
    assert client.get(path, headers=park.headers(who)).status_code == status


@pytest.mark.parametrize(
    ("who", "name"), [("wu", "hand-in"), ("wu", "withdraw"), ("fin", "release"), ("lea", "release")]
)
def test_a_step_is_taken_by_whose_it_is(park: RuledPark, client: httpx.Client, who: str, name: str) -> None:
    assert step(park, client, f"{RULES}/drafts/2", name, who).status_code == 403


def test_a_stranger_reads_and_writes_nothing(park: RuledPark, client: httpx.Client) -> None:
    answer = client.post(f"{RULES}/compose", data={**pool(), "act": "save"})
    assert answer.status_code in (303, 401)
    assert client.post(f"{RULES}/drafts/2/release", data={"revision": "1"}).status_code in (303, 401)
    assert client.get(f"{RULES}/nowhere", headers=park.headers("lin")).status_code == 404
    for path in ("pools/nothing", "coefficients/nothing", "series/nothing", "compose?pool=nothing"):
        assert client.get(f"{RULES}/{path}", headers=park.headers("lin")).status_code == 404


def test_a_form_with_mistakes_names_them_and_keeps_what_was_typed(park: RuledPark, client: httpx.Client) -> None:
    typed = {**pool(id="Guard Room", name_zh="", agreement="kept <b>", formula="unit_area * tmax"), "act": "save"}
    answer = client.post(f"{RULES}/compose?lang=en", data=typed, headers=park.headers("lin"))
    assert answer.status_code == 422
    assert "&#39;Guard Room&#39; is no id" in answer.text
    assert 'value="kept &lt;b&gt;"' in answer.text
    assert "a temperature in C is a point on a scale" in answer.text
    taken = {**pool(id="lobby-ac"), "act": "save"}
    answer = client.post(f"{RULES}/compose?lang=en", data=taken, headers=park.headers("lin"))
    assert "there is a pool &#39;lobby-ac&#39; already" in answer.text
    upload = {"name": "tmin", "unit": "C", "source": "station", "csv": "day,t\n2026-08-01,warm"}
    answer = client.post(f"{RULES}/series-form?lang=en", data=upload, headers=park.headers("lin"))
    assert answer.status_code == 422
    assert "row 2: &#39;warm&#39; of 2026-08-01 is no number" in answer.text
    assert "2026-08-01,warm</textarea>" in answer.text


def test_a_stale_form_is_answered_with_who_saved_and_nothing_is_lost(park: RuledPark, client: httpx.Client) -> None:
    typed = {**pool(formula="unit_area * 3"), "pool": "guard", "act": "save", "draft": "2", "revision": "7"}
    answer = client.post(f"{RULES}/compose?lang=en", data=typed, headers=park.headers("lin"))
    assert answer.status_code == 409
    assert "lin saved it meanwhile" in answer.text
    assert "unit_area * 3" in answer.text


def test_each_form_makes_a_draft_of_its_part(park: RuledPark, client: httpx.Client) -> None:
    rates = {f"rate-{band}": "1.1" for band in ("sharp", "peak", "flat", "valley", "deep")}
    forms: dict[str, tuple[dict[str, str | list[str]], list[str]]] = {
        "series-form": (
            {"key": "tmax", "name": "tmax", "unit": "C", "source": "station", "csv": "day,tmax_c\n2026-08-01,33"},
            ["series/tmax"],
        ),
        "price-form": ({"since": "2026-10-01", "version": "tou-autumn", **rates}, ["tariff"]),
        "lease-form": (
            {"unit": "a101", "at": "2026-09-01T12:00", "party": "t-02", "lease": "l-30"},
            ["lease/l-01", "lease/l-30"],
        ),
    }
    for form, (typed, parts) in forms.items():
        where = post(park, client, form, typed)
        number = int(where.rpartition("/")[2].partition("?")[0])
        look = park.desk.look(park.version.site.id, number)
        assert [one.part for one in look.stored.changes] == parts
        assert look.holds, look.faults
        page = client.get(f"{where}&lang=en", headers=park.headers("lin"))
        assert "Draft saved" in page.text
    assert read_part(park.books, "lease/l-30") is None


def test_a_draft_in_a_draft_grows_by_further_parts(park: RuledPark, client: httpx.Client) -> None:
    where = post(park, client, "coefficient-form", dict(HEADS))
    draft = where.rpartition("/")[2].partition("?")[0]
    form = client.get(f"{RULES}/compose?draft={draft}&lang=en", headers=park.headers("lin")).text
    assert "&#34;input&#34;: &#34;heads&#34;" in form
    post(park, client, "compose", {**pool(formula="unit_area"), "act": "save", "draft": draft, "revision": "1"})
    stored = park.desk.look(park.version.site.id, int(draft), thoroughly=False).stored
    assert [one.part for one in stored.changes] == ["numbers/heads", "pool/guard"]
