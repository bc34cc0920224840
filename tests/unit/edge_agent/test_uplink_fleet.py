"""A fleet that loses its broker at one instant: it comes back spread out, whenever the broker does."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from edge_agent.uplink import RECONNECT_S_MAX, Connect, Uplink, Wait

GATEWAYS = 3000


def sessions_by_second(back_at_s: float, jitter: Callable[[], float]) -> Counter[int]:
    """Play a fleet that lost its broker at 0 and can reach it again from `back_at_s` on: sessions begun, by second."""
    begun: Counter[int] = Counter()
    for _ in range(GATEWAYS):
        machine = Uplink(receipted_seq=0, newest_seq=0, jitter=jitter)
        machine.next_step(-100.0)
        machine.connected(-100.0)
        machine.lost(0.0)
        now = 0.0
        while True:
            step = machine.next_step(now)
            if isinstance(step, Wait):
                assert step.seconds is not None
                now += step.seconds
                continue
            assert step == Connect()
            if now >= back_at_s:
                begun[int(now)] += 1
                break
            machine.lost(now)
    return begun


def test_after_a_long_outage_no_second_sees_more_than_a_twentieth_of_the_fleet() -> None:
    begun = sessions_by_second(600.0, random.Random(3).random)
    assert sum(begun.values()) == GATEWAYS
    assert max(begun.values()) <= GATEWAYS / 20
    assert max(begun) <= 600.0 + RECONNECT_S_MAX + 1


@pytest.mark.parametrize("back_at_s", [5.0, 30.0])
def test_after_a_short_one_no_second_sees_more_than_a_third(back_at_s: float) -> None:
    assert max(sessions_by_second(back_at_s, random.Random(4).random).values()) <= GATEWAYS / 3


def test_without_jitter_the_fleet_would_come_in_one_second() -> None:
    assert max(sessions_by_second(600.0, lambda: 1.0).values()) == GATEWAYS
