"""Durations counted by size: what a histogram shows, without asking the hot path for more than a bisection."""

from __future__ import annotations

from bisect import bisect_left


class Tally:
    """Counts durations [s] by the bound they do not pass. One thread adds; any may read."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; a negative one, as by a clock that is ahead, counts as none."""
        seconds = max(seconds, 0.0)
        self._counts[bisect_left(self.bounds_s, seconds)] += 1
        self._total_s += seconds

    def read(self) -> tuple[tuple[int, ...], float]:
        """Give the count up to each bound and above the last, and the total [s]."""
        return tuple(self._counts), self._total_s

    @property
    def count(self) -> int:
        """How many were added."""
        return sum(self._counts)
