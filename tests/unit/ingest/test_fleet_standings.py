"""How a gateway stands: every condition on its own, the worst first, at its threshold and not before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ingest.alert_rules import Thresholds
from ingest.fleet import NOT_WELL, STATES, WELL, Condition, choose, clock_fault, standings, worst_first
from ingest.store.fleet import LOOKED_MAX, GatewayChain, head_at_start
from metering.clock import ClockQuality, ClockState
from metering.envelope import seal
from tests.conftest import SeededSigner, build_envelope
from tests.doubles.fleet import MINUTE, NOW, THRESHOLDS, chain, gapped, silent, standing

AHEAD = NOW - MINUTE + timedelta(seconds=10)


def test_a_gateway_that_is_well_has_no_condition() -> None:
    one = standing(chain())
    assert (one.state, one.conditions, one.lag, one.silent_for) == (WELL, (), 2 * MINUTE, MINUTE)


@pytest.mark.parametrize(
    ("found", "condition"),
    [
        (silent(minutes=46), Condition.SILENT),
        (chain(received_at=None, newest_mark=None, clock=None, sealed_at=None), Condition.NEVER_SENT),
        (gapped(1), Condition.GAP),
        (chain(clock=ClockState(ClockQuality.UNKNOWN, None)), Condition.CLOCK),
        (chain(clock=ClockState(ClockQuality.ESTIMATED, 9001)), Condition.CLOCK),
        (chain(sealed_at=AHEAD), Condition.CLOCK),
        (chain(refused=1), Condition.QUARANTINE),
        (chain(newest_mark=NOW - timedelta(hours=2, seconds=1)), Condition.LATE),
        (chain(alerts=("equivocation",)), Condition.CLONED),
    ],
)
def test_each_condition_shows_alone(found: GatewayChain, condition: Condition) -> None:
    assert standing(found).conditions == (condition,)


@pytest.mark.parametrize(
    "found",
    [
        silent(minutes=45),
        chain(clock=ClockState(ClockQuality.ESTIMATED, None)),
        chain(clock=ClockState(ClockQuality.SYNCHRONISED, 9000)),
        chain(sealed_at=NOW - MINUTE + timedelta(seconds=9)),
        chain(sealed_at=NOW - timedelta(hours=5)),
        chain(newest_mark=NOW - timedelta(hours=2)),
        chain(alerts=("chain-gap",)),
    ],
)
def test_what_is_within_its_bounds_is_well(found: GatewayChain) -> None:
    assert standing(found).state == WELL


def test_the_worst_condition_is_the_state() -> None:
    one = standing(gapped(clock=ClockState(ClockQuality.UNKNOWN, None), refused=3))
    assert one.state == "gap"
    assert one.conditions == (Condition.GAP, Condition.CLOCK, Condition.QUARANTINE)


def test_earlier_epochs_count_with_the_newest() -> None:
    old = gapped(200, epoch=1, is_newest=False, refused=2, received_at=NOW - timedelta(days=9), clock=None)
    one = standing(chain(epoch=2, refused=1, received_at=None, newest_mark=None), old)
    assert (one.missing, one.waiting, one.refused, one.gap_since) == (2, 1, 3, NOW - 200 * MINUTE)
    assert one.received_at == NOW - timedelta(days=9)
    assert one.conditions[0] is Condition.SILENT
    assert one.lag == 2 * MINUTE
    assert [each.epoch for each in one.chains] == [2, 1]


def test_nothing_ever_sent_is_silent_since_the_enrolment() -> None:
    never = chain(received_at=None, enrolled_at=NOW - 7 * MINUTE)
    assert standing(never).silent_for == 7 * MINUTE
    assert standing(never).received_at is None


@pytest.mark.parametrize(("waiting", "exact"), [(LOOKED_MAX - 1, True), (LOOKED_MAX, False)])
def test_counts_behind_a_long_gap_are_told_as_bounds(waiting: int, exact: bool) -> None:
    one = standing(chain(highest_seq=5000, waiting=waiting, gap_since=NOW))
    assert one.counts_end is exact
    assert one.missing == 5000 - 10 - waiting


def test_gateways_are_kept_apart_and_ordered_by_how_they_stand() -> None:
    found = standings([chain("gw-a"), silent("gw-b"), gapped(gateway="gw-c"), silent("gw-d")], NOW, THRESHOLDS)
    assert [one.gateway for one in worst_first(found)] == ["gw-b", "gw-d", "gw-c", "gw-a"]


def test_a_filter_keeps_what_it_says() -> None:
    found = standings([chain("gw-a"), silent("gw-b", "yard"), gapped(gateway="gw-c", refused=1)], NOW, THRESHOLDS)

    def ids(**wanted: str) -> list[str]:
        return [one.gateway for one in choose(found, **wanted)]  # type: ignore[arg-type]

    assert ids() == ["gw-a", "gw-b", "gw-c"]
    assert ids(site="yard") == ["gw-b"]
    assert ids(state="gap") == ids(state="quarantine") == ["gw-c"]
    assert ids(state=NOT_WELL) == ["gw-b", "gw-c"]
    assert ids(state=WELL) == ["gw-a"]
    assert ids(text=" YARD ") == ["gw-b"]
    assert ids(text="gw-") == ["gw-a", "gw-b", "gw-c"]
    assert ids(site="park", state="silent") == []


def test_every_condition_is_a_state_that_can_be_asked_for() -> None:
    assert set(STATES) == {*map(str, Condition), WELL}


def test_thresholds_move_what_is_silent_and_off() -> None:
    strict = Thresholds(silent_min=10, clock_ms=4)
    one = standing(silent(minutes=11), thresholds=strict)
    assert one.conditions == (Condition.SILENT, Condition.CLOCK)
    assert clock_fault(one, 5) is None
    assert clock_fault(standing(chain(clock=None)), 0) is None


# The clock state stands in the head


SEALED = seal(build_envelope(), SeededSigner("metertree test gateway"))


def test_the_head_is_read_from_the_first_octets() -> None:
    head = head_at_start(SEALED)
    assert head is not None
    assert head.clock == build_envelope().clock
    assert head.sealed_at == build_envelope().sealed_at
    end = 3 + SEALED[2] if SEALED[1] == 0x58 else 4 + int.from_bytes(SEALED[2:4], "big")
    assert head_at_start(SEALED[:end]) == head


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 40, 200])
def test_what_was_cut_off_has_no_head(cut: int) -> None:
    assert head_at_start(SEALED[:cut]) is None


def test_what_is_no_head_is_none() -> None:
    assert head_at_start(b"\x82\x58\x02\xff\xff") is None
    assert head_at_start(b"\x82\x40") is None
    assert head_at_start(b"rubbish") is None


def test_standings_of_nobody_are_none() -> None:
    assert standings([], NOW, THRESHOLDS) == ()
    assert replace(standing(chain())).earlier == ()
