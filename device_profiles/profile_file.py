"""Read a profile from its TOML file, and name every mistake with its line.

The canonical form is the deterministic CBOR of the file's content without `vectors`: comments, layout and the spelling
of numbers do not change a profile's hash. The same checks run on both forms, so a profile that came with a statement is
as sure as one from a file. The decisions behind the schema are in docs/adr/0011.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_profiles.checked_table import CheckedTable, Faults
from device_profiles.families import FAMILIES, family_of
from device_profiles.families.family import Family, PlanImpossible
from device_profiles.framing import codec_of
from device_profiles.framing.errors import AddressInvalid
from device_profiles.profile import (
    MANTISSA_LIMIT,
    Channel,
    ChannelKind,
    Dispute,
    DocumentSource,
    Evidence,
    Group,
    Link,
    Profile,
    Protocol,
    SerialSettings,
    Side,
    Vector,
)
from device_profiles.read_plan import plan_reads
from metering.envelope import EnvelopeMalformed, decode_canonical, digest_of, encode
from metering.errors import DocumentError, MeteringError
from metering.identity import IdentifierInvalid, check_identifier
from metering.obis import ENERGY_IMPORT, Obis
from metering.quantity import Shown, Unit
from metering.toml_source import TomlSource

SCHEMA = 1
_VECTORS = "vectors"
_UNITS_OF_KIND = {ChannelKind.STATE: Unit.ONE, ChannelKind.TIME: Unit.S}
_BILLING = "billing"
_MEDIA = ("electricity", "water", "gas", "heat")


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
    links = _links(root.table("links"))
    family = family_of(next(iter(links))) if links else None
    profile = Profile(
        id=_profile_id(root),
        rev=root.integer("rev", 1, 9999),
        names=_names(root.table("names")),
        side=Side(root.choice("side", tuple(Side))),
        links=links,
        groups=tuple(_group(entry, index, family) for index, entry in enumerate(root.tables("groups"))),
        canonical=canonical,
        hash=digest_of(canonical),
        vectors=tuple(_vector(entry) for entry in root.tables(_VECTORS, at_least=0)),
        medium=root.choice("medium", _MEDIA),
        evidence=Evidence(root.choice("evidence", tuple(Evidence))),
        sources=tuple(_document(entry) for entry in root.tables("sources")),
        disputes=tuple(_dispute(entry) for entry in root.tables("disputes", at_least=0)),
    )
    root.done()
    _check_groups(root, profile)
    if family is not None and not root.faults.found:
        family.check(profile, root)
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


def _document(table: CheckedTable) -> DocumentSource:
    document = DocumentSource(
        title=table.text("title"),
        version=table.text("version", ""),
        page=table.text("page", ""),
        note=table.text("note", ""),
    )
    table.done()
    return document


def _dispute(table: CheckedTable) -> Dispute:
    dispute = Dispute(point=table.text("point"), told={language: table.text(language) for language in ("zh", "en")})
    table.done()
    return dispute


def _links(table: CheckedTable) -> dict[Protocol, Link]:
    spoken = tuple(protocol for family in FAMILIES for protocol in family.protocols)
    links = {Protocol(name): _link(table.table(name), Protocol(name)) for name in table.keys_in(spoken)}
    table.done()
    if not links:
        table.fault("", "no link", f"add a table for one of {', '.join(spoken)}")
    families = sorted({family_of(protocol).name for protocol in links})
    if len(families) > 1:
        table.fault("", f"{' and '.join(families)} in one profile", "make a profile for each; their sources differ")
    return links


def _link(table: CheckedTable, protocol: Protocol) -> Link:
    link = Link(
        protocol=protocol,
        serial=_serial(table) if protocol.is_serial else None,
        options=family_of(protocol).read_link_options(table, protocol),
        reply_ms_max=table.integer("reply_ms_max", 1, 60_000),
    )
    table.done()
    return link


def _serial(table: CheckedTable) -> SerialSettings:
    bauds = table.integers("bauds", 300, 921_600)
    if not bauds:
        table.fault("bauds", "no speed", "list the speeds the model can be set to, the usual one first")
    return SerialSettings(
        bauds=tuple(bauds),
        parity=table.choice("parity", ("N", "E", "O")),
        stop_bits=table.integer("stop_bits", 1, 2),
        data_bits=table.integer("data_bits", 7, 8, 8),
    )


def _group(table: CheckedTable, index: int, family: Family | None) -> Group:
    group = Group(
        index=index,
        name=table.text("name"),
        atomic=table.boolean("atomic", False),
        after_freeze=table.boolean("after_freeze", False),
        every_s=table.integer("every_s", 1, 86_400) if "every_s" in table else None,
        channels=tuple(_channel(entry, family) for entry in table.tables("channels")),
    )
    table.done()
    return group


def _channel(table: CheckedTable, links_family: Family | None) -> Channel:
    obis, unit = _obis(table), _unit(table)
    exponent = table.integer("exponent", -9, 9)
    kind = ChannelKind(table.choice("kind", tuple(ChannelKind)))
    modulus = table.integer("modulus", 2, MANTISSA_LIMIT) if "modulus" in table else None
    plausible = _plausible(table) if "plausible" in table else None
    family = _family_in(table, links_family)
    channel = Channel(obis, unit, exponent, kind, modulus, family.read_source(table.table(family.name)), plausible)
    table.done()
    _check_channel(table, channel, family)
    return channel


def _family_in(table: CheckedTable, links_family: Family | None) -> Family:
    """Find the family whose source table the channel has: that of the links, if all is well."""
    if links_family is not None and links_family.name in table:
        return links_family
    other = next((family for family in FAMILIES if family.name in table), None)
    if other is None or links_family is None:
        return other or links_family or FAMILIES[0]
    mend = f"give a `{links_family.name}` table to match them"
    table.fault("", "the source is not of the links' protocol", mend)
    return other


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


def _check_channel(table: CheckedTable, channel: Channel, family: Family) -> None:
    """Counters must be exact in base units and able to show what their modulus says; nothing else rolls over."""
    if channel.kind is not ChannelKind.COUNTER:
        if channel.modulus is not None:
            table.fault("modulus", f"a {channel.kind} does not roll over", "leave it out, or make it a counter")
        unit = _UNITS_OF_KIND.get(channel.kind)
        if unit is not None and (channel.unit, channel.exponent) != (unit, 0):
            mend = f'write unit = "{unit.symbol}" and exponent = 0'
            table.fault("unit", f"a {channel.kind} is a whole number of {unit.symbol}", mend)
        return
    if channel.plausible is not None:
        table.fault("plausible", "a counter is bounded by its modulus", "leave it out")
    try:
        Shown(1, channel.exponent, channel.unit).to_base()
    except MeteringError as error:
        table.fault("exponent", str(error), "a counter must be whole in base units: choose a coarser exponent")
    most = family.mantissa_limit(channel.source)
    if channel.modulus is not None and most is not None and channel.modulus > most:
        table.fault("modulus", f"the register can show only mantissas below {most}", "mend the modulus or the type")


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
        exchanges=tuple(_exchanges(table)),
        expected=tuple(_expected(table.table("expected"))),
        derived=table.boolean("derived"),
        origin=table.text("origin"),
    )
    table.done()
    return vector


def _exchanges(table: CheckedTable) -> list[tuple[bytes, bytes]]:
    """Read the one exchange of a vector, or several as [[vectors.exchanges]]."""
    if "exchanges" not in table:
        return [(table.hexadecimal("request"), table.hexadecimal("reply"))]
    exchanges: list[tuple[bytes, bytes]] = []
    for entry in table.tables("exchanges"):
        exchanges.append((entry.hexadecimal("request"), entry.hexadecimal("reply")))
        entry.done()
    return exchanges


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
