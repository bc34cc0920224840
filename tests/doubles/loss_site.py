"""A small site whose losses are shared: a main meter, branch `a` with two units and a lift, unit `c` beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from allocation_engine.evidence import EnvelopeRef, Installation, PointEvidence, PointReading, pick_readings
from allocation_engine.inputs import (
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
)
from allocation_engine.metered import evidence_needed
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Line, Run
from allocation_engine.statement import seal_statement
from allocation_engine.statement_content import StatementContent
from metering.envelope import Algorithm, decode_canonical, parse_sign1
from metering.identity import GatewayId, KeyId, MeterId, NodeId, PartyId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

OWNER = PartyId("owner")
MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
SLOTS = 8
PARENTS = {"a": "main", "c": "main", "a1": "a", "a2": "a", "lift": "a"}
ENERGY: dict[str, int | Sequence[int]] = {"main": 2200, "a": 1050, "c": 950, "a1": 500, "a2": 300, "lift": 200}
UNITS = {"u-a1": (1000, "a1"), "u-a2": (3000, "a2"), "u-c": (6000, "c")}
LET = (("u-a1", "t-1", 0, 8), ("u-a2", "t-2", 0, 3), ("u-a2", "t-3", 3, 8), ("u-c", "t-4", 2, 8))
LOSS = {"names": {"zh": "损耗", "en": "Losses"}, "method": "per-slot", "bearer": "owner", "from": "2026-01-01"}
POOLS = (
    {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": "all"},
    {"id": "lift", "class": "must", "rule": "area", "path": ["lift"], "units": "all", "grain": "period"},
)
TWO_BANDS = {"rates": {"low": "0.30", "high": "1.00"}, "hours": {"low": ["00:00-01:00"], "high": ["01:00-24:00"]}}
FLAT = {"rates": {"flat": "0.50"}, "hours": {"flat": ["00:00-24:00"]}}


def site_inputs(
    energy: Mapping[str, int | Sequence[int]] | None = None,
    *,
    export: Mapping[str, int | Sequence[int]] | None = None,
    parents: Mapping[str, str] | None = None,
    spans: Mapping[str, tuple[ParentSpan, ...]] | None = None,
    slots: int = SLOTS,
) -> PeriodInputs:
    """Give the site's inputs, with other energies or another tree where asked for."""
    drawn = {**ENERGY, **(energy or {})}
    up = {**PARENTS, **(parents or {})}
    nodes = []
    for node in drawn:
        parent = NodeId(up[node]) if node in up else None
        hung = (spans or {}).get(node, (ParentSpan(0, slots, parent),))
        nodes.append(TreeNode(NodeId(node), NodeKind.END if parent else NodeKind.MAIN, hung, 10_000))
    units = tuple(LettableUnit(UnitId(one), area, NodeId(node)) for one, (area, node) in UNITS.items())
    let = tuple(Occupancy(UnitId(unit), PartyId(party), first, min(end, slots)) for unit, party, first, end in LET)
    shape = (len(nodes), slots)
    given = {**dict.fromkeys(drawn, 0), **(export or {})}
    columns = [np.empty(shape, np.int64), np.empty(shape, np.int64)]
    for row, node in enumerate(drawn):
        columns[0][row], columns[1][row] = drawn[node], given[node]
    return PeriodInputs(
        site=SiteId("park"),
        label="2026-07",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(MIDNIGHT, MIDNIGHT + slots * timedelta(minutes=15)),
        site_hash=bytes(32),
        owner=OWNER,
        nodes=tuple(nodes),
        import_wh=columns[0],
        export_wh=columns[1],
        quality=np.zeros(shape, np.uint8),
        exceptions=(),
        evidence=(),
        units=units,
        occupancies=fill_vacancies(units, let, OWNER, slots),
    )


def site_rules(
    inputs: PeriodInputs,
    *pools: Mapping[str, Any],
    loss: Mapping[str, Any] | None = LOSS,
    prices: Mapping[str, Any] = FLAT,
) -> Rules:
    """Give the site's rules, read the way stored rules are read; without `pools` its usual ones."""
    names = SiteNames(
        nodes=frozenset(node.id for node in inputs.nodes),
        units={unit.id: unit.node for unit in inputs.units},
        parties=frozenset({one.party for one in inputs.occupancies} | {OWNER}),
        owner=OWNER,
        currency="CNY",
    )
    season = {"months": list(range(1, 13)), **prices["hours"]}
    version = {"id": "v-1", "from": "2026-01-01", "rates": prices["rates"], "seasons": [season]}
    common = {"names": {"zh": "池", "en": "pool"}, "measure": "import", "from": "2026-01-01"}
    document: dict[str, Any] = {
        "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
        "pools": {"format": 1, "pools": [{**common, **pool} for pool in pools or POOLS]},
        "series": {},
    }
    if loss is not None:
        document["pools"]["loss"] = dict(loss)
    return rules_from_document(document, names)


def close_site(inputs: PeriodInputs, rules: Rules | None = None) -> Run:
    """Close the period."""
    return close_period(inputs, rules or site_rules(inputs))


def loss_lines(run: Run) -> dict[str, Line]:
    """The lines of shared losses, by `unit/party` or `residual/party`."""
    return {line.id.removeprefix("loss/"): line for line in run.lines if line.pool == "loss"}


def loss_wh(run: Run) -> dict[str, int]:
    """The energy of the lines of shared losses."""
    return {one: sum(line.band_energy_wh) for one, line in loss_lines(run).items()}


class Centre:
    """A signer whose signatures nobody checks here."""

    key_id = KeyId(bytes(8))
    algorithm = Algorithm.EDDSA

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return bytes(64)


def statement_of(party: str, inputs: PeriodInputs, rules: Rules) -> StatementContent:
    """The statement of one party, read back from its octets."""
    inputs = proven(inputs, rules)
    run = close_period(inputs, rules)
    statement = seal_statement(
        run,
        inputs,
        rules,
        PartyId(party),
        booked_at=datetime(2026, 8, 1, tzinfo=UTC),
        version=1,
        gateway_keys=(),
        commitment=commit_run(run, bytes(32)),
        signer=Centre(),
    )
    return StatementContent.from_wire(decode_canonical(parse_sign1(statement.octets).payload))


def proven(inputs: PeriodInputs, rules: Rules) -> PeriodInputs:
    """The same inputs with the evidence that their metered lines need."""
    needed = evidence_needed(inputs, rules)
    return replace(inputs, evidence=tuple(_point(inputs, *key, marks) for key, marks in needed.items()))


def _point(inputs: PeriodInputs, node: str, obis: Any, marks: Any) -> PointEvidence:
    """Readings that count up what the node took, sealed in envelopes that nobody opens here."""
    registers = np.concatenate([[0], np.cumsum(inputs.import_wh[inputs.row(NodeId(node))])])
    readings = [
        PointReading(inputs.mark(i), MeterId(node), int(wh), EnvelopeRef(GatewayId("gw"), 1, i, bytes(32)))
        for i, wh in enumerate(registers)
    ]
    hung = Installation(MeterId(node), None, None, 1, None, None, None, None)
    return PointEvidence(NodeId(node), obis, (hung,), pick_readings(marks, readings))
