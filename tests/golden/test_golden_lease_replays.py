"""Two things that went wrong with leases once: one performed beyond its text, one changed after three bills."""

from __future__ import annotations

from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.correction import correction_of, party_deltas
from allocation_engine.money import show_minor
from allocation_engine.run import Run
from allocation_engine.run_diff import diff_facts
from allocation_engine.what_if import what_if
from metering.interval import SLOT
from tests.golden.test_golden_periods import Case, local
from tests.golden.test_golden_replays import facts_of, read_replay

MONTHS = read_replay("lease-changed-after-three-bills")["months"]


def money(amount_minor: int) -> str:
    """An amount as the replays write it."""
    return show_minor(amount_minor, "CNY")


def totals(run: Run) -> dict[str, str]:
    """What each party is charged."""
    return {party: money(run.total_minor(party)) for party in run.parties}


def test_a_lease_that_is_performed_beyond_its_text_is_charged_to_who_performs_it() -> None:
    replay = read_replay("hangzhou-quarterly-payers")
    by_text, performed = facts_of(Case(replay)), facts_of(Case({**replay, "leases": replay["performed"]}))
    diff = what_if(by_text, performed)
    shown = [[one.party, *map(money, (one.before_minor, one.after_minor, one.delta_minor))] for one in diff.parties]
    assert shown == replay["expected"]["parties"]
    assert {cause: money(part) for cause, part in diff.by_cause.items()} == replay["expected"]["by_cause"]
    assert [[str(one.cause), one.subject] for one in diff.changes] == replay["expected"]["changes"]
    assert sorted(line.id for line in diff.lines) == replay["expected"]["lines"]


def test_whichever_date_counts_every_slot_is_charged_once() -> None:
    replay = read_replay("hangzhou-quarterly-payers")
    for leases in (replay["leases"], replay["performed"]):
        case = Case({**replay, "leases": leases})
        run = close_period(case.inputs, case.rules)
        assert {pool.id: money(pool.cost_minor) for pool in run.pools} == {"own-use": "744.00", "corridor": "744.00"}


@pytest.mark.parametrize("month", MONTHS, ids=lambda month: month["start"][:7])
def test_a_lease_changed_after_three_bills_books_deltas_on_the_month_they_belong_to(month: dict[str, Any]) -> None:
    replay = {**read_replay("lease-changed-after-three-bills"), **month}
    told, agreed = (facts_of(Case({**replay, "leases": begun(replay, key)})) for key in ("leases", "agreed"))
    published, after = (close_period(facts.inputs, facts.rules) for facts in (told, agreed))
    booked = published.to_document()
    lines = correction_of(booked, after.to_document(), diff_facts(told, agreed))
    deltas = party_deltas(lines)
    assert totals(published) == replay["booked"]
    assert {party: money(delta) for party, delta in deltas.items()} == replay["deltas"]
    assert sum(deltas.values()) == 0
    assert {cause for line in lines for cause, _ in line.causes} <= {"lease"}
    assert close_period(told.inputs, told.rules).to_document() == booked
    for party in {*published.parties, *after.parties}:
        assert published.total_minor(party) + deltas.get(party, 0) == after.total_minor(party)


def begun(replay: dict[str, Any], key: str) -> list[list[str]]:
    """The leases that hold in some slot of the month."""
    ends = local(replay["start"]) + replay["slots"] * SLOT
    return [one for one in replay[key] if local(one[2]) < ends]
