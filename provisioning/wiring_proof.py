"""Are a meter's voltages and current transformers wired as they should be? Judged from what it shows under load.

Nothing here is proven without load: a phase below a hundredth of its rated current is told as not judged. The order
of the phases cannot be seen in magnitudes, and a ratio cannot be seen on the bus at all: both are told with the tool
that proves them, a rotation tester and a clamp (docs/adr/0086).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from provisioning.clamp_proof import Clamp, clamp_findings
from provisioning.finding_words import finding, listed, worst_first
from provisioning.installation import Finding
from provisioning.meter_snapshot import MeterSnapshot
from provisioning.phase_figures import PRESENT_V, Phase, PhaseFigures, phase_figures
from provisioning.site import Names
from provisioning.wiring_ways import Way, is_proper, plausible_ways

__all__ = ["Clamp", "Flow", "WiringProof", "prove_wiring"]

_EXCESS = 1.15
"""Active power above volts times amperes by more than this is no matter of accuracy."""
_UNEVEN = 0.15
"""Voltages of one network differ by a few percent; a lost neutral lets them drift apart."""
_SUM_APART = 0.03
_SUM_APART_W = 20.0
"""Phases and total are read one after another; so much may change in between."""


class Flow(StrEnum):
    """Which way energy goes at a node while it is judged."""

    IMPORT = "import"
    EXPORT = "export"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class WiringProof:
    """What came of judging the wiring.

    findings   worst first; what is missing here was judged and is right
    judged     names of the phases that had load enough
    ways       how it may be wired instead, all equally likely; empty where it is right or cannot be told
    """

    findings: tuple[Finding, ...]
    judged: tuple[str, ...]
    ways: tuple[Way, ...] = ()


def prove_wiring(
    meter: MeterSnapshot,
    *,
    flow: Flow,
    clamps: Iterable[Clamp] = (),
    is_rotation_right: bool | None = None,
) -> WiringProof:
    """Judge the wiring of one meter from one reading of its phases.

    flow                which way energy should go: export at a source, either where a source hangs below
    clamps              primary amperes as a clamp showed them at the same time
    is_rotation_right   what a rotation tester said; None without one
    """
    figures = phase_figures(meter)
    clamped = tuple(clamp_findings(meter, figures, tuple(clamps)))
    if not any(phase.voltage_v is not None or phase.power_w is not None for phase in figures.phases):
        return WiringProof(worst_first((*clamped, finding("wiring-not-told", meter.meter))), ())
    ways: tuple[Way, ...] = ()
    findings = [*_voltages(meter, figures), *_loads(meter, figures), *_sums(meter, figures, flow), *clamped]
    forward = _forward(figures, flow)
    if forward and not is_proper(forward) and not any(_excess(phase) for phase in forward):
        ways = plausible_ways(forward)
        findings += _way_findings(meter, forward, ways)
    if len(figures.phases) == 3:
        findings += _rotation(meter, is_rotation_right)
    return WiringProof(worst_first(findings), tuple(phase.name for phase in figures.loaded), ways)


def _forward(figures: PhaseFigures, flow: Flow) -> tuple[Phase, ...]:
    """Give the phases as if energy was imported; none where nothing can be judged."""
    if not figures.loaded:
        return ()
    is_export = flow is Flow.EXPORT
    if flow is Flow.EITHER:
        is_export = sum(phase.power_w or 0.0 for phase in figures.loaded) < 0
    return tuple(_turned(phase) for phase in figures.phases) if is_export else figures.phases


def _turned(phase: Phase) -> Phase:
    power_w, reactive_var = phase.power_w, phase.reactive_var
    return replace(
        phase,
        power_w=None if power_w is None else -power_w,
        reactive_var=None if reactive_var is None else -reactive_var,
    )


def _voltages(meter: MeterSnapshot, figures: PhaseFigures) -> Iterator[Finding]:
    told = [phase for phase in figures.phases if phase.voltage_v is not None]
    highest = max((phase.voltage_v or 0.0 for phase in told), default=0.0)
    missing = [phase.name for phase in told if (phase.voltage_v or 0.0) < PRESENT_V * highest or not highest]
    if missing:
        yield finding("wiring-phase-missing", meter.meter, phases=", ".join(missing))
    elif highest and min(phase.voltage_v or 0.0 for phase in told) < (1 - _UNEVEN) * highest:
        volts = " / ".join(f"{phase.voltage_v:.1f} V" for phase in told)
        yield finding("wiring-neutral", meter.meter, volts=volts)


def _loads(meter: MeterSnapshot, figures: PhaseFigures) -> Iterator[Finding]:
    if len(figures.phases) == 3 and all(phase.power_w is None for phase in figures.phases):
        yield finding("wiring-power-untold", meter.meter)
        return
    idle = [phase.name for phase in figures.phases if not phase.is_loaded]
    dead = [phase.name for phase in figures.phases if phase.amperes_a == 0.0]
    if figures.loaded and dead:
        yield finding("wiring-no-amperes", meter.meter, phases=", ".join(dead))
    if idle:
        yield finding("wiring-light-load", meter.meter, phases=", ".join(idle))
    for phase in figures.loaded:
        if _excess(phase):
            watts, product = f"{phase.power_w:.0f}", f"{phase.apparent_va:.0f}"
            yield finding("wiring-power-excess", meter.meter, phase=phase.name, watts=watts, product=product)


def _excess(phase: Phase) -> bool:
    return phase.is_loaded and abs(phase.power_w or 0.0) > _EXCESS * phase.apparent_va


def _sums(meter: MeterSnapshot, figures: PhaseFigures, flow: Flow) -> Iterator[Finding]:
    powers = [phase.power_w for phase in figures.phases if phase.power_w is not None]
    total = figures.power_w
    if not powers and total is not None and (total < 0 if flow is Flow.IMPORT else total > 0 and flow is Flow.EXPORT):
        yield finding("wiring-total-backwards", meter.meter, total=f"{total:.0f}")
    if total is None or len(powers) != 3:
        return
    net, gross = sum(powers), sum(abs(power) for power in powers)
    tolerance = _SUM_APART_W + _SUM_APART * gross
    if abs(net - total) <= tolerance:
        return
    code = "wiring-sum-absolute" if abs(gross - abs(total)) <= tolerance else "wiring-sum"
    yield finding(code, meter.meter, total=f"{total:.0f}", net=f"{net:.0f}", gross=f"{gross:.0f}")


def _way_findings(meter: MeterSnapshot, phases: tuple[Phase, ...], ways: tuple[Way, ...]) -> Iterator[Finding]:
    watts = " / ".join(f"{phase.power_w:.0f} W" for phase in phases if phase.power_w is not None)
    if not ways:
        negative = any((phase.power_w or 0.0) < 0 for phase in phases if phase.is_loaded)
        yield finding("wiring-unexplained" if negative else "wiring-low-factor", meter.meter, watts=watts)
        return
    if all((phase.power_w or 0.0) >= 0 for phase in phases if phase.is_loaded):
        also = listed(_way_words(way, phases) for way in ways)
        yield finding("wiring-low-factor-or", meter.meter, watts=watts, ways=also)
        return
    if len(ways) > 1:
        yield finding("wiring-several", meter.meter, watts=watts, ways=listed(_way_words(way, phases) for way in ways))
        return
    way = ways[0]
    code = "wiring-direction" if way.is_turned and not way.moved else "wiring-way"
    yield finding(code, meter.meter, watts=watts, way=_way_words(way, phases))


def _way_words(way: Way, phases: tuple[Phase, ...]) -> Names:
    """Say what is wired wrong."""
    names = [phase.name for phase in phases]
    parts = []
    if way.moved:
        seen = ", ".join(f"{names[at]}←{names[way.order[at]]}" for at in way.moved)
        parts.append(Names(zh=f"互感器错相（{seen}）", en=f"transformers on wrong phases ({seen})"))
    if way.is_turned:
        parts.append(Names(zh="进出线方向全部接反", en="import and export interchanged on all phases"))
    elif way.reversed_at:
        back = ", ".join(names[at] for at in way.reversed_at)
        parts.append(Names(zh=f"{back} 互感器反接", en=f"transformer of {back} reversed"))
    return Names(zh="，".join(part.zh for part in parts), en=" and ".join(part.en for part in parts))


def _rotation(meter: MeterSnapshot, is_right: bool | None) -> Iterator[Finding]:
    if is_right is None:
        yield finding("wiring-order-unknown", meter.meter)
    elif not is_right:
        yield finding("wiring-order-reversed", meter.meter)
