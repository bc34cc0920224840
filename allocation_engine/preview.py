"""What a changed rule would charge whom, against what is charged now, while somebody is still writing it.

A session keeps one period ready: its facts, its prices, what each pool charges now. A changed rules document is read
with all its checks, the pools that it defines otherwise are split again by the code that closes periods, and amounts
are compared. Neither lines nor traces are made, and nothing is stored. What hangs on the sum of all lines (added taxes,
caps) and the sharing of losses is not shown; `left_out` names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from allocation_engine.collector import collector_paused
from allocation_engine.errors import NotConserved
from allocation_engine.facts import PRICE_PARTS, Facts
from allocation_engine.fixed_charges import split_fixed
from allocation_engine.metered import split_metered
from allocation_engine.pools import DirectRule, MinimumRule, OwnUseRule, Pool, StandingRule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.readiness import require_ready
from allocation_engine.rules import Rules
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Line, PoolResult
from allocation_engine.run_diff import PartyDiff, RunsNotComparable
from allocation_engine.service_comparison import service_costs
from allocation_engine.service_costs import ServiceCost
from allocation_engine.shares import share_out
from allocation_engine.taxes import taxes_in_force
from metering.errors import BooksError, DocumentError, Fault
from metering.identity import PartyId, PoolId, UnitId

POOLS, SERIES, NUMBERS = "pools", "series", "unit_numbers"


class PreviewLine(NamedTuple):
    """What a party owes for a unit in a pool now and then [minor units]; unit None for what nobody else is charged."""

    pool: PoolId
    party: PartyId
    unit: UnitId | None
    before_minor: int
    after_minor: int

    @property
    def delta_minor(self) -> int:
        """What it would be more; negative: less."""
        return self.after_minor - self.before_minor


@dataclass(frozen=True, slots=True)
class PoolSum:
    """What a pool costs, and what its lines add up to: `charged_minor` of units, and the residual [minor units]."""

    cost_minor: int
    charged_minor: int
    residual_minor: int

    @property
    def adds_up(self) -> bool:
        """Say whether nothing is lost and nothing is charged twice."""
        return self.charged_minor + self.residual_minor == self.cost_minor


@dataclass(frozen=True, slots=True)
class PoolPreview:
    """A pool that would be split otherwise; None where it is not there."""

    pool: PoolId
    before: PoolSum | None
    after: PoolSum | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What changes; or, where the rules are refused, why: `faults` with their places, or one `refusal`.

    lines      of all pools that would be split otherwise, those that rise most first
    parties    of the same pools, those who pay most more first
    left_out   what may change too and is not computed, in words
    """

    currency: str
    pools: tuple[PoolPreview, ...] = ()
    lines: tuple[PreviewLine, ...] = ()
    parties: tuple[PartyDiff, ...] = ()
    left_out: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    refusal: str = ""

    @property
    def is_refused(self) -> bool:
        """Say whether a period could not be closed by these rules."""
        return bool(self.faults or self.refusal)

    def to_document(self) -> dict[str, Any]:
        """Give JSON-able content."""
        return {
            "currency": self.currency,
            "pools": [
                {"pool": one.pool, "before": _sum_content(one.before), "after": _sum_content(one.after)}
                for one in self.pools
            ],
            "parties": [[one.party, one.before_minor, one.after_minor, one.delta_minor] for one in self.parties],
            "lines": [[*one, one.after_minor - one.before_minor] for one in self.lines],
            "left_out": list(self.left_out),
            "refusal": self.refusal,
        }


class _Amounts(NamedTuple):
    """A pool's account and its amounts by party and unit."""

    sums: PoolSum
    parties: Sequence[PartyId]
    units: Sequence[UnitId | None]
    amounts: Sequence[int]


class PreviewSession:
    """One period, ready to try rules on; safe to use from several threads, which at worst compute a pool twice."""

    def __init__(self, facts: Facts) -> None:
        """Price the period; raises what closing it raises before any pool is split."""
        require_ready(facts.inputs, facts.rules)
        self.facts = facts
        self._priced = _priced(facts)
        self._services = service_costs(self._priced, facts.rules)
        self._now: dict[PoolId, _Amounts] = {}

    @collector_paused()
    def preview(self, document: Mapping[str, Any]) -> Preview:
        """Say what the rules of `document` (`Rules.document`) would change; faults of the document are the answer."""
        try:
            rules = rules_from_document(document, self.facts.names, self.facts.rules)
            return self.compare(replace(self.facts, rules=rules))
        except DocumentError as error:
            return Preview(self._priced.currency, faults=error.faults)

    @collector_paused()
    def compare(self, draft: Facts) -> Preview:
        """Say what the rules of `draft` would change; only its rules may differ from the facts of the session.

        Raises   RunsNotComparable for rules in another currency
        """
        if draft.rules.tariff.currency != self._priced.currency:
            raise RunsNotComparable(f"{self._priced.currency} and {draft.rules.tariff.currency} cannot be compared")
        before, after = self.facts.rules, draft.rules
        changed = _changed(before, after)
        try:
            require_ready(self.facts.inputs, after)
            priced = self._priced if _same_prices(before, after) else _priced(replace(self.facts, rules=after))
            services = service_costs(priced, after)
            then = {pool.id: _amounts(pool, after, priced, services) for pool in after.pools if pool.id in changed}
            left_out = tuple(_left_out(before, after, self.facts)) if changed else ()
        except NotConserved:
            raise
        except BooksError as error:
            return Preview(self._priced.currency, refusal=str(error))
        now = {pool.id: self._amounts_now(pool) for pool in before.pools if pool.id in changed}
        return _compared(self._priced.currency, now, then, left_out)

    def _amounts_now(self, pool: Pool) -> _Amounts:
        found = self._now.get(pool.id)
        if found is None:
            found = self._now[pool.id] = _amounts(pool, self.facts.rules, self._priced, self._services)
        return found


def _priced(facts: Facts) -> PricedPeriod:
    prices = facts.rules.prices
    return PricedPeriod.of(facts.inputs, *prices.tariffs).with_charges(prices)


def _amounts(pool: Pool, rules: Rules, priced: PricedPeriod, services: Mapping[PoolId, ServiceCost]) -> _Amounts:
    """Split one pool, whatever its rule, and check that it adds up."""
    if isinstance(pool.rule, OwnUseRule | DirectRule):
        found = _of_lines(*split_metered(pool, priced))
    elif isinstance(pool.rule, StandingRule | MinimumRule):
        earlier: Sequence[Line] = ()
        if isinstance(pool.rule, MinimumRule):
            metered = pool.rule.pool
            earlier = split_metered(next(one for one in rules.pools if one.id == metered), priced)[1]
        found = _of_lines(*split_fixed(pool, priced, earlier))
    else:
        shared = share_out(pool, priced, services.get(pool.id))
        residual = 0 if shared.split.rest is None else int(shared.amounts[-1])
        sums = PoolSum(shared.cost_minor, int(shared.amounts.sum()) - residual, residual)
        found = _Amounts(sums, shared.parties, shared.units, shared.amounts.tolist())
    if not found.sums.adds_up:
        raise NotConserved(f"pool {pool.id} costs {found.sums.cost_minor} and its lines add up to something else")
    return found


def _of_lines(result: PoolResult, lines: Sequence[Line]) -> _Amounts:
    amounts = [line.amount_minor for line in lines]
    charged = sum(line.amount_minor for line in lines if line.unit is not None)
    sums = PoolSum(result.cost_minor, charged, sum(amounts) - charged)
    return _Amounts(sums, [line.party for line in lines], [line.unit for line in lines], amounts)


def _compared(
    currency: str, now: Mapping[PoolId, _Amounts], then: Mapping[PoolId, _Amounts], left_out: tuple[str, ...]
) -> Preview:
    """Lay both sides beside each other, line by line and party by party."""
    lines: list[PreviewLine] = []
    for pool in sorted(now.keys() | then.keys()):
        lines += _lines(pool, now.get(pool), then.get(pool))
    sums: dict[PartyId, list[int]] = {}
    for line in lines:
        sides = sums.setdefault(line.party, [0, 0])
        sides[0] += line.before_minor
        sides[1] += line.after_minor
    parties = [PartyDiff(party, *sides) for party, sides in sums.items()]
    return Preview(
        currency=currency,
        pools=tuple(
            PoolPreview(pool, *(side[pool].sums if pool in side else None for side in (now, then)))
            for pool in sorted(now.keys() | then.keys())
        ),
        lines=tuple(sorted(lines, key=lambda one: (one[3] - one[4], one[0], one[2] or "", one[1]))),
        parties=tuple(sorted(parties, key=lambda one: (-one.delta_minor, one.party))),
        left_out=left_out,
    )


def _lines(pool: PoolId, now: _Amounts | None, then: _Amounts | None) -> Iterator[PreviewLine]:
    if now is not None and then is not None and (now.parties, now.units) == (then.parties, then.units):
        for one in zip(now.parties, now.units, now.amounts, then.amounts, strict=True):
            yield PreviewLine(pool, *one)
        return
    before, after = (
        {} if one is None else dict(zip(zip(one.parties, one.units, strict=True), one.amounts, strict=True))
        for one in (now, then)
    )
    for party, unit in before.keys() | after.keys():
        place = party, unit
        yield PreviewLine(pool, party, unit, before.get(place, 0), after.get(place, 0))


def _same_prices(before: Rules, after: Rules) -> bool:
    return all(before.document.get(part) == after.document.get(part) for part in PRICE_PARTS)


def _changed(before: Rules, after: Rules) -> set[PoolId]:
    """Name the pools that are defined otherwise: by their own table, or by anything their table may speak of."""
    tables = [{PoolId(pool["id"]): pool for pool in rules.document[POOLS][POOLS]} for rules in (before, after)]
    everything = tables[0].keys() | tables[1].keys()
    names = _changed_names(before.document, after.document)
    if names is None:
        return set(everything)
    changed = {pool for pool in everything if tables[0].get(pool) != tables[1].get(pool)}
    if names:
        changed |= {pool for pool in everything if any(_speaks_of(side.get(pool), names) for side in tables)}
    for rules in (before, after):
        if rules.services is not None and changed & rules.services.usage.keys():
            changed |= rules.services.usage.keys()
        metered = {pool.id: pool.rule.pool for pool in rules.pools if isinstance(pool.rule, MinimumRule)}
        changed |= {pool for pool, other in metered.items() if other in changed}
    return changed


def _changed_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str] | None:
    """Name the series and tables of numbers that differ; None where something differs that any pool may rest on."""
    sides = before, after
    others = [{key: part for key, part in side.items() if key not in (POOLS, SERIES, NUMBERS)} for side in sides]
    shared = [{key: part for key, part in side[POOLS].items() if key not in (POOLS, SERIES, NUMBERS)} for side in sides]
    if others[0] != others[1] or shared[0] != shared[1]:
        return None
    names: set[str] = set()
    for part in (SERIES, NUMBERS):
        rows = [side.get(part, {}) for side in sides]
        heads = [{one.get("name"): one for one in side[POOLS].get(part, ())} for side in sides]
        for old, new in (rows, heads):
            names |= {str(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    # What pools share may speak of them as well: then nobody knows which pools do.
    return None if names and _speaks_of(shared[0], names) else names


def _speaks_of(table: Mapping[str, Any] | None, names: set[str]) -> bool:
    text = json.dumps(table, ensure_ascii=False, default=str)
    return any(name in text for name in names)


def _left_out(before: Rules, after: Rules, facts: Facts) -> Iterator[str]:
    days = facts.inputs.calendar.days(facts.inputs.period)
    for tax in dict.fromkeys(
        tax.id for rules in (before, after) for tax in taxes_in_force(rules.prices.taxes, days) if not tax.included
    ):
        yield f"tax {tax}"
    if before.loss is not None or after.loss is not None:
        yield "losses"


def _sum_content(sums: PoolSum | None) -> dict[str, int] | None:
    if sums is None:
        return None
    return {
        "cost_minor": sums.cost_minor,
        "charged_minor": sums.charged_minor,
        "residual_minor": sums.residual_minor,
    }
