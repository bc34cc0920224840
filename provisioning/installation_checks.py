"""Does what was bound at a site fit the plan, the wires, the map and the flow of energy? (docs/adr/0086)

Everything is told as findings; none is an exception, because the engineer stands there and decides, and a second
person decides again. Each module of checks answers one question; this one asks them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from metering.identity import PortId
from provisioning.energy_checks import WindowEnergy, energy_findings, window_energy
from provisioning.finding_words import worst_first
from provisioning.installation import Binding, Finding
from provisioning.meter_checks import SeenMeter, address_findings, binding_findings, plan_findings
from provisioning.order_file import ExpectedMeter, Plan
from provisioning.place_checks import place_findings
from provisioning.site import Node, Unit
from provisioning.tree_checks import tree_findings
from provisioning.unit_checks import unit_findings

__all__ = ["SeenMeter", "Survey", "WindowEnergy", "check_installation", "window_energy"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What is planned, bound and seen at one gateway at instant `at`.

    bindings   those in force; meters taken away or exchanged are not among them
    seen       what answered on the scanned lines, bound or not; `scanned` says which lines these are
    windows    energies of bound meters over one test window, as nearly at once as the lines allow
    """

    nodes: tuple[Node, ...]
    units: tuple[Unit, ...]
    expected: tuple[ExpectedMeter, ...]
    bindings: tuple[Binding, ...]
    seen: tuple[SeenMeter, ...]
    scanned: frozenset[PortId]
    windows: tuple[WindowEnergy, ...]
    at: datetime

    @classmethod
    def of_plan(
        cls,
        plan: Plan,
        *,
        at: datetime,
        bindings: Iterable[Binding],
        seen: Iterable[SeenMeter] = (),
        scanned: Iterable[PortId] = (),
        windows: Iterable[WindowEnergy] = (),
    ) -> Survey:
        """Take nodes, units and expected meters from the plan, and the nodes that bindings made."""
        bound = tuple(bindings)
        made = {binding.node.id: binding.node for binding in bound if binding.node is not None}
        nodes = {node.id: node for node in plan.site.nodes} | made
        return cls(
            nodes=tuple(nodes.values()),
            units=plan.site.units,
            expected=plan.expected,
            bindings=bound,
            seen=tuple(seen),
            scanned=frozenset(scanned),
            windows=tuple(windows),
            at=at,
        )


def check_installation(survey: Survey) -> tuple[Finding, ...]:
    """Give everything that is wrong, doubtful or worth a note, worst first; empty when all fits."""
    bindings, at = survey.bindings, survey.at
    return worst_first(
        (
            *tree_findings(survey.nodes, bindings, at),
            *binding_findings(bindings),
            *plan_findings(survey.expected, bindings, survey.seen),
            *address_findings(bindings, survey.seen, survey.scanned),
            *unit_findings(survey.nodes, survey.units, survey.expected, bindings),
            *place_findings(survey.nodes, bindings, at),
            *energy_findings(survey.nodes, survey.windows, at),
        )
    )
