"""Errors as they are made, planted at what keeps alerts honest and few, each with the test that turns red."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ingest import alert_rules, alerts
from ingest.alert_rules import Finding
from ingest.fleet import GatewayStanding
from ingest.store import alerts as store
from ingest.store.database import load_queries
from tests.planted.intake_errors import PlantedInIntake as Planted

Patch = pytest.MonkeyPatch
RULES = "tests/unit/ingest/test_alert_rules.py::"
STORE = "tests/integration/test_alerts_store.py::"


def an_alert_closes_at_the_first_look_without_its_cause(patch: Patch) -> None:
    patch.setattr(alert_rules, "quiet_needed", lambda *_: timedelta())


def what_flaps_is_told_each_time(patch: Patch) -> None:
    patch.setattr(alerts.store, "lately_closed", lambda *_: ())


def a_trembling_measure_opens_an_alert(patch: Patch) -> None:
    decide = alerts.decide

    def eager(found: Iterable[Finding], *given: Any) -> Any:
        return decide([replace(one, firm=True) for one in found], *given)

    patch.setattr(alerts, "decide", eager)


def many_that_share_a_fault_are_told_one_by_one(patch: Patch) -> None:
    patch.setattr(alerts, "fold", lambda found, *_: iter(found))


def a_flood_is_told_one_by_one(patch: Patch) -> None:
    patch.setattr(alert_rules, "FOLD_MANY", 10**9)


def what_was_told_lately_is_forgotten(patch: Patch) -> None:
    patch.setattr(alerts, "REOPENS_WITHIN", -timedelta(days=1))


def a_clone_closes_when_it_is_quiet(patch: Patch) -> None:
    patch.setattr(alert_rules, "HELD", frozenset())


def clones_are_told_apart_by_their_time(patch: Patch) -> None:
    """An alarm that was raised before the acknowledgement and committed after it is never seen."""
    told = (
        "SELECT gateway, count(*), 0::bigint, max(epoch), max(seq), max(raised_at) FROM alarms "
        "WHERE raised_at > coalesce("
        "(SELECT max(acknowledged_at) FROM alerts WHERE subject = alarms.gateway), '-infinity') "
        "GROUP BY gateway;"
    )
    patch.setitem(load_queries("alerts")._queries, "clones", told.encode())


def a_look_takes_no_lock(patch: Patch) -> None:
    patch.setattr(store, "lock_alerts", lambda _: None)


def a_gap_is_as_old_as_what_came_last(patch: Patch) -> None:
    query = load_queries("fleet")["gateway_chains"].replace(b"min(behind.received_at)", b"max(behind.received_at)")
    patch.setitem(load_queries("fleet")._queries, "gateway_chains", query)


def meters_that_are_gone_are_waited_for(patch: Patch) -> None:
    query = b"SELECT min(since) FROM unsettled_days WHERE since < %(before)s;"
    patch.setitem(load_queries("alerts")._queries, "waits_since", query)


def a_day_that_fills_never_grows_old(patch: Patch) -> None:
    query = load_queries("intake")["add_unsettled_days"].replace(
        b"arrivals = unsettled_days.arrivals + 1", b"arrivals = unsettled_days.arrivals + 1, since = now()"
    )
    patch.setitem(load_queries("intake")._queries, "add_unsettled_days", query)


def the_clock_is_not_read(patch: Patch) -> None:
    def without(fleet: Iterable[GatewayStanding], *_: Any) -> Iterator[Finding]:
        return iter(())

    patch.setattr(alerts.rules, "clocks_off", without)


IN_ALERTS = (
    Planted(
        "closing",
        "an alert closes at the first look without its cause",
        an_alert_closes_at_the_first_look_without_its_cause,
        f"{STORE}test_a_gateway_that_falls_silent_is_told_once_and_closes_when_it_speaks",
    ),
    Planted(
        "flapping",
        "what flaps is told each time",
        what_flaps_is_told_each_time,
        f"{STORE}test_a_gateway_that_flaps_keeps_its_alert",
    ),
    Planted(
        "hysteresis",
        "a trembling measure opens an alert",
        a_trembling_measure_opens_an_alert,
        f"{STORE}test_a_gap_is_told_when_it_stays_and_closes_when_it_is_filled",
    ),
    Planted(
        "folding",
        "many that share a fault are told one by one",
        many_that_share_a_fault_are_told_one_by_one,
        f"{STORE}test_half_a_site_that_falls_silent_together_is_one_alert",
    ),
    Planted(
        "folding",
        "a flood is told one by one",
        a_flood_is_told_one_by_one,
        f"{RULES}test_many_at_once_are_told_as_one_however_large_the_site",
    ),
    Planted(
        "folding",
        "what was told lately is forgotten",
        what_was_told_lately_is_forgotten,
        f"{STORE}test_a_site_that_falls_silent_gateway_by_gateway_is_one_alert_in_the_end",
    ),
    Planted(
        "clones",
        "a clone closes when it is quiet",
        a_clone_closes_when_it_is_quiet,
        f"{RULES}test_an_equivocation_stays_until_somebody_has_closed_it",
    ),
    Planted(
        "clones",
        "clones are told apart by their time",
        clones_are_told_apart_by_their_time,
        f"{STORE}test_a_clone_that_is_committed_after_the_acknowledgement_is_not_lost",
    ),
    Planted(
        "lock",
        "a look takes no lock",
        a_look_takes_no_lock,
        f"{STORE}test_a_change_is_not_visible_before_an_earlier_one",
    ),
    Planted(
        "age of a gap",
        "a gap is as old as what came last",
        a_gap_is_as_old_as_what_came_last,
        f"{STORE}test_a_gap_is_told_when_it_stays_and_closes_when_it_is_filled",
    ),
    Planted(
        "waiting readings",
        "meters that are gone are waited for",
        meters_that_are_gone_are_waited_for,
        f"{STORE}test_readings_that_wait_too_long_are_told_but_not_those_of_meters_that_are_gone",
    ),
    Planted(
        "waiting readings",
        "a day that fills never grows old",
        a_day_that_fills_never_grows_old,
        f"{STORE}test_a_day_that_goes_on_filling_waits_since_its_first_reading",
    ),
    Planted(
        "clock",
        "the clock is not read",
        the_clock_is_not_read,
        f"{STORE}test_a_clock_that_is_not_set_is_told_and_closes_when_it_is",
    ),
)
