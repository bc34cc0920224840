"""The console shows odd runs as well as plain ones: nothing in them, credits, cases, names long or full of markup."""

from __future__ import annotations

import copy
import html.parser
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from allocation_engine.intervals import Reason, SlotQuality
from ingest.commands.site import _tree
from ingest.console import answers, visit
from ingest.console.rendering import area_m2, grouped, kwh, kwh_short, local_time, money, percent
from ingest.console.view import PATH_NAMES, RunReader, RunView
from ingest.console.words import Language, choose_language, words
from ingest.demo.play import Outcome
from ingest.demo.report import Report, to_text
from metering.interval import SiteCalendar
from provisioning.site import Site
from tests.doubles.memory_centre import BOOKED_AT, PERIOD, MemoryCentre, closed_document
from tests.doubles.park_books import read_park

LANGUAGES = [Language.ZH, Language.EN]
BOOKED = datetime.fromisoformat(BOOKED_AT)
MARKUP = "<script>alert(1)</script>&\"'"
Spoil = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def site() -> Site:
    """The example park."""
    return read_park()[0]


@pytest.fixture
def document() -> dict[str, Any]:
    """The run of one day of the park, to change at will."""
    return closed_document()


def read(site: Site, document: dict[str, Any], language: Language = Language.EN) -> RunView:
    """Build the view."""
    statements = [(f"n-{party}", party) for party in sorted({line["party"] for line in document["lines"]})]
    return RunReader(site, document, language).read(booked_at=BOOKED, statements=statements)


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: which elements stand open where they must not, which texts it shows."""

    _VOID = frozenset({"meta", "link", "br", "img", "circle", "path", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element; a script that is a file of the service is none inside the page."""
        is_file = tag == "script" and (dict(attrs).get("src") or "").startswith("/static/")
        self.tags.append("script file" if is_file else tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that is closed at once."""

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if tag in self._VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        """Show a text."""
        if data.strip():
            self.texts.append(data.strip())

    @property
    def is_sound(self) -> bool:
        """Say whether every element was closed in its place."""
        return not self.wrong and not self.open


def show(closed: MemoryCentre, document: dict[str, Any], language: Language = Language.EN) -> Page:
    """Store `document` in place of the run and open its page."""
    ((run, row),) = closed.database.tables.runs.items()
    closed.database.tables.runs[run] = (*row[:6], document)
    answer = closed.get(f"/runs/{run}", params={"lang": language})
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert page.is_sound
    assert len(page.ids) == len(set(page.ids))
    return page


def rename(site: Site, name: str) -> dict[str, Any]:
    """Give the site's document with one name for everything."""
    document = site.to_document()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if set(part) == {"zh", "en"}:
                part.update(zh=name, en=name)
            for each in part.values():
                walk(each)
        elif isinstance(part, list):
            for each in part:
                walk(each)

    walk(document)
    return document


def use_site(closed: MemoryCentre, document: dict[str, Any]) -> None:
    """Store another document as the version of the site that the run was made with."""
    ((place, row),) = closed.database.tables.sites.items()
    closed.database.tables.sites[place] = (*row[:3], document, *row[4:])


# Odd runs, each on the page in both languages and in the printed report


def no_lines(document: dict[str, Any]) -> None:
    document["lines"] = []


def no_pools(document: dict[str, Any]) -> None:
    document.update(lines=[], pools=[], terms={})


def only_credits(document: dict[str, Any]) -> None:
    for line in document["lines"]:
        line["amount_minor"] = -abs(line["amount_minor"]) - 1
    for pool in document["pools"]:
        pool["cost_minor"] = sum(line["amount_minor"] for line in document["lines"] if line["pool"] == pool["id"])


def nothing_measured(document: dict[str, Any]) -> None:
    for row in document["balance"]:
        row.update(import_wh=0, export_wh=0, net_wh=0, slots_by_quality=[])
        if row["children_wh"] is not None:
            row.update(children_wh=0, loss_wh=0)
    document["reconciliation"] = dict.fromkeys(document["reconciliation"], 0)


def export_everywhere(document: dict[str, Any]) -> None:
    for row in document["balance"]:
        row.update(export_wh=row["import_wh"] * 3, net_wh=-2 * row["import_wh"])


def every_quality(document: dict[str, Any]) -> None:
    for row in document["balance"]:
        row["slots_by_quality"] = [[one.name.lower(), 7] for one in SlotQuality]


def huge_amounts(document: dict[str, Any]) -> None:
    for line in document["lines"]:
        line["amount_minor"] = 10**17
    for pool in document["pools"]:
        pool["cost_minor"] = 10**17 * sum(line["pool"] == pool["id"] for line in document["lines"])


def cases_everywhere(document: dict[str, Any]) -> None:
    document["approvable"] = False
    document["cases"] = [
        {"node": row["node"], "loss_wh": -5_000, "band_wh": 1_000, "text": "look"} for row in document["balance"]
    ]


def every_exception(document: dict[str, Any]) -> None:
    start = datetime.fromisoformat(document["period"]["start"])
    document["exceptions"] = [
        {
            "node": "main",
            "quality": quality.name.lower(),
            "reason": str(reason),
            "start": (start + timedelta(hours=hours)).isoformat(),
            "end": (start + timedelta(hours=hours + length)).isoformat(),
            "basis": MARKUP,
        }
        for quality in SlotQuality
        for reason in Reason
        for hours, length in ((1, 0), (2, 3), (20, 9))
    ]


def warnings(document: dict[str, Any]) -> None:
    document["warnings"] = [MARKUP, "x" * 5_000, ""]


def residuals_only(document: dict[str, Any]) -> None:
    for line in document["lines"]:
        line["kind"] = "residual"


def long_pool(document: dict[str, Any]) -> None:
    pool = document["pools"][0]
    pool["path"] = [row["node"] for row in document["balance"]]
    pool["names"] = [["zh", "池" * 400], ["en", "pool " * 400]]
    document["terms"][pool["id"]] = {"agreement": MARKUP * 20, "formula": "a < b && " * 50}


def unknown_names(document: dict[str, Any]) -> None:
    for pool in document["pools"]:
        pool["names"] = []
    document["terms"] = {}


ODD = [
    *(no_lines, no_pools, only_credits, nothing_measured, export_everywhere, every_quality, huge_amounts),
    *(cases_everywhere, every_exception, warnings, residuals_only, long_pool, unknown_names),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("spoil", ODD, ids=lambda one: one.__name__)
def test_an_odd_run_is_shown_whole(
    closed: MemoryCentre, document: dict[str, Any], spoil: Spoil, language: Language
) -> None:
    spoil(document)
    page = show(closed, document, language)
    assert "script" not in page.tags
    word = words(language)
    for heading in ("balance", "pools", "statements", "cases", "gateways"):
        assert word[heading] in page.texts


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("spoil", ODD, ids=lambda one: one.__name__)
def test_an_odd_run_is_printed_whole(
    site: Site, document: dict[str, Any], spoil: Spoil, language: Language, tmp_path: Any
) -> None:
    spoil(document)
    statements = tuple((f"n-{party}", party, tmp_path / party) for party in ("t-01", "t-02"))
    outcome = Outcome(tmp_path / "run.json", document, BOOKED_AT, statements, {})
    report = Report(site, outcome, language)
    text = to_text(report.result())
    assert document["id"] in text
    assert words(language)["balance"] in text
    assert report.shown_statement in {path for _, _, path in statements}
    assert text == to_text(Report(site, outcome, language).result()), "the same run is printed the same"


def test_a_run_without_lines_proves_nothing_it_cannot(site: Site, document: dict[str, Any]) -> None:
    no_lines(document)
    view = read(site, document)
    assert {pool.conserves for pool in view.pools} == {False}
    assert {pool.lines_sum for pool in view.pools} == {"¥0.00"}
    assert (view.statements, view.statements_sum, view.verify_command) == ((), "¥0.00", "")


def test_a_run_without_pools_has_no_proof_and_no_statement(closed: MemoryCentre, document: dict[str, Any]) -> None:
    no_pools(document)
    page = show(closed, document)
    assert "article" not in page.tags
    assert not any("adds up exactly" in text for text in page.texts)


def test_credits_carry_a_minus_before_the_sign_of_the_currency(site: Site, document: dict[str, Any]) -> None:
    only_credits(document)
    view = read(site, document)
    amounts = [line.amount for pool in view.pools for line in pool.lines]
    assert amounts
    assert all(re.fullmatch(r"−¥[\d,]+\.\d\d", amount) for amount in amounts)
    assert all(pool.conserves for pool in view.pools)


def test_one_minor_unit_too_much_breaks_the_proof_on_the_page(closed: MemoryCentre, document: dict[str, Any]) -> None:
    plain = show(closed, copy.deepcopy(document))
    document["lines"][0]["amount_minor"] += 1
    planted = show(closed, document)
    fails = f"✗ {words(Language.EN)['proof-fails']}"
    assert plain.texts.count(fails) == 0
    assert planted.texts.count(fails) == 1


def test_export_is_shown_only_where_there_is_some(closed: MemoryCentre, document: dict[str, Any]) -> None:
    heading = words(Language.EN)["export"]
    assert heading not in show(closed, copy.deepcopy(document)).texts
    export_everywhere(document)
    assert heading in show(closed, document).texts


def test_a_case_says_its_node_its_loss_and_its_band(site: Site, document: dict[str, Any]) -> None:
    cases_everywhere(document)
    view = read(site, document)
    assert not view.approvable
    assert len(view.cases) >= len(site.nodes)
    main = next(case for case in view.cases if case.node == site.node(site.nodes[0].id).names.en)
    assert (main.kind, main.tone, main.span) == ("outside band", "bad", PERIOD)
    assert main.reason == "−5.000 kWh, ± 1.000 kWh"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_blocked_run_says_so(closed: MemoryCentre, document: dict[str, Any], language: Language) -> None:
    cases_everywhere(document)
    texts = show(closed, document, language).texts
    assert words(language)["state-blocked"] in texts
    assert words(language)["state-computed"] not in texts


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2026-07-01T02:00:00+00:00", "2026-07-01T02:00:00+00:00", "2026-07-01 10:00"),
        ("2026-07-01T02:00:00+00:00", "2026-07-01T03:15:00+00:00", "2026-07-01 10:00 – 11:15"),
        ("2026-07-01T15:00:00+00:00", "2026-07-01T17:00:00+00:00", "2026-07-01 23:00 – 2026-07-02 01:00"),
    ],
)
def test_the_span_of_an_exception_is_no_longer_than_needed(
    site: Site, document: dict[str, Any], start: str, end: str, shown: str
) -> None:
    document["cases"] = []
    document["exceptions"] = [
        {"node": "lift", "quality": "estimated", "reason": "gap", "start": start, "end": end, "basis": "b"}
    ]
    (case,) = read(site, document).cases
    assert (case.span, case.tone, case.kind) == (shown, "warn", "gap, estimated")


def test_a_reason_without_a_word_is_an_error_and_no_blank(site: Site, document: dict[str, Any]) -> None:
    every_exception(document)
    document["exceptions"][0]["reason"] = "never-heard-of"
    with pytest.raises(KeyError, match="reason-never-heard-of"):
        read(site, document)


def test_many_metering_points_are_counted_and_few_are_named(site: Site, document: dict[str, Any]) -> None:
    pool, nodes = document["pools"][0], [node.id for node in site.nodes]
    pool["path"] = nodes[:PATH_NAMES]
    assert read(site, document).pools[0].path.count(" + ") == PATH_NAMES - 1
    pool["path"] = nodes[: PATH_NAMES + 1]
    assert read(site, document).pools[0].path == f"{PATH_NAMES + 1} metering points"
    pool["path"] = []
    assert read(site, document).pools[0].path == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_full_of_markup_are_shown_as_they_are_written(
    closed: MemoryCentre, site: Site, document: dict[str, Any], language: Language
) -> None:
    use_site(closed, rename(site, MARKUP))
    for pool in document["pools"]:
        pool["names"] = [["zh", MARKUP], ["en", MARKUP]]
    page = show(closed, document, language)
    assert "script" not in page.tags
    assert any(MARKUP in text for text in page.texts)


@pytest.mark.parametrize("name", ["名" * 3_000, "W" * 3_000, "a b " * 800, "\u202eevil", "é́́", "🏢🔌" * 50])
def test_long_and_strange_names_do_not_break_the_page(
    closed: MemoryCentre, site: Site, document: dict[str, Any], name: str
) -> None:
    use_site(closed, rename(site, name))
    page = show(closed, document)
    assert any(name.strip() in text for text in page.texts)


def test_markup_that_is_not_escaped_would_be_seen(
    closed: MemoryCentre, site: Site, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = answers.templates().overlay(autoescape=False)
    monkeypatch.setattr(visit, "templates", lambda: bare)
    planted = MemoryCentre()
    planted.database.tables = closed.database.tables
    use_site(planted, rename(site, MARKUP))
    with planted.open():
        run = next(iter(planted.database.tables.runs))
        text = planted.get(f"/runs/{run}").text
    assert "<script>" in text
    assert "script" in Page(text).tags


# Waiting, missing, gateways


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_page_waits_in_both_languages(centre: MemoryCentre, language: Language) -> None:
    page = Page(centre.get("/", params={"lang": language}).text)
    assert page.is_sound
    assert words(language)["no-site"] in page.texts
    assert words(language)["no-gateways"] in page.texts
    centre.books.enrol_all()
    page = Page(centre.get("/", params={"lang": language}).text)
    assert page.is_sound
    assert words(language)["waiting-note"] in page.texts
    assert {"gw-a", "gw-b"} <= set(page.texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_that_is_not_there_leads_home(centre: MemoryCentre, language: Language) -> None:
    answer = centre.get("/runs/none", params={"lang": language})
    assert answer.status_code == 404
    page = Page(answer.text)
    assert page.is_sound
    assert words(language)["not-found"] in page.texts
    assert 'href="/"' in answer.text


@pytest.mark.parametrize("path", ["/", "/runs/none"])
def test_every_page_forbids_what_it_does_not_need(centre: MemoryCentre, path: str) -> None:
    headers = centre.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_style_is_cached_for_good_under_a_name_that_changes_with_it(centre: MemoryCentre) -> None:
    named = re.search(r'href="(/static/console\.css\?[0-9a-f]{12})"', centre.get("/").text)
    assert named is not None
    assert "immutable" in centre.get(named[1]).headers["Cache-Control"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_names_its_language_and_offers_the_other(centre: MemoryCentre, language: Language) -> None:
    answer = centre.get("/", params={"lang": language})
    assert answer.headers["Content-Language"] == language.tag
    assert f'<html lang="{language.tag}">' in answer.text
    assert f'href="?lang={language.other}"' in answer.text
    assert language.other.other is language


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("en", "en"),
        ("en-US,en;q=0.5", "en"),
        ("fr-FR, de;q=0.9, en;q=0.8, zh;q=0.1", "en"),
        ("ZH-hans", "zh"),
        ("*", "zh"),
        (",,;;q", "zh"),
        ("", "zh"),
    ],
)
def test_the_browser_decides_where_nobody_asks(accepted: str, chosen: str) -> None:
    assert choose_language(None, accepted) == chosen
    assert choose_language("", accepted) == chosen


# The tree


def test_the_tree_shows_every_node_once_parents_first(site: Site, document: dict[str, Any]) -> None:
    rows = read(site, document).tree
    assert sorted(row.node for row in rows) == sorted(node.id for node in site.nodes)
    place = {row.node: index for index, row in enumerate(rows)}
    for node in site.nodes:
        for placement in node.placements:
            assert place[placement.parent] < place[node.id]


def test_twigs_tell_the_last_child_from_the_others(site: Site, document: dict[str, Any]) -> None:
    rows = read(site, document).tree
    assert rows[0].twig == ""
    for row, below in zip(rows, [*rows[1:], None], strict=True):
        if row.depth == 0:
            continue
        assert len(row.twig) == 2 * row.depth
        assert row.twig[-2:] in ("├ ", "└ ")
        if below is not None and below.depth == row.depth:
            assert row.twig.endswith("├ ")


def test_a_node_without_children_has_no_loss_and_no_verdict(site: Site, document: dict[str, Any]) -> None:
    for row in read(site, document).tree:
        is_leaf = row.within is None
        assert is_leaf == (row.children == "")
        assert is_leaf == (row.loss == row.loss_share == row.band == "")


def test_every_tile_has_a_figure(site: Site, document: dict[str, Any]) -> None:
    for language in LANGUAGES:
        tiles = read(site, document, language).tiles
        assert len(tiles) == 6
        assert all(tile.label and tile.figure for tile in tiles)


def test_what_tenants_pay_and_the_owner_bears_is_what_the_pools_cost(site: Site, document: dict[str, Any]) -> None:
    tiles = {tile.label: tile.figure for tile in read(site, document).tiles}

    def minor(label: str) -> int:
        return int(re.sub(r"[^\d−]", "", tiles[words(Language.EN)[label]]).replace("−", "-"))

    assert minor("charged") + minor("owner-bears") == minor("pools-cost")


# Numbers


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    [
        (0, 0, "0"),
        (0, 3, "0.000"),
        (-1, 3, "−0.001"),
        (999, 0, "999"),
        (1000, 0, "1,000"),
        (10**9, 2, "10,000,000.00"),
    ],
)
def test_digits_are_grouped(number: int, decimals: int, text: str) -> None:
    assert grouped(number, decimals) == text


def test_small_numbers_keep_their_zeros() -> None:
    assert (kwh(-1), kwh_short(49), kwh_short(50), kwh_short(-49)) == ("−0.001", "0.0", "0.1", "0.0")
    assert (money(1, "CNY"), money(0, "JPY"), money(-5, "EUR"), money(7, "HKD")) == (
        "¥0.01",
        "¥0",
        "−€0.05",
        "HKD 0.07",
    )
    assert (percent(0, 5), percent(5, -10), percent(-5, -10), percent(1, 3)) == (
        "0.00 %",
        "−50.00 %",
        "50.00 %",
        "33.33 %",
    )
    assert (area_m2(1_264_000), area_m2(99)) == ("126.40", "0.00")


def test_local_times_follow_the_clocks_of_the_site() -> None:
    calendar = SiteCalendar("America/Los_Angeles")
    assert local_time(datetime(2026, 11, 1, 8, 30, tzinfo=UTC), calendar) == "2026-11-01 01:30"
    assert local_time(datetime(2026, 11, 1, 9, 30, tzinfo=UTC), calendar) == "2026-11-01 01:30"


# The tree of `metertree site show`


@pytest.fixture
def drawn(site: Site) -> list[str]:
    """The tree as the command draws it."""
    return list(_tree(site, None, "", datetime(2026, 7, 2, tzinfo=UTC)))


def test_the_drawn_tree_has_a_line_for_every_node(site: Site, drawn: list[str]) -> None:
    assert len(drawn) == len(site.nodes)
    for node in site.nodes:
        assert sum(f" {node.id} (" in line for line in drawn) == 1
    assert sum("unit " in line for line in drawn) == len(site.units)
