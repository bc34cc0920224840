"""The form of `pools.toml`: the daily series formulas may use, and the pools with their rules.

A rule that cannot be shown to conserve is refused here, when it is saved, not when a period is closed.
"""

from __future__ import annotations

from enum import StrEnum

from allocation_engine.formula_file import read_formula_rule
from allocation_engine.keys_file import KeySources, read_demand, read_keyed, read_terms
from allocation_engine.pools import (
    AreaRule,
    DirectRule,
    Fallback,
    Grain,
    Measure,
    MinimumRule,
    OwnUseRule,
    Pool,
    PoolClass,
    Rule,
    StandingRule,
)
from allocation_engine.prices import Prices
from allocation_engine.rule_table import RuleTable
from allocation_engine.rules import SiteNames
from allocation_engine.tariff import MAIN_TARIFF
from metering.identity import NodeId, PoolId, UnitId


class _RuleName(StrEnum):
    OWN_USE = "own-use"
    DIRECT = "direct"
    AREA = "area"
    FORMULA = "formula"
    KEYS = "keys"
    DEMAND = "demand"
    STANDING = "standing"
    MINIMUM = "minimum"


_GROUNDS = {
    PoolClass.MUST: (_RuleName.AREA, _RuleName.KEYS, _RuleName.DEMAND),
    PoolClass.NEGOTIATED: (_RuleName.AREA, _RuleName.FORMULA, _RuleName.KEYS, _RuleName.DEMAND),
    PoolClass.EXCLUSIVE: (_RuleName.OWN_USE, _RuleName.DIRECT, _RuleName.STANDING, _RuleName.MINIMUM),
}
_WITHOUT_PATH = (_RuleName.OWN_USE, _RuleName.STANDING, _RuleName.MINIMUM)
_WITHOUT_ENERGY = (_RuleName.STANDING, _RuleName.MINIMUM)
_METERED = (OwnUseRule, DirectRule)
_MICRO = 6


def read_pools(root: RuleTable, names: SiteNames, sources: KeySources, prices: Prices) -> tuple[Pool, ...]:
    """Read all pools; `sources` is what formulas and keys may use by name."""
    pools: list[Pool] = []
    charged: dict[NodeId, PoolId] = {}
    for table in root.tables("pools"):
        pool = _pool(table, names, sources, prices)
        if isinstance(pool.rule, MinimumRule):
            metered = {earlier.id for earlier in pools if isinstance(earlier.rule, _METERED)}
            table.one_id("pool", "metered pool above", metered)
        if any(pool.id == other.id for other in pools):
            table.fault("id", f"two pools are called {pool.id!r}", "give each pool its own id")
        for node in _charged_nodes(pool, names):
            if node in charged:
                table.fault("path", f"node {node} is charged by pool {charged[node]} too", "charge each node once")
            charged[node] = pool.id
        pools.append(pool)
    return tuple(pools)


def _pool(table: RuleTable, names: SiteNames, sources: KeySources, prices: Prices) -> Pool:
    pool_class = table.choice("class", PoolClass)
    rule_name = table.choice("rule", _RuleName)
    if rule_name not in _GROUNDS[pool_class]:
        fitting = " or ".join(_GROUNDS[pool_class])
        table.fault("rule", f"a pool of class {pool_class} cannot be split by rule {rule_name}", f"use {fitting}")
    charge = _charge(table, rule_name, prices) if table.has("charge") else None
    has_path = rule_name not in _WITHOUT_PATH and charge is None
    has_energy = rule_name not in _WITHOUT_ENERGY and charge is None
    measure = table.choice("measure", Measure) if has_energy else Measure.IMPORT
    valid_from, valid_to = table.day("from"), table.optional_day("to")
    if valid_to is not None and valid_to <= valid_from:
        table.fault("to", "the end is not after the start", "`to` is the first day on which the pool no longer holds")
    if pool_class is PoolClass.NEGOTIATED and not (table.has("agreement") or table.has("default")):
        mend = 'name it: agreement = "...", or the clause that holds without: default = "..."'
        table.fault("agreement", "a negotiated pool rests on an agreement", mend)
    return Pool(
        id=PoolId(table.identifier("id")),
        names=table.names("names"),
        pool_class=pool_class,
        path=_nodes(table, "path", names) if has_path else (),
        deduct=_nodes(table, "deduct", names) if has_path and table.has("deduct") else (),
        measure=measure,
        rule=_rule(table, rule_name, names, sources),
        valid_from=valid_from,
        valid_to=valid_to,
        review_by=table.optional_day("review_by"),
        agreement=table.optional_text("agreement"),
        charge=charge,
        tariff=_tariff(table, measure, prices) if has_energy else MAIN_TARIFF,
        terms=read_terms(table, valid_from, sources.tables) if pool_class is PoolClass.NEGOTIATED else None,
    )


def _charge(table: RuleTable, rule_name: _RuleName, prices: Prices) -> str:
    if rule_name in _GROUNDS[PoolClass.EXCLUSIVE]:
        table.fault("charge", f"a supply charge cannot be split by rule {rule_name}", "share it, by area for example")
    return table.one_id("charge", "charge", {charge.id for charge in prices.charges})


def _tariff(table: RuleTable, measure: Measure, prices: Prices) -> str:
    """Read which tariff prices the pool; what is measured must be what it prices."""
    tariffs = {tariff.id: tariff for tariff in prices.tariffs}
    tariff_id = table.one_id("tariff", "tariff", tariffs) if table.has("tariff") else MAIN_TARIFF
    if tariff_id in tariffs and tariffs[tariff_id].medium is not measure.medium:
        problem = f"tariff {tariff_id} prices {tariffs[tariff_id].medium}, and {measure} is {measure.medium}"
        table.fault("tariff" if table.has("tariff") else "measure", problem, "name the tariff of what is measured")
    return tariff_id if tariff_id in tariffs else MAIN_TARIFF


def _rule(table: RuleTable, name: _RuleName, names: SiteNames, sources: KeySources) -> Rule:
    match name:
        case _RuleName.OWN_USE:
            units = _units(table, "units", names)
            return OwnUseRule(units, _meters(table.table("meters"), units, names) if table.has("meters") else ())
        case _RuleName.DIRECT:
            return DirectRule(UnitId(table.one_id("unit", "unit", names.units)))
        case _RuleName.AREA:
            fallback = table.choice("fallback", Fallback) if table.has("fallback") else None
            return AreaRule(_units(table, "units", names), table.choice("grain", Grain), fallback)
        case _RuleName.FORMULA:
            listed = _units(table, "units", names) if table.has("units") else None
            return read_formula_rule(table, names, sources, listed)
        case _RuleName.KEYS:
            return read_keyed(table, names, sources, _units(table, "units", names))
        case _RuleName.DEMAND:
            return read_demand(table, names, sources, _units(table, "units", names))
        case _RuleName.STANDING:
            return StandingRule(_units(table, "units", names), table.scaled("per_month", _MICRO))
        case _RuleName.MINIMUM:
            per_month_micro = table.scaled("per_month", _MICRO)
            return MinimumRule(PoolId(table.text("pool")), _units(table, "units", names), per_month_micro)


def _meters(table: RuleTable, units: tuple[UnitId, ...], names: SiteNames) -> tuple[tuple[UnitId, NodeId], ...]:
    """Read which node meters each unit: `a101 = "w-a101"`, every unit of the pool once."""
    meters = tuple((UnitId(unit), NodeId(table.one_id(unit, "node", names.nodes))) for unit in table.keys)
    if {unit for unit, _ in meters} != set(units) or len({node for _, node in meters}) != len(meters):
        table.fault("", "each unit of the pool needs one meter of its own here", 'write a101 = "w-a101", ...')
    return meters


def _units(table: RuleTable, key: str, names: SiteNames) -> tuple[UnitId, ...]:
    if table.has(key) and table.raw(key) == "all":
        return tuple(sorted(names.units))
    return tuple(UnitId(one) for one in table.ids(key, "unit", names.units))


def _nodes(table: RuleTable, key: str, names: SiteNames) -> tuple[NodeId, ...]:
    return tuple(NodeId(one) for one in table.ids(key, "node", names.nodes))


def _charged_nodes(pool: Pool, names: SiteNames) -> tuple[NodeId, ...]:
    if isinstance(pool.rule, OwnUseRule):
        nodes = (pool.rule.node_of(unit, names.units[unit]) for unit in pool.rule.units)
        return tuple(node for node in nodes if node is not None)
    return pool.path
