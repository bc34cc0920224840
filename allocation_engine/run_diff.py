"""The difference of two runs of one period, line by line, and what each fen of it comes from.

The facts of the first run are exchanged for those of the second one kind at a time, and the period is closed after
each step: readings, then the tree, then leases and units, then prices, then pools. What a step moves has that cause.
The steps telescope, so causes add up to the whole difference of a line exactly. Where a step leaves somebody's exact
share as it was and he only gains or loses an odd minor unit, the cause is rounding. A step that cannot stand alone
(a pool speaks of a node that the new tree lacks) is taken together with the next, and its cause names both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from allocation_engine.close_period import close_period
from allocation_engine.errors import NotConserved
from allocation_engine.facts import PRICE_PARTS, Facts
from allocation_engine.loss_trace import LINE_BITS, LossTrace
from allocation_engine.run import Line, MeteredTrace, Run, ShareTrace
from allocation_engine.tariff import Band
from metering.errors import BooksError, DocumentError
from metering.identity import PartyId, PoolId, UnitId


class Cause(StrEnum):
    """What made a line differ."""

    READING = "reading"
    TOPOLOGY = "topology"
    LEASE = "lease"
    TARIFF = "tariff"
    RULE = "rule"
    ROUNDING = "rounding"
    ENGINE = "engine"


class RunsNotComparable(BooksError):
    """Two runs are of different sites, periods or currencies, so no line of one answers to a line of the other."""


@dataclass(frozen=True, slots=True)
class FactChange:
    """One fact or rule that differs: of which kind, what it is about, and how in a few words."""

    cause: Cause
    subject: str
    told: str


@dataclass(frozen=True, slots=True)
class LineDiff:
    """A line that differs. Amounts are minor units; 0 where a run has no such line.

    causes   what makes up the difference, in the order of the steps; kinds joined by `+` could not be told apart
    """

    id: str
    pool: PoolId
    party: PartyId
    unit: UnitId | None
    before_minor: int
    after_minor: int
    causes: tuple[tuple[str, int], ...]

    @property
    def delta_minor(self) -> int:
        """What the line changes by."""
        return self.after_minor - self.before_minor


@dataclass(frozen=True, slots=True)
class PartyDiff:
    """What a party pays in all, before and after [minor units]."""

    party: PartyId
    before_minor: int
    after_minor: int

    @property
    def delta_minor(self) -> int:
        """What the party pays more; negative: less."""
        return self.after_minor - self.before_minor


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Lines that differ, by id; all parties, those who pay most more first; what differed in facts and rules.

    A line whose causes cancel out is among `lines`, with a difference of 0.
    """

    before: str
    after: str
    currency: str
    lines: tuple[LineDiff, ...]
    parties: tuple[PartyDiff, ...]
    changes: tuple[FactChange, ...]

    @property
    def by_cause(self) -> dict[str, int]:
        """Sum of all lines' differences by cause [minor units]."""
        sums: dict[str, int] = {}
        for line in self.lines:
            for cause, delta in line.causes:
                sums[cause] = sums.get(cause, 0) + delta
        return dict(sorted(sums.items()))

    def to_document(self) -> dict[str, Any]:
        """Give JSON-able content."""
        return {
            "before": self.before,
            "after": self.after,
            "currency": self.currency,
            "changes": [{"cause": str(one.cause), "subject": one.subject, "told": one.told} for one in self.changes],
            "by_cause": self.by_cause,
            "parties": [
                {
                    "party": one.party,
                    "before_minor": one.before_minor,
                    "after_minor": one.after_minor,
                    "delta_minor": one.delta_minor,
                }
                for one in self.parties
            ],
            "lines": [
                {
                    "id": one.id,
                    "pool": one.pool,
                    "party": one.party,
                    "unit": one.unit,
                    "before_minor": one.before_minor,
                    "after_minor": one.after_minor,
                    "delta_minor": one.delta_minor,
                    "causes": [[cause, delta] for cause, delta in one.causes],
                }
                for one in self.lines
            ],
        }


@dataclass(frozen=True, slots=True)
class _Share:
    """A line as one step has it: minor units, and the exact share they were rounded from [10^-9 currency units]."""

    line: Line
    exact: Fraction


_Shares = Mapping[str, _Share]
_Parts = dict[str, list[tuple[str, int]]]


def diff_facts(before: Facts, after: Facts) -> RunDiff:
    """Close the period both ways and say what differs and why; raises RunsNotComparable and what closing raises."""
    _require_comparable(before, after)
    first, last = close_period(before.inputs, before.rules), close_period(after.inputs, after.rules)
    parts: _Parts = {}
    shares, causes = _shares(first), ""
    for cause, reached in _steps(before, after, last):
        causes = f"{causes}+{cause}" if causes else str(cause)
        if reached is not None:
            moved = _shares(reached)
            _attribute(parts, shares, moved, causes)
            shares, causes = moved, ""
    return _diff(first, last, parts, tuple(fact_changes(before, after)))


def fact_changes(before: Facts, after: Facts) -> Iterator[FactChange]:
    """Say which facts and rules differ."""
    for node, slots in before.differing_nodes(after):
        yield FactChange(Cause.READING, node, f"{slots} slots have another energy or quality")
    nodes = ({node.id: node for node in one.inputs.nodes} for one in (before, after))
    yield from _listed(Cause.TOPOLOGY, *nodes)
    units = ({unit.id: unit for unit in one.inputs.units} for one in (before, after))
    yield from _listed(Cause.LEASE, *units)
    lets = ({unit.id: one.inputs.occupancies_of(unit.id) for unit in one.inputs.units} for one in (before, after))
    for change in _listed(Cause.LEASE, *lets):
        if change.told == _CHANGED:
            yield FactChange(Cause.LEASE, change.subject, "it is let otherwise")
    if before.inputs.owner != after.inputs.owner:
        yield FactChange(Cause.LEASE, after.inputs.owner, f"the owner was {before.inputs.owner}")
    documents = before.rules.document, after.rules.document
    for part in sorted({key for document in documents for key in document} - {"pools"}):
        cause = Cause.TARIFF if part in PRICE_PARTS else Cause.RULE
        if documents[0].get(part) != documents[1].get(part):
            yield FactChange(cause, part, _CHANGED)
    pools = ({pool["id"]: pool for pool in document["pools"]["pools"]} for document in documents)
    yield from _listed(Cause.RULE, *pools)


_CHANGED = "it is described otherwise"


def _listed(cause: Cause, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> Iterator[FactChange]:
    for subject in sorted(before.keys() | after.keys()):
        if subject not in after:
            yield FactChange(cause, subject, "it is no longer there")
        elif subject not in before:
            yield FactChange(cause, subject, "it is new")
        elif before[subject] != after[subject]:
            yield FactChange(cause, subject, _CHANGED)


def _steps(before: Facts, after: Facts, last: Run) -> Iterator[tuple[Cause, Run | None]]:
    """Give each kind of fact that differs with the run after its exchange; None where that cannot be closed."""
    exchanges: tuple[tuple[Cause, Callable[[Facts], Facts]], ...] = (
        (Cause.READING, lambda facts: facts.with_readings_of(after)),
        (Cause.TOPOLOGY, lambda facts: facts.with_tree_of(after)),
        (Cause.LEASE, lambda facts: facts.with_leases_of(after)),
        (Cause.TARIFF, lambda facts: facts.with_prices_of(after)),
        (Cause.RULE, lambda facts: facts.with_pools_of(after)),
    )
    differing = {change.cause for change in fact_changes(before, after)}
    wanted = [(cause, exchange) for cause, exchange in exchanges if cause in differing]
    facts = before
    for number, (cause, exchange) in enumerate(wanted):
        if number == len(wanted) - 1:
            yield cause, last
            return
        facts, run = _exchanged(facts, exchange)
        yield cause, run


def _exchanged(facts: Facts, exchange: Callable[[Facts], Facts]) -> tuple[Facts, Run | None]:
    try:
        facts = exchange(facts)
        return facts, close_period(facts.inputs, facts.rules)
    except NotConserved:
        raise
    except (BooksError, DocumentError):
        return facts, None


def _shares(run: Run) -> dict[str, _Share]:
    costs = {pool.id: pool.cost_nano for pool in run.pools}
    return {line.id: _Share(line, _exact(line, costs[line.pool], run.bands)) for line in run.lines}


def _exact(line: Line, cost_nano: int, bands: Sequence[Band]) -> Fraction:
    match line.trace:
        case MeteredTrace(cost_nano=own_nano):
            return Fraction(own_nano)
        case ShareTrace(weight=weight, total_weight=total) if total:
            return Fraction(cost_nano * weight, total)
        case LossTrace():
            return Fraction(line.trace.cost_quanta(bands), 1 << LINE_BITS)
        case _:
            return Fraction(line.amount_minor)


def _attribute(parts: _Parts, before: _Shares, after: _Shares, causes: str) -> None:
    for one in before.keys() | after.keys():
        old, new = before.get(one), after.get(one)
        delta = (new.line.amount_minor if new else 0) - (old.line.amount_minor if old else 0)
        if delta:
            is_rounding = old is not None and new is not None and old.exact == new.exact
            parts.setdefault(one, []).append((str(Cause.ROUNDING) if is_rounding else causes, delta))


def _diff(first: Run, last: Run, parts: _Parts, changes: tuple[FactChange, ...]) -> RunDiff:
    old, new = ({line.id: line for line in run.lines} for run in (first, last))
    lines = []
    for one in sorted(old.keys() | new.keys()):
        amounts = [side[one].amount_minor if one in side else 0 for side in (old, new)]
        causes = _merged(parts.get(one, ()))
        if sum(delta for _, delta in causes) != amounts[1] - amounts[0]:
            raise NotConserved(f"the causes of line {one} do not add up to its difference")
        if causes:  # two of them may cancel out; without that line, causes would not add up to what they did
            line = new.get(one) or old[one]
            lines.append(LineDiff(one, line.pool, line.party, line.unit, amounts[0], amounts[1], causes))
    parties = [
        PartyDiff(party, first.total_minor(party), last.total_minor(party))
        for party in sorted({*first.parties, *last.parties})
    ]
    parties.sort(key=lambda one: (-one.delta_minor, one.party))
    return RunDiff(first.id, last.id, last.currency, tuple(lines), tuple(parties), changes)


def _merged(parts: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    sums: dict[str, int] = {}
    for cause, delta in parts:
        sums[cause] = sums.get(cause, 0) + delta
    return tuple((cause, delta) for cause, delta in sums.items() if delta)


def _require_comparable(before: Facts, after: Facts) -> None:
    one, other = before.inputs, after.inputs
    if (one.site, one.period) != (other.site, other.period):
        raise RunsNotComparable(
            f"{one.site} {one.label} and {other.site} {other.label} are not the same site and period"
        )
    if before.rules.tariff.currency != after.rules.tariff.currency:
        raise RunsNotComparable(f"{before.rules.tariff.currency} and {after.rules.tariff.currency} cannot be compared")
