"""The form of the table `[loss]` in `pools.toml`: that losses are shared, and what flows without load."""

from __future__ import annotations

from collections.abc import Collection

from allocation_engine.loss_rule import LOSS_POOL, LossMethod, LossRule, NoLoad, NoLoadKey
from allocation_engine.rule_table import RuleTable, nearest
from allocation_engine.rules import SiteNames
from metering.identity import NodeId, PartyId, PoolId, UnitId

_KVA_DIGITS = 3
_KWH_DIGITS = 3


def read_loss(root: RuleTable, names: SiteNames, pools: Collection[PoolId]) -> LossRule | None:
    """Read the table if there is one; without it, losses stay in no pool."""
    if not root.has("loss"):
        return None
    table = root.table("loss")
    if LOSS_POOL in pools:
        table.fault("", f"a pool is called {LOSS_POOL!r}, which is what the losses are called", "rename the pool")
    valid_from, valid_to = table.day("from"), table.optional_day("to")
    if valid_to is not None and valid_to <= valid_from:
        table.fault("to", "the end is not after the start", "`to` is the first day on which it no longer holds")
    rule = LossRule(
        names=table.names("names"),
        method=table.choice("method", LossMethod),
        bearer=PartyId(table.one_id("bearer", "party", names.parties)),
        no_load=_no_load(table, names),
        valid_from=valid_from,
        valid_to=valid_to,
        review_by=table.optional_day("review_by"),
    )
    table.close()
    return rule


def _no_load(table: RuleTable, names: SiteNames) -> tuple[NoLoad, ...]:
    if not table.has("no_load"):
        return ()
    found: list[NoLoad] = []
    for one in table.tables("no_load"):
        key = one.choice("key", NoLoadKey)
        no_load = NoLoad(
            node=NodeId(one.one_id("node", "node", names.nodes)),
            wh_per_day=one.scaled("kwh_per_day", _KWH_DIGITS),
            key=key,
            capacities=_capacities(one, names) if key is NoLoadKey.CAPACITY else (),
            source=one.text("source"),
        )
        if any(no_load.node == other.node for other in found):
            one.fault("node", f"the no-load loss of {no_load.node} is given twice", "give one number for each node")
        found.append(no_load)
    return tuple(found)


def _capacities(table: RuleTable, names: SiteNames) -> tuple[tuple[UnitId, int], ...]:
    capacities = table.table("capacity_kva")
    for unit in capacities.keys:
        if unit not in names.units:
            capacities.fault(unit, f"unknown unit {unit!r}", nearest(unit, names.units))
    return tuple((UnitId(unit), capacities.scaled(unit, _KVA_DIGITS)) for unit in sorted(capacities.keys))
