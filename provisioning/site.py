"""The dated model of a site: what hangs below what, which meter is where, who leases what, from when to when.

A Site is one immutable object. Its document form goes into the database as one version, and the hash of that form names
the version in every allocation run. Everything dated carries a Span; ask "at" an instant, never for "the" meter of a
node. Local time stays in the site file: all instants here are UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Literal, TypeVar

from device_profiles.profile import Protocol
from metering.envelope import encode
from metering.errors import BooksError, MeteringError
from metering.identity import (
    GatewayId,
    LeaseId,
    MeterId,
    NodeId,
    PartyId,
    PortId,
    SiteId,
    UnitId,
    check_identifier,
)
from metering.interval import Interval, SiteCalendar
from metering.obis import Obis
from metering.quantity import Shown
from provisioning.document import LEFT_OUT, from_document, to_document
from provisioning.place import Place, PlaceInvalid, check_outline


class SiteInvalid(MeteringError):
    """A part of a site contradicts itself."""


class NotInSite(BooksError):
    """The site has nothing of this kind and name."""


@dataclass(frozen=True, slots=True)
class Span:
    """The instants t with `start` <= t < `end`; None leaves that side open."""

    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        for side in ("start", "end"):
            instant = getattr(self, side)
            if instant is not None:
                if instant.tzinfo is None:
                    raise SiteInvalid(f"the {side} of a span must carry a time zone")
                object.__setattr__(self, side, instant.astimezone(UTC))
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise SiteInvalid(f"the end {self.end} is not after the start {self.start}")

    def __contains__(self, instant: datetime) -> bool:
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)

    def overlaps(self, other: Span) -> bool:
        """Say whether any instant lies in both."""
        return _before(self.start, other.end) and _before(other.start, self.end)

    def within(self, interval: Interval) -> Interval | None:
        """Give the part of `interval` that lies in this span, or None where there is none."""
        start = interval.start if self.start is None else max(self.start, interval.start)
        end = interval.end if self.end is None else min(self.end, interval.end)
        return Interval(start, end) if start < end else None


ALWAYS = Span()
RATIO_MAX = 100_000
"""Of a transformer: 110 kV to 100 V is 1,100, and 5,000 A to 1 A is 5,000."""


def _before(start: datetime | None, end: datetime | None) -> bool:
    return start is None or end is None or start < end


@dataclass(frozen=True, slots=True)
class Names:
    """What people call a thing, in Chinese and in English."""

    zh: str
    en: str

    def of(self, language: str) -> str:
        """Give the name in `language` ("zh" or "en")."""
        return self.zh if language == "zh" else self.en


class NodeKind(StrEnum):
    """What a metering point is in the tree."""

    MAIN = "main"
    """Where the site is supplied; it has no parent."""
    BRANCH = "branch"
    """Has nodes below it, whose sum is compared with it."""
    END = "end"
    """A load; nothing below it."""
    GENERATION = "generation"
    """A source such as solar; nothing below it."""


_ACCURACY_PPM = {"0.1": 1_000, "0.2": 2_000, "0.5": 5_000, "1": 10_000, "1.5": 15_000, "2": 20_000, "3": 30_000}
_ACCURACY_PPM |= {"0.1S": 1_000, "0.2S": 2_000, "0.5S": 5_000, "A": 20_000, "B": 10_000, "C": 5_000, "D": 2_000}
ACCURACY_CLASSES = tuple(_ACCURACY_PPM)
"""Classes of GB/T 17215 (IEC 62053) and, as letters, of EN 50470-3 and GB/T 17215.211-2021."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Below which node a node hangs during a span."""

    parent: NodeId
    span: Span


@dataclass(frozen=True, slots=True)
class Node:
    """A metering point of the tree. `placements` follow one another in time; the main node has none.

    outline   of the building it meters: corners (latitude, longitude) [10^-7 degree], in order round it
    """

    id: NodeId
    kind: NodeKind
    placements: tuple[Placement, ...]
    names: Names
    accuracy_class: str
    outline: tuple[tuple[int, int], ...] | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        check_identifier(self.id)
        if self.outline is not None:
            object.__setattr__(self, "outline", tuple(tuple(point) for point in self.outline))
            try:
                check_outline(self.outline)
            except PlaceInvalid as error:
                raise SiteInvalid(f"node {self.id}: {error}") from error
        if self.accuracy_class not in _ACCURACY_PPM:
            raise SiteInvalid(f"{self.accuracy_class!r} is no accuracy class; known: {', '.join(ACCURACY_CLASSES)}")

    @property
    def accuracy_ppm(self) -> int:
        """Largest relative error of the class at its reference conditions [parts per million of the energy]."""
        return _ACCURACY_PPM[self.accuracy_class]

    def parent_at(self, instant: datetime) -> NodeId | None:
        """Give the node this one hangs below at `instant`; None for a main node."""
        return next((placement.parent for placement in self.placements if instant in placement.span), None)


class Parity(StrEnum):
    """Parity bit of a serial line."""

    EVEN = "E"
    ODD = "O"
    NONE = "N"


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How octets go over a line: speed [bit/s], parity, stop bits.

    databits   None for the usual 8
    gap_ms     silence that meters set so need after the line was switched to it [ms], None for 3.5 characters
    """

    baud: int
    parity: Parity
    stopbits: int
    databits: int | None = field(default=None, metadata=LEFT_OUT)
    gap_ms: int | None = field(default=None, metadata=LEFT_OUT)

    @property
    def data_bits(self) -> int:
        """Bits of an octet on the wire."""
        return self.databits or 8

    @property
    def char_s(self) -> float:
        """Time of one character: start bit, data bits, parity, stop bits [s]."""
        return (1 + self.data_bits + (0 if self.parity is Parity.NONE else 1) + self.stopbits) / self.baud


@dataclass(frozen=True, slots=True)
class Meter:
    """One installed meter: a device at one place of the tree and of the wiring, during `span`.

    address   on its line: decimal Modbus unit id ("17"), or the 12 digits of DL/T 645 as printed on the meter
    ct, pt    transformer ratios, whole numbers; register differences are multiplied by ct x pt
    line      how it is spoken to where that is not how its port is set
    place     where it hangs
    """

    id: MeterId
    serial: str
    profile: str
    protocol: Protocol
    port: PortId
    address: str
    node: NodeId
    span: Span
    ct: int
    pt: int
    line: LineSettings | None = field(default=None, metadata=LEFT_OUT)
    place: Place | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        check_identifier(self.id)
        if not 1 <= self.ct <= RATIO_MAX or not 1 <= self.pt <= RATIO_MAX:
            raise SiteInvalid(f"meter {self.id}: ct and pt are whole numbers from 1 to {RATIO_MAX}")

    @property
    def multiplier(self) -> int:
        """What a register difference is multiplied by: ct x pt."""
        return self.ct * self.pt


@dataclass(frozen=True, slots=True)
class Exchange:
    """A declared replacement of meter `old` by `new` at `node`: the last and the first reading of one register.

    at              when; the end of `old` and the start of `new`
    final, initial  what the old register showed at removal and the new one at fitting, before ct x pt
    obis            which register; a meter whose export counts too needs a second declaration
    """

    node: NodeId
    old: MeterId
    new: MeterId
    at: datetime
    final: Shown
    initial: Shown
    obis: Obis


@dataclass(frozen=True, slots=True)
class Unit:
    """A lettable unit: `area_cm2` [cm2], in the building metered by node `building`, its own meter at `node`."""

    id: UnitId
    building: NodeId
    area_cm2: int
    node: NodeId
    names: Names

    def __post_init__(self) -> None:
        check_identifier(self.id)
        if self.area_cm2 <= 0:
            raise SiteInvalid(f"unit {self.id} has no area")


class PartyKind(StrEnum):
    """Who a party is to the site."""

    OWNER = "owner"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Party:
    """Someone who pays."""

    id: PartyId
    kind: PartyKind
    names: Names

    def __post_init__(self) -> None:
        check_identifier(self.id)


@dataclass(frozen=True, slots=True)
class Lease:
    """`party` owes for `unit` during `span`; a unit without a lease is vacant and the owner's."""

    id: LeaseId
    party: PartyId
    unit: UnitId
    span: Span

    def __post_init__(self) -> None:
        check_identifier(self.id)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A machine that reads meters and signs."""

    id: GatewayId
    names: Names

    def __post_init__(self) -> None:
        check_identifier(self.id)


@dataclass(frozen=True, slots=True)
class SerialPort:
    """An RS-485 line of a gateway; `tolerance_s` is how late after the mark an answer still belongs to it [s].

    freeze   True: meters that can are told to freeze their registers at each mark, and the frozen ones are read
    """

    kind: Literal["serial"] = field(default="serial", init=False)
    id: PortId
    gateway: GatewayId
    device: str
    baud: int
    parity: Parity
    stopbits: int
    tolerance_s: int
    freeze: bool | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        check_identifier(self.id)

    @property
    def line(self) -> LineSettings:
        """How octets go over the line unless a meter says otherwise."""
        return LineSettings(self.baud, self.parity, self.stopbits)

    def at(self, place: str) -> SerialPort:
        """Give the same line on another device path."""
        return replace(self, device=place)


@dataclass(frozen=True, slots=True)
class TcpPort:
    """A Modbus TCP endpoint a gateway reads; `tolerance_s` as for a serial line [s]."""

    kind: Literal["modbus-tcp"] = field(default="modbus-tcp", init=False)
    id: PortId
    gateway: GatewayId
    host: str
    port: int
    tolerance_s: int

    def __post_init__(self) -> None:
        check_identifier(self.id)

    def at(self, place: str) -> TcpPort:
        """Give the same endpoint at another `host:port`; raises SiteInvalid for another form."""
        host, number = _endpoint(self.id, place)
        return replace(self, host=host, port=number)


@dataclass(frozen=True, slots=True)
class StreamPort:
    """Octets over TCP as they are: a transparent serial converter, or a meter with a network interface of its own.

    line     how the line behind a converter is set, by the converter itself; None where there is none
    freeze   as for a serial line
    """

    kind: Literal["tcp"] = field(default="tcp", init=False)
    id: PortId
    gateway: GatewayId
    host: str
    port: int
    tolerance_s: int
    line: LineSettings | None = None
    freeze: bool | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        check_identifier(self.id)

    def at(self, place: str) -> StreamPort:
        """Give the same endpoint at another `host:port`; raises SiteInvalid for another form."""
        host, number = _endpoint(self.id, place)
        return replace(self, host=host, port=number)


class Bias(StrEnum):
    """What holds a pulse input at its resting level: a resistor of the GPIO chip, or nothing of the gateway's."""

    AS_IS = "as-is"
    PULL_UP = "pull-up"
    PULL_DOWN = "pull-down"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class PulsePort:
    """Pulse inputs that the gateway itself counts; a meter's address is the number of its input.

    device       a GPIO chip (/dev/gpiochip0), or a file or FIFO that carries edges as text
    debounce_us  how long a level must hold to count [us]
    active_low   whether a closed contact pulls the input down
    """

    kind: Literal["pulse"] = field(default="pulse", init=False)
    id: PortId
    gateway: GatewayId
    device: str
    debounce_us: int
    active_low: bool
    bias: Bias
    tolerance_s: int

    def __post_init__(self) -> None:
        check_identifier(self.id)

    def at(self, place: str) -> PulsePort:
        """Give the same inputs on another device path."""
        return replace(self, device=place)


def _endpoint(port: PortId, place: str) -> tuple[str, int]:
    host, _, number = place.rpartition(":")
    if not host or not number.isdecimal():
        raise SiteInvalid(f"port {port}: {place!r} is not of the form host:port")
    return host, int(number)


@dataclass(frozen=True, slots=True)
class HandPort:
    """A round: meters without a bus, whose displays people read; `gateway` is the one at which they are installed."""

    kind: Literal["hand"] = field(default="hand", init=False)
    id: PortId
    gateway: GatewayId

    def __post_init__(self) -> None:
        check_identifier(self.id)

    def at(self, place: str) -> HandPort:
        """Give the same round: it is nowhere in particular."""
        del place
        return self


Port = SerialPort | TcpPort | StreamPort | PulsePort
"""What a gateway reads meters through."""
AnyPort = Port | HandPort

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """One version of a site. Each tuple is kept sorted by id, so that two files that say the same are equal.

    bindings   "required": a meter counts for money only with a binding that a second person approved
    """

    id: SiteId
    names: Names
    calendar: SiteCalendar
    currency: str
    nodes: tuple[Node, ...]
    meters: tuple[Meter, ...]
    exchanges: tuple[Exchange, ...]
    units: tuple[Unit, ...]
    parties: tuple[Party, ...]
    leases: tuple[Lease, ...]
    gateways: tuple[Gateway, ...]
    ports: tuple[AnyPort, ...]
    bindings: Literal["required"] | None = field(default=None, metadata=LEFT_OUT)
    _by_id: Mapping[str, Mapping[str, Any]] = field(init=False, repr=False, compare=False)
    _fitted: Mapping[NodeId, tuple[Meter, ...]] = field(init=False, repr=False, compare=False)
    _hashes: list[bytes] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        check_identifier(self.id)
        for name in _TABLES:
            object.__setattr__(self, name, tuple(sorted(getattr(self, name), key=attrgetter("id"))))
        by_time = sorted(self.exchanges, key=lambda exchange: (exchange.node, exchange.at, exchange.obis))
        object.__setattr__(self, "exchanges", tuple(by_time))
        by_id = {name: {item.id: item for item in getattr(self, name)} for name in _TABLES}
        object.__setattr__(self, "_by_id", by_id)
        fitted: dict[NodeId, list[Meter]] = {}
        for meter in sorted(self.meters, key=lambda meter: (meter.span.start is not None, meter.span.start, meter.id)):
            fitted.setdefault(meter.node, []).append(meter)
        object.__setattr__(self, "_fitted", {node: tuple(meters) for node, meters in fitted.items()})

    def to_document(self) -> dict[str, Any]:
        """Give the plain, JSON-able form; equal sites give equal documents."""
        document: dict[str, Any] = to_document(self)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, known_hash: bytes | None = None) -> Site:
        """Rebuild a site from its plain form; raises DocumentMismatch.

        known_hash   under which the site is known, where names were taken out of the document since
        """
        site = from_document(cls, document)
        if known_hash is not None:
            site._hashes.append(known_hash)
        return site

    @property
    def hash(self) -> bytes:
        """SHA-256 of the document as deterministic CBOR: names this version (32 octets)."""
        if not self._hashes:
            self._hashes.append(hashlib.sha256(encode(self.to_document())).digest())
        return self._hashes[0]

    def node(self, node: NodeId) -> Node:
        """Find a node; raises NotInSite."""
        found: Node = self._find("nodes", node)
        return found

    def meter(self, meter: MeterId) -> Meter:
        """Find a meter; raises NotInSite."""
        found: Meter = self._find("meters", meter)
        return found

    def unit(self, unit: UnitId) -> Unit:
        """Find a unit; raises NotInSite."""
        found: Unit = self._find("units", unit)
        return found

    def party(self, party: PartyId) -> Party:
        """Find a party; raises NotInSite."""
        found: Party = self._find("parties", party)
        return found

    def gateway(self, gateway: GatewayId) -> Gateway:
        """Find a gateway; raises NotInSite."""
        found: Gateway = self._find("gateways", gateway)
        return found

    def port(self, port: PortId) -> AnyPort:
        """Find a port; raises NotInSite."""
        found: AnyPort = self._find("ports", port)
        return found

    @property
    def owner(self) -> Party:
        """The party that pays for what nobody else does; raises NotInSite."""
        for party in self.parties:
            if party.kind is PartyKind.OWNER:
                return party
        raise NotInSite(f"site {self.id} has no owner")

    @property
    def read_ports(self) -> tuple[Port, ...]:
        """List the ports that gateways read: all but the rounds of people."""
        return tuple(port for port in self.ports if not isinstance(port, HandPort))

    def ports_of(self, gateway: GatewayId) -> tuple[Port, ...]:
        """List the ports a gateway reads."""
        return tuple(port for port in self.read_ports if port.gateway == gateway)

    def meters_of(self, gateway: GatewayId) -> tuple[Meter, ...]:
        """List the meters a gateway reads, whatever their span."""
        ports = {port.id for port in self.ports_of(gateway)}
        return tuple(meter for meter in self.meters if meter.port in ports)

    def meters_at(self, node: NodeId) -> tuple[Meter, ...]:
        """List the meters of a node in the order they were fitted."""
        return self._fitted.get(node, ())

    def children_at(self, node: NodeId, instant: datetime) -> Iterator[Node]:
        """Give the nodes that hang directly below `node` at `instant`."""
        return (child for child in self.nodes if child.parent_at(instant) == node)

    def gateway_of(self, meter: MeterId, instant: datetime) -> GatewayId | None:
        """Give the gateway bound to `meter` at `instant`; None if the meter is unknown or not fitted then."""
        found: Meter | None = self._by_id["meters"].get(meter)
        if found is None or instant not in found.span:
            return None
        return self.port(found.port).gateway

    def _find(self, table: str, key: str) -> Any:
        try:
            return self._by_id[table][key]
        except KeyError as error:
            raise NotInSite(f"site {self.id} has no {key!r} among its {table}") from error


_TABLES = ("nodes", "meters", "units", "parties", "leases", "gateways", "ports")
