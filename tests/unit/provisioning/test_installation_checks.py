"""Checks of an installation: each mistake has its name, and an installation without mistakes has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from metering.identity import MeterId, NodeId, PortId, UnitId
from provisioning.chinese_maps import as_on_chinese_map, from_chinese_map, in_china
from provisioning.installation import Finding, Severity
from provisioning.installation_checks import Survey, WindowEnergy, check_installation, window_energy
from provisioning.order_file import Plan, plan_of
from provisioning.place import Place
from provisioning.serial_numbers import is_same_serial
from provisioning.site import ALWAYS, NodeKind, Placement, Span
from provisioning.site_file import read_site
from tests.doubles.proof_meter import ADL400, meter
from tests.doubles.survey import AT, NODES, OUTLINE, PORT, binding, expected, node, seen, serial_of, survey

IMPORT = "1-0:1.8.0"


def codes(found: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in found]


def found(**parts: Any) -> tuple[Finding, ...]:
    return check_installation(survey(**parts))


def only(code: str, severity: Severity, **parts: Any) -> Finding:
    """Require exactly one finding, of this code."""
    told = found(**parts)
    assert codes(told) == [code]
    assert told[0].severity is severity
    return told[0]


def test_an_installation_without_mistakes_has_no_findings() -> None:
    assert found() == ()


def test_worst_comes_first() -> None:
    told = found(
        bindings=(binding(1, place=None), binding(2, read_serial=None), binding(3, read_serial="999999999999"))
    )
    severities = [finding.severity for finding in told]
    assert severities == sorted(severities, key=tuple(Severity).index)
    assert severities[0] is Severity.WRONG


# -- the tree


def test_an_orphan_is_found() -> None:
    told = only("node-orphan", Severity.WRONG, nodes=(*NODES, node("lost", None)))
    assert told.subject == "lost"


def test_a_parent_that_is_not_there_is_named() -> None:
    assert "nowhere" in only("node-parent-unknown", Severity.WRONG, nodes=(*NODES, node("u-9", "nowhere"))).told.en


@pytest.mark.parametrize("twice", [False, True])
def test_two_parents_at_once_are_found_in_one_entry_or_two(twice: bool) -> None:
    one = node("u-4", "bldg", NodeKind.BRANCH)
    placements = (*one.placements, Placement(NodeId("main"), ALWAYS))
    doubled = (one, node("u-4", "main", NodeKind.BRANCH)) if twice else (replace(one, placements=placements),)
    told = found(nodes=(*NODES, *doubled))
    assert "node-double-parent" in codes(told)
    assert ("node-twice" in codes(told)) is twice


def test_parents_that_follow_one_another_are_one_at_a_time() -> None:
    moved = replace(
        node("u-4", None),
        placements=(Placement(NodeId("bldg"), Span(None, AT)), Placement(NodeId("main"), Span(AT, None))),
    )
    assert found(nodes=(*NODES, moved)) == ()


def test_a_circle_is_told_once_with_all_its_nodes() -> None:
    branches = (
        node("b-1", "b-3", NodeKind.BRANCH),
        node("b-2", "b-1", NodeKind.BRANCH),
        node("b-3", "b-2", NodeKind.BRANCH),
    )
    told = only("node-cycle", Severity.WRONG, nodes=(*NODES, *branches))
    assert {"b-1", "b-2", "b-3"} <= set(told.told.zh.replace("；", " ").replace("：", " ").split())


def test_nothing_hangs_below_an_end_or_above_a_main() -> None:
    assert "node-below-end" in codes(found(nodes=(*NODES, node("u-4", "u-1"))))
    assert "node-main-below" in codes(found(nodes=(*NODES, node("main-2", "main", NodeKind.MAIN))))


def test_a_binding_hangs_at_a_node_of_the_plan() -> None:
    told = found(bindings=(binding(1, node=NodeId("u-7"), id=MeterId("m-7")), binding(2), binding(3)))
    assert "binding-node-unknown" in codes(told)


# -- whose meter is it


def test_a_serial_planned_for_another_node_means_another_tenant_pays() -> None:
    one = binding(1, node=NodeId("u-2"), unit=UnitId("room-2"))
    two = binding(2, node=NodeId("u-1"), unit=UnitId("room-1"))
    told = found(bindings=(one, two, binding(3)))
    assert codes(told).count("serial-expected-elsewhere") == 2
    assert told[0].severity is Severity.WRONG
    assert {"room-1", "room-2"} <= set(told[0].told.en.replace(")", " ").split())


def test_a_unit_of_another_node_means_another_tenant_pays() -> None:
    told = found(bindings=(binding(1, unit=UnitId("room-2")), binding(2), binding(3)))
    assert codes(told)[:2] == ["unit-of-other-node", "unit-twice"]


def test_plates_right_and_addresses_crossed_is_found_by_what_the_bus_says() -> None:
    one = binding(1, address=serial_of(2), read_serial=serial_of(2))
    two = binding(2, address=serial_of(1), read_serial=serial_of(1))
    told = found(bindings=(one, two, binding(3)))
    assert codes(told).count("serial-crossed") == 2
    assert codes(told).count("address-other-serial") == 2
    assert all(finding.severity is Severity.WRONG for finding in told)


def test_a_plate_that_fits_the_plan_is_not_believed_against_the_bus() -> None:
    """The engineer wrote the planned number down; the meter itself says that it is the one for the next room."""
    told = found(bindings=(binding(1, read_serial=serial_of(2)),), seen=())
    assert "serial-expected-elsewhere" in codes(told)


def test_the_bus_contradicts_the_plate() -> None:
    bound = (binding(1, read_serial="999999999999"), binding(2), binding(3))
    assert "serial-differs" in codes(found(bindings=bound, seen=()))


def test_a_serial_that_cannot_be_read_is_a_note() -> None:
    assert only("serial-unread", Severity.NOTE, bindings=(binding(1, read_serial=None), binding(2), binding(3)))


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"node": NodeId("u-2")}, "binding-node-twice"),
        ({"serial": serial_of(2), "read_serial": serial_of(2)}, "binding-serial-twice"),
        ({"id": MeterId("m-u-2")}, "binding-meter-twice"),
        ({"address": serial_of(2)}, "binding-address-twice"),
    ],
)
def test_nothing_is_bound_twice(parts: dict[str, Any], code: str) -> None:
    told = found(bindings=(binding(1, **parts), binding(2), binding(3)))
    assert code in [finding.code for finding in told if finding.severity is Severity.WRONG]


def test_a_serial_that_answers_elsewhere_is_bound_where_it_answers() -> None:
    moved = (seen(1, port=PortId("line-b")), seen(2), seen(3))
    told = only("serial-elsewhere", Severity.WRONG, seen=moved)
    assert "line-b" in told.told.en


def test_a_serial_that_answers_twice_is_looked_at() -> None:
    only("serial-two-addresses", Severity.DOUBTFUL, seen=(seen(1), seen(1, port=PortId("line-b")), seen(2), seen(3)))


def test_a_bound_address_that_was_silent_is_told_only_of_scanned_lines() -> None:
    only("bound-silent", Severity.DOUBTFUL, seen=(seen(2), seen(3)))
    assert found(seen=(seen(2), seen(3)), scanned=frozenset()) == ()


def test_one_address_in_two_spellings_is_one() -> None:
    short = tuple(seen(at, address=serial_of(at).lower()) for at in (1, 2, 3))
    assert found(seen=short) == ()


def test_expected_meters_that_are_missing_silent_or_unbound_are_told_apart() -> None:
    told = found(bindings=(binding(2), binding(3)))
    assert "expected-unbound" in codes(told)
    told = found(bindings=(binding(2), binding(3)), seen=(seen(2), seen(3)))
    assert "expected-missing" in codes(told)
    assert "unit-without-meter" in codes(told)


def test_a_meter_that_no_plan_knows_is_told() -> None:
    stray = seen(3, address="202607000077", serial="202607000077")
    only("serial-unexpected", Severity.DOUBTFUL, seen=(seen(1), seen(2), seen(3), stray))


def test_another_serial_model_or_ratio_than_planned_wants_a_reason() -> None:
    other = binding(1, serial="202699990001", read_serial="202699990001", address="202699990001", ct=40, profile="x/y")
    answering = (seen(1, serial="202699990001", address="202699990001"), seen(2), seen(3))
    told = found(bindings=(other, binding(2), binding(3)), seen=answering)
    assert set(codes(told)) == {"serial-not-as-planned", "ratio-not-as-planned", "model-not-as-planned"}
    assert {finding.severity for finding in told} == {Severity.DOUBTFUL}


def test_a_plate_as_planned_whose_bus_tells_another_serial_is_told_once_and_not_as_planned_against_itself() -> None:
    told = only("serial-differs", Severity.WRONG, bindings=(binding(1, read_serial="999"), binding(2), binding(3)))
    assert serial_of(1) in told.told.en
    assert "999" in told.told.en


def test_a_plan_without_serials_asks_only_whether_a_meter_is_there() -> None:
    open_plan = tuple(expected(at, serial=None, profile=None, ct=None, pt=None) for at in (1, 2, 3))
    assert found(expected=open_plan) == ()
    assert "expected-missing" in codes(found(expected=open_plan, bindings=(binding(1), binding(2)), seen=()))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("000202607000001", "202607000001", True),
        ("SN 2026-0700-0001", "sn202607000001", True),
        ("1330001002026070000015", "202607000001", True),
        ("202607000001", "202607000010", False),
        ("12345", "912345", False),
        ("No. 000123", "123", True),
        ("K12345", "L12345", False),
        ("12K345", "345", False),
        ("", "", False),
        ("０１２３４５６７８９", "123456789", True),
    ],
)
def test_spellings_of_one_serial(one: str, other: str, is_same: bool) -> None:
    assert is_same_serial(one, other) is is_same
    assert is_same_serial(other, one) is is_same


# -- units


def test_a_meter_at_an_end_without_unit_is_a_note_and_a_forgotten_unit_is_not() -> None:
    lift = binding(3, node=NodeId("lift"), unit=None, id=MeterId("m-lift"))
    told = found(nodes=(*NODES, node("lift", "bldg")), bindings=(binding(1), binding(2), lift), expected=())
    assert codes(told) == ["meter-without-unit", "unit-not-here"]
    only("unit-not-named", Severity.DOUBTFUL, bindings=(binding(1, unit=None), binding(2), binding(3)))


def test_a_unit_that_the_plan_does_not_have() -> None:
    only("unit-unknown", Severity.WRONG, bindings=(binding(1, unit=UnitId("room-99")), binding(2), binding(3)))


# -- places


def placed(lat_e7: int, lon_e7: int, accuracy_cm: int | None = 500, note: str | None = None) -> dict[str, Any]:
    return {"bindings": (binding(1, place=Place(lat_e7, lon_e7, accuracy_cm, note)), binding(2), binding(3))}


def test_a_meter_outside_its_building_is_wrong_and_says_how_far() -> None:
    told = only("place-outside", Severity.WRONG, **placed(311_790_000, 1_215_272_000))
    assert "167 m" in told.told.en


def test_outside_by_no_more_than_the_telephone_allows_is_a_note() -> None:
    only("place-near-outline", Severity.NOTE, **placed(311_775_800, 1_215_272_000, 800))
    only("place-outside", Severity.WRONG, **placed(311_775_800, 1_215_272_000, 100))


def test_on_the_wall_is_inside() -> None:
    assert found(**placed(311_775_000, 1_215_272_000)) == ()
    assert found(**placed(311_775_200, 1_215_272_000, 0)) == ()


def test_coordinates_from_a_chinese_map_are_recognised() -> None:
    shifted = as_on_chinese_map((311_772_000, 1_215_272_000))
    told = only("place-chinese-map", Severity.DOUBTFUL, **placed(*shifted))
    assert "GCJ-02" in told.told.zh


def test_chinese_maps_shift_as_published_and_back() -> None:
    """Points and their places on such maps as several open libraries test them."""
    points = {
        (311_774_276, 1_215_272_106): (311_753_040, 1_215_315_419),
        (225_438_470, 1_139_123_160): (225_407_961, 1_139_171_765),
        (399_119_540, 1_163_778_170): (399_133_455, 1_163_840_472),
    }
    for point, there in points.items():
        assert as_on_chinese_map(point) == there
        assert max(abs(back - was) for back, was in zip(from_chinese_map(there), point, strict=True)) <= 1
        assert in_china(point)
    assert not in_china((525_000_000, 134_000_000))


def test_latitude_and_longitude_interchanged_are_recognised() -> None:
    square = (
        (400_000_000, 410_000_000),
        (400_000_000, 410_010_000),
        (400_010_000, 410_010_000),
        (400_010_000, 410_000_000),
    )
    nodes = tuple(replace(one, outline=square) if one.id == "bldg" else one for one in NODES)
    inside = tuple(binding(at, place=Place(400_005_000 + at, 410_005_000)) for at in (2, 3))
    told = found(nodes=nodes, bindings=(binding(1, place=Place(410_005_000, 400_005_000)), *inside))
    assert codes(told) == ["place-interchanged"]


def test_equal_coordinates_were_copied_unless_notes_say_where_in_the_cabinet() -> None:
    point = (311_772_000, 1_215_272_000)
    copied = tuple(binding(at, place=Place(*point, 500)) for at in (1, 2, 3))
    told = only("place-copied", Severity.DOUBTFUL, bindings=copied)
    assert all(f"m-u-{at}" in told.told.en for at in (1, 2, 3))
    said = tuple(binding(at, place=Place(*point, 500, f"row {at}")) for at in (1, 2, 3))
    only("place-shared", Severity.NOTE, bindings=said)


def test_a_meter_without_coordinates_is_doubtful() -> None:
    only("place-missing", Severity.DOUBTFUL, bindings=(binding(1, place=None), binding(2), binding(3)))


def test_the_nearest_outline_upwards_counts() -> None:
    far = tuple((lat + 10_000_000, lon) for lat, lon in OUTLINE)
    nodes = tuple(replace(one, outline=far) if one.id == "main" else one for one in NODES)
    assert found(nodes=nodes) == ()


# -- energies


def window(name: str, wh: int, *, ratio: int = 1, step_wh: int = 10, late_s: int = 0) -> WindowEnergy:
    shift = timedelta(seconds=late_s)
    start, end = AT + shift, AT + timedelta(minutes=15) + shift
    return WindowEnergy(f"m-{name}", NodeId(name), start, end, Fraction(wh), Fraction(step_wh), ratio)


def test_a_parent_as_large_as_its_children_and_their_losses_is_right() -> None:
    assert found(windows=(window("bldg", 6100), *(window(f"u-{at}", 2000) for at in (1, 2, 3)))) == ()


def test_a_parent_smaller_than_its_children_is_wrong_and_guesses_why() -> None:
    told = found(windows=(window("bldg", 3050, ratio=20), *(window(f"u-{at}", 2000) for at in (1, 2, 3))))
    assert codes(told) == ["parent-smaller"]
    assert "CT×PT 20 → 40" in told[0].told.zh
    told = found(windows=(window("bldg", 4050), window("u-1", 2000), window("u-2", 2000), window("u-3", 3000)))
    assert "m-u-3 ↛ bldg" in told[0].told.en


def test_a_parent_much_larger_lacks_a_child_but_only_where_all_are_measured() -> None:
    windows = (window("bldg", 60_000), *(window(f"u-{at}", 2000) for at in (1, 2, 3)))
    assert codes(found(windows=windows)) == ["parent-larger"]
    assert found(windows=windows[:3]) == ()


def test_a_window_too_short_to_prove_anything_says_so() -> None:
    windows = (window("bldg", 20, step_wh=10), *(window(f"u-{at}", 10) for at in (1, 2, 3)))
    assert codes(found(windows=windows)) == ["window-short"]


def test_steps_classes_and_moments_of_reading_are_allowed_for() -> None:
    """Registers of 100 Wh at ratio 1, read up to a minute apart: 300 Wh less than the children prove nothing."""
    late = tuple(window(f"u-{at}", 2000, step_wh=100, late_s=60) for at in (1, 2, 3))
    assert codes(found(windows=(window("bldg", 5700, step_wh=100), *late))) == []
    assert codes(found(windows=(window("bldg", 3000, step_wh=100), *late))) == ["parent-smaller"]


def test_children_count_through_a_node_without_a_meter() -> None:
    windows = (window("main", 3000), *(window(f"u-{at}", 2000) for at in (1, 2, 3)))
    assert codes(found(windows=windows)) == ["parent-smaller"]


def test_energy_of_a_window_is_import_less_export_times_the_ratio() -> None:
    first = meter({IMPORT: 1000, "1-0:2.8.0": 50}, model=ADL400, ct=20)
    last = meter({IMPORT: 1100, "1-0:2.8.0": 80}, model=ADL400, ct=20, at=first.read_at + timedelta(minutes=10))
    taken = window_energy(first, last, NodeId("u-1"))
    assert taken is not None
    assert (taken.energy_wh, taken.step_wh, taken.ratio) == (14_000, 200, 20)
    assert taken.power_w == 84_000
    assert window_energy(last, first, NodeId("u-1")) is None


def test_a_register_that_rolled_over_in_the_window_is_unwound_and_one_that_fell_is_not() -> None:
    later = AT + timedelta(minutes=10)
    rolled = window_energy(meter({IMPORT: 2**32 - 10}), meter({IMPORT: 20}, at=later), NodeId("u-1"))
    assert rolled is not None
    assert rolled.energy_wh == 300
    assert window_energy(meter({IMPORT: 5000}), meter({IMPORT: 20}, at=later), NodeId("u-1")) is None
    assert window_energy(meter({}), meter({IMPORT: 20}, at=later), NodeId("u-1")) is None


# -- from a plan


def test_a_survey_of_a_plan_knows_the_nodes_that_bindings_made() -> None:
    site = read_site(Path(__file__).parents[3] / "examples" / "park")
    plan: Plan = plan_of(site, site.gateways[0].id)
    made = node("kiosk", "main")
    bound = binding(1, node=NodeId("kiosk"), id=MeterId("m-kiosk"), unit=None)
    one = Survey.of_plan(plan, at=AT, bindings=(replace(bound, node=made),), scanned=(PORT,))
    assert "binding-node-unknown" not in codes(check_installation(one))
    assert made in one.nodes
    assert one.expected == plan.expected
