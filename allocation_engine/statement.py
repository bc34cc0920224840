"""Seals the statement of one party: its lines, how each came about, and which sealed readings prove it.

A statement carries nothing of other parties but what its own lines need: the cost and weights of shared pools, and the
readings at the ends of its own spans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import TypeVar

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
from allocation_engine.statement_content import STATEMENT_OCTETS_MAX, GatewayKey, StatedPool, StatementContent
from allocation_engine.taxes import TaxShown
from metering.envelope import Signer, encode, sign1
from metering.identity import GatewayId, MeterId, NodeId, PartyId
from metering.obis import Obis

__all__ = ["GatewayKey", "Sealer", "Statement", "StatementFrame", "seal_statement"]

Owned = TypeVar("Owned", Line, TaxShown)


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
    """Seal the statement of one party; see `Sealer`."""
    frame = StatementFrame(booked_at, version, tuple(gateway_keys))
    return Sealer(run, inputs, rules, frame, commitment, signer).seal(party)


@dataclass(frozen=True, slots=True)
class StatementFrame:
    """What all statements of a run have in common beside the run.

    gateway_keys   of the registry; those of other gateways and epochs than a statement's evidence are left out
    """

    booked_at: datetime
    version: int
    gateway_keys: tuple[GatewayKey, ...]


class Sealer:
    """Seals the statements of a run: whatever is the same for all parties is found once.

    run, inputs, rules   what the run came from
    commitment           of the run
    """

    def __init__(
        self,
        run: Run,
        inputs: PeriodInputs,
        rules: Rules,
        frame: StatementFrame,
        commitment: Commitment,
        signer: Signer,
    ) -> None:
        self._run, self._inputs, self._frame = run, inputs, frame
        self._commitment, self._signer = commitment, signer
        self._lines = _by_party(run.lines)
        self._taxes = _by_party(run.taxes)
        self._marks = [inputs.mark(index) for index in range(inputs.slot_count + 1)]
        self._held = {(point.node, point.obis): point for point in inputs.evidence}
        changes = {tariff.id: price_changes(tariff, inputs) for tariff in rules.prices.tariffs}
        self._changes = {pool.id: changes[rules.prices.tariff(pool.tariff).id] for pool in run.pools}
        self._band_runs = PricedPeriod.of(inputs, *rules.prices.tariffs).band_runs()
        self._keys: dict[tuple[GatewayId, int], list[GatewayKey]] = {}
        for key in frame.gateway_keys:
            self._keys.setdefault((key.gateway, key.epoch), []).append(key)

    def seal(self, party: PartyId) -> Statement:
        """Seal the statement of `party`: number `<site>-<label>-<party>-v<version>`.

        Raises PeriodNotReady where the evidence of a metered line is missing.
        """
        run = self._run
        lines = self._lines.get(party, ())
        points = self._points(lines)
        evidence = _refs(points)
        content = StatementContent(
            number=f"{run.site}-{run.label}-{party}-v{self._frame.version}",
            version=self._frame.version,
            booked_at=self._frame.booked_at,
            site=run.site,
            label=run.label,
            zone=run.zone,
            period=run.period,
            party=party,
            currency=run.currency,
            total_minor=sum(line.amount_minor for line in lines),
            engine_version=run.engine_version,
            run_id=bytes.fromhex(run.id),
            inputs_hash=run.inputs_hash,
            rules_hash=run.rules_hash,
            site_hash=run.site_hash,
            commitment=self._commitment.root,
            bands=run.bands,
            band_runs=self._band_runs,
            pools=self._pools(lines),
            lines=lines,
            points=points,
            evidence=evidence,
            keys=self._keys_of(evidence),
            warnings=run.warnings,
            taxes=self._taxes.get(party, ()),
            checks=tuple(check for check in run.checks if check.party in (None, party)),
        )
        octets = sign1(encode(content.to_wire()), self._signer)
        if len(octets) > STATEMENT_OCTETS_MAX:
            raise PeriodNotReady((f"statement {content.number} has {len(octets)} octets; split the party's units",))
        meters = frozenset(one.meter for point in points for one in point.readings)
        proof = self._commitment.open(lines).to_octets()
        return Statement(content.number, party, content.total_minor, octets, proof, evidence, meters)

    def _pools(self, lines: Iterable[Line]) -> tuple[StatedPool, ...]:
        owned = {line.pool for line in lines}
        return tuple(stated_pool(pool, self._commitment.roots[pool.id]) for pool in self._run.pools if pool.id in owned)

    def _keys_of(self, evidence: Iterable[EnvelopeRef]) -> tuple[GatewayKey, ...]:
        chains = {(ref.gateway, ref.epoch) for ref in evidence}
        keys = {key.key_id: key for chain in sorted(chains) for key in self._keys.get(chain, ())}
        return tuple(keys[key_id] for key_id in sorted(keys))

    def _points(self, lines: Iterable[Line]) -> tuple[PointEvidence, ...]:
        """Pick, from the evidence of the period, what proves these lines."""
        marks: dict[tuple[NodeId, Obis], set[int]] = {}
        for line in lines:
            if isinstance(line.trace, MeteredTrace):
                for node in (*line.trace.nodes, *line.trace.deduct):
                    for first, end in line.trace.spans:
                        wanted = span_marks(self._inputs, node, self._changes[line.pool], first, end)
                        for obis in Measure(line.trace.measure).registers:
                            marks.setdefault((node, obis), set()).update(wanted)
        missing = sorted(key for key in marks if key not in self._held)
        if missing:
            raise PeriodNotReady(tuple(f"no evidence for {obis} of {node}" for node, obis in missing))
        return tuple(self._point(self._held[key], wanted) for key, wanted in sorted(marks.items()))

    def _point(self, held: PointEvidence, wanted: Iterable[int]) -> PointEvidence:
        marks = [self._marks[index] for index in sorted(wanted)]
        is_whole = [one.mark for one in held.readings] == marks
        readings = held.readings if is_whole else pick_readings(marks, held.readings)
        if any(one.envelope is None for one in readings):
            raise PeriodNotReady((f"readings of {held.node} are given without the envelopes they are sealed in",))
        return held if is_whole else replace(held, readings=readings)


def _by_party(items: Iterable[Owned]) -> dict[PartyId, tuple[Owned, ...]]:
    """Sort lines, or whatever else a party has, by party; each in the order given."""
    found: dict[PartyId, list[Owned]] = {}
    for one in items:
        found.setdefault(one.party, []).append(one)
    return {party: tuple(each) for party, each in found.items()}


def _refs(points: Iterable[PointEvidence]) -> tuple[EnvelopeRef, ...]:
    """Give the envelopes behind readings, sorted. By plain tuples, which compare and hash ten times as fast."""
    found = {
        _PLACE(one.envelope): one.envelope for point in points for one in point.readings if one.envelope is not None
    }
    return tuple(found[place] for place in sorted(found))


_PLACE = attrgetter("gateway", "epoch", "seq", "digest")
