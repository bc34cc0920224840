"""Divides each span of a pool by keys, stage by stage: building, floor, lease. Parts are exact, so no stage loses any.

Whatever reaches a group is divided among what lies in it and nothing else; money is rounded once, on the lines, and the
amount of a group is the sum of its lines (ADR 0053). All spans and all groups of a stage are weighed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor

import numpy as np

from allocation_engine.demand_split import weigh_demand
from allocation_engine.drivers import Weighing, weigh
from allocation_engine.errors import AllWeightsZero, PeriodNotReady
from allocation_engine.inputs import Int64Array
from allocation_engine.intervals import SlotQuality
from allocation_engine.key_steps import KeyStep
from allocation_engine.keys import EstimateLimit, Key, Stage
from allocation_engine.layers import NONE, ONE, Layer, Span, Split, Takers, rest_of
from allocation_engine.pools import DemandRule, Fallback, Grain, KeyedRule, Pool
from allocation_engine.pricing import PricedPeriod
from allocation_engine.subjects import Subjects
from metering.identity import NodeId, UnitId

Note = tuple[tuple[int, tuple[int, ...], int], str]
"""A remark on the division, with the span, the path of groups and the key it belongs to."""


def split_by_keys(pool: Pool, priced: PricedPeriod, spans: Sequence[Span], costs_nano: Sequence[int]) -> Split:
    """Divide every span by the pool's keys; raises AllWeightsZero, PeriodNotReady, SeriesIncomplete, InputsInvalid."""
    rule = pool.rule
    if not isinstance(rule, KeyedRule | DemandRule):
        raise TypeError(f"{pool.id} is not shared by keys")
    takers = Takers.of(priced.inputs, rule.units, spans)
    division = _Division(pool, rule, priced, spans, costs_nano, takers)
    layers = division.layers()
    rest = rest_of(layers, len(spans))
    return Split(
        takers=takers,
        layers=layers,
        rest=rest if any(rest) else None,
        bearer=priced.inputs.owner,
        fallback="; ".join(dict.fromkeys(told for _, told in sorted(division.notes))) or None,
        steps=division.steps_of,
    )


def estimated_area(
    units: Sequence[UnitId], priced: PricedPeriod, slots_max: Fraction, meters: Mapping[UnitId, NodeId]
) -> Fraction:
    """Give the part of the area of `units` whose meters were estimated for more than `slots_max` of the slots.

    meters   what meters a unit where that is not its own node
    """
    inputs = priced.inputs
    total = estimated = 0
    for unit in map(inputs.unit, units):
        total += unit.area_cm2
        node = meters.get(unit.id) or unit.node
        if node is not None:
            slots = int((inputs.quality[inputs.row(node)] == SlotQuality.ESTIMATED).sum())
            estimated += unit.area_cm2 * (Fraction(slots, inputs.slot_count) > slots_max)
    return Fraction(estimated, total) if total else NONE


@dataclass(frozen=True, slots=True, eq=False)
class _Reached:
    """What reached the groups of a stage; before the first stage, everything reached all units.

    paths   by group: its number in its own stage and in all stages before
    parts   by group and span: part of the span's cost
    """

    units: list[tuple[UnitId, ...]]
    paths: list[tuple[int, ...]]
    parts: list[list[Fraction]]

    @property
    def first(self) -> tuple[int, tuple[int, ...]]:
        """The first span in which anything reached anybody, and the first group it reached."""
        found = (
            (place, path)
            for path, row in zip(self.paths, self.parts, strict=True)
            for place, part in enumerate(row)
            if part
        )
        return min(found, default=(0, ()))


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One stage at work: who was weighed, how, and what had reached the groups of the stage before.

    subjects   those in groups that anything reaches
    row_of     by group or taker of the stage: its row among the subjects, -1 for none
    outer_of   by group or taker of the stage: the group of the stage before it lies in, -1 for none
    """

    name: str
    subjects: Subjects
    weighings: list[Weighing]
    before: _Reached
    row_of: Int64Array
    outer_of: Int64Array


@dataclass
class _Division:
    """The division of one pool under way; `levels` and `notes` grow with it."""

    pool: Pool
    rule: KeyedRule | DemandRule
    priced: PricedPeriod
    spans: Sequence[Span]
    costs_nano: Sequence[int]
    takers: Takers
    levels: list[_Level] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    _told: dict[tuple[int, int], list[tuple[KeyStep, ...] | None]] = field(default_factory=dict)

    def layers(self) -> tuple[Layer, ...]:
        """Divide the whole of each span down to the takers: one layer for each key of the last stage."""
        stages = self.rule.stages if isinstance(self.rule, KeyedRule) else (Stage("lease", (), ()),)
        reached = _Reached([self.rule.units], [()], [[ONE] * len(self.spans)])
        for stage in stages[:-1]:
            groups = Subjects.of_groups(stage.groups, self.priced.inputs, self.spans, reached.units)
            parts = _passed_on(self._divide(stage, groups, reached), len(stage.groups), len(self.spans))
            paths = [(*reached.paths[outer], number) for number, outer in enumerate(groups.outer.tolist())]
            reached = _Reached([group.units for group in stage.groups], paths, parts)
        return self._divide(stages[-1], Subjects.of_takers(self.takers, reached.units), reached)

    def steps_of(self, row: int) -> tuple[KeyStep, ...]:
        """Tell how the parts of a taker came about, span by span and stage by stage, as far as anything reached."""
        lineage: list[list[tuple[KeyStep, ...] | None]] = []
        for depth in range(len(self.levels) - 1, -1, -1):
            if row < 0:
                return ()
            lineage.insert(0, self._steps(depth, row))
            row = int(self.levels[depth].outer_of[row])
        steps: list[KeyStep] = []
        for place in range(len(self.spans)):
            for by_span in lineage:
                here = by_span[place]
                if here is None:
                    break
                steps += here
        return tuple(steps)

    def _steps(self, depth: int, number: int) -> list[tuple[KeyStep, ...] | None]:
        """Tell by span how a group or a taker was weighed in its stage; None where nothing reached it."""
        found = self._told.get((depth, number))
        if found is None:
            level, is_daily = self.levels[depth], self.rule.grain is Grain.DAY
            row, outer = int(level.row_of[number]), int(level.outer_of[number])
            found = [None] * len(self.spans)
            columns = (
                [(one, one.weights[row].tolist(), one.totals[outer].tolist()) for one in level.weighings]
                if row >= 0
                else []
            )
            for place, ((day, _, _), part) in enumerate(zip(self.spans, level.before.parts[outer], strict=True)):
                if row >= 0 and part:
                    found[place] = tuple(
                        KeyStep(
                            day if is_daily else None,
                            level.name,
                            level.subjects.ids[row],
                            one.by[place],
                            one.parts[place].as_integer_ratio(),
                            weights[place],
                            totals[place],
                        )
                        for one, weights, totals in columns
                        if one.parts[place]
                    )
            if depth < len(self.levels) - 1:
                self._told[depth, number] = found
        return found

    def _divide(self, stage: Stage, everybody: Subjects, before: _Reached) -> tuple[Layer, ...]:
        """Divide what reached each group between those who lie in it: one layer for each key."""
        is_reached = np.array([any(parts) for parts in before.parts], np.bool_)
        rows = np.flatnonzero((everybody.outer >= 0) & is_reached[everybody.outer])
        subjects = everybody if rows.size == len(everybody.ids) else everybody.only(rows)
        row_of = np.full(len(everybody.ids), -1, np.int64)
        row_of[rows] = np.arange(rows.size)
        weighings = self._weighings(stage, subjects, before) if rows.size else []
        level = _Level(stage.name, subjects, weighings, before, row_of, everybody.outer)
        self.levels.append(level)
        layers = self._layers(level)
        if subjects is everybody:
            return layers
        wide = np.maximum(row_of, 0)
        return tuple(
            Layer(np.where(row_of[:, np.newaxis] < 0, 0, one.weights[wide]), one.worth, one.group_of[wide])
            for one in layers
        )

    def _weighings(self, stage: Stage, subjects: Subjects, before: _Reached) -> list[Weighing]:
        if isinstance(self.rule, DemandRule):
            peak_of, contracted = self.rule.peak_of, self.rule.contracted
            return weigh_demand(
                self.rule.method, subjects, self.priced, self.spans, peak_of=peak_of, contracted=contracted
            )
        keys = self._keys(stage, (*before.first, -1))
        return [weigh(key, subjects, self.priced, self.spans, len(before.parts)) for key in keys]

    def _layers(self, level: _Level) -> tuple[Layer, ...]:
        """Give weights and their worth; where nobody in a group has a weight, the fallback steps in."""
        before, outer_of = level.before, level.subjects.outer
        counts = np.bincount(outer_of, minlength=len(before.parts))
        weights = [one.weights for one in level.weighings]
        worth = [[[NONE] * len(self.spans) for _ in before.parts] for _ in level.weighings]
        totals = [one.totals.tolist() for one in level.weighings]
        for place in range(len(self.spans)):
            for key, one in enumerate(level.weighings):
                for outer, parts in enumerate(before.parts):
                    part = parts[place] * one.parts[place]
                    if part and totals[key][outer][place]:
                        worth[key][outer][place] = part / totals[key][outer][place]
                    elif part and counts[outer] and self._falls_back(one, place, (place, before.paths[outer], key)):
                        weights[key], total = _by_slots(weights[key], level.subjects, outer, place)
                        worth[key][outer][place] = part / total
        return tuple(Layer(one, parts, outer_of) for one, parts in zip(weights, worth, strict=True))

    def _falls_back(self, one: Weighing, place: int, noted_at: tuple[int, tuple[int, ...], int]) -> bool:
        """Say whether occupied slots count where all weights are 0; otherwise the owner bears it, or nobody may."""
        if self.rule.fallback is None and self.costs_nano[place]:
            told = f"all weights of {one.by[place]} are 0 on {self.spans[place][0]} and it has no fallback"
            raise AllWeightsZero(f"pool {self.pool.id}: {told}")
        told = f"all weights of {one.by[place]} were 0; fallback: {self.rule.fallback or 'owner'}"
        self.notes.append((noted_at, told))
        return self.rule.fallback is Fallback.EQUAL

    def _keys(self, stage: Stage, noted_at: tuple[int, tuple[int, ...], int]) -> tuple[Key, ...]:
        """Give the keys that count: all of them, or only those that measure nothing where too much is estimated."""
        limit = self.rule.estimates if isinstance(self.rule, KeyedRule) else None
        if limit is None:
            return stage.keys
        meters = {unit: node for key in stage.keys for unit, node in key.meters}
        part = estimated_area(self.rule.units, self.priced, limit.slots_max, meters)
        if part <= limit.area_max:
            return stage.keys
        fixed = [key for key in stage.keys if not key.is_metered]
        if not fixed:
            raise PeriodNotReady(
                (f"pool {self.pool.id}: {_told(part, limit)}, and stage {stage.name} has no fixed key",)
            )
        told = f"{_told(part, limit)}: only {', '.join(key.text for key in fixed)} counts ({limit.source})"
        self.notes.append((noted_at, told))
        whole = sum((key.part for key in fixed), NONE)
        return tuple(replace(key, part=key.part / whole) for key in fixed)


def _passed_on(layers: Sequence[Layer], group_count: int, span_count: int) -> list[list[Fraction]]:
    """Give what reaches each group of a stage from the groups of the stage before."""
    reach = [[NONE] * span_count for _ in range(group_count)]
    for layer in layers:
        for parts, weights, outer in zip(reach, layer.weights.tolist(), layer.group_of.tolist(), strict=True):
            for place, (weight, worth) in enumerate(zip(weights, layer.worth[outer], strict=True)):
                if weight:
                    parts[place] += weight * worth
    return reach


def _by_slots(weights: Int64Array, subjects: Subjects, outer: int, place: int) -> tuple[Int64Array, int]:
    """Give weights in which those of one group and span are occupied slots, and their total."""
    inside = subjects.outer == outer
    weights = weights.copy()
    weights[inside, place] = subjects.slots[inside, place]
    return weights, int(weights[inside, place].sum())


def _told(part: Fraction, limit: EstimateLimit) -> str:
    return f"{_percent(part)} of the area is estimated, more than {_percent(limit.area_max)}"


def _percent(part: Fraction) -> str:
    tenths = floor(part * 1000)
    return f"{tenths // 10}.{tenths % 10} %"
