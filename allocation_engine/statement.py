"""Seals the statement of one party: its lines, how each came about, and which sealed readings prove it.

A statement carries nothing of other parties but what its own lines need: the cost and weights of shared pools, and the
readings at the ends of its own spans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from allocation_engine.commitment import Commitment
from allocation_engine.errors import PeriodNotReady
from allocation_engine.evidence import EnvelopeRef, PointEvidence, pick_readings
from allocation_engine.inputs import PeriodInputs
from allocation_engine.metered import price_changes, span_marks
from allocation_engine.pool_facts import stated_pool
from allocation_engine.pools import Measure
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules
from allocation_engine.run import Line, MeteredTrace, Run
from allocation_engine.statement_content import GatewayKey, StatementContent
from metering.envelope import ENVELOPE_OCTETS_MAX, Signer, encode, sign1
from metering.identity import MeterId, NodeId, PartyId
from metering.obis import Obis

__all__ = ["GatewayKey", "Statement", "seal_statement"]


@dataclass(frozen=True, slots=True)
class Statement:
    """A sealed statement, and what lets its party check it.

    octets     COSE_Sign1 of the centre
    proof      that its lines are in the run's commitment; not signed, since it leads to the signed roots or nowhere
    evidence   the envelopes it rests on
    meters     the meters whose readings it rests on: nothing else of those envelopes need be shown
    """

    number: str
    party: PartyId
    total_minor: int
    octets: bytes
    proof: bytes
    evidence: tuple[EnvelopeRef, ...]
    meters: frozenset[MeterId]


def seal_statement(
    run: Run,
    inputs: PeriodInputs,
    rules: Rules,
    party: PartyId,
    *,
    booked_at: datetime,
    version: int,
    gateway_keys: Iterable[GatewayKey],
    commitment: Commitment,
    signer: Signer,
) -> Statement:
    """Seal the statement of `party`: number `<site>-<label>-<party>-v<version>`.

    inputs, rules   those that `run` came from
    gateway_keys    of the registry; those of other gateways and epochs than the evidence's are left out
    commitment      of `run`
    Raises          PeriodNotReady where the evidence of a metered line is missing
    """
    lines = run.lines_of(party)
    owned = {line.pool for line in lines}
    points = _points(inputs, lines, run, rules)
    evidence = tuple(sorted({one.envelope for point in points for one in point.readings if one.envelope is not None}))
    chains = {(ref.gateway, ref.epoch) for ref in evidence}
    keys = {key.key_id: key for key in gateway_keys if (key.gateway, key.epoch) in chains}
    content = StatementContent(
        number=f"{run.site}-{run.label}-{party}-v{version}",
        version=version,
        booked_at=booked_at,
        site=run.site,
        label=run.label,
        zone=run.zone,
        period=run.period,
        party=party,
        currency=run.currency,
        total_minor=run.total_minor(party),
        engine_version=run.engine_version,
        run_id=bytes.fromhex(run.id),
        inputs_hash=run.inputs_hash,
        rules_hash=run.rules_hash,
        site_hash=run.site_hash,
        commitment=commitment.root,
        bands=run.bands,
        band_runs=PricedPeriod.of(inputs, *rules.prices.tariffs).band_runs(),
        pools=tuple(stated_pool(pool, commitment.roots[pool.id]) for pool in run.pools if pool.id in owned),
        lines=lines,
        points=points,
        evidence=evidence,
        keys=tuple(keys[key_id] for key_id in sorted(keys)),
        warnings=run.warnings,
        taxes=tuple(tax for tax in run.taxes if tax.party == party),
        checks=tuple(check for check in run.checks if check.party in (None, party)),
    )
    octets = sign1(encode(content.to_wire()), signer)
    if len(octets) > ENVELOPE_OCTETS_MAX:
        raise PeriodNotReady((f"statement {content.number} has {len(octets)} octets; split the party's units",))
    meters = frozenset(one.meter for point in points for one in point.readings)
    proof = commitment.open(lines).to_octets()
    return Statement(content.number, party, content.total_minor, octets, proof, evidence, meters)


def _points(inputs: PeriodInputs, lines: Iterable[Line], run: Run, rules: Rules) -> tuple[PointEvidence, ...]:
    """Pick, from the evidence of the period, what proves these lines."""
    changes = {pool.id: price_changes(rules.prices.tariff(pool.tariff), inputs) for pool in run.pools}
    marks: dict[tuple[NodeId, Obis], set[int]] = {}
    for line in lines:
        if isinstance(line.trace, MeteredTrace):
            for node in (*line.trace.nodes, *line.trace.deduct):
                for first, end in line.trace.spans:
                    for obis in Measure(line.trace.measure).registers:
                        wanted = span_marks(inputs, node, changes[line.pool], first, end)
                        marks.setdefault((node, obis), set()).update(wanted)
    held = {(point.node, point.obis): point for point in inputs.evidence}
    missing = tuple(f"no evidence for {obis} of {node}" for node, obis in sorted(marks) if (node, obis) not in held)
    if missing:
        raise PeriodNotReady(missing)
    points = []
    for key, wanted in sorted(marks.items()):
        point = held[key]
        readings = pick_readings((inputs.mark(index) for index in sorted(wanted)), point.readings)
        if any(one.envelope is None for one in readings):
            raise PeriodNotReady((f"readings of {key[0]} are given without the envelopes they are sealed in",))
        points.append(PointEvidence(point.node, point.obis, point.installations, readings))
    return tuple(points)
