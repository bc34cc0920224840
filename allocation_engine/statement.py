"""Seals the statement of one party: its lines, how each came about, and which sealed readings prove it.

A statement carries nothing of other parties but what its own lines need: the cost and weights of shared pools, and the
readings at the ends of its own spans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter

from allocation_engine.canonical_parts import join_list, join_map
from allocation_engine.caps import ComplianceCheck
from allocation_engine.collector import collector_paused
from allocation_engine.commitment import Commitment
from allocation_engine.errors import PeriodNotReady
from allocation_engine.evidence import EnvelopeRef
from allocation_engine.evidence_shelf import Shelves
from allocation_engine.inputs import PeriodInputs
from allocation_engine.party_evidence import PartyEvidence
from allocation_engine.pool_facts import stated_pool
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules import Rules
from allocation_engine.run import Run
from allocation_engine.statement_content import STATEMENT_OCTETS_MAX, GatewayKey, StatementContent
from allocation_engine.taxes import TaxShown
from metering.envelope import Signer, encode, sign1
from metering.identity import GatewayId, MeterId, PartyId

__all__ = ["GatewayKey", "Sealer", "Statement", "StatementFrame", "seal_statement"]


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
    """Seals the statements of a run: whatever is the same for all parties is found, and encoded, once.

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
        self._run, self._commitment, self._signer = run, commitment, signer
        self._evidence = PartyEvidence(run, inputs, rules)
        self._keys: dict[tuple[GatewayId, int], list[GatewayKey]] = {}
        for key in frame.gateway_keys:
            self._keys.setdefault((key.gateway, key.epoch), []).append(key)
        self._taxes: dict[PartyId, list[TaxShown]] = {}
        for tax in run.taxes:
            self._taxes.setdefault(tax.party, []).append(tax)
        self._checks: dict[PartyId | None, list[tuple[int, ComplianceCheck]]] = {}
        for place, check in enumerate(run.checks):
            self._checks.setdefault(check.party, []).append((place, check))
        self._pools = {pool.id: stated_pool(pool, commitment.roots[pool.id]) for pool in run.pools}
        self._alike = StatementContent(
            number="",
            version=frame.version,
            booked_at=frame.booked_at,
            site=run.site,
            label=run.label,
            zone=run.zone,
            period=run.period,
            party=inputs.owner,
            currency=run.currency,
            total_minor=0,
            engine_version=run.engine_version,
            run_id=bytes.fromhex(run.id),
            inputs_hash=run.inputs_hash,
            rules_hash=run.rules_hash,
            site_hash=run.site_hash,
            commitment=commitment.root,
            bands=run.bands,
            band_runs=PricedPeriod.of(inputs, *rules.prices.tariffs).band_runs(),
            pools=(),
            lines=(),
            points=(),
            evidence=(),
            keys=(),
            warnings=run.warnings,
        )
        self._encoded_alike = {name: encode(part) for name, part in self._alike.alike_to_wire().items()}
        self._shelves = Shelves()
        self._encoded_pools = {pool.id: encode(pool.to_wire()) for pool in self._pools.values()}

    @collector_paused()
    def seal(self, party: PartyId) -> Statement:
        """Seal the statement of `party`: number `<site>-<label>-<party>-v<version>`.

        Raises PeriodNotReady where the evidence of a metered line is missing, or a statement is too large.
        """
        content = self._content(party)
        octets = sign1(self._octets(content), self._signer)
        if len(octets) > STATEMENT_OCTETS_MAX:
            raise PeriodNotReady((f"statement {content.number} has {len(octets)} octets; split the party's units",))
        meters = frozenset[MeterId]().union(*(point.meters for point in content.points))
        proof = self._commitment.open(content.lines).to_octets()
        return Statement(content.number, party, content.total_minor, octets, proof, content.evidence, meters)

    def _octets(self, content: StatementContent) -> bytes:
        """Encode what is the party's own and put it together with what it has in common with others."""
        own = {name: encode(part) for name, part in content.own_to_wire().items()}
        shelf = self._shelves.of(content.points)
        parts = {
            "pools": join_list([self._encoded_pools[pool.id] for pool in content.pools]),
            "points": join_list([shelf.encode_point(point) for point in content.points]),
            "evidence": shelf.octets,
        }
        return join_map({**self._encoded_alike, **own, **parts})

    def _content(self, party: PartyId) -> StatementContent:
        run, alike = self._run, self._alike
        lines = run.lines_of(party)
        owned = {line.pool for line in lines}
        points = self._evidence.of(lines)
        evidence = self._shelves.of(points).refs
        checks = sorted((*self._checks.get(None, ()), *self._checks.get(party, ())), key=itemgetter(0))
        return replace(
            alike,
            number=f"{run.site}-{run.label}-{party}-v{alike.version}",
            party=party,
            total_minor=run.total_minor(party),
            pools=tuple(pool for pool in self._pools.values() if pool.id in owned),
            lines=lines,
            points=points,
            evidence=evidence,
            keys=self._keys_of(evidence),
            taxes=tuple(self._taxes.get(party, ())),
            checks=tuple(check for _, check in checks),
        )

    def _keys_of(self, evidence: Iterable[EnvelopeRef]) -> tuple[GatewayKey, ...]:
        chains = {(ref.gateway, ref.epoch) for ref in evidence}
        keys = {key.key_id: key for chain in sorted(chains) for key in self._keys.get(chain, ())}
        return tuple(keys[key_id] for key_id in sorted(keys))
