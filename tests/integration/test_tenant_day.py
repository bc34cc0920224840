"""A tenant's day in a real browser: from the code on paper to confirming and disputing, on a phone and a desk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from ingest.statement_desk import Answer
from ingest.statement_states import DisputeState
from tests.doubles.browser import DESKTOP, PHONE, browser, grave_faults, widest_overflow
from tests.doubles.issued_park import BY, TENANT, IssuedPark
from tests.doubles.web import serving

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for all of these tests."""
    with browser() as running:
        yield running


@pytest.fixture
def address(issued_park: IssuedPark) -> Iterator[str]:
    """Where the tenant's code leads."""
    with serving(issued_park.app) as client:
        yield f"{str(client.base_url).rstrip('/')}/s/{issued_park.token}"


def visit(chromium: Browser, address: str, locale: str = "en-GB", *, phone: bool = True, script: bool = True) -> Page:
    """A reader opens the page on his device."""
    size = PHONE if phone else DESKTOP
    context = chromium.new_context(
        viewport=size,
        locale=locale,
        reduced_motion="reduce",
        java_script_enabled=script,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(address)
    return page


def keep(page: Page, name: str) -> None:
    """Keep a picture of the page, if pictures are wanted."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize(("locale", "phone"), [("zh-CN", True), ("en-GB", True), ("zh-CN", False), ("en-GB", False)])
def test_the_page_fits_its_screen_and_everybody_can_use_it(
    chromium: Browser, address: str, locale: str, phone: bool
) -> None:
    page = visit(chromium, address, locale, phone=phone)
    page.locator(".verify-verdict").wait_for()
    assert widest_overflow(page) == 0
    assert grave_faults(page) == []
    keep(page, f"statement-{'phone' if phone else 'desktop'}-{locale[:2]}")


def test_the_browser_recomputes_each_line_and_says_so(chromium: Browser, address: str) -> None:
    page = visit(chromium, address)
    page.locator(".verify-verdict.holds").wait_for()
    assert page.locator("[data-recomputed].holds").count() == 3
    assert "90.26" in page.locator("[data-recomputed]").first.inner_text()


def test_a_tampered_statement_is_shown_as_broken_with_its_link(chromium: Browser, address: str) -> None:
    context = chromium.new_context(viewport=PHONE, locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()

    def tamper(route: object) -> None:
        answer = route.fetch()  # type: ignore[attr-defined]
        text = answer.text()
        place = text.index('"statement": "') + 400
        other = "A" if text[place] != "A" else "B"
        route.fulfill(response=answer, body=text[:place] + other + text[place + 1 :])  # type: ignore[attr-defined]

    page.route("**/statement.json", tamper)
    page.goto(address)
    page.locator(".verify-verdict.broken").wait_for()
    assert page.locator(".verify-broken [data-link]").count() >= 1
    keep(page, "statement-tampered")


def test_the_steps_are_played_one_by_one(chromium: Browser, address: str) -> None:
    page = visit(chromium, address)
    steps = page.locator("ol.calc").first
    page.locator(".player button").nth(1).first.click()
    assert steps.locator("li[aria-current=step]").count() == 1
    assert "71,776.310" in steps.locator("li[aria-current=step]").inner_text()


def test_a_tenant_confirms_by_keyboard_and_thrice(chromium: Browser, address: str, issued_park: IssuedPark) -> None:
    page = visit(chromium, address, "zh-CN")
    button = page.get_by_role("button", name=re.compile("确认 ¥107.90"))
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_text("已确认，谢谢。").wait_for()
    assert page.get_by_text(f"{TENANT}-c1").first.is_visible()
    for _ in range(2):
        page.request.post(f"{address}/confirm")
    assert len(issued_park.view().charges) == 1
    page.reload()
    assert page.get_by_role("button", name=re.compile("确认")).count() == 0
    keep(page, "statement-confirmed")


def test_a_tenant_disputes_a_line_confirms_the_rest_and_reads_the_answer(
    chromium: Browser, address: str, issued_park: IssuedPark
) -> None:
    page = visit(chromium, address)
    page.get_by_label("Which item").select_option(index=0)
    page.get_by_label("Why").fill("My meter stood still on the first.")
    page.get_by_role("button", name="Dispute this item").click()
    page.get_by_text("Your dispute has arrived").wait_for()
    assert page.get_by_text("My meter stood still on the first.").is_visible()
    page.get_by_role("button", name="Confirm ¥17.64").click()
    page.get_by_text("Confirmed. Thank you.").wait_for()
    (dispute,) = issued_park.view().disputes
    issued_park.desk.answer(dispute.dispute, Answer(DisputeState.UPHELD, "Read twice: it stands."), BY)
    page.goto(address)
    assert page.get_by_text("Read twice: it stands.").is_visible()
    assert [one.amount_minor for one in issued_park.view().charges] == [1764, 9026]
    keep(page, "statement-answered")


def test_all_of_it_works_without_a_script(chromium: Browser, address: str, issued_park: IssuedPark) -> None:
    page = visit(chromium, address, script=False)
    assert page.get_by_text("71,776.310 kWh").first.is_visible()
    page.get_by_role("button", name=re.compile("Confirm")).click()
    assert page.get_by_text(f"{TENANT}-c1").first.is_visible()
    assert len(issued_park.view().charges) == 1
