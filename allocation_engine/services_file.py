"""The form of `[services]` in `pools.toml`: pools that serve each other, and by which method they are settled."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from allocation_engine.pools import AreaRule, DemandRule, Grain, KeyedRule, Pool, SpreadingRule
from allocation_engine.rule_table import RuleTable
from allocation_engine.service_costs import ServiceMethod, Services, ServicesUnsolvable, require_solvable
from metering.identity import PoolId


def read_services(root: RuleTable, pools: Sequence[Pool]) -> Services | None:
    """Read the table; None where no pools serve each other, or after a mistake in it."""
    if not root.has("services"):
        return None
    table = root.table("services")
    method = table.choice("method", ServiceMethod)
    known = {str(pool.id): pool for pool in pools}
    usage: dict[PoolId, dict[PoolId, Fraction]] = {}
    places: dict[PoolId, RuleTable] = {}
    for one in table.tables("usage"):
        pool = PoolId(one.one_id("pool", "pool", known))
        if pool in usage:
            one.fault("pool", f"the users of {pool} are named twice", "name them once")
        by = one.table("by")
        usage[pool] = {PoolId(user): _part(by, user) for user in by.keys}
        places[pool] = one
        _check_users(one, pool, usage[pool], known)
    for user in sorted({user for parts in usage.values() for user in parts} - set(usage)):
        usage[user] = {}
    order = tuple(PoolId(one) for one in table.ids("order", "service", [*map(str, usage)]))
    if set(order) != set(usage):
        table.fault("order", "the order does not name each service once", f"services: {', '.join(sorted(usage))}")
        return None
    for pool in order:
        if pool in known and not _is_fitting(known[pool]):
            table.fault(
                "order",
                f"{pool} cannot be a service",
                'a service is shared by area, keys, demand or weights of a formula with grain = "period"',
            )
    table.close()
    return _solvable(table, places, Services(method, order, usage))


def _part(by: RuleTable, user: str) -> Fraction:
    part = by.number(user)
    if not 0 < part <= 1:
        by.fault(user, f"{user} uses {part}", "a part is above 0 and at most 1")
    return part


def _check_users(table: RuleTable, pool: PoolId, users: dict[PoolId, Fraction], known: dict[str, Pool]) -> None:
    for user in users:
        if user not in known:
            table.fault("by", f"unknown pool {user!r}", f"known: {', '.join(sorted(known))}")
        if user == pool:
            table.fault("by", f"{pool} uses itself", "leave its own use out")
    if sum(users.values()) > 1:
        table.fault("by", f"other services use {sum(users.values())} of {pool}", "parts add up to at most 1")


def _is_fitting(pool: Pool) -> bool:
    return isinstance(pool.rule, AreaRule | KeyedRule | DemandRule | SpreadingRule) and pool.rule.grain is Grain.PERIOD


def _solvable(table: RuleTable, places: dict[PoolId, RuleTable], services: Services) -> Services | None:
    try:
        require_solvable(services.method, services)
    except ServicesUnsolvable as error:
        place = places.get(error.pool, table)
        place.fault("pool", str(error), "somebody must use it who is no service, directly or through others")
        return None
    return services
