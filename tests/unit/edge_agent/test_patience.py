"""How long a meter is waited for, and what silent meters may cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.patience import (
    PAUSES_S,
    REPLY_S_MIN,
    SAMPLES_MIN,
    SILENT_CREDIT_S,
    Patience,
    SilentShare,
)

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def taught(turnaround_s: float, reply_s_max: float = 0.5) -> Patience:
    """Patience with a meter that always took as long."""
    patience = Patience(reply_s_max)
    for _ in range(SAMPLES_MIN):
        patience.answered(turnaround_s)
    return patience


def test_an_unknown_meter_gets_the_time_its_profile_states() -> None:
    assert Patience(0.5).timeouts_s(has_answered=False) == (0.5, 0.5)


def test_a_known_meter_gets_twice_its_turnaround_and_then_the_whole_time() -> None:
    assert taught(0.06).timeouts_s(has_answered=False) == (pytest.approx(0.12), 0.5)


def test_a_fast_meter_still_gets_the_shortest_timeout_a_host_can_keep() -> None:
    assert taught(0.001).timeouts_s(has_answered=False)[0] == REPLY_S_MIN


def test_a_slow_meter_never_gets_more_than_its_profile_states() -> None:
    assert taught(0.4).timeouts_s(has_answered=False)[0] == 0.5


def test_one_slow_answer_among_many_raises_the_timeout() -> None:
    patience = taught(0.05)
    patience.answered(0.2)
    assert patience.timeouts_s(has_answered=False)[0] == pytest.approx(0.4)


def test_a_clock_that_was_a_year_ahead_does_not_silence_a_meter_for_a_year() -> None:
    patience = Patience(0.5)
    patience.stayed_silent(NOON + timedelta(days=365))
    assert patience.is_due(NOON)
    patience.stayed_silent(NOON)
    assert not patience.is_due(NOON + timedelta(seconds=1))


def test_a_silent_meter_gets_one_probe_and_growing_pauses() -> None:
    patience = Patience(0.5)
    at = NOON
    for pause_s in (*PAUSES_S, PAUSES_S[-1]):
        patience.stayed_silent(at)
        assert patience.is_silent
        assert patience.timeouts_s(has_answered=False) == (0.5,)
        assert not patience.is_due(at + timedelta(seconds=pause_s, microseconds=-1))
        at += timedelta(seconds=pause_s)
        assert patience.is_due(at)


def test_a_silent_meter_that_answers_its_probe_is_asked_like_any_other() -> None:
    patience = Patience(0.5)
    patience.stayed_silent(NOON)
    assert patience.timeouts_s(has_answered=True) == (0.5, 0.5)
    patience.answered(0.03)
    assert not patience.is_silent
    assert patience.is_due(NOON)
    patience.stayed_silent(NOON)
    assert patience.is_due(NOON + timedelta(seconds=PAUSES_S[0]))


def test_silent_meters_get_at_most_five_percent_of_the_time() -> None:
    share = SilentShare()
    spent_s = 0.0
    hours = 10
    for second in range(hours * 3600):
        if share.allows(NOON + timedelta(seconds=second)):
            share.spend(0.5)
            spent_s += 0.5
    assert spent_s <= 0.05 * hours * 3600 + SILENT_CREDIT_S + 0.5


def test_an_unused_share_does_not_pile_up() -> None:
    share = SilentShare()
    assert share.allows(NOON)
    assert share.allows(NOON + timedelta(days=30))
    share.spend(SILENT_CREDIT_S)
    assert not share.allows(NOON + timedelta(days=30))


def test_a_clock_set_back_earns_nothing() -> None:
    share = SilentShare()
    assert share.allows(NOON)
    share.spend(SILENT_CREDIT_S)
    assert not share.allows(NOON - timedelta(days=1))
