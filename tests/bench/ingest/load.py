"""What the benches send: gateways of many meters, their envelopes sealed beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ingest.ports import Arrival
from metering.envelope import Envelope, chain_digest
from metering.identity import GatewayId, MeterId
from metering.interval import SLOT
from metering.reading import MeterReading, ReadQuality
from provisioning.site import ALWAYS, Span
from tests.conftest import MARK
from tests.doubles.chains import PROFILES, Gateway

PROFILE = sorted(PROFILES)[0]


@dataclass(frozen=True)
class Fleet:
    """`gateways` gateways of `meters` meters each; every envelope holds one sweep of two registers a meter."""

    name: str
    gateways: int
    meters: int

    def all(self) -> list[FleetGateway]:
        """Give them."""
        return [FleetGateway(f"{self.name}-{number:03d}", 1, self.meters) for number in range(self.gateways)]

    def wirings(self) -> dict[GatewayId, dict[MeterId, Span]]:
        """Which gateway reads which meters."""
        return {gateway.id: dict.fromkeys(gateway.names, ALWAYS) for gateway in self.all()}


@dataclass(frozen=True)
class FleetGateway(Gateway):
    """One of them."""

    meters: int = 96

    @property
    def names(self) -> list[MeterId]:
        """Its meters."""
        return [MeterId(f"m-{self.name}-{number:03d}") for number in range(self.meters)]

    def envelope(self, seq: int, previous_hash: bytes, mark: datetime | None = None) -> Envelope:
        """One sweep: 40 ms a meter, two registers that rise."""
        envelope = super().envelope(seq, previous_hash, mark)
        at = MARK + (seq - 1) * SLOT if mark is None else mark
        readings = tuple(
            MeterReading(
                meter,
                PROFILE,
                0,
                at + timedelta(milliseconds=40 * place),
                at + timedelta(milliseconds=40 * place + 35),
                ReadQuality.MEASURED,
                (1_000_000 + 7919 * place + 13 * seq, 17 * place + seq),
            )
            for place, meter in enumerate(self.names)
        )
        return replace(envelope, readings=readings)


def interleaved(gateways: list[FleetGateway], length: int) -> list[Arrival]:
    """The chains of all gateways, mark by mark, as they come on a working day."""
    chains = [gateway.chain(length) for gateway in gateways]
    return [chain[step] for step in range(length) for chain in chains]


def digest(arrivals: list[Arrival]) -> str:
    """Names the load, so that two runs can be told to be of the same."""
    return chain_digest(arrivals[-1].octets).hex()[:8]
