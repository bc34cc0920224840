"""Who is weighed in a stage: takers and groups, the group before, and the meters that count for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from allocation_engine.errors import InputsInvalid, PeriodNotReady
from allocation_engine.inputs import PeriodInputs
from allocation_engine.keys import Group
from allocation_engine.layers import Takers
from allocation_engine.media import Medium
from allocation_engine.subjects import Subjects
from metering.identity import NodeId, UnitId

Make = Callable[..., PeriodInputs]
WHOLE = [(date(2026, 7, 1), 0, 8)]
A, B, C = (UnitId(one) for one in "abc")


@pytest.fixture
def inputs(make_inputs: Make) -> PeriodInputs:
    """Three metered units on two floors; b comes back to its first tenant."""
    energy = {"spare": 1, "u-c": 1, "u-b": 1, "u-a": 1, "floor": 1}
    units: dict[str, tuple[int, str | None]] = {one: (100, f"u-{one}") for one in "abc"}
    let = [("a", "t-1", 0, 8), ("b", "t-1", 0, 2), ("b", "t-2", 2, 5), ("b", "t-1", 5, 8)]
    return make_inputs(energy=energy, units=units, let=let)


def test_takers_lie_in_the_group_of_their_unit(inputs: PeriodInputs) -> None:
    takers = Takers.of(inputs, [A, B, C], WHOLE)
    subjects = Subjects.of_takers(takers, [(C, A), ()])
    assert subjects.ids == ("a/t-1", "b/t-1", "b/t-2", "c/owner")
    assert subjects.names == ("a", "b", "b", "c")
    assert subjects.outer.tolist() == [0, -1, -1, 0]


def test_groups_lie_in_the_group_that_holds_all_their_units(inputs: PeriodInputs) -> None:
    groups = [Group("f-1", (A, B), None), Group("f-2", (C,), NodeId("floor")), Group("torn", (A, C), None)]
    subjects = Subjects.of_groups(groups, inputs, WHOLE, [(C,), (A, B)])
    assert subjects.outer.tolist() == [1, 0, -1]
    assert subjects.area_cm2.tolist() == [200, 100, 200]
    assert subjects.slots.tolist() == [[8], [8], [8]]


def test_each_stay_counts_at_its_own_meter(inputs: PeriodInputs) -> None:
    subjects = Subjects.of_takers(Takers.of(inputs, [A, B], WHOLE), [(A, B)])
    rows, entries = subjects.metered(inputs, {})
    assert rows.tolist() == [0, 1, 1, 2]
    assert entries.rows.tolist() == [inputs.row(NodeId(one)) for one in ("u-a", "u-b", "u-b", "u-b")]
    assert list(zip(entries.starts.tolist(), entries.ends.tolist(), strict=True)) == [(0, 8), (0, 2), (5, 8), (2, 5)]


def test_a_group_counts_at_its_own_meter_or_at_those_of_its_units(inputs: PeriodInputs) -> None:
    groups = [Group("f-1", (A, B), None), Group("f-2", (C,), NodeId("floor")), Group("f-3", (B, C), None)]
    rows, entries = Subjects.of_groups(groups, inputs, WHOLE, [(A, B, C)]).metered(inputs, {B: NodeId("spare")})
    assert rows.tolist() == [0, 0, 1, 2, 2]
    named = [inputs.nodes[row].id for row in entries.rows.tolist()]
    assert named == ["u-a", "spare", "floor", "spare", "u-c"]


def test_only_some_of_them(inputs: PeriodInputs) -> None:
    everybody = Subjects.of_takers(Takers.of(inputs, [A, B, C], WHOLE), [(A, B, C)])
    some = everybody.only(everybody.outer.nonzero()[0])
    assert (some.ids, some.stays.shape, some.outer.size) == ((), (0, 3), 0)
    last = everybody.only(everybody.stays[-2:, 0])
    assert last.ids == ("b/t-2", "c/owner")
    assert last.stays.tolist() == [[0, 2, 5], [1, 0, 8]]
    assert last.metered(inputs, {})[0].tolist() == [0, 1]


def test_a_unit_without_a_meter_and_two_media_are_refused(inputs: PeriodInputs) -> None:
    takers = Takers.of(inputs, [A, B], WHOLE)
    bare = replace(inputs, units=tuple(replace(one, node=None) if one.id == "b" else one for one in inputs.units))
    with pytest.raises(PeriodNotReady, match="unit b has no meter of its own"):
        Subjects.of_takers(takers, [(A, B)]).metered(bare, {})
    nodes = tuple(replace(one, medium=Medium.WATER) if one.id == "u-a" else one for one in inputs.nodes)
    with pytest.raises(InputsInvalid, match="counts electricity and water together"):
        Subjects.of_takers(takers, [(A, B)]).metered(replace(inputs, nodes=nodes), {})
