"""Every page in a real Chromium, as desktop and telephone, in both languages: no fault, no sideways scroll, accessible.

With METERTREE_SCREENS naming a folder (`make screenshots`) pictures of all are left there, with a page to leaf through.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import Page as Tab

from ingest.access.policy_file import shipped_policy
from ingest.store.database import Database
from tests.doubles.browser import DESKTOP, PHONE, browser, grave_faults, widest_overflow
from tests.doubles.servers import _database
from tests.screens.pages import ELSEWHERE, FILES, PAGES, Page
from tests.screens.stage import PASSWORD, Stage, stage

FOLDER = os.environ.get("METERTREE_SCREENS")
LOOKS = (("desktop", "en", "light"), ("phone", "zh", "dark"))
MORE = (("desktop", "zh", "dark"), ("phone", "en", "light"))
SIZES = {"desktop": DESKTOP, "phone": PHONE}
LOCALES = {"zh": "zh-CN", "en": "en-GB"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def staged(postgres_dsn: str, migrated_template: str | None) -> Iterator[Stage]:
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=8) as database, stage(database) as made:
            yield made


def test_every_page_of_the_service_is_looked_at() -> None:
    patterns = {key.removeprefix("GET ") for key in shipped_policy().routes if key.startswith("GET ")}
    pages = {one for one in patterns if not one.startswith("/v1/") and not one.endswith(FILES)}
    assert pages == {one.pattern for one in PAGES} | set(ELSEWHERE)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("look", LOOKS + MORE if FOLDER else LOOKS, ids="-".join)
def test_every_page_is_whole(chromium: Browser, staged: Stage, look: tuple[str, str, str]) -> None:
    size, language, colours = look
    settings = {
        "viewport": SIZES[size],
        "locale": LOCALES[language],
        "color_scheme": colours,
        "reduced_motion": "reduce",
    }
    stranger, person = (chromium.new_context(**settings) for _ in range(2))  # type: ignore[arg-type]
    _sign_in(person, staged.url)
    faults = [fault for page in PAGES for fault in _look(stranger if page.is_open else person, staged, page, look)]
    for context in (stranger, person):
        context.close()
    assert faults == []


def _sign_in(context: BrowserContext, url: str) -> None:
    tab = context.new_page()
    tab.goto(f"{url}/sign-in")
    tab.fill("[name=name]", "eva")
    tab.fill("[name=password]", PASSWORD)
    tab.click("main form [type=submit], main form button")
    tab.wait_for_url(lambda now: "/sign-in" not in now)
    tab.close()


def _look(context: BrowserContext, staged: Stage, page: Page, look: tuple[str, str, str]) -> list[str]:
    tab = context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda word: faults.append(word.text) if word.type == "error" else None)
    answer = tab.goto(staged.url + staged.path(page.path))
    if answer is None or not answer.ok:
        faults.append(f"answered {'nothing' if answer is None else answer.status}")
    overflow = widest_overflow(tab)
    if overflow:
        faults.append(f"{overflow} px too wide")
    faults += grave_faults(tab)
    if FOLDER:
        _keep(tab, page, look, Path(FOLDER))
    tab.close()
    return [f"{page.pattern} ({'-'.join(look)}): {fault}" for fault in faults]


def _keep(tab: Tab, page: Page, look: tuple[str, str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=folder / f"{page.name}-{'-'.join(look)}.png", full_page=True)
    index = "".join(
        f"<h2>{escape(one.pattern)}</h2>"
        + "".join(
            f'<a href="{one.name}-{"-".join(each)}.png"><img src="{one.name}-{"-".join(each)}.png" height="420"></a> '
            for each in LOOKS + MORE
        )
        for one in PAGES
    )
    (folder / "index.html").write_text(f"<meta charset=utf-8><title>Pages</title>{index}", encoding="utf-8")
