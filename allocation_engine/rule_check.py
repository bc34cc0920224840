"""The checker: which records a new version of the rules would miss or could not evaluate, found before it is released.

A rule that matches nothing bills nothing, silently: that is how 237 leases once fell out of a billing run. So every
record the rules are about (let units, pools, nodes, daily series) is held against the new version, and each that it
cannot evaluate, or that the version in force charged and the new one does not reach, is a finding with a repair.
A release waits until each finding is repaired or the record is left out by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np

from allocation_engine.errors import SeriesIncomplete
from allocation_engine.facts import Facts
from allocation_engine.intervals import SlotQuality
from allocation_engine.pools import AreaRule, DirectRule, FormulaRule, OwnUseRule, PassThroughRule, Pool, Rule
from allocation_engine.series import DailySeries
from metering.errors import BooksError
from metering.identity import NodeId, UnitId

_Record = TypeVar("_Record", bound=str)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One record that the new rules miss: its kind and id, what is wrong, and how to repair it."""

    kind: str
    record: str
    problem: str
    mend: str

    @property
    def subject(self) -> str:
        """The name under which the record can be left out."""
        return f"{self.kind}/{self.record}"

    def to_document(self) -> dict[str, str]:
        """Give JSON-able content."""
        return {"subject": self.subject, "problem": self.problem, "mend": self.mend}


class RecordsMissed(BooksError):
    """A version of the rules cannot be released: it misses records that are neither repaired nor left out by name."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        told = "\n".join(f"{one.subject}: {one.problem} ({one.mend})" for one in findings)
        super().__init__(f"{len(findings)} records would be missed:\n{told}")
        self.findings = findings


def require_complete(findings: Iterable[Finding], excluded: Collection[str]) -> None:
    """Raise RecordsMissed with every finding whose record is not left out by name."""
    open_findings = tuple(one for one in findings if one.subject not in excluded)
    if open_findings:
        raise RecordsMissed(open_findings)


def check_records(
    records: Mapping[_Record, Mapping[str, Any]], needs: Mapping[str, str], kind: str
) -> tuple[Finding, ...]:
    """Find the records that lack a field a rule needs.

    records   fields by record id; a field that is absent, None or empty counts as missing
    needs     the repair by name of the needed field
    """
    return tuple(
        Finding(kind, record, f"it has no {field}, so the rule passes it by", mend)
        for record, fields in sorted(records.items())
        for field, mend in sorted(needs.items())
        if fields.get(field) in (None, "")
    )


def check_rules(in_force: Facts, draft: Facts) -> tuple[Finding, ...]:
    """Hold every record of a period against a draft of the rules; sorted, without repeats."""
    found: set[Finding] = set(_not_reached(in_force, draft))
    for pool in draft.rules.pools:
        found.update(_pool_findings(pool, draft))
    return tuple(sorted(found))


def charged_units(facts: Facts) -> dict[UnitId, frozenset[str]]:
    """Give the pools that reach each unit."""
    reached: dict[UnitId, set[str]] = {}
    for pool in facts.rules.pools:
        for unit in units_of(pool):
            reached.setdefault(unit, set()).add(pool.id)
    return {unit: frozenset(pools) for unit, pools in reached.items()}


def units_of(pool: Pool) -> tuple[UnitId, ...]:
    """Give the units among which a pool is divided, whatever its rule."""
    match pool.rule:
        case DirectRule(unit):
            return (unit,)
        case PassThroughRule(floors=floors):
            return tuple(unit for _, units in floors for unit in units)
        case rule:
            units: tuple[UnitId, ...] = getattr(rule, "units", ())
            return units


def _not_reached(in_force: Facts, draft: Facts) -> Iterator[Finding]:
    """Find let units that the pools in force charge and no new one does, and nodes that fall out of every pool."""
    before, after = charged_units(in_force), charged_units(draft)
    owner = draft.inputs.owner
    for unit in sorted({one.unit for one in draft.inputs.occupancies if one.party != owner}):
        if unit in before and unit not in after:
            pools = ", ".join(sorted(before[unit]))
            mend = f"list {unit} in a pool"
            yield Finding(
                "unit", unit, f"it is let and was charged by {pools}; no pool of the new rules names it", mend
            )
    for node in sorted(_charged_nodes(in_force) - _charged_nodes(draft)):
        if any(one.id == node for one in draft.inputs.nodes):
            told = "its energy was in a pool and is in none of the new rules"
            yield Finding("node", node, told, "add it to the path of a pool, or leave it out by name")


def _charged_nodes(facts: Facts) -> set[NodeId]:
    own = {unit.id: unit.node for unit in facts.inputs.units}
    nodes = {node for pool in facts.rules.pools for node in (*pool.path, *pool.deduct)}
    for pool in facts.rules.pools:
        if isinstance(pool.rule, OwnUseRule):
            nodes |= {node for unit in pool.rule.units if (node := own.get(unit)) is not None}
    return nodes


def _pool_findings(pool: Pool, draft: Facts) -> Iterator[Finding]:
    days = draft.inputs.calendar.days(draft.inputs.period)
    if pool.valid_from > days[-1]:
        return  # it begins later: this period says nothing about it
    if pool.valid_from > days[0] or (pool.valid_to is not None and pool.valid_to <= days[-1]):
        yield Finding("pool", pool.id, f"it does not hold on all of {days[0]} to {days[-1]}", "set from and to")
    units = {unit.id: unit for unit in draft.inputs.units}
    known = [unit for unit in units_of(pool) if unit in units]
    if isinstance(pool.rule, AreaRule) or (isinstance(pool.rule, FormulaRule) and _needs_area(pool.rule)):
        needs = {"area": "measure it and enter area_m2 in site.toml"}
        records = {unit: {"area": units[unit].area_cm2 or None} for unit in known}
        yield from check_records(records, needs, "unit")
    if isinstance(pool.rule, OwnUseRule):
        needs = {"meter": "fit a meter and name its node in site.toml, or leave it out by name"}
        yield from check_records({unit: {"meter": units[unit].node} for unit in known}, needs, "unit")
    if isinstance(pool.rule, FormulaRule):
        yield from _series_findings(pool.rule, draft)
    own = (units[unit].node for unit in known) if _counts_own_meters(pool.rule) else ()
    named = pool.rule.formula.nodes if isinstance(pool.rule, FormulaRule) else ()
    nodes = {*pool.path, *pool.deduct, *named, *(node for node in own if node is not None)}
    yield from _energy_findings(nodes, draft)


def _needs_area(rule: FormulaRule) -> bool:
    by_area = {"unit_area", "floor_area", "total_area"} & rule.formula.inputs
    return bool(by_area) or rule.formula.speaks_of_floors


def _counts_own_meters(rule: Rule) -> bool:
    counts = isinstance(rule, FormulaRule) and {"energy", "load"} & rule.formula.inputs
    return isinstance(rule, OwnUseRule) or bool(counts)


def _series_findings(rule: FormulaRule, draft: Facts) -> Iterator[Finding]:
    for series in draft.rules.series:
        if series.name in rule.formula.inputs:
            for day in draft.inputs.calendar.days(draft.inputs.period):
                if not _has(series, day):
                    record = f"{series.name}/{day}"
                    yield Finding("series", record, "there is no number for this day", f"add {day} to its file")


def _has(series: DailySeries, day: date) -> bool:
    try:
        series.on(day)
    except SeriesIncomplete:
        return False
    return True


def _energy_findings(nodes: Collection[NodeId], draft: Facts) -> Iterator[Finding]:
    rows = {node.id: row for row, node in enumerate(draft.inputs.nodes)}
    for node in sorted(nodes):
        if node not in rows:
            yield Finding("node", node, "the tree of this period has no such node", "correct the path")
            continue
        quality = draft.inputs.quality[rows[node]]
        unknown = int(np.isin(quality, (SlotQuality.HELD, SlotQuality.MISSING)).sum())
        if unknown:
            yield Finding("node", node, f"{unknown} slots are held or missing", "settle its exceptions first")
