"""Signing in over HTTP: pages, cookies, forms of others, headers; then a person's first hour in a real browser."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from ingest.console.visit import SESSION
from ingest.passwords import code_at
from ingest.sign_in_desk import SignInDesk
from ingest.store.database import Database
from ingest.store.operators import remove_operator
from ingest.store.sessions import IDLE
from ingest.store.sign_in_failures import TOGETHER_MAX
from tests.doubles.browser import PHONE, browser, grave_faults, widest_overflow
from tests.doubles.console_centre import LOCAL, NOW, PASSWORD, TOKEN, ConsoleCentre, console_centre
from tests.doubles.page_parts import foreign_parts

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
HTML = {"Accept": "text/html"}
DESKTOP = {"width": 1280, "height": 800}


@pytest.fixture
def centre(database: Database, cheap_passwords: None) -> Iterator[ConsoleCentre]:
    with console_centre(database) as running:
        running.add("manager", "energy-manager")
        yield running


def signed_in(centre: ConsoleCentre) -> str:
    """Name who is signed in by the client's cookies; empty for nobody."""
    answer = centre.client.get("/account", headers=HTML)
    return "" if answer.status_code == 303 else answer.text.split('id="who">')[1].split("<")[0]


def test_who_is_not_signed_in_is_led_to_sign_in_and_back(centre: ConsoleCentre) -> None:
    away = centre.client.get("/fleet?text=a%26b", headers=HTML)
    assert (away.status_code, away.headers["Location"]) == (303, "/sign-in?next=%2Ffleet%3Ftext%3Da%2526b")
    page = centre.client.get(away.headers["Location"])
    assert 'name="next" value="/fleet?text=a%26b"' in page.text
    back = centre.sign_in("manager", next="/fleet?text=a%26b")
    assert (back.status_code, back.headers["Location"]) == (303, "/fleet?text=a%26b")
    assert centre.client.get("/fleet").status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil", "", "x"]
)
def test_nobody_is_led_elsewhere_after_signing_in(centre: ConsoleCentre, elsewhere: str) -> None:
    assert centre.sign_in("manager", next=elsewhere).headers["Location"] == "/"


def test_the_cookie_of_a_session_is_for_no_script_and_no_other_page(centre: ConsoleCentre) -> None:
    answer = centre.sign_in("manager")
    (cookie,) = [one for one in answer.headers.get_list("Set-Cookie") if one.startswith(SESSION + "=")]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Max-Age" not in cookie


def test_wrong_words_say_the_same_for_everybody_and_keep_the_name(centre: ConsoleCentre) -> None:
    known, unknown = (centre.sign_in(name, "wrong horse battery") for name in ("manager", "nobody"))
    assert (known.status_code, unknown.status_code) == (401, 401)
    assert 'value="manager"' in known.text
    assert "wrong horse" not in known.text
    assert known.text.replace("manager", "") == unknown.text.replace("nobody", "")
    assert signed_in(centre) == ""


def test_guessing_is_answered_429(centre: ConsoleCentre) -> None:
    for _ in range(TOGETHER_MAX):
        centre.sign_in("manager", "wrong horse battery")
    answer = centre.sign_in("manager")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "900")
    assert signed_in(centre) == ""


def test_signing_out_ends_the_session_and_a_stolen_cookie_with_it(centre: ConsoleCentre) -> None:
    centre.sign_in("manager")
    stolen = centre.session
    assert signed_in(centre) == "manager"
    answer = centre.send("/sign-out")
    assert (answer.status_code, answer.headers["Clear-Site-Data"]) == (303, '"cache"')
    centre.become(stolen)
    assert signed_in(centre) == ""


def test_an_idle_session_and_one_of_a_removed_operator_end(centre: ConsoleCentre) -> None:
    centre.sign_in("manager")
    centre.clock.sleep_until(NOW + IDLE)
    assert signed_in(centre) == ""
    centre.sign_in("manager")
    assert signed_in(centre) == "manager"
    with centre.database.transaction() as connection:
        remove_operator(connection, "manager", LOCAL, NOW)
    assert signed_in(centre) == ""


# Forms of others


def test_a_form_without_its_token_does_nothing(centre: ConsoleCentre) -> None:
    centre.sign_in("manager")
    for fields in ({}, {"form_token": "0" * 40}, {"x": "1", "form_token": centre.form_token()}):
        answer = centre.client.post("/account/sessions/end-others", data=fields)
        assert (answer.status_code, "Nothing was done" in answer.text or "没有执行" in answer.text) == (403, True)
    assert centre.send("/account/sessions/end-others").status_code == 303


def test_a_form_of_another_origin_does_nothing(centre: ConsoleCentre) -> None:
    centre.sign_in("manager")
    fields = {"form_token": centre.form_token()}
    for name, text in (
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ):
        for path in ("/account/sessions/end-others", "/sign-out"):
            assert centre.client.post(path, data=fields, headers={name: text}).status_code == 403, (name, text)
    assert signed_in(centre) == "manager"


def test_signing_in_by_a_form_of_another_does_nothing(centre: ConsoleCentre) -> None:
    answer = centre.client.post("/sign-in", data={"name": "manager", "password": PASSWORD})
    assert answer.status_code == 403
    assert SESSION not in answer.cookies


def test_a_call_of_the_api_by_cookie_needs_the_token_too_and_one_by_token_does_not(centre: ConsoleCentre) -> None:
    centre.sign_in("manager")
    body = {"site": "park", "period": "2026-07", "booked_at": "2026-08-01T00:00:00Z"}
    assert centre.client.post("/v1/allocation-runs", json=body).status_code == 403
    token = {"Metertree-Form": centre.form_token()}
    assert centre.client.post("/v1/allocation-runs", json=body, headers=token).status_code in (404, 409, 422)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert centre.client.post("/v1/allocation-runs", json=body, headers=bearer).status_code in (404, 409, 422)


# Headers


def test_every_answer_tells_the_browser_what_it_may_not_do(centre: ConsoleCentre) -> None:
    for path in ("/sign-in", "/sign-in/code", "/welcome/nothing", "/account", "/healthz", "/v1/none"):
        answer = centre.client.get(path, headers=HTML)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            assert foreign_parts(answer.text) == []
            assert answer.headers["Cache-Control"] == "no-store"


def test_a_choice_is_kept_without_saying_who_made_it(centre: ConsoleCentre) -> None:
    centre.client.get("/sign-in?lang=en&theme=dark")
    page = centre.client.get("/sign-in", headers={"Accept-Language": "zh-CN"}).text
    assert '<html lang="en" data-theme="dark">' in page
    centre.client.get("/sign-in?theme=system")
    assert "data-theme" not in centre.client.get("/sign-in").text


# In a browser


def looked_at(page: Page, name: str) -> None:
    """Nothing is wider than the screen, nothing is a grave fault of accessibility; keep pictures if some are wanted."""
    assert widest_overflow(page) <= 0, name
    assert grave_faults(page) == [], name
    if SHOTS:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{scheme}.png"))


@pytest.mark.parametrize(("size", "locale"), [("desktop", "zh-CN"), ("phone", "en-GB")])
def test_the_first_hour_of_an_administrator(database: Database, cheap_passwords: None, size: str, locale: str) -> None:
    with console_centre(database) as centre, browser() as chromium:
        desk = SignInDesk(database, centre.clock)
        faults: list[str] = []
        viewport = PHONE if size == "phone" else DESKTOP
        page = chromium.new_context(viewport=viewport, locale=locale).new_page()  # type: ignore[arg-type]
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda word: faults.append(word.text) if "Content Security" in word.text else None)

        page.goto(f"{centre.url}/welcome/{desk.first_link()}")
        looked_at(page, f"welcome-{size}")
        page.fill("[name=password]", "short-but-no")
        page.fill("[name=repeat]", "something else")
        page.click("main button")
        looked_at(page, f"welcome-fault-{size}")
        page.fill("[name=password]", PASSWORD)
        page.fill("[name=repeat]", PASSWORD)
        page.click("main button")
        page.wait_for_selector("#who")
        looked_at(page, f"account-{size}")

        page.click("a[href='/account/code']")
        secret = base64.b32decode(page.input_value("[name=secret]"))
        page.fill("[name=code]", "000000")
        page.fill("[name=old-password]", PASSWORD)
        page.click("main form button")
        looked_at(page, f"second-step-{size}")
        page.fill("[name=code]", code_at(secret, int(NOW.timestamp()) // 30))
        page.fill("[name=old-password]", PASSWORD)
        page.click("main form button")
        page.wait_for_selector("#codes")
        recovery = page.inner_text("#codes li")
        looked_at(page, f"recovery-{size}")
        page.click("main .button.primary")

        if size == "phone":
            page.click(".menu.phone summary")
            looked_at(page, "menu-phone")
        page.click("form[action='/sign-out'] button >> visible=true")
        page.wait_for_selector("[name=password]")
        page.fill("[name=name]", "administrator")
        page.fill("[name=password]", "wrong horse battery")
        page.click("main button")
        looked_at(page, f"sign-in-wrong-{size}")
        page.fill("[name=password]", PASSWORD)
        page.click("main button")
        page.wait_for_selector("[name=code]")
        looked_at(page, f"sign-in-code-{size}")
        centre.clock.sleep_until(NOW + timedelta(seconds=90))
        page.fill("[name=code]", recovery)
        page.click("main button")
        page.wait_for_selector("#who")
        assert page.inner_text("#second ~ .badge") == ("已启用" if locale == "zh-CN" else "on")
        looked_at(page, f"account-second-{size}")
        page.click("summary.button:has(svg)")
        page.fill("[name=old-password]", PASSWORD)
        page.fill("[name=new-password]", "another horse battery")
        page.fill("[name=repeat]", "another horse battery")
        page.click("form[action='/account/password'] button")
        page.wait_for_selector(".toast")
        looked_at(page, f"password-{size}")
        assert faults == []
