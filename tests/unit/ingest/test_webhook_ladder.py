"""What becomes of a delivery after each try, by the ladder of the Standard Webhooks specification."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingest.webhooks.ladder import (
    ASKED_MAX,
    LADDER,
    REST_MAX,
    WHOLE_LADDER,
    Answer,
    Fate,
    Health,
    Verdict,
    judge,
)

NOW = datetime(2026, 8, 1, 9, tzinfo=UTC)
WELL = Health(0, None)


def after(answer: Answer, attempt: int = 1, health: Health = WELL, chance: float = 0.5) -> Verdict:
    return judge(answer, attempt, health, NOW, lambda: chance)


def test_the_ladder_is_that_of_the_specification() -> None:
    """Its table of delays, and of the time since the start."""
    starts = [sum(LADDER[: n + 1], timedelta()) for n in range(len(LADDER))]
    told = ["0:00:00", "0:00:05", "0:05:05", "0:35:05", "2:35:05", "7:35:05", "17:35:05"]
    assert [str(one) for one in starts[:7]] == told
    assert starts[7:] == [timedelta(hours=hours, minutes=35, seconds=5) for hours in (31, 51, 75)]
    assert starts[-1] == WHOLE_LADDER


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered_and_makes_an_endpoint_well(status: int) -> None:
    verdict = after(Answer(status), 3, Health(7, NOW - timedelta(days=2)))
    assert (verdict.fate, verdict.health, verdict.paused_until, verdict.turns) == (Fate.DELIVERED, WELL, None, None)


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 408, 500, 503, 599])
def test_everything_else_waits_for_its_next_try_redirects_among_it(status: int | None) -> None:
    verdict = after(Answer(status), 1)
    assert verdict.fate is Fate.WAITING
    assert verdict.next_at == NOW + timedelta(seconds=5)
    assert verdict.turns is None


@pytest.mark.parametrize("attempt", range(1, len(LADDER)))
def test_each_try_waits_as_long_as_the_ladder_says_a_tenth_more_or_less(attempt: int) -> None:
    pause = LADDER[attempt]
    found = [after(Answer(500), attempt, chance=chance).next_at - NOW for chance in (0, 0.5, 0.999999)]
    assert found[0] == pause * 0.9
    assert found[1] == pause
    assert pause * 1.09 < found[2] < pause * 1.1001


def test_after_the_last_step_it_is_a_dead_letter() -> None:
    assert after(Answer(500), len(LADDER)).fate is Fate.DEAD
    assert after(Answer(500), len(LADDER) + 3).fate is Fate.DEAD


def test_410_turns_the_endpoint_off_and_what_waits_is_kept() -> None:
    verdict = after(Answer(410), len(LADDER))
    assert (verdict.fate, verdict.turns) == (Fate.WAITING, "gone")


def test_an_endpoint_that_fails_is_rested_longer_each_time() -> None:
    rests = []
    health = WELL
    for _ in range(12):
        verdict = after(Answer(None, "refused"), 1, health)
        health = verdict.health
        assert verdict.paused_until is not None
        rests.append(verdict.paused_until - NOW)
    assert [one.total_seconds() for one in rests[:5]] == [5, 10, 20, 40, 80]
    assert rests[-1] == REST_MAX
    assert (health.failures, health.failing_since) == (12, NOW)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_overloaded_is_left_alone_for_a_minute_or_as_long_as_it_asks(status: int) -> None:
    assert after(Answer(status)).paused_until == NOW + timedelta(minutes=1)
    asked = after(Answer(status, retry_after=120))
    assert asked.paused_until == asked.next_at == NOW + timedelta(minutes=2)
    assert after(Answer(status, retry_after=10**8)).paused_until == NOW + ASKED_MAX


def test_an_endpoint_to_which_nothing_came_for_as_long_as_the_ladder_is_turned_off() -> None:
    assert after(Answer(500), 3, Health(40, NOW - timedelta(days=2))).turns is None
    verdict = after(Answer(500), 3, Health(400, NOW - WHOLE_LADDER))
    assert (verdict.turns, verdict.fate) == ("failing", Fate.WAITING)
