"""What the approver of a binding is shown: every way in which it is not what was planned, the worst first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingest.binding_review import Review, review
from ingest.store.bindings import BindingState, BoundAct, StoredBinding
from metering.identity import GatewayId, MeterId, NodeId, UnitId
from metering.obis import ENERGY_IMPORT
from provisioning.installation import Bind, Binding, Comparison, Decommission, Finding, RatioChange, Severity
from provisioning.order_file import ExpectedMeter, Plan, plan_of
from provisioning.site import Names
from tests.doubles.installer import NOW, Installer, binding, park

A101, A201 = (park().meter(MeterId(one)) for one in ("m-u-a101", "m-u-a201"))
COMPARED = (Comparison(ENERGY_IMPORT, "1.00", None, None, "equal", NOW),)
PLAN = plan_of(park(), GatewayId("gw-a"))


def stored(made: Binding | None, octets: bytes = b"") -> StoredBinding:
    """A binding as the store gives it; None: an act that binds no meter."""
    body = Decommission(meter=A101.id, at=NOW, closing=()) if made is None else Bind(binding=made)
    event = Installer().event(body)
    meter, serial = (None, None) if made is None else (made.meter.id, made.meter.serial)
    node = A101.node if made is None else made.meter.node
    act = BoundAct(event.id, event.site, body.kind, meter, serial, node, None, NOW, event.by)
    return StoredBinding(
        act, None, BindingState.PENDING, None, None, "", event, octets, GatewayId("gw-a"), NOW, ""
    )  # fmt: skip


def as_planned(**changes: object) -> Binding:
    """The meter of a101 exactly as the plan has it, but for `changes` to the meter."""
    return replace(binding(A101, NOW, unit="a101", **changes), comparisons=COMPARED)  # type: ignore[arg-type]


def shown(made: Binding, plan: Plan | None = PLAN, **elsewhere: str) -> Review:
    return review(stored(made), plan, elsewhere)


def codes(found: Review) -> list[str]:
    return [one.code for one in found.differences]


def test_a_binding_as_planned_differs_in_nothing() -> None:
    found = shown(as_planned())
    assert (codes(found), found.needs_reason) == ([], False)
    assert found.expected is not None
    assert found.expected.serial == A101.serial


@pytest.mark.parametrize(
    ("changes", "code", "expected", "got", "needs_reason"),
    [
        ({"serial": "999"}, "serial-differs", A101.serial, "999", False),
        ({"profile": "acrel/adl400"}, "model-differs", A101.profile, "acrel/adl400", False),
        ({"ct": 20}, "ratio-differs", "1 x 1", "20 x 1", True),
        ({"pt": 100}, "ratio-differs", "1 x 1", "1 x 100", True),
        ({"id": MeterId("m-other")}, "not-expected", "-", "m-other", False),
    ],
)
def test_each_difference_is_told_with_both_sides(
    changes: dict[str, object], code: str, expected: str, got: str, needs_reason: bool
) -> None:
    found = shown(as_planned(**changes))
    (one,) = (one for one in found.differences if one.code == code)
    assert (one.expected, one.found, found.needs_reason) == (expected, got, needs_reason)
    for text in (one.told.zh, one.told.en):
        assert got in text
    if expected != "-":
        assert expected in one.told.zh


def test_the_serial_of_the_neighbour_is_told_as_the_wrong_tenant_and_first() -> None:
    found = shown(as_planned(serial=A201.serial))
    assert codes(found)[0] == "serial-elsewhere"
    one = found.differences[0]
    assert (one.expected, one.found, one.severity) == ("a201", "a101", Severity.WRONG)
    assert "租户" in one.told.zh
    assert "wrong tenant" in one.told.en


def test_what_the_bus_told_counts_as_a_serial_too() -> None:
    found = shown(replace(as_planned(), read_serial=A201.serial))
    assert codes(found)[:2] == ["read-serial-differs", "serial-elsewhere"]
    assert found.needs_reason


def test_a_meter_that_cannot_tell_its_serial_is_no_difference() -> None:
    assert codes(shown(replace(as_planned(), read_serial=None))) == []


def test_another_node_and_another_unit_are_told_apart() -> None:
    moved = replace(as_planned(node=NodeId("u-a201")), unit=UnitId("a201"))
    assert set(codes(shown(moved))) == {"node-differs", "unit-differs", "serial-elsewhere"}
    forgotten = replace(as_planned(), unit=None)
    (one,) = shown(forgotten).differences
    assert (one.code, one.expected, one.found) == ("unit-differs", "a101", "-")


def test_a_serial_that_is_bound_at_another_site_is_told() -> None:
    found = shown(as_planned(), **{A101.serial: "harbour"})
    (one,) = found.differences
    assert (one.code, one.expected) == ("other-site", "harbour")
    assert found.needs_reason


def test_a_binding_that_nobody_compared_is_told() -> None:
    found = shown(replace(as_planned(), comparisons=()))
    assert codes(found) == ["not-compared"]
    assert not found.needs_reason


def test_without_a_plan_nothing_is_expected() -> None:
    found = shown(as_planned(serial="1"), None)
    assert (found.expected, codes(found)) == (None, [])


def test_what_the_plan_does_not_say_is_no_difference() -> None:
    bare = ExpectedMeter(A101.id, A101.node)
    plan = replace(PLAN, expected=(bare,))
    assert codes(shown(as_planned(serial="1", ct=30, profile="acrel/adl400"), plan)) == []


def test_findings_stand_worst_first_and_a_wrong_one_needs_a_reason() -> None:
    def found(code: str, severity: Severity) -> Finding:
        return Finding(code, severity, "m", Names("中", "en"), "seen")

    note, wrong = found("a-note", Severity.NOTE), found("a-wrong", Severity.WRONG)
    told = shown(replace(as_planned(), findings=(note, wrong)))
    assert told.findings == (wrong, note)
    assert told.needs_reason
    assert not shown(replace(as_planned(), findings=(note,))).needs_reason


def test_an_act_that_binds_no_meter_has_nothing_to_compare() -> None:
    assert review(stored(None), PLAN, {}) == Review(None, (), ())


@pytest.mark.parametrize(("ct", "differs"), [(1, False), (40, True)])
def test_other_transformers_are_held_against_the_plan_whatever_the_meter_is_called_by_then(
    ct: int, differs: bool
) -> None:
    body = RatioChange(meter=MeterId("m-u-a101-2"), new=MeterId("m-u-a101-3"), ct=ct, pt=1, at=NOW, registers=())
    event = Installer().event(body)
    act = BoundAct(event.id, event.site, body.kind, body.new, "1", A101.node, None, NOW, event.by)
    one = StoredBinding(act, None, BindingState.PENDING, None, None, "", event, b"", GatewayId("gw-a"), NOW, "")
    found = review(one, PLAN, {})
    assert found.needs_reason is differs
    assert [(each.expected, each.found) for each in found.differences] == ([("1 x 1", "40 x 1")] if differs else [])
    assert review(one, None, {}).differences == ()
