"""What a person wrote about a site, table by table, before anyone knows whether it fits together.

Each entry keeps where it stands, so that a check across tables and files can name the line to mend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from device_profiles.profile import Protocol
from metering.errors import DocumentError, Fault
from metering.identity import GatewayId, LeaseId, MeterId, NodeId, PartyId, PortId, SiteId, UnitId
from metering.interval import CalendarInvalid, SiteCalendar
from metering.obis import ENERGY_IMPORT
from metering.toml_source import Place, TomlSource
from provisioning.site import (
    ACCURACY_CLASSES,
    ALWAYS,
    AnyPort,
    Bias,
    Exchange,
    Gateway,
    HandPort,
    Lease,
    LineSettings,
    Meter,
    Names,
    Node,
    NodeKind,
    Parity,
    Party,
    PartyKind,
    Placement,
    PulsePort,
    SerialPort,
    StreamPort,
    TcpPort,
    Unit,
)
from provisioning.toml_table import NO_NAME, TableReader

T = TypeVar("T")

SITE_FILES = SITE_FILE, GATEWAYS_FILE, LEASES_FILE = "site.toml", "gateways.toml", "leases.toml"
PORT_KINDS = ("serial", "modbus-tcp", "tcp", "pulse", "hand")
DEBOUNCE_US_MAX = 1_000_000
"""A contact that bounces for a second is broken [us]."""
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
TOLERANCE_S_MAX = 450
"""Half a slot: an answer later than that stands nearer to the next mark."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A part of a site with the place it was written at."""

    item: T
    source: TomlSource
    place: Place

    def fault(self, key: str, problem: str, mend: str) -> Fault:
        """Describe a mistake at `key` of this entry ("" for the entry itself)."""
        return self.source.fault(*self.place, *((key,) if key else ()), problem=problem, mend=mend)


@dataclass(slots=True)
class Table(Generic[T]):
    """The well-formed entries of one table, and every id that was written, also in entries that were not."""

    name: str
    entries: list[Entry[T]] = field(default_factory=list)
    written: dict[str, Entry[str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self.entries)

    def items(self) -> tuple[T, ...]:
        """Give the entries without their places."""
        return tuple(entry.item for entry in self.entries)


@dataclass(slots=True)
class SiteDraft:
    """All tables of a site as written, with the mistakes found in single entries.

    header, contracts   stand for the first and the last file, for mistakes that no entry shows
    bindings            "required": meters count for money by approved bindings only, and may be bound later
    """

    id: SiteId
    names: Names
    calendar: SiteCalendar
    currency: str
    header: Entry[str]
    contracts: Entry[str]
    bindings: Literal["required"] | None
    nodes: Table[Node] = field(default_factory=lambda: Table("nodes"))
    units: Table[Unit] = field(default_factory=lambda: Table("units"))
    gateways: Table[Gateway] = field(default_factory=lambda: Table("gateways"))
    ports: Table[AnyPort] = field(default_factory=lambda: Table("ports"))
    meters: Table[Meter] = field(default_factory=lambda: Table("meters"))
    exchanges: Table[Exchange] = field(default_factory=lambda: Table("exchanges"))
    parties: Table[Party] = field(default_factory=lambda: Table("parties"))
    leases: Table[Lease] = field(default_factory=lambda: Table("leases"))
    units_without_area: list[Entry[str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_draft(directory: Path) -> SiteDraft:
    """Read the three files of a site; mistakes are in the draft's `faults`."""
    faults: list[Fault] = []
    sources = {name: _read_source(directory / name, faults) for name in SITE_FILES}
    calendar = _read_calendar(sources[SITE_FILE], faults)
    site, gateways, leases = (TableReader(source, (), source.content, calendar, faults) for source in sources.values())
    draft = _read_header(site, calendar, sources[LEASES_FILE])
    draft.faults = faults
    _fill(draft.nodes, site, _node)
    _fill(draft.units, site, lambda reader: _unit(reader, draft))
    _fill(draft.gateways, gateways, lambda reader: Gateway(GatewayId(reader.identifier("id")), reader.names("names")))
    _fill(draft.ports, gateways, _port)
    _fill(draft.meters, gateways, _meter)
    _fill(draft.exchanges, gateways, _exchange)
    _fill(draft.parties, leases, _party)
    _fill(draft.leases, leases, _lease)
    for reader in (site, gateways, leases):
        reader.close()
    return draft


def _read_source(path: Path, faults: list[Fault]) -> TomlSource:
    try:
        return TomlSource.read(path)
    except DocumentError as error:
        faults.extend(error.faults)
        return TomlSource(str(path), {}, {})


def _read_calendar(source: TomlSource, faults: list[Fault]) -> SiteCalendar:
    """Give the site's calendar; UTC stands in for a zone that is missing (a fault elsewhere) or unknown."""
    try:
        return SiteCalendar(str(source.content.get("zone", "UTC")))
    except CalendarInvalid as error:
        faults.append(source.fault("zone", problem=str(error), mend='write zone = "Asia/Shanghai" or the like'))
        return SiteCalendar("UTC")


def _read_header(reader: TableReader, calendar: SiteCalendar, leases: TomlSource) -> SiteDraft:
    reader.text("zone")
    currency = reader.text("currency")
    if currency and not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        reader.fault("currency", f"currency is {currency!r}", "write three capitals (ISO 4217) such as CNY")
    return SiteDraft(
        id=SiteId(reader.identifier("id")),
        names=reader.names("names"),
        calendar=calendar,
        currency=currency,
        header=Entry("site", reader.source, ()),
        contracts=Entry("contracts", leases, ()),
        bindings=_bindings(reader),
    )


def _bindings(reader: TableReader) -> Literal["required"] | None:
    """Read the optional key `bindings`; "optional" is as good as absent."""
    if reader.has("bindings") and reader.one_of("bindings", ("required", "optional")) == "required":
        return "required"
    return None


def _fill(table: Table[T], parent: TableReader, build: Callable[[TableReader], T]) -> None:
    """Read every entry of a table; keep the well-formed ones, and the ids of all."""
    for reader in parent.tables(table.name):
        item = build(reader)
        reader.close()
        name = getattr(item, "id", NO_NAME)
        if name != NO_NAME:
            first = table.written.setdefault(name, Entry(name, reader.source, reader.place))
            if first.place != reader.place:
                line = first.source.line(*first.place)
                reader.fault("id", f"{name!r} stands already in line {line}", "give each entry an id of its own")
        if not reader.broken:
            table.entries.append(Entry(item, reader.source, reader.place))


def _node(reader: TableReader) -> Node:
    kind = reader.choice("kind", NodeKind)
    return Node(
        id=NodeId(reader.identifier("id")),
        kind=kind,
        placements=_placements(reader),
        names=reader.names("names"),
        accuracy_class=reader.one_of("accuracy_class", ACCURACY_CLASSES),
        outline=reader.outline("outline"),
    )


def _placements(reader: TableReader) -> tuple[Placement, ...]:
    """Read `parent = "main"`, or `parents = [{ parent = "a", to = ... }, { parent = "b", from = ... }]`."""
    if reader.has("parents"):
        if reader.has("parent"):
            reader.fault("parent", "there are `parent` and `parents`", "keep one of them")
        inner = reader.tables("parents")
        placements = tuple(Placement(NodeId(part.identifier("parent")), part.span()) for part in inner)
        for part in inner:
            part.close()
        reader.broken |= any(part.broken for part in inner)
        return placements
    return (Placement(NodeId(reader.identifier("parent")), ALWAYS),) if reader.has("parent") else ()


def _unit(reader: TableReader, draft: SiteDraft) -> Unit:
    """Read a unit. A missing area is a mistake of its own, told later together with the leases it spoils."""
    if not reader.has("area_m2"):
        reader.broken = True
        draft.units_without_area.append(Entry(reader.identifier("id"), reader.source, reader.place))
    return Unit(
        id=UnitId(reader.identifier("id")),
        building=NodeId(reader.identifier("building")),
        area_cm2=reader.area_cm2("area_m2") if reader.has("area_m2") else 1,
        node=NodeId(reader.identifier("node")),
        names=reader.names("names"),
    )


def _port(reader: TableReader) -> AnyPort:
    kind = reader.one_of("kind", PORT_KINDS)
    port, gateway = PortId(reader.identifier("id")), GatewayId(reader.identifier("gateway"))
    if kind == "hand":
        return HandPort(port, gateway)
    tolerance_s = reader.integer("tolerance_s", 1, TOLERANCE_S_MAX)
    if kind == "modbus-tcp":
        return TcpPort(port, gateway, reader.text("host"), reader.integer("port", 1, 65535), tolerance_s)
    if kind == "tcp":
        return StreamPort(
            id=port,
            gateway=gateway,
            host=reader.text("host"),
            port=reader.integer("port", 1, 65535),
            tolerance_s=tolerance_s,
            line=_line_settings(reader),
            freeze=_freeze(reader),
        )
    if kind == "pulse":
        return PulsePort(
            id=port,
            gateway=gateway,
            device=reader.text("device"),
            debounce_us=reader.integer("debounce_us", 0, DEBOUNCE_US_MAX),
            active_low=reader.one_of("active_low", (True, False)),
            bias=reader.choice("bias", Bias),
            tolerance_s=tolerance_s,
        )
    return SerialPort(
        id=port,
        gateway=gateway,
        device=reader.text("device"),
        baud=reader.one_of("baud", BAUDS),
        parity=reader.choice("parity", Parity),
        stopbits=reader.integer("stopbits", 1, 2),
        tolerance_s=tolerance_s,
        freeze=_freeze(reader),
    )


def _freeze(reader: TableReader) -> bool | None:
    """Read the optional key `freeze`; false is as good as absent."""
    return (reader.one_of("freeze", (True, False)) or None) if reader.has("freeze") else None


def _line_settings(reader: TableReader) -> LineSettings | None:
    """Read `line = { baud = 2400, parity = "E", stopbits = 1 }`, if there is one."""
    inner = reader.table("line")
    if inner is None:
        return None
    settings = LineSettings(
        baud=inner.one_of("baud", BAUDS),
        parity=inner.choice("parity", Parity),
        stopbits=inner.integer("stopbits", 1, 2),
        databits=inner.one_of("databits", (7, 8)) if inner.has("databits") else None,
        gap_ms=inner.integer("gap_ms", 0, 10_000) if inner.has("gap_ms") else None,
    )
    inner.close()
    reader.broken |= inner.broken
    return settings


def _meter(reader: TableReader) -> Meter:
    return Meter(
        id=MeterId(reader.identifier("id")),
        serial=reader.text("serial"),
        profile=reader.text("profile"),
        protocol=reader.choice("protocol", Protocol),
        port=PortId(reader.identifier("port")),
        address=reader.text("address"),
        node=NodeId(reader.identifier("node")),
        span=reader.span(),
        ct=reader.integer("ct", 1, 100_000),
        pt=reader.integer("pt", 1, 10_000),
        line=_line_settings(reader),
        place=reader.place_on_ground("place"),
    )


def _exchange(reader: TableReader) -> Exchange:
    return Exchange(
        node=NodeId(reader.identifier("node")),
        old=MeterId(reader.identifier("old")),
        new=MeterId(reader.identifier("new")),
        at=reader.needed_instant("at"),
        final=reader.register_shown("final"),
        initial=reader.register_shown("initial"),
        obis=reader.obis("obis", ENERGY_IMPORT),
    )


def _party(reader: TableReader) -> Party:
    return Party(PartyId(reader.identifier("id")), reader.choice("kind", PartyKind), reader.names("names"))


def _lease(reader: TableReader) -> Lease:
    return Lease(
        id=LeaseId(reader.identifier("id")),
        party=PartyId(reader.identifier("party")),
        unit=UnitId(reader.identifier("unit")),
        span=reader.span(),
    )
