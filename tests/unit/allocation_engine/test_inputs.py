"""Inputs that contradict themselves never reach the engine, and equal facts have equal hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation_engine import blocks
from allocation_engine.errors import InputsInvalid
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading
from allocation_engine.inputs import (
    HASH_ROWS,
    SLOT_WH_MAX,
    LettableUnit,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    fill_vacancies,
    slot_of,
)
from allocation_engine.intervals import Reason, SlotException, SlotQuality
from allocation_engine.sparse_rows import SparseRows
from metering.identity import GatewayId, MeterId, NodeId, PartyId, UnitId
from metering.interval import Interval
from metering.obis import ENERGY_IMPORT

Make = Callable[..., PeriodInputs]
START = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
OWNER = PartyId("owner")


def park(make_inputs: Make) -> PeriodInputs:
    """Two nodes, two units, one tenant for half the time."""
    return make_inputs(
        energy={"main": 10, "u-1": 4},
        parents={"u-1": "main"},
        units={"a": (100, "u-1"), "b": (200, None)},
        let=[("a", "t-1", 2, 6)],
    )


def test_slots_nobody_leases_are_the_owners(make_inputs: Make) -> None:
    spans = [(one.party, one.first, one.end) for one in park(make_inputs).occupancies_of(UnitId("a"))]
    assert spans == [("owner", 0, 2), ("t-1", 2, 6), ("owner", 6, 8)]


def test_vacancies_fill_every_hole_and_nothing_else() -> None:
    units = [LettableUnit(UnitId("a"), 1, None)]
    let = [Occupancy(UnitId("a"), PartyId("t-2"), 4, 8), Occupancy(UnitId("a"), PartyId("t-1"), 0, 4)]
    assert [one.party for one in fill_vacancies(units, let, PartyId("owner"), 8)] == ["t-1", "t-2"]


@pytest.mark.parametrize(
    ("occupancies", "told"),
    [
        ([("a", 0, 5), ("a", 4, 8)], "two occupants or none from slot 4"),
        ([("a", 0, 3), ("a", 4, 8)], "two occupants or none from slot 3"),
        ([("a", 0, 7)], "nobody answers for it from slot 7"),
        ([("a", 0, 8), ("z", 0, 8)], "unknown unit z"),
        ([("a", 0, 8), ("a", 8, 8)], "two occupants or none"),
    ],
)
def test_every_slot_of_every_unit_belongs_to_exactly_one(
    make_inputs: Make, occupancies: list[tuple[str, int, int]], told: str
) -> None:
    whole = make_inputs(energy={"main": 1}, units={"a": (100, None)})
    listed = tuple(Occupancy(UnitId(unit), PartyId("t-1"), first, end) for unit, first, end in occupancies)
    with pytest.raises(InputsInvalid, match=told):
        replace(whole, occupancies=listed)


@pytest.mark.parametrize("name", ["import_wh", "export_wh", "quality"])
def test_arrays_of_another_shape_are_refused(make_inputs: Make, name: str) -> None:
    whole = park(make_inputs)
    with pytest.raises(InputsInvalid, match=name):
        replace(whole, **{name: getattr(whole, name)[:, :-1]})


@pytest.mark.parametrize("wrong", [-1, SLOT_WH_MAX + 1])
def test_energy_outside_its_bounds_is_refused(make_inputs: Make, wrong: int) -> None:
    whole = park(make_inputs)
    energy = whole.import_wh.copy()
    energy[0, 0] = wrong
    with pytest.raises(InputsInvalid, match="import_wh must be int32 or int64"):
        replace(whole, import_wh=energy)


def test_floats_are_refused(make_inputs: Make) -> None:
    whole = park(make_inputs)
    with pytest.raises(InputsInvalid, match="int64"):
        replace(whole, export_wh=whole.import_wh.astype(np.float64))


def test_an_unknown_quality_is_refused(make_inputs: Make) -> None:
    whole = park(make_inputs)
    with pytest.raises(InputsInvalid, match="SlotQuality"):
        replace(whole, quality=np.full_like(whole.quality, 6))


@pytest.mark.parametrize(
    ("parents", "told"),
    [
        ((ParentSpan(0, 8, NodeId("nobody")),), "not another node"),
        ((ParentSpan(0, 8, NodeId("u-1")),), "not another node"),
        ((ParentSpan(0, 5, NodeId("main")), ParentSpan(4, 8, None)), "overlap"),
        ((ParentSpan(0, 9, NodeId("main")),), "leave the period"),
    ],
)
def test_a_tree_that_cannot_be_is_refused(make_inputs: Make, parents: tuple[ParentSpan, ...], told: str) -> None:
    whole = park(make_inputs)
    with pytest.raises(InputsInvalid, match=told):
        replace(whole, nodes=(whole.nodes[0], replace(whole.nodes[1], parents=parents)))


def test_a_node_or_unit_listed_twice_is_refused(make_inputs: Make) -> None:
    whole = park(make_inputs)
    with pytest.raises(InputsInvalid, match="node listed twice: main"):
        replace(whole, nodes=(whole.nodes[0], whole.nodes[0]))


def test_asking_for_what_is_not_there_is_refused(make_inputs: Make) -> None:
    whole = park(make_inputs)
    with pytest.raises(InputsInvalid, match="no node 'x'"):
        whole.row(NodeId("x"))
    with pytest.raises(InputsInvalid, match="no unit 'x'"):
        whole.unit(UnitId("x"))


def test_all_doubles_are_named_at_once_and_in_order(make_inputs: Make) -> None:
    whole = make_inputs(energy=dict.fromkeys("bcadef", 1))
    doubled = tuple(replace(node, id=NodeId(name)) for node, name in zip(whole.nodes, "bbcaaa", strict=True))
    with pytest.raises(InputsInvalid, match=r"node listed twice: a, b$"):
        replace(whole, nodes=doubled)


def test_changed_inputs_look_up_what_is_theirs(make_inputs: Make) -> None:
    whole = park(make_inputs)
    renamed = (whole.nodes[0], replace(whole.nodes[1], id=NodeId("u-2")))
    held = tuple(one for one in whole.occupancies if one.unit == "a")
    small = replace(whole, nodes=renamed, units=whole.units[:1], occupancies=held)
    assert (whole.row(NodeId("u-1")), small.row(NodeId("u-2"))) == (1, 1)
    assert (whole.unit(UnitId("b")).id, whole.occupancies_of(UnitId("b"))[0].party) == ("b", "owner")
    assert small.occupancies_of(UnitId("b")) == ()
    with pytest.raises(InputsInvalid, match="no node 'u-1'"):
        small.row(NodeId("u-1"))
    with pytest.raises(InputsInvalid, match="no unit 'b'"):
        small.unit(UnitId("b"))


@given(seed=st.randoms(use_true_random=False), units=st.integers(0, 6), slots=st.integers(1, 12))
def test_leases_in_any_order_fill_to_the_same_occupancies(seed: Random, units: int, slots: int) -> None:
    lettable = tuple(LettableUnit(UnitId(f"u-{one}"), 100, None) for one in range(units))
    let = []
    for unit in lettable:
        edges = sorted(seed.sample(range(slots + 1), seed.randint(0, slots + 1)))
        let += [Occupancy(unit.id, PartyId(f"t-{a}"), a, b) for a, b in pairwise(edges) if seed.random() < 0.7]
    filled = fill_vacancies(lettable, let, OWNER, slots)
    seed.shuffle(let)
    assert fill_vacancies(lettable, let, OWNER, slots) == filled
    # Looked at slot by slot, as nobody would compute it: everybody is where he is let, the owner everywhere else.
    for unit in lettable:
        held = [one for one in filled if one.unit == unit.id]
        for slot in range(slots):
            wanted = [one.party for one in let if one.unit == unit.id and one.first <= slot < one.end] or [OWNER]
            assert [one.party for one in held if one.first <= slot < one.end] == wanted


def test_an_instant_gives_its_slot_and_is_clipped_to_the_period() -> None:
    period = Interval(START, START + timedelta(hours=2))
    minutes = (-30, 0, 15, 105, 120, 500)
    assert [slot_of(period, START + timedelta(minutes=one)) for one in minutes] == [0, 0, 1, 7, 8, 8]


def test_an_instant_off_the_quarter_hour_is_refused() -> None:
    period = Interval(START, START + timedelta(hours=2))
    with pytest.raises(InputsInvalid, match="not on a quarter hour"):
        slot_of(period, START + timedelta(minutes=7))


def test_a_period_knows_the_local_days_it_cuts(make_inputs: Make) -> None:
    spans = make_inputs(energy={"main": 1}, slots=100).day_spans()
    assert [(str(day), first, end) for day, first, end in spans] == [("2026-07-01", 0, 96), ("2026-07-02", 96, 100)]


def test_the_order_in_which_facts_are_listed_does_not_change_the_hash(make_inputs: Make) -> None:
    whole = park(make_inputs)
    turned = replace(
        whole,
        nodes=whole.nodes[::-1],
        import_wh=whole.import_wh[::-1],
        export_wh=whole.export_wh[::-1],
        quality=whole.quality[::-1],
        units=whole.units[::-1],
        occupancies=whole.occupancies[::-1],
    )
    assert turned.hash == whole.hash


def widened(matrix: Any) -> bytes:
    """A matrix as the hash was first defined: all of it, in 64 bits."""
    return hashlib.sha256(np.asarray(matrix).astype("<i8").tobytes()).digest()


@pytest.mark.parametrize("rows", [1, HASH_ROWS, HASH_ROWS + 1, 2 * HASH_ROWS + 3])
def test_the_hash_is_that_of_the_numbers_whatever_their_type_and_form(make_inputs: Make, rows: int) -> None:
    whole = make_inputs(
        energy={f"n-{row:04}": row + 7 for row in range(rows)},
        export={"n-0000": [3, 0, 0, 0, 0, 0, 0, 1]},
    )
    turned = np.arange(rows)[::-1]
    narrow = replace(
        whole,
        nodes=whole.nodes[::-1],
        import_wh=whole.import_wh[turned].astype(np.int32),
        export_wh=SparseRows.holding(rows, [rows - 1], whole.export_wh[[0]].astype(np.int32)),
    )
    assert narrow.hash == whole.hash
    sorted_rows = [hashlib.sha256(whole.quality.tobytes()).digest()]
    assert whole._digests(range(rows)) == [widened(whole.import_wh), widened(whole.export_wh), *sorted_rows]


def test_a_hash_taken_by_threads_is_the_same(make_inputs: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_inputs(energy={f"n-{row:03}": range(row, row + 96) for row in range(300)}, slots=96)
    alone = whole.hash
    monkeypatch.setattr(blocks, "CELLS_MIN", 1)
    assert whole.hash == alone


@pytest.mark.parametrize("kind", [np.int16, np.uint32, np.uint64, np.float64, np.bool_])
@pytest.mark.parametrize("name", ["import_wh", "export_wh"])
def test_only_signed_32_and_64_bits_are_energies(make_inputs: Make, name: str, kind: type[np.generic]) -> None:
    whole = park(make_inputs)
    with pytest.raises(InputsInvalid, match=f"{name} must be int32 or int64"):
        replace(whole, **{name: np.asarray(getattr(whole, name)).astype(kind)})


def test_energy_given_back_is_kept_where_there_is_any(make_inputs: Make) -> None:
    whole = make_inputs(energy=dict.fromkeys("abcd", 5), export={"c": [0, 2, 0, 0, 0, 0, 0, 0]})
    assert isinstance(whole.export_wh, SparseRows)
    assert (whole.export_wh.rows.tolist(), whole.export_wh.kept.shape) == ([2], (2, 8))
    assert [int(whole.export_wh[row].sum()) for row in range(4)] == [0, 0, 2, 0]
    wrong = SparseRows.holding(4, [1], np.full((1, 8), -1))
    with pytest.raises(InputsInvalid, match="export_wh must be"):
        replace(whole, export_wh=wrong)
    with pytest.raises(InputsInvalid, match=r"export_wh has shape \(3, 8\)"):
        replace(whole, export_wh=SparseRows.holding(3, [1], np.ones((1, 8), np.int64)))


def evidence() -> PointEvidence:
    """One reading with its envelope."""
    meter = Installation(MeterId("m-1"), START, None, 1, 1000, None, 0, None)
    reading = PointReading(START, MeterId("m-1"), 5, EnvelopeRef(GatewayId("gw-a"), 1, 1, bytes(32)))
    return PointEvidence(NodeId("main"), ENERGY_IMPORT, (meter,), (reading, replace(reading, envelope=None)))


def test_every_fact_changes_the_hash(make_inputs: Make) -> None:
    whole = park(make_inputs)
    energy = whole.import_wh.copy()
    energy[1, 7] += 1
    quality = whole.quality.copy()
    quality[0, 0] = SlotQuality.ESTIMATED
    gap = SlotException(SlotQuality.ESTIMATED, Reason.GAP, START, START + timedelta(hours=1), 5, "between")
    changed = [
        replace(whole, import_wh=energy),
        replace(whole, export_wh=energy),
        replace(whole, quality=quality),
        replace(whole, label="2026-08"),
        replace(whole, site_hash=bytes([1]) * 32),
        replace(whole, owner=PartyId("t-1")),
        replace(whole, units=(replace(whole.units[0], area_cm2=101), whole.units[1])),
        replace(whole, nodes=(whole.nodes[0], replace(whole.nodes[1], accuracy_ppm=5_000))),
        replace(whole, exceptions=((NodeId("main"), gap),)),
        replace(whole, evidence=(evidence(),)),
        make_inputs(
            energy={"main": 10, "u-1": 4},
            parents={"u-1": "main"},
            units={"a": (100, "u-1"), "b": (200, None)},
            let=[("a", "t-1", 2, 7)],
        ),
    ]
    assert len({one.hash for one in (whole, *changed)}) == len(changed) + 1
