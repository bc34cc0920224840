"""The one proof of a current transformer's ratio: primary amperes by a clamp against what the meter shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from device_profiles.profile import Side
from metering.quantity import Shown
from provisioning.finding_words import finding
from provisioning.installation import Finding
from provisioning.meter_snapshot import MeterSnapshot, exact_base, step_of
from provisioning.phase_figures import LOADED_A, Phase, PhaseFigures
from provisioning.ratios import CURRENT_RATIOS

_APART = Fraction(12, 100)
"""A clamp of class 2 to 3 %, held askew, while the load moves. Ratios that are sold lie at least 20 % apart."""


@dataclass(frozen=True, slots=True)
class Clamp:
    """A clamp round the primary conductor of `phase` (L1, L2, L3) showed so many amperes."""

    phase: str
    shown: Shown


def clamp_findings(meter: MeterSnapshot, figures: PhaseFigures, clamps: tuple[Clamp, ...]) -> Iterator[Finding]:
    """Say which ratio or phase the clamp readings prove wrong, or that none was taken where one is needed."""
    phases = {phase.name: phase for phase in figures.phases}
    for clamp in clamps:
        phase = phases.get(clamp.phase)
        if phase is None or (phase.amperes_a or 0.0) < LOADED_A:
            yield finding("clamp-no-amperes", meter.meter, phase=clamp.phase, clamp=clamp.shown)
        elif not _agrees(clamp, phase, _ratio(meter)):
            yield _explained(meter, figures, clamp, phase)
    if not clamps and meter.ct > 1 and figures.loaded:
        yield finding("clamp-wanted", meter.meter, ratio=meter.ct)


def _ratio(meter: MeterSnapshot) -> int:
    return 1 if meter.profile.side is Side.PRIMARY else meter.ct


def _agrees(clamp: Clamp, phase: Phase, ratio: int) -> bool:
    primary = exact_base(clamp.shown) / 1000
    expected = Fraction(phase.amperes_a or 0.0) * ratio
    return abs(primary - expected) <= _APART * expected + step_of(clamp.shown) / 1000


def _explained(meter: MeterSnapshot, figures: PhaseFigures, clamp: Clamp, phase: Phase) -> Finding:
    ratio = _ratio(meter)
    shown = {"phase": clamp.phase, "clamp": clamp.shown, "meter": f"{phase.amperes_a:.3f} A", "ratio": ratio}
    others = [one.name for one in figures.loaded if one is not phase and _agrees(clamp, one, ratio)]
    if others:
        return finding("clamp-other-phase", meter.meter, other=", ".join(others), **shown)
    if ratio > 1 and _agrees(clamp, phase, 1):
        return finding("clamp-primary", meter.meter, **shown)
    if meter.profile.side is Side.PRIMARY:
        factor = float(exact_base(clamp.shown) / 1000 / Fraction(phase.amperes_a or 1.0))
        return finding("clamp-setting", meter.meter, factor=f"{factor:.3g}", **shown)
    fitting = [one for one in (1, *CURRENT_RATIOS) if _agrees(clamp, phase, one)]
    if fitting:
        measured = exact_base(clamp.shown) / 1000 / Fraction(phase.amperes_a or 1.0)
        nearest = min(fitting, key=lambda one: float(abs(one - measured)))
        return finding("clamp-ratio", meter.meter, fitting=nearest, **shown)
    return finding("clamp-unexplained", meter.meter, **shown)
