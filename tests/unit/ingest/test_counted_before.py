"""What customers took before a period: from settled days to the slot, from older books, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from allocation_engine.inputs import (
    CountedBefore,
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
)
from allocation_engine.intervals import SlotQuality
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from ingest.counted_before import count_before
from metering.identity import NodeId, PartyId, PoolId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

SHANGHAI = SiteCalendar("Asia/Shanghai")
UNIT, OWNER, HANDOVER = UnitId("a"), PartyId("owner"), date(2026, 3, 2)
NAMES = {"zh": "甲", "en": "a"}


def days(first: date, last: date) -> PeriodInputs:
    """Local days at 100 Wh a slot for the unit and 10 Wh for the lift; t-1 until 2 March, then t-2."""
    period = Interval(SHANGHAI.midnight(first), SHANGHAI.midnight(last + timedelta(days=1)))
    slots = period.slot_count
    change = min(max((HANDOVER - first).days * 96, 0), slots)
    let = [Occupancy(UNIT, PartyId(party), *span) for party, span in (("t-1", (0, change)), ("t-2", (change, slots)))]
    units = (LettableUnit(UNIT, 100, NodeId("u-a")),)
    nodes = tuple(
        TreeNode(NodeId(name), NodeKind.MAIN, (ParentSpan(0, slots, None),), 10_000) for name in ("u-a", "lift")
    )
    return PeriodInputs(
        site=SiteId("park"),
        label="x",
        calendar=SHANGHAI,
        period=period,
        site_hash=bytes(32),
        owner=OWNER,
        nodes=nodes,
        import_wh=np.repeat(np.array([[100], [10]], np.int64), slots, axis=1),
        export_wh=np.zeros((2, slots), np.int64),
        quality=np.zeros((2, slots), np.uint8),
        exceptions=(),
        evidence=(),
        units=units,
        occupancies=fill_vacancies(units, [one for one in let if one.first < one.end], OWNER, slots),
    )


def rules(span: str = "year", **more: Any) -> Rules:
    """Own use and a lift under tiers."""
    season = {"months": list(range(1, 13)), "flat": ["00:00-24:00"]}
    tiers = {"span": span, "limits": "whole", "steps": [{"upto": "1", "add": "0"}, {"add": "0.1"}]}
    version = {"id": "v-1", "from": "2020-01-01", "rates": {"flat": "0.5"}, "seasons": [season], "tiers": tiers}
    common = {"names": NAMES, "from": "2020-01-01", "units": "all", "measure": "import"}
    pools = [
        {**common, "id": "own-use", "class": "exclusive", "rule": "own-use"},
        {**common, "id": "lift", "class": "must", "rule": "area", "path": ["lift"], "grain": "period"},
    ]
    names = SiteNames(
        frozenset({NodeId("u-a"), NodeId("lift")}),
        {UNIT: NodeId("u-a")},
        frozenset({OWNER, PartyId("t-1"), PartyId("t-2")}),
        OWNER,
        "CNY",
    )
    tariff = {"format": 1, "currency": "CNY", "versions": [version], **more}
    return rules_from_document({"tariff": tariff, "pools": {"format": 1, "pools": pools}, "series": {}}, names)


@pytest.fixture
def march() -> PeriodInputs:
    """The period to close."""
    return days(date(2026, 3, 1), date(2026, 3, 31))


def refuse(first: date, last: date) -> PeriodInputs:
    """Nobody may ask for earlier days."""
    raise AssertionError(f"asked for {first} to {last}")


def before(
    unit: str | None, party: str | None, pool: str, amount: int, since: date = date(2026, 1, 1)
) -> CountedBefore:
    """One expectation."""
    unit_id, party_id = (None, None) if unit is None or party is None else (UnitId(unit), PartyId(party))
    return CountedBefore(PoolId(pool), unit_id, party_id, since, amount)


def opening(**changes: Any) -> dict[str, Any]:
    """An entry of older books: 5,000 kWh until 1 February."""
    plain = {"unit": "a", "party": "t-1", "tariff": "main", "day": "2026-02-01", "amount": "5000", "source": "books"}
    return {**plain, **changes}


def test_tenants_and_shared_pools_are_counted_since_the_turn_of_the_year(march: PeriodInputs) -> None:
    only_own = [one for one in count_before(march, rules(), days) if one.pool == "own-use"]
    # 59 days of January and February, all of them t-1's; t-2 came on 2 March.
    assert only_own == [before("a", "t-1", "own-use", 59 * 9600), before("a", "t-2", "own-use", 0)]


def test_a_shared_pool_is_counted_as_one_customer(march: PeriodInputs) -> None:
    found = {one.pool: one for one in count_before(march, rules(), days) if one.unit is None}
    assert found == {"lift": before(None, None, "lift", 59 * 960)}


def test_a_handover_inside_the_time_before_is_counted_to_the_slot() -> None:
    april = days(date(2026, 4, 1), date(2026, 4, 30))
    (only,) = (one for one in count_before(april, rules(), days) if one.pool == "own-use")
    assert only == before("a", "t-2", "own-use", 30 * 9600)


def test_older_books_stand_for_what_was_not_read(march: PeriodInputs) -> None:
    found = count_before(march, rules(openings=[opening()]), days)
    assert before("a", "t-1", "own-use", 5_000_000 + 28 * 9600) in found


def test_older_books_until_the_period_need_no_readings(march: PeriodInputs) -> None:
    asked: list[tuple[date, date]] = []

    def watched(first: date, last: date) -> PeriodInputs:
        asked.append((first, last))
        return days(first, last)

    found = count_before(march, rules(openings=[opening(day="2026-03-01")]), watched)
    assert before("a", "t-1", "own-use", 5_000_000) in found
    assert asked == [(date(2026, 1, 1), date(2026, 2, 28))]  # for t-2 and the lift


@pytest.mark.parametrize(
    "changes", [{"day": "2025-06-01"}, {"party": "t-2"}, {"day": "2026-05-01"}, {"day": "2026-01-01"}]
)
def test_older_books_of_another_year_party_or_time_do_not_count(march: PeriodInputs, changes: dict[str, str]) -> None:
    found = count_before(march, rules(openings=[opening(**changes)]), days)
    assert before("a", "t-1", "own-use", 59 * 9600) in found


@pytest.mark.parametrize("quality", [SlotQuality.MISSING, SlotQuality.HELD])
def test_a_slot_that_is_not_known_leaves_the_customer_out(march: PeriodInputs, quality: SlotQuality) -> None:
    def weak(first: date, last: date) -> PeriodInputs:
        earlier = days(first, last)
        marred = earlier.quality.copy()
        marred[earlier.row(NodeId("u-a")), 7] = quality
        return replace(earlier, quality=marred)

    left = count_before(march, rules(), weak)
    assert before(None, None, "lift", 59 * 960) in left
    assert not [one for one in left if one.party == "t-1"]


def test_tiers_by_month_ask_for_nothing_at_the_start_of_a_month(march: PeriodInputs) -> None:
    assert count_before(march, rules("month"), refuse) == ()


def test_tiers_by_month_count_the_month_so_far() -> None:
    late = days(date(2026, 4, 11), date(2026, 4, 30))
    (only,) = (one for one in count_before(late, rules("month"), days) if one.pool == "own-use")
    assert only == before("a", "t-2", "own-use", 10 * 9600, date(2026, 4, 1))


def test_earlier_days_are_loaded_once_for_all_customers(march: PeriodInputs) -> None:
    asked: list[date] = []

    def watched(first: date, last: date) -> PeriodInputs:
        asked.append(first)
        return days(first, last)

    make: Callable[[date, date], PeriodInputs] = watched
    count_before(march, rules(), make)
    assert asked == [date(2026, 1, 1)]
