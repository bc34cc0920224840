"""What a period would have cost whom under other rules, prices, leases or another tree. Nothing is stored or sent.

The production path computes both sides; only the facts handed to it differ. A shadow is the same question asked of
several past periods at once, so that a rule is seen at work before it is released.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from allocation_engine.errors import InputsInvalid
from allocation_engine.facts import Facts
from allocation_engine.inputs import PeriodInputs
from allocation_engine.rule_check import Finding, check_rules
from allocation_engine.run_diff import PartyDiff, RunDiff, diff_facts
from metering.errors import BooksError, DocumentError
from metering.identity import NodeId, PartyId, PoolId, UnitId


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a change is tried: pools that take it (None: all), and nodes whose units are looked at (empty: all)."""

    pools: frozenset[PoolId] | None = None
    nodes: frozenset[NodeId] = frozenset()

    def require_known(self, inputs: PeriodInputs) -> None:
        """Raise InputsInvalid for a node that the period does not have; pools are looked up when they are mixed."""
        strangers = sorted(self.nodes - {node.id for node in inputs.nodes})
        if strangers:
            raise InputsInvalid(f"no node {', '.join(strangers)} in the tree of this period")

    def units(self, inputs: PeriodInputs) -> frozenset[UnitId]:
        """Give the units whose meter hangs at one of the nodes, or below it, at some time of the period."""
        below = set(self.nodes)
        grown = True
        while grown:
            found = {n.id for n in inputs.nodes if any(span.parent in below for span in n.parents)} - below
            below |= found
            grown = bool(found)
        return frozenset(unit.id for unit in inputs.units if unit.node in below)


@dataclass(frozen=True, slots=True)
class Shadow:
    """One past period under the draft: what would differ, or why it could not be computed; and what the rules miss."""

    label: str
    diff: RunDiff | None
    refusal: str
    findings: tuple[Finding, ...]

    def to_document(self) -> dict[str, Any]:
        """Give JSON-able content."""
        return {
            "period": self.label,
            "diff": None if self.diff is None else self.diff.to_document(),
            "refusal": self.refusal,
            "findings": [finding.to_document() for finding in self.findings],
        }


def what_if(facts: Facts, draft: Facts, scope: Scope | None = None) -> RunDiff:
    """Say who would pay how much more or less under `draft`, most first.

    Raises RunsNotComparable, what closing raises for the draft, InputsInvalid for a scope of pools or nodes that are
    not there, and DocumentError for one whose pools do not fit.
    """
    where = Scope() if scope is None else scope
    where.require_known(draft.inputs)
    diff = diff_facts(facts, draft if where.pools is None else _only(facts, draft, where.pools))
    return diff if not where.nodes else _within(diff, where.units(draft.inputs))


def shadow(months: Iterable[tuple[Facts, Facts]], scope: Scope | None = None) -> Iterator[Shadow]:
    """Ask `what_if` of each pair of facts and draft; a month that refuses the draft says why and stops no other."""
    for facts, draft in months:
        findings = check_rules(facts, draft)
        try:
            yield Shadow(facts.inputs.label, what_if(facts, draft, scope), "", findings)
        except (BooksError, DocumentError) as error:
            yield Shadow(facts.inputs.label, None, str(error), findings)


def totals(shadows: Iterable[Shadow]) -> tuple[PartyDiff, ...]:
    """Add up what each party would have paid over all months that could be computed, most more first."""
    sums: dict[PartyId, tuple[int, int]] = {}
    for one in shadows:
        for party in () if one.diff is None else one.diff.parties:
            before, after = sums.get(party.party, (0, 0))
            sums[party.party] = before + party.before_minor, after + party.after_minor
    found = (PartyDiff(party, before, after) for party, (before, after) in sums.items())
    return tuple(sorted(found, key=lambda one: (-one.delta_minor, one.party)))


def _only(facts: Facts, draft: Facts, pools: Collection[PoolId]) -> Facts:
    """Give the draft with its own prices and series, but only some of its pools; the others stay as they are."""
    return replace(draft, rules=facts.rules).with_prices_of(draft).with_pools_of(draft, pools)


def _within(diff: RunDiff, units: Collection[UnitId]) -> RunDiff:
    """Keep the lines of some units; what their parties pay for other units stays out of sight."""
    lines = tuple(line for line in diff.lines if line.unit in units)
    sums: Mapping[PartyId, list[int]] = {line.party: [0, 0] for line in lines}
    for line in lines:
        sums[line.party][0] += line.before_minor
        sums[line.party][1] += line.after_minor
    parties = (PartyDiff(party, *both) for party, both in sums.items())
    ranked = tuple(sorted(parties, key=lambda one: (-one.delta_minor, one.party)))
    return RunDiff(diff.before, diff.after, diff.currency, lines, ranked, diff.changes)
