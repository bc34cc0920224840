"""One line of a statement, recomputed before the reader's eyes: from registers to energy, cost and amount. Pure.

Rests on nothing but the statement's own content. `allocation_engine.verification` decides whether the line holds; this
module shows the arithmetic, so that a person can follow it with a pocket calculator.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from allocation_engine.costs import CostStep, steps_nano
from allocation_engine.evidence import PointEvidence, PointReading
from allocation_engine.intervals import settle_point
from allocation_engine.key_steps import FORMULA, KeyStep
from allocation_engine.loss_trace import LINE_BITS, LossTrace, cost_unit
from allocation_engine.media import Medium, show_amount
from allocation_engine.money import divide, show_kwh, show_minor
from allocation_engine.pools import Measure
from allocation_engine.run import ChargeTrace, DayShare, Line, LineKind, MeteredTrace, ShareTrace
from allocation_engine.statement_content import StatedPool, StatementContent
from allocation_engine.tiered import tier_steps
from metering.errors import MeteringError
from metering.hand_note import DESK
from metering.interval import SLOT, Interval, SiteCalendar
from metering.obis import ENERGY_EXPORT
from provisioning.site import Names

SPANS_SHOWN = 4
"""Spans written out unless all are asked for: a month of time-of-use prices has some two hundred."""
READINGS_BESIDE = 8
"""A span is settled by the readings next to it, of every meter that hung there; more change nothing."""
_NANO_DIGITS = 9

_TEXT = {
    "metered": Names(
        zh="本行由自有电表的已签名读数逐段相减得出。",
        en="This line is differences of signed registers of one's own meters.",
    ),
    "registers": Names(
        zh="{node} {obis}：读数 {count} 个，首 {first}，末 {last}，倍率 {multiplier}",
        en="{node} {obis}: {count} readings, first {first}, last {last}, multiplier {multiplier}",
    ),
    "by-person": Names(zh="人工抄读", en="read by a person"),
    "span": Names(zh="{start} 至 {end}  {band}  {formula}", en="{start} to {end}  {band}  {formula}"),
    "more": Names(
        zh="……另有 {count} 段（--all-spans 全部列出）", en="... and {count} more spans (--all-spans lists them)"
    ),
    "band": Names(
        zh="{band}：{energy} × {rate} {currency}/{per} = {cost}",
        en="{band}: {energy} x {rate} {currency}/{per} = {cost}",
    ),
    "before": Names(
        zh="阶梯：自 {since} 起此前已计 {before}，本段 {amount}",
        en="tiers: {before} counted since {since} before this, {amount} here",
    ),
    "step": Names(
        zh="{what}：{quantity} {unit} × {rate} {currency}/{unit} × {part} = {cost}（{note}）",
        en="{what}: {quantity} {unit} x {rate} {currency}/{unit} x {part} = {cost} ({note})",
    ),
    "charged": Names(zh="本行由下列各项相加得出。", en="This line is the sum of these steps."),
    "sum": Names(
        zh="合计 {cost}，四舍五入一次 = {amount} {currency}", en="sum {cost}, rounded once = {amount} {currency}"
    ),
    "lost": Names(zh="本行是线路与变压器损耗的一份。", en="This line is a share of losses on the way."),
    "lost-band": Names(
        zh="{band}：用电 {drawn}，按每刻用电比例分担损耗 {carried}，空载损耗 {no_load} × {rate} {currency}/{per}",
        en="{band}: drew {drawn}; carried {carried}, slot by slot, and {no_load} no-load x {rate} {currency}/{per}",
    ),
    "lost-sum": Names(zh="合计 {cost}，舍去尾数 = {floor}", en="sum {cost}, cut down = {floor}"),
    "shared": Names(zh="本行是公共费用的一份。", en="This line is a share of a common cost."),
    "pool": Names(zh="费用池 {pool} 的费用：{cost} {currency}", en="cost of pool {pool}: {cost} {currency}"),
    "ground": Names(zh="依据：{ground}", en="rests on: {ground}"),
    "service": Names(
        zh="自身费用 {own}，自其他池分入 {received}，向其他池分出 {passed}",
        en="own cost {own}, received from other pools {received}, passed on to them {passed}",
    ),
    "key": Names(
        zh="{day}{stage}：{taker} 按 {by} 占 {part} 中的 {weight} / {total}",
        en="{day}{stage}: {taker} has {weight} / {total} of {part} by {by}",
    ),
    "formula": Names(
        zh="按公式分摊：{formula}；权重是公式在占用单元的每一刻钟的结果之和",
        en="spread by a formula: {formula}; a weight is what it gives, added up over the quarter hours of occupation",
    ),
    "driven": Names(
        zh="{day}：{numbers}（当日费用 {cost} {currency}）", en="{day}: {numbers} (cost of the day {cost} {currency})"
    ),
    "weight": Names(zh="{day}{taker} 的权重：{weight} / {total}", en="{day}weight of {taker}: {weight} / {total}"),
    "area": Names(
        zh="权重背后的面积与时段：{area} m² × {slots} 刻（每刻 15 分钟）",
        en="behind the weight: {area} m2 x {slots} quarter hours",
    ),
    "quotient": Names(
        zh="{cost} × {weight} ÷ {total} = {floor}，余数 {remainder}",
        en="{cost} x {weight} / {total} = {floor}, remainder {remainder}",
    ),
    "extra": Names(
        zh="余数不小于 {cut} 的行各加一分；本行{verdict} = {amount} {currency}",
        en="remainders from {cut} on get one minor unit more; this line {verdict} = {amount} {currency}",
    ),
    "no-extra": Names(zh="没有余下的分 = {amount} {currency}", en="nothing is left over = {amount} {currency}"),
    "gets": Names(zh="加一分", en="does"),
    "gets-not": Names(zh="不加", en="does not"),
}


class LineUnknown(MeteringError):
    """The statement has no line of this id."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a recomputation; `depth` is its indentation."""

    depth: int
    text: str


def choose_line(content: StatementContent, line_id: str | None) -> Line:
    """Give the line asked for, else the metered line with the largest amount; raises LineUnknown."""
    if line_id is None:
        return max(content.lines, key=lambda line: (line.kind == LineKind.METERED, line.amount_minor))
    for line in content.lines:
        if line.id == line_id:
            return line
    raise LineUnknown(f"no line {line_id!r}; this statement has {', '.join(line.id for line in content.lines)}")


class Explanation:
    """Explains the lines of one statement in one language (`zh` or `en`)."""

    def __init__(self, content: StatementContent, language: str, *, all_spans: bool) -> None:
        self._content = content
        self._language = language
        self._all_spans = all_spans
        self._calendar = SiteCalendar(content.zone)
        self._points = {(point.node, point.obis): point for point in content.points}

    def steps(self, line: Line) -> Iterator[Step]:
        """Give every step from what was measured to the line's amount."""
        if isinstance(line.trace, MeteredTrace):
            yield from self._metered(line, line.trace)
        elif isinstance(line.trace, ChargeTrace):
            yield self._step(0, "charged")
            yield from self._cost_steps(line.trace.steps)
            yield self._sum(steps_nano(line.trace.steps), line)
        elif isinstance(line.trace, LossTrace):
            yield from self._lost(line, line.trace)
        else:
            yield from self._shared(line, line.trace)

    def _cost_steps(self, steps: Iterable[CostStep]) -> Iterator[Step]:
        for one in steps:
            yield self._step(
                1,
                "step",
                what=one.what,
                quantity=_decimal(one.quantity_milli, 3),
                unit=one.unit,
                rate=_decimal(one.rate_micro, 6),
                currency=self._currency,
                part=Fraction(*one.part),
                cost=_decimal(one.cost_nano, _NANO_DIGITS),
                note=one.note,
            )

    def _sum(self, cost_nano: int, line: Line) -> Step:
        cost, amount = _decimal(cost_nano, _NANO_DIGITS), self._money(line.amount_minor)
        return self._step(1, "sum", cost=cost, amount=amount, currency=self._currency)

    def _metered(self, line: Line, trace: MeteredTrace) -> Iterator[Step]:
        yield self._step(0, "metered")
        medium = Measure(trace.measure).medium
        tariff = next(pool.tariff for pool in self._content.pools if pool.id == line.pool)
        points = [
            self._points[node, obis]
            for node in (*trace.nodes, *trace.deduct)
            for obis in Measure(trace.measure).registers
        ]
        for point in points:
            yield self._registers(point, trace, medium)
            spans = list(self._spans(point, trace, medium, tariff))
            shown = spans if self._all_spans else spans[:SPANS_SHOWN]
            yield from (Step(2, text) for text in shown)
            if len(spans) > len(shown):
                yield self._step(2, "more", count=len(spans) - len(shown))
        for band, energy_wh in zip(self._content.bands, line.band_energy_wh, strict=True):
            if energy_wh:
                rate = _decimal(band.rate_micro, 6)
                cost = _decimal(band.cost_nano(energy_wh), _NANO_DIGITS)
                priced = {"rate": rate, "currency": self._currency, "per": band.per, "cost": cost}
                name, energy = f"{band.name} ({band.version})", show_amount(energy_wh, medium)
                yield self._step(1, "band", band=name, energy=energy, **priced)
        for piece in trace.tiers:
            before, here = show_amount(piece.before, medium), show_amount(piece.amount, medium)
            yield self._step(1, "before", since=piece.since, before=before, amount=here)
        yield from self._cost_steps(tier_steps(self._content.bands, tariff, trace.tiers))
        yield self._sum(trace.cost_nano, line)

    def _registers(self, point: PointEvidence, trace: MeteredTrace, medium: Medium) -> Step:
        within = [self._instants(span) for span in trace.spans]
        readings = [one for one in point.readings if any(start <= one.mark <= end for start, end in within)]
        # Between registers that were read far apart there may be none: then the line rests on those around it.
        readings = readings or list(point.readings)
        sign = -1 if point.node in trace.deduct else 1
        return self._step(
            1,
            "registers",
            node=f"{'- ' if sign < 0 or point.obis == ENERGY_EXPORT else ''}{point.node}",
            obis=point.obis,
            count=len(readings),
            first=self._reading(readings[0], medium) if readings else "-",
            last=self._reading(readings[-1], medium) if readings else "-",
            multiplier=" / ".join(str(one.multiplier) for one in point.installations),
        )

    def _spans(self, point: PointEvidence, trace: MeteredTrace, medium: Medium, tariff: str) -> Iterator[str]:
        """Write one text per run of slots of one band, with the registers at both ends where both were read."""
        registers = {(reading.mark, reading.meter): reading.register_wh for reading in point.readings}
        ordered = sorted(point.readings, key=lambda one: one.mark)
        for first, end, band in self._band_spans(trace.spans, tariff):
            start, stop = self._instants((first, end))
            settled = settle_point(_around(ordered, start, stop), Interval(start, stop), point.installations)
            energy = show_amount(sum(settled.energy_wh), medium)
            formula = energy
            for one in point.installations:
                ends = registers.get((start, one.meter)), registers.get((stop, one.meter))
                if ends[0] is not None and ends[1] is not None and ends[0] <= ends[1]:
                    difference = " − ".join(show_amount(one, medium).partition(" ")[0] for one in (ends[1], ends[0]))
                    formula = (
                        f"{difference} = {energy}"
                        if one.multiplier == 1
                        else f"({difference}) × {one.multiplier} = {energy}"
                    )
            yield self._say("span", start=self._local(start), end=self._local(stop), band=band, formula=formula)

    def _band_spans(self, spans: Sequence[tuple[int, int]], tariff: str) -> Iterator[tuple[int, int, str]]:
        runs = [run for run in self._content.band_runs if self._content.bands[run[1]].tariff == tariff]
        changes = [*runs, (self._content.period.slot_count, -1)]
        for first, end in spans:
            for (start, band), (stop, _) in pairwise(changes):
                if start < end and stop > first:
                    yield max(start, first), min(stop, end), self._content.bands[band].name

    def _lost(self, line: Line, trace: LossTrace) -> Iterator[Step]:
        bands = self._content.bands
        yield self._step(0, "lost")
        for number, band in enumerate(bands):
            if trace.drawn_wh[number] or trace.quanta[number]:
                carried, no_load = (
                    f"{_decimal(divide(one[number] * 1000, 1 << LINE_BITS), 6)} kWh"
                    for one in (trace.carried, trace.no_load)
                )
                drawn = f"{show_kwh(trace.drawn_wh[number])} kWh"
                fields = {"band": band.name, "drawn": drawn, "carried": carried, "no_load": no_load}
                rate = _decimal(band.rate_micro, 6)
                yield self._step(1, "lost-band", **fields, rate=rate, currency=self._currency, per=band.per)
        cost = trace.cost_quanta(bands)
        shown = _decimal(divide(cost, 1 << LINE_BITS), _NANO_DIGITS)
        yield self._step(1, "lost-sum", cost=shown, floor=self._money(cost // cost_unit(self._content.currency)))
        yield self._extra(line, trace)

    def _shared(self, line: Line, trace: ShareTrace) -> Iterator[Step]:
        pool = next(pool for pool in self._content.pools if pool.id == line.pool)
        cost_minor = pool.cost_minor or 0
        cost = self._money(cost_minor)
        yield self._step(0, "shared")
        yield self._step(1, "pool", pool=pool.id, cost=cost, currency=self._currency)
        yield from self._cost_steps(pool.steps)
        yield from self._grounds(pool, trace)
        if trace.area_cm2:
            area = _decimal(trace.area_cm2, 4)
            yield self._step(1, "area", area=area, slots=trace.slots)
        if trace.total_weight:
            floor, remainder = divmod(abs(cost_minor) * trace.weight, trace.total_weight)
            yield self._step(
                1,
                "quotient",
                cost=cost,
                weight=trace.weight,
                total=trace.total_weight,
                floor=self._money(-floor if cost_minor < 0 else floor),
                remainder=remainder,
            )
        yield self._extra(line, trace)

    def _extra(self, line: Line, trace: ShareTrace | LossTrace) -> Step:
        """Say whether the line got one minor unit more than its floor, and what decided so."""
        told = {"amount": self._money(line.amount_minor), "currency": self._currency}
        if not trace.cut_id:
            return self._step(1, "no-extra", **told)
        verdict = self._say("gets" if trace.extra else "gets-not")
        return self._step(1, "extra", cut=trace.cut_remainder, verdict=verdict, **told)

    def _grounds(self, pool: StatedPool, trace: ShareTrace) -> Iterator[Step]:
        """Say what the rule rests on, what other pools have to do with the cost, and by which keys it is divided."""
        if pool.ground:
            yield self._step(1, "ground", ground=pool.ground)
        if pool.service is not None:
            flows = [sum(Fraction(*part) for _, part in one) for one in (pool.service.received, pool.service.passed)]
            received, passed = (self._money(round(one)) for one in flows)
            own = self._money(pool.service.own_minor)
            yield self._step(1, "service", own=own, received=received, passed=passed)
        if trace.keys and trace.keys[0].stage == FORMULA:
            yield self._step(1, "formula", formula=trace.keys[0].by)
            yield from self._some([self._driven(day) for day in pool.days if day.inputs])
        yield from self._some([self._key(one) for one in trace.keys])

    def _driven(self, day: DayShare) -> Step:
        numbers = ", ".join(f"{name} = {number}" for name, number, _ in day.inputs)
        cost = _decimal(day.cost_nano, _NANO_DIGITS)
        return self._step(2, "driven", day=day.day, numbers=numbers, cost=cost, currency=self._currency)

    def _key(self, one: KeyStep) -> Step:
        fields = {"taker": one.taker, "by": one.by, "weight": one.weight, "total": one.total}
        key = "weight" if one.stage == FORMULA else "key"
        day = "" if one.day is None else f"{one.day} "
        return self._step(2, key, day=day, stage=one.stage, part=Fraction(*one.part), **fields)

    def _some(self, steps: Sequence[Step]) -> Iterator[Step]:
        """Give some steps of many, unless all are asked for."""
        shown = steps if self._all_spans else steps[:SPANS_SHOWN]
        yield from shown
        if len(steps) > len(shown):
            yield self._step(2, "more", count=len(steps) - len(shown))

    @property
    def _currency(self) -> str:
        return self._content.currency

    def _money(self, amount_minor: int) -> str:
        return show_minor(amount_minor, self._content.currency)

    def _reading(self, reading: PointReading, medium: Medium) -> str:
        sealed = reading.envelope
        place = "" if sealed is None else f" [{sealed.gateway} {sealed.epoch}/{sealed.seq}]"
        if sealed is not None and sealed.gateway.startswith(DESK):
            place = f" {self._say('by-person')}{place}"
        return f"{show_amount(reading.register_wh, medium)} {self._local(reading.mark)}{place}"

    def _instants(self, span: tuple[int, int]) -> tuple[datetime, datetime]:
        start = self._content.period.start
        return start + span[0] * SLOT, start + span[1] * SLOT

    def _local(self, instant: datetime) -> str:
        return self._calendar.local(instant).strftime("%m-%d %H:%M")

    def _say(self, key: str, **fields: object) -> str:
        return _TEXT[key].of(self._language).format(**fields)

    def _step(self, depth: int, key: str, **fields: object) -> Step:
        return Step(depth, self._say(key, **fields))


def _around(readings: Sequence[PointReading], start: datetime, stop: datetime) -> Sequence[PointReading]:
    """Give the readings that bound a span, with some on each side: all of a month per span took a second a line."""
    first = bisect_left(readings, start, key=lambda one: one.mark)
    end = bisect_right(readings, stop, key=lambda one: one.mark)
    return readings[max(0, first - READINGS_BESIDE) : end + READINGS_BESIDE]


def _decimal(number: int, digits: int) -> str:
    """Write `number` x 10^-`digits` exactly, without trailing zeros beyond two decimals."""
    sign = "-" if number < 0 else ""
    text = str(abs(number)).rjust(digits + 1, "0")
    whole, fraction = text[:-digits], text[-digits:].rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{fraction}"
