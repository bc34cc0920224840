"""A statement as its payer reads it: why he pays each line, step by step, and what his meters showed. Pure.

Rests on the signed content alone; only the names of units and nodes come from the site. Each step says what is done,
how, and what comes out, in numbers that anybody can press into a pocket calculator. Who wants every single sum gets it
from `ingest.explanation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from allocation_engine.costs import CostStep, steps_nano
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading
from allocation_engine.key_steps import FORMULA
from allocation_engine.loss_trace import LossTrace
from allocation_engine.media import Medium, show_amount
from allocation_engine.money import minor_digits
from allocation_engine.pools import Measure, PoolClass
from allocation_engine.run import ChargeTrace, Line, LineKind, MeteredTrace, ShareTrace
from allocation_engine.statement_content import StatedPool, StatementContent
from allocation_engine.tiered import tier_steps
from ingest.console.rendering import grouped, money, percent
from ingest.console.words import Language
from ingest.engine_words import engine_word
from ingest.explanation import Explanation
from ingest.statement_words import statement_words
from metering.hand_note import DESK
from metering.identity import MeterId, NodeId, UnitId
from metering.interval import SLOT, SiteCalendar
from metering.obis import ENERGY_EXPORT, Obis

DAYS_TOLD = 3
"""Days of a cost that is passed on day by day that are told one by one."""
TOLD_MAX = 12
"""Steps of losses, charges and keys that are told one by one; the rest stands among all sums."""
_NANO, _MICRO = 9, 6


@dataclass(frozen=True, slots=True)
class StoryNames:
    """What units and nodes are called in the reader's language."""

    units: Mapping[UnitId, str]
    nodes: Mapping[NodeId, str]


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One step: what is done, how, and what comes out; `is_result` marks the last."""

    what: str
    how: str
    gives: str
    is_result: bool = False


@dataclass(frozen=True, slots=True)
class ShownRegister:
    """What a meter showed at one end: the number, when, who signed it; `sealed` names its envelope."""

    number: str
    unit: str
    when: str
    signed: str
    by_hand: bool
    sealed: EnvelopeRef | None


@dataclass(frozen=True, slots=True)
class MeterEnds:
    """A meter of the payer with what it showed at both ends of what he pays for.

    used     what it counted, times its ratio; empty where the ends alone do not say it
    turned   what it counts to, where it passed that between the ends and began at nothing
    """

    meter: MeterId
    node: str
    ratio: int
    first: ShownRegister
    last: ShownRegister
    used: str
    turned: str = ""


@dataclass(frozen=True, slots=True)
class LineStory:
    """One line: how much, why, and how it was worked out."""

    id: str
    pool: str
    title: str
    room: str
    amount_minor: int
    amount: str
    why: str
    ground: str
    steps: tuple[StoryStep, ...]
    meters: tuple[MeterEnds, ...]
    is_shared: bool


class Story:
    """Tells the lines of one statement in one language."""

    def __init__(self, content: StatementContent, language: Language, names: StoryNames) -> None:
        self._content = content
        self._language = language
        self._names = names
        self._word = statement_words(language)
        self._calendar = SiteCalendar(content.zone)
        self._pools = {pool.id: pool for pool in content.pools}
        self._points = {(point.node, point.obis): point for point in content.points}

    def lines(self) -> tuple[LineStory, ...]:
        """Tell every line, in the order of the statement."""
        return tuple(self._line(line) for line in self._content.lines)

    def every_sum(self, line_id: str) -> tuple[str, ...]:
        """Write out every single sum of a line, indented by depth."""
        line = next(one for one in self._content.lines if one.id == line_id)
        steps = Explanation(self._content, self._language, all_spans=True).steps(line)
        return tuple("  " * step.depth + step.text for step in steps)

    def _line(self, line: Line) -> LineStory:
        pool = self._pools[line.pool]
        meters: tuple[MeterEnds, ...] = ()
        if isinstance(line.trace, MeteredTrace):
            meters = tuple(self._meters(line.trace))
            steps = [*self._metered(line, line.trace, pool, meters)]
        elif isinstance(line.trace, ShareTrace):
            steps = [*self._shared(line, line.trace, pool)]
        else:
            steps = [*self._told(line)]
        return LineStory(
            id=line.id,
            pool=line.pool,
            title=dict(pool.names).get(self._language, line.pool),
            room="" if line.unit is None else self._names.units.get(line.unit, line.unit),
            amount_minor=line.amount_minor,
            amount=self._money(line.amount_minor),
            why=self._why(line, pool),
            ground=self._say("ground", ground=engine_word(pool.ground, self._language)) if pool.ground else "",
            steps=tuple(steps),
            meters=meters,
            is_shared=line.kind in (LineKind.SHARE, LineKind.RESIDUAL) and pool.cost_minor is not None,
        )

    def _why(self, line: Line, pool: StatedPool) -> str:
        cost = self._money(pool.cost_minor or 0)
        if isinstance(line.trace, MeteredTrace):
            energy = self._amount(sum(line.band_energy_wh), Measure(line.trace.measure).medium)
            is_own = pool.pool_class is PoolClass.EXCLUSIVE and line.trace.deduct == () and line.unit is not None
            return self._say("why-metered" if is_own else "why-direct", energy=energy)
        if isinstance(line.trace, LossTrace):
            return self._say("why-loss")
        if isinstance(line.trace, ChargeTrace):
            return self._say("why-charge")
        if line.kind is LineKind.RESIDUAL or line.unit is None:
            return self._say("why-residual", cost=cost)
        return self._say("why-share", cost=cost, percent=percent(line.amount_minor, pool.cost_minor or 0))

    # A meter of one's own

    def _meters(self, trace: MeteredTrace) -> Iterator[MeterEnds]:
        measure = Measure(trace.measure)
        start = self._content.period.start
        within = [(start + first * SLOT, start + end * SLOT) for first, end in trace.spans]
        for node in (*trace.nodes, *trace.deduct):
            for obis in measure.registers:
                point = self._points.get((node, obis))
                if point is not None:
                    yield from self._ends(point, obis, within, measure.medium)

    def _ends(
        self, point: PointEvidence, obis: Obis, within: list[tuple[datetime, datetime]], medium: Medium
    ) -> Iterator[MeterEnds]:
        for installation in _by_meter(point.installations):
            readings = [one for one in point.readings if one.meter == installation.meter]
            inside = [one for one in readings if any(first <= one.mark <= end for first, end in within)]
            if len(inside) < 2 or (obis == ENERGY_EXPORT and inside[0].register_wh == inside[-1].register_wh):
                continue
            difference = inside[-1].register_wh - inside[0].register_wh
            turned = installation.modulus_wh if difference < 0 else None
            used = (difference + (turned or 0)) * installation.multiplier
            yield MeterEnds(
                meter=installation.meter,
                node=self._names.nodes.get(point.node, point.node),
                ratio=installation.multiplier,
                first=self._register(inside[0], medium),
                last=self._register(inside[-1], medium),
                used=self._amount(used, medium) if used >= 0 else "",
                turned="" if turned is None else self._amount(turned, medium).rpartition(" ")[0],
            )

    def _register(self, reading: PointReading, medium: Medium) -> ShownRegister:
        number, _, unit = self._amount(reading.register_wh, medium).rpartition(" ")
        sealed = reading.envelope
        by_hand = sealed is not None and sealed.gateway.startswith(DESK)
        signed = self._say("read-by-person")
        if sealed is not None and not by_hand:
            signed = self._say("signed-by", gateway=sealed.gateway, seq=sealed.seq)
        when = self._calendar.local(reading.mark).strftime("%Y-%m-%d %H:%M")
        return ShownRegister(number, unit, when, signed, by_hand, sealed)

    def _metered(
        self, line: Line, trace: MeteredTrace, pool: StatedPool, meters: tuple[MeterEnds, ...]
    ) -> Iterator[StoryStep]:
        medium = Measure(trace.measure).medium
        for one in meters:
            for key, end in (("step-first", one.first), ("step-last", one.last)):
                yield StoryStep(self._say(key, when=end.when), one.node, f"{end.number} {end.unit}")
            how = f"{one.last.number} − {one.first.number}"
            if one.turned:
                how = f"{one.last.number} + {one.turned} − {one.first.number}"
                yield StoryStep(self._say("step-turned", full=one.turned), "", "")
            if one.used:
                key = "step-between" if one.ratio == 1 else "step-ratio"
                how = how if one.ratio == 1 else f"({how}) × {one.ratio}"
                yield StoryStep(self._say(key, ratio=one.ratio), how, one.used)
        counted = self._amount(sum(line.band_energy_wh), medium)
        if [one.used for one in meters] != [counted]:
            yield StoryStep(self._say("step-counted"), "", counted)
        for band, energy in zip(self._content.bands, line.band_energy_wh, strict=True):
            if energy:
                how = f"{self._amount(energy, medium)} × {self._exact(band.rate_micro, _MICRO)}/{band.per}"
                name = self._word.get(f"band-{band.name}", band.name)
                what = self._say("step-band", band=name) if len(self._content.bands) > 1 else self._say("step-flat")
                yield StoryStep(what, how, self._exact(band.cost_nano(energy), _NANO))
        yield from self._products(tier_steps(self._content.bands, pool.tariff, trace.tiers))
        yield self._result("step-sum", line, how=self._exact(trace.cost_nano, _NANO))

    # A share of a common cost

    def _shared(self, line: Line, trace: ShareTrace, pool: StatedPool) -> Iterator[StoryStep]:
        cost_minor = pool.cost_minor or 0
        yield from self._products(pool.steps)
        name = dict(pool.names).get(self._language, pool.id)
        yield StoryStep(self._say("step-cost", pool=name), "", self._money(cost_minor))
        if trace.keys and trace.keys[0].stage == FORMULA:
            yield StoryStep(self._say("step-formula"), trace.keys[0].by, "")
        days = [one for one in pool.days if one.inputs]
        for day in days[:DAYS_TOLD]:
            inputs = ", ".join(f"{name} = {number}" for name, number, _ in day.inputs)
            yield StoryStep(self._say("step-day", day=day.day), inputs, percent(*day.passed_on))
        if len(days) > DAYS_TOLD:
            yield StoryStep(self._say("more-steps", count=len(days) - DAYS_TOLD), "", "")
        if trace.total_weight:
            weight, total = grouped(trace.weight, 0), grouped(trace.total_weight, 0)
            if trace.area_cm2:
                area = self._say("area-m2", area=_decimal(trace.area_cm2, 4), slots=grouped(trace.slots, 0))
                yield StoryStep(self._say("step-weighed" if days or trace.keys else "step-area"), area, weight)
            else:
                yield StoryStep(self._say("step-weight"), "", weight)
            yield StoryStep(self._say("step-total"), "", total)
            exact = _cut(cost_minor * trace.weight, trace.total_weight, self._content.currency)
            how = f"{self._money(cost_minor)} × {weight} ÷ {total}"
            yield StoryStep(self._say("step-part"), how, f"{exact}…")
        yield self._result("step-cent-yes" if trace.extra else "step-cent-no", line)

    # Everything else, in the words of the explanation

    def _told(self, line: Line) -> Iterator[StoryStep]:
        if isinstance(line.trace, ChargeTrace):
            yield from self._products(line.trace.steps)
            yield self._result("step-sum", line, how=self._exact(steps_nano(line.trace.steps), _NANO))
            return
        told = [one.text for one in Explanation(self._content, self._language, all_spans=False).steps(line)][1:]
        for text in told[:TOLD_MAX]:
            what, _, gives = text.rpartition(" = ")
            yield StoryStep(what or text, "", gives if what else "")
        if len(told) > TOLD_MAX:
            yield StoryStep(self._say("more-steps", count=len(told) - TOLD_MAX), "", "")
        yield self._result("step-is", line)

    def _products(self, steps: Iterable[CostStep]) -> Iterator[StoryStep]:
        found = tuple(steps)
        for one in found[:TOLD_MAX]:
            quantity, rate = _decimal(one.quantity_milli, 3), self._exact(one.rate_micro, _MICRO)
            part = "" if one.part == (1, 1) else f" × {one.part[0]}/{one.part[1]}"
            how = f"{quantity} {one.unit} × {rate}/{one.unit}{part}"
            yield StoryStep(engine_word(one.what, self._language), how, self._exact(one.cost_nano, _NANO))
        if len(found) > TOLD_MAX:
            yield StoryStep(self._say("more-steps", count=len(found) - TOLD_MAX), "", "")

    def _result(self, key: str, line: Line, how: str = "") -> StoryStep:
        return StoryStep(self._say(key), how, self._money(line.amount_minor), is_result=True)

    def _exact(self, number: int, digits: int) -> str:
        """Write `number` x 10^-`digits` currency units with all its digits."""
        return _signed(_decimal(abs(number), digits), self._content.currency, number < 0)

    def _money(self, amount_minor: int) -> str:
        return money(amount_minor, self._content.currency)

    def _amount(self, amount: int, medium: Medium) -> str:
        if medium is Medium.ELECTRICITY:
            return f"{grouped(amount, 3)} kWh"
        return show_amount(amount, medium)

    def _say(self, key: str, **fields: object) -> str:
        return self._word[key].format(**fields)


def _by_meter(installations: Iterable[Installation]) -> Iterator[Installation]:
    """Give each meter once: the same one with another ratio is told by its first, and counted by the slots."""
    seen: set[MeterId] = set()
    for one in installations:
        if one.meter not in seen:
            seen.add(one.meter)
            yield one


def _cut(numerator: int, denominator: int, currency: str) -> str:
    """Write numerator / denominator minor units as money, cut down after four more decimals."""
    number = grouped(abs(numerator) * 10_000 // denominator, minor_digits(currency) + 4)
    return _signed(number, currency, numerator < 0)


def _signed(number: str, currency: str, is_negative: bool) -> str:
    """Put the sign of the currency before a number that is written already."""
    sign = money(0, currency).removesuffix(grouped(0, minor_digits(currency)))
    return f"{'−' if is_negative else ''}{sign}{number}"


def _decimal(number: int, digits: int) -> str:
    """Write `number` x 10^-`digits` exactly, without trailing zeros beyond two decimals."""
    whole, _, fraction = grouped(number, digits).partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
