"""Whether settings on trial have proven themselves (pure): the centre was heard, and meters answered, in time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge_agent.vitals import PortVitals
from metering.identity import PortId


@dataclass(frozen=True, slots=True)
class Proof:
    """What new settings have to show within `trial_s` [s].

    ports    ports that have meters now
    lively   those whose meters answered before: there, somebody has to answer again
    """

    trial_s: int
    ports: frozenset[PortId]
    lively: frozenset[PortId]

    def missing(self, *, is_heard: bool, seen: dict[PortId, PortVitals]) -> str | None:
        """Say in words what is missing; None: nothing."""
        if not is_heard:
            return "no receipt of the centre arrived: no broker, or not ours"
        answered = {port for port, vitals in seen.items() if vitals.answered}
        wanted = self.ports & self.lively
        for port in sorted(wanted - answered):
            return f"no meter on port {port} answered, where meters answered before"
        if self.ports and not self.ports & answered:
            return "no meter answered on any port"
        return None


def lively_ports(seen: dict[PortId, PortVitals]) -> Collection[PortId]:
    """Give the ports whose meters answered."""
    return frozenset(port for port, vitals in seen.items() if vitals.answered)
