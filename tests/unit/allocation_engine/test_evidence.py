"""Which readings prove the register at an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from allocation_engine.evidence import EnvelopeRef, PointReading, pick_readings
from metering.identity import GatewayId, MeterId

START = datetime(2026, 7, 1, tzinfo=UTC)


def at(quarters: int) -> datetime:
    """The mark `quarters` quarter hours after the start."""
    return START + quarters * timedelta(minutes=15)


READINGS = [PointReading(at(quarters), MeterId("m-1"), quarters) for quarters in (0, 1, 2, 6, 7, 8)]


def picked(*quarters: int) -> list[int]:
    """The registers picked for some marks."""
    return [one.register_wh for one in pick_readings([at(one) for one in quarters], READINGS)]


def test_a_mark_that_was_read_is_proven_by_one_reading() -> None:
    assert picked(0, 2, 8) == [0, 2, 8]


def test_a_mark_inside_a_gap_is_proven_by_the_readings_around_it() -> None:
    assert picked(4) == [2, 6]
    assert picked(3, 4, 5) == [2, 6]


def test_a_mark_outside_all_readings_is_proven_by_the_nearest_alone() -> None:
    assert picked(-3) == [0]
    assert picked(11) == [8]


def test_two_meters_at_one_mark_are_both_picked() -> None:
    both = [PointReading(at(0), MeterId("m-1"), 1), PointReading(at(0), MeterId("m-2"), 2)]
    assert list(pick_readings([at(0)], both)) == both


def test_without_readings_nothing_is_picked() -> None:
    assert pick_readings([at(0)], []) == ()


def test_envelopes_sort_by_their_place_in_the_chain() -> None:
    refs = [
        EnvelopeRef(GatewayId(gateway), 1, seq, bytes(32)) for gateway, seq in (("gw-b", 1), ("gw-a", 2), ("gw-a", 1))
    ]
    assert [(ref.gateway, ref.seq) for ref in sorted(refs)] == [("gw-a", 1), ("gw-a", 2), ("gw-b", 1)]
