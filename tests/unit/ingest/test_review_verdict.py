"""Whether a run adds up and what it needs, from a document and its lines; and how its stages are told."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from allocation_engine.run_state import RunState
from ingest.console.review_view import stage_steps, state_tone
from ingest.console.words import Language
from ingest.review.sheet import GONE, LineChange
from ingest.review.stages import stages_of
from ingest.review.verdict import InvoiceSum, Need, Needed, Sums, estimated_nodes, needs_of, sums_of
from metering.interval import SiteCalendar

DOCUMENT: dict[str, Any] = {
    "reconciliation": {"supply_minor": 1000, "charges_minor": 50, "pooled_minor": 900, "unshared_minor": 150},
    "pools": [{"id": "own", "cost_minor": 700}, {"id": "lift", "cost_minor": 200}],
    "balance": [
        {"node": "main", "slots_by_quality": [["MEASURED", 96]]},
        {"node": "u-1", "slots_by_quality": [["MEASURED", 90], ["ESTIMATED", 6]]},
        {"node": "u-2", "slots_by_quality": [["ESTIMATED", 0]]},
    ],
    "warnings": ["a rule is past its review date"],
}
LINES = [
    LineChange(0, 0, "own", "t-1", "a1", "metered", 500, 400),
    LineChange(1, 1, "own", "t-2", "a2", "metered", 200, 100),
    LineChange(2, 2, "lift", "t-1", "a1", "share", 150, 150),
    LineChange(3, 3, "lift", "owner", None, "residual", 50, 60),
    LineChange(None, 4, "own", "t-9", "a9", GONE, 0, 30),
]
NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
PLENTY = {"unexplained": 2, "provisional": 1, "changed_days": 3, "outliers": 4}


def summed(document: dict[str, Any] = DOCUMENT, lines: list[LineChange] = LINES) -> Sums:
    """The sums of the run."""
    return sums_of(document, lines, "owner", None)


def needed(sums: Sums, state: RunState = RunState.COMPUTED, **counts: int) -> tuple[Need, ...]:
    """What the run needs."""
    return needs_of(DOCUMENT, sums, state, **{**dict.fromkeys(PLENTY, 0), **counts})


def test_a_run_adds_up_from_what_was_bought_to_who_pays() -> None:
    sums = summed()
    assert sums.adds_up
    assert (sums.tenants_minor, sums.owner_minor, sums.unshared_minor) == (850, 50, 150)
    assert [(one.pool, one.lines_minor, one.lines, one.before_minor) for one in sums.pools] == [
        ("own", 700, 2, 530),
        ("lift", 200, 2, 210),
    ]


@pytest.mark.parametrize(
    ("place", "by"),
    [
        (("pools", 0, "cost_minor"), 1),
        (("reconciliation", "pooled_minor"), -1),
        (("reconciliation", "supply_minor"), 1),
    ],
)
def test_a_single_minor_unit_too_many_anywhere_does_not_add_up(place: tuple[Any, ...], by: int) -> None:
    document = deepcopy(DOCUMENT)
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] += by
    sums = summed(document)
    assert not sums.adds_up
    assert needed(sums)[0] == Need(Needed.BROKEN, 1)
    assert needed(sums)[0].blocks


def test_two_pools_that_are_wrong_by_the_same_do_not_hide_each_other() -> None:
    document = deepcopy(DOCUMENT)
    document["pools"][0]["cost_minor"] += 7
    document["pools"][1]["cost_minor"] -= 7
    assert not summed(document).adds_up


def test_a_line_that_is_gone_is_counted_before_and_not_now() -> None:
    without = [line for line in LINES if line.number is not None]
    assert summed(lines=without).pools[0].before_minor == 500
    assert summed().pools[0].lines == 2


def test_a_first_period_has_nothing_before() -> None:
    fresh = [line._replace(before=None, before_minor=0) for line in LINES if line.number is not None]
    assert {one.before_minor for one in summed(lines=fresh).pools} == {None}


def test_what_blocks_comes_first_and_what_is_only_to_be_known_last() -> None:
    found = needed(summed(), **PLENTY)
    assert [one.what for one in found] == [
        Needed.REASONS,
        Needed.BINDINGS,
        Needed.CHANGED,
        Needed.OUTLIERS,
        Needed.ESTIMATED,
        Needed.WARNINGS,
    ]
    assert [one.count for one in found] == [2, 1, 3, 4, 1, 1]
    assert [one.blocks for one in found] == [True, True, False, False, False, False]


@pytest.mark.parametrize("state", [RunState.PUBLISHED, RunState.SUPERSEDED])
def test_a_run_that_is_final_or_over_needs_nothing(state: RunState) -> None:
    assert needed(summed(), state, **PLENTY) == ()


def test_nodes_with_any_estimated_slot_are_counted_once() -> None:
    assert estimated_nodes(DOCUMENT) == 1


@pytest.mark.parametrize(
    ("invoiced", "difference", "is_far"), [(None, None, False), (1050, 0, False), (1071, 21, False), (1072, 22, True)]
)
def test_an_invoice_is_far_off_from_more_than_two_percent_on(
    invoiced: int | None, difference: int | None, is_far: bool
) -> None:
    one = InvoiceSum("main", "kWh", ("n-1",), None, invoiced, 5000, 1050, is_expected=True)
    assert (one.difference_minor, one.is_far) == (difference, is_far)


@pytest.mark.parametrize(("is_expected", "count"), [(True, 1), (False, 0)])
def test_an_invoice_is_missed_only_where_the_site_keeps_invoices(is_expected: bool, count: int) -> None:
    one = InvoiceSum("main", "kWh", (), None, None, 5000, 1050, is_expected=is_expected)
    sums = Sums(1000, 50, 900, 850, 50, 150, (), (one,))
    assert sum(need.what is Needed.INVOICE for need in needed(sums)) == count


def test_stages_are_told_with_their_times_and_the_next_with_how_long_it_waits() -> None:
    found = stages_of(NOON, NOON + timedelta(hours=2), [(RunState.COMPUTED, NOON + timedelta(hours=2, seconds=40))])
    shown = stage_steps(found, NOON + timedelta(hours=5), SiteCalendar("UTC"), Language.EN)
    assert shown == [
        ("Period ended", "2026-08-01 12:00", "done"),
        ("Readings complete", "2 h", "done"),
        ("Computed", "40 s", "done"),
        ("Approved", "waiting 2 h 59 min", "now"),
        ("Issued", "", ""),
    ]


def test_what_nobody_noted_is_said_not_to_be_recorded() -> None:
    found = stages_of(NOON, None, [(RunState.COMPUTED, NOON + timedelta(hours=1))])
    shown = stage_steps(found, NOON + timedelta(hours=1), SiteCalendar("UTC"), Language.ZH)
    assert shown[1] == ("读数齐全", "未记录", "done")
    assert shown[2] == ("已核算", "1 小时", "done")


def test_states_have_their_colours() -> None:
    assert (state_tone(RunState.PUBLISHED), state_tone(RunState.CHECKED)) == ("good", "info")
