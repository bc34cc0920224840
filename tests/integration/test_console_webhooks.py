"""The pages of webhooks over HTTP and in a browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from ingest.console.visit import SESSION
from ingest.store.audit import entries
from ingest.store.database import Database
from tests.doubles.browser import PHONE, browser, grave_faults, widest_overflow
from tests.doubles.console_centre import ConsoleCentre, console_centre, words_of

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
DESKTOP = {"width": 1280, "height": 800}
PATH = "/settings/webhooks"
URL = "https://billing.example/hooks/metertree?key=hidden"


@pytest.fixture
def centre(database: Database, cheap_passwords: None) -> Iterator[ConsoleCentre]:
    with console_centre(database) as running:
        running.add("boss", "administrator")
        running.add("checker", "auditor")
        running.add("manager", "energy-manager")
        running.client.headers["Accept-Language"] = "en"
        running.sign_in("boss")
        yield running


def added(centre: ConsoleCentre) -> str:
    """Add an endpoint; gives the path of its page."""
    answer = centre.send(PATH, url=URL, signing="hmac-sha256", description="billing", kind="run.published")
    assert answer.status_code == 200, words_of(answer.text)
    assert re.search(r"whsec_[A-Za-z0-9+/=]+", answer.text)
    found = re.search(rf'href="({PATH}/whe_[0-9a-f]+)"', answer.text)
    assert found is not None
    return found[1]


def test_an_endpoint_is_added_tested_turned_rotated_and_removed(centre: ConsoleCentre) -> None:
    assert "No endpoint yet" in centre.client.get(PATH).text
    path = added(centre)
    shown = centre.client.get(path)
    assert "whsec_" not in shown.text
    assert "run.published" in shown.text
    assert centre.send(f"{path}/test").status_code == 303
    assert "webhook.test" in centre.client.get(path).text
    assert "webhook.test" not in centre.client.get(path, params={"state": "dead"}).text
    assert centre.send(f"{path}/again").status_code == 303
    assert centre.send(f"{path}/again", event="evt_none").status_code == 422
    assert centre.send(f"{path}/turn", state="off").status_code == 303
    assert '<span class="badge plain">off</span>' in centre.client.get(PATH).text
    assert "whsec_" in centre.send(f"{path}/rotate", overlap="1").text
    assert "billing.example" in centre.client.get(PATH + ".csv").text
    assert centre.send(f"{path}/turn", state="removed", reason="replaced").status_code == 303
    assert centre.client.get(path).status_code == 404
    for act in ("turn", "test", "rotate", "again"):
        assert centre.send(f"{path}/{act}", state="on").status_code == 404
    with centre.database.transaction() as connection:
        verbs = [one.verb for one in entries(connection) if one.who == "boss"]
    assert [one for one in verbs if one not in ("signed-in", "password-chosen")] == [
        "endpoint-added",
        "deliveries-replayed",
        "endpoint-changed",
        "secret-rotated",
        "endpoint-changed",
    ]


def test_an_endpoint_that_may_not_be_is_refused_and_what_was_typed_stays(centre: ConsoleCentre) -> None:
    for url in ("http://billing.example/", "https://127.0.0.1/", "ftp://x", "nothing", ""):
        answer = centre.send(PATH, url=url, description="billing", kind="run.published")
        assert answer.status_code == 422
        assert 'value="billing"' in answer.text
        assert 'value="run.published" checked' in answer.text
    assert "No endpoint yet" in centre.client.get(PATH).text


def test_an_auditor_looks_and_changes_nothing_and_a_manager_sees_his_own(centre: ConsoleCentre) -> None:
    path = added(centre)
    centre.sign_in("checker")
    page = centre.client.get(path)
    assert page.status_code == 200
    assert "<form method=" not in page.text.split("<main")[1]
    for act in ("turn", "test", "rotate", "again"):
        assert centre.send(f"{path}/{act}", state="off").status_code == 403
    centre.sign_in("manager")
    assert centre.client.get(path).status_code == 404
    assert "No endpoint yet" in centre.client.get(PATH).text


def looked_at(page: Page, name: str) -> None:
    """Nothing is wider than the screen, nothing is a grave fault of accessibility; keep pictures if some are wanted."""
    assert widest_overflow(page) <= 0, name
    assert grave_faults(page) == [], name
    if SHOTS:
        page.emulate_media(reduced_motion="reduce")
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


@pytest.mark.parametrize(("size", "locale"), [("desktop", "en-GB"), ("phone", "zh-CN")])
def test_the_pages_of_webhooks_are_fit_to_be_looked_at(centre: ConsoleCentre, size: str, locale: str) -> None:
    with browser() as chromium:
        viewport = PHONE if size == "phone" else DESKTOP
        context = chromium.new_context(viewport=viewport, locale=locale)  # type: ignore[arg-type]
        context.add_cookies([{"name": SESSION, "value": centre.session, "url": centre.url}])
        page = context.new_page()
        page.goto(f"{centre.url}{PATH}/new")
        looked_at(page, f"webhook-new-{size}")
        page.fill("[name=url]", URL)
        page.click("main form .button.primary")
        page.wait_for_selector("#secret")
        page.click("main a.primary")
        page.click("form[action$='/test'] button")
        page.wait_for_selector(".toast")
        looked_at(page, f"webhook-{size}")
        page.goto(f"{centre.url}{PATH}")
        looked_at(page, f"webhooks-{size}")
