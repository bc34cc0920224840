"""Every alert can be said in both languages, and every kind has something to do about it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from ingest.alert_rules import AlertKind, Scope, Severity
from ingest.alert_words import (
    KINDS,
    alert_document,
    alert_mend,
    alert_text,
    condition_word,
    instant_words,
    kind_word,
    severity_word,
    span_words,
)
from ingest.console.fleet_tables import (
    alert_tone,
    alerts_table,
    calendar_for,
    clock_words,
    condition_tone,
    lines_of,
)
from ingest.console.tables import number_cell, table, words_cell
from ingest.console.words import Language
from ingest.fleet import NOT_WELL, STATES
from ingest.fleet_words import fleet_words
from metering.clock import ClockQuality, ClockState
from metering.interval import SiteCalendar
from tests.doubles.fleet import NOW, alert, cause, chain, standing

SHANGHAI = SiteCalendar("Asia/Shanghai")
CHINESE = re.compile("[\u4e00-\u9fff]")
SINCE = NOW.isoformat()
DETAILS: dict[AlertKind, dict[str, Any]] = {
    AlertKind.GATEWAY_SILENT: {"site": "park", "since": SINCE, "never": False},
    AlertKind.CHAIN_GAP: {"site": "park", "since": SINCE, "epochs": [1, 2]},
    AlertKind.EQUIVOCATION: {"count": 2, "epoch": 1, "seq": 7, "raised_at": SINCE},
    AlertKind.BATCHES_LOST: {"count": 1, "batches": 40, "first_mark": SINCE, "last_mark": None, "raised_at": SINCE},
    AlertKind.CLAIM_MISUSED: {"count": 1, "order": "o-1", "address": "::1", "named": "gw-b", "key": "0", "winner": "1"},
    AlertKind.CLOCK_OFF: {"site": "park", "fault": "error", "error_ms": 12000},
    AlertKind.QUARANTINE_GROWING: {"gateways": ["gw-a"], "within_min": 60},
    AlertKind.SETTLEMENT_STUCK: {"since": SINCE},
    AlertKind.PARTITIONS_MISSING: {"steps": 1, "first": "month 2026-09"},
    AlertKind.DISK_FULL: {"percent": 90},
    AlertKind.BACKUP_OLD: {"since": SINCE},
    AlertKind.CERTIFICATE_ENDING: {"ends_at": SINCE},
    AlertKind.ENDPOINT_DEAD: {"host": "a.example", "owner": "client/b", "state": "gone", "since": SINCE, "dead": 2},
    AlertKind.METER_SWAPPED: {
        "meter": "m-1",
        "gateway": "gw-a",
        "written": "1",
        "read": "2",
        "before": "1",
        "since": SINCE,
    },
    AlertKind.COUNTER_BROKEN: {"reasons": ["register-fell", "implausible"], "since": SINCE},
    AlertKind.READINGS_WAIT: {"since": SINCE},
}
FOLDED = {"count": 3, "of": 4, "gateways": ["gw-a", "gw-b", "gw-c"]}


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", list(AlertKind))
def test_every_kind_is_said_in_every_language(kind: AlertKind, language: Language) -> None:
    one = alert(cause=cause("gw-a", kind), detail=DETAILS[kind])
    for text in (alert_text(one, language, SHANGHAI), alert_mend(one, language), kind_word(kind, language)):
        assert "{" not in text
        assert bool(CHINESE.search(text)) is (language is Language.ZH)
    if "since" in DETAILS[kind]:
        assert "2026-08-01 09:00" in alert_text(one, language, SHANGHAI)
        assert "2026-08-01 01:00 UTC" in alert_text(one, language)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", [AlertKind.GATEWAY_SILENT, AlertKind.CHAIN_GAP, AlertKind.CLOCK_OFF])
@pytest.mark.parametrize(("scope", "subject"), [(Scope.SITE, "park"), (Scope.FLEET, "")])
def test_what_many_share_is_said_with_their_number(
    kind: AlertKind, language: Language, scope: Scope, subject: str
) -> None:
    text = alert_text(alert(cause=cause(subject, kind, scope), detail=FOLDED), language)
    assert "3" in text
    assert "4" in text
    assert subject in text
    assert "  " not in text


def test_every_kind_has_a_name() -> None:
    assert set(KINDS) == set(AlertKind)


def test_a_fault_of_looking_is_said_as_it_is() -> None:
    one = alert(cause=cause("/gone", AlertKind.DISK_FULL, Scope.SERVICE), detail={"fault": "no such folder"})
    assert alert_text(one, Language.EN) == "/gone: no such folder"


def test_a_backup_that_was_never_made_is_told_as_such() -> None:
    one = alert(cause=cause("", AlertKind.BACKUP_OLD, Scope.SERVICE), detail={"since": None})
    assert alert_text(one, Language.EN) == "There is no good backup yet"
    assert alert_text(one, Language.ZH) == "还没有完好的备份"


@pytest.mark.parametrize("language", list(Language))
def test_every_state_and_severity_has_a_word(language: Language) -> None:
    words = [condition_word(state, language) for state in (*STATES, NOT_WELL)]
    assert len(set(words)) == len(words)
    assert len({severity_word(one, language) for one in Severity}) == 2
    assert fleet_words(language)["fleet"]


@pytest.mark.parametrize(
    ("span", "zh", "en"),
    [
        (None, "–", "–"),
        (timedelta(seconds=59), "0 分", "0 min"),
        (-timedelta(minutes=5), "0 分", "0 min"),
        (timedelta(minutes=61), "1 小时 1 分", "1 h 1 min"),
        (timedelta(hours=2), "2 小时", "2 h"),
        (timedelta(days=1, minutes=5), "1 天", "1 d"),
        (timedelta(days=3, hours=4, minutes=5), "3 天 4 小时", "3 d 4 h"),
    ],
)
def test_a_span_is_written_in_its_two_largest_units(span: timedelta | None, zh: str, en: str) -> None:
    assert (span_words(span, Language.ZH), span_words(span, Language.EN)) == (zh, en)


def test_an_instant_is_written_in_the_sites_zone() -> None:
    assert instant_words(NOW, SHANGHAI) == "2026-08-01 09:00"
    assert instant_words(None, SHANGHAI) == "–"


def test_an_alert_for_programs_has_everything() -> None:
    document = alert_document(alert(closed_at=NOW, acknowledged_at=NOW, acknowledged_by="crew", note="done"))
    assert document["open"] is False
    assert document["closed_at"] == document["acknowledged_at"] == SINCE
    assert (document["acknowledged_by"], document["note"]) == ("crew", "done")


def test_tones_follow_severity() -> None:
    assert alert_tone(alert()) == "warn"
    assert alert_tone(alert(severity=Severity.CRITICAL)) == "bad"
    assert alert_tone(alert(closed_at=NOW)) == "plain"
    assert [condition_tone(one) for one in ("silent", "gap", "well")] == ["bad", "warn", "good"]


def test_a_clock_is_described_with_its_bound_and_how_far_it_is_ahead() -> None:
    ahead = chain(clock=ClockState(ClockQuality.ESTIMATED, None), sealed_at=NOW)
    assert clock_words(standing(ahead), Language.EN) == "estimated, 1 min ahead"
    nearly = chain(sealed_at=NOW - timedelta(seconds=59))
    assert clock_words(standing(nearly), Language.ZH) == "已同步 ±5 ms, 快 1000 ms"
    assert clock_words(standing(chain()), Language.ZH) == "已同步 ±5 ms"
    assert clock_words(standing(chain(clock=None)), Language.EN) == "–"


def test_a_table_is_written_for_a_terminal_with_wide_signs() -> None:
    found = table(
        "t", "T", ("网关", "n"), [[words_cell("gw-a"), number_cell(7, 0)], [words_cell("园区一"), number_cell(8, 0)]]
    )
    assert list(lines_of(found)) == ["网关    n", "gw-a    7", "园区一  8"]


def test_alerts_of_a_site_are_told_in_its_zone() -> None:
    found = alerts_table([alert()], {"park": SHANGHAI}, Language.EN)
    assert "08:30" in found.rows[0][5].text
    assert found.rows[0][5].plain.endswith("+00:00")


def test_what_belongs_to_no_site_is_told_in_the_zone_that_all_share_or_in_utc() -> None:
    disk = alert(cause=cause("/d", AlertKind.DISK_FULL, Scope.SERVICE), detail={"percent": 90})
    assert calendar_for(disk, {"park": SHANGHAI, "yard": SHANGHAI}) == SHANGHAI
    assert calendar_for(disk, {"park": SHANGHAI, "yard": SiteCalendar("Europe/Berlin")}).zone == "UTC"
    assert calendar_for(disk, {}).zone == "UTC"


@pytest.mark.parametrize("state", ["gone", "failing", "on", "dead"])
def test_what_is_the_matter_with_an_endpoint_is_said_in_both_languages(state: str) -> None:
    detail = {**DETAILS[AlertKind.ENDPOINT_DEAD], "state": state}
    one = alert(cause=cause("whe_1", AlertKind.ENDPOINT_DEAD, Scope.SERVICE), detail=detail)
    assert CHINESE.search(alert_text(one, Language.ZH))
    told = alert_text(one, Language.EN)
    assert told.startswith("Webhook endpoint a.example of client/b ")
    assert told.endswith("dead letters: 2")
