"""Read a profile from its TOML file, and name every mistake with its line.

The canonical form is the deterministic CBOR of the file's content without `vectors`: comments, layout and the spelling
of numbers do not change a profile's hash. The same checks run on both forms, so a profile that came with a statement is
as sure as one from a file. The decisions behind the schema are in docs/adr/0011.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_profiles.checked_table import CheckedTable, Faults
from device_profiles.framing import codec_of
from device_profiles.framing.errors import AddressInvalid
from device_profiles.profile import (
    MANTISSA_LIMIT,
    Channel,
    ChannelKind,
    Dlt645Source,
    Group,
    Link,
    ModbusSource,
    Profile,
    Protocol,
    RegisterType,
    SerialSettings,
    Side,
    Source,
    Vector,
    WordOrder,
)
from device_profiles.read_plan import REGISTERS_MAX, PlanImpossible, plan_reads
from metering.envelope import EnvelopeMalformed, decode_canonical, digest_of, encode
from metering.errors import DocumentError, MeteringError
from metering.identity import IdentifierInvalid, check_identifier
from metering.obis import ENERGY_IMPORT, Obis
from metering.quantity import Shown, Unit
from metering.toml_source import TomlSource

SCHEMA = 1
_VECTORS = "vectors"
_BILLING = "billing"
_MEDIA = ("electricity", "water", "gas", "heat")
_EVIDENCE = ("captures", "documents")


def read_profile(path: Path) -> Profile:
    """Read and check a profile file; raises DocumentError with every fault and its line."""
    return profile_from_toml(TomlSource.read(path))


def profile_from_toml(source: TomlSource) -> Profile:
    """Check a parsed profile file; raises DocumentError."""
    faults = Faults(source)
    root = CheckedTable(source.content, (), faults)
    profile = _profile(root, encode({key: part for key, part in source.content.items() if key != _VECTORS}))
    faults.raise_if_any()
    return profile


def profile_from_canonical(octets: bytes) -> Profile:
    """Rebuild a profile from its canonical form; raises EnvelopeMalformed or DocumentError."""
    content = decode_canonical(octets)
    if not isinstance(content, dict) or _VECTORS in content:
        raise EnvelopeMalformed("a canonical profile is one table without vectors")
    return profile_from_toml(TomlSource(path=f"profile {digest_of(octets).hex()[:16]}", content=content, lines={}))


def _profile(root: CheckedTable, canonical: bytes) -> Profile:
    root.integer("schema", SCHEMA, SCHEMA)
    root.choice("medium", _MEDIA)
    root.choice("evidence", _EVIDENCE)
    for entry in root.tables("sources"):
        entry.text("title")
        entry.text("note", "")
        entry.done()
    profile = Profile(
        id=_profile_id(root),
        rev=root.integer("rev", 1, 9999),
        names=_names(root.table("names")),
        side=Side(root.choice("side", tuple(Side))),
        links=_links(root.table("links")),
        groups=tuple(_group(entry, index) for index, entry in enumerate(root.tables("groups"))),
        canonical=canonical,
        hash=digest_of(canonical),
        vectors=tuple(_vector(entry) for entry in root.tables(_VECTORS, at_least=0)),
    )
    root.done()
    _check_groups(root, profile)
    _check_sources(root, profile)
    _check_plans(root, profile)
    return profile


def _profile_id(root: CheckedTable) -> str:
    text = root.text("id")
    parts = text.split("/")
    try:
        for part in parts:
            check_identifier(part)
    except IdentifierInvalid:
        parts = []
    if len(parts) != 2:
        root.fault("id", f"{text!r} is no profile id", "write maker/model in lower-case letters, digits and hyphens")
    return text


def _names(table: CheckedTable) -> dict[str, str]:
    names = {language: table.text(language) for language in ("zh", "en")}
    table.done()
    return names


def _links(table: CheckedTable) -> dict[Protocol, Link]:
    links = {Protocol(name): _link(table.table(name), Protocol(name)) for name in table.keys_in(tuple(Protocol))}
    table.done()
    if not links:
        table.fault("", "no link", f"add a table for one of {', '.join(Protocol)}")
    if len({protocol.is_modbus for protocol in links}) > 1:
        table.fault("", "Modbus and DL/T 645 in one profile", "make a profile for each; their sources differ")
    return links


def _link(table: CheckedTable, protocol: Protocol) -> Link:
    link = Link(
        protocol=protocol,
        serial=None if protocol is Protocol.MODBUS_TCP else _serial(table),
        registers_max=table.integer("registers_max", 1, REGISTERS_MAX) if protocol.is_modbus else None,
        hole_max=table.integer("hole_max", 0, REGISTERS_MAX) if protocol.is_modbus else 0,
        reply_ms_max=table.integer("reply_ms_max", 1, 60_000),
    )
    table.done()
    return link


def _serial(table: CheckedTable) -> SerialSettings:
    bauds = table.integers("bauds", 300, 921_600)
    if not bauds:
        table.fault("bauds", "no speed", "list the speeds the model can be set to, the usual one first")
    return SerialSettings(tuple(bauds), table.choice("parity", ("N", "E", "O")), table.integer("stop_bits", 1, 2))


def _group(table: CheckedTable, index: int) -> Group:
    group = Group(
        index=index,
        name=table.text("name"),
        atomic=table.boolean("atomic", False),
        channels=tuple(_channel(entry) for entry in table.tables("channels")),
    )
    table.done()
    return group


def _channel(table: CheckedTable) -> Channel:
    obis, unit = _obis(table), _unit(table)
    exponent = table.integer("exponent", -9, 9)
    kind = ChannelKind(table.choice("kind", tuple(ChannelKind)))
    modulus = table.integer("modulus", 2, MANTISSA_LIMIT) if "modulus" in table else None
    plausible = _plausible(table) if "plausible" in table else None
    channel = Channel(obis, unit, exponent, kind, modulus, _source(table), plausible)
    table.done()
    _check_channel(table, channel)
    return channel


def _obis(table: CheckedTable) -> Obis:
    try:
        return Obis.parse(table.text("obis"))
    except MeteringError as error:
        table.fault("obis", str(error), "write it like 1-0:1.8.0")
        return ENERGY_IMPORT


def _unit(table: CheckedTable) -> Unit:
    try:
        return Unit.from_symbol(table.text("unit"))
    except MeteringError as error:
        table.fault("unit", str(error), "use one of the known units")
        return Unit.ONE


def _plausible(table: CheckedTable) -> tuple[int, int] | None:
    bounds = table.integers("plausible", -MANTISSA_LIMIT, MANTISSA_LIMIT - 1)
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        table.fault("plausible", f"{bounds} are no bounds", "write [least, most] as mantissas, both included")
        return None
    return bounds[0], bounds[1]


def _source(table: CheckedTable) -> Source:
    if "dlt645" in table:
        return _dlt645_source(table.table("dlt645"))
    return _modbus_source(table.table("modbus"))


def _modbus_source(table: CheckedTable) -> ModbusSource:
    source = ModbusSource(
        function=table.integer("function", 3, 4),
        address=table.integer("address", 0, 0xFFFF),
        type=RegisterType(table.choice("type", tuple(RegisterType))),
        order=WordOrder(table.choice("order", tuple(WordOrder), WordOrder.ABCD)),
        exponent=table.integer("exponent", -9, 9, 0),
        invalid=tuple(table.hexadecimals("invalid")),
    )
    table.done()
    if "exponent" in table and not source.type.is_float:
        table.fault("exponent", "an integer register counts in the channel's exponent", "leave it out here")
    if source.end > 0x10000:
        table.fault("address", "the register ends beyond FFFF", "mend the address")
    if any(len(pattern) != 2 * source.count for pattern in source.invalid):
        table.fault("invalid", f"a pattern of {source.type} has {4 * source.count} hex digits", "write it whole")
    return source


def _dlt645_source(table: CheckedTable) -> Dlt645Source:
    identifier = table.hexadecimal("di")
    source = Dlt645Source(
        di=identifier,
        octets=table.integer("octets", 1, 8),
        index=table.integer("index", 0, 63, 0),
        count=table.integer("count", 1, 64, 1),
        signed=table.boolean("signed", False),
    )
    table.done()
    if len(identifier) != 4:
        table.fault("di", "a data identifier has 8 hex digits", "write DI3 DI2 DI1 DI0, as printed")
    if source.index >= source.count or source.octets * source.count > 196:
        table.fault("index", "the answer has no such number", "give index < count, and at most 196 octets in all")
    return source


def _check_channel(table: CheckedTable, channel: Channel) -> None:
    """Counters must be exact in base units and able to show what their modulus says; gauges have no modulus."""
    if channel.kind is ChannelKind.GAUGE:
        if channel.modulus is not None:
            table.fault("modulus", "a gauge does not roll over", "leave it out, or make the channel a counter")
        return
    if channel.plausible is not None:
        table.fault("plausible", "a counter is bounded by its modulus", "leave it out")
    try:
        Shown(1, channel.exponent, channel.unit).to_base()
    except MeteringError as error:
        table.fault("exponent", str(error), "a counter must be whole in base units: choose a coarser exponent")
    most = _mantissa_limit(channel.source)
    if channel.modulus is not None and most is not None and channel.modulus > most:
        table.fault("modulus", f"the register can show only mantissas below {most}", "mend the modulus or the type")


def _mantissa_limit(source: Source) -> int | None:
    """First mantissa the register's width cannot show; None for floats."""
    if isinstance(source, Dlt645Source):
        digits: int = 10 ** (2 * source.octets)
        return digits
    if source.type.is_float:
        return None
    return 1 << source.type.bits - source.type.is_signed


def _check_groups(root: CheckedTable, profile: Profile) -> None:
    names = [group.name for group in profile.groups]
    if names[:1] != [_BILLING]:
        root.fault(
            ("groups", 0, "name"),
            "the first group is not `billing`",
            "put the energy registers first, as group `billing`",
        )
    for group in profile.groups:
        if group.name in names[: group.index]:
            root.fault(("groups", group.index, "name"), f"group {group.name!r} stands twice", "give each its own name")
        seen: set[Obis] = set()
        for at, channel in enumerate(group.channels):
            if channel.obis in seen:
                place = ("groups", group.index, "channels", at, "obis")
                root.fault(place, f"{channel.obis} stands twice in group {group.name!r}", "leave one out")
            seen.add(channel.obis)


def _check_sources(root: CheckedTable, profile: Profile) -> None:
    """Each source must be of the links' family; answers for one identifier must have one length."""
    is_modbus = any(protocol.is_modbus for protocol in profile.links)
    lengths: dict[bytes, int] = {}
    for group in profile.groups:
        for at, channel in enumerate(group.channels):
            place = ("groups", group.index, "channels", at)
            source = channel.source
            if profile.links and isinstance(source, ModbusSource) is not is_modbus:
                root.fault(place, "the source is not of the links' protocol", "give `modbus` or `dlt645` to match them")
            if isinstance(source, Dlt645Source):
                length = source.octets * source.count
                if lengths.setdefault(source.di, length) != length:
                    root.fault(place, f"{source.di.hex()} was {lengths[source.di]} octets above", "make them agree")


def _check_plans(root: CheckedTable, profile: Profile) -> None:
    if root.faults.found:
        return
    for protocol in profile.links:
        for group in profile.groups:
            try:
                plan_reads(profile, protocol, group)
            except PlanImpossible as error:
                root.fault(("groups", group.index), str(error), "set atomic = false, or raise hole_max")


def _vector(table: CheckedTable) -> Vector:
    protocol = Protocol(table.choice("protocol", tuple(Protocol)))
    address = table.text("address")
    try:
        codec_of(protocol).check_address(address)
    except AddressInvalid as error:
        table.fault("address", str(error), "mend it")
    vector = Vector(
        protocol=protocol,
        address=address,
        request=table.hexadecimal("request"),
        reply=table.hexadecimal("reply"),
        expected=tuple(_expected(table.table("expected"))),
        derived=table.boolean("derived"),
        origin=table.text("origin"),
    )
    table.done()
    return vector


def _expected(table: CheckedTable) -> list[tuple[Obis, int | None]]:
    expected: list[tuple[Obis, int | None]] = []
    for key in table.all_keys():
        mantissa = _mantissa_or_none(table, key)
        try:
            expected.append((Obis.parse(key), mantissa))
        except MeteringError as error:
            table.fault(key, str(error), "write it like 1-0:1.8.0")
    return expected


def _mantissa_or_none(table: CheckedTable, key: str) -> int | None:
    content: Any = table.raw(key)
    if content == "none":
        return None
    return table.integer(key, -MANTISSA_LIMIT, MANTISSA_LIMIT - 1)


__all__ = ["DocumentError", "profile_from_canonical", "profile_from_toml", "read_profile"]
