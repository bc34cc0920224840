"""The channels of a profile file: groups, channels and probes, each checked by itself and by its family."""

from __future__ import annotations

from device_profiles.checked_table import CheckedTable
from device_profiles.families import FAMILIES
from device_profiles.families.family import Family
from device_profiles.profile import MANTISSA_LIMIT, Channel, ChannelKind, Group, Probe, Settable, Setting
from metering.errors import MeteringError
from metering.obis import ENERGY_IMPORT, Obis
from metering.quantity import Shown, Unit

_UNITS_OF_KIND = {ChannelKind.STATE: Unit.ONE, ChannelKind.TIME: Unit.S}


def read_group(table: CheckedTable, index: int, family: Family | None) -> Group:
    """Read a [[groups]] table with its channels."""
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


def read_probe(table: CheckedTable, links_family: Family | None) -> Probe:
    """Read an [[identify]] table."""
    family = _family_in(table, links_family)
    probe = Probe(
        source=family.read_source(table.table(family.name)),
        expected=_bounds(table, "range") if "range" in table else None,
        score=table.integer("score", 1, 100),
        is_serial=table.boolean("serial", False),
    )
    table.done()
    if (probe.expected is None) is not probe.is_serial:
        mend = "give `range = [least, most]` of the mantissa that tells this model, or `serial = true`"
        table.fault("", "a probe either tells the model or reads the serial number", mend)
    return probe


def read_commissioning(table: CheckedTable, links_family: Family | None) -> tuple[tuple[Probe, ...], Settable]:
    """Read the [commissioning] table: further probes, and how address and speed are set."""
    probes = tuple(read_probe(entry, links_family) for entry in table.tables("identify", at_least=0))
    settable = Settable()
    if "set" in table:
        part = table.table("set")
        settable = Settable(
            address=_setting(part.table("address"), links_family) if "address" in part else None,
            baud=_setting(part.table("baud"), links_family) if "baud" in part else None,
            told={language: part.text(language) for language in ("zh", "en") if language in part},
        )
        part.done()
    table.done()
    return probes, settable


def _setting(table: CheckedTable, links_family: Family | None) -> Setting:
    family = _family_in(table, links_family)
    codes = table.integers("codes", 0, 10**6) if "codes" in table else []
    if len(codes) % 2:
        table.fault("codes", f"{codes} are no pairs", "write [speed, code, speed, code ...]")
    setting = Setting(family.read_source(table.table(family.name)), tuple(zip(codes[::2], codes[1::2], strict=False)))
    table.done()
    return setting


def _channel(table: CheckedTable, links_family: Family | None) -> Channel:
    obis, unit = _obis(table), _unit(table)
    exponent = table.integer("exponent", -9, 9)
    kind = ChannelKind(table.choice("kind", tuple(ChannelKind)))
    modulus = table.integer("modulus", 2, MANTISSA_LIMIT) if "modulus" in table else None
    plausible = _bounds(table, "plausible") if "plausible" in table else None
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


def _bounds(table: CheckedTable, key: str) -> tuple[int, int] | None:
    bounds = table.integers(key, -MANTISSA_LIMIT, MANTISSA_LIMIT - 1)
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        table.fault(key, f"{bounds} are no bounds", "write [least, most] as mantissas, both included")
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
