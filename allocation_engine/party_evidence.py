"""Picks, from the evidence of a period, what proves the lines of one party after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from allocation_engine.errors import PeriodNotReady
from allocation_engine.evidence import PointEvidence, pick_readings
from allocation_engine.inputs import PeriodInputs
from allocation_engine.metered import MarkFinder
from allocation_engine.pools import Measure
from allocation_engine.rules import Rules
from allocation_engine.run import Line, MeteredTrace, Run
from metering.identity import NodeId
from metering.obis import Obis


class PartyEvidence:
    """The evidence of a period, and what of it proves which line."""

    def __init__(self, run: Run, inputs: PeriodInputs, rules: Rules) -> None:
        """Take the evidence of `inputs`; `run` and `rules` say at which marks lines must be proven."""
        self._points = {(point.node, point.obis): point for point in inputs.evidence}
        self._marks = MarkFinder(inputs, rules)
        self._tariffs = {pool.id: pool.tariff for pool in run.pools}

    def of(self, lines: Iterable[Line]) -> tuple[PointEvidence, ...]:
        """Give what proves these lines, by node and register; raises PeriodNotReady where something is missing."""
        wanted: dict[tuple[NodeId, Obis], frozenset[int]] = {}
        for line in lines:
            if isinstance(line.trace, MeteredTrace):
                for node in (*line.trace.nodes, *line.trace.deduct):
                    marks = self._marks.find(node, self._tariffs[line.pool], line.trace.spans)
                    for obis in Measure(line.trace.measure).registers:
                        wanted[node, obis] = wanted[node, obis] | marks if (node, obis) in wanted else marks
        keys = sorted(wanted)
        missing = tuple(f"no evidence for {obis} of {node}" for node, obis in keys if (node, obis) not in self._points)
        if missing:
            raise PeriodNotReady(missing)
        return tuple(self._pick(self._points[key], self._marks.instants(wanted[key])) for key in keys)

    def _pick(self, point: PointEvidence, marks: tuple[datetime, ...]) -> PointEvidence:
        # Nearly always a point was held by one party all the time, and has just the readings that prove it.
        picked = point if point.marks == marks else replace(point, readings=pick_readings(marks, point.readings))
        if None in picked.envelopes:
            raise PeriodNotReady((f"readings of {point.node} are given without the envelopes they are sealed in",))
        return picked
