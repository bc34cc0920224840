"""The settings over HTTP and in a browser: people, programs, and the log of what all of them did."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from ingest.access.policy_file import shipped_policy
from ingest.audit_log import Verb, chain_faults
from ingest.console.visit import SESSION
from ingest.store.audit import entries
from ingest.store.clients import client_of_key
from ingest.store.database import Database
from ingest.store.operators import operators
from ingest.store.sign_ins import sign_in_of
from tests.doubles.browser import PHONE, browser, grave_faults, widest_overflow
from tests.doubles.console_centre import NOW, PASSWORD, ConsoleCentre, console_centre, words_of
from tests.doubles.page_parts import foreign_parts

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
DESKTOP = {"width": 1280, "height": 800}
OPERATORS, CLIENTS, AUDIT = "/settings/operators", "/settings/clients", "/settings/audit"


RECORDED: dict[str, Verb | str] = {
    "POST /sign-in": Verb.SIGNED_IN,
    "POST /sign-in/code": Verb.SIGNED_IN,
    "POST /sign-out": "ends the session of its own cookie",
    "POST /welcome/{token}": Verb.PASSWORD_CHOSEN,
    "POST /account/password": Verb.PASSWORD_CHOSEN,
    "POST /account/code": Verb.SECOND_FACTOR_SET,
    "POST /account/code/drop": Verb.SECOND_FACTOR_DROPPED,
    "POST /account/sessions/end-others": Verb.SESSIONS_ENDED,
    "POST /account/sessions/{session}/end": Verb.SESSIONS_ENDED,
    "POST /settings/operators": Verb.OPERATOR_ADDED,
    "POST /settings/operators/{name}/roles": Verb.OPERATOR_CHANGED,
    "POST /settings/operators/{name}/link": Verb.SIGN_IN_LINK_MADE,
    "POST /settings/operators/{name}/token": Verb.OPERATOR_RENEWED,
    "POST /settings/operators/{name}/code": Verb.SECOND_FACTOR_DROPPED,
    "POST /settings/operators/{name}/sessions": Verb.SESSIONS_ENDED,
    "POST /settings/operators/{name}/remove": Verb.OPERATOR_REMOVED,
    "POST /settings/view-as": Verb.VIEWED_AS,
    "POST /view-as/end": "changes how he sees, nothing else",
    "POST /settings/clients": Verb.CLIENT_ADDED,
    "POST /settings/clients/{name}/keys": Verb.KEY_MADE,
    "POST /settings/clients/{name}/rotate": Verb.KEY_MADE,
    "POST /settings/clients/{name}/keys/{key}/end": Verb.KEY_ENDED,
    "POST /settings/clients/{name}/remove": Verb.CLIENT_REMOVED,
    "POST /settings/webhooks": Verb.ENDPOINT_ADDED,
    "POST /settings/webhooks/{endpoint}/turn": Verb.ENDPOINT_CHANGED,
    "POST /settings/webhooks/{endpoint}/test": "sends a test; what was sent stands in the deliveries",
    "POST /settings/webhooks/{endpoint}/rotate": Verb.SECRET_ROTATED,
    "POST /settings/webhooks/{endpoint}/again": Verb.DELIVERIES_REPLAYED,
}
"""Every form of these pages, with what it leaves in the log, or why nothing."""


def test_no_form_changes_anything_that_nobody_thought_about() -> None:
    ours = ("/sign-", "/welcome/", "/account", "/settings", "/view-as")
    forms = {
        key for key, rule in shipped_policy().routes.items() if key.startswith("POST ") and rule.path.startswith(ours)
    }
    assert forms == set(RECORDED)


@pytest.fixture
def centre(database: Database, cheap_passwords: None) -> Iterator[ConsoleCentre]:
    with console_centre(database) as running:
        running.add("boss", "administrator")
        running.add("checker", "auditor")
        running.add("manager", "energy-manager", sites=("park",))
        running.client.headers["Accept-Language"] = "en"
        running.sign_in("boss")
        yield running


def rows_of(content: bytes) -> list[dict[str, str]]:
    """A CSV as a spreadsheet reads it."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def verbs(centre: ConsoleCentre, who: str = "boss") -> list[str]:
    """What somebody did; the chain holds."""
    with centre.database.transaction() as connection:
        found = list(entries(connection))
    assert list(chain_faults(found)) == []
    return [one.verb for one in found if one.who == who]


def test_every_page_of_the_settings_shows_itself_in_both_languages(centre: ConsoleCentre) -> None:
    paths = ("/settings", OPERATORS, OPERATORS + "/new", OPERATORS + "/manager", CLIENTS, CLIENTS + "/new", AUDIT)
    for path in paths:
        for lang, tag in (("zh", "zh-CN"), ("en", "en")):
            answer = centre.client.get(path, params={"lang": lang})
            assert (answer.status_code, answer.headers["Content-Language"]) == (200, tag), path
            assert foreign_parts(answer.text) == []
            assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "opens"),
    [("checker", {"/settings", AUDIT, "/account"}), ("manager", {"/settings", "/account"})],
)
def test_settings_are_for_those_whose_they_are(centre: ConsoleCentre, name: str, opens: set[str]) -> None:
    centre.sign_in(name)
    for path in ("/settings", OPERATORS, OPERATORS + "/new", CLIENTS, AUDIT, AUDIT + ".csv", "/account"):
        expected = path.removesuffix(".csv") in opens
        assert (centre.client.get(path).status_code == 200) is expected, path
    shown = centre.client.get("/settings").text.split("<main")[1]
    assert {path for path in (OPERATORS, CLIENTS, AUDIT, "/account") if f'href="{path}"' in shown} == opens - {
        "/settings"
    }
    for path in (OPERATORS, f"{OPERATORS}/boss/remove", f"{OPERATORS}/{name}/roles", CLIENTS, "/settings/view-as"):
        assert centre.send(path, role="administrator", name="new", reason="x").status_code == 403
    with centre.database.transaction() as connection:
        assert len(operators(connection)) == 3


# People


def test_a_person_is_added_with_a_link_and_comes_in_by_it(centre: ConsoleCentre) -> None:
    answer = centre.send(OPERATORS, name="li-wei", role=["approver", "finance"], site="park")
    assert answer.status_code == 200
    path = re.search(r"(/welcome/[a-z2-7]+)", answer.text)
    assert path is not None
    centre.client.cookies.clear()
    assert "li-wei" in centre.client.get(path[1]).text
    assert centre.send(path[1], password=PASSWORD, repeat=PASSWORD).headers["Location"] == "/account"
    assert "Approver、Finance" in centre.client.get("/account").text
    with centre.database.transaction() as connection:
        (found,) = [one for one in operators(connection) if one.name == "li-wei"]
    assert (found.roles, found.sites) == (("approver", "finance"), ("park",))
    assert verbs(centre)[-2:] == ["operator-added", "sign-in-link-made"]


def test_a_person_who_cannot_be_added_is_not_and_what_was_typed_stays(centre: ConsoleCentre) -> None:
    for fields, told in (
        ({"name": "Li Wei", "role": "finance"}, "Li Wei"),
        ({"name": "boss", "role": "finance"}, "there is an operator boss"),
        ({"name": "li-wei"}, "at least one role"),
        ({"name": "li-wei", "role": "tenant"}, "no role of a person"),
    ):
        answer = centre.send(OPERATORS, **fields)
        assert answer.status_code == 422
        assert told in words_of(answer.text).replace("&#39;", "'")
        assert f'value="{fields["name"]}"' in answer.text


def test_roles_that_are_changed_count_at_the_next_call(centre: ConsoleCentre) -> None:
    boss = centre.session
    centre.sign_in("manager")
    manager = centre.session
    centre.become(boss)
    assert centre.send(f"{OPERATORS}/manager/roles", role="auditor", reason="moved").status_code == 303
    centre.become(manager)
    assert centre.client.get(AUDIT).status_code == 200


def test_nobody_removes_himself_or_his_own_administrators_role(centre: ConsoleCentre) -> None:
    assert centre.send(f"{OPERATORS}/boss/remove", reason="x").status_code == 422
    assert centre.send(f"{OPERATORS}/boss/roles", role="finance").status_code == 422
    assert centre.client.get(OPERATORS).status_code == 200


def test_a_removed_person_is_out_at_once_and_stays_in_the_list(centre: ConsoleCentre) -> None:
    boss = centre.session
    centre.sign_in("manager")
    manager = centre.session
    centre.become(boss)
    assert centre.send(f"{OPERATORS}/manager/remove", reason="left the house").status_code == 303
    assert "removed 2026-08-01" in centre.client.get(OPERATORS).text
    assert centre.send(f"{OPERATORS}/manager/link").status_code == 422
    assert centre.send(f"{OPERATORS}/manager/token").status_code == 422
    centre.become(manager)
    assert centre.client.get("/account", headers={"Accept": "text/html"}).status_code == 303
    assert centre.sign_in("manager").status_code == 401


def test_a_link_and_a_token_are_shown_once_and_the_list_never_shows_them(centre: ConsoleCentre) -> None:
    token = re.search(r"mtop-[a-z2-7]+", centre.send(f"{OPERATORS}/manager/token").text)
    link = re.search(r"/welcome/([a-z2-7]+)", centre.send(f"{OPERATORS}/manager/link").text)
    assert token is not None
    assert link is not None
    for path in (OPERATORS, f"{OPERATORS}/manager", OPERATORS + ".csv", AUDIT, AUDIT + ".csv"):
        shown = centre.client.get(path).text
        assert token[0] not in shown
        assert link[1] not in shown
    assert "link open until" in centre.client.get(OPERATORS).text
    bearer = {"Authorization": f"Bearer {token[0]}"}
    assert centre.client.get("/v1/sites/park/none", headers=bearer).status_code == 404


def test_looking_as_a_role_shows_what_it_sees_changes_nothing_and_ends(centre: ConsoleCentre) -> None:
    assert centre.send("/settings/view-as", role="auditor").status_code == 303
    page = centre.client.get("/settings")
    assert "auditor" in page.text
    assert 'action="/view-as/end"' in page.text
    assert centre.client.get(OPERATORS).status_code == 403
    assert centre.send("/account/sessions/end-others").status_code == 403
    assert centre.send("/view-as/end").status_code == 303
    assert centre.client.get(OPERATORS).status_code == 200
    assert "viewed-as" in verbs(centre)
    assert centre.send("/settings/view-as", role="administrator").status_code == 303
    assert centre.client.get(OPERATORS).status_code == 200


def test_sessions_and_a_lost_second_step_are_ended_by_an_administrator(centre: ConsoleCentre) -> None:
    boss = centre.session
    centre.sign_in("manager")
    centre.become(boss)
    assert "Sessions now: 1" in words_of(centre.client.get(f"{OPERATORS}/manager").text)
    assert centre.send(f"{OPERATORS}/manager/sessions").status_code == 303
    assert "Sessions now: 0" in words_of(centre.client.get(f"{OPERATORS}/manager").text)
    assert centre.send(f"{OPERATORS}/manager/code", reason="lost").status_code == 303
    with centre.database.transaction() as connection:
        assert sign_in_of(connection, "manager") is not None
    assert centre.client.get(f"{OPERATORS}/nobody").status_code == 404


# Programs


def key_in(page: str) -> str:
    """The key that a page shows once."""
    found = re.search(r"mtk_[a-z2-7]+_[a-z2-7]+", page)
    assert found is not None
    return found[0]


def counts(centre: ConsoleCentre, key: str) -> bool:
    """Whether a key lets somebody in now."""
    with centre.database.transaction() as connection:
        return client_of_key(connection, key, centre.clock.now()) is not None


def test_a_program_is_added_with_a_key_that_ends_and_is_rotated(centre: ConsoleCentre) -> None:
    assert "No clients yet" in centre.client.get(CLIENTS).text
    first = key_in(centre.send(CLIENTS, name="billing-1", role="billing", expires="2026-08-31").text)
    assert counts(centre, first)
    page = centre.client.get(f"{CLIENTS}/billing-1").text
    assert first not in page
    assert first[:12] in page
    second = key_in(centre.send(f"{CLIENTS}/billing-1/rotate", overlap="24", expires="").text)
    assert (counts(centre, first), counts(centre, second)) == (True, True)
    centre.clock.sleep_until(NOW + timedelta(hours=25))
    centre.sign_in("boss")
    assert (counts(centre, first), counts(centre, second)) == (False, True)
    third = key_in(centre.send(f"{CLIENTS}/billing-1/keys").text)
    shown = "_".join(third.split("_")[:2])
    assert centre.send(f"{CLIENTS}/billing-1/keys/{shown}/end").status_code == 303
    assert (counts(centre, second), counts(centre, third)) == (True, False)
    assert centre.send(f"{CLIENTS}/billing-1/remove", reason="replaced").status_code == 303
    assert not counts(centre, second)
    assert centre.send(f"{CLIENTS}/billing-1/keys").status_code == 422
    (row,) = rows_of(centre.client.get(CLIENTS + ".csv").content)
    assert next(iter(row.values())) == "billing-1"


def test_a_program_that_cannot_be_added_is_not(centre: ConsoleCentre) -> None:
    for fields in (
        {"name": "billing-1", "role": "administrator"},
        {"name": "billing-1"},
        {"name": "Bad name", "role": "billing"},
        {"name": "billing-1", "role": "billing", "expires": "soon"},
        {"name": "billing-1", "role": "billing", "expires": "2020-01-01"},
    ):
        answer = centre.send(CLIENTS, **fields)
        assert answer.status_code == 422
        assert f'value="{fields["name"]}"' in answer.text
    assert "No clients yet" in centre.client.get(CLIENTS).text
    assert centre.client.get(CLIENTS + "/billing-1").status_code == 404


# The log


def test_the_log_is_found_by_who_what_and_when(centre: ConsoleCentre) -> None:
    centre.send(f"{OPERATORS}/manager/roles", role="auditor", reason="=moved()")
    page = words_of(centre.client.get(AUDIT, params={"subject": "operator/manager"}).text)
    assert "boss changed the roles of the operator operator/manager Reason: =moved()" in page
    assert "energy-manager" in page
    assert (
        "signed in"
        not in words_of(centre.client.get(AUDIT, params={"verb": "operator-changed"}).text).split("Clear")[1]
    )
    for params in ({"who": "nobody"}, {"until": "2026-07-30"}, {"from": "2026-08-03"}, {"subject": "<script>"}):
        empty = centre.client.get(AUDIT, params=params).text
        assert "No entry is like that" in empty
        assert "<script>" not in empty
    for params in ({"before": "x"}, {"from": "never"}, {"before": "9" * 30}):
        assert centre.client.get(AUDIT, params=params).status_code == 200
    rows = rows_of(centre.client.get(AUDIT + ".csv", params={"verb": "operator-changed"}).content)
    assert [row["Reason"] for row in rows] == ["'=moved()"]


def test_a_long_log_is_shown_page_by_page(centre: ConsoleCentre) -> None:
    for _ in range(60):
        centre.send(f"{OPERATORS}/manager/link")
    page = centre.client.get(AUDIT).text
    assert page.count('class="when') == 50
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None
    rest = centre.client.get(older[1].replace("&amp;", "&")).text
    assert 10 < rest.count('class="when') <= 50
    assert "Newest" in rest


# In a browser


def looked_at(page: Page, name: str) -> None:
    """Nothing is wider than the screen, nothing is a grave fault of accessibility; keep pictures if some are wanted."""
    assert widest_overflow(page) <= 0, name
    assert grave_faults(page) == [], name
    if SHOTS:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{scheme}.png"))


@pytest.mark.parametrize(("size", "locale"), [("desktop", "en-GB"), ("phone", "zh-CN")])
def test_the_settings_are_worked_through_in_a_browser(centre: ConsoleCentre, size: str, locale: str) -> None:
    with browser() as chromium:
        viewport = PHONE if size == "phone" else DESKTOP
        context = chromium.new_context(viewport=viewport, locale=locale)  # type: ignore[arg-type]
        context.add_cookies([{"name": SESSION, "value": centre.session, "url": centre.url}])
        page = context.new_page()
        page.goto(f"{centre.url}/settings")
        looked_at(page, f"settings-{size}")
        page.click(f"main a[href='{OPERATORS}']")
        looked_at(page, f"operators-{size}")
        page.click("main .button.primary")
        page.fill("[name=name]", "li-wei")
        page.check("[value=approver]")
        looked_at(page, f"operator-new-{size}")
        page.click("main form .button.primary")
        page.wait_for_selector("#secret")
        looked_at(page, f"operator-link-{size}")
        page.click("main a.primary")
        looked_at(page, f"operator-{size}")
        page.goto(f"{centre.url}{CLIENTS}")
        looked_at(page, f"clients-none-{size}")
        page.click("main .button.primary")
        page.fill("[name=name]", "billing-1")
        looked_at(page, f"client-new-{size}")
        page.click("main form .button.primary")
        page.wait_for_selector("#secret")
        page.click("main a.primary")
        page.click("summary:has-text('轮换'), summary:has-text('Rotate')")
        looked_at(page, f"client-{size}")
        page.goto(f"{centre.url}{CLIENTS}")
        looked_at(page, f"clients-{size}")
        page.goto(f"{centre.url}{AUDIT}")
        page.click("main summary")
        looked_at(page, f"audit-{size}")
