"""Pools that serve each other: published results of three methods, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from allocation_engine.service_costs import (
    ServiceCost,
    ServiceMethod,
    Services,
    ServicesUnsolvable,
    require_solvable,
    settle_services,
    solve,
)
from metering.identity import PoolId

Y, Z, S1, S2, S3 = (PoolId(one) for one in ("y", "z", "s1", "s2", "s3"))


def services(usage: dict[PoolId, dict[PoolId, str]], *order: PoolId) -> Services:
    """Services whose usage is written as text."""
    parts = {pool: {user: Fraction(part) for user, part in users.items()} for pool, users in usage.items()}
    return Services(ServiceMethod.RECIPROCAL, order or tuple(parts), parts)


TWO = services({Y: {Z: "0.2"}, Z: {Y: "0.3"}})
THREE = services({S1: {S2: "0.1", S3: "0.2"}, S2: {S1: "0.1", S3: "0.2"}, S3: {S1: "0.3"}})
THREE_COST = {S1: 9_240_000, S2: 18_480_000, S3: 13_860_000}


def total_of(cost: ServiceCost) -> Fraction:
    """What a service costs in all: its own cost and what it received."""
    return cost.own_minor + sum((Fraction(*part) for _, part in cost.received), Fraction(0))


def test_two_services_solved_as_accounting_courses_publish_it() -> None:
    """7,260 and 4,000, 20 % and 30 %: Y = 9,000 and Z = 5,800 (myessayhelp.xyz, reciprocal method)."""
    settled = settle_services(ServiceMethod.RECIPROCAL, TWO, {Y: 726_000, Z: 400_000})
    assert [total_of(settled[one]) for one in (Y, Z)] == [900_000, 580_000]
    assert (settled[Y].passed, settled[Z].passed) == (((Z, (180_000, 1)),), ((Y, (174_000, 1)),))
    assert [settled[one].cost_minor for one in (Y, Z)] == [720_000, 406_000]


def test_three_services_by_step_down_as_published() -> None:
    """expertsmind.com 30131914: 194,040 reach S2 and 200,200 reach S3 before they pass them on."""
    settled = settle_services(ServiceMethod.STEP_DOWN, THREE, THREE_COST)
    assert [total_of(settled[one]) for one in (S1, S2, S3)] == [9_240_000, 19_404_000, 20_020_000]
    assert settled[S1].received == ()
    assert [settled[one].cost_minor for one in (S1, S2, S3)] == [6_468_000, 15_092_000, 20_020_000]


def test_step_down_depends_on_the_order() -> None:
    other = Services(THREE.method, (S3, S2, S1), THREE.usage)
    first, second = (settle_services(ServiceMethod.STEP_DOWN, one, THREE_COST) for one in (THREE, other))
    assert {one: cost.cost_minor for one, cost in first.items()} != {one: c.cost_minor for one, c in second.items()}


def test_direct_leaves_every_cost_where_it_is() -> None:
    settled = settle_services(ServiceMethod.DIRECT, THREE, THREE_COST)
    assert {one: cost.cost_minor for one, cost in settled.items()} == THREE_COST
    assert all(cost.received == cost.passed == () for cost in settled.values())


@pytest.mark.parametrize("method", list(ServiceMethod))
@pytest.mark.parametrize("costs", [(1, 0, 0), (7, 11, 13), (-5, 3, 1), (0, 0, 0), (10**9, 1, 10**12)])
def test_the_sum_of_all_services_stays_the_same_to_the_fen(method: ServiceMethod, costs: tuple[int, int, int]) -> None:
    own = dict(zip((S1, S2, S3), costs, strict=True))
    settled = settle_services(method, THREE, own)
    assert sum(cost.cost_minor for cost in settled.values()) == sum(costs)
    assert all(cost.adds_up for cost in settled.values())


@pytest.mark.parametrize("method", list(ServiceMethod))
def test_a_settled_service_survives_the_wire(method: ServiceMethod) -> None:
    for cost in settle_services(method, THREE, {S1: 7, S2: 11, S3: 13}).values():
        assert ServiceCost.from_wire(cost.to_wire()) == cost


def test_a_service_whose_flows_do_not_make_its_cost_does_not_add_up() -> None:
    cost = settle_services(ServiceMethod.RECIPROCAL, TWO, {Y: 726_000, Z: 400_000})[Y]
    assert not ServiceCost(cost.method, cost.own_minor, cost.received, cost.passed, cost.cost_minor + 1).adds_up


@pytest.mark.parametrize(
    ("usage", "pool"),
    [
        ({Y: {Z: "1"}, Z: {Y: "1"}}, Y),
        ({Y: {}, Z: {S1: "1"}, S1: {Z: "1"}}, Z),
        ({S1: {S2: "0.5", S3: "0.5"}, S2: {S1: "1"}, S3: {S1: "1"}}, S1),
    ],
)
def test_a_cycle_without_a_way_out_is_named_before_it_is_solved(
    usage: dict[PoolId, dict[PoolId, str]], pool: PoolId
) -> None:
    with pytest.raises(ServicesUnsolvable) as caught:
        settle_services(ServiceMethod.RECIPROCAL, services(usage), dict.fromkeys(usage, 1))
    assert caught.value.pool == pool
    assert str(caught.value) == f"by the reciprocal method the cost of {pool} reaches no user"


def test_a_long_way_to_a_user_is_a_way() -> None:
    chain = {S1: {S2: "1"}, S2: {S3: "1"}, S3: {Y: "1"}, Y: {Z: "1"}, Z: {S1: "0.999999"}}
    settled = settle_services(ServiceMethod.RECIPROCAL, services(chain), dict.fromkeys(chain, 100))
    assert {one: cost.cost_minor for one, cost in settled.items() if cost.cost_minor} == {Z: 500}


@pytest.mark.parametrize("method", [ServiceMethod.DIRECT, ServiceMethod.STEP_DOWN])
def test_methods_that_ignore_services_need_users_of_their_own(method: ServiceMethod) -> None:
    only_services = services({Y: {}, Z: {Y: "1"}})
    with pytest.raises(ServicesUnsolvable):
        require_solvable(method, only_services)
    require_solvable(ServiceMethod.RECIPROCAL, only_services)


def test_step_down_may_pass_everything_on_to_a_later_service() -> None:
    settled = settle_services(ServiceMethod.STEP_DOWN, services({Z: {Y: "1"}, Y: {}}), {Y: 1, Z: 2})
    assert {one: cost.cost_minor for one, cost in settled.items()} == {Y: 3, Z: 0}


def test_a_small_system_is_solved_exactly() -> None:
    matrix = [[Fraction(0), Fraction(2), Fraction(1)], [Fraction(1), Fraction(1), Fraction(0)], [Fraction(3)] * 3]
    known = [Fraction(1, 3), Fraction(1, 7), Fraction(1)]
    found = solve(matrix, known)
    assert [sum(a * x for a, x in zip(row, found, strict=True)) for row in matrix] == known


def test_a_system_without_a_single_solution_is_not_guessed() -> None:
    with pytest.raises(ZeroDivisionError):
        solve([[Fraction(1), Fraction(1)], [Fraction(2), Fraction(2)]], [Fraction(1), Fraction(2)])
