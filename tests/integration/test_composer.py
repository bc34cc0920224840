"""The composer in a real Chromium: both formulas of the requirements by pointer and by keys, to their release."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from allocation_engine.formula.blocks import from_blocks, to_blocks
from ingest.rulebook.parts import read_part
from ingest.store.database import Database
from tests.doubles.browser import DESKTOP, PHONE, browser, grave_faults, widest_overflow
from tests.doubles.closed_park import copy_of
from tests.doubles.ruled_park import RuledPark

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
LOBBY = "main_delta * (floor_area / total_area) * (tmax - 26) / 10"
UNITS = ("a101", "a102", "a201", "a202", "a301", "b101", "b102", "b201", "b202", "b301")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file, with patience for a busy machine."""
    expect.set_options(timeout=20_000)
    with browser() as running:
        yield running
    expect.set_options(timeout=5_000)


@pytest.fixture(scope="module")
def park(postgres_dsn: str, closed_park: str) -> Iterator[RuledPark]:
    """The closed park with people, on a database of its own."""
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=8) as database:
            yield RuledPark(database)


@pytest.fixture(scope="module")
def address(park: RuledPark) -> Iterator[str]:
    """Where it is served."""
    with park.served() as client:
        yield str(client.base_url).rstrip("/")


@contextmanager
def opened(chromium: Browser, park: RuledPark, url: str, who: str = "lin", **context: Any) -> Iterator[Page]:
    """Open a page as somebody; a script's error or a refused file fails the test. A form with faults answers 422."""
    faults: list[str] = []
    settings = {"viewport": DESKTOP, "locale": "en-GB", "extra_http_headers": park.headers(who), **context}
    inside = chromium.new_context(**settings)
    page = inside.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console", lambda word: faults.append(word.text) if word.type == "error" and "422" not in word.text else None
    )
    page.goto(url)
    if "/compose" in url and context.get("java_script_enabled", True):
        expect(page.locator("form.live")).to_be_visible()
    yield page
    inside.close()
    assert faults == []


def shoot(page: Page, name: str) -> None:
    """Keep a picture, where somebody asked for pictures."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def text_of(page: Page) -> Locator:
    """The text beside the blocks."""
    return page.locator("#formula-text")


def piece(page: Page, name: str) -> Locator:
    """A block of the palette, by how rules call it."""
    return page.locator(f".palette [data-block*='\"{name}\"']").first


def drag(page: Page, block: Locator, onto: Locator) -> None:
    """Drag by pointer, with a stop on the way, as hands do."""
    page.locator("#board").scroll_into_view_if_needed()
    start, end = block.bounding_box(), onto.bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + 9, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(start["x"] + 60, start["y"] + 30, steps=2)
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=4)
    page.mouse.up()


def holes(page: Page) -> Locator:
    """Places still empty."""
    return page.locator("#board .hole")


def last_gap(page: Page) -> Locator:
    """The end of the outermost row."""
    return page.locator("#board > .row > .gap").last


def test_every_formula_is_the_same_as_a_row_and_as_blocks(chromium: Browser, park: RuledPark, address: str) -> None:
    chance = random.Random(7)

    def drawn(depth: int) -> dict[str, Any]:
        kind = chance.randrange(3 if depth == 0 else 10)
        if kind == 0:
            return {"input": chance.choice(["unit_area", "tmax", "times"])}
        if kind == 1:
            return {"number": str(chance.randrange(-50, 50)), **({"unit": "K"} if chance.random() < 0.3 else {})}
        if kind == 2:
            return {"meter": "u-a101"}
        if kind < 8:
            return {"op": chance.choice("+-*/"), "of": [drawn(depth - 1), drawn(depth - 1)]}
        if kind == 8:
            return {"op": "minus", "of": [drawn(depth - 1)]}
        name, count = chance.choice([("clamp", 3), ("min", 2), ("max", 4)])
        return {"op": name, "of": [drawn(depth - 1) for _ in range(count)]}

    trees = [drawn(5) for _ in range(400)]
    assert all(to_blocks(from_blocks(tree)) == tree for tree in trees)
    with opened(chromium, park, f"{address}/rules/park/compose") as page:
        script = """async (trees) => {
            const rows = await import("/static/formula_rows.js");
            return trees.map((tree) => rows.blocksOf(rows.rowOf(tree)));
        }"""
        assert page.evaluate(script, trees) == trees


def test_the_lobby_is_composed_by_pointer_and_reads_as_it_was_asked_for(
    chromium: Browser, park: RuledPark, address: str
) -> None:
    with opened(chromium, park, f"{address}/rules/park/compose") as page:
        page.get_by_label("passes a part on").check()
        drag(page, piece(page, "main_delta"), holes(page).first)
        drag(page, piece(page, "group"), last_gap(page))
        drag(page, piece(page, "floor_area"), holes(page).first)
        drag(page, piece(page, "total_area"), page.locator("#board .group .gap").last)
        page.locator("#board .group .sign").select_option("/")
        drag(page, piece(page, "group"), last_gap(page))
        drag(page, piece(page, "tmax"), holes(page).first)
        drag(page, piece(page, "number"), page.locator("#board .group").nth(1).locator(".gap").last)
        page.locator("#board .group").nth(1).locator(".sign").select_option("-")
        page.locator("#board .number input").fill("26")
        drag(page, piece(page, "number"), last_gap(page))
        page.locator("#board > .row > .sign").last.select_option("/")
        page.locator("#board .number input").last.fill("10")
        expect(text_of(page)).to_have_value(LOBBY)
        expect(page.locator("#verdict")).to_contain_text("names none")
        page.get_by_label("floors first, then area").check()
        page.locator("#f-floors").fill("a: a101, a102, a201, a202, a301\nb: b101, b102, b201, b202, b301")
        expect(page.locator("#verdict")).to_contain_text("Sound")
        shoot(page, "composer-lobby")
        assert grave_faults(page) == []


def test_a_block_is_moved_thrown_away_and_brought_back(chromium: Browser, park: RuledPark, address: str) -> None:
    with opened(chromium, park, f"{address}/rules/park/compose?pool=lobby-ac") as page:
        blocks = page.locator("#board > .row > .block")
        drag(page, blocks.last, page.locator("#board > .row > .gap").first)
        expect(text_of(page)).to_have_value("10 * main_delta * (floor_area / total_area) * (tmax - 26)")
        source = blocks.first.bounding_box()
        assert source is not None
        page.mouse.move(source["x"] + 9, source["y"] + source["height"] / 2)
        page.mouse.down()
        page.mouse.move(source["x"] + 40, source["y"] + 40, steps=3)
        bin_box = page.locator(".bin").bounding_box()
        assert bin_box is not None
        page.mouse.move(bin_box["x"] + 30, bin_box["y"] + 20, steps=3)
        page.mouse.up()
        expect(text_of(page)).to_have_value("main_delta * (floor_area / total_area) * (tmax - 26)")
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Undo").click()
        expect(text_of(page)).to_have_value(LOBBY)
        page.get_by_role("button", name="Redo").click()
        expect(text_of(page)).to_have_value("10 * main_delta * (floor_area / total_area) * (tmax - 26)")


def test_area_by_time_by_load_is_composed_by_keys_tried_and_released_by_somebody_else(
    chromium: Browser, park: RuledPark, address: str
) -> None:
    rules = f"{address}/rules/park"
    with opened(chromium, park, f"{rules}/coefficient-form") as page:
        for name, typed in (("name", "rated"), ("name_zh", "额定功率"), ("name_en", "Rated power"), ("unit", "kW")):
            page.locator(f"#f-{name}").fill(typed)
        page.locator("#f-source").fill("survey of July 2026")
        page.locator("#f-review_by").fill("2027-07-01")
        for unit in UNITS:
            page.locator(f"[name='number-{unit}']").fill("60")
        page.get_by_role("button", name="Save as draft").click()
        expect(page.locator(".toast")).to_contain_text("Draft saved")
        page.get_by_role("link", name="a formula").click()
        expect(page.locator("form.live")).to_be_visible()

        piece(page, "unit_area").focus()
        page.keyboard.press("Enter")
        piece(page, "times").focus()
        page.keyboard.press("Enter")
        piece(page, "load").focus()
        page.keyboard.press("Space")
        expect(text_of(page)).to_have_value("unit_area * times * load")
        expect(page.locator("#verdict")).to_contain_text("fill in the time-of-day coefficients below")
        expect(page.locator("#board .wrong")).to_have_count(2)
        for band, coefficient in (("sharp", "1.8"), ("peak", "1.5"), ("flat", "1"), ("valley", "0.5"), ("deep", "0.4")):
            page.locator(f"[name='time-{band}']").fill(coefficient)
        page.locator("#f-rated").select_option("rated")
        expect(page.locator("#verdict")).to_contain_text("who pays where all weights are 0")
        page.locator("#f-fallback").select_option("owner")
        for name, typed in (("id", "guard"), ("name_zh", "门卫室"), ("name_en", "Guard room")):
            page.locator(f"#f-{name}").fill(typed)
        page.locator("#f-agreement").fill("assembly of July 2026")
        page.locator("#f-from").fill("2026-07-01")
        page.locator("[name='path'][value='guard-room']").check()
        expect(page.locator("#verdict")).to_contain_text("Sound")
        expect(page.locator("#preview")).to_contain_text("Qinghe Tea")
        expect(page.locator("#preview")).to_contain_text("no such pool in force")
        shoot(page, "composer-three")

        page.locator("#board .block").nth(2).focus()
        page.keyboard.press("Alt+ArrowLeft")
        expect(text_of(page)).to_have_value("unit_area * load * times")
        page.keyboard.press("Delete")
        expect(text_of(page)).to_have_value("unit_area * times")
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        expect(text_of(page)).to_have_value("unit_area * times * load")
        page.get_by_role("button", name="Save as draft").click()
        expect(page.locator("h1")).to_contain_text("Rated power")
        shoot(page, "draft-open")
        page.get_by_role("button", name="Hand in").click()
        expect(page.locator("main")).to_contain_text("somebody else has to release it")
        draft = page.url.partition("?")[0]

    with opened(chromium, park, f"{draft}?periods=3", "wu") as page:
        expect(page.locator("#try ~ .card").first).to_contain_text("Qinghe Tea")
        shoot(page, "draft-to-release")
        assert grave_faults(page) == []
        page.locator("summary", has_text="Release").click()
        page.get_by_role("button", name="Release now").click()
        expect(page.locator("main")).to_contain_text("Released as version 2")
        page.goto(f"{rules}/pools/guard")
        expect(page.locator(".formula-line")).to_have_text("unit_area * times * load")
        page.goto(f"{rules}/history")
        expect(page.locator("main")).to_contain_text("wu")
    released = read_part(park.books, "pool/guard")
    assert released["formula"] == "unit_area * times * load"
    assert released["times"]["sharp"] == "1.8"
    assert read_part(park.books, "numbers/rated")["table"]["values"]["a101"] == "60"


def test_a_late_verdict_undoes_nothing_that_was_done_since(chromium: Browser, park: RuledPark, address: str) -> None:
    with opened(chromium, park, f"{address}/rules/park/compose") as page:
        held: list[Any] = []
        page.route("**/verdict", lambda route: route.continue_() if held else held.append(route))
        with page.expect_request("**/verdict"):
            piece(page, "unit_area").click()
        piece(page, "energy").click()
        held[0].continue_()
        expect(text_of(page)).to_have_value("unit_area * energy")
        expect(page.locator("#board .block")).to_have_count(2)


def test_what_is_typed_becomes_blocks_and_a_mistake_is_shown_at_its_block(
    chromium: Browser, park: RuledPark, address: str
) -> None:
    with opened(chromium, park, f"{address}/rules/park/compose", locale="zh-CN") as page:
        text_of(page).fill("单元面积 × 最大(当日最高温 - 26℃, 0)")
        expect(page.locator("#board .block.max")).to_have_count(1)
        assert page.locator("#board .number input").first.input_value() == "26"
        text_of(page).fill("单元面积 × 当日最高温")
        expect(page.locator("#verdict")).to_contain_text("摄氏温度是标尺上的一点")
        expect(page.locator("#board .sign.wrong")).to_have_count(1)
        text_of(page).fill("单元面积 × ")
        expect(page.locator("#verdict")).to_contain_text("还不能保存")
        expect(page.locator("#board.stale")).to_have_count(1)
        shoot(page, "composer-zh-wrong")


def test_a_finger_composes_on_a_telephone(chromium: Browser, park: RuledPark, address: str) -> None:
    context = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    with opened(chromium, park, f"{address}/rules/park/compose", **context) as page:
        for name in ("unit_area", "energy"):
            piece(page, name).tap()
        expect(text_of(page)).to_have_value("unit_area * energy")
        assert widest_overflow(page) == 0
        assert grave_faults(page) == []
        shoot(page, "composer-phone")


def test_it_is_written_and_checked_without_a_script(chromium: Browser, park: RuledPark, address: str) -> None:
    url = f"{address}/rules/park/compose?pool=lobby-ac"
    with opened(chromium, park, url, java_script_enabled=False) as page:
        expect(page.locator("#board")).to_be_hidden()
        text_of(page).fill("main_delta * (floor_area / total_area) * (tmax - 28) / 8")
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("#verdict")).to_contain_text("Sound")
        expect(page.locator("#preview")).to_contain_text("Qinghe Tea")
        text_of(page).fill("main_delta * tmax")
        page.get_by_role("button", name="Save as draft").click()
        expect(page.locator("#verdict")).to_contain_text("Not sound yet")
        assert text_of(page).input_value() == "main_delta * tmax"


def test_a_verdict_says_where_in_blocks_and_in_text(park: RuledPark, address: str) -> None:
    with park.served() as client:
        blocks = {"op": "*", "of": [{"input": "unit_area"}, {"input": "unheard_of"}]}
        fields = {"reading": "spreading", "grain": "day", "spread": "all", "blocks": json.dumps(blocks)}
        answer = client.post("/rules/park/verdict?lang=zh", data=fields, headers=park.headers("lin")).json()
    assert (answer["holds"], answer["places"], answer["blocks"]) == (False, ["1"], blocks)
    assert answer["text"] == "单元面积 × unheard_of"
    assert "没有名为" in answer["html"]
