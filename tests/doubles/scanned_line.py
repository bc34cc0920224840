"""Lines to scan in no time: meters of shipped models on a virtual wire, and what a scan of them gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from device_profiles.catalogue import Catalogue
from device_profiles.living_registers import LivingRegisters
from device_profiles.misbehaviour import Misbehaviour
from device_profiles.profile import Profile, Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from edge_agent.arbiter import Arbiter
from edge_agent.scanning.result import ExpectedMeter, FoundMeter, ScanProgress, ScanResult
from edge_agent.scanning.scan import scan
from metering.identity import GatewayId, MeterId, PortId
from provisioning.site import Parity, SerialPort
from tests.doubles.virtual_wire import VirtualWire

CATALOGUE = Catalogue.shipped()
PORT = SerialPort(PortId("line-a"), GatewayId("gw-a"), "/dev/null", 9600, Parity.NONE, 1, 60)
WALL_S = 1_782_864_000
USUAL, SLOW = Speed(9600, "N"), Speed(2400, "E")


@dataclass(frozen=True)
class SomeModels:
    """A catalogue that knows less than the shipped one."""

    profiles: tuple[Profile, ...]

    def by_id(self, profile_id: str) -> Profile:
        """Find a model."""
        return next(each for each in self.profiles if each.id == profile_id)


def on_line(
    profile_id: str,
    address: str,
    speed: Speed | None = USUAL,
    *,
    serial: int | None = None,
    turnaround_ms: int = 30,
    protocol: Protocol | None = None,
    seed: str = "",
) -> LineMeter:
    """One meter on a line, set as told."""
    profile = CATALOGUE.by_id(profile_id)
    spoken = protocol or next(iter(profile.links))
    ways = Misbehaviour(turnaround_ms=turnaround_ms)
    meter = SimulatedMeter(MeterId(f"m-{address}"), profile, spoken, address, serial)
    return LineMeter(meter, LivingRegisters(profile, f"{seed}{profile_id}{address}{serial}", WALL_S), ways, speed)


class ScannedLine:
    """A line of meters, and scans of it."""

    def __init__(self, meters: Iterable[LineMeter], **how: Any) -> None:
        self.meters = list(meters)
        self.wire = VirtualWire(TimedLine(self.meters, USUAL, "seed", **how))
        self.told: list[ScanProgress] = []

    def bus(self) -> Arbiter:
        """Give the line's arbiter, opened."""
        bus = self.wire.bus(PORT.line)
        bus.open()
        return bus

    def scan(self, expected: Sequence[ExpectedMeter] = (), catalogue: Any = CATALOGUE, **how: Any) -> ScanResult:
        """Scan it."""
        return scan(PORT, catalogue, expected, self.told.append, bus=self.bus(), clock=self.wire, **how)


def where(found: Iterable[FoundMeter]) -> set[tuple[str, str, int, str]]:
    """Give protocol, address, speed and parity of each meter."""
    return {
        (each.protocol.value, each.address, each.line.baud, each.line.parity.value)
        for each in found
        if each.line is not None
    }
