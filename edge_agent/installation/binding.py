"""From what the engineer says of a meter to its binding: plan and scan fill in what he left out; nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Profile, Protocol, Side
from edge_agent.installation.view import BindRequest
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import Worksheet
from edge_agent.scanning.matching import has_number
from edge_agent.scanning.result import FoundMeter
from metering.identity import MeterId, NodeId, PortId, UnitId
from provisioning.installation import Binding
from provisioning.order_file import ExpectedMeter
from provisioning.serial_numbers import is_same_serial
from provisioning.site import LineSettings, Meter, Port, SerialPort, Site, Span, StreamPort

NEAR_MAX = 3


@dataclass(frozen=True, slots=True)
class _Wiring:
    """How a meter is reached, and what it is."""

    port: Port
    protocol: Protocol
    address: str
    profile: Profile
    line: LineSettings | None
    read_serial: str | None


def binding_of_request(
    sheet: Worksheet, request: BindRequest, catalogue: Catalogue, at: datetime, *, instead_of: MeterId | None = None
) -> Binding:
    """Give the binding that `request` means; raises DeskRefused with what is missing or does not fit.

    instead_of   the meter whose place the new one takes: it may still be there
    """
    assert sheet.order is not None
    site = sheet.site()
    if all(node.id != request.node for node in site.nodes):
        raise refused("unknown-node", node=request.node, near=_near(request.node, (node.id for node in site.nodes)))
    expected = next((one for one in sheet.order.plan.expected if one.node == request.node), None)
    wiring = _wiring(sheet, request, expected, catalogue)
    serial = request.serial or wiring.read_serial
    if serial is None:
        raise refused("no-serial")
    ct, pt = _ratios(request, expected, wiring.profile)
    place = request.place or (None if expected is None else expected.place)
    meter = Meter(
        id=request.meter or _free_id(sheet, site, request.node, expected, instead_of),
        serial=serial.strip(),
        profile=wiring.profile.id,
        protocol=wiring.protocol,
        port=wiring.port.id,
        address=wiring.address,
        node=request.node,
        span=Span(at),
        ct=ct,
        pt=pt,
        line=_line(wiring),
        place=place,
    )
    _check_free(sheet, meter, instead_of)
    unit = _unit(site, request, expected)
    return Binding(meter, unit, wiring.read_serial, place, request.seal, (), (), ())


def scanned(sheet: Worksheet) -> tuple[tuple[PortId, FoundMeter], ...]:
    """Give every meter that the newest scans found, with its port."""
    return tuple((port, found) for port, result in sorted(sheet.scans.items()) for found in result.found)


def _wiring(sheet: Worksheet, request: BindRequest, expected: ExpectedMeter | None, catalogue: Catalogue) -> _Wiring:
    found = _found(sheet, request, expected)
    port_id = request.port or (None if found is None else found[0])
    meter = None if found is None else found[1]
    protocol = request.protocol or (None if meter is None else meter.protocol)
    address = request.address or (None if meter is None else meter.address)
    model = request.profile or _model(meter, expected)
    parts = {"port": port_id, "protocol": protocol, "address": address, "profile": model}
    missing = [name for name, part in parts.items() if part is None]
    if missing or port_id is None or protocol is None or address is None or model is None:
        raise refused("incomplete", missing=", ".join(missing))
    profile = catalogue.by_id(model)
    profile.link(protocol)
    line = request.line or (None if meter is None else meter.line)
    return _Wiring(port_of(sheet, port_id), protocol, address, profile, line, None if meter is None else meter.serial)


def port_of(sheet: Worksheet, port: PortId) -> Port:
    """Find a port of this gateway; raises DeskRefused."""
    ports = sheet.ports()
    found = next((one for one in ports if one.id == port), None)
    if found is None:
        raise refused("unknown-port", port=port, ports=", ".join(one.id for one in ports) or "-")
    return found


def _found(sheet: Worksheet, request: BindRequest, expected: ExpectedMeter | None) -> tuple[PortId, FoundMeter] | None:
    """Find the scanned meter that is meant; without a word of it, the one with the serial number typed or planned."""
    everything = scanned(sheet)
    if request.found is not None:
        text = request.found.strip()
        fitting = [one for one in everything if _is_meant(text, *one)]
        known = ", ".join(f"{one.serial or '-'} ({port}/{one.address})" for port, one in everything)
        if not fitting:
            raise refused("unknown-found", found=text, known=known or "-")
        if len(fitting) > 1:
            raise refused("found-twice", found=text, known=known)
        return fitting[0]
    if request.address is not None:
        fitting = [one for one in everything if (one[0], one[1].address) == (request.port, request.address)]
        return fitting[0] if len(fitting) == 1 else None
    serial = request.serial or (None if expected is None else expected.serial)
    fitting = [one for one in everything if serial and has_number(one[1], serial)]
    return fitting[0] if len(fitting) == 1 else None


def _is_meant(text: str, port: PortId, found: FoundMeter) -> bool:
    """Say whether `text` is the place or the serial number of a scanned meter."""
    return text == f"{port}/{found.address}" or has_number(found, text)


def _model(meter: FoundMeter | None, expected: ExpectedMeter | None) -> str | None:
    """Give the model that the scan is sure of; of several that fit equally, the planned one."""
    planned = None if expected is None else expected.profile
    if meter is None:
        return planned
    if meter.profile is not None:
        return meter.profile
    best = [one.profile for one in meter.candidates if one.score == meter.candidates[0].score]
    if planned in best:
        return planned
    candidates = ", ".join(one.profile for one in meter.candidates) or "-"
    raise refused("model-unclear", found=meter.serial or meter.address, candidates=candidates)


def _ratios(request: BindRequest, expected: ExpectedMeter | None, profile: Profile) -> tuple[int, int]:
    """Give CT and PT as said or planned; a model that counts the primary side has none."""
    if profile.side is Side.PRIMARY:
        if (request.ct or 1) != 1 or (request.pt or 1) != 1:
            raise refused("ratio-primary", profile=profile.id)
        return 1, 1
    ct = request.ct or (None if expected is None else expected.ct)
    pt = request.pt or (None if expected is None else expected.pt) or 1
    if ct is None:
        raise refused("no-ratio", node=request.node)
    return ct, pt


def _line(wiring: _Wiring) -> LineSettings | None:
    """Give how the meter is spoken to, None where that is how its port is set."""
    own = wiring.port.line if isinstance(wiring.port, SerialPort | StreamPort) else None
    if wiring.line is None or own is None:
        return None
    same = (own.baud, own.parity, own.stopbits, own.data_bits)
    return (
        None
        if (wiring.line.baud, wiring.line.parity, wiring.line.stopbits, wiring.line.data_bits) == same
        else wiring.line
    )


def _unit(site: Site, request: BindRequest, expected: ExpectedMeter | None) -> UnitId | None:
    if request.unit is not None:
        unit = next((one for one in site.units if one.id == request.unit), None)
        if unit is None:
            raise refused("unknown-unit", unit=request.unit, near=_near(request.unit, (one.id for one in site.units)))
        if unit.node != request.node:
            raise refused("unit-elsewhere", unit=unit.id, meant=unit.node, node=request.node)
        return unit.id
    if expected is not None and expected.unit is not None:
        return expected.unit
    return next((one.id for one in site.units if one.node == request.node), None)


def _free_id(
    sheet: Worksheet, site: Site, node: NodeId, expected: ExpectedMeter | None, instead_of: MeterId | None
) -> MeterId:
    """Give the id the plan has for the node, or the next one that nobody has; a draft at the node keeps its id."""
    drafted = [
        one.meter.id for meter, one in sheet.bindings().items() if one.meter.node == node and sheet.draft_of(meter)
    ]
    if drafted and instead_of is None:
        return drafted[0]
    planned = frozenset() if sheet.order is None else sheet.order.plan.planned
    taken = {one.id for one in site.meters if one.id not in planned} | set(sheet.bindings())
    stem = MeterId(f"m-{node}")
    wanted = [] if expected is None else [expected.meter]
    return next(
        one
        for one in (*wanted, stem, *(MeterId(f"{stem}-{number}") for number in range(2, 10_000)))
        if one not in taken
    )


def _check_free(sheet: Worksheet, meter: Meter, instead_of: MeterId | None) -> None:
    """No other bound meter at its node, address or with its serial number."""
    for other in sheet.fitted():
        is_draft_here = other.node == meter.node and sheet.draft_of(other.id) is not None
        if other.id in (meter.id, instead_of) or is_draft_here:
            if other.id == instead_of and is_same_serial(other.serial, meter.serial):
                raise refused("serial-taken", serial=meter.serial, meter=other.id, node=other.node)
            continue
        if other.node == meter.node:
            raise refused("node-taken", node=meter.node, meter=other.id)
        if (other.port, other.protocol, other.address) == (meter.port, meter.protocol, meter.address):
            raise refused("address-taken", port=meter.port, address=meter.address, meter=other.id, node=other.node)
        if is_same_serial(other.serial, meter.serial):
            raise refused("serial-taken", serial=meter.serial, meter=other.id, node=other.node)


def _near(wanted: str, known: Iterable[str]) -> str:
    names = sorted(known)
    return ", ".join(get_close_matches(wanted, names, NEAR_MAX, 0.4) or names[:NEAR_MAX])
