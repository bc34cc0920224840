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
        wanting = [] if is_heard else ["no receipt of the centre arrived: no broker, or nothing to send"]
        answered = {port for port, vitals in seen.items() if vitals.answered}
        dumb = sorted((self.ports & self.lively) - answered)
        wanting.extend(f"no meter on port {port} answered, where meters answered before" for port in dumb)
        if self.ports and not self.ports & answered and not dumb:
            wanting.append("no meter answered on any port")
        return "; ".join(wanting) or None


def lively_ports(seen: dict[PortId, PortVitals]) -> Collection[PortId]:
    """Give the ports whose meters answered."""
    return frozenset(port for port, vitals in seen.items() if vitals.answered)
