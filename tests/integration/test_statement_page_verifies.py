"""The tenant's page of a real centre in a real browser: it proves itself, and says where a tampered statement broke."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.doubles.browser import DESKTOP, PHONE, browser, grave_faults, widest_overflow
from tests.doubles.issued_park import IssuedPark
from tests.doubles.web import serving

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
AMOUNT = "90.26 CNY"


@pytest.fixture
def client(issued_park: IssuedPark) -> Iterator[httpx.Client]:
    """The centre."""
    with serving(issued_park.app) as client:
        yield client


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with browser() as running:
        yield running


def visit(chromium: Browser, client: httpx.Client, park: IssuedPark, *, change: Any = None, **context: Any) -> Page:
    """Open the tenant's page; `change` alters its statement file on the way to the browser."""
    page = chromium.new_context(**context).new_page()

    def alter(route: Route) -> None:
        content = route.fetch().json()
        change(content)
        route.fulfill(json=content)

    if change is not None:
        page.route("**/statement.json", alter)
    page.goto(f"{client.base_url}/s/{park.token}")
    return page


def shot(page: Page, name: str) -> None:
    """Keep a picture where one is wanted."""
    if SHOTS is not None:
        page.screenshot(path=Path(SHOTS) / f"statement-{name}.png", full_page=True)


def flip(content: dict[str, Any], name: str, place: int) -> None:
    """Turn a bit of the first part of a name."""
    held = content[name]
    octets = bytearray(base64.b64decode(held[0] if isinstance(held, list) else held))
    octets[place] ^= 1
    text = base64.b64encode(octets).decode()
    content[name] = [text, *held[1:]] if isinstance(held, list) else text


SEEN = (("en-GB", DESKTOP, "Everything holds"), ("zh-CN", PHONE, "全部成立"))
TAMPERED = (("statement", 700), ("evidence", -40), ("proof", 60), ("publication", 90))


def test_the_page_of_a_statement_proves_itself(
    chromium: Browser, client: httpx.Client, issued_park: IssuedPark
) -> None:
    for locale, size, headline in SEEN:
        page = visit(chromium, client, issued_park, locale=locale, viewport=size)
        expect(page.locator(".verify-headline")).to_have_text(headline)
        expect(page.locator("[data-recomputed='own-use/a101/t-01']")).to_contain_text(AMOUNT)
        assert page.locator("[data-recomputed].broken").count() == 0
        assert page.locator(".verify-link", has_text={"en-GB": "This page", "zh-CN": "本页"}[locale]).count() == 1
        assert page.locator("[data-recomputed].holds").count() == page.locator("[data-recomputed]").count() > 0
        assert page.locator(".player").count() == page.locator("[data-player]").count() > 0
        assert grave_faults(page) == []
        assert widest_overflow(page) == 0
        shot(page, f"verified-{locale}")
        page.context.close()


def test_a_tampered_statement_is_shown_as_broken_with_the_link_that_broke(
    chromium: Browser, client: httpx.Client, issued_park: IssuedPark
) -> None:
    for name, place in TAMPERED:
        page = visit(
            *(chromium, client, issued_park),
            change=lambda content, name=name, place=place: flip(content, name, place),
            locale="en-GB",
        )
        expect(page.locator(".verify-headline")).to_have_text("This statement does not hold")
        link = page.locator(".verify-broken li").first.get_attribute("data-link") or ""
        assert link.startswith({"proof": ("pool", "commitment")}.get(name, name)), link
        if name in ("statement", "evidence"):
            assert page.locator("[data-recomputed].holds").count() == 0, "what rests on a broken link is not confirmed"
        shot(page, f"broken-{name}")
        page.context.close()


def test_the_page_to_keep_comes_from_the_centre_and_checks_the_file_that_it_gave(
    chromium: Browser, client: httpx.Client, issued_park: IssuedPark, tmp_path: Path
) -> None:
    answer = client.get("/verify.html")
    assert answer.headers["content-disposition"].startswith("attachment")
    path, file = tmp_path / "verify.html", tmp_path / "statement.json"
    path.write_bytes(answer.content)
    file.write_bytes(client.get(f"/s/{issued_park.token}/statement.json").content)
    assert json.loads(file.read_bytes())["publication"]
    page = chromium.new_context(offline=True).new_page()
    page.goto(f"{path.as_uri()}?lang=zh")
    page.set_input_files("input[type=file]", file)
    expect(page.locator(".verify-headline")).to_have_text("全部成立")
    expect(page.locator(".verify-verdict")).to_contain_text("终稿")
    page.context.close()
