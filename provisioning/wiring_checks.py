"""Can each meter be spoken to as written, and is all it counts declared? Meters and exchanges against the models."""

from __future__ import annotations

from collections.abc import Iterator

from device_profiles.catalogue import Catalogue, ProfileUnknown
from device_profiles.framing import codec_of
from device_profiles.framing.errors import AddressInvalid
from device_profiles.profile import BILLING, ChannelKind, NotInProfile, Profile, Protocol, SerialSettings, Side
from metering.errors import Fault
from metering.identity import MeterId
from metering.obis import SETTLED_QUANTITIES, Obis
from provisioning.site import AnyPort, HandPort, LineSettings, Meter, PulsePort, SerialPort, StreamPort, TcpPort
from provisioning.site_checks import grouped, meeting
from provisioning.site_draft import Entry, SiteDraft
from provisioning.toml_table import near

MODBUS_ADDRESS_MAX = 247
"""Modbus over serial line V1.02, 2.2: 1 to 247 are individual addresses, 0 is broadcast, the rest reserved."""
_DLT645_BROADCAST = "999999999999"
_DLT645 = (Protocol.DLT645_2007, Protocol.DLT645_1997)
_MODBUS_UNITS = (Protocol.MODBUS_RTU, Protocol.MODBUS_TCP, Protocol.MODBUS_RTU_OVER_TCP)
_PORT_KINDS: dict[Protocol, tuple[type, ...]] = {
    Protocol.MODBUS_TCP: (TcpPort,),
    Protocol.MODBUS_RTU: (SerialPort,),
    Protocol.MODBUS_RTU_OVER_TCP: (StreamPort,),
    Protocol.DLMS_WRAPPER: (StreamPort,),
    Protocol.PULSE: (PulsePort,),
    Protocol.HAND: (HandPort,),
}
"""Where a protocol runs; those that are not named go over any line, with or without TCP under it."""


def wiring_faults(draft: SiteDraft, catalogue: Catalogue) -> Iterator[Fault]:
    """Give every fault between meters, ports, exchanges and the models' profiles."""
    ports = {entry.item.id: entry.item for entry in draft.ports}
    counted: dict[MeterId, frozenset[Obis]] = {}
    for entry in draft.meters:
        yield from _address_form(entry)
        port = ports.get(entry.item.port)
        if port is not None:
            yield from _port_fits(entry, port)
        try:
            profile = catalogue.by_id(entry.item.profile)
        except ProfileUnknown:
            known = [profile.id for profile in catalogue.profiles]
            yield entry.fault("profile", f"unknown profile {entry.item.profile!r}", near(entry.item.profile, known))
            continue
        counted[entry.item.id] = _counted(profile)
        if not counted[entry.item.id]:
            problem = f"{profile.id} counts nothing that is settled, so it cannot bill"
            yield entry.fault("profile", problem, "use another protocol of this meter, or another meter")
        yield from _model_fits(entry, profile, port)
    yield from _exchanges_complete(draft, counted)
    yield from _addresses_once(draft)
    yield from _serials_once(draft)
    yield from _places_once(draft)


def runs_on(protocol: Protocol, port: AnyPort) -> bool:
    """Say whether meters can be spoken to by `protocol` through a port of this kind."""
    return isinstance(port, _PORT_KINDS.get(protocol, (SerialPort, StreamPort)))


def _counted(profile: Profile) -> frozenset[Obis]:
    """Give the settled registers of a model: counters of its group `billing`, which is read at every mark."""
    channels = (channel for group in profile.groups if group.name == BILLING for channel in group.channels)
    return frozenset(one.obis for one in channels if one.kind is ChannelKind.COUNTER) & set(SETTLED_QUANTITIES)


def _exchanges_complete(draft: SiteDraft, counted: dict[MeterId, frozenset[Obis]]) -> Iterator[Fault]:
    """An exchange is declared for every register that both meters count: what it leaves out cannot be told."""
    if any(len(entry.source.content["exchanges"]) > len(draft.exchanges.entries) for entry in draft.exchanges):
        return  # one of them cannot be read: perhaps the very one
    for group in grouped(draft.exchanges, lambda exchange: (exchange.old, exchange.new)):
        first = group[0]
        both = counted.get(first.item.old, frozenset()) & counted.get(first.item.new, frozenset())
        for obis in sorted(both - {entry.item.obis for entry in group}):
            problem = f"both meters count {obis} and no exchange says what it showed"
            mend = f'write an [[exchanges]] with obis = "{obis}"; final and initial may be 0 if it never counted'
            yield first.fault("", problem, mend)


def _address_form(entry: Entry[Meter]) -> Iterator[Fault]:
    address = entry.item.address
    if entry.item.protocol in _DLT645:
        if not (len(address) == 12 and address.isascii() and address.isdecimal()) or address == _DLT645_BROADCAST:
            mend = "write the 12 digits printed on the meter, with leading zeros"
            yield entry.fault("address", f"{address!r} is no DL/T 645 address", mend)
    elif entry.item.protocol not in _MODBUS_UNITS:
        yield from _address_by_codec(entry)
    elif not (address.isascii() and address.isdecimal() and 1 <= int(address) <= MODBUS_ADDRESS_MAX):
        mend = f'write the unit id as text, "1" to "{MODBUS_ADDRESS_MAX}"'
        yield entry.fault("address", f"{address!r} is no Modbus unit id", mend)
    elif address != str(int(address)):
        yield entry.fault("address", f"{address!r} has leading zeros", f'write "{int(address)}"')


def _address_by_codec(entry: Entry[Meter]) -> Iterator[Fault]:
    try:
        codec_of(entry.item.protocol).check_address(entry.item.address)
    except AddressInvalid as error:
        yield entry.fault("address", str(error), "write the address as the meter's plate or menu shows it")


def _port_fits(entry: Entry[Meter], port: AnyPort) -> Iterator[Fault]:
    if not runs_on(entry.item.protocol, port):
        problem = f"protocol {entry.item.protocol} does not run on port {port.id}, which is of kind {port.kind}"
        yield entry.fault("protocol", problem, "name another port or protocol")


def _model_fits(entry: Entry[Meter], profile: Profile, port: AnyPort | None) -> Iterator[Fault]:
    meter = entry.item
    try:
        settings = profile.link(meter.protocol).serial
    except NotInProfile:
        problem = f"{profile.id} does not speak {meter.protocol}"
        yield entry.fault("protocol", problem, f"it speaks {', '.join(profile.links)}")
        return
    if profile.side is Side.PRIMARY and meter.multiplier != 1:
        problem = f"the registers of {profile.id} count the primary side already; ct x pt is {meter.multiplier}"
        yield entry.fault("ct", problem, "write ct = 1 and pt = 1, or the ratio would count twice")
    if isinstance(port, StreamPort) and meter.line is not None:
        problem = f"the line behind port {port.id} is set by its converter, which cannot be switched from here"
        yield entry.fault("line", problem, "leave `line` out and set it at the port")
    elif settings is None:
        return
    elif meter.line is not None:
        yield from _line_fits(entry, profile, meter.line, settings)
    elif isinstance(port, SerialPort) and port.baud not in settings.bauds:
        known = ", ".join(map(str, settings.bauds))
        problem = f"{profile.id} cannot be set to the {port.baud} bit/s of port {port.id}"
        yield entry.fault("port", problem, f"give the port one of {known}, or the meter a `line` of its own")


def _line_fits(entry: Entry[Meter], profile: Profile, line: LineSettings, settings: SerialSettings) -> Iterator[Fault]:
    """A meter's own line settings: the model can be set so."""
    if line.baud not in settings.bauds:
        known = ", ".join(map(str, settings.bauds))
        yield entry.fault("line", f"{profile.id} cannot be set to {line.baud} bit/s", f"write one of {known}")


def _addresses_once(draft: SiteDraft) -> Iterator[Fault]:
    """Two meters of one protocol on one line must not answer to one address at one time."""
    for group in grouped(draft.meters, lambda meter: (meter.port, meter.protocol, _whole_address(meter))):
        for first, second in meeting(group):
            line = first.source.line(*first.place)
            problem = (
                f"address {second.item.address} on port {second.item.port} is that of {first.item.id} (line {line})"
            )
            yield second.fault("address", problem, "each meter on a line needs its own address")


def _whole_address(meter: Meter) -> str:
    """Give the address in the one spelling of its protocol: an M-Bus number with or without its open part is one."""
    try:
        return codec_of(meter.protocol).check_address(meter.address)
    except AddressInvalid:
        return meter.address


def _serials_once(draft: SiteDraft) -> Iterator[Fault]:
    for group in grouped(draft.meters, lambda meter: meter.serial):
        for first, second in meeting(group):
            line = first.source.line(*first.place)
            problem = f"serial {second.item.serial} is that of {first.item.id} (line {line})"
            yield second.fault("serial", problem, "write the number on the meter's plate")


def _places_once(draft: SiteDraft) -> Iterator[Fault]:
    """One line, one port: two ports on one device would disturb each other."""
    for group in grouped(draft.ports, _place_of):
        for entry in group[1:]:
            key = "device" if isinstance(entry.item, SerialPort | PulsePort) else "host"
            problem = f"ports {group[0].item.id} and {entry.item.id} are one and the same line"
            yield entry.fault(key, problem, "put all meters of a line on one port")


def _place_of(port: AnyPort) -> tuple[str, ...]:
    if isinstance(port, HandPort):
        return ("hand", port.id)
    if isinstance(port, SerialPort | PulsePort):
        return (port.gateway, port.device)
    return (port.host, str(port.port))
