"""Whatever gateways do, each cause is told once at a time, and a flapping one a handful of times a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.alert_rules import (
    FOLD_MANY,
    Alert,
    AlertKind,
    Cause,
    Changes,
    Finding,
    Scope,
    Severity,
    decide,
    fold,
    quiet_needed,
)
from tests.doubles.fleet import MINUTE, NOW, cause, finding

SITES = {f"gw-{number}": ("park", "yard")[number % 2] for number in range(8)}
CLEAR_MIN = 10
STATE = st.sampled_from([None, False, True])
"""A gateway at one look: well, lingering, firmly silent."""
LOOKS = st.lists(st.tuples(st.integers(1, 40), st.tuples(*[STATE] * len(SITES))), min_size=1, max_size=30)


class Board:
    """The alerts as a store would keep them."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.openings = 0

    @property
    def is_open(self) -> tuple[Alert, ...]:
        """Those that are open."""
        return tuple(one for one in self.alerts if one.is_open)

    def look(self, found: list[Finding], now: datetime) -> Changes:
        """Decide, and keep what was decided."""
        since = now - timedelta(hours=1)
        lately: dict[Cause, Alert] = {}
        for one in sorted(
            (one for one in self.alerts if one.closed_at is not None), key=lambda one: str(one.closed_at)
        ):
            if one.closed_at is not None and one.closed_at > since:
                lately[one.cause] = one
        changes = decide(found, self.is_open, tuple(lately.values()), now, CLEAR_MIN)
        self._keep(changes, now)
        return changes

    def _keep(self, changes: Changes, now: datetime) -> None:
        known = {one.alert: one for one in self.alerts}
        for one in changes.closed:
            known[one.alert] = replace(one, closed_at=now)
        for one, _ in changes.seen:
            known[one.alert] = replace(one, seen_at=now)
        for one, _ in changes.reopened:
            known[one.alert] = replace(one, seen_at=now, closed_at=None, times=one.times + 1)
        for told in changes.opened:
            number = len(known) + 1
            known[number] = Alert(
                number, told.cause, told.severity, now, now, None, 1, told.detail, None, None, "", number
            )
        self.openings += len(changes.opened) + len(changes.reopened)
        self.alerts = list(known.values())


@settings(max_examples=150)
@given(LOOKS)
def test_no_cause_has_two_open_alerts_and_what_is_firm_is_told(
    looks: list[tuple[int, tuple[bool | None, ...]]],
) -> None:
    board, now = Board(), NOW
    for minutes, states in looks:
        now += minutes * MINUTE
        found = [
            finding(gateway, firm=state) for gateway, state in zip(SITES, states, strict=True) if state is not None
        ]
        told = list(fold(found, SITES, {one.cause for one in board.is_open}))
        assert len({one.cause for one in told}) == len(told)
        board.look(told, now)
        open_causes = [one.cause for one in board.is_open]
        assert len(set(open_causes)) == len(open_causes)
        covered = {one.subject for one in open_causes}
        for one in found:
            if one.firm:
                assert {one.cause.subject, SITES[one.cause.subject], ""} & covered, "told itself, by its site or fleet"


@settings(max_examples=60)
@given(st.lists(st.booleans(), min_size=24 * 60 // 5, max_size=24 * 60 // 5))
def test_a_gateway_that_flaps_all_day_is_told_a_handful_of_times(there: list[bool]) -> None:
    board, now = Board(), NOW
    for is_there in there:
        now += 5 * MINUTE
        board.look([] if is_there else [finding()], now)
    # Each opening needs twice the quiet of the one before: 10 + 20 + ... minutes fill a day after seven.
    assert board.openings <= 8


@given(st.integers(1, 40))
def test_quiet_never_shrinks_and_ends_at_a_day(times: int) -> None:
    assert quiet_needed(times, CLEAR_MIN) <= quiet_needed(times + 1, CLEAR_MIN) <= timedelta(days=1)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 59), min_size=120, max_size=120), st.integers(1, 60))
def test_a_fleet_that_falls_silent_bit_by_bit_is_no_flood(minutes: list[int], count: int) -> None:
    """Each gateway at another minute of an hour, in few sites or in many; none comes back."""
    sites = {f"g-{number}": f"s-{number % count}" for number in range(len(minutes))}
    board = Board()
    for minute in range(75):
        now = NOW + minute * MINUTE
        found = [finding(gateway) for gateway, begins in zip(sites, minutes, strict=True) if begins <= minute]
        fresh = {one.cause for one in board.is_open if now - one.opened_at <= timedelta(hours=1)}
        board.look(list(fold(found, sites, {one.cause for one in board.is_open}, fresh)), now)
    assert board.openings <= 2 * FOLD_MANY
    covered = {one.cause.subject for one in board.is_open}
    assert all({gateway, site, ""} & covered for gateway, site in sites.items())


@given(st.dictionaries(st.integers(0, 300), st.booleans(), max_size=300), st.integers(1, 60))
def test_one_look_never_opens_a_flood(hit: dict[int, bool], count: int) -> None:
    sites = {f"g-{number}": f"s-{number % count}" for number in range(301)}
    told = list(fold((finding(f"g-{number}", firm=firm) for number, firm in hit.items()), sites, ()))
    assert sum(one.firm for one in told) < FOLD_MANY


@given(st.integers(0, 40), st.integers(1, 40))
def test_a_fold_tells_everybody_who_is_hit(hit: int, count: int) -> None:
    sites = {f"g-{number}": "park" for number in range(count)}
    found = [finding(gateway) for gateway in list(sites)[:hit]]
    told = list(fold(found, sites, ()))
    if any(one.cause.scope is Scope.SITE for one in told):
        assert [one.detail["count"] for one in told] == [len(found)]
        assert told[0].cause == cause("park", AlertKind.GATEWAY_SILENT, Scope.SITE)
        assert told[0].severity is Severity.CRITICAL
    else:
        assert told == found
