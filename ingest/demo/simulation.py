"""The world as one program: a site's meters on their wires, played time, and the lines that are cut.

The program keeps no state and may be killed at any moment: started again with the same words, it shows the same world.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.simulator import ModbusTcpPort, SerialLine
from ingest.demo.cutter import Cutter
from ingest.demo.loads_file import Play
from ingest.demo.time_server import PlayedTime, TimeServer
from ingest.demo.world import PlayedRegisters
from metering.errors import MeteringError
from metering.identity import GatewayId, PortId
from provisioning.site import Port, SerialPort, Site


class PlaceMissing(MeteringError):
    """A port of the site, and nobody has said where its meters are to answer."""


@dataclass(frozen=True, slots=True)
class CuttableLine:
    """A gateway's line to the broker: the local TCP port the gateway connects to, and the broker's."""

    port: int
    target_port: int


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where the world answers on this machine.

    places  of each port of the site: a path for a serial line, `host:port` for Modbus TCP
    lines   of the gateways whose line to the broker leads through the world
    """

    time_port: int
    places: Mapping[PortId, str]
    lines: Mapping[GatewayId, CuttableLine]


@contextmanager
def simulated_world(site: Site, play: Play, catalogue: Catalogue, wiring: Wiring) -> Iterator[None]:
    """Let the site's meters answer, time run and lines stand, until left. Raises PlaceMissing, OSError."""
    registers = {gateway.id: PlayedRegisters(play, site, gateway.id, catalogue) for gateway in site.gateways}
    cutters = {gateway: Cutter(line.port, line.target_port) for gateway, line in wiring.lines.items()}

    def set_cuts(gateway: GatewayId, instant: datetime) -> None:
        cutter = cutters.get(gateway)
        if cutter is not None:
            cutter.set_cut(any(instant in cut.span for cut in play.offline if cut.gateway == gateway))

    with ExitStack() as stack:
        for port in site.read_ports:
            stack.enter_context(_wire(site, port, registers[port.gateway], catalogue, wiring))
        time_server = TimeServer(PlayedTime(registers, set_cuts), wiring.time_port)
        servers: tuple[Cutter | TimeServer, ...] = (*cutters.values(), time_server)
        for server in servers:
            server.start()
            stack.callback(server.close)
        yield


def _wire(
    site: Site, port: Port, registers: PlayedRegisters, catalogue: Catalogue, wiring: Wiring
) -> SerialLine | ModbusTcpPort:
    """Put the meters of one port on its wire."""
    place = wiring.places.get(port.id)
    if place is None:
        raise PlaceMissing(f"port {port.id} has no place; give --place {port.id}=PATH or {port.id}=HOST:PORT")
    meters = [
        SimulatedMeter(meter.id, catalogue.by_id(meter.profile), meter.protocol, meter.address)
        for meter in site.meters
        if meter.port == port.id
    ]
    if isinstance(port, SerialPort):
        return SerialLine(Path(place), meters, registers)
    host, _, number = place.rpartition(":")
    return ModbusTcpPort(meters, registers, host=host, port=int(number))
