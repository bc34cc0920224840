"""Losses shared among those whose energy they carried: who is charged where, and what stays with the bearer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from allocation_engine import loss_shares
from allocation_engine.balance import balance_tree
from allocation_engine.errors import InputsInvalid, NotConserved, OutOfRange, PeriodNotReady
from allocation_engine.inputs import ParentSpan, PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.loss import payer_nodes
from allocation_engine.loss_factors import LossFactors, find_loss_factors
from allocation_engine.loss_trace import LINE_BITS, LossTrace
from allocation_engine.media import Medium
from allocation_engine.pools import Measure, OwnUseRule
from allocation_engine.run import LineKind, Run
from allocation_engine.tree import TreeSpan, tree_spans
from metering.identity import NodeId, PoolId, UnitId
from tests.doubles.loss_site import (
    FLAT,
    LOSS,
    POOLS,
    SLOTS,
    TWO_BANDS,
    close_site,
    loss_lines,
    loss_wh,
    site_inputs,
    site_rules,
)

NO_LOAD = {"node": "main", "kwh_per_day": "9.6", "key": "area", "source": "nameplate"}


def quanta_of(run: Run, one: str) -> Fraction:
    """Exact loss of a line [Wh]."""
    trace = loss_lines(run)[one].trace
    assert isinstance(trace, LossTrace)
    return Fraction(sum(trace.quanta), 1 << LINE_BITS)


def test_without_the_table_losses_stay_in_no_pool() -> None:
    inputs = site_inputs()
    run = close_site(inputs, site_rules(inputs, loss=None))
    assert [pool.id for pool in run.pools] == ["own-use", "lift"]
    assert run.reconciliation.unshared_minor == run.reconciliation.supply_minor - run.reconciliation.pooled_minor > 0


def test_losses_run_down_the_tree_to_whoever_held_the_unit() -> None:
    # main: 2200 on 2000 is 10 %; a: 1050 x 1.1 on 1000 is 15.5 %; eight slots
    assert loss_wh(close_site(site_inputs())) == {
        "u-a1/t-1": 620,  # 8 x 77.5
        "u-a2/t-2": 140,  # 3 x 46.5 = 139.5
        "u-a2/t-3": 232,  # 5 x 46.5 = 232.5
        "u-c/owner": 190,  # 2 x 95
        "u-c/t-4": 570,
        "residual/owner": 248,  # the lift: 8 x 31
    }


def test_with_losses_shared_only_rounding_is_in_no_pool() -> None:
    run = close_site(site_inputs())
    assert abs(run.reconciliation.unshared_minor) <= len(run.lines)


def test_lines_of_losses_add_up_by_band_and_in_money() -> None:
    inputs = site_inputs()
    run = close_site(inputs, site_rules(inputs, prices=TWO_BANDS))
    pool = next(pool for pool in run.pools if pool.id == "loss")
    lines = loss_lines(run).values()
    assert pool.band_energy_wh == (1000, 1000)  # 250 Wh a slot, four slots in each band
    assert [sum(line.band_energy_wh[band] for line in lines) for band in (0, 1)] == [1000, 1000]
    assert sum(line.amount_minor for line in lines) == pool.cost_minor == 130
    assert pool.charged_minor == pool.cost_minor - loss_lines(run)["residual/owner"].amount_minor


def test_every_line_is_less_than_one_fen_off_its_exact_share() -> None:
    draw = np.random.default_rng(11)
    for _ in range(20):
        energy = {node: draw.integers(10**4, 10**6, SLOTS).tolist() for node in ("a1", "a2", "lift", "c")}
        energy["a"] = [
            sum(one) + int(draw.integers(-50, 10**5)) for one in zip(*list(energy.values())[:3], strict=True)
        ]
        energy["main"] = [a + c + int(draw.integers(-50, 10**5)) for a, c in zip(energy["a"], energy["c"], strict=True)]
        run = close_site(site_inputs(energy))
        for unit, spans in (("a1", {"t-1": (0, 8)}), ("a2", {"t-2": (0, 3), "t-3": (3, 8)}), ("c", {"t-4": (2, 8)})):
            for party, span in spans.items():
                exact = sum(exact_loss(energy, unit, slot) for slot in range(*span)) * Fraction(50, 1000)
                assert abs(loss_lines(run)[f"u-{unit}/{party}"].amount_minor - exact) < 1


def exact_loss(energy: dict[str, list[int]], node: str, slot: int) -> Fraction:
    """Loss that a node's energy carries, by fractions: the product of the ratios above it, less 1 [Wh]."""
    ratio = Fraction(energy["main"][slot], energy["a"][slot] + energy["c"][slot])
    if node != "c":
        ratio *= Fraction(energy["a"][slot], sum(energy[one][slot] for one in ("a1", "a2", "lift")))
    return energy[node][slot] * (ratio - 1)


def test_a_negative_loss_is_credited_where_it_arose() -> None:
    # Only branch a gains, and only its own three carry that.
    run = close_site(site_inputs({"main": 2000, "a": 990, "c": 1010}))
    assert loss_wh(run) == {
        "u-a1/t-1": -40,
        "u-a2/t-2": -9,
        "u-a2/t-3": -15,
        "u-c/owner": 0,
        "u-c/t-4": 0,
        "residual/owner": -16,
    }
    assert sum(line.amount_minor for line in loss_lines(run).values()) == -4


def test_losses_that_cancel_out_in_sum_are_still_charged_and_credited() -> None:
    run = close_site(site_inputs({"main": 2010, "a": 990, "c": 1000}))
    assert sum(loss_wh(run).values()) == 8 * 20 - 8 * 10
    run = close_site(site_inputs({"main": 2000, "a": 990, "c": 1000}))
    assert sum(loss_wh(run).values()) == 0
    assert loss_wh(run)["u-a1/t-1"] < 0 < loss_wh(run)["u-c/t-4"]


def test_what_nobody_drew_below_is_the_bearers() -> None:
    run = close_site(site_inputs({"main": [30, *[2200] * 7], **{node: [0, *[one] * 7] for node, one in HALF.items()}}))
    assert abs(quanta_of(run, "residual/owner") - (30 + 7 * 31)) < Fraction(1, 1000)


HALF = {"a": 1050, "c": 950, "a1": 500, "a2": 300, "lift": 200}


def test_below_a_charged_node_the_tree_ends() -> None:
    # The lab's own sub-meter is inside what unit a1 is charged for: its loss is a1's own affair.
    inputs = site_inputs({"lab": 450}, parents={"lab": "a1"})
    assert loss_wh(close_site(inputs)) == loss_wh(close_site(site_inputs()))


def test_an_exclusive_load_carries_its_losses_to_the_unit_that_is_charged_for_it() -> None:
    inputs = site_inputs()
    direct = {"id": "lift", "class": "exclusive", "rule": "direct", "path": ["lift"], "unit": "u-a1"}
    run = close_site(inputs, site_rules(inputs, POOLS[0], direct))
    assert loss_wh(run)["u-a1/t-1"] == 620 + 248
    assert loss_wh(run)["residual/owner"] == 0


def test_a_meter_that_nobody_is_charged_by_is_the_bearers() -> None:
    inputs = site_inputs()
    own = {**POOLS[0], "units": ["u-a1", "u-a2"]}
    assert loss_wh(close_site(inputs, site_rules(inputs, own)))["residual/owner"] == 248 + 760


def test_a_branch_carries_the_losses_of_where_it_hangs_then() -> None:
    hung = (ParentSpan(0, 5, NodeId("a")), ParentSpan(5, 8, NodeId("main")))
    moved = {"main": [2200] * 5 + [2200] * 3, "a": [1050] * 5 + [550] * 3, "a1": 500}
    run = close_site(site_inputs(moved, spans={"a1": hung}))
    # First 5 slots as ever; then main 2200 on 550 + 950 + 500 is 10 % for a1.
    assert loss_wh(run)["u-a1/t-1"] == pytest.approx(5 * 77.5 + 3 * 50, abs=1)
    balance = {one.node: one.loss_wh for one in balance_tree(site_inputs(moved, spans={"a1": hung}))}
    assert sum(loss_wh(run).values()) == sum(one for one in balance.values() if one is not None)


def test_a_node_outside_the_tree_for_a_while_carries_nothing_then() -> None:
    inputs = site_inputs({"main": [2200] * 4 + [1250] * 4}, spans={"c": (ParentSpan(0, 4, NodeId("main")),)})
    run = close_site(inputs)
    assert loss_wh(run)["u-c/t-4"] == 2 * 95


def test_generation_below_is_netted_and_carries_nothing_while_it_gives() -> None:
    inputs = site_inputs({"main": 1700, "solar": 0}, export={"solar": [500] * SLOTS}, parents={"solar": "main"})
    run = close_site(inputs)
    # net 1700 against 1050 + 950 - 500: 200 lost as ever, on the 2000 that were drawn
    assert loss_wh(run) == loss_wh(close_site(site_inputs()))


def test_water_meters_have_no_part_in_electric_losses() -> None:
    inputs = site_inputs({"water": 10**6})
    nodes = tuple(replace(node, medium=Medium.WATER) if node.id == "water" else node for node in inputs.nodes)
    assert loss_wh(close_site(replace(inputs, nodes=nodes))) == loss_wh(close_site(site_inputs()))


def no_load_rules(inputs: PeriodInputs, **changes: Any) -> Any:
    """Rules with a no-load loss of 100 Wh a slot at the main meter."""
    return site_rules(inputs, loss={**LOSS, "no_load": [{**NO_LOAD, **changes}]})


def test_no_load_losses_go_by_area_whoever_draws() -> None:
    inputs = site_inputs()
    run = close_site(inputs, no_load_rules(inputs))
    plain = close_site(inputs)
    # 800 Wh by 1000 : 3000 : 6000; the rest of the loss is 100 of 2100 at the main: half of what it was there.
    traces = {one: line.trace for one, line in loss_lines(run).items()}
    no_load = {one: sum(trace.no_load) for one, trace in traces.items() if isinstance(trace, LossTrace)}
    assert {one: Fraction(part, 1 << LINE_BITS) for one, part in no_load.items()} == {
        "u-a1/t-1": 80,
        "u-a2/t-2": 90,
        "u-a2/t-3": 150,
        "u-c/owner": 120,
        "u-c/t-4": 360,
        "residual/owner": 0,
    }
    assert sum(loss_wh(run).values()) == sum(loss_wh(plain).values())
    assert loss_wh(run)["u-a1/t-1"] == 80 + 410  # 8 x 500 x (2100 x 1050 / 2000 / 1000 - 1)


def test_no_load_losses_of_a_branch_carry_what_is_lost_on_the_way_there() -> None:
    inputs = site_inputs()
    run = close_site(inputs, no_load_rules(inputs, node="a", kwh_per_day="3.84"))
    trace = loss_lines(run)["u-a1/t-1"].trace
    assert isinstance(trace, LossTrace)
    assert Fraction(sum(trace.no_load), 1 << LINE_BITS) == pytest.approx(8 * 40 * 1.1 / 4, abs=1e-5)
    assert "u-c/t-4" in loss_wh(run)
    assert sum(loss_wh(run).values()) == 2000


def test_no_load_losses_go_by_contracted_capacity() -> None:
    inputs = site_inputs()
    rules = no_load_rules(inputs, key="capacity", capacity_kva={"u-a1": "30", "u-a2": "0", "u-c": "12.5"})
    trace = loss_lines(close_site(inputs, rules))["u-a1/t-1"].trace
    assert isinstance(trace, LossTrace)
    assert Fraction(sum(trace.no_load), 1 << LINE_BITS) == pytest.approx(800 * 30 / 42.5, abs=1e-5)


def test_no_load_losses_with_nobody_below_are_the_bearers() -> None:
    inputs = site_inputs()
    rules = no_load_rules(inputs, key="capacity", capacity_kva={"u-a1": "0"})
    assert quanta_of(close_site(inputs, rules), "residual/owner") > 800


def test_slots_of_no_load_losses_add_up_to_the_day() -> None:
    inputs = site_inputs(slots=96)
    for kwh in ("0.001", "0.095", "0.097", "12.345"):
        run = close_site(inputs, no_load_rules(inputs, kwh_per_day=kwh))
        traces = [line.trace for line in loss_lines(run).values()]
        no_load = sum(sum(trace.no_load) for trace in traces if isinstance(trace, LossTrace))
        assert abs(Fraction(no_load, 1 << LINE_BITS) - Fraction(kwh) * 1000) < Fraction(1, 10**5)


def test_the_bearers_line_is_a_residual_and_the_others_are_losses() -> None:
    kinds = {one: line.kind for one, line in loss_lines(close_site(site_inputs())).items()}
    assert kinds.pop("residual/owner") is LineKind.RESIDUAL
    assert set(kinds.values()) == {LineKind.LOSS}


def test_drawn_energy_stands_beside_the_loss_it_carried() -> None:
    inputs = site_inputs()
    trace = loss_lines(close_site(inputs, site_rules(inputs, prices=TWO_BANDS)))["u-a1/t-1"].trace
    assert isinstance(trace, LossTrace)
    assert trace.drawn_wh == (2000, 2000)


def test_a_large_site_is_exact_too() -> None:
    inputs = site_inputs({node: wh * 10**7 for node, wh in {**HALF, "main": 2200}.items()})
    assert sum(loss_wh(close_site(inputs)).values()) == 2000 * 10**7
    assert loss_wh(close_site(inputs))["u-a1/t-1"] == 620 * 10**7


def test_a_point_beyond_all_bounds_is_refused() -> None:
    inputs = site_inputs({"main": 10**11, "a": 0, "a1": 0, "a2": 0, "lift": 0, "c": 9 * 10**10}, slots=96)
    with pytest.raises(OutOfRange):
        close_site(inputs)


def test_the_order_in_which_a_site_is_listed_changes_no_line() -> None:
    inputs = site_inputs()
    order = [3, 0, 5, 2, 1, 4]
    shuffled = replace(
        inputs,
        nodes=tuple(inputs.nodes[row] for row in order),
        import_wh=inputs.import_wh[order],
        export_wh=inputs.export_wh[order],
        units=inputs.units[::-1],
        occupancies=inputs.occupancies[::-1],
    )
    assert loss_lines(close_site(shuffled)) == loss_lines(close_site(inputs))


def test_sharing_that_does_not_hold_for_the_whole_period_stops_the_run() -> None:
    inputs = site_inputs()
    rules = site_rules(inputs, loss={**LOSS, "from": "2026-07-02"})
    with pytest.raises(PeriodNotReady, match="the sharing of losses holds from 2026-07-02, not for all of 2026-07-01"):
        close_site(inputs, rules)


def test_sharing_past_its_review_is_warned_of() -> None:
    inputs = site_inputs()
    rules = site_rules(inputs, loss={**LOSS, "review_by": "2026-07-01"})
    assert close_site(inputs, rules).warnings == ("the sharing of losses was due for review by 2026-07-01",)


def test_a_ring_of_nodes_is_refused_by_name() -> None:
    inputs = site_inputs(parents={"a": "a1"})
    with pytest.raises(InputsInvalid, match=r"ring: a, a1, a2, lift"):
        balance_tree(inputs)


def test_slots_with_an_unknown_meter_are_left_out_of_the_balance() -> None:
    inputs = site_inputs()
    quality = inputs.quality.copy()
    quality[inputs.row(NodeId("a1")), 2] = SlotQuality.MISSING
    balance = {one.node: one.loss_wh for one in balance_tree(replace(inputs, quality=quality))}
    assert (balance["a"], balance["main"]) == (7 * 50, 8 * 200)
    quality[inputs.row(NodeId("a")), 3] = SlotQuality.HELD
    balance = {one.node: one.loss_wh for one in balance_tree(replace(inputs, quality=quality))}
    assert (balance["a"], balance["main"]) == (6 * 50, 7 * 200)


class Planted:
    """Faults planted into the finding of factors; each must be caught by the check of conservation."""

    @staticmethod
    def dropped_slot(found: LossFactors) -> LossFactors:
        """Nobody carries the losses of slot 3."""
        gross = found.gross.copy()
        gross[:, 3] = 0
        return replace(found, gross=gross)

    @staticmethod
    def wrong_sign(found: LossFactors) -> LossFactors:
        """Losses are paid out."""
        return replace(found, gross=-found.gross)

    @staticmethod
    def lost_rest(found: LossFactors) -> LossFactors:
        """What the cut leaves over is forgotten."""
        return replace(found, rest=found.rest * 0)

    @staticmethod
    def swapped_slots(found: LossFactors) -> LossFactors:
        """Losses of one band are carried in another."""
        return replace(found, loss_wh=np.roll(found.loss_wh, 4, axis=1) + np.arange(8))


@pytest.mark.parametrize(
    "fault",
    [Planted.dropped_slot, Planted.wrong_sign, Planted.lost_rest, Planted.swapped_slots],
    ids=lambda one: one.__name__,
)
def test_a_planted_fault_stops_the_run(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    def find(span: TreeSpan, *flows: Any) -> LossFactors:
        return fault(find_loss_factors(span, *flows))

    inputs = site_inputs({"a1": [500, 501, 503, 507, 511, 513, 517, 519]})
    monkeypatch.setattr(loss_shares, "find_loss_factors", find)
    with pytest.raises(NotConserved):
        close_site(inputs, site_rules(inputs, prices=TWO_BANDS))


def test_spans_of_a_tree_are_cut_where_any_node_moves() -> None:
    hung = (ParentSpan(0, 5, NodeId("a")), ParentSpan(5, 8, NodeId("main")))
    spans = tree_spans(site_inputs(spans={"a1": hung}).nodes, SLOTS)
    assert [(span.first, span.end, names(span)) for span in spans] == [(0, 5, ["main", "a"]), (5, 8, ["main", "a"])]
    assert [span.order.size for span in spans] == [5, 5]


def names(span: TreeSpan) -> Sequence[str]:
    """Ids of the inner nodes of the site's tree."""
    listed = list(site_inputs().nodes)
    return [listed[row].id for row in span.inner]


def test_flat_prices_and_bands_give_the_same_energy() -> None:
    inputs = site_inputs()
    flat, banded = (close_site(inputs, site_rules(inputs, prices=prices)) for prices in (FLAT, TWO_BANDS))
    for one in loss_lines(flat):
        assert abs(quanta_of(flat, one) - quanta_of(banded, one)) < Fraction(1, 10**5)


@pytest.mark.parametrize("cells", [1, 2, 5, 7, 13])
def test_cut_into_pieces_of_time_the_losses_are_the_same(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """Pieces of one slot and of several, over a tree that changes, with energy given back and a no-load part."""
    draw = np.random.default_rng(cells)
    energy = {node: draw.integers(0, 1000, SLOTS).tolist() for node in ("main", "a", "c", "a1", "a2", "lift")}
    hung = (ParentSpan(0, 3, NodeId("a")), ParentSpan(3, SLOTS, NodeId("main")))
    inputs = site_inputs(energy, spans={"a1": hung}, export={"c": draw.integers(0, 200, SLOTS).tolist(), "a": 3})
    rules = site_rules(
        inputs, loss={**LOSS, "no_load": [NO_LOAD, {**NO_LOAD, "node": "a", "kwh_per_day": "0.5"}]}, prices=TWO_BANDS
    )
    whole = close_site(inputs, rules)
    monkeypatch.setattr(loss_shares, "CELLS_MAX", cells)
    narrow = replace(inputs, import_wh=inputs.import_wh.astype(np.int32))
    assert (close_site(inputs, rules), close_site(narrow, rules)) == (whole, whole)


def test_pieces_of_time_are_as_long_as_the_cells_allow_and_leave_out_no_slot() -> None:
    (span,) = tree_spans(site_inputs().nodes, SLOTS)
    assert [(part.first, part.end) for part in span.parts(3 * span.inner.size)] == [(0, 3), (3, 6), (6, 8)]
    assert [(part.first, part.end) for part in span.parts(1)] == [(slot, slot + 1) for slot in range(SLOTS)]
    assert [(part.first, part.end) for part in replace(span, first=2).parts(10**6)] == [(2, SLOTS)]


def test_a_pool_of_another_medium_ends_no_electricity_tree() -> None:
    """Water is charged to unit a1 by a meter of its own; that says nothing of who pays for its electricity."""
    inputs = site_inputs({"water": 5})
    nodes = tuple(replace(node, medium=Medium.WATER) if node.id == "water" else node for node in inputs.nodes)
    inputs = replace(inputs, nodes=nodes)
    pool = site_rules(inputs, POOLS[1]).pools[0]
    water = replace(
        pool,
        id=PoolId("by-water"),
        path=(),
        measure=Measure.WATER,
        rule=OwnUseRule((UnitId("u-a1"),), ((UnitId("u-a1"), NodeId("water")),)),
    )
    assert payer_nodes(inputs, (pool, water)) == {NodeId("lift"): None}


@pytest.mark.parametrize(("node", "blind"), [("c", ["main"]), ("a", ["a", "main"]), ("main", ["main"])])
def test_where_energy_given_back_is_unknown_no_loss_is_known(node: str, blind: list[str]) -> None:
    inputs = site_inputs()
    (span,) = tree_spans(inputs.nodes, SLOTS)
    given = np.zeros_like(inputs.import_wh)
    given[inputs.row(NodeId("c"))] = 7
    known = find_loss_factors(span, inputs.import_wh, given, np.zeros(6, np.int64))
    given[inputs.row(NodeId(node)), 2] = -1
    found = find_loss_factors(span, inputs.import_wh, given, np.zeros(6, np.int64))
    names = [inputs.nodes[row].id for row in span.inner]
    assert [name for name, loss in zip(names, found.loss_wh[:, 2], strict=True) if loss == 0] == sorted(
        blind, reverse=True
    )
    others = [0, 1, 3, 4, 5, 6, 7]
    assert np.array_equal(found.loss_wh[:, others], known.loss_wh[:, others])
