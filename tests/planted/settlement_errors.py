"""Errors as they are made, planted into settlement, each with the test that turns red."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from ingest import bulk_settlement, node_settlement, settlement
from ingest.store import run_changes, settled, sites
from ingest.store.settled import UnsettledDay
from tests.planted.intake_errors import PlantedInIntake as Planted

Patch = pytest.MonkeyPatch
RUNS = "tests/integration/test_run_changes.py::"
BULK = "tests/property/test_bulk_settlement.py::"


def what_a_run_was_computed_from_is_kept_when_it_is_gone(patch: Patch) -> None:
    @contextmanager
    def late(*given: Any) -> Iterator[None]:
        yield
        with run_changes.noted(*given):
            pass

    patch.setattr(settlement, "noted", late)
    patch.setattr(node_settlement, "noted", late)


def rewired_days_are_forgotten_without_a_word(patch: Patch) -> None:
    patch.setattr(sites, "note_forgotten", lambda *_: None)


def whatever_is_listed_is_struck_off(patch: Patch) -> None:
    forget = settled.forget_unsettled_days

    def all_of_them(connection: Any, days: Sequence[UnsettledDay]) -> None:
        newest = settled.unsettled_days(connection, sorted({day.meter for day in days}))
        forget(connection, newest)

    patch.setattr(settlement, "forget_unsettled_days", all_of_them)


def the_hash_of_a_day_forgets_its_registers(patch: Patch) -> None:
    plain = bulk_settlement._meter_octets
    patch.setattr(bulk_settlement, "_meter_octets", lambda meter, count: plain(meter, count + 1))


def a_day_that_lacks_its_end_is_not_told(patch: Patch) -> None:
    patch.setattr(bulk_settlement, "_lacking", lambda *_: b"[]")


def replaced_days_stay_beside_the_new_ones(patch: Patch) -> None:
    put = settlement.put_settled_days
    patch.setattr(settlement, "put_settled_days", lambda connection, rows, _: put(connection, rows, ()))


IN_SETTLEMENT = (
    Planted(
        "noting",
        "what a run was computed from is kept when it is gone",
        what_a_run_was_computed_from_is_kept_when_it_is_gone,
        RUNS + "test_a_late_reading_is_told_with_what_the_run_was_computed_from",
    ),
    Planted(
        "rewiring",
        "rewired days are forgotten without a word",
        rewired_days_are_forgotten_without_a_word,
        RUNS + "test_a_rewired_meter_is_told_before_anything_is_settled_anew",
    ),
    Planted(
        "list of days",
        "whatever is listed is struck off, also what came meanwhile",
        whatever_is_listed_is_struck_off,
        BULK + "test_a_reading_that_arrives_while_its_day_is_settled_is_settled_in_the_next_pass",
    ),
    Planted(
        "hash of a day",
        "the two ways of settling hash differently",
        the_hash_of_a_day_forgets_its_registers,
        BULK + "test_a_day_is_the_same_either_way",
    ),
    Planted(
        "exceptions",
        "a day that lacks its end is not told",
        a_day_that_lacks_its_end_is_not_told,
        BULK + "test_a_day_is_the_same_either_way",
    ),
    Planted(
        "replacing",
        "a day that is settled anew stays beside its old self",
        replaced_days_stay_beside_the_new_ones,
        BULK + "test_a_day_that_is_settled_anew_takes_the_place_of_its_old_self",
    ),
)
