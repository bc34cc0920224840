"""The closed-loop check: what a node measured against its children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from allocation_engine.balance import balance_tree, cases_of, charged_loads
from allocation_engine.inputs import ParentSpan, PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.rules import Rules
from allocation_engine.run import NodeBalance
from allocation_engine.span_sums import count_qualities
from metering.identity import NodeId

Make = Callable[..., PeriodInputs]


def balance_of(inputs: PeriodInputs, node: str) -> NodeBalance:
    """The balance of one node."""
    return next(one for one in balance_tree(inputs) if one.node == node)


def test_loss_is_what_the_children_do_not_explain(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": 1000, "a": 600, "b": 390}, parents={"a": "main", "b": "main"})
    main = balance_of(inputs, "main")
    assert (main.net_wh, main.children_wh, main.loss_wh, main.day_loss_wh) == (8000, 7920, 80, (80,))
    assert (balance_of(inputs, "a").loss_wh, balance_of(inputs, "a").band_wh) == (None, None)


def test_export_counts_against_import_at_every_level(make_inputs: Make) -> None:
    inputs = make_inputs(
        energy={"main": [100, 0], "load": [100, 50], "solar": [0, 0]},
        export={"main": [0, 30], "solar": [0, 80]},
        parents={"load": "main", "solar": "main"},
        slots=2,
    )
    main = balance_of(inputs, "main")
    assert (main.import_wh, main.export_wh, main.net_wh, main.children_wh, main.loss_wh) == (100, 30, 70, 70, 0)


def test_a_child_counts_for_its_parent_only_while_it_hangs_there(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"a": 100, "b": 100, "moved": 10}, parents={"moved": "a"})
    moved = replace(inputs.nodes[2], parents=(ParentSpan(0, 3, NodeId("a")), ParentSpan(3, 8, NodeId("b"))))
    inputs = replace(inputs, nodes=(*inputs.nodes[:2], moved))
    assert balance_of(inputs, "a").children_wh == 30
    assert balance_of(inputs, "b").children_wh == 50


def test_the_band_is_two_standard_errors_of_the_accuracy_classes(make_inputs: Make) -> None:
    # class 1: errors of 1 % of 1,000,000 and of 2 x 500,000 Wh; 2 x sqrt(10,000^2 + 2 x 5,000^2) = 24,494
    inputs = make_inputs(
        energy={"main": 10**6, "a": 5 * 10**5, "b": 5 * 10**5}, parents={"a": "main", "b": "main"}, slots=1
    )
    assert balance_of(inputs, "main").band_wh == 24_494


def test_a_loss_outside_its_band_is_a_case_with_a_hint(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": 10**6, "a": 970_000}, parents={"a": "main"}, slots=1)
    (case,) = cases_of(balance_tree(inputs))
    assert (case.node, case.loss_wh, case.band_wh) == ("main", 30_000, 27_863)
    assert case.text.startswith("main: 30.000 kWh are unaccounted for and accuracy explains 27.863 kWh")


def test_children_that_measured_more_than_their_parent_are_a_case_too(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": 10**6, "a": 1_050_000}, parents={"a": "main"}, slots=1)
    assert [case.loss_wh for case in cases_of(balance_tree(inputs))] == [-50_000]


def test_a_loss_inside_its_band_is_no_case(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": 10**6, "a": 980_000}, parents={"a": "main"}, slots=1)
    assert cases_of(balance_tree(inputs)) == ()


def test_a_step_of_the_register_is_no_case_when_almost_nothing_flows(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": [1000], "a": [0]}, parents={"a": "main"}, slots=1)
    assert cases_of(balance_tree(inputs)) == ()


def test_losses_of_days_add_up_to_the_loss_of_the_period(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": list(range(100)), "a": 3}, parents={"a": "main"}, slots=100)
    main = balance_of(inputs, "main")
    assert len(main.day_loss_wh) == 2
    assert sum(main.day_loss_wh) == main.loss_wh


def test_qualities_are_counted_in_words() -> None:
    quality = np.array([0, 0, 3, 1], np.uint8)
    assert count_qualities(quality) == (("measured", 2), ("rollover", 1), ("estimated", 1))


def test_a_node_tells_on_what_it_rests(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": 1}, quality={("main", 2): SlotQuality.ESTIMATED})
    assert balance_of(inputs, "main").slots_by_quality == (("measured", 7), ("estimated", 1))


def test_a_meter_hung_anew_at_its_parent_widens_the_band_as_if_it_had_stayed(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"main": 10**6, "a": 10**6}, parents={"a": "main"})
    again = (ParentSpan(0, 3, NodeId("main")), ParentSpan(3, 8, NodeId("main")))
    pieces = replace(inputs, nodes=(inputs.nodes[0], replace(inputs.nodes[1], parents=again)))
    assert balance_of(pieces, "main") == balance_of(inputs, "main")


def test_what_a_pool_charges_as_left_over_is_a_load_and_no_case(make_inputs: Make) -> None:
    inputs = make_inputs(
        energy={"main": 10**6, "hall": 10**6, "kiosk": 10**5}, parents={"hall": "main", "kiosk": "hall"}
    )
    balance = balance_tree(inputs)
    assert [case.node for case in cases_of(balance)] == ["hall"]
    assert cases_of(balance, {NodeId("hall")}) == ()


def test_below_a_load_children_that_measured_too_much_are_still_a_case(make_inputs: Make) -> None:
    inputs = make_inputs(energy={"hall": 10**5, "kiosk": 10**6}, parents={"kiosk": "hall"})
    assert [case.loss_wh for case in cases_of(balance_tree(inputs), {NodeId("hall")})] == [-7_200_000]


def test_only_nodes_a_pool_takes_something_off_are_loads(make_inputs: Make, make_rules: Callable[..., Rules]) -> None:
    inputs = make_inputs(
        energy=dict.fromkeys(("main", "hall", "floor", "kiosk", "lift"), 8),
        parents={"hall": "main", "floor": "hall", "kiosk": "floor", "lift": "main"},
        units={"h": (100, "hall"), "k": (5, "kiosk")},
    )
    hall = {"id": "hall", "class": "exclusive", "rule": "direct", "path": ["hall"], "unit": "h"}
    lift = {"id": "lift", "class": "must", "rule": "area", "path": ["lift"], "units": "all", "grain": "period"}
    assert charged_loads(inputs, make_rules(inputs, hall, lift).pools) == set()
    assert charged_loads(inputs, make_rules(inputs, hall | {"deduct": ["kiosk"]}, lift).pools) == {"hall"}
