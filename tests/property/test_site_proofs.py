"""Proofs at the site, for any meter, load, place and tree: what is right passes, what was planted is named."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from device_profiles.forms import WordOrder
from metering.identity import NodeId
from provisioning.display_proof import Verdict, prove_display
from provisioning.installation import Severity
from provisioning.installation_checks import WindowEnergy, check_installation
from provisioning.map_geometry import Point, distance_cm, lies_within
from provisioning.phase_figures import Phase
from provisioning.ratios import is_usual_ratio
from provisioning.site import ALWAYS, NodeKind, Placement
from provisioning.wiring_proof import Flow, prove_wiring
from provisioning.wiring_ways import Way, is_proper, plausible_ways
from tests.doubles.proof_meter import READ_AT, SDM630, meter, obis, phases
from tests.doubles.survey import AT, NODES, node, survey

IMPORT = "1-0:1.8.0"
mantissas = st.integers(10_000, 2**32 - 1)


def as_display(mantissa: int, decimals_left_out: int = 0) -> str:
    """Write a register with two decimals as a display with fewer of them does: cut, not rounded."""
    shown = mantissa // 10**decimals_left_out
    decimals = 2 - decimals_left_out
    digits = str(shown).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits


# -- the display


@given(mantissa=mantissas, left_out=st.integers(0, 2), ct=st.sampled_from([1, 20, 40]))
def test_the_display_of_the_same_meter_always_agrees(mantissa: int, left_out: int, ct: int) -> None:
    proof = prove_display(
        as_display(mantissa, left_out), obis(IMPORT), own=(meter({IMPORT: mantissa}, ct=ct),), at=READ_AT
    )
    assert proof.verdict.agrees
    assert all(finding.severity is Severity.NOTE for finding in proof.findings)


@given(mantissa=st.integers(100_000, 400_000_000), ct=st.sampled_from([2, 3, 6, 15, 20, 30, 40, 60, 80, 120, 400]))
def test_a_display_on_the_primary_side_always_proves_the_right_ratio(mantissa: int, ct: int) -> None:
    own = meter({IMPORT: mantissa}, ct=ct)
    proof = prove_display(as_display(mantissa * ct, 1), obis(IMPORT), own=(own,), at=READ_AT)
    assert proof.verdict is Verdict.PRIMARY


@given(
    mantissa=st.integers(1_000_000, 30_000_000),
    planned=st.sampled_from([1, 20, 40, 60]),
    real=st.sampled_from([15, 20, 30, 40, 60, 80, 120]),
)
def test_a_wrong_ratio_is_always_named_with_the_right_one(mantissa: int, planned: int, real: int) -> None:
    assume(planned != real)
    own = meter({IMPORT: mantissa}, ct=planned)
    proof = prove_display(as_display(mantissa * real, 1), obis(IMPORT), own=(own,), at=READ_AT)
    told = [one for one in proof.explanations if one.verdict in (Verdict.RATIO_OTHER, Verdict.RATIO_MISSING)]
    assert told
    assert f" {real} times the bus" in told[0].finding.told.en
    assert proof.findings[0].severity is Severity.WRONG


@given(mantissa=mantissas, power=st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_a_wrong_scale_is_always_among_the_explanations(mantissa: int, power: int) -> None:
    own = meter({IMPORT: mantissa})
    shown = Fraction(mantissa, 100) * Fraction(10) ** power
    digits = max(0, 2 - power)
    typed = f"{shown.numerator * 10**digits // shown.denominator}".rjust(digits + 1, "0")
    typed = f"{typed[: len(typed) - digits]}.{typed[len(typed) - digits :]}" if digits else typed
    proof = prove_display(typed, obis(IMPORT), own=(own,), at=READ_AT)
    assert Verdict.SCALE in [one.verdict for one in proof.explanations]
    assert not proof.verdict.agrees or proof.verdict in (Verdict.SECONDARY, Verdict.ROLLED)


@given(mantissa=mantissas, order=st.sampled_from([order for order in WordOrder if order is not WordOrder.ABCD]))
def test_a_wrong_word_order_is_always_found(mantissa: int, order: WordOrder) -> None:
    own = meter({IMPORT: mantissa}, order=order)
    assume(own.shown[obis(IMPORT)].mantissa != mantissa)
    proof = prove_display(as_display(mantissa), obis(IMPORT), own=(own,), at=READ_AT)
    assert Verdict.WORD_ORDER in [one.verdict for one in proof.explanations]


@given(kwh=st.integers(100, 5_000_000), order=st.sampled_from([WordOrder.CDAB, WordOrder.BADC, WordOrder.DCBA]))
def test_a_float_in_a_wrong_order_is_found_whatever_it_decodes_to(kwh: int, order: WordOrder) -> None:
    own = meter({IMPORT: kwh * 1000}, model=SDM630, order=order)
    proof = prove_display(str(kwh), obis(IMPORT), own=(own,), at=READ_AT)
    assert Verdict.WORD_ORDER in [one.verdict for one in proof.explanations] or proof.verdict is Verdict.EQUAL


@given(seed=st.integers(0, 2**32), meters=st.integers(2, 60))
def test_standing_before_another_meter_is_always_found_out(seed: int, meters: int) -> None:
    """Sixty meters with five digits and more: the display of any other one names that one."""
    dice = random.Random(seed)
    counts = [dice.randrange(1_000_000, 90_000_000) for _ in range(meters)]
    mine, theirs = dice.sample(range(meters), 2)
    assume(abs(counts[mine] - counts[theirs]) > 2)
    all_meters = [meter({IMPORT: count}, name=f"m-{at}") for at, count in enumerate(counts)]
    proof = prove_display(
        as_display(counts[theirs]), obis(IMPORT), own=(all_meters[mine],), others=all_meters, at=READ_AT
    )
    assert proof.verdict is Verdict.OTHER_METER
    assert f"m-{theirs}" in proof.findings[0].told.en


@given(typed=st.text(max_size=40))
def test_whatever_is_typed_gives_a_verdict(typed: str) -> None:
    proof = prove_display(typed, obis(IMPORT), own=(meter({IMPORT: 123456}),), at=READ_AT)
    assert proof.verdict in Verdict
    assert (proof.comparison.display is None) is (proof.verdict is Verdict.UNREADABLE)


def test_random_displays_are_rarely_explained_away() -> None:
    """Of 600 pairs that have nothing to do with each other, at most one in fifty finds an explanation by chance."""
    dice = random.Random(6)
    explained = 0
    for _ in range(600):
        own = meter({IMPORT: dice.randrange(100_000, 90_000_000), "1-0:2.8.0": dice.randrange(10_000, 100_000)})
        typed = as_display(dice.randrange(100_000, 90_000_000))
        proof = prove_display(typed, obis(IMPORT), own=(own,), at=READ_AT)
        explained += proof.verdict is not Verdict.UNEXPLAINED
    assert explained <= 12


# -- the wiring

angles = st.floats(-25, 55)
amperes = st.floats(0.3, 5)


@given(lags=st.tuples(angles, angles, angles), each=st.tuples(amperes, amperes, amperes))
def test_proper_wiring_is_never_called_wrong(
    lags: tuple[float, float, float], each: tuple[float, float, float]
) -> None:
    watts = tuple(230 * one * math.cos(math.radians(lag)) for one, lag in zip(each, lags, strict=True))
    shown = phases(each, (watts[0], watts[1], watts[2]), volts=(230.0, 230.0, 230.0))
    proof = prove_wiring(shown, flow=Flow.IMPORT, is_rotation_right=True)
    assert proof.findings == ()


@given(
    lag=st.floats(5, 28),
    spread=st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(-4, 4)),
    each=st.tuples(amperes, amperes, amperes),
    order=st.permutations([0, 1, 2]),
    reversed_at=st.sets(st.integers(0, 2)),
)
def test_with_reactive_power_every_way_to_wire_is_explained_by_no_more_mistakes_than_were_made(
    lag: float,
    spread: tuple[float, float, float],
    each: tuple[float, float, float],
    order: list[int],
    reversed_at: set[int],
) -> None:
    seen = []
    for at, phase in enumerate(order):
        angle = math.radians(120 * (phase - at) + lag + spread[phase] + (180 if at in reversed_at else 0))
        va = 230 * each[phase]
        seen.append(Phase(f"L{at + 1}", 230.0, each[phase], va * math.cos(angle), va * math.sin(angle)))
    was_right = order == [0, 1, 2] and not reversed_at
    if is_proper(seen):
        assert was_right or len(reversed_at) == 3 or order != [0, 1, 2]
        return
    assert not was_right
    ways = plausible_ways(seen)
    assert ways
    made = Way(tuple(order), tuple(sorted(reversed_at)))
    assert ways[0].mistakes <= made.mistakes
    assert made in ways or ways[0].mistakes < made.mistakes


@given(
    lags=st.tuples(st.floats(-20, 45), st.floats(-20, 45), st.floats(-20, 45)),
    each=st.tuples(amperes, amperes, amperes),
    at=st.integers(0, 2),
)
def test_one_reversed_transformer_is_always_wrong(
    lags: tuple[float, float, float], each: tuple[float, float, float], at: int
) -> None:
    watts = [230 * one * math.cos(math.radians(lag)) for one, lag in zip(each, lags, strict=True)]
    watts[at] = -watts[at]
    shown = phases(each, (watts[0], watts[1], watts[2]), volts=(230.0, 230.0, 230.0))
    proof = prove_wiring(shown, flow=Flow.IMPORT, is_rotation_right=True)
    assert proof.findings[0].severity is Severity.WRONG
    assert any(at in way.reversed_at for way in proof.ways)


# -- the map

coordinates = st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000))
bases = st.sampled_from(
    [(0, 0), (311_770_000, 1_215_270_000), (-338_000_000, 1_799_999_900), (895_000_000, -1_799_999_950)]
)


def by_fractions(point: Point, outline: list[Point]) -> bool:
    """Say whether a point lies within, by exact crossings of a ray; an edge belongs to the outline."""
    y, x = point
    crossings = 0
    for (y1, x1), (y2, x2) in zip(outline, [*outline[1:], outline[0]], strict=True):
        if (
            (x2 - x1) * (y - y1) == (y2 - y1) * (x - x1)
            and min(x1, x2) <= x <= max(x1, x2)
            and min(y1, y2) <= y <= max(y1, y2)
        ):
            return True
        if (y1 > y) != (y2 > y):
            crossings += x < x1 + Fraction((y - y1) * (x2 - x1), y2 - y1)
    return crossings % 2 == 1


def on_earth(base: Point, at: Point) -> Point:
    east = base[1] + at[1]
    return base[0] + at[0], (east + 1_800_000_000) % 3_600_000_000 - 1_800_000_000


@given(point=coordinates, corners=st.lists(coordinates, min_size=3, max_size=12, unique=True), base=bases)
def test_inside_is_inside_by_exact_arithmetic_wherever_on_earth(
    point: Point, corners: list[Point], base: Point
) -> None:
    outline = tuple(on_earth(base, corner) for corner in corners)
    assert lies_within(on_earth(base, point), outline) is by_fractions(point, corners)


@given(corners=st.lists(coordinates, min_size=3, max_size=12, unique=True), base=bases, turn=st.integers(0, 11))
def test_corners_are_inside_and_neither_start_nor_direction_matters(
    corners: list[Point], base: Point, turn: int
) -> None:
    outline = tuple(on_earth(base, corner) for corner in corners)
    at = turn % len(outline)
    assert all(lies_within(corner, outline) for corner in outline)
    assert all(distance_cm(corner, outline) == 0 for corner in outline)
    middle = on_earth(base, (3, 7))
    ways = (outline, outline[at:] + outline[:at], outline[::-1])
    assert len({lies_within(middle, way) for way in ways}) == 1


# -- the tree and its energies


@given(parents=st.lists(st.integers(0, 11), min_size=1, max_size=12))
def test_every_tree_passes_and_every_circle_is_found(parents: list[int]) -> None:
    """Node i hangs below node parents[i], node 0 is the main: a circle is found where there is one, else nothing."""
    count = len(parents)
    nodes = [node("n-0", None, NodeKind.MAIN)]
    nodes += [node(f"n-{at}", f"n-{parents[at] % count}", NodeKind.BRANCH) for at in range(1, count)]
    has_circle = False
    for start in range(1, count):
        at, steps = start, 0
        while at != 0 and steps <= count:
            at, steps = parents[at] % count, steps + 1
        has_circle |= at != 0
    told = check_installation(survey(nodes=tuple(nodes), units=(), expected=(), bindings=(), seen=()))
    assert ("node-cycle" in [finding.code for finding in told]) is has_circle
    assert {finding.code for finding in told} <= {"node-cycle"}


@settings(max_examples=60)
@given(
    loads=st.lists(st.integers(0, 200_000), min_size=1, max_size=8),
    step=st.sampled_from([1, 10, 100, 1000]),
    offsets=st.lists(st.integers(0, 999), min_size=9, max_size=9),
    loss_ppm=st.integers(0, 50_000),
)
def test_a_parent_that_counts_its_children_and_a_loss_is_never_called_smaller(
    loads: list[int], step: int, offsets: list[int], loss_ppm: int
) -> None:
    """Whatever the registers stood at: each shows whole steps at both ends of the window."""

    def counted(wh: int, at: int) -> Fraction:
        start = offsets[at] * step // 1000
        return Fraction((start + wh) // step * step - start // step * step)

    nodes = (*NODES[:2], *(node(f"n-{at}", "bldg") for at in range(len(loads))))
    total = sum(loads) * (1_000_000 + loss_ppm) // 1_000_000
    later = AT.replace(hour=9)
    windows = [WindowEnergy("m-b", NodeId("bldg"), AT, later, counted(total, 8), Fraction(step), 1)]
    windows += [
        WindowEnergy(f"m-{at}", NodeId(f"n-{at}"), AT, later, counted(load, at), Fraction(step), 1)
        for at, load in enumerate(loads)
    ]
    told = check_installation(survey(nodes=nodes, units=(), expected=(), bindings=(), seen=(), windows=tuple(windows)))
    assert "parent-smaller" not in [finding.code for finding in told]


@given(loads=st.lists(st.integers(20_000, 200_000), min_size=2, max_size=8), ratio=st.sampled_from([2, 3, 6, 20, 60]))
def test_a_child_with_too_large_a_ratio_makes_the_parent_too_small(loads: list[int], ratio: int) -> None:
    assert is_usual_ratio(ratio)
    nodes = (*NODES[:2], *(node(f"n-{at}", "bldg") for at in range(len(loads))))
    later = AT.replace(hour=9)
    windows = [WindowEnergy("m-b", NodeId("bldg"), AT, later, Fraction(sum(loads)), Fraction(10), 1)]
    wrong = [loads[0] * ratio, *loads[1:]]
    assume(loads[0] * (ratio - 1) > sum(wrong) // 10)
    windows += [
        WindowEnergy(f"m-{at}", NodeId(f"n-{at}"), AT, later, Fraction(load), Fraction(10), 1)
        for at, load in enumerate(wrong)
    ]
    told = check_installation(survey(nodes=nodes, units=(), expected=(), bindings=(), seen=(), windows=tuple(windows)))
    assert "parent-smaller" in [finding.code for finding in told]


@pytest.mark.parametrize("name", ["u-1", "u-2"])
def test_a_node_that_loses_its_parent_is_found_whichever_it_is(name: str) -> None:
    nodes = tuple(replace(one, placements=()) if one.id == name else one for one in NODES)
    told = check_installation(survey(nodes=nodes))
    assert [(finding.code, finding.subject) for finding in told] == [("node-orphan", name)]


def test_two_places_in_one_span_are_two_parents() -> None:
    moved = replace(NODES[2], placements=(*NODES[2].placements, Placement(NodeId("main"), ALWAYS)))
    told = check_installation(survey(nodes=(*NODES[:2], moved, *NODES[3:])))
    assert [finding.code for finding in told] == ["node-double-parent"]
