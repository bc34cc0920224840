"""The signed statement of one party: lines, how each came about, and which sealed readings prove it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allocation_engine.evidence import EnvelopeRef
from allocation_engine.inputs import PeriodInputs
from allocation_engine.rules import Rules
from allocation_engine.run import Run
from metering.envelope import Algorithm, Signer
from metering.identity import GatewayId, KeyId, PartyId


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A public key the registry binds to a gateway's epoch: what evidence must be signed with."""

    gateway: GatewayId
    epoch: int
    key_id: KeyId
    algorithm: Algorithm
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """A sealed statement. `octets` is a COSE_Sign1 of the centre; `evidence` names the envelopes it rests on."""

    number: str
    party: PartyId
    total_minor: int
    octets: bytes
    evidence: tuple[EnvelopeRef, ...]


def seal_statement(
    run: Run,
    inputs: PeriodInputs,
    rules: Rules,
    party: PartyId,
    *,
    booked_at: datetime,
    version: int,
    gateway_keys: tuple[GatewayKey, ...],
    signer: Signer,
) -> Statement:
    """Seal the statement of `party`: number `<site>-<label>-<party>-v<version>`."""
    raise NotImplementedError
