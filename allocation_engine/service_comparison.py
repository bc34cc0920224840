"""Pools that serve each other, in a period: what each costs its users, and all three methods side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from allocation_engine.money import to_minor
from allocation_engine.pool_cost import cost_of
from allocation_engine.pools import Pool
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules
from allocation_engine.service_costs import (
    MethodOutcome,
    ServiceCost,
    ServiceMethod,
    Services,
    ServicesUnsolvable,
    settle_services,
)
from allocation_engine.shares import SharedPool, share_out
from metering.identity import PartyId, PoolId


def service_costs(priced: PricedPeriod, rules: Rules) -> dict[PoolId, ServiceCost]:
    """Give what each service costs its own users by the declared method; empty where no pools serve each other."""
    services = rules.services
    return {} if services is None else settle_services(services.method, services, _own_minor(services, priced, rules))


def compare_methods(priced: PricedPeriod, rules: Rules) -> Iterator[MethodOutcome]:
    """Give what each method would charge whom, for negotiation; nothing where no pools serve each other."""
    services = rules.services
    if services is None:
        return
    own_minor = _own_minor(services, priced, rules)
    # Methods differ in what a pool costs, not in who has which part of it.
    shared: dict[PoolId, SharedPool] = {}
    for method in ServiceMethod:
        try:
            costs = settle_services(method, services, own_minor)
        except ServicesUnsolvable as error:
            yield MethodOutcome(method, (), (), str(error))
            continue
        parties: dict[PartyId, int] = defaultdict(int)
        for pool in _pools(services, rules):
            if pool.id not in shared:
                shared[pool.id] = share_out(pool, priced, costs[pool.id])
            amounts = shared[pool.id].amounts_of(costs[pool.id].cost_minor)
            for party, amount in zip(shared[pool.id].parties, amounts.tolist(), strict=True):
                parties[party] += amount
        charged = tuple((pool, cost.cost_minor) for pool, cost in sorted(costs.items()))
        yield MethodOutcome(method, charged, tuple(sorted(parties.items())), None)


def _own_minor(services: Services, priced: PricedPeriod, rules: Rules) -> dict[PoolId, int]:
    whole = [(priced.inputs.day_spans()[0][0], 0, priced.inputs.slot_count)]
    return {
        pool.id: to_minor(sum(cost_of(pool, priced, whole).costs_nano), priced.currency)
        for pool in _pools(services, rules)
    }


def _pools(services: Services, rules: Rules) -> list[Pool]:
    return [pool for pool in rules.pools if pool.id in services.usage]
