"""Pools that serve each other: who bears which part of whose cost, by three methods, exact.

Direct        services ignore each other.
Step-down     in a declared order each passes its cost on to those after it and to its own users; none gets any back.
Reciprocal    x = c + A'x, solved exactly; possible when every service reaches a user in the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from allocation_engine.apportion import round_together
from metering.identity import PartyId, PoolId

NONE = Fraction(0)
ONE = Fraction(1)
Passed = dict[tuple[PoolId, PoolId], Fraction]


class ServiceMethod(StrEnum):
    """How pools that serve each other are settled before each is shared by its own rule."""

    DIRECT = "direct"
    STEP_DOWN = "step-down"
    RECIPROCAL = "reciprocal"


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """The pools that serve each other.

    method   the one that is charged; the others are shown beside it
    order    of step-down: every service once
    usage    part of each service that other services use; the rest goes to its own users, by its own rule
    """

    method: ServiceMethod
    order: tuple[PoolId, ...]
    usage: Mapping[PoolId, Mapping[PoolId, Fraction]]

    def to_users(self, pool: PoolId) -> Fraction:
        """Give the part of a service that its own users have."""
        return ONE - sum(self.usage[pool].values(), NONE)


@dataclass(frozen=True, slots=True)
class ServiceCost:
    """What a service costs its own users, and why [minor units; received and passed as numerator and denominator]."""

    method: ServiceMethod
    own_minor: int
    received: tuple[tuple[PoolId, tuple[int, int]], ...]
    passed: tuple[tuple[PoolId, tuple[int, int]], ...]
    cost_minor: int

    @property
    def adds_up(self) -> bool:
        """Say whether own cost, what was received and what was passed on make the cost, rounded to less than 1."""
        received, passed = (sum((Fraction(*part) for _, part in one), NONE) for one in (self.received, self.passed))
        return abs(self.own_minor + received - passed - self.cost_minor) < 1

    def to_wire(self) -> list[Any]:
        """Give plain content."""
        flows = [[[pool, list(part)] for pool, part in one] for one in (self.received, self.passed)]
        return [str(self.method), self.own_minor, *flows, self.cost_minor]

    @classmethod
    def from_wire(cls, content: Any) -> ServiceCost:
        """Read what `to_wire` gave."""
        method, own_minor, received, passed, cost_minor = content
        return cls(ServiceMethod(method), own_minor, _flow(received), _flow(passed), cost_minor)


@dataclass(frozen=True, slots=True)
class MethodOutcome:
    """What one method would charge in all service pools together; `refused` says why it cannot be used, or None."""

    method: ServiceMethod
    pools: tuple[tuple[PoolId, int], ...]
    parties: tuple[tuple[PartyId, int], ...]
    refused: str | None


class ServicesUnsolvable(ValueError):
    """A method has no result: the cost of `pool` reaches no user."""

    def __init__(self, method: ServiceMethod, pool: PoolId) -> None:
        super().__init__(f"by the {method} method the cost of {pool} reaches no user")
        self.pool = pool


def settle_services(
    method: ServiceMethod, services: Services, own_minor: Mapping[PoolId, int]
) -> dict[PoolId, ServiceCost]:
    """Settle all services by one method; raises ServicesUnsolvable.

    Invariant   what they cost their users adds up to what they cost in the first place, to the minor unit
    """
    require_solvable(method, services)
    passed: Passed = {}
    match method:
        case ServiceMethod.STEP_DOWN:
            passed = _step_down(services, own_minor)
        case ServiceMethod.RECIPROCAL:
            passed = _reciprocal(services, own_minor)
    borne = {
        pool: own_minor[pool]
        + sum((amount for (_, to), amount in passed.items() if to == pool), NONE)
        - sum((amount for (source, _), amount in passed.items() if source == pool), NONE)
        for pool in services.order
    }
    rounded = round_together({str(pool): amount for pool, amount in borne.items()})
    return {
        pool: ServiceCost(
            method=method,
            own_minor=own_minor[pool],
            received=_listed({source: amount for (source, to), amount in passed.items() if to == pool}),
            passed=_listed({to: amount for (source, to), amount in passed.items() if source == pool}),
            cost_minor=rounded[str(pool)],
        )
        for pool in services.order
    }


def require_solvable(method: ServiceMethod, services: Services) -> None:
    """Raise ServicesUnsolvable, naming a service whose cost reaches no user; decided before anything is computed."""
    for place, pool in enumerate(services.order):
        match method:
            case ServiceMethod.DIRECT:
                reaches = services.to_users(pool) > 0
            case ServiceMethod.STEP_DOWN:
                later = services.order[place + 1 :]
                reaches = services.to_users(pool) > 0 or any(services.usage[pool].get(one) for one in later)
            case ServiceMethod.RECIPROCAL:
                reaches = any(services.to_users(one) > 0 for one in _reached(pool, services))
        if not reaches:
            raise ServicesUnsolvable(method, pool)


def _reached(pool: PoolId, services: Services) -> set[PoolId]:
    """Give every service that part of the cost of `pool` arrives at, itself included."""
    found = {pool}
    open_pools = [pool]
    while open_pools:
        for other, part in services.usage[open_pools.pop()].items():
            if part and other not in found:
                found.add(other)
                open_pools.append(other)
    return found


def _step_down(services: Services, own_minor: Mapping[PoolId, int]) -> Passed:
    passed: Passed = {}
    for place, pool in enumerate(services.order):
        total = own_minor[pool] + sum((amount for (_, to), amount in passed.items() if to == pool), NONE)
        later = {one: services.usage[pool].get(one, NONE) for one in services.order[place + 1 :]}
        counted = services.to_users(pool) + sum(later.values(), NONE)
        passed |= {(pool, one): total * part / counted for one, part in later.items() if part}
    return passed


def _reciprocal(services: Services, own_minor: Mapping[PoolId, int]) -> Passed:
    pools = services.order
    matrix = [[(ONE if a == b else NONE) - services.usage[b].get(a, NONE) for b in pools] for a in pools]
    gross = solve(matrix, [Fraction(own_minor[pool]) for pool in pools])
    totals = dict(zip(pools, gross, strict=True))
    return {(pool, to): totals[pool] * part for pool in pools for to, part in services.usage[pool].items() if part}


def solve(matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction]:
    """Solve a small system of linear equations exactly; raises ZeroDivisionError where it has no single solution."""
    rows = [[*row, known] for row, known in zip(matrix, right, strict=True)]
    for column in range(len(rows)):
        pivot = next((place for place in range(column, len(rows)) if rows[place][column]), column)
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = [cell / rows[column][column] for cell in rows[column]]
        rows = [
            head if place == column else [cell - row[column] * top for cell, top in zip(row, head, strict=True)]
            for place, row in enumerate(rows)
        ]
    return [row[-1] for row in rows]


def _flow(content: Any) -> tuple[tuple[PoolId, tuple[int, int]], ...]:
    return tuple((PoolId(pool), (part[0], part[1])) for pool, part in content)


def _listed(amounts: Mapping[PoolId, Fraction]) -> tuple[tuple[PoolId, tuple[int, int]], ...]:
    return tuple((pool, (amount.numerator, amount.denominator)) for pool, amount in sorted(amounts.items()))
