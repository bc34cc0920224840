"""Recomputes what a statement says from the readings in its evidence, by the same ladder that settled them.

Between two readings of the evidence nothing changes that matters, so the sums that a line needs come out the same from
the few readings of the evidence as from all readings of the period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from allocation_engine.costs import amount_step, steps_nano
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading
from allocation_engine.intervals import SlotQuality, point_reading, settle_point
from allocation_engine.key_steps import parts_by_day
from allocation_engine.loss_trace import LossTrace
from allocation_engine.media import show_amount
from allocation_engine.money import show_kwh, show_minor, to_minor
from allocation_engine.pools import Measure
from allocation_engine.run import ChargeTrace, Line, MeteredTrace, ShareTrace
from allocation_engine.statement_content import StatedPool, StatementContent
from allocation_engine.tiered import tier_steps
from device_profiles.decode import register_readings
from device_profiles.profile import Profile
from metering.envelope import Sealed
from metering.errors import BooksError, MeteringError
from metering.identity import MeterId, NodeId
from metering.interval import SLOT, Interval
from metering.obis import Obis

CUT = Fraction(1, 2**40)
"""Weights are cut at 61 bits, so what keys give may differ from them by so much and no more."""


class Broken(BooksError):
    """A link of the chain does not hold; `link` names it."""

    def __init__(self, link: str, problem: str) -> None:
        super().__init__(problem)
        self.link = link


def decode_readings(
    content: StatementContent, opened: Mapping[EnvelopeRef, Sealed], profiles: Mapping[bytes, Profile]
) -> None:
    """Compare every stated register with the one its envelope holds; raises Broken for the first that differs."""
    for point in content.points:
        hung: dict[MeterId, list[Installation]] = {}
        for one in point.installations:
            hung.setdefault(one.meter, []).append(one)
        for stated in point.readings:
            link = f"reading {stated.meter} {stated.mark.isoformat()}"
            if stated.envelope is None or stated.meter not in hung:
                raise Broken(link, f"{stated.meter} is not stated to hang at {point.node}")
            signed = _signed(stated, point.obis, opened[stated.envelope], profiles, link)
            if signed.register_wh != stated.register_wh:
                problem = f"the envelope holds {signed.register_wh} Wh, the statement says {stated.register_wh} Wh"
                raise Broken(link, problem)
            for installation in hung[stated.meter]:
                _require_modulus(installation, point.obis, opened[stated.envelope], profiles, link)


def prove_line(content: StatementContent, line: Line) -> str:
    """Recompute one line; gives the result in words, raises Broken if it is not the stated one."""
    if line.party != content.party:
        raise Broken("line", f"it is a line of {line.party}, the statement is that of {content.party}")
    if isinstance(line.trace, MeteredTrace):
        return _prove_metered(content, line, line.trace)
    if isinstance(line.trace, ChargeTrace):
        return _prove_charge(content, line, line.trace)
    if isinstance(line.trace, LossTrace):
        return _prove_loss(content, line, line.trace)
    return _prove_share(content, line, line.trace)


def _signed(
    stated: PointReading, obis: Obis, sealed: Sealed, profiles: Mapping[bytes, Profile], link: str
) -> PointReading:
    envelope = sealed.envelope
    for reading in envelope.readings:
        if reading.meter != stated.meter or envelope.mark != stated.mark:
            continue
        if reading.profile_hash not in profiles:
            raise Broken(link, f"the profile {reading.profile_hash.hex()[:16]} it was read by is missing")
        try:
            registers = register_readings(profiles[reading.profile_hash], reading, envelope.mark)
            found = [point_reading(one, stated.envelope) for one in registers if one.obis == obis]
        except MeteringError as error:
            raise Broken(link, f"it does not decode: {error}") from error
        if found and found[0] is not None:
            return found[0]
    raise Broken(link, f"the envelope holds no measured {obis} of this meter at this mark")


def _require_modulus(
    one: Installation, obis: Obis, sealed: Sealed, profiles: Mapping[bytes, Profile], link: str
) -> None:
    """A stated modulus must be the profile's: a smaller one would turn a fallen register into a rollover."""
    if one.modulus_wh is None:
        return
    hashes = {reading.profile_hash for reading in sealed.envelope.readings if reading.meter == one.meter}
    groups = [group for profile_hash in hashes for group in profiles[profile_hash].groups]
    moduli = {
        channel.shown(channel.modulus).to_base()
        for group in groups
        for channel in group.channels
        if channel.obis == obis and channel.modulus is not None
    }
    if one.modulus_wh not in moduli:
        raise Broken(link, f"the profile does not state that the register rolls over at {one.modulus_wh} Wh")


def _prove_metered(content: StatementContent, line: Line, trace: MeteredTrace) -> str:
    tariff = _pool(content, line).tariff
    band_energy_wh = [0] * len(content.bands)
    for span in trace.spans:
        for band, energy_wh in zip(_bands(content, tariff, span), _metered_slots(content, trace, span), strict=True):
            band_energy_wh[band] += energy_wh
    if tuple(band_energy_wh) != line.band_energy_wh:
        raise Broken("line", f"the registers give {band_energy_wh} Wh by band, the line {list(line.band_energy_wh)}")
    cost_nano = sum(band.cost_nano(wh) for wh, band in zip(band_energy_wh, content.bands, strict=True))
    cost_nano += _prove_tiers(content, tariff, trace)
    amount_minor = to_minor(cost_nano, content.currency)
    if cost_nano != trace.cost_nano or amount_minor != line.amount_minor:
        shown = [show_minor(one, content.currency) for one in (amount_minor, line.amount_minor)]
        raise Broken("line", f"the registers give {shown[0]} {content.currency}, the line {shown[1]}")
    energy = show_amount(sum(band_energy_wh), Measure(trace.measure).medium)
    return f"{energy} from signed registers give {show_minor(amount_minor, content.currency)} {content.currency}"


def _metered_slots(content: StatementContent, trace: MeteredTrace, span: tuple[int, int]) -> list[int]:
    """Give what the line counts in each slot of `span`, from its registers."""
    points = {(point.node, point.obis): point for point in content.points}
    total = [0] * (span[1] - span[0])
    for sign, nodes in ((1, trace.nodes), (-1, trace.deduct)):
        for node in nodes:
            for direction, obis in zip((1, -1), Measure(trace.measure).registers, strict=False):
                for slot, energy_wh in enumerate(_slots(content, points, node, obis, span)):
                    total[slot] += sign * direction * energy_wh
    return total


def _prove_tiers(content: StatementContent, tariff: str, trace: MeteredTrace) -> int:
    """Recompute what stands in each tier piece and give what tiers add [10^-9 currency units].

    What was counted before the period is taken as stated: it rests on the statements of the months before.
    """
    for piece in trace.tiers:
        inside = [(max(first, piece.first), min(end, piece.end)) for first, end in trace.spans]
        amount = sum(sum(_metered_slots(content, trace, span)) for span in inside if span[0] < span[1])
        if amount != piece.amount:
            raise Broken("line", f"the registers give {amount} for the tiers of {piece.version}, not {piece.amount}")
    return steps_nano(tier_steps(content.bands, tariff, trace.tiers))


def _prove_charge(content: StatementContent, line: Line, trace: ChargeTrace) -> str:
    """Multiply the steps again; where they take up other lines, those must be the party's and come to as much."""
    amounts = {one.id: one.amount_minor for one in content.lines}
    if any(one not in amounts for one in trace.of):
        raise Broken("line", "it rests on lines the statement does not hold")
    if trace.of:
        taken = amount_step("", sum(amounts[one] for one in trace.of), content.currency, Fraction(1), "")
        if taken.quantity_milli != trace.steps[0].quantity_milli:
            raise Broken("line", "the lines it rests on come to another amount")
    amount_minor = to_minor(steps_nano(trace.steps), content.currency)
    shown = [show_minor(one, content.currency) for one in (amount_minor, line.amount_minor)]
    if amount_minor != line.amount_minor:
        raise Broken("line", f"its steps give {shown[0]} {content.currency}, the line {shown[1]}")
    return f"{len(trace.steps)} steps give {shown[0]} {content.currency}"


def _pool(content: StatementContent, line: Line) -> StatedPool:
    for pool in content.pools:
        if pool.id == line.pool:
            return pool
    raise Broken("line", f"the statement does not hold pool {line.pool}")


def _slots(
    content: StatementContent,
    points: Mapping[tuple[NodeId, Obis], PointEvidence],
    node: NodeId,
    obis: Obis,
    span: tuple[int, int],
) -> Sequence[int]:
    if (node, obis) not in points:
        raise Broken("line", f"the statement holds no readings of {obis} at {node}")
    point = points[node, obis]
    for before, after in pairwise(point.installations):
        if before.end is None or after.start is None or before.end > after.start:
            raise Broken("line", f"two meters are said to hang at {node} at one time")
    first, end = (content.period.start + slot * SLOT for slot in span)
    settled = settle_point(point.readings, Interval(first, end), point.installations)
    if max(settled.quality) >= SlotQuality.MISSING:
        weak = [one for one in settled.exceptions if one.quality >= SlotQuality.MISSING]
        why = "; ".join(f"{one.reason}: {one.basis}" for one in weak)
        raise Broken("line", f"the registers of {node} do not cover the line ({why})")
    return settled.energy_wh


def _bands(content: StatementContent, tariff: str, span: tuple[int, int]) -> list[int]:
    runs = [(slot, band) for slot, band in content.band_runs if content.bands[band].tariff == tariff]
    bands: list[int] = []
    for (start, band), following in zip(runs, (*runs[1:], (content.period.slot_count, 0)), strict=True):
        bands += [band] * (min(following[0], span[1]) - max(start, span[0]))
    return bands


def _prove_share(content: StatementContent, line: Line, trace: ShareTrace) -> str:
    pools = {pool.id: pool.cost_minor for pool in content.pools}
    cost_minor = pools.get(line.pool)
    if cost_minor is None:
        raise Broken("line", f"the statement does not say what pool {line.pool} cost")
    pool = _pool(content, line)
    own_minor = cost_minor if pool.service is None else pool.service.own_minor
    if pool.charge is not None and to_minor(steps_nano(pool.steps), content.currency) != own_minor:
        raise Broken("line", f"the steps of charge {pool.charge} give another cost than the pool's")
    if pool.service is not None and (pool.service.cost_minor != cost_minor or not pool.service.adds_up):
        raise Broken("line", f"what {pool.id} received and passed on gives another cost than the pool's")
    _prove_keys(pool, trace)
    if trace.total_weight == 0:
        floor_minor, remainder = 0, 0
    else:
        floor_minor, remainder = divmod(abs(cost_minor) * trace.weight, trace.total_weight)
    gets_extra = trace.cut_id != "" and (-remainder, trace.line_id) <= (-trace.cut_remainder, trace.cut_id)
    amount_minor = (floor_minor + trace.extra) * (-1 if cost_minor < 0 else 1)
    is_own = trace.line_id == f"{line.unit or 'residual'}/{line.party}"
    if not is_own or remainder != trace.remainder or trace.extra != gets_extra or amount_minor != line.amount_minor:
        shown = [show_minor(one, content.currency) for one in (amount_minor, line.amount_minor)]
        weights = f"weight {trace.weight} of {trace.total_weight}"
        raise Broken("line", f"{weights} gives {shown[0]}, the line says {shown[1]}")
    cost, amount = (show_minor(one, content.currency) for one in (cost_minor, amount_minor))
    return f"{trace.weight} / {trace.total_weight} of {cost} gives {amount} {content.currency}"


def _prove_loss(content: StatementContent, line: Line, trace: LossTrace) -> str:
    energy = show_kwh(sum(line.band_energy_wh))
    if not trace.explains(line.band_energy_wh):
        raise Broken("line", f"{energy} kWh is not the loss that the trace states, rounded")
    amount_minor = trace.amount_minor(content.bands, content.currency)
    is_own = trace.line_id == f"{line.unit or 'residual'}/{line.party}"
    if not is_own or amount_minor != line.amount_minor or not trace.has_its_extra(content.bands, content.currency):
        shown = [show_minor(one, content.currency) for one in (amount_minor, line.amount_minor)]
        raise Broken("line", f"the loss by band gives {shown[0]}, the line says {shown[1]}")
    drawn = show_kwh(sum(trace.drawn_wh))
    return f"{energy} kWh of loss on {drawn} kWh drawn give {show_minor(amount_minor, content.currency)}"


def _prove_keys(pool: StatedPool, trace: ShareTrace) -> None:
    """Divide again by the stated keys; raises Broken where they give another weight."""
    parts = parts_by_day(trace.keys)
    if not parts or not trace.total_weight:
        return
    costs = {one.day: abs(one.cost_nano) for one in pool.days}
    if None in parts:
        part = parts[None]
    elif sum(costs.values()) and set(parts) <= set(costs):
        part = sum((costs[day] * parts[day] for day in costs if day in parts), Fraction(0)) / sum(costs.values())
    else:
        raise Broken("line", f"the statement does not say what pool {pool.id} cost on each day")
    if abs(part - Fraction(trace.weight, trace.total_weight)) > CUT:
        raise Broken("line", f"the keys give {part} of the cost, the weights {trace.weight} / {trace.total_weight}")
