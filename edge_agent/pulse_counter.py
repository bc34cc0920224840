"""Pulses from the edges of one input: debounced by the time between edges, without a clock of its own. Pure.

Theory of operation. A contact bounces, so a level counts only when it has held for the debounce time: each edge makes
its level a candidate, and the candidate becomes the level of the input when the next edge, or the question what the
level is now, comes later than that. One pulse is counted each time the input becomes active. Times are monotonic
nanoseconds as the source of edges stamps them, so it does not matter when the program gets to read them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """A change of an input's level.

    at_ns   when, by the monotonic clock [ns]
    missed  edges of this input that were lost before this one, because nobody read them in time
    """

    line: int
    is_active: bool
    at_ns: int
    missed: int = 0


class PulseCounter:
    """The count of one input. `count` goes on from what was kept on disk."""

    def __init__(self, *, count: int, debounce_ns: int, is_active: bool) -> None:
        self.count = count
        self.missed = 0
        self._debounce_ns = debounce_ns
        self._is_active = is_active
        self._candidate: Edge | None = None

    def note(self, edge: Edge) -> None:
        """Take an edge in, in the order of their times."""
        self.settle(edge.at_ns)
        self.missed += edge.missed
        self._candidate = edge if edge.is_active is not self._is_active else None
        if not self._debounce_ns:
            self.settle(edge.at_ns)

    def settle(self, now_ns: int) -> None:
        """Believe the candidate level if it has held long enough by `now_ns`."""
        candidate = self._candidate
        if candidate is None or now_ns - candidate.at_ns < self._debounce_ns:
            return
        self._candidate = None
        self._is_active = candidate.is_active
        self.count += candidate.is_active
