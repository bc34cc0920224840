"""What a meter says of its phases at one moment: volts, amperes, watts, vars, as it shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metering.obis import POWER_NET, Obis
from provisioning.meter_snapshot import MeterSnapshot

LOADED_A = 0.05
"""A hundredth of 5 A: below it no class of IEC 61869-2 bounds the angle of a current transformer."""
PRESENT_V = 0.5
"""A phase with less than half of the highest voltage is missing."""
_VOLTAGE = ("1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0")
_AMPERES = ("1-0:31.7.0", "1-0:51.7.0", "1-0:71.7.0")
_POWER = ("1-0:36.7.0", "1-0:56.7.0", "1-0:76.7.0")
_POWER_IMPORT = ("1-0:21.7.0", "1-0:41.7.0", "1-0:61.7.0")
_POWER_EXPORT = ("1-0:22.7.0", "1-0:42.7.0", "1-0:62.7.0")
_REACTIVE = ("1-0:23.7.0", "1-0:43.7.0", "1-0:63.7.0")
_ONE_PHASE = {_VOLTAGE[0]: "1-0:12.7.0", _AMPERES[0]: "1-0:11.7.0", _REACTIVE[0]: "1-0:3.7.0"}
_TOTAL = (str(POWER_NET), "1-0:1.7.0", "1-0:2.7.0")


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase, secondary side unless the meter counts the primary.

    voltage_v     to neutral [V]; `amperes_a` [A]
    power_w       active, negative when exported [W]
    reactive_var  inductive above 0 [var]; None for most models
    """

    name: str
    voltage_v: float | None
    amperes_a: float | None
    power_w: float | None
    reactive_var: float | None = None

    @property
    def apparent_va(self) -> float:
        """Volts times amperes [VA]; 0 where either is not known."""
        return (self.voltage_v or 0.0) * (self.amperes_a or 0.0)

    @property
    def is_loaded(self) -> bool:
        """Say whether the current is large enough for its angle to mean something."""
        return self.power_w is not None and (self.amperes_a or 0.0) >= LOADED_A and bool(self.voltage_v)

    @property
    def angles_deg(self) -> tuple[float, ...]:
        """Give how far the current lags its voltage [degree]: both signs where reactive power is unknown."""
        if self.power_w is None or not self.apparent_va:
            return ()
        if self.reactive_var is not None and self._is_consistent(self.reactive_var):
            return (math.degrees(math.atan2(self.reactive_var, self.power_w)),)
        angle = math.degrees(math.acos(max(-1.0, min(1.0, self.power_w / self.apparent_va))))
        return (angle,) if angle in (0.0, 180.0) else (angle, -angle)

    def _is_consistent(self, reactive_var: float) -> bool:
        """Some models count harmonics in volts times amperes; farther off, the figures are not of one moment."""
        return 0.8 < math.hypot(self.power_w or 0.0, reactive_var) / self.apparent_va < 1.2


@dataclass(frozen=True, slots=True)
class PhaseFigures:
    """All phases a meter tells of: three, one, or none; and its total active power [W]."""

    phases: tuple[Phase, ...]
    power_w: float | None

    @property
    def loaded(self) -> tuple[Phase, ...]:
        """The phases whose current can be judged."""
        return tuple(phase for phase in self.phases if phase.is_loaded)


def phase_figures(meter: MeterSnapshot) -> PhaseFigures:
    """Take the phases out of what a meter showed."""

    def shown(text: str, units: float) -> float | None:
        base = meter.base(Obis.parse(text))
        return None if base is None else float(base) / units

    net = shown(_TOTAL[0], 1)
    if net is None and shown(_TOTAL[1], 1) is not None:
        net = (shown(_TOTAL[1], 1) or 0.0) - (shown(_TOTAL[2], 1) or 0.0)
    models = {str(channel.obis) for group in meter.profile.groups for channel in group.channels}
    if not models & {*_VOLTAGE[1:], *_AMPERES[1:], *_POWER[1:]}:
        return PhaseFigures(_single(shown(_VOLTAGE[0], 1000), shown(_AMPERES[0], 1000), net, meter), net)
    phases = []
    for at in range(3):
        power = shown(_POWER[at], 1)
        if power is None and shown(_POWER_IMPORT[at], 1) is not None:
            power = (shown(_POWER_IMPORT[at], 1) or 0.0) - (shown(_POWER_EXPORT[at], 1) or 0.0)
        figures = (shown(_VOLTAGE[at], 1000), shown(_AMPERES[at], 1000), power, shown(_REACTIVE[at], 1))
        phases.append(Phase(f"L{at + 1}", *figures))
    return PhaseFigures(tuple(phases), net)


def _single(
    voltage_v: float | None, amperes_a: float | None, net: float | None, meter: MeterSnapshot
) -> tuple[Phase, ...]:
    def other(text: str, units: float) -> float | None:
        base = meter.base(Obis.parse(_ONE_PHASE[text]))
        return None if base is None else float(base) / units

    voltage_v = other(_VOLTAGE[0], 1000) if voltage_v is None else voltage_v
    amperes_a = other(_AMPERES[0], 1000) if amperes_a is None else amperes_a
    if voltage_v is None and amperes_a is None and net is None:
        return ()
    return (Phase("L1", voltage_v, amperes_a, net, other(_REACTIVE[0], 1)),)
