"""Where each customer stands in his tiers, and what that adds to the cost of his energy in the period.

A customer is a party in a unit, for a metered line; for a shared pool it is the pool itself. A period is cut where a
tariff version or a span of its tiers begins; what was counted in the span before the period is a fact of the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from allocation_engine.costs import CostStep
from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import Int64Array, PeriodInputs
from allocation_engine.months import month_spans
from allocation_engine.pools import DirectRule, MinimumRule, OwnUseRule, Pool, StandingRule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules
from allocation_engine.tariff import Band, Tariff, TariffVersion
from allocation_engine.tiers import TierLimits, TierPiece, Tiers
from metering.identity import PartyId, PoolId, UnitId


@dataclass(frozen=True, slots=True, order=True)
class Customer:
    """Whose tiers they are: a party in a unit of a metered pool, or a shared pool (None, None)."""

    pool: PoolId
    unit: UnitId | None
    party: PartyId | None

    def __str__(self) -> str:
        return "/".join(one for one in (self.pool, self.unit, self.party) if one is not None)


@dataclass(frozen=True, slots=True)
class _Piece:
    version: TariffVersion
    tiers: Tiers
    since: date
    first: int
    end: int


def tier_changes(tariff: Tariff, inputs: PeriodInputs) -> set[int]:
    """Give the slots at which a tariff version with tiers, or a span of its tiers, begins."""
    return {piece.first for piece in _pieces(tariff, inputs)}


def customers_before(inputs: PeriodInputs, rules: Rules) -> dict[Customer, tuple[date, ...]]:
    """Say since which days what each customer took before the period must be counted."""
    first_day = inputs.calendar.days(inputs.period)[0]
    needed: dict[Customer, tuple[date, ...]] = {}
    for pool in rules.pools:
        if pool.charge is not None or isinstance(pool.rule, StandingRule | MinimumRule):
            continue
        pieces = _pieces(rules.prices.tariff(pool.tariff), inputs)
        since = tuple(sorted({piece.since for piece in pieces if piece.since < first_day}))
        if since:
            needed |= dict.fromkeys(_customers(pool, inputs), since)
    return needed


def tier_pieces(
    priced: PricedPeriod, pool: Pool, customer: Customer, energy: Int64Array, spans: Sequence[tuple[int, int]]
) -> tuple[TierPiece, ...]:
    """Give where a customer stood in his tiers, and what he took there, piece by piece.

    energy   of every slot of the period [base units]; only slots inside `spans` (first, end) count
    Raises   PeriodNotReady where nobody knows what the customer took since his tiers began
    """
    tariff, inputs = priced.tariffs[pool.tariff], priced.inputs
    counted: dict[date, int] = {}
    found: list[TierPiece] = []
    for piece in _pieces(tariff, inputs):
        inside = [(max(first, piece.first), min(end, piece.end)) for first, end in spans]
        amount = sum(int(energy[first:end].sum()) for first, end in inside if first < end)
        before = counted.get(piece.since)
        if before is None:
            before = _before(inputs, customer, piece) + _earlier(inputs, energy, spans, piece)
        part = _part(inputs, customer, piece, spans)
        place = (piece.version.id, piece.tiers, piece.first, piece.end, piece.since)
        found.append(TierPiece(*place, before, amount, (part.numerator, part.denominator)))
        counted[piece.since] = before + amount
    return tuple(found)


def tier_steps(bands: Iterable[Band], tariff: str, pieces: Iterable[TierPiece]) -> tuple[CostStep, ...]:
    """Give the steps of what tiers add; `bands` say what the billing unit of each version is."""
    units = {(band.tariff, band.version): (band.per, Fraction(*band.base_units)) for band in bands}
    return tuple(step for piece in pieces for step in piece.steps(*units[tariff, piece.version]))


def _pieces(tariff: Tariff, inputs: PeriodInputs) -> list[_Piece]:
    pieces: list[_Piece] = []
    for day, first, end in inputs.day_spans():
        version = tariff.version_on(day)
        if version.tiers is None:
            continue
        since = version.tiers.span.first_day(day)
        last = pieces[-1] if pieces else None
        if last is not None and (last.version, last.since, last.end) == (version, since, first):
            pieces[-1] = _Piece(version, version.tiers, since, last.first, end)
        else:
            pieces.append(_Piece(version, version.tiers, since, first, end))
    return pieces


def _customers(pool: Pool, inputs: PeriodInputs) -> Iterator[Customer]:
    match pool.rule:
        case OwnUseRule(units):
            yield from _parties(pool, inputs, units)
        case DirectRule(unit):
            yield from _parties(pool, inputs, (unit,))
        case _:
            yield Customer(pool.id, None, None)


def _parties(pool: Pool, inputs: PeriodInputs, units: Iterable[UnitId]) -> Iterator[Customer]:
    for unit in units:
        for party in sorted({one.party for one in inputs.occupancies_of(unit)}):
            yield Customer(pool.id, unit, party)


def _before(inputs: PeriodInputs, customer: Customer, piece: _Piece) -> int:
    """Give what the customer took since the span began until the period did."""
    if piece.since >= inputs.day_spans()[0][0]:
        return 0
    counted = inputs.counted(customer.pool, customer.unit, customer.party, piece.since)
    if counted is not None:
        return counted
    until = inputs.calendar.local(inputs.period.start).date()
    reason = f"{customer}: what was taken from {piece.since} to {until} is not known, and tiers of {piece.version.id}"
    raise PeriodNotReady((f"{reason} count from there; enter an opening in tariff.toml",))


def _earlier(inputs: PeriodInputs, energy: Int64Array, spans: Sequence[tuple[int, int]], piece: _Piece) -> int:
    """Give what was taken in the period itself before the piece, in the piece's span but by another kind of tiers."""
    start = next((first for day, first, _ in inputs.day_spans() if day >= piece.since), 0)
    inside = [(max(first, start), min(end, piece.first)) for first, end in spans]
    return sum(int(energy[first:end].sum()) for first, end in inside if first < end)


def _part(inputs: PeriodInputs, customer: Customer, piece: _Piece, spans: Sequence[tuple[int, int]]) -> Fraction:
    if piece.tiers.limits is TierLimits.WHOLE:
        return Fraction(1)
    if piece.since < inputs.day_spans()[0][0]:
        reason = f"{customer}: limits by occupied time need whole months, and the period begins inside one"
        raise PeriodNotReady((reason,))
    month = next(one for one in month_spans(inputs.calendar, inputs.period) if one.first_day == piece.since)
    return month.covered(spans)
