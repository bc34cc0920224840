"""A site of three buildings with a gateway each, 60 meters of four protocols on lines that take time, all simulated.

Each meter is a `Fitted`: what the plan says of it, and what hangs there in truth. Lines are pseudo-terminals and a TCP
port; what their meters show is alive, so a display can be read off at any moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.living_registers import LivingRegisters
from device_profiles.misbehaviour import Misbehaviour
from device_profiles.profile import ChannelKind, Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from edge_agent.adapters.timed_port import PtyPort, TcpPort, TimedPort
from metering.identity import GatewayId, MeterId, NodeId, PartyId, PortId, SiteId, UnitId
from metering.interval import SiteCalendar
from metering.obis import Obis
from metering.quantity import Shown
from metering.quantity import Unit as Quantity
from provisioning.order_file import ExpectedMeter
from provisioning.place import Place
from provisioning.site import (
    Gateway,
    Names,
    Node,
    NodeKind,
    Parity,
    Party,
    PartyKind,
    Placement,
    SerialPort,
    Site,
    Span,
    Unit,
)
from provisioning.site import TcpPort as ModbusTcpEnd

CATALOGUE = Catalogue.shipped()
WALL_S = 1_795_420_800
BUILDINGS = {
    "north": (312_990_000, 1_205_850_000),
    "south": (312_980_000, 1_205_850_000),
    "west": (312_985_000, 1_205_840_000),
}
HALF_E7 = 3_000
"""Half the side of a building, about 33 m."""
HEAT_METER = "B5350104"
"""Maker, version and medium behind the number in a secondary address."""
FAST = Misbehaviour(turnaround_ms=4)


@dataclass(frozen=True, slots=True)
class Line:
    """A port: of which gateway, how it is set; `protocol` MODBUS_TCP makes it a TCP port."""

    id: str
    building: str
    speed: Speed
    protocol: Protocol | None = None

    @property
    def gateway(self) -> GatewayId:
        """The gateway it belongs to."""
        return GatewayId(f"gw-{self.building}")


MODBUS, CHINA, MBUS = Speed(19200, "N"), Speed(9600, "E"), Speed(9600, "E")
LINES = (
    Line("n-1", "north", MODBUS),
    Line("n-2", "north", CHINA),
    Line("s-1", "south", CHINA),
    Line("s-2", "south", MBUS),
    Line("w-1", "west", Speed(0), Protocol.MODBUS_TCP),
    Line("w-2", "west", CHINA),
)


@dataclass(slots=True)
class Fitted:
    """One meter: what is planned of it, and how it is found.

    serial   as its plate says and its bus tells (None: the bus does not tell it)
    """

    name: str
    line: Line
    profile: str
    protocol: Protocol
    address: str
    plate: str
    told: int | None
    ct: int = 1
    unit: UnitId | None = None
    registers: WiredRegisters = field(init=False)

    def __post_init__(self) -> None:
        self.registers = WiredRegisters(CATALOGUE.by_id(self.profile), self.name, WALL_S)

    @property
    def node(self) -> NodeId:
        """The node it is planned at."""
        return NodeId(self.name)

    @property
    def meter(self) -> MeterId:
        """Its id."""
        return MeterId(f"m-{self.name}")

    @property
    def place(self) -> Place:
        """Where it hangs: within its building, no two alike."""
        lat, lon = BUILDINGS[self.line.building]
        number = sum(self.name.encode()) % 50
        return Place(lat + 100 * number - 2_400, lon + 37 * number, 400, None)

    @property
    def counter(self) -> tuple[Obis, int, str]:
        """The first counting register of a bill, with its decimals and unit, as the display shows it."""
        channels = CATALOGUE.by_id(self.profile).group("billing").channels
        one = next(each for each in channels if each.kind is ChannelKind.COUNTER)
        return one.obis, one.exponent, one.unit.symbol

    def on_wire(self) -> LineMeter:
        """The simulated meter."""
        meter = SimulatedMeter(self.meter, CATALOGUE.by_id(self.profile), self.protocol, self.address, self.told)
        return LineMeter(meter, self.registers, FAST)


class WiredRegisters(LivingRegisters):
    """Registers of which some stand as the test sets them."""

    set_to: dict[str, int]

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the true register."""
        held: dict[str, int] = getattr(self, "set_to", {})
        return held.get(str(obis), super().register(meter, obis))


def fitted_meters() -> list[Fitted]:
    """All 60, the buildings' own first."""
    n1, n2, s1, s2, w1, w2 = LINES
    rtu, tcp = Protocol.MODBUS_RTU, Protocol.MODBUS_TCP
    meters = [Fitted("b-north", n1, "abb/b23", rtu, "1", "2340001", 2_340_001, ct=1)]
    meters += [_modbus(f"n-{number:02d}", n1, number + 1) for number in range(1, 12)]
    meters += [_china(f"n-{number:02d}", n2, number) for number in range(12, 22)]
    meters += [_china("b-south", s1, 40)]
    meters += [_china(f"s-{number:02d}", s1, number + 40) for number in range(1, 13)]
    meters += [_heat(f"h-{number:02d}", s2, number) for number in range(1, 8)]
    meters += [Fitted("b-west", w1, "eastron/sdm630", tcp, "1", "63000001", 63_000_001)]
    meters += [_over_tcp(f"w-{number:02d}", w1, number + 1) for number in range(1, 10)]
    meters += [_china(f"w-{number:02d}", w2, number + 60) for number in range(10, 18)]
    for one in meters:
        if one.node.startswith(("n-", "s-", "w-")):
            one.unit = UnitId(f"unit-{one.name}")
    return meters


def _modbus(name: str, line: Line, address: int) -> Fitted:
    serial = 63_100_000 + address
    return Fitted(name, line, "eastron/sdm630", Protocol.MODBUS_RTU, str(address), str(serial), serial)


def _over_tcp(name: str, line: Line, address: int) -> Fitted:
    serial = 63_000_000 + address
    return Fitted(name, line, "eastron/sdm630", Protocol.MODBUS_TCP, str(address), str(serial), serial)


def _china(name: str, line: Line, number: int) -> Fitted:
    address = f"{202_600_000_000 + 7 * number:012d}"
    return Fitted(name, line, "dlt645/three-phase-full", Protocol.DLT645_2007, address, address, int(address))


def _heat(name: str, line: Line, number: int) -> Fitted:
    serial = 70_000_000 + number
    return Fitted(name, line, "mbus/heat-kwh", Protocol.MBUS, f"{serial}{HEAT_METER}", str(serial), None)


def site_of(meters: list[Fitted], places: dict[str, str] | None = None) -> Site:
    """The site as the back office knows it before the installation: no meter is in it."""
    places = places or {}
    nodes = [Node(NodeId("main"), NodeKind.MAIN, (), Names("总表", "Main meter"), "0.5S")]
    nodes += [Node(NodeId("heat"), NodeKind.MAIN, (), Names("供热总表", "Heat supply"), "2")]
    for building, (lat, lon) in BUILDINGS.items():
        corners = ((-1, -1), (-1, 1), (1, 1), (1, -1))
        outline = tuple((lat + up * HALF_E7, lon + across * HALF_E7) for up, across in corners)
        below = (Placement(NodeId("main"), Span()),)
        names = Names(f"{building} 栋", f"Building {building}")
        nodes.append(Node(NodeId(f"b-{building}"), NodeKind.BRANCH, below, names, "0.5S", outline))
    for one in meters:
        if one.name.startswith("b-"):
            continue
        parent = NodeId("heat" if one.name.startswith("h-") else f"b-{one.line.building}")
        names = Names(f"{one.name} 室", f"Unit {one.name}")
        nodes.append(Node(one.node, NodeKind.END, (Placement(parent, Span()),), names, "1"))
    units = [
        Unit(one.unit, NodeId(f"b-{one.line.building}"), 500_000, one.node, Names(f"{one.name} 室", f"Unit {one.name}"))
        for one in meters
        if one.unit is not None
    ]
    gateways = [Gateway(GatewayId(f"gw-{name}"), Names(f"{name} 网关", f"Gateway {name}")) for name in BUILDINGS]
    ports = [_port(line, places.get(line.id, f"/dev/{line.id}")) for line in LINES]
    owner = Party(PartyId("owner"), PartyKind.OWNER, Names("码头资产管理", "Wharf Estates"))
    return Site(
        id=SiteId("wharf"),
        names=Names("码头园区", "The wharf"),
        calendar=SiteCalendar("Asia/Shanghai"),
        currency="CNY",
        nodes=tuple(nodes),
        meters=(),
        exchanges=(),
        units=tuple(units),
        parties=(owner,),
        leases=(),
        gateways=tuple(gateways),
        ports=tuple(ports),
    )


def _port(line: Line, place: str) -> SerialPort | ModbusTcpEnd:
    if line.protocol is Protocol.MODBUS_TCP:
        return ModbusTcpEnd(PortId(line.id), line.gateway, "127.0.0.1", 502, 5)
    return SerialPort(PortId(line.id), line.gateway, place, line.speed.baud, Parity(line.speed.parity), 1, 5)


def expected(meters: list[Fitted], gateway: str) -> list[ExpectedMeter]:
    """What the plan says of a gateway's meters."""
    return [
        ExpectedMeter(one.meter, one.node, one.unit, one.plate, one.profile, one.ct, 1, None, PortId(one.line.id))
        for one in meters
        if one.line.gateway == gateway
    ]


class WharfLine(TimedLine):
    """A line from which a meter can be taken off."""

    def take_off(self, meter: str) -> None:
        """Disconnect a meter."""
        self._meters = tuple(one for one in self._meters if one.meter.meter_id != meter)


@contextmanager
def lines_up(folder: Path, meters: list[Fitted]) -> Iterator[dict[str, TimedPort]]:
    """Have all lines answer while inside; gives them by id."""
    with ExitStack() as stack:
        yield {line.id: stack.enter_context(_line_up(folder, line, meters)) for line in LINES}


def _line_up(folder: Path, line: Line, meters: list[Fitted]) -> TimedPort:
    here = [one.on_wire() for one in meters if one.line is line]
    timed = WharfLine(here, line.speed, f"wharf {line.id}")
    if line.protocol is Protocol.MODBUS_TCP:
        return TcpPort("127.0.0.1:0", timed)
    return PtyPort(str(folder / line.id), timed)


def shown(one: Fitted, ratio: int = 1) -> str:
    """What the display of a meter shows now, every digit; `ratio` where it multiplies by its transformers."""
    obis, exponent, symbol = one.counter
    base = one.registers.register(one.meter, obis)
    assert base is not None
    mantissa = int(base * ratio / (Quantity.from_symbol(symbol).factor * Fraction(10) ** exponent))
    return str(Shown(mantissa, exponent, Quantity.from_symbol(symbol))).split()[0]
