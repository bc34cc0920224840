"""The gateway's page in a real browser of a telephone's size: from order to report, in both languages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from device_profiles.catalogue import Catalogue
from edge_agent.commands.page import page_for
from edge_agent.installation.desk import Desk
from edge_agent.page.access import TRIES
from edge_agent.page.call import BODY_OCTETS_MAX
from edge_agent.page.server import PIN_FILE, PageAddress, PageUnreachable, Shown, page_shown
from metering.clock import SystemClock
from metering.identity import MeterId
from provisioning.report.files import check_report
from tests.doubles.browser import PHONE, browser, grave_faults, widest_overflow
from tests.doubles.desk import CLAIM, FINGERPRINT, WHO, Cabinet, begun, cabinet, desk_at, order_file, request
from tests.doubles.surveyed_park import picture

LOCAL = PageAddress("127.0.0.1", 0)
SHOTS = os.environ.get("METERTREE_TEST_SHOTS")
"""A folder for pictures of every page, to be looked at."""


@dataclass
class Station:
    """A gateway with its meters, its desk and its page."""

    root: Path
    meters: Cabinet
    desk: Desk
    shown: Shown


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A page on the loopback, nothing installed."""
    with (
        cabinet() as meters,
        desk_at(tmp_path, SystemClock()) as desk,
        page_shown(LOCAL, desk, Catalogue.shipped(), SystemClock()) as shown,
    ):
        yield Station(tmp_path, meters, desk, shown)


@contextmanager
def telephone(station: Station, locale: str = "en-GB") -> Iterator[Page]:
    """A browser that complains of any fault on a page."""
    faults: list[str] = []
    with browser() as chromium:
        page = chromium.new_context(viewport=PHONE, locale=locale, has_touch=True).new_page()  # type: ignore[arg-type]
        page.on("console", lambda word: faults.append(word.text) if word.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(station.shown.url)
        yield page
        assert faults == []


def looked_at(page: Page, name: str) -> None:
    """Nothing is wider than the screen, nothing is a grave fault of accessibility; keep a picture if one is wanted."""
    assert widest_overflow(page) <= 0, name
    assert grave_faults(page) == [], name
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def sign_in(page: Page, station: Station) -> None:
    """Sign in."""
    page.fill("[name=pin]", station.shown.pin)
    page.fill("[name=by]", "eng-1")
    page.click("main button")
    page.wait_for_selector(".next")


def take_order(page: Page, station: Station) -> None:
    """Take the order, its fingerprint compared."""
    file = station.root / "gw-b.metertree-order"
    file.write_bytes(order_file())
    page.click(".next a")
    page.set_input_files("[name=order]", str(file))
    page.click("main form button")
    page.wait_for_selector("[name=groups]")


def call(station: Station, **headers: str) -> httpx.Client:
    """A caller that is no browser."""
    return httpx.Client(base_url=station.shown.url, headers=headers, trust_env=False, timeout=30)


@contextmanager
def signed_in(station: Station) -> Iterator[httpx.Client]:
    """A caller that has signed in."""
    with call(station) as client:
        answer = client.post("/sign-in", data={"pin": station.shown.pin, "by": "eng-1"})
        assert answer.status_code == 303
        yield client


def form_token(client: httpx.Client) -> str:
    """The token that a form of this session carries."""
    return client.get("/").text.split('name="form" value="')[1].split('"')[0]


@pytest.mark.parametrize(("locale", "lang"), [("en-GB", "en"), ("zh-CN", "zh-CN")])
def test_an_installation_by_telephone_from_order_to_report(station: Station, locale: str, lang: str) -> None:
    url = station.shown.url
    with telephone(station, locale) as page:
        assert page.get_attribute("html", "lang") == lang
        looked_at(page, f"{lang}-01-sign-in")
        sign_in(page, station)
        looked_at(page, f"{lang}-02-empty")
        take_order(page, station)
        looked_at(page, f"{lang}-03-order")
        page.fill("[name=groups]", "0000 0000")
        page.click("main form button")
        page.wait_for_selector(".flash.bad")
        assert station.desk.state().order is None
        page.fill("[name=groups]", " ".join(FINGERPRINT.split()[-2:]))
        page.click("main form button")
        page.wait_for_selector(".tiles")
        looked_at(page, f"{lang}-04-steps")

        page.goto(url + "lines/tcp-b")
        page.click("details summary")
        page.fill("[name=place]", station.meters.place)
        page.click("details button")
        page.click("form[action$=scan] button")
        page.wait_for_selector(".list li")
        page.wait_for_selector("form[action$=scan]", timeout=120_000)
        assert len(station.desk.state().scans) == 1
        looked_at(page, f"{lang}-05-scanned")

        page.goto(url + "meters")
        looked_at(page, f"{lang}-06-nodes")
        page.click("a[href='/nodes/main/bind']")
        looked_at(page, f"{lang}-07-bind")
        page.fill("[name=lat]", "31.29895")
        page.fill("[name=lon]", "120.58530")
        page.fill("[name=seal]", "S-100")
        page.fill("[name=ct]", "two")
        page.check("input[value='tcp-b/1']")
        page.click("form[action$=bind] > button.wide")
        page.wait_for_selector(".flash.bad")
        page.wait_for_function(
            "document.querySelector('[name=seal]').value === 'S-100'"
        )  # typed text stands there again
        assert page.is_checked("input[value='tcp-b/1']")
        page.fill("[name=ct]", "1")
        page.click("form[action$=bind] > button.wide")
        page.wait_for_selector("#live td")
        assert station.meters.shows("m-main")[:-2] in page.inner_text("#live")

        page.fill("input[name='shown-1-0:1.8.0']", station.meters.shows("m-main"))
        page.click("form[action$=compare] button")
        page.wait_for_selector("table.figures td[colspan]")
        photo = station.root / "photo.jpg"
        photo.write_bytes(picture(3))
        page.set_input_files("[name=photo]", str(photo))
        page.click("form[action$=photo] button")
        page.wait_for_selector(".photos img")
        page.click("form[action$=wiring] button")
        page.wait_for_selector(".told")
        page.wait_for_selector("#live td")
        looked_at(page, f"{lang}-08-meter")
        (binding,) = station.desk.state().bindings
        assert (binding.seal, len(binding.photos), binding.comparisons[0].verdict) == ("S-100", 1, "equal")

        page.goto(url + "check")
        page.click("form[action='/check'] button")
        page.wait_for_selector(".finding", timeout=60_000)
        looked_at(page, f"{lang}-09-check")
        accept_wrong(page, url)
        page.goto(url + "seal")
        looked_at(page, f"{lang}-10-seal")
        page.fill("[name=claim]", CLAIM.lower())
        page.click("form[action='/seal'] button")
        page.wait_for_url("**/deliver")
        assert station.desk.state().sealed is not None
        page.click("form[action='/deliver'] button")
        page.wait_for_selector(".flash.bad")
        looked_at(page, f"{lang}-11-deliver")
        with page.expect_download() as package:
            page.click("a[href='/package']")
        assert package.value.suggested_filename.endswith(".metertree-package")
        page.goto(url + "meters/m-main/later")
        looked_at(page, f"{lang}-12-later")
        page.goto(url + "acts")
        looked_at(page, f"{lang}-13-acts")
        page.goto(url + "report/html")
        looked_at(page, f"{lang}-14-report")
        page.goto(url)
        page.click("header form button")
        assert page.get_attribute("html", "lang") != lang


def accept_wrong(page: Page, url: str) -> None:
    """Give a reason for everything that is wrong."""
    page.goto(url + "check")
    while page.query_selector(".finding.bad details"):
        left = len(page.query_selector_all(".finding.bad details"))
        page.click(".finding.bad details summary")
        page.fill(".finding.bad [name=reason]", "plate and register differ on this test bench")
        page.click(".finding.bad form button")
        page.wait_for_function(f"document.querySelectorAll('.finding.bad details').length < {left}")


def test_the_report_of_the_page_is_sealed_by_the_gateway(station: Station) -> None:
    begun(station.desk, station.meters)
    station.desk.bind(request("m-main"), WHO)
    station.desk.check(WHO)
    for one in station.desk.state().open_findings:
        station.desk.accept(one.code, one.subject, "bench", WHO)
    station.desk.seal(WHO)
    with signed_in(station) as client:
        report = client.get("/report/html")
        assert "script-src" not in report.headers["Content-Security-Policy"]
        assert check_report(report.content) is not None
        altered = report.content.replace(b"m-main", b"m-mail", 1)
        assert altered != report.content
        with pytest.raises(Exception, match=r".+"):
            check_report(altered)


def test_nothing_is_shown_and_nothing_done_before_the_pin(station: Station) -> None:
    begun(station.desk, station.meters)
    station.desk.bind(request("m-main"), WHO)
    paths = ("/", "/lines", "/lines/tcp-b/live", "/meters", "/meters/m-main/live", "/package", "/report/html", "/acts")
    with call(station) as client:
        for path in paths:
            assert (client.get(path).status_code, client.get(path).headers["Location"]) == (303, "/sign-in")
        for path in ("/seal", "/meters/m-main/unbind", "/lines/tcp-b/scan"):
            assert client.post(path).headers["Location"] == "/sign-in"
    assert len(station.desk.state().bindings) == 1


def test_a_form_without_the_sessions_token_does_nothing(station: Station) -> None:
    begun(station.desk, station.meters)
    station.desk.bind(request("m-main"), WHO)
    with signed_in(station) as client:
        client.post("/meters/m-main/unbind", data={"form": "guess"})
        client.post("/meters/m-main/unbind")
        assert len(station.desk.state().bindings) == 1
        client.post("/meters/m-main/unbind", data={"form": form_token(client)})
    assert station.desk.state().bindings == ()


def test_a_guesser_closes_the_door_and_the_console_tells_the_pin_to_nobody_else(station: Station) -> None:
    file = station.desk.home.state / PIN_FILE
    assert file.read_text().strip() == station.shown.pin
    assert file.stat().st_mode & 0o777 == 0o600
    with call(station, **{"Accept-Language": "en"}) as client:
        for _ in range(TRIES):
            told = client.post("/sign-in", data={"pin": "00000000", "by": "x"}).text
        assert "wait" in told
        assert client.post("/sign-in", data={"pin": station.shown.pin, "by": "eng-1"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_a_foreign_name_for_this_machine_is_refused(station: Station, host: str) -> None:
    with call(station, Host=host) as client:
        assert client.get("/sign-in").status_code == 421


def test_a_body_that_is_too_large_is_refused(station: Station) -> None:
    with signed_in(station) as client:
        answer = client.post("/order/open", content=b"x" * (BODY_OCTETS_MAX + 1))
        assert answer.status_code == 413


def test_answers_are_not_kept_and_hold_no_script_of_others(station: Station) -> None:
    with signed_in(station) as client:
        answer = client.get("/")
        assert answer.headers["Cache-Control"] == "no-store"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        cookie = client.post("/sign-in", data={"pin": station.shown.pin, "by": "eng-2"}).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()


def test_what_people_type_is_text_and_nothing_else(station: Station) -> None:
    begun(station.desk, station.meters)
    canary = "<script>alert(1)</script>"
    with call(station) as client:
        client.post("/sign-in", data={"pin": station.shown.pin, "by": canary})
        assert canary not in client.get("/").text
        token = form_token(client)
        client.post("/nodes/main/bind", data={"form": token, "found": canary})
        assert canary not in client.get("/meters").text
        assert client.get(f"/meters/{canary}").status_code in (303, 404)
        assert canary not in client.get("/").text


def test_errors_of_a_form_are_told_where_it_was_sent_from(station: Station) -> None:
    begun(station.desk, station.meters)
    with signed_in(station) as client:
        token = form_token(client)
        for form, came in (({"ct": "1.5"}, "whole"), ({"protocol": "morse"}, "morse"), ({"lat": "91", "lon": "x"}, "")):
            answer = client.post(
                "/nodes/main/bind",
                data={"form": token, **form},
                headers={"Referer": station.shown.url + "nodes/main/bind"},
            )
            assert answer.headers["Location"] == "/nodes/main/bind"
            page = client.get("/nodes/main/bind").text
            assert 'role="alert"' in page
            assert came in page or "整数" in page
        elsewhere = {"Referer": "https://evil.example//evil.example/x"}
        answer = client.post("/check", data={"form": token, "window": "7"}, headers=elsewhere)
        assert answer.headers["Location"] == "/"
        assert client.get("/nothing").status_code == 404
        assert client.get("/static/../server.py").status_code == 404


def test_a_meter_is_exchanged_and_another_removed_later(station: Station) -> None:
    begun(station.desk, station.meters)
    for name in ("m-main", "m-u-b101"):
        station.desk.bind(request(name), WHO)
    station.desk.check(WHO)
    for one in station.desk.state().open_findings:
        station.desk.accept(one.code, one.subject, "bench", WHO)
    station.desk.seal(WHO)
    new = request("m-u-b202")
    with signed_in(station) as client:
        token = form_token(client)
        client.post("/meters/m-u-b101/close", data={"form": token})
        form = {"serial": new.serial, "port": new.port, "protocol": new.protocol, "address": new.address}
        answer = client.post(
            "/meters/m-u-b101/exchange", data={"form": token, "profile": new.profile, "ct": "1", **form}
        )
        successor = answer.headers["Location"].rpartition("/")[2]
        assert successor in {one.meter.id for one in station.desk.state().bindings}, client.get("/").text
        client.post("/meters/m-main/decommission", data={"form": token})
        assert MeterId("m-main") not in {one.meter.id for one in station.desk.state().bindings}


def test_beyond_this_machine_the_page_is_encrypted(tmp_path: Path) -> None:
    address = PageAddress("127.0.0.2", 0)
    with desk_at(tmp_path, SystemClock()) as desk:
        with page_shown(address, desk, Catalogue.shipped(), SystemClock()) as shown:
            assert shown.url.startswith("https://127.0.0.2:")
            assert shown.fingerprint is not None
            with httpx.Client(verify=False, trust_env=False) as client:
                answer = client.post(shown.url + "sign-in", data={"pin": shown.pin, "by": "eng-1"})
                assert "secure" in answer.headers["Set-Cookie"].lower()
            with httpx.Client(trust_env=False) as client, pytest.raises(httpx.HTTPError):
                client.get(shown.url.replace("https", "http"))
        assert not (desk.home.state / PIN_FILE).exists()


def test_an_address_that_is_taken_is_told(station: Station, tmp_path: Path) -> None:
    taken = PageAddress("127.0.0.1", int(station.shown.url.rstrip("/").rpartition(":")[2]))
    with (
        desk_at(tmp_path / "other") as desk,
        pytest.raises(PageUnreachable, match="--page"),
        page_shown(taken, desk, Catalogue.shipped(), SystemClock()),
    ):
        pass


def test_an_installed_gateway_measures_though_its_page_has_no_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = page_for("203.0.113.7:1", [])
    with desk_at(tmp_path) as desk:
        with pytest.raises(PageUnreachable, match="--page"), page(desk):
            pass
        desk.home.config.write_text("", encoding="utf-8")
        with page(desk):
            pass
    assert [one.message for one in caplog.records] == ["page-unreachable"]
