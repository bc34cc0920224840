"""Read a profile from its TOML file, and name every mistake with its line.

The canonical form is the deterministic CBOR of the file's content without `vectors`, `disputes` and `commissioning`:
comments, layout, the spelling of numbers, what is told about the sources and how a meter is recognised and set do not
change a profile's hash. The same checks run on both
forms, so a profile that came with a statement is as sure as one from a file. The decisions behind the schema are in
docs/adr/0011 and 0077.
"""

from __future__ import annotations

from pathlib import Path

from device_profiles.checked_table import CheckedTable, Faults
from device_profiles.families import FAMILIES, family_of
from device_profiles.families.family import PlanImpossible
from device_profiles.profile import (
    BILLING,
    ChannelKind,
    Dispute,
    DocumentSource,
    Evidence,
    Link,
    Profile,
    Protocol,
    SerialSettings,
    Settable,
    Side,
)
from device_profiles.profile_channels import read_commissioning, read_group, read_probe
from device_profiles.profile_vectors import read_vector
from device_profiles.read_plan import plan_reads
from metering.envelope import EnvelopeMalformed, decode_canonical, digest_of, encode
from metering.errors import DocumentError
from metering.identity import IdentifierInvalid, check_identifier
from metering.obis import Obis
from metering.toml_source import TomlSource

SCHEMA = 1
_VECTORS = "vectors"
_DISPUTES = "disputes"
_COMMISSIONING = "commissioning"
_BESIDE = (_VECTORS, _DISPUTES, _COMMISSIONING)
"""What stands in the file beside the profile: it proves, warns and recognises, and says nothing of what is read."""
_MEDIA = ("electricity", "water", "gas", "heat")


def read_profile(path: Path) -> Profile:
    """Read and check a profile file; raises DocumentError with every fault and its line."""
    return profile_from_toml(TomlSource.read(path))


def profile_from_toml(source: TomlSource) -> Profile:
    """Check a parsed profile file; raises DocumentError."""
    faults = Faults(source)
    root = CheckedTable(source.content, (), faults)
    profile = _profile(root, encode({key: part for key, part in source.content.items() if key not in _BESIDE}))
    faults.raise_if_any()
    return profile


def profile_from_canonical(octets: bytes) -> Profile:
    """Rebuild a profile from its canonical form; raises EnvelopeMalformed or DocumentError."""
    content = decode_canonical(octets)
    if not isinstance(content, dict) or not content.keys().isdisjoint(_BESIDE):
        raise EnvelopeMalformed("a canonical profile is one table without vectors, disputes and commissioning")
    return profile_from_toml(TomlSource(path=f"profile {digest_of(octets).hex()[:16]}", content=content, lines={}))


def _profile(root: CheckedTable, canonical: bytes) -> Profile:
    root.integer("schema", SCHEMA, SCHEMA)
    links = _links(root.table("links"))
    family = family_of(next(iter(links))) if links else None
    probes, settable = read_commissioning(root.table(_COMMISSIONING), family) if _COMMISSIONING in root else ((), None)
    profile = Profile(
        id=_profile_id(root),
        rev=root.integer("rev", 1, 9999),
        names=_names(root.table("names")),
        side=Side(root.choice("side", tuple(Side))),
        links=links,
        groups=tuple(read_group(entry, index, family) for index, entry in enumerate(root.tables("groups"))),
        canonical=canonical,
        hash=digest_of(canonical),
        vectors=tuple(read_vector(entry) for entry in root.tables(_VECTORS, at_least=0)),
        medium=root.choice("medium", _MEDIA),
        evidence=Evidence(root.choice("evidence", tuple(Evidence))),
        sources=tuple(_document(entry) for entry in root.tables("sources")),
        disputes=tuple(_dispute(entry) for entry in root.tables(_DISPUTES, at_least=0)),
        probes=(*(read_probe(entry, family) for entry in root.tables("identify", at_least=0)), *probes),
        settable=settable or Settable(),
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
    table.done(spoken)
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


def _check_groups(root: CheckedTable, profile: Profile) -> None:
    names = [group.name for group in profile.groups]
    counters = {
        group.name for group in profile.groups for channel in group.channels if channel.kind is ChannelKind.COUNTER
    }
    if counters and names[:1] != [BILLING]:
        root.fault(
            ("groups", 0, "name"),
            "the first group is not `billing`",
            "put the energy registers first, as group `billing`",
        )
    if BILLING in names and BILLING not in counters:
        mend = "give the counter that is billed; a model that shows none has no group `billing`"
        root.fault(("groups", names.index(BILLING), "name"), "nothing in group `billing` counts", mend)
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


__all__ = ["DocumentError", "profile_from_canonical", "profile_from_toml", "read_profile"]
