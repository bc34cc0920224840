"""A stranger divides again: statements of keyed pools hold, and a changed key, weight or flow is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from allocation_engine.bundle import pack_bundle
from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from allocation_engine.inputs import PeriodInputs
from allocation_engine.key_steps import KeyStep
from allocation_engine.keys import DemandMethod, Driver, Key, Stage
from allocation_engine.pools import DemandRule, Fallback, Grain, KeyedRule, Pool
from allocation_engine.proof import Broken, prove_line
from allocation_engine.rules import Rules
from allocation_engine.run import Line, ShareTrace
from allocation_engine.service_costs import ServiceMethod, Services
from allocation_engine.statement import seal_statement
from allocation_engine.statement_content import StatementContent
from allocation_engine.verification import verify_bundle
from ingest.explanation import Explanation
from metering.envelope import Algorithm
from metering.identity import NodeId, PartyId, PoolId, UnitId
from provisioning.keys import public_verifier
from tests.doubles.park_books import CENTRE

A, B = UnitId("a"), UnitId("b")
HALF = Fraction(1, 2)
BOOKED_AT = datetime(2026, 8, 1, tzinfo=UTC)
MIXED = (Key(HALF, (Driver.AREA,)), Key(HALF, (Driver.ENERGY,)))


@pytest.fixture
def inputs(make_inputs: Callable[..., PeriodInputs]) -> PeriodInputs:
    """Two days of two units and three shared loads."""
    return make_inputs(
        energy={"lift": 101, "pump": 57, "chiller": [*([10] * 96), *([30] * 96)], "u-a": 7, "u-b": 13},
        units={"a": (300_000, "u-a"), "b": (100_000, "u-b")},
        let=[("a", "t-1", 0, 192), ("b", "t-2", 0, 100)],
        slots=192,
    )


@pytest.fixture
def rules(inputs: PeriodInputs, make_rules: Callable[..., Rules], area_pool: dict[str, Any]) -> Rules:
    """Lift by keys for the period, chiller by keys of each day, pump by demand; lift and pump serve each other."""
    rules = make_rules(inputs, area_pool)
    lift = rules.pools[0]

    def pool(name: str, rule: KeyedRule | DemandRule) -> Pool:
        return replace(lift, id=PoolId(name), path=(NodeId(name),), rule=rule)

    stages = (Stage("lease", MIXED, ()),)
    pools = (
        pool("lift", KeyedRule((A, B), stages, Grain.PERIOD, None, None)),
        pool("pump", DemandRule((A, B), DemandMethod.AVERAGE_AND_EXCESS, (), None, Grain.PERIOD, Fallback.OWNER)),
        pool("chiller", KeyedRule((A, B), stages, Grain.DAY, None, None)),
    )
    usage = {pools[0].id: {pools[1].id: HALF}, pools[1].id: {pools[0].id: Fraction(1, 4)}}
    services = Services(ServiceMethod.RECIPROCAL, (pools[0].id, pools[1].id), usage)
    return replace(rules, pools=pools, services=services)


@pytest.fixture
def octets(inputs: PeriodInputs, rules: Rules) -> bytes:
    """The bundle of tenant t-2."""
    run = close_period(inputs, rules)
    statement = seal_statement(
        run,
        inputs,
        rules,
        PartyId("t-2"),
        booked_at=BOOKED_AT,
        version=1,
        gateway_keys=(),
        commitment=commit_run(run, bytes(32)),
        signer=CENTRE,
    )
    return pack_bundle(statement.octets, statement.proof, (), ())


@pytest.fixture
def content(octets: bytes) -> StatementContent:
    """The verified statement of tenant t-2."""
    keys = {CENTRE.key_id: public_verifier(Algorithm.EDDSA, CENTRE.public_key)}
    report = verify_bundle(octets, keys, public_verifier)
    assert report.holds, report.broken
    assert report.content is not None
    return report.content


def line_of(content: StatementContent, pool: str) -> Line:
    """The line of a pool."""
    return next(line for line in content.lines if line.pool == pool)


def with_keys(line: Line, *keys: KeyStep) -> Line:
    """The same line with other steps."""
    assert isinstance(line.trace, ShareTrace)
    return replace(line, trace=replace(line.trace, keys=keys))


def keys_of(line: Line) -> tuple[KeyStep, ...]:
    """The steps of a line."""
    assert isinstance(line.trace, ShareTrace)
    return line.trace.keys


def with_pool(content: StatementContent, name: str, **changes: Any) -> StatementContent:
    """The statement with another statement of one pool."""
    pools = tuple(replace(pool, **changes) if pool.id == name else pool for pool in content.pools)
    return replace(content, pools=pools)


@pytest.mark.parametrize("pool", ["lift", "pump", "chiller"])
def test_a_line_holds_and_says_so(content: StatementContent, pool: str) -> None:
    assert prove_line(content, line_of(content, pool)).endswith("CNY")


def test_steps_of_each_day_are_stated_with_the_cost_of_each_day(content: StatementContent) -> None:
    assert [str(step.day) for step in keys_of(line_of(content, "chiller"))] == ["2026-07-01"] * 2 + ["2026-07-02"] * 2
    (chiller,) = [pool for pool in content.pools if pool.id == "chiller"]
    assert [day.cost_nano for day in chiller.days] == [480_000_000, 1_440_000_000]


@pytest.mark.parametrize("pool", ["lift", "pump", "chiller"])
@pytest.mark.parametrize("place", [0, -1])
def test_a_changed_weight_in_a_step_is_found_out(content: StatementContent, pool: str, place: int) -> None:
    line = line_of(content, pool)
    keys = list(keys_of(line))
    keys[place] = replace(keys[place], weight=keys[place].weight + 1)
    if not keys[place].part[0]:
        pytest.skip("a key without a part weighs nothing")
    with pytest.raises(Broken, match="the keys give"):
        prove_line(content, with_keys(line, *keys))


def test_a_dropped_step_is_found_out(content: StatementContent) -> None:
    line = line_of(content, "lift")
    with pytest.raises(Broken, match="the keys give"):
        prove_line(content, with_keys(line, *keys_of(line)[1:]))


def test_a_changed_part_of_a_key_is_found_out(content: StatementContent) -> None:
    line = line_of(content, "lift")
    first, second = keys_of(line)
    with pytest.raises(Broken, match="the keys give"):
        prove_line(content, with_keys(line, replace(first, part=(2, 3)), second))


def test_a_changed_cost_of_a_day_is_found_out(content: StatementContent) -> None:
    (chiller,) = [pool for pool in content.pools if pool.id == "chiller"]
    first, second = chiller.days
    dearer = with_pool(content, "chiller", days=(replace(first, cost_nano=first.cost_nano * 2), second))
    with pytest.raises(Broken, match="the keys give"):
        prove_line(dearer, line_of(content, "chiller"))


def test_a_day_without_a_cost_is_found_out(content: StatementContent) -> None:
    with pytest.raises(Broken, match="does not say what pool chiller cost on each day"):
        prove_line(with_pool(content, "chiller", days=()), line_of(content, "chiller"))


def test_a_changed_flow_between_services_is_found_out(content: StatementContent) -> None:
    (lift,) = [pool for pool in content.pools if pool.id == "lift"]
    assert lift.service is not None
    changed = replace(lift.service, own_minor=lift.service.own_minor + 100)
    with pytest.raises(Broken, match="what lift received and passed on gives another cost"):
        prove_line(with_pool(content, "lift", service=changed), line_of(content, "lift"))


def test_a_service_that_states_another_cost_than_its_pool_is_found_out(content: StatementContent) -> None:
    (lift,) = [pool for pool in content.pools if pool.id == "lift"]
    assert lift.service is not None
    changed = replace(lift.service, own_minor=lift.service.own_minor + 5, cost_minor=lift.service.cost_minor + 5)
    with pytest.raises(Broken, match="gives another cost"):
        prove_line(with_pool(content, "lift", service=changed), line_of(content, "lift"))


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", ["own cost 9.70, received from other pools", "lease: b/t-2 has", "of 1/2 by area"]),
        ("zh", ["自身费用 9.70，自其他池分入", "lease：b/t-2 按 area"]),
    ],
)
def test_services_and_keys_are_told(content: StatementContent, language: str, told: list[str]) -> None:
    steps = Explanation(content, language, all_spans=True).steps(line_of(content, "lift"))
    text = "\n".join(step.text for step in steps)
    for one in told:
        assert one in text


def test_only_the_first_steps_are_told_unless_all_are_asked_for(content: StatementContent) -> None:
    line = line_of(content, "chiller")
    longer = with_keys(line, *keys_of(line), *keys_of(line))
    short = [one.text for one in Explanation(content, "en", all_spans=False).steps(longer)]
    whole = [one.text for one in Explanation(content, "en", all_spans=True).steps(longer)]
    assert sum("lease: " in text for text in short) == 4
    assert sum("lease: " in text for text in whole) == 8
    assert any("and 4 more" in text for text in short)


def test_the_ground_of_a_pool_is_told(content: StatementContent) -> None:
    grounded = with_pool(content, "lift", ground="resolution 4")
    steps = Explanation(grounded, "en", all_spans=True).steps(line_of(content, "lift"))
    assert any(step.text == "rests on: resolution 4" for step in steps)
