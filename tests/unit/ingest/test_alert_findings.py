"""Each rule at its threshold, above it, and where it is well again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from ingest import alert_findings as rules
from ingest.alert_findings import Clones, FailingEndpoint, Losses, Refusals, Watched
from ingest.alert_rules import AlertKind, Finding, Scope, Severity, Thresholds
from metering.clock import ClockQuality, ClockState
from tests.doubles.fleet import MINUTE, NOW, THRESHOLDS, chain, gapped, silent, standing

Told = list[tuple[str, str, bool]]


def told(found: Iterable[Finding]) -> Told:
    """Kind, subject and firmness of each finding."""
    return [(str(one.cause.kind), one.cause.subject, one.firm) for one in found]


@pytest.mark.parametrize(("minutes", "firm"), [(30, None), (31, False), (45, False), (46, True), (5000, True)])
def test_silence_is_firm_after_its_time_and_lingers_before(minutes: int, firm: bool | None) -> None:
    found = list(rules.silent_gateways([standing(silent(minutes=minutes))], THRESHOLDS, NOW))
    assert told(found) == ([] if firm is None else [("gateway-silent", "gw-a", firm)])
    if found:
        assert found[0].detail == {"site": "park", "since": (NOW - minutes * MINUTE).isoformat(), "never": False}


def test_what_never_sent_is_silent_since_it_was_enrolled() -> None:
    never = chain(received_at=None, enrolled_at=NOW - 60 * MINUTE)
    (found,) = rules.silent_gateways([standing(never)], THRESHOLDS, NOW)
    assert (found.firm, found.detail["never"]) == (True, True)


@pytest.mark.parametrize(("minutes", "firm"), [(0, False), (60, False), (61, True)])
def test_a_gap_is_firm_when_it_stays(minutes: int, firm: bool) -> None:
    (found,) = rules.open_gaps([standing(gapped(minutes)), standing(chain("gw-b"))], THRESHOLDS, NOW)
    assert told([found]) == [("chain-gap", "gw-a", firm)]
    assert found.detail["epochs"] == [1]


def test_a_gap_of_an_earlier_epoch_counts() -> None:
    old = gapped(99, epoch=1, is_newest=False)
    (found,) = rules.open_gaps([standing(chain(epoch=2), old)], THRESHOLDS, NOW)
    assert (found.firm, found.detail["epochs"]) == (True, [1])


@pytest.mark.parametrize(
    ("quality", "error_ms", "firm"),
    [
        (ClockQuality.UNKNOWN, None, True),
        (ClockQuality.ESTIMATED, 9001, True),
        (ClockQuality.ESTIMATED, 9000, False),
        (ClockQuality.SYNCHRONISED, 4501, False),
        (ClockQuality.SYNCHRONISED, 4500, None),
        (ClockQuality.ESTIMATED, None, None),
    ],
)
def test_a_clock_is_off_beyond_its_limit(quality: ClockQuality, error_ms: int | None, firm: bool | None) -> None:
    found = rules.clocks_off([standing(chain(clock=ClockState(quality, error_ms)))], THRESHOLDS)
    assert told(found) == ([] if firm is None else [("clock-off", "gw-a", firm)])


def test_a_clock_that_is_ahead_is_told_as_such() -> None:
    ahead = standing(chain(sealed_at=NOW + 5 * MINUTE))
    (found,) = rules.clocks_off([ahead], THRESHOLDS)
    assert found.detail["fault"] == "ahead"


@pytest.mark.parametrize(("count", "covered", "is_told"), [(1, 0, True), (3, 3, False), (4, 3, True)])
def test_a_clone_is_told_until_somebody_has_seen_all_of_it(count: int, covered: int, is_told: bool) -> None:
    found = list(rules.equivocations([Clones("gw-a", count, covered, 1, 9, NOW)], {"gw-a": "park"}))
    assert told(found) == ([("equivocation", "gw-a", True)] if is_told else [])
    assert all(one.severity is Severity.CRITICAL and one.detail["count"] == count for one in found)
    assert all(one.detail["site"] == "park" for one in found)


@pytest.mark.parametrize(("count", "covered", "is_told"), [(1, 0, True), (2, 2, False), (3, 2, True)])
def test_a_loss_is_told_until_somebody_has_seen_all_of_it(count: int, covered: int, is_told: bool) -> None:
    found = list(rules.batches_lost([Losses("gw-a", count, covered, 40, NOW, None, NOW)], {"gw-a": "park"}))
    assert told(found) == ([("batches-lost", "gw-a", True)] if is_told else [])
    assert all(one.severity is Severity.CRITICAL and one.detail["batches"] == 40 for one in found)
    assert all((one.detail["first_mark"], one.detail["last_mark"]) == (NOW.isoformat(), None) for one in found)


@pytest.mark.parametrize(("count", "firm"), [(5, None), (6, False), (19, False), (20, True)])
def test_quarantine_is_told_by_reason(count: int, firm: bool | None) -> None:
    found = list(rules.quarantine_growing([Refusals("meter-unbound", count, ("gw-a", "gw-b"))], THRESHOLDS))
    assert told(found) == ([] if firm is None else [("quarantine-growing", "meter-unbound", firm)])
    assert all(one.detail["gateways"] == ["gw-a", "gw-b"] for one in found)


@pytest.mark.parametrize(("minutes", "firm"), [(None, None), (15, None), (16, False), (31, True)])
def test_settlement_is_stuck_after_its_time(minutes: int | None, firm: bool | None) -> None:
    since = None if minutes is None else NOW - minutes * MINUTE
    assert told(rules.settlement_stuck(since, THRESHOLDS, NOW)) == (
        [] if firm is None else [("settlement-stuck", "", firm)]
    )


def test_missing_partitions_are_named_by_their_first_step() -> None:
    assert told(rules.partitions_missing([])) == []
    (found,) = rules.partitions_missing(["month 2026-09 of readings", "month 2026-09 of envelopes"])
    assert found.detail == {"steps": 2, "first": "month 2026-09 of readings"}
    (found,) = rules.partitions_missing((), "TimescaleDB is too old")
    assert found.detail["first"] == "TimescaleDB is too old"


@pytest.mark.parametrize(("percent", "firm"), [(50, None), (87, None), (88, False), (90, True), (100, True)])
def test_a_disk_is_full_at_its_threshold(percent: int, firm: bool | None) -> None:
    found = rules.disks_full([Watched("/data", full_percent=percent)], THRESHOLDS)
    assert told(found) == ([] if firm is None else [("disk-full", "/data", firm)])


def test_a_disk_that_cannot_be_looked_at_is_told_with_its_fault() -> None:
    (found,) = rules.disks_full([Watched("/gone", fault="no such folder")], THRESHOLDS)
    assert (found.firm, found.detail) == (True, {"fault": "no such folder"})


@pytest.mark.parametrize(
    ("left", "severity"),
    [
        (timedelta(days=15), None),
        (timedelta(days=14), Severity.WARNING),
        (timedelta(days=2), Severity.CRITICAL),
        (-timedelta(days=1), Severity.CRITICAL),
    ],
)
def test_a_certificate_is_told_before_it_ends(left: timedelta, severity: Severity | None) -> None:
    found = list(rules.certificates_ending([Watched("ca.crt", ends_at=NOW + left)], THRESHOLDS, NOW))
    assert [one.severity for one in found] == ([] if severity is None else [severity])


def test_a_certificate_that_cannot_be_read_is_told() -> None:
    (found,) = rules.certificates_ending([Watched("ca.crt", fault="no PEM")], THRESHOLDS, NOW)
    assert (found.severity, found.detail) == (Severity.WARNING, {"fault": "no PEM"})


@pytest.mark.parametrize(
    ("newest", "begun", "is_told"),
    [
        (None, None, False),
        (None, NOW - timedelta(hours=27), True),
        (None, NOW - timedelta(hours=1), False),
        (NOW - timedelta(hours=27), NOW - timedelta(days=99), True),
        (NOW - timedelta(hours=26), NOW - timedelta(days=99), False),
        (NOW, NOW - timedelta(days=99), False),
    ],
)
def test_a_backup_is_old_after_its_time(newest: datetime | None, begun: datetime | None, is_told: bool) -> None:
    assert told(rules.backups_old(newest, begun, THRESHOLDS, NOW)) == ([("backup-old", "", True)] if is_told else [])


def test_what_gateways_share_is_about_gateways_and_the_rest_about_the_service() -> None:
    found = [
        *rules.silent_gateways([standing(silent())], THRESHOLDS, NOW),
        *rules.settlement_stuck(NOW - timedelta(days=1), Thresholds(), NOW),
    ]
    assert [one.cause.scope for one in found] == [Scope.GATEWAY, Scope.SERVICE]
    assert {one.cause.kind for one in found} == {AlertKind.GATEWAY_SILENT, AlertKind.SETTLEMENT_STUCK}


@pytest.mark.parametrize(
    ("state", "failing", "dead", "shown", "severity"),
    [
        ("on", True, 0, "on", Severity.WARNING),
        ("on", True, 3, "on", Severity.CRITICAL),
        ("on", False, 3, "dead", Severity.CRITICAL),
        ("gone", True, 0, "gone", Severity.CRITICAL),
        ("failing", True, 0, "failing", Severity.CRITICAL),
    ],
)
def test_an_endpoint_that_is_off_or_has_dead_letters_is_critical_and_its_path_is_not_told(
    state: str, failing: bool, dead: int, shown: str, severity: Severity
) -> None:
    one = FailingEndpoint("whe_1", "client/b", "https://a.example/t0ken?key=1", state, NOW, failing, dead)
    (found,) = rules.endpoints_dead([one])
    assert told([found]) == [("endpoint-dead", "whe_1", True)]
    assert found.severity is severity
    assert found.detail == {
        "host": "a.example",
        "owner": "client/b",
        "state": shown,
        "since": NOW.isoformat(),
        "dead": dead,
    }
