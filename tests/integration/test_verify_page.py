"""verify.html, and what the page of a statement does in the browser: a tenant with a file, a key, and no network."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, expect

from allocation_engine.bundle import with_publication
from ingest.cli import main
from ingest.verify_page import verify_page
from metering.identity import PartyId
from provisioning.keys import FileSigner, fingerprint
from tests.doubles.browser import DESKTOP, PHONE, browser, grave_faults, widest_overflow
from tests.doubles.browser_verifier import SECURE, serve_static
from tests.doubles.changed_files import lied
from tests.doubles.sealed_cases import CENTRE, sealed_case

SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
CASE, PARTY = "standing-minimum-and-tax", PartyId("t-1")
STRANGER = FileSigner.from_seed(b"\x66" * 32)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def honest() -> bytes:
    """A published statement."""
    case = sealed_case(CASE)
    return with_publication(case.file_of(PARTY), case.publication())


@pytest.fixture(scope="module")
def tampered(honest: bytes) -> bytes:
    """The same with one octet of one sealed reading changed."""
    content = json.loads(honest)
    octets = bytearray(base64.b64decode(content["evidence"][1]))
    octets[-40] ^= 1
    content["evidence"][1] = base64.b64encode(octets).decode()
    return json.dumps(content).encode()


@contextmanager
def opened(
    chromium: Browser, tmp_path: Path, keys: list[bytes], language: str = "en", **context: Any
) -> Iterator[Page]:
    """Open verify.html from a folder. Whatever it asks for beyond itself, and every error, fails the test."""
    path = tmp_path / "verify.html"
    path.write_bytes(verify_page(keys))
    faults: list[str] = []
    asked: list[str] = []
    opened_in = chromium.new_context(**context)
    page = opened_in.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda word: faults.append(word.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{path.as_uri()}?lang={language}")
    yield page
    opened_in.close()
    assert faults == []
    assert [url for url in asked if not url.startswith(path.as_uri())] == []


def give(page: Page, octets: bytes) -> None:
    """Choose a file, and wait for what becomes of it."""
    page.evaluate("delete document.querySelector('main').dataset.verdict")
    page.set_input_files(
        "input[type=file]", {"name": "statement.json", "mimeType": "application/json", "buffer": octets}
    )
    page.wait_for_selector("main[data-verdict]")


def shot(page: Page, name: str) -> None:
    """Keep a picture where one is wanted."""
    if SHOTS is not None:
        page.screenshot(path=Path(SHOTS) / f"verify-{name}.png", full_page=True)


def test_an_honest_file_holds_and_a_tampered_one_says_where_it_breaks(
    chromium: Browser, tmp_path: Path, honest: bytes, tampered: bytes
) -> None:
    with opened(chromium, tmp_path, [CENTRE.public_key]) as page:
        give(page, honest)
        expect(page.locator(".verify-headline")).to_have_text("Everything holds")
        expect(page.locator(".verify-verdict")).to_contain_text("The statement is final.")
        expect(page.locator(".verify-means")).to_contain_text("with WebCrypto")
        expect(page.locator("tbody tr")).to_have_count(len(sealed_case(CASE).run.lines_of(PARTY)))
        assert page.locator("td.broken").count() == 0
        give(page, tampered)
        expect(page.locator(".verify-headline")).to_have_text("This statement does not hold")
        assert page.locator(".verify-broken li").get_attribute("data-link") == "evidence gw-golden/1/3"
        expect(page.locator(".verify-broken")).to_contain_text("it was altered")
        assert page.locator("td.broken").count() == page.locator("tbody tr").count(), "nothing was recomputed"
        give(page, b"%PDF-1.7 something else")
        expect(page.locator(".verify-broken")).to_contain_text("it is not a statement file")


@pytest.mark.parametrize(
    ("language", "size", "scheme"),
    [("en", "desktop", "light"), ("zh", "desktop", "dark"), ("zh", "phone", "light"), ("en", "phone", "dark")],
)
def test_every_state_is_accessible_and_fits_the_screen(
    chromium: Browser, tmp_path: Path, honest: bytes, tampered: bytes, language: str, size: str, scheme: str
) -> None:
    viewport = PHONE if size == "phone" else DESKTOP
    with opened(chromium, tmp_path, [CENTRE.public_key], language, viewport=viewport, color_scheme=scheme) as page:
        for state, octets in (("empty", None), ("holds", honest), ("broken", tampered)):
            if octets is not None:
                give(page, octets)
                page.locator(".verify-all").evaluate("all => { all.open = true; }")
            shot(page, f"{state}-{language}-{size}-{scheme}")
            assert grave_faults(page) == [], state
            assert widest_overflow(page) == 0, state


def test_nothing_on_the_page_is_left_in_the_other_language(chromium: Browser, tmp_path: Path, tampered: bytes) -> None:
    with opened(chromium, tmp_path, [CENTRE.public_key], "zh") as page:
        give(page, tampered)
        assert page.locator("html").get_attribute("lang") == "zh-Hans"
        for told in page.locator(
            ".verify-told, .verify-link, .verify-broken li, th, dt, h1, h2, p, summary"
        ).all_inner_texts():
            assert any("\u4e00" <= sign <= "\u9fff" for sign in told) or not any(
                sign.isalpha() for sign in told.split()[-1]
            ), told
        page.get_by_role("button", name="English").click()
        expect(page.locator("h1")).to_have_text("Check a statement")
        expect(page.locator(".verify-headline")).to_have_text("This statement does not hold")
        assert page.locator("html").get_attribute("lang") == "en"


def test_without_a_key_the_page_asks_for_one_and_takes_it_as_pem_or_digits(
    chromium: Browser, tmp_path: Path, honest: bytes
) -> None:
    with opened(chromium, tmp_path, []) as page:
        expect(page.locator("#key-note")).to_contain_text("No key is built into this page")
        give(page, honest)
        assert page.locator(".verify-broken li").get_attribute("data-link") == "statement key"
        public = Ed25519PublicKey.from_public_bytes(CENTRE.public_key)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        for text in (pem, CENTRE.public_key.hex(), f"{STRANGER.public_key.hex()}\n{CENTRE.public_key.hex()}\n"):
            page.locator("textarea").fill("00")
            expect(page.locator(".prints")).to_contain_text("That is no public key")
            page.locator("textarea").fill(text)
            expect(page.locator(".verify-headline")).to_have_text("Everything holds")
            expect(page.locator(".prints")).to_contain_text(fingerprint(CENTRE.public_key))


def test_a_file_is_taken_by_drop(chromium: Browser, tmp_path: Path, honest: bytes) -> None:
    drop = """text => {
      const carried = new DataTransfer();
      carried.items.add(new File([text], "statement.json"));
      const zone = document.querySelector(".drop");
      zone.dispatchEvent(new DragEvent("dragover", { dataTransfer: carried, cancelable: true }));
      zone.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
    }"""
    with opened(chromium, tmp_path, [CENTRE.public_key]) as page:
        page.evaluate(drop, honest.decode())
        expect(page.locator(".verify-headline")).to_have_text("Everything holds")


def test_the_file_is_reached_and_chosen_by_keyboard(chromium: Browser, tmp_path: Path) -> None:
    with opened(chromium, tmp_path, [CENTRE.public_key]) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.type") == "file"
        with page.expect_file_chooser():
            page.keyboard.press("Space")


def test_what_stands_in_a_file_never_becomes_part_of_the_page(chromium: Browser, tmp_path: Path, honest: bytes) -> None:
    """A name or a ground may hold markup; it is shown as the text that it is."""

    def change(content: Any) -> None:
        for pool in content["pools"]:
            pool["names"] = {"en": "<img src=x onerror=alert(1)>", "zh": "<script>alert(1)</script>"}

    with opened(chromium, tmp_path, [CENTRE.public_key]) as page:
        give(page, lied(honest, change))
        assert page.locator("main img, main script").count() == 0
        expect(page.locator("tbody")).to_contain_text("<img src=x")


def test_the_page_may_connect_to_nothing(chromium: Browser, tmp_path: Path) -> None:
    """Its own policy forbids it, so it holds whatever a file or an extension of the page tried."""
    path = tmp_path / "verify.html"
    path.write_bytes(verify_page([]))
    page = chromium.new_context().new_page()
    page.goto(path.as_uri())
    tried = "fetch('https://example.org/').then(() => 'went', () => 'refused')"
    assert page.evaluate(tried) == "refused"
    page.context.close()


def test_the_command_writes_the_page_with_the_keys_it_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "centre.pub"
    key.write_text(CENTRE.public_key.hex() + "\n", encoding="utf-8")
    out = tmp_path / "verify.html"
    assert main(["verify-page", "--out", str(out), "--key", str(key)]) == 0
    assert out.read_bytes() == verify_page([CENTRE.public_key])
    assert fingerprint(CENTRE.public_key) in capsys.readouterr().out
    assert main(["verify-page", "--out", str(out)]) == 0
    assert "paste" in capsys.readouterr().out
    assert main(["verify-page", "--out", str(tmp_path / "nowhere" / "verify.html")]) != 0
    assert "cannot be written" in capsys.readouterr().err


HOST = """<!doctype html><html lang="en"><head><title>Statement</title>
<link rel="stylesheet" href="/static/console.css">
<link rel="stylesheet" href="/static/verify/verify.css"></head><body><main>
<section class="verify" data-verify data-statement="/s/x/statement.json"
{number}data-keys="{keys}" data-lang="en">Check by hand</section>
<p data-recomputed="own-use/a/t-1"{amount}></p><p data-recomputed="nobody/z/t-9"></p>
<ol data-player data-lang="en" aria-label="Calculation">
<li data-depth="0">one</li><li data-depth="1">two</li><li>three</li></ol>
</main><script type="module" src="/static/verify/statement_page.js"></script></body></html>"""
LISTEN = """window.told = []; for (const name of ["metertree:verified", "metertree:step", "metertree:played"])
addEventListener(name, (event) => window.told.push([name, event.detail ?? null]))"""


@contextmanager
def hosted(
    chromium: Browser, statement: bytes | None, *, number: str = "", amount: str = "", **context: Any
) -> Iterator[Page]:
    """A page that embeds the module under the console's policy; its errors fail the test."""
    faults: list[str] = []
    opened_in = chromium.new_context(**context)
    pages = {"/s/x": HOST.format(keys=CENTRE.public_key.hex(), number=number, amount=amount).encode()}
    if statement is not None:
        pages["/s/x/statement.json"] = statement
    serve_static(opened_in, pages)
    page = opened_in.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.add_init_script(LISTEN)
    page.clock.install()
    page.goto(f"{SECURE}/s/x")
    page.wait_for_selector(".player")
    yield page
    opened_in.close()
    assert faults == []


def told(page: Page, name: str) -> list[Any]:
    """What was told by events of a name."""
    return [detail for one, detail in page.evaluate("window.told") if one == name]


def test_the_statement_page_checks_its_file_and_says_so_beside_each_line(chromium: Browser, honest: bytes) -> None:
    with hosted(chromium, honest) as page:
        expect(page.locator(".verify-headline")).to_have_text("Everything holds")
        expect(page.locator("[data-recomputed='own-use/a/t-1']")).to_have_text("✓ recomputed in this browser: 5.00 CNY")
        expect(page.locator("[data-recomputed='nobody/z/t-9']")).to_have_class("broken")
        (detail,) = told(page, "metertree:verified")
        assert (detail["holds"], detail["final"], detail["broken"]) == (True, True, [])
        assert detail["lines"]["own-use/a/t-1"] == {"amountMinor": "500", "holds": True}
        assert page.locator("[data-verify]").get_attribute("data-verdict") == "holds"
        assert page.locator(".verify-alarm").count() == 0
        assert grave_faults(page) == []


def test_the_statement_page_names_the_link_that_broke(chromium: Browser, tampered: bytes) -> None:
    with hosted(chromium, tampered) as page:
        expect(page.locator(".verify-headline")).to_have_text("This statement does not hold")
        (detail,) = told(page, "metertree:verified")
        assert detail["broken"] == ["evidence gw-golden/1/3"]
        assert page.locator("[data-verify]").get_attribute("data-verdict") == "broken"
        expect(page.locator("main > :first-child")).to_contain_text("This statement does not hold See which link broke")


@pytest.mark.parametrize(
    ("number", "amount", "broken"),
    [
        ("golden-case-t-1-v1", "500", []),
        ("golden-case-t-2-v1", "500", ["page"]),
        ("golden-case-t-1-v1", "400", ["page"]),
    ],
)
def test_a_page_that_shows_other_figures_than_were_signed_is_told_from_one_that_does_not(
    chromium: Browser, honest: bytes, number: str, amount: str, broken: list[str]
) -> None:
    shown = {"number": f'data-number="{number}" ', "amount": f' data-amount="{amount}"'}
    with hosted(chromium, honest, **shown) as page:
        expect(page.locator(".verify-headline")).to_be_visible()
        (detail,) = told(page, "metertree:verified")
        assert detail["broken"] == broken
        assert detail["holds"] == (broken == [])
        assert (page.locator("[data-recomputed].broken").count() == 2) == (amount != "500")


def test_a_file_that_cannot_be_fetched_is_not_a_file_that_holds(chromium: Browser) -> None:
    with hosted(chromium, None) as page:
        expect(page.locator(".verify-unfetched")).to_contain_text("was not checked")
        assert page.locator("[data-verify]").get_attribute("data-verdict") is None
        expect(page.locator("[data-verify]")).to_contain_text("Check by hand")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".verify-unfetched")).to_have_count(1)


def now(page: Page) -> list[str]:
    """The steps that are marked as the one being told."""
    return page.locator("[aria-current=step]").all_inner_texts()


def test_steps_are_played_paused_and_stepped(chromium: Browser, honest: bytes) -> None:
    with hosted(chromium, honest) as page:
        player = page.locator(".player")
        assert now(page) == []
        player.get_by_role("button", name="Play the calculation").click()
        assert now(page) == ["one"]
        page.clock.run_for(1700)
        assert now(page) == ["two"]
        player.get_by_role("button", name="Pause").click()
        page.clock.run_for(9000)
        assert now(page) == ["two"]
        expect(player.get_by_role("status")).to_have_text("Step 2 of 3")
        player.get_by_role("button", name="Next step").click()
        assert now(page) == ["three"]
        assert player.get_by_role("button", name="Next step").is_disabled()
        assert told(page, "metertree:step")[-1] == {"index": 2, "count": 3}
        assert len(told(page, "metertree:played")) == 1
        player.get_by_role("button", name="Start again").click()
        assert now(page) == []
        player.get_by_role("button", name="Play the calculation").click()
        page.clock.run_for(20_000)
        assert now(page) == ["three"], "it ends where the calculation ends"


def test_steps_are_stepped_by_arrow_keys(chromium: Browser, honest: bytes) -> None:
    with hosted(chromium, honest) as page:
        page.locator(".player button").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert now(page) == ["two"]
        page.keyboard.press("ArrowLeft")
        assert now(page) == ["one"]


def test_who_wants_nothing_to_move_gets_all_steps_at_once_or_one_by_one(chromium: Browser, honest: bytes) -> None:
    with hosted(chromium, honest, reduced_motion="reduce") as page:
        page.get_by_role("button", name="Show all steps").click()
        assert now(page) == ["three"]
        assert page.locator(".later").count() == 0
        page.get_by_role("button", name="Start again").click()
        page.get_by_role("button", name="Next step").click()
        page.clock.run_for(20_000)
        assert now(page) == ["one"], "nothing goes on by itself"


def test_all_steps_are_there_before_any_is_played(chromium: Browser, honest: bytes) -> None:
    with hosted(chromium, honest) as page:
        assert page.locator("[data-player] li").all_inner_texts() == ["one", "two", "three"]
        assert page.locator("[data-player] .later").count() == 0
