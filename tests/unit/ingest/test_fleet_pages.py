"""The pages about gateways and alerts, and their JSON, over a service in memory: both languages, filters, exports."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from ingest.alert_rules import AlertKind, Cause, Changes, Finding, Scope, Severity
from ingest.store.alerts import lock_alerts, open_alerts, store_changes
from tests.doubles.memory_centre import ADMIN, NOW, MemoryCentre
from tests.doubles.page_parts import foreign_parts

LANGUAGES = ("zh", "en")


def open_some(centre: MemoryCentre) -> None:
    """A silent gateway, a silent site, a full disk."""
    silent = {"site": "park", "since": "2026-08-01T00:00:00+00:00", "never": False}
    found = (
        Finding(Cause(AlertKind.GATEWAY_SILENT, Scope.GATEWAY, "gw-a"), Severity.WARNING, True, silent),
        Finding(
            Cause(AlertKind.GATEWAY_SILENT, Scope.SITE, "park"),
            Severity.CRITICAL,
            True,
            {"count": 2, "of": 2, "gateways": ["gw-a", "gw-b"]},
        ),
        Finding(Cause(AlertKind.DISK_FULL, Scope.SERVICE, "/<data>"), Severity.CRITICAL, True, {"percent": 90}),
    )
    with centre.database.transaction() as connection:
        lock_alerts(connection)
        store_changes(connection, Changes(found, (), (), ()), NOW)


def close_one(centre: MemoryCentre) -> None:
    """The first alert is over."""
    with centre.database.transaction() as connection:
        first = open_alerts(connection)[0]
        store_changes(connection, Changes((), (), (), (first,)), NOW + timedelta(minutes=20))


def tear(centre: MemoryCentre) -> None:
    """The chain of gw-a lacks its last two but one."""
    for seq in (95, 96):
        del centre.database.tables.ledger["gw-a", 1, seq]
    head = centre.database.tables.heads["gw-a", 1]
    centre.database.tables.heads["gw-a", 1] = head | {"contiguous_seq": 94}


def rows_of(content: bytes) -> list[dict[str, str]]:
    """A CSV as a spreadsheet reads it."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


# The fleet


@pytest.mark.parametrize(
    ("language", "told"), [("zh", ("网关", "无报文", "最近报文")), ("en", ("Gateways", "silent", "Last seen"))]
)
def test_the_fleet_is_shown_in_both_languages(closed: MemoryCentre, language: str, told: tuple[str, ...]) -> None:
    answer = closed.get("/fleet", params={"lang": language})
    assert answer.status_code == 200
    assert answer.headers["Content-Language"] in ("zh-CN", "en")
    for text in (*told, "gw-a", "gw-b", f"/fleet/gw-a?lang={language}"):
        assert text in answer.text


def test_a_page_lets_nothing_in_from_elsewhere(closed: MemoryCentre) -> None:
    for path in ("/fleet", "/fleet/gw-a", "/alerts"):
        answer = closed.get(path)
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in answer.headers["Content-Security-Policy"]
        assert foreign_parts(answer.text) == []


@pytest.mark.parametrize("state", ["silent", "not-well", "late", ""])
def test_a_filter_keeps_its_place_in_every_link(closed: MemoryCentre, state: str) -> None:
    answer = closed.get("/fleet", params={"lang": "en", "state": state, "text": "gw"})
    assert "gw-a" in answer.text
    assert 'value="gw"' in answer.text
    wanted = "/fleet.csv?lang=en" + (f"&amp;state={state}" if state else "") + "&amp;text=gw"
    assert wanted in answer.text


def test_a_filter_that_fits_nobody_says_so(closed: MemoryCentre) -> None:
    answer = closed.get("/fleet", params={"lang": "en", "text": "<nobody>"})
    assert "No gateway is like that." in answer.text
    assert "<nobody>" not in answer.text
    assert closed.get("/fleet", params={"state": "sleepy"}).status_code == 200


def test_a_fleet_of_nobody_says_so(centre: MemoryCentre) -> None:
    assert "No gateway is enrolled yet." in centre.get("/fleet", params={"lang": "en"}).text
    assert centre.get("/fleet/gw-a").status_code == 404
    assert centre.get("/fleet/gw-a/gaps.csv").status_code == 404


def test_a_large_fleet_is_shown_page_by_page(closed: MemoryCentre) -> None:
    tables = closed.database.tables
    key, gateway = tables.gateway_keys["gw-a", 1], tables.gateways["gw-a"]
    for number in range(250):
        tables.gateways[f"gx-{number:03}"] = gateway
        tables.gateway_keys[f"gx-{number:03}", 1] = (f"gx-{number:03}", *key[1:])
    first = closed.get("/fleet", params={"lang": "en"}).text
    last = closed.get("/fleet", params={"lang": "en", "page": 999}).text
    assert "Page 1 of 3" in first
    assert "Page 3 of 3" in last
    assert first.count('href="/fleet/g') == 100
    assert last.count('href="/fleet/g') == 52
    assert closed.get("/fleet", params={"page": 0}).status_code == 422


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_fleet_is_given_as_csv_with_ids_and_plain_numbers(closed: MemoryCentre, language: str) -> None:
    rows = rows_of(closed.get("/fleet.csv", params={"lang": language}).content)
    columns = list(rows[0])
    assert sorted(row[columns[0]] for row in rows) == ["gw-a", "gw-b"]
    assert all(row[columns[1]] == "park" and row[columns[4]].isdigit() for row in rows)
    assert {state for row in rows for state in row[columns[2]].split()} == {"silent", "clock", "late"}


# One gateway


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_gateway_shows_gaps_events_and_alerts(closed: MemoryCentre, language: str) -> None:
    open_some(closed)
    tear(closed)
    text = closed.get("/fleet/gw-a", params={"lang": language}).text
    key = closed.get("/v1/gateways/gw-a").json()["key_id"]
    assert key in text
    assert "Asia/Shanghai" in text
    gaps = rows_of(closed.get("/fleet/gw-a/gaps.csv", params={"lang": language}).content)
    assert [list(row.values())[:4] for row in gaps] == [["1", "95", "96", "2"]]
    events = rows_of(closed.get("/fleet/gw-a/events.csv", params={"lang": language}).content)
    assert sorted(list(row.values())[1] for row in events) == ["enrolled", "opened"]
    assert closed.get("/fleet/gw-a/nothing.csv").status_code == 404


def test_a_gateway_tells_programs_all_that_is_known(closed: MemoryCentre) -> None:
    open_some(closed)
    tear(closed)
    found = closed.get("/v1/gateways/gw-a").json()
    assert (found["missing"], found["waiting"], found["gap_open"], found["clock"]) == (2, 1, True, "synchronised")
    assert (found["clock_error_ms"], found["conditions"], found["state"]) == (
        0,
        ["silent", "gap", "clock", "late"],
        "silent",
    )
    assert found["gaps"] == [{"epoch": 1, "first_seq": 95, "last_seq": 96, "since": "2026-06-01T00:00:00+00:00"}]
    assert [one["kind"] for one in found["alerts"]] == ["gateway-silent"]
    assert [one["what"] for one in found["events"]] == ["opened", "enrolled"]
    assert found["open_alerts"] == ["gateway-silent"]
    assert found["quarantine"] == []


def test_gateways_are_listed_by_filter_and_page(closed: MemoryCentre) -> None:
    def ids(**asked: Any) -> tuple[list[str], str | None]:
        answer = closed.get("/v1/gateways", params=asked).json()
        return [one["gateway"] for one in answer["gateways"]], answer["next"]

    assert ids() == (["gw-a", "gw-b"], None)
    assert ids(limit=1) == (["gw-a"], "gw-a")
    assert ids(limit=1, after="gw-a") == (["gw-b"], None)
    assert ids(site="yard") == ([], None)
    assert ids(state="silent", text="b") == (["gw-b"], None)
    refused = closed.get("/v1/gateways", params={"state": "sleepy"})
    assert refused.status_code == 422
    assert "not-well" in refused.json()["mend"]


# Alerts


@pytest.mark.parametrize(
    ("language", "told"),
    [("zh", ("告警", "紧急", "处理", "已用 90 %")), ("en", ("Alerts", "critical", "To do", "90 % full"))],
)
def test_alerts_are_shown_with_what_to_do(closed: MemoryCentre, language: str, told: tuple[str, ...]) -> None:
    open_some(closed)
    text = closed.get("/alerts", params={"lang": language}).text
    for one in told:
        assert one in text
    assert "/fleet/gw-b" in text
    assert "/<data>" not in text, "what a machine is called is no markup"
    close_one(closed)
    assert len(rows_of(closed.get("/alerts.csv", params={"lang": language}).content)) == 3


def test_no_alert_is_said_to_be_none(closed: MemoryCentre) -> None:
    assert "No alert is open." in closed.get("/alerts", params={"lang": "en"}).text
    assert closed.get("/v1/alerts").json() == {"alerts": [], "cursor": 0}


def test_alerts_are_pulled_by_cursor(closed: MemoryCentre) -> None:
    open_some(closed)

    def pull(after: int, **asked: Any) -> tuple[list[int], int, bool]:
        answer = closed.get("/v1/alerts", params={"after": after, **asked}).json()
        return [one["alert"] for one in answer["alerts"]], answer["cursor"], answer["more"]

    assert pull(0, limit=2) == ([1, 2], 2, True)
    assert pull(2, limit=2) == ([3], 3, False)
    assert pull(3) == ([], 3, False)
    close_one(closed)
    assert pull(3) == ([1], 4, False)
    assert pull(0, open=True) == ([2, 3], 4, False)
    assert pull(0, kind="disk-full") == ([3], 4, False)
    assert pull(99) == ([], 99, False)
    assert pull(0, scope="gateway", subject="gw-a") == ([1], 4, False)


def test_alerts_are_listed_open_ones_first(closed: MemoryCentre) -> None:
    open_some(closed)
    close_one(closed)
    answer = closed.get("/v1/alerts").json()
    assert [(one["alert"], one["open"]) for one in answer["alerts"]] == [(3, True), (2, True), (1, False)]
    first = answer["alerts"][0]
    assert set(first["text"]) == set(first["mend"]) == {"zh", "en"}
    assert closed.get("/v1/alerts/3").json() == first


@pytest.mark.parametrize("number", ["0", "4", "-1", "9" * 40])
def test_an_alert_that_is_not_there_is_not_found(closed: MemoryCentre, number: str) -> None:
    open_some(closed)
    assert closed.get(f"/v1/alerts/{number}").status_code == 404
    assert closed.post(f"/v1/alerts/{number}/acknowledge", json={"by": "crew"}).status_code == 404


def test_an_alert_is_acknowledged_by_one_person_with_the_token(closed: MemoryCentre) -> None:
    open_some(closed)
    path = "/v1/alerts/1/acknowledge"
    assert closed.call("POST", path, json={"by": "crew 3"}).status_code == 401
    done = closed.post(path, json={"by": "crew 3", "note": "<on our way>"})
    assert (done.status_code, done.json()["acknowledged_by"], done.json()["open"]) == (200, "crew 3", True)
    assert closed.post(path, json={"by": "crew 3"}).json()["note"] == "<on our way>"
    other = closed.call("POST", path, json={"by": "crew 4"}, headers=ADMIN)
    assert other.status_code == 409
    assert "crew 3" in other.json()["detail"]
    page = closed.get("/alerts", params={"lang": "en"}).text
    assert "crew 3" in page
    assert "<on our way>" not in page


@pytest.mark.parametrize("body", [{}, {"by": ""}, {"by": "x" * 201}, {"by": "x", "why": "y"}, {"by": "\0"}])
def test_an_acknowledgement_that_says_nothing_is_refused(closed: MemoryCentre, body: dict[str, str]) -> None:
    open_some(closed)
    assert closed.post("/v1/alerts/1/acknowledge", json=body).status_code == 422
    assert closed.get("/v1/alerts/1").json()["acknowledged_by"] is None


@pytest.mark.parametrize(
    "asked", [{"after": "-1"}, {"after": "9" * 40}, {"limit": "0"}, {"kind": "weather"}, {"scope": "moon"}]
)
def test_a_question_that_makes_no_sense_is_refused(closed: MemoryCentre, asked: dict[str, str]) -> None:
    assert closed.get("/v1/alerts", params=asked).status_code == 422
