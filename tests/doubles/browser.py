"""A real Chromium for tests of pages: found where the machine has one, or where scripts/install_chromium.sh put it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
GRAVE = ("serious", "critical")


def chromium() -> str | None:
    """Give the path of a Chromium, or None where there is none."""
    places = (
        os.environ.get("METERTREE_TEST_CHROMIUM"),
        shutil.which("chromium"),
        ROOT / ".metertree/chromium/chromium",
    )
    return next((str(place) for place in places if place is not None and Path(place).exists()), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a headless Chromium; skip the test where there is none."""
    program = chromium()
    if program is None:
        pytest.skip("no Chromium here: scripts/install_chromium.sh fetches one")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


def grave_faults(page: Page) -> list[str]:
    """Give what axe calls a serious or critical fault of accessibility on the page, each with the first place."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in GRAVE]


def widest_overflow(page: Page) -> int:
    """Give by how much the page is wider than the screen [CSS pixels]; a page for a phone has 0."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
