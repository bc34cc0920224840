"""Divides each span of a pool by keys, stage by stage: building, floor, lease. Parts are exact, so no stage loses any.

Whatever reaches a group is divided among what lies in it and nothing else; money is rounded once, on the lines, and the
amount of a group is the sum of its lines (ADR 0053).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor

from allocation_engine.demand_split import weigh_demand
from allocation_engine.drivers import Taker, Weighing, weigh
from allocation_engine.errors import AllWeightsZero, PeriodNotReady
from allocation_engine.intervals import SlotQuality
from allocation_engine.key_steps import KeyStep
from allocation_engine.keys import EstimateLimit, Key, Stage
from allocation_engine.pools import DemandRule, Fallback, Grain, KeyedRule, Pool
from allocation_engine.pricing import PricedPeriod
from allocation_engine.splits import NONE, ONE, Parts, Share, Span, Split, shares_of
from metering.identity import NodeId, UnitId


def split_by_keys(pool: Pool, priced: PricedPeriod, spans: Sequence[Span], costs_nano: Sequence[int]) -> Split:
    """Divide every span by the pool's keys; raises AllWeightsZero, PeriodNotReady, SeriesIncomplete, InputsInvalid."""
    rule = pool.rule
    if not isinstance(rule, KeyedRule | DemandRule):
        raise TypeError(f"{pool.id} is not shared by keys")
    shares = shares_of(priced, rule.units, spans)
    division = _Division(pool, rule, priced, spans, costs_nano, shares)
    owner = Share(priced.inputs.owner, None, 0, ())
    parts = [division.parts_of(place, owner.id) for place in range(len(spans))]
    if any(owner.id in part for part in parts):
        shares[owner.id] = owner
    steps = {one: tuple(division.steps.get(one, ())) for one in shares}
    return Split(shares, parts, [() for _ in spans], "; ".join(dict.fromkeys(division.notes)) or None, steps)


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


@dataclass
class _Division:
    """The division of one pool under way; `steps` and `notes` grow with it."""

    pool: Pool
    rule: KeyedRule | DemandRule
    priced: PricedPeriod
    spans: Sequence[Span]
    costs_nano: Sequence[int]
    shares: dict[str, Share]
    steps: dict[str, list[KeyStep]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _weighed: dict[tuple[int, tuple[UnitId, ...]], tuple[list[Taker], list[list[Weighing]]]] = field(
        default_factory=dict
    )

    def parts_of(self, place: int, owner: str) -> Parts:
        """Give each share's part of one span; what nobody can be found for is the owner's."""
        stages = self.rule.stages if isinstance(self.rule, KeyedRule) else (Stage("lease", (), ()),)
        parts = self._divide(stages, 0, self.rule.units, place, [])
        left = ONE - sum(parts.values(), NONE)
        return parts | {owner: left} if left else parts

    def _divide(
        self, stages: Sequence[Stage], depth: int, units: tuple[UnitId, ...], place: int, above: list[KeyStep]
    ) -> Parts:
        """Give the parts, within `units`, of what reaches them; `above` are the steps that led here."""
        stage = stages[depth]
        takers, by_span = self._weigh(stage, depth, units)
        weighings = by_span[place]
        parts: Parts = {}
        for taker in takers:
            steps = [*above, *(self._step(stage, taker, one, place) for one in weighings if one.part)]
            part = sum((self._part(one, taker, takers, place) for one in weighings), NONE)
            if not stage.groups:
                parts[taker.id] = part
                self.steps.setdefault(taker.id, []).extend(steps)
                continue
            if part:
                inner = self._divide(stages, depth + 1, taker.units, place, steps)
                parts |= {one: part * within for one, within in inner.items()}
            else:
                self._record(taker.units, steps)
        return parts

    def _record(self, units: tuple[UnitId, ...], steps: list[KeyStep]) -> None:
        """Keep, for everybody in a group that nothing reaches, the steps that led there."""
        for one, share in self.shares.items():
            if share.unit in units:
                self.steps.setdefault(one, []).extend(steps)

    def _takers(self, stage: Stage, units: tuple[UnitId, ...]) -> Iterator[Taker]:
        whole = ((0, self.priced.inputs.slot_count),)
        for group in stage.groups:
            if set(group.units) <= set(units):
                yield Taker(group.id, group.id, group.units, group.node, whole)
        if not stage.groups:
            for unit in units:
                for party, ones in self.priced.occupants(unit).items():
                    spans = tuple((one.first, one.end) for one in ones)
                    yield Taker(f"{unit}/{party}", unit, (unit,), None, spans)

    def _weigh(self, stage: Stage, depth: int, units: tuple[UnitId, ...]) -> tuple[list[Taker], list[list[Weighing]]]:
        """Give who takes part in a stage within `units`, and the weighings by span; made once for all spans."""
        known = self._weighed.get((depth, units))
        if known is None:
            takers = list(self._takers(stage, units))
            if isinstance(self.rule, DemandRule):
                weighed = [self._demand(self.rule, takers, span) for span in self.spans]
            else:
                by_key = [weigh(key, takers, self.priced, self.spans) for key in self._keys(stage)]
                weighed = [list(one) for one in zip(*by_key, strict=True)]
            known = self._weighed[depth, units] = takers, weighed
        return known

    def _demand(self, rule: DemandRule, takers: Sequence[Taker], span: Span) -> list[Weighing]:
        return weigh_demand(rule.method, takers, self.priced, span, peak_of=rule.peak_of, contracted=rule.contracted)

    def _keys(self, stage: Stage) -> tuple[Key, ...]:
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
        self.notes.append(f"{_told(part, limit)}: only {', '.join(key.text for key in fixed)} counts ({limit.source})")
        whole = sum((key.part for key in fixed), NONE)
        return tuple(replace(key, part=key.part / whole) for key in fixed)

    def _part(self, one: Weighing, taker: Taker, takers: Sequence[Taker], place: int) -> Fraction:
        if one.total:
            return one.part * Fraction(one.weights[taker.id], one.total)
        if not one.part:
            return NONE
        if self.rule.fallback is None and self.costs_nano[place]:
            day = self.spans[place][0]
            raise AllWeightsZero(f"pool {self.pool.id}: all weights of {one.by} are 0 on {day} and it has no fallback")
        self.notes.append(f"all weights of {one.by} were 0; fallback: {self.rule.fallback or 'owner'}")
        if self.rule.fallback is not Fallback.EQUAL:
            return NONE
        _, first, end = self.spans[place]
        held = {t.id: sum(max(0, min(e, end) - max(f, first)) for f, e in t.spans) for t in takers}
        return one.part * Fraction(held[taker.id], sum(held.values()))

    def _step(self, stage: Stage, taker: Taker, one: Weighing, place: int) -> KeyStep:
        day = self.spans[place][0] if self.rule.grain is Grain.DAY else None
        part = one.part.numerator, one.part.denominator
        return KeyStep(day, stage.name, taker.id, one.by, part, one.weights[taker.id], one.total)


def _told(part: Fraction, limit: EstimateLimit) -> str:
    return f"{_percent(part)} of the area is estimated, more than {_percent(limit.area_max)}"


def _percent(part: Fraction) -> str:
    tenths = floor(part * 1000)
    return f"{tenths // 10}.{tenths % 10} %"
