"""Statements under every kind of price: what they carry lets a stranger recompute each line, and a lie is found."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from allocation_engine.costs import CostStep
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading, pick_readings
from allocation_engine.inputs import PeriodInputs
from allocation_engine.media import Medium
from allocation_engine.metered import evidence_needed
from allocation_engine.proof import Broken, prove_line
from allocation_engine.rules import SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import ChargeTrace, Line, MeteredTrace
from allocation_engine.statement import seal_statement
from allocation_engine.statement_content import StatementContent
from metering.envelope import Algorithm, decode_canonical, encode, parse_sign1
from metering.identity import GatewayId, KeyId, MeterId, NodeId, PartyId

FLAT = [{"months": list(range(1, 13)), "flat": ["00:00-24:00"]}]
NAMES = {"zh": "甲", "en": "a"}
TAXED = {"names": NAMES, "pools": "all", "from": "2026-01-01", "source": "law"}
TARIFF = {
    "format": 1,
    "currency": "CNY",
    "versions": [
        {
            "id": "v-1",
            "from": "2026-01-01",
            "rates": {"flat": "0.50"},
            "seasons": FLAT,
            "tiers": {"span": "month", "limits": "whole", "steps": [{"upto": "2", "add": "0"}, {"add": "0.10"}]},
        }
    ],
    "tariffs": [
        {
            "id": "water",
            "medium": "water",
            "per": "m3",
            "versions": [{"id": "w-1", "from": "2026-01-01", "rates": {"flat": "3.20"}, "seasons": FLAT}],
        }
    ],
    "charges": [
        {
            "id": "basic",
            "kind": "capacity",
            "names": NAMES,
            "node": "u-a",
            "from": "2026-01-01",
            "per_kva_month": "31.00",
            "capacity_kva": "100",
            "source": "price list",
        }
    ],
    "taxes": [
        {"id": "vat", "percent": "13", "included": False, **TAXED},
        {"id": "levy", "percent": "3", "included": True, **TAXED},
    ],
    "caps": [
        {
            "id": "resale",
            "table": "resale-caps-cn",
            "entry": "national-2022",
            "base": "0.58",
            "pools": ["own-use"],
            "permitted_loss_percent": "0",
        }
    ],
}
COMMON = {"names": NAMES, "from": "2026-01-01", "units": "all", "class": "exclusive"}
POOLS = [
    {**COMMON, "id": "own-use", "rule": "own-use", "measure": "import"},
    {**COMMON, "id": "water", "rule": "own-use", "measure": "water", "tariff": "water", "meters": {"a": "w-a"}},
    {**COMMON, "id": "basic", "class": "must", "rule": "area", "charge": "basic", "grain": "period"},
    {**COMMON, "id": "standing", "rule": "standing", "per_month": "31.00"},
    {**COMMON, "id": "minimum", "rule": "minimum", "pool": "own-use", "per_month": "310.00"},
]


class Centre:
    """A signer whose signatures nobody checks here."""

    key_id = KeyId(bytes(8))
    algorithm = Algorithm.EDDSA

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return bytes(64)


def tables() -> dict[str, Any]:
    """The shipped caps, as stored rules carry them."""
    text = files("allocation_engine.tables").joinpath("resale-caps-cn.toml").read_text(encoding="utf-8")
    return {"resale-caps-cn": tomllib.loads(text)}


def point(inputs: PeriodInputs, node: str, obis: Any, marks: Any) -> PointEvidence:
    """Readings that count up what the node took, sealed in envelopes that nobody opens here."""
    registers = np.concatenate([[0], np.cumsum(inputs.import_wh[inputs.row(NodeId(node))])])
    readings = [
        PointReading(inputs.mark(i), MeterId(node), int(wh), EnvelopeRef(GatewayId("gw"), 1, i, bytes(32)))
        for i, wh in enumerate(registers)
    ]
    hung = Installation(MeterId(node), None, None, 1, None, None, None, None)
    return PointEvidence(NodeId(node), obis, (hung,), pick_readings(marks, readings))


@pytest.fixture
def content(make_inputs: Callable[..., PeriodInputs]) -> StatementContent:
    """The statement of t-1 for 1 July, read back from its octets."""
    bare = make_inputs(
        energy={"u-a": 100, "w-a": 250_000}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 96)], slots=96
    )
    nodes = tuple(replace(node, medium=Medium.WATER) if node.id == "w-a" else node for node in bare.nodes)
    bare = replace(bare, nodes=nodes)
    names = SiteNames(
        frozenset(node.id for node in nodes),
        {unit.id: unit.node for unit in bare.units},
        frozenset({PartyId("t-1"), bare.owner}),
        bare.owner,
        "CNY",
    )
    pools = {"format": 1, "pools": POOLS}
    rules = rules_from_document({"tariff": TARIFF, "pools": pools, "series": {}, "tables": tables()}, names)
    evidence = tuple(point(bare, node, obis, marks) for (node, obis), marks in evidence_needed(bare, rules).items())
    inputs = replace(bare, evidence=evidence)
    run = close_period(inputs, rules)
    statement = seal_statement(
        run,
        inputs,
        rules,
        PartyId("t-1"),
        booked_at=datetime(2026, 8, 1, tzinfo=UTC),
        version=1,
        gateway_keys=(),
        commitment=commit_run(run, bytes(32)),
        signer=Centre(),
    )
    return StatementContent.from_wire(decode_canonical(parse_sign1(statement.octets).payload))


def line(content: StatementContent, pool: str) -> Line:
    """The party's line of a pool."""
    return next(line for line in content.lines if line.pool == pool)


def test_every_line_is_as_calculated_by_hand(content: StatementContent) -> None:
    # 9.6 kWh x 0.50 + 7.6 x 0.10; 24 m3 x 3.20; 31.00 x 100 / 31; 31.00 / 31; 310.00 / 31 - 5.56; 13 % of 187.80
    assert {one.pool: one.amount_minor for one in content.lines} == {
        "own-use": 556,
        "water": 7680,
        "basic": 10000,
        "standing": 100,
        "minimum": 444,
        "vat": 2441,
    }


def test_a_stranger_recomputes_every_line(content: StatementContent) -> None:
    assert [prove_line(content, one) for one in content.lines] == [
        "9.600 kWh from signed registers give 5.56 CNY",
        "24.000 m3 from signed registers give 76.80 CNY",
        content_share(content),
        "1 steps give 1.00 CNY",
        "2 steps give 4.44 CNY",
        "1 steps give 24.41 CNY",
    ]


def content_share(content: StatementContent) -> str:
    """What proving the shared line says."""
    trace = line(content, "basic").trace
    return f"{trace.weight} / {trace.total_weight} of 100.00 gives 100.00 CNY"  # type: ignore[union-attr]


def test_a_statement_reads_back_with_taxes_and_checks(content: StatementContent) -> None:
    assert StatementContent.from_wire(decode_canonical(encode(content.to_wire()))) == content
    assert [(tax.tax, tax.gross_minor, tax.tax_minor) for tax in content.taxes] == [("levy", 21221, 618)]
    assert [(check.party, check.charged_minor, check.limit_minor) for check in content.checks] == [
        ("t-1", 556, 640),
        (None, 556, None),
    ]


def lied(content: StatementContent, pool: str, **changes: Any) -> tuple[StatementContent, Line]:
    """The same statement with another trace on one line."""
    one = line(content, pool)
    changed = replace(one, trace=replace(one.trace, **changes))  # type: ignore[type-var]
    return replace(content, lines=tuple(changed if other is one else other for other in content.lines)), changed


def tiers(content: StatementContent, **changes: Any) -> Any:
    """The tiers of own use with something changed."""
    trace = line(content, "own-use").trace
    assert isinstance(trace, MeteredTrace)
    return tuple(replace(piece, **changes) for piece in trace.tiers)


@pytest.mark.parametrize("changes", [{"amount": 9601}, {"before": 1}, {"before": 10**6}, {"part": (1, 2)}, {"end": 95}])
def test_a_lie_about_where_the_party_stands_in_tiers_is_found(content: StatementContent, changes: Any) -> None:
    with pytest.raises(Broken):
        prove_line(*lied(content, "own-use", tiers=tiers(content, **changes)))


def test_a_dearer_tier_is_found(content: StatementContent) -> None:
    (piece,) = tiers(content)
    dearer = replace(piece, tiers=replace(piece.tiers, adds=(0, 110_000)))
    with pytest.raises(Broken):
        prove_line(*lied(content, "own-use", tiers=(dearer,)))


def test_a_tier_left_out_is_found(content: StatementContent) -> None:
    with pytest.raises(Broken):
        prove_line(*lied(content, "own-use", tiers=()))


def steps(content: StatementContent, pool: str, **changes: Any) -> tuple[CostStep, ...]:
    """The steps of a charge, the first with something changed."""
    trace = line(content, pool).trace
    assert isinstance(trace, ChargeTrace)
    return (replace(trace.steps[0], **changes), *trace.steps[1:])


@pytest.mark.parametrize(
    ("pool", "changes"),
    [
        ("standing", {"rate_micro": 32_000_000}),
        ("standing", {"part": (1, 30)}),
        ("minimum", {"quantity_milli": 5000}),
        ("vat", {"quantity_milli": 187_810}),
        ("vat", {"part": (14, 100)}),
    ],
)
def test_a_step_that_does_not_give_the_amount_is_found(content: StatementContent, pool: str, changes: Any) -> None:
    with pytest.raises(Broken):
        prove_line(*lied(content, pool, steps=steps(content, pool, **changes)))


def test_a_charge_on_lines_the_party_does_not_have_is_found(content: StatementContent) -> None:
    with pytest.raises(Broken, match="lines the statement does not hold"):
        prove_line(*lied(content, "minimum", of=("own-use/b/t-9",)))


def test_a_charge_on_lines_that_come_to_another_amount_is_found(content: StatementContent) -> None:
    own = line(content, "own-use")
    lines = tuple(replace(one, amount_minor=one.amount_minor + 1) if one is own else one for one in content.lines)
    for pool in ("minimum", "vat"):
        with pytest.raises(Broken, match="come to another amount"):
            prove_line(replace(content, lines=lines), line(content, pool))


def test_a_supply_charge_whose_steps_do_not_give_its_cost_is_found(content: StatementContent) -> None:
    pools = tuple(
        replace(pool, steps=(replace(pool.steps[0], quantity_milli=99_000),)) if pool.id == "basic" else pool
        for pool in content.pools
    )
    lying = replace(content, pools=pools)
    with pytest.raises(Broken, match="steps of charge basic give another cost"):
        prove_line(lying, line(lying, "basic"))


def test_water_priced_as_electricity_is_found(content: StatementContent) -> None:
    pools = tuple(replace(pool, tariff="main") if pool.id == "water" else pool for pool in content.pools)
    with pytest.raises(Broken):
        prove_line(replace(content, pools=pools), line(content, "water"))
