"""The manager's day in a real browser: from an exception to a published run, by two people, without a command line.

bo closes the period and watches the bar, finds the loss that nobody metered, says why it is acceptable and checks; cy
approves and publishes on a phone. In Chinese, as they work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from allocation_engine.run_state import RunState
from ingest.caller import Caller
from ingest.store.database import Database
from ingest.store.runs import list_runs
from ingest.store.sign_ins import make_link
from tests.doubles.browser import DESKTOP, PHONE, browser, grave_faults, widest_overflow
from tests.doubles.review_centre import NOW, PARK_ID, SECOND, ReviewCentre
from tests.doubles.servers import _database

PASSWORD = "trees of meters, counted"
OF_AXE = "Applying inline style"
"""What Chromium says when axe styles a page to measure it, and when htmx takes what axe left over to a new part."""
SHOTS = os.environ.get("METERTREE_TEST_SHOTS")


@pytest.fixture(scope="module")
def centre(postgres_dsn: str, migrated_template: str) -> Iterator[ReviewCentre]:
    """The park with its first day published and its second day read, but not closed."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=8) as database, ReviewCentre(database).open() as built:
            built.fill()
            yield built


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the day."""
    with browser() as running:
        yield running


def comes_in(centre: ReviewCentre, chromium: Browser, name: str, viewport: dict[str, int]) -> Page:
    """Open a browser of somebody's own, and let him choose his password by the link he was given."""
    with centre.database.transaction() as connection:
        token = make_link(connection, name, Caller("admin", "", ""), NOW)
    context = chromium.new_context(
        viewport=viewport,  # type: ignore[arg-type]
        locale="zh-CN",
        base_url=str(centre.client.base_url),
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"/welcome/{token}")
    for field in page.locator('input[type="password"]').all():
        field.fill(PASSWORD)
    page.locator('button[type="submit"], form button').last.click()
    page.wait_for_url(re.compile("/account"))
    return page


def looked_at(page: Page, name: str) -> None:
    """Hold a page to what every page is held to, and keep a picture of it if somebody wants to look."""
    styled = page.evaluate("[...document.querySelectorAll('[style]')].map((one) => one.outerHTML.slice(0, 120))")
    assert styled == [], name
    assert grave_faults(page) == [], name
    assert widest_overflow(page) == 0, name
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"manager-{name}.png"), full_page=True)


def test_the_managers_day_from_an_exception_to_a_published_run(centre: ReviewCentre, chromium: Browser) -> None:
    faults: list[str] = []
    manager = comes_in(centre, chromium, "bo", DESKTOP)
    manager.on("pageerror", lambda error: faults.append(str(error)))
    manager.on("console", lambda told: faults.append(f"{told.text} {told.location}") if told.type == "error" else None)

    # The list says that one period is done; the next is closed from here.
    manager.goto("/runs")
    expect(manager.locator(".run")).to_have_count(1)
    looked_at(manager, "1-runs")
    manager.get_by_role("link", name="结算账期").click()
    manager.get_by_label("账期").fill(SECOND)
    looked_at(manager, "2-close")
    manager.get_by_role("button", name="开始结算").click()

    # The bar runs by server-sent events, and the page turns to the outcome by itself.
    manager.wait_for_url(re.compile("/jobs/"))
    expect(manager.get_by_text("得到新的核算批次")).to_be_visible(timeout=60_000)
    looked_at(manager, "3-job")
    expect(manager.get_by_role("link", name="打开核对页")).to_be_visible()

    # What it found outside of what is permitted waits in the inbox.
    manager.goto("/inbox")
    expect(manager.get_by_text("1 项情形须写明理由")).to_be_visible()
    looked_at(manager, "3-inbox")
    manager.get_by_role("link", name="去审核").click()

    # In five seconds: it adds up, and one thing needs him.
    expect(manager.get_by_role("heading", name="分毫不差")).to_be_visible()
    expect(manager.locator(".needs li")).to_have_count(1)
    looked_at(manager, "4-review")
    manager.locator(".needs a").click()
    expect(manager.get_by_text("总表：损耗 871.496 kWh")).to_be_visible()

    # He looks at what changed, by keyboard and pointer; the lines are sorted in place.
    manager.locator("#lines thead a").first.click()
    expect(manager.locator('#lines th[aria-sort="ascending"]')).to_be_visible()
    manager.get_by_label("租户、单元或编号").fill("明澈")
    manager.keyboard.press("Enter")
    expect(manager.locator("#lines tbody tr").first).to_contain_text("明澈")
    expect(manager.get_by_role("heading", name="分毫不差")).to_be_visible()

    # What if the lobby's cooling went by area?
    review = manager.url.split("#")[0].split("?")[0]
    manager.get_by_role("link", name="试算").click()
    manager.get_by_label("改变费用池").select_option("lobby-ac")
    manager.get_by_label("改为按").select_option("area")
    manager.get_by_role("button", name="试算").click()
    expect(manager.get_by_text("试算仍然分毫不差")).to_be_visible()
    looked_at(manager, "5-what-if")

    # He computed it himself, so he may check it with a reason, and not approve it.
    manager.goto(review)
    manager.get_by_label("为何可以接受").fill("装修队在总表后接电，已拆除")
    manager.get_by_role("button", name="复核通过").click()
    expect(manager.get_by_text("已复核。请另一人批准。")).to_be_visible()
    expect(manager.get_by_role("button", name="批准", exact=True)).to_have_count(0)
    looked_at(manager, "6-checked")

    # The second person, on a phone.
    approver = comes_in(centre, chromium, "cy", PHONE)
    approver.goto("/runs")
    looked_at(approver, "7-phone-runs")
    approver.goto("/inbox")
    expect(approver.get_by_text("已检查，待另一人批准。")).to_be_visible()
    looked_at(approver, "7-phone-inbox")
    approver.get_by_role("link", name="去审核").click()
    looked_at(approver, "8-phone-review")
    approver.get_by_role("button", name="批准", exact=True).click()
    expect(approver.get_by_text("已批准。可以发布。")).to_be_visible()
    approver.get_by_role("button", name="发布", exact=True).click()
    expect(approver.get_by_text("已发布。确认单已是最终版本。")).to_be_visible()
    expect(approver.get_by_text("没有待处理的事项")).to_be_visible()
    looked_at(approver, "9-phone-published")
    approver.goto("/inbox")
    expect(approver.get_by_text("没有待办")).to_be_visible()

    with centre.database.transaction() as connection:
        (head,) = list_runs(connection, site=PARK_ID, period=SECOND, most=2)
    assert head.state is RunState.PUBLISHED
    story = centre.closing.desk.story(head.run)
    assert [one.actor for one in story.steps] == ["bo", "bo", "cy", "cy"]
    assert [one.reason for one in story.reasons] == ["装修队在总表后接电，已拆除"]
    assert [one for one in faults if OF_AXE not in one] == []


def test_a_page_without_a_script_shows_the_same_and_can_act(centre: ReviewCentre, chromium: Browser) -> None:
    """The job's page comes anew by itself, lines are sorted by links, steps are forms."""
    with centre.database.transaction() as connection:
        run = list_runs(connection, site=PARK_ID, period=None, most=1)[0].run
    context = chromium.new_context(
        java_script_enabled=False,
        locale="en-GB",
        base_url=str(centre.client.base_url),
        extra_http_headers={"Authorization": f"Bearer {centre.tokens['bo']}"},
    )
    page = context.new_page()
    page.goto(f"/runs/{run}/review")
    page.locator("#lines thead a").first.click()
    expect(page.locator('#lines th[aria-sort="ascending"]')).to_be_visible()
    expect(page.get_by_role("link", name="Review")).to_be_visible()
    context.close()
