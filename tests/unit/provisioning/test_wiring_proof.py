"""What a meter's phases say of its wiring, for loads of known angle wired in known ways."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from device_profiles.profile import Side
from metering.quantity import Shown, Unit
from provisioning.installation import Severity
from provisioning.phase_figures import Phase, phase_figures
from provisioning.wiring_proof import Clamp, Flow, WiringProof, prove_wiring
from provisioning.wiring_ways import Way, plausible_ways
from tests.doubles.proof_meter import ADL400, meter, phases

VOLTS = 230.0
UNJUDGED = "wiring-order-unknown"
"""Told of every three-phase meter without a rotation tester."""


def wired(
    order: tuple[int, int, int] = (0, 1, 2),
    reversed_at: tuple[int, ...] = (),
    *,
    amperes: tuple[float, float, float] = (4.0, 3.0, 5.0),
    lag_deg: tuple[float, float, float] = (20.0, 25.0, 15.0),
    flow: Flow = Flow.IMPORT,
    clamps: tuple[Clamp, ...] = (),
    ct: int = 1,
    is_rotation_right: bool | None = True,
) -> WiringProof:
    """Judge a meter of which input j sees the current of phase order[j]."""
    watts = []
    for at, phase in enumerate(order):
        angle = 120 * (phase - at) + lag_deg[phase] + (180 if at in reversed_at else 0)
        watts.append(VOLTS * amperes[phase] * math.cos(math.radians(angle)))
    seen = (amperes[order[0]], amperes[order[1]], amperes[order[2]])
    shown = phases(seen, (watts[0], watts[1], watts[2]), volts=(VOLTS, VOLTS, VOLTS), ct=ct)
    return prove_wiring(shown, flow=flow, clamps=clamps, is_rotation_right=is_rotation_right)


def codes(proof: WiringProof) -> list[str]:
    return [finding.code for finding in proof.findings]


def test_proper_wiring_under_load_has_nothing_to_tell() -> None:
    proof = wired()
    assert proof.findings == ()
    assert proof.judged == ("L1", "L2", "L3")


@pytest.mark.parametrize("lag_deg", [(0.0, 0.0, 0.0), (55.0, 50.0, 58.0), (-25.0, -10.0, -28.0), (50.0, -20.0, 5.0)])
def test_motors_and_lamps_are_no_wiring_mistakes(lag_deg: tuple[float, float, float]) -> None:
    assert wired(lag_deg=lag_deg).findings == ()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_reversed_transformer_is_named(at: int) -> None:
    proof = wired(reversed_at=(at,))
    assert proof.ways == (Way((0, 1, 2), (at,)),)
    assert codes(proof) == ["wiring-way"]
    assert proof.findings[0].severity is Severity.WRONG
    assert f"transformer of L{at + 1} reversed" in proof.findings[0].told.en
    assert f"L{at + 1} 互感器反接" in proof.findings[0].told.zh


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_two_transformers_on_each_others_phase_are_named(order: tuple[int, int, int]) -> None:
    proof = wired(order)
    assert [way.order for way in proof.ways] == [order]
    assert codes(proof) == ["wiring-way"]


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1)])
def test_all_transformers_one_phase_on_are_found(order: tuple[int, int, int]) -> None:
    """Turned one way with inductive loads it looks like everything reversed; only reactive power tells which."""
    assert wired(order).findings[0].severity is Severity.WRONG
    names = ("L1", "L2", "L3")
    watts, lag_deg = [], 20.0
    for at, phase in enumerate(order):
        angle = math.radians(120 * (phase - at) + lag_deg)
        watts.append(Phase(names[at], VOLTS, 4.0, 920 * math.cos(angle), 920 * math.sin(angle)))
    assert [way.order for way in plausible_ways(watts)] == [order]


def test_everything_reversed_is_import_and_export_interchanged() -> None:
    proof = wired(reversed_at=(0, 1, 2))
    assert codes(proof) == ["wiring-direction"]


def test_a_source_should_export_and_one_that_imports_is_wired_backwards() -> None:
    assert wired(reversed_at=(0, 1, 2), flow=Flow.EXPORT).findings == ()
    assert codes(wired(flow=Flow.EXPORT)) == ["wiring-direction"]


def test_where_a_source_hangs_below_either_direction_is_right() -> None:
    assert wired(flow=Flow.EITHER).findings == ()
    assert wired(reversed_at=(0, 1, 2), flow=Flow.EITHER).findings == ()
    assert codes(wired(reversed_at=(1,), flow=Flow.EITHER)) == ["wiring-way"]


def test_two_swapped_under_equal_load_show_no_power_at_all_and_are_found() -> None:
    """The classic: the meter stands still, and the tenant is delighted."""
    proof = wired((1, 0, 2), amperes=(4.0, 4.0, 4.0), lag_deg=(20.0, 20.0, 20.0))
    assert [way.order for way in proof.ways] == [(1, 0, 2)]


def test_without_load_nothing_is_judged_and_nothing_is_green() -> None:
    proof = wired(amperes=(0.0, 0.0, 0.0))
    assert proof.judged == ()
    assert codes(proof) == ["wiring-light-load"]


def test_a_phase_without_current_beside_loaded_ones_is_looked_at() -> None:
    proof = wired(amperes=(4.0, 0.0, 5.0))
    assert codes(proof) == ["wiring-no-amperes", "wiring-light-load"]
    assert "L2" in proof.findings[0].told.en


def test_no_mistake_is_laid_on_a_phase_without_load() -> None:
    for way in wired(reversed_at=(0,), amperes=(4.0, 0.01, 5.0)).ways:
        assert 1 not in way.reversed_at


def test_a_missing_phase_is_named() -> None:
    shown = phases((4.0, 0.0, 5.0), (900.0, 0.0, 1100.0), volts=(230.0, 3.1, 229.0))
    proof = prove_wiring(shown, flow=Flow.IMPORT)
    assert proof.findings[0].code == "wiring-phase-missing"
    assert "L2" in proof.findings[0].told.zh


def test_no_voltage_at_all_misses_every_phase() -> None:
    proof = prove_wiring(phases((0.0,) * 3, (0.0,) * 3, volts=(0.0, 0.0, 0.0)), flow=Flow.IMPORT)
    assert "L1, L2, L3" in proof.findings[0].told.en


def test_a_lost_neutral_lets_the_voltages_drift() -> None:
    proof = prove_wiring(phases((4.0, 3.0, 5.0), (700.0, 700.0, 1200.0), volts=(180.0, 255.0, 248.0)), flow=Flow.IMPORT)
    assert "wiring-neutral" in codes(proof)


def test_more_power_than_volts_times_amperes_is_a_wrong_map() -> None:
    proof = prove_wiring(phases((4.0, 3.0, 5.0), (9000.0, 690.0, 1150.0)), flow=Flow.IMPORT)
    assert "wiring-power-excess" in codes(proof)
    assert proof.ways == ()


def test_a_total_of_magnitudes_hides_a_reversed_phase_and_is_told() -> None:
    shown = phases((4.0, 3.0, 5.0), (900.0, -650.0, 1100.0), total=2650.0)
    assert "wiring-sum-absolute" in codes(prove_wiring(shown, flow=Flow.IMPORT))
    shown = phases((4.0, 3.0, 5.0), (900.0, 650.0, 1100.0), total=1000.0)
    assert "wiring-sum" in codes(prove_wiring(shown, flow=Flow.IMPORT))


def test_a_low_power_factor_alone_is_not_called_wrong() -> None:
    proof = wired(lag_deg=(75.0, 72.0, 70.0))
    assert proof.findings[0].severity is not Severity.WRONG


def test_the_order_of_phases_is_proven_by_a_tester_or_not_at_all() -> None:
    assert codes(wired(is_rotation_right=None)) == [UNJUDGED]
    assert codes(wired(is_rotation_right=False)) == ["wiring-order-reversed"]


def test_a_model_without_phases_says_so() -> None:
    proof = prove_wiring(meter({"1-0:1.8.0": 1000}), flow=Flow.IMPORT)
    assert codes(proof) == ["wiring-not-told"]


def test_a_single_phase_meter_that_runs_backwards_is_found() -> None:
    shown = {"1-0:32.7.0": 2300, "1-0:31.7.0": 4000, "1-0:16.7.0": -9000}
    proof = prove_wiring(meter(shown, model="eastron/sdm120"), flow=Flow.IMPORT)
    assert codes(proof) == ["wiring-direction"]
    assert proof.judged == ("L1",)


def clamp(amperes: str, phase: str = "L1") -> tuple[Clamp, ...]:
    whole, _, decimals = amperes.partition(".")
    return (Clamp(phase, Shown(int(whole + decimals), -len(decimals), Unit.A)),)


def test_a_clamp_that_agrees_proves_the_ratio() -> None:
    assert wired(clamps=clamp("161"), ct=40).findings == ()
    assert codes(wired(ct=40)) == ["clamp-wanted"]


@pytest.mark.parametrize(("shown", "right"), [("81", "20"), ("238", "60"), ("3230", "800")])
def test_a_clamp_finds_the_ratio_that_is_fitted(shown: str, right: str) -> None:
    proof = wired(clamps=clamp(shown), ct=40)
    assert codes(proof) == ["clamp-ratio"]
    assert f"the ratio is {right}, planned is 40" in proof.findings[0].told.en


def test_a_clamp_finds_transformers_on_wrong_phases_that_angles_forgive() -> None:
    proof = wired(clamps=clamp("121"), ct=40)
    assert codes(proof) == ["clamp-other-phase"]
    assert "L2" in proof.findings[0].told.en


def test_a_meter_that_shows_the_primary_side_would_count_the_ratio_twice() -> None:
    proof = wired(clamps=clamp("4.05"), ct=40)
    assert codes(proof) == ["clamp-primary"]


def test_a_meter_that_counts_the_primary_side_has_its_own_ratio_proven() -> None:
    shown = phases((80.0, 60.0, 100.0), (17e3, 13e3, 22e3), side=Side.PRIMARY)
    assert prove_wiring(shown, flow=Flow.IMPORT, clamps=clamp("81"), is_rotation_right=True).findings == ()
    wrong = prove_wiring(shown, flow=Flow.IMPORT, clamps=clamp("162"), is_rotation_right=True)
    assert codes(wrong) == ["clamp-setting"]
    assert "a factor of 2.02" in wrong.findings[0].told.en
    planned = phases((80.0, 60.0, 100.0), (17e3, 13e3, 22e3), side=Side.PRIMARY, ct=40)
    assert codes(prove_wiring(planned, flow=Flow.IMPORT, clamps=clamp("81"), is_rotation_right=True)) == []


def test_a_clamp_that_nothing_explains_and_one_round_a_dead_wire() -> None:
    assert codes(wired(clamps=clamp("0.4"), ct=40)) == ["clamp-unexplained"]
    assert "clamp-no-amperes" in codes(wired(clamps=clamp("160"), amperes=(0.0, 3.0, 5.0), ct=40))


def test_amperes_of_a_model_without_power_of_its_phases_are_not_judged_by_angle() -> None:
    shown = {"1-0:32.7.0": 2300, "1-0:52.7.0": 2300, "1-0:72.7.0": 2300, "1-0:31.7.0": 400, "1-0:51.7.0": 400}
    proof = prove_wiring(meter(shown, model=ADL400), flow=Flow.IMPORT)
    assert proof.judged == ()
    assert "wiring-light-load" not in codes(proof)
    assert "wiring-power-untold" in codes(proof)
    backwards = meter({**shown, "1-0:16.7.0": -1200}, model=ADL400)
    assert "wiring-total-backwards" in codes(prove_wiring(backwards, flow=Flow.IMPORT))
    assert "wiring-total-backwards" not in codes(prove_wiring(backwards, flow=Flow.EXPORT))


def test_reactive_power_gives_the_angle_its_sign() -> None:
    """Without it, a load 75 degrees capacitive and one 75 degrees inductive look alike."""
    figures = phase_figures(phases((4.0, 3.0, 5.0), (238.0, 178.0, 298.0)))
    first = figures.phases[0]
    assert len(first.angles_deg) == 2
    told = replace(first, reactive_var=-888.0)
    assert told.angles_deg == pytest.approx((-75.0,), abs=0.1)
    assert len(replace(first, reactive_var=-200.0).angles_deg) == 2
